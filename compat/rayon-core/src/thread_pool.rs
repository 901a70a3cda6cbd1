//! [`ThreadPool`]: what a program has of a pool; and what a thread can ask of its own.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::broadcast::{self, BroadcastContext};
use crate::registry::Registry;
use crate::scope::{self, Scope, ScopeFifo};
use crate::worker::Worker;
use crate::{join, spawn};

/// A pool of threads. When it is dropped, they end after the last job that was spawned.
///
/// # Example
///
/// ```
/// let pool = rayon_core::ThreadPoolBuilder::new().num_threads(2).build()?;
/// let (a, b) = pool.install(|| rayon_core::join(|| 6, || 7));
/// assert_eq!(a * b, 42);
/// # Ok::<(), rayon_core::ThreadPoolBuildError>(())
/// ```
pub struct ThreadPool {
    registry: Arc<Registry>,
}

impl ThreadPool {
    pub(crate) fn of(registry: Arc<Registry>) -> Self {
        ThreadPool { registry }
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The older name of [`ThreadPoolBuilder::build`](crate::ThreadPoolBuilder::build).
    ///
    /// # Errors
    ///
    /// As there.
    #[deprecated(note = "use `ThreadPoolBuilder::build`")]
    #[allow(deprecated, reason = "of the interface")]
    pub fn new(configuration: crate::Configuration) -> Result<ThreadPool, Box<dyn Error>> {
        configuration.into_builder().build().map_err(Box::from)
    }

    /// Runs `op` on a thread of the pool, whose joins, scopes and iterators are the pool's then.
    ///
    /// # Blocking
    ///
    /// A thread of another pool works for that while it waits. So a job of its own pool may run
    /// on the calling thread in between, as with all calls that wait.
    ///
    /// # Panics
    ///
    /// If `op` does.
    pub fn install<OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce() -> R + Send,
        R: Send,
    {
        self.registry.run(|_, _| op())
    }

    /// [`broadcast`](crate::broadcast) in this pool.
    ///
    /// # Panics
    ///
    /// If a call of `op` does.
    pub fn broadcast<OP, R>(&self, op: OP) -> Vec<R>
    where
        OP: Fn(BroadcastContext<'_>) -> R + Sync,
        R: Send,
    {
        broadcast::broadcast_in(&self.registry, op)
    }

    /// How many threads it has.
    #[inline]
    pub fn current_num_threads(&self) -> usize {
        self.registry.num_threads()
    }

    /// The index of the calling thread in this pool, if it is of it.
    #[inline]
    pub fn current_thread_index(&self) -> Option<usize> {
        self.with_own(Worker::index)
    }

    /// Whether the calling thread, if it is of this pool, has jobs that nobody has begun.
    #[inline]
    pub fn current_thread_has_pending_tasks(&self) -> Option<bool> {
        self.with_own(Worker::has_local)
    }

    /// [`join`](crate::join()) in this pool.
    ///
    /// # Panics
    ///
    /// If a closure does.
    pub fn join<A, B, RA, RB>(&self, oper_a: A, oper_b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.install(|| join::join(oper_a, oper_b))
    }

    /// [`scope`](crate::scope()) in this pool.
    ///
    /// # Panics
    ///
    /// If `op` or a job does.
    pub fn scope<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&Scope<'scope>) -> R + Send,
        R: Send,
    {
        scope::scope_in(&self.registry, op)
    }

    /// [`scope_fifo`](crate::scope_fifo) in this pool.
    ///
    /// # Panics
    ///
    /// If `op` or a job does.
    pub fn scope_fifo<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
        R: Send,
    {
        scope::scope_fifo_in(&self.registry, op)
    }

    /// [`in_place_scope`](crate::in_place_scope), whose jobs run in this pool.
    ///
    /// # Panics
    ///
    /// If `op` or a job does.
    pub fn in_place_scope<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&Scope<'scope>) -> R,
    {
        scope::in_place_in(&self.registry, op)
    }

    /// [`in_place_scope_fifo`](crate::in_place_scope_fifo), whose jobs run in this pool.
    ///
    /// # Panics
    ///
    /// If `op` or a job does.
    pub fn in_place_scope_fifo<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&ScopeFifo<'scope>) -> R,
    {
        scope::in_place_fifo_in(&self.registry, op)
    }

    /// [`spawn`](crate::spawn()) in this pool.
    ///
    /// # Panics
    ///
    /// Never; see there.
    pub fn spawn<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static,
    {
        spawn::spawn_in(&self.registry, op);
    }

    /// [`spawn_fifo`](crate::spawn_fifo) in this pool.
    ///
    /// # Panics
    ///
    /// Never; see there.
    pub fn spawn_fifo<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static,
    {
        spawn::spawn_fifo_in(&self.registry, op);
    }

    /// [`spawn_broadcast`](crate::spawn_broadcast) in this pool.
    ///
    /// # Panics
    ///
    /// Never; see there.
    pub fn spawn_broadcast<OP>(&self, op: OP)
    where
        OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
    {
        broadcast::spawn_broadcast_in(&self.registry, op);
    }

    /// [`yield_now`] on a thread of this pool; `None` on another.
    pub fn yield_now(&self) -> Option<Yield> {
        self.with_own(|worker| Yield::executed(worker.run_any()))
    }

    /// [`yield_local`] on a thread of this pool; `None` on another.
    pub fn yield_local(&self) -> Option<Yield> {
        self.with_own(|worker| Yield::executed(worker.run_local()))
    }

    fn with_own<R>(&self, ask: impl FnOnce(&Worker) -> R) -> Option<R> {
        Worker::with(|worker| {
            worker
                .filter(|worker| worker.registry().is(&self.registry))
                .map(ask)
        })
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.registry.release();
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("num_threads", &self.current_num_threads())
            .finish_non_exhaustive()
    }
}

/// What came of a [`yield_now`] or [`yield_local`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yield {
    /// Something was done.
    Executed,
    /// There was nothing to do.
    Idle,
}

impl Yield {
    fn executed(some: bool) -> Self {
        if some { Yield::Executed } else { Yield::Idle }
    }
}

/// Does one thing for the pool of the calling thread, whatever it is; `None` if that is of no
/// pool.
///
/// # Example
///
/// ```
/// assert_eq!(rayon_core::yield_now(), None, "of no pool");
/// ```
pub fn yield_now() -> Option<Yield> {
    Worker::with(|worker| worker.map(|worker| Yield::executed(worker.run_any())))
}

/// Does one of the jobs that the calling thread has made and nobody has begun; `None` if that is
/// of no pool.
pub fn yield_local() -> Option<Yield> {
    Worker::with(|worker| worker.map(|worker| Yield::executed(worker.run_local())))
}

/// The most threads that a pool has, whatever is asked for.
pub fn max_num_threads() -> usize {
    if cfg!(target_pointer_width = "64") {
        0xff00
    } else {
        0xff
    }
}

/// How many threads the pool of the calling thread has, or the global one.
pub fn current_num_threads() -> usize {
    Worker::with(|worker| worker.map(|worker| worker.registry().num_threads()))
        .unwrap_or_else(|| Registry::global().num_threads())
}

/// The index of the calling thread in its pool, if it is of one.
#[inline]
pub fn current_thread_index() -> Option<usize> {
    Worker::with(|worker| worker.map(Worker::index))
}
