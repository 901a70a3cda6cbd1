//! A pool, as its threads and their guests share it.
//!
//! Invariant: `holders` counts the pool's handle and what was spawned into it and is not done;
//! when it is zero, nothing is queued and nothing will be, and the threads end.

use std::any::Any;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{io, mem};

use threadwork::bare::{self, CountLatch};

use crate::builder::{ThreadBuilder, ThreadPoolBuildError, ThreadPoolBuilder, ThreadSpawn};
use crate::task::{self, AbortOnUnwind, Fifo, Payload, Task};
use crate::thread_pool::ThreadPool;
use crate::worker::{self, Worker};

pub(crate) type PanicHandler = Box<dyn Fn(Box<dyn Any + Send>) + Send + Sync>;
pub(crate) type IndexHandler = Box<dyn Fn(usize) + Send + Sync>;

/// What a pool calls at its turning points.
#[derive(Default)]
pub(crate) struct Handlers {
    pub(crate) panic: Option<PanicHandler>,
    pub(crate) start: Option<IndexHandler>,
    pub(crate) exit: Option<IndexHandler>,
}

pub(crate) struct Registry {
    pub(crate) group: bare::Group,
    /// Queued by threads that are not of the pool.
    injected: Fifo,
    seats: Box<[Seat]>,
    holders: AtomicUsize,
    pub(crate) handlers: Handlers,
}

/// What belongs to one thread.
struct Seat {
    /// What it alone is to do.
    own: Fifo,
    /// What it has spawned in the order of a queue.
    spawned: Fifo,
}

static GLOBAL: OnceLock<ThreadPool> = OnceLock::new();
/// Held by whoever makes the global pool.
static MAKING: Mutex<()> = Mutex::new(());

impl Registry {
    pub(crate) fn start<S: ThreadSpawn>(
        mut builder: ThreadPoolBuilder<S>,
    ) -> Result<ThreadPool, ThreadPoolBuildError> {
        let threads = builder.threads();
        if builder.uses_current_thread() && Worker::with(|worker| worker.is_some()) {
            return Err(ThreadPoolBuildError::already_in_pool());
        }
        let registry = Arc::new(Registry {
            group: bare::Group::new(threads, worker::elsewhere),
            injected: Fifo::new(),
            seats: (0..threads).map(|_| Seat::new()).collect(),
            holders: AtomicUsize::new(1),
            handlers: builder.take_handlers(),
        });
        // The threads that were started end if the next is not, or if what it is called panics.
        let pool = ThreadPool::of(registry.clone());
        let first = usize::from(builder.uses_current_thread());
        if first == 1 {
            worker::stay(&registry);
        }
        for index in first..threads {
            let thread = ThreadBuilder::new(&mut builder, registry.clone(), index);
            builder.spawn(thread)?;
        }
        Ok(pool)
    }

    /// The pool of the thread, or the global one.
    pub(crate) fn current() -> Arc<Registry> {
        Worker::with(|worker| worker.map(|worker| worker.registry().clone()))
            .unwrap_or_else(|| Registry::global().clone())
    }

    /// The global one, which is made by its first use.
    pub(crate) fn global() -> &'static Arc<Registry> {
        if let Some(pool) = GLOBAL.get() {
            return pool.registry();
        }
        match Registry::make_global(Registry::default_global) {
            Ok(_) => match GLOBAL.get() {
                Some(pool) => pool.registry(),
                None => unreachable!("it was made, by this thread or another"),
            },
            Err(error) => panic!("the global thread pool cannot be started: {error}"),
        }
    }

    /// Where there are no threads, the one that asks is the pool.
    fn default_global() -> Result<ThreadPool, ThreadPoolBuildError> {
        match Registry::start(ThreadPoolBuilder::new()) {
            Err(error)
                if error.io_kind() == Some(io::ErrorKind::Unsupported)
                    && Worker::with(|worker| worker.is_none()) =>
            {
                Registry::start(ThreadPoolBuilder::new().num_threads(1).use_current_thread())
            }
            result => result,
        }
    }

    /// Makes the global one; false if it is there.
    pub(crate) fn make_global(
        make: impl FnOnce() -> Result<ThreadPool, ThreadPoolBuildError>,
    ) -> Result<bool, ThreadPoolBuildError> {
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if GLOBAL.get().is_some() {
            return Ok(false);
        }
        let pool = make()?;
        GLOBAL.get_or_init(|| pool);
        Ok(true)
    }

    pub(crate) fn num_threads(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn is(&self, other: &Registry) -> bool {
        std::ptr::eq(self, other)
    }

    /// Queues a task for any thread of the pool.
    pub(crate) fn inject(&self, task: Task) {
        self.injected.push(task);
        if !self.group.wake_one() {
            // All work, or wait for something, and these do this meanwhile.
            let _ = (0..self.num_threads()).any(|index| self.group.rouse(index));
        }
    }

    /// Gives each thread of the pool a task.
    pub(crate) fn give_each(&self, mut task: impl FnMut(usize) -> Task) {
        for (index, seat) in self.seats.iter().enumerate() {
            seat.own.push(task(index));
        }
        self.group.wake_all();
        (0..self.num_threads()).for_each(|index| {
            self.group.rouse(index);
        });
    }

    pub(crate) fn take_own(&self, index: usize) -> Option<Task> {
        self.seats[index].own.pop()
    }

    pub(crate) fn take_injected(&self) -> Option<Task> {
        let task = self.injected.pop()?;
        if !self.injected.is_empty() {
            self.group.wake_one();
        }
        Some(task)
    }

    /// Whether the thread has something to do that is in no steal queue, or is to end.
    pub(crate) fn calls(&self, index: usize) -> bool {
        !self.injected.is_empty() || !self.seats[index].own.is_empty() || self.is_over()
    }

    pub(crate) fn spawned_fifo(&self, index: usize) -> &Fifo {
        &self.seats[index].spawned
    }

    pub(crate) fn is_over(&self) -> bool {
        // Ordering: Acquire; pairs with the release in `release`: what was spawned is done.
        self.holders.load(Ordering::Acquire) == 0
    }

    /// The pool does not end before `release`. By somebody who holds it.
    pub(crate) fn hold(&self) {
        // Ordering: Relaxed; the caller keeps it above zero.
        self.holders.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self) {
        // Ordering: AcqRel; pairs with itself, and with `is_over`.
        if self.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.group.wake_all();
        }
    }

    /// A panic that nobody waits for.
    pub(crate) fn handle_panic(&self, payload: Payload) {
        let abort = AbortOnUnwind;
        if let Some(handler) = &self.handlers.panic {
            handler(payload);
            mem::forget(abort);
        }
    }

    /// Runs `work` on a thread of the pool: on this one if it is of the pool. It is told whether
    /// it came from another.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce(&Worker, bool) -> R + Send) -> R {
        Worker::with(|worker| match worker {
            Some(worker) if worker.registry().is(self) => work(worker, false),
            _ => self.run_elsewhere(work),
        })
    }

    #[cold]
    fn run_elsewhere<R: Send>(&self, work: impl FnOnce(&Worker, bool) -> R + Send) -> R {
        let mut result = None;
        let latch = CountLatch::new(1);
        let shared = SendPtr(&raw const latch);
        let place = &mut result;
        let task = move || {
            let shared = shared;
            *place = Some(task::catch(|| {
                Worker::with(|worker| match worker {
                    Some(worker) => work(worker, true),
                    None => unreachable!("what is injected is run by threads of the pool"),
                })
            }));
            // SAFETY: it is counted, and the waiter waits for it.
            unsafe { CountLatch::done(shared.0) };
        };
        // SAFETY: it was run when the latch is open.
        self.inject(unsafe { task::borrowing(task) });
        bare::wait(&latch);
        match result {
            Some(Ok(result)) => result,
            Some(Err(payload)) => panic::resume_unwind(payload),
            None => unreachable!("the latch is open"),
        }
    }
}

impl Seat {
    fn new() -> Self {
        Seat {
            own: Fifo::new(),
            spawned: Fifo::new(),
        }
    }
}

/// A pointer that another thread may have.
pub(crate) struct SendPtr<T>(pub(crate) *const T);

impl<T> Clone for SendPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SendPtr<T> {}

// SAFETY: it is a shared reference in all but its lifetime.
unsafe impl<T: Sync> Send for SendPtr<T> {}
