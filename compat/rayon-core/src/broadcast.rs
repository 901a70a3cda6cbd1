//! What each thread of a pool does once.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use threadwork::bare::CountLatch;

use crate::registry::{Registry, SendPtr};
use crate::task::{self, FirstPanic};
use crate::worker::{self, Worker};

/// On which thread of the pool a broadcast runs.
pub struct BroadcastContext<'a> {
    worker: &'a Worker,
    /// It says something of one thread.
    _here: PhantomData<&'a mut dyn Fn()>,
}

impl BroadcastContext<'_> {
    /// The index of the thread: below [`num_threads`](Self::num_threads).
    #[inline]
    pub fn index(&self) -> usize {
        self.worker.index()
    }

    /// How many threads the pool has.
    #[inline]
    pub fn num_threads(&self) -> usize {
        self.worker.registry().num_threads()
    }
}

impl fmt::Debug for BroadcastContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastContext")
            .field("index", &self.index())
            .field("num_threads", &self.num_threads())
            .finish_non_exhaustive()
    }
}

/// Calls it on a thread of a pool.
pub(crate) fn with_context<R>(body: impl FnOnce(BroadcastContext<'_>) -> R) -> R {
    Worker::with(|worker| match worker {
        Some(worker) => body(BroadcastContext {
            worker,
            _here: PhantomData,
        }),
        None => unreachable!("broadcasts are run by threads of the pool"),
    })
}

/// Calls `op` on each thread of the current pool, or the global one, and returns the results by
/// the threads' indices.
///
/// A thread does so when it has nothing more of its own to do, and before it takes from others.
///
/// # Blocking
///
/// A thread of a pool works for that while it waits.
///
/// # Panics
///
/// If a call does, when all are done; with the payload of one of them.
///
/// # Example
///
/// ```
/// let squares = rayon_core::broadcast(|thread| thread.index() * thread.index());
/// assert_eq!(squares.len(), rayon_core::current_num_threads());
/// ```
pub fn broadcast<OP, R>(op: OP) -> Vec<R>
where
    OP: Fn(BroadcastContext<'_>) -> R + Sync,
    R: Send,
{
    broadcast_in(&Registry::current(), op)
}

pub(crate) fn broadcast_in<OP, R>(registry: &Registry, op: OP) -> Vec<R>
where
    OP: Fn(BroadcastContext<'_>) -> R + Sync,
    R: Send,
{
    let threads = registry.num_threads();
    let shared = Shared {
        op,
        results: (0..threads).map(|_| Mutex::new(None)).collect(),
        panic: FirstPanic::none(),
        latch: CountLatch::new(threads as u32),
    };
    let all = SendPtr(&raw const shared);
    registry.give_each(|index| {
        let job = move || {
            let all = all;
            // SAFETY: the caller waits for this, which is counted.
            let shared = unsafe { &*all.0 };
            match task::catch(|| with_context(&shared.op)) {
                Ok(result) => *lock(&shared.results[index]) = Some(result),
                Err(payload) => shared.panic.keep(payload),
            }
            // SAFETY: as above.
            let latch = unsafe { &raw const (*all.0).latch };
            // SAFETY: counted, and nothing is used afterwards.
            unsafe { CountLatch::done(latch) };
        };
        // SAFETY: it was run when the latch is open.
        unsafe { task::borrowing(job) }
    });
    worker::wait(&shared.latch);
    shared.panic.resume();
    let results = shared.results.into_iter().map(|result| {
        let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        result.unwrap_or_else(|| unreachable!("the latch is open, and nobody panicked"))
    });
    results.collect()
}

struct Shared<OP, R> {
    op: OP,
    results: Vec<Mutex<Option<R>>>,
    panic: FirstPanic,
    latch: CountLatch,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has each thread of the current pool, or the global one, call it some time.
///
/// # Panics
///
/// Never. Panics of `op` go to the pool's panic handler; without one, the program ends.
pub fn spawn_broadcast<OP>(op: OP)
where
    OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
{
    spawn_broadcast_in(&Registry::current(), op);
}

pub(crate) fn spawn_broadcast_in<OP>(registry: &Arc<Registry>, op: OP)
where
    OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
{
    let op = Arc::new(op);
    registry.give_each(|_| {
        let op = op.clone();
        crate::spawn::detached(registry, move || with_context(|context| op(context)))
    });
}
