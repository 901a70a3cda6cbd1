//! Any number of jobs that borrow from whoever waits for them.
//!
//! Invariant: a scope's latch counts its body and each of its jobs that is not done; the scope is
//! left when it is open, so whatever outlives the scope outlives its jobs.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use threadwork::bare::{self, CountLatch};

use crate::broadcast::{self, BroadcastContext};
use crate::registry::{Registry, SendPtr};
use crate::task::{self, Fifo, FirstPanic};
use crate::worker::{self, Worker};

/// Where jobs are spawned that are done before [`scope`] returns; a thread begins with the newest
/// of its own.
pub struct Scope<'scope> {
    base: Base<'scope>,
}

/// Where jobs are spawned that are done before [`scope_fifo`] returns; a thread begins with the
/// oldest of its own.
pub struct ScopeFifo<'scope> {
    base: Base<'scope>,
    /// What each thread of the pool has spawned.
    spawned: Box<[Fifo]>,
}

struct Base<'scope> {
    registry: Arc<Registry>,
    latch: CountLatch,
    panic: FirstPanic,
    /// `'scope` is what the jobs borrow, not shorter and not longer.
    _scope: PhantomData<fn(&'scope ()) -> &'scope ()>,
}

/// Runs `op` on a thread of the pool, and all jobs that it and they spawn, and returns when all
/// are done.
///
/// On a thread of a pool, that one; elsewhere it is one of the global pool.
///
/// # Blocking
///
/// The calling thread does other work of its pool while it waits.
///
/// # Panics
///
/// If `op` or a job does, when all are done; with the payload of one of them.
///
/// # Example
///
/// ```
/// let mut words = vec!["one", "two", "three"];
/// let mut count = 0;
/// rayon_core::scope(|s| {
///     s.spawn(|_| count = words.len());
/// });
/// words.clear();
/// assert_eq!(count, 3);
/// ```
pub fn scope<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&Scope<'scope>) -> R + Send,
    R: Send,
{
    scope_in(&Registry::current(), op)
}

pub(crate) fn scope_in<'scope, OP, R>(registry: &Arc<Registry>, op: OP) -> R
where
    OP: FnOnce(&Scope<'scope>) -> R + Send,
    R: Send,
{
    registry.run(|worker, _| in_place_in(worker.registry(), op))
}

/// [`scope`], whose jobs a thread begins with the oldest of its own.
///
/// # Panics
///
/// As [`scope`].
pub fn scope_fifo<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
    R: Send,
{
    scope_fifo_in(&Registry::current(), op)
}

pub(crate) fn scope_fifo_in<'scope, OP, R>(registry: &Arc<Registry>, op: OP) -> R
where
    OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
    R: Send,
{
    registry.run(|worker, _| in_place_fifo_in(worker.registry(), op))
}

/// [`scope`], whose body runs on the calling thread whatever that is. The jobs run in its pool,
/// or else in the global one.
///
/// # Panics
///
/// As [`scope`].
pub fn in_place_scope<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&Scope<'scope>) -> R,
{
    in_place_in(&Registry::current(), op)
}

pub(crate) fn in_place_in<'scope, OP, R>(registry: &Arc<Registry>, op: OP) -> R
where
    OP: FnOnce(&Scope<'scope>) -> R,
{
    let scope = Scope {
        base: Base::new(registry.clone()),
    };
    scope.base.complete(|| op(&scope))
}

/// [`scope_fifo`], whose body runs on the calling thread whatever that is.
///
/// # Panics
///
/// As [`scope`].
pub fn in_place_scope_fifo<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&ScopeFifo<'scope>) -> R,
{
    in_place_fifo_in(&Registry::current(), op)
}

pub(crate) fn in_place_fifo_in<'scope, OP, R>(registry: &Arc<Registry>, op: OP) -> R
where
    OP: FnOnce(&ScopeFifo<'scope>) -> R,
{
    let scope = ScopeFifo {
        spawned: (0..registry.num_threads()).map(|_| Fifo::new()).collect(),
        base: Base::new(registry.clone()),
    };
    scope.base.complete(|| op(&scope))
}

impl<'scope> Scope<'scope> {
    /// Spawns a job, which is done before the scope ends, and may spawn others.
    pub fn spawn<BODY>(&self, body: BODY)
    where
        BODY: FnOnce(&Scope<'scope>) + Send + 'scope,
    {
        let base = &self.base;
        // SAFETY: the scope waits for it.
        let job = unsafe { base.job(SendPtr(self), |scope| &scope.base, body) };
        if base.is_of_current() {
            // SAFETY: the scope waits for it.
            unsafe { bare::spawn(job) };
        } else {
            // SAFETY: as above.
            base.registry.inject(unsafe { task::borrowing(job) });
        }
    }

    /// Has each thread of the pool call it, before the scope ends.
    pub fn spawn_broadcast<BODY>(&self, body: BODY)
    where
        BODY: Fn(&Scope<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        self.base
            .broadcast(SendPtr(self), |scope| &scope.base, body);
    }
}

impl<'scope> ScopeFifo<'scope> {
    /// Spawns a job, which is done before the scope ends, and may spawn others.
    pub fn spawn_fifo<BODY>(&self, body: BODY)
    where
        BODY: FnOnce(&ScopeFifo<'scope>) + Send + 'scope,
    {
        let base = &self.base;
        // SAFETY: the scope waits for it.
        let job = unsafe { base.job(SendPtr(self), |scope| &scope.base, body) };
        // SAFETY: as above.
        let job = unsafe { task::borrowing(job) };
        let own = Worker::with(|worker| {
            let worker = worker.filter(|worker| worker.registry().is(&base.registry));
            worker.map(|worker| &self.spawned[worker.index()])
        });
        let Some(own) = own else {
            base.registry.inject(job);
            return;
        };
        own.push(job);
        let own = SendPtr(own);
        // Whoever runs this takes the oldest.
        let next = move || {
            let own = own;
            // SAFETY: there are as many jobs as there are of these, and the scope waits for each.
            if let Some(job) = unsafe { &*own.0 }.pop() {
                job();
            }
        };
        // SAFETY: as above.
        unsafe { bare::spawn(next) };
    }

    /// Has each thread of the pool call it, before the scope ends.
    pub fn spawn_broadcast<BODY>(&self, body: BODY)
    where
        BODY: Fn(&ScopeFifo<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        self.base
            .broadcast(SendPtr(self), |scope| &scope.base, body);
    }
}

impl<'scope> Base<'scope> {
    fn new(registry: Arc<Registry>) -> Self {
        Base {
            registry,
            latch: CountLatch::new(1),
            panic: FirstPanic::none(),
            _scope: PhantomData,
        }
    }

    fn is_of_current(&self) -> bool {
        Worker::with(|worker| worker.is_some_and(|worker| worker.registry().is(&self.registry)))
    }

    /// Counts a job of the scope, and makes it.
    ///
    /// # Safety
    ///
    /// `scope` has this base, and is there until what is returned was run, once.
    unsafe fn job<S: Sync>(
        &self,
        scope: SendPtr<S>,
        base: fn(&S) -> &Self,
        body: impl FnOnce(&S) + Send,
    ) -> impl FnOnce() + Send {
        self.count();
        move || {
            let scope = scope;
            // SAFETY: the caller's promise.
            let scope = unsafe { &*scope.0 };
            // SAFETY: it is counted, and this is the last use of the scope.
            unsafe { Base::run(base(scope), || body(scope)) };
        }
    }

    /// Counts a job. By one who is counted.
    fn count(&self) {
        assert!(
            self.latch.add(),
            "more than a thousand million jobs of a scope are not done"
        );
    }

    /// Runs the body, and waits for the jobs.
    fn complete<R>(&self, body: impl FnOnce() -> R) -> R {
        let result = bare::in_scope(|| {
            let result = match task::catch(body) {
                Ok(result) => Some(result),
                Err(payload) => {
                    self.panic.keep(payload);
                    None
                }
            };
            // SAFETY: the body is one that is counted.
            unsafe { CountLatch::done(&self.latch) };
            worker::wait(&self.latch);
            result
        });
        self.panic.resume();
        result.unwrap_or_else(|| unreachable!("the panic was kept"))
    }

    /// Runs a job.
    ///
    /// # Safety
    ///
    /// `this` is valid until the job is done, and the job is counted.
    unsafe fn run(this: *const Self, body: impl FnOnce()) {
        if let Err(payload) = task::catch(body) {
            // SAFETY: valid.
            unsafe { &*this }.panic.keep(payload);
        }
        // SAFETY: valid.
        let latch = unsafe { &raw const (*this).latch };
        // SAFETY: counted, and nothing of the scope is used afterwards.
        unsafe { CountLatch::done(latch) };
    }

    fn broadcast<S, BODY>(&self, scope: SendPtr<S>, base: fn(&S) -> &Base<'scope>, body: BODY)
    where
        S: Sync + 'scope,
        BODY: Fn(&S, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        let body = Arc::new(body);
        self.registry.give_each(|_| {
            let body = body.clone();
            let work = move |scope: &S| {
                broadcast::with_context(|context| body(scope, context));
                // What it borrows is used no more when the job is done.
                drop(body);
            };
            // SAFETY: the scope waits for it.
            let job = unsafe { self.job(scope, base, work) };
            // SAFETY: as above.
            unsafe { task::borrowing(job) }
        });
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl fmt::Debug for ScopeFifo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeFifo").finish_non_exhaustive()
    }
}
