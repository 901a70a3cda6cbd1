//! [`scope`]: any number of jobs that borrow from the stack.
//!
//! A spawned job is on the heap, in the list of the thread that spawned it. The scope counts
//! those that are not done with a latch, which it does not leave before that is open: so
//! whatever outlives the scope outlives its jobs. The body of the scope is one of
//! those that are counted, and keeps the latch shut while jobs can still be spawned.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::Ordering;

use super::descent::Thief;
use super::group::{Group, Slot};
use super::idle;
use super::job::{Job, Payload};
use super::job_handle::{self, JobHandle};
use super::latch::CountLatch;
use super::spawned;
use super::stack::{self, Stack};
use crate::boundary;
use crate::primitive::AtomicPtr;

/// Where jobs are spawned that are done before [`scope`] returns.
pub struct Scope<'scope> {
    /// The group whose members spawn into lists; null if there was no slot. Only compared.
    group: AtomicPtr<Group>,
    /// The thread that waits for them, and its slot; null if there was none. Only compared.
    owner: AtomicPtr<Stack>,
    owner_slot: AtomicPtr<Slot>,
    latch: CountLatch,
    /// Some of those who run jobs and are not the owner.
    thieves: [Thief; THIEVES],
    /// The first panic.
    panic: AtomicPtr<Payload>,
    /// `'scope` is what the jobs borrow, not shorter and not longer.
    _scope: PhantomData<fn(&'scope ()) -> &'scope ()>,
}

/// So many thieves are remembered.
const THIEVES: usize = if cfg!(loom) { 1 } else { 4 };

/// Runs `body`, and all jobs that it and they spawn, and returns when all are done.
///
/// [`spawn`](Scope::spawn) offers a job to the other threads of the pool. They may borrow
/// whatever was there before the scope. The calling thread runs `body` itself, and
/// then helps with the jobs until all are done. Jobs run in no particular order, and possibly all on one thread: none may wait for
/// another but by [`join`](crate::join) or a scope. Each costs an allocation and some
/// ten nanoseconds; for iterations use [`par`](crate::par).
///
/// A [`thread::scope`](crate::thread::scope) starts a thread for each `spawn` instead: that is for
/// what blocks, or has to run at the same time as something else, and costs some ten microseconds.
///
/// Called on a worker of a [`ThreadPool`](crate::ThreadPool), the jobs are that pool's.
/// Called elsewhere, the thread joins the [global](crate::global) pool until the scope
/// ends. If that has no more room for it, or the host has no threads, it runs all jobs itself.
///
/// # Blocking
///
/// When others do the last of the jobs, the thread helps with what those have forked or spawned,
/// and with nothing else of the pool, and sleeps when there is nothing of it. A thread that may
/// not sleep (a page's main thread) waits awake. So a lock may be held across a call of `scope`
/// that other jobs of the pool want, as long as its own do not, nor jobs that its body or its
/// jobs spawn on a scope around it: these may be run within it.
///
/// # Source
///
/// Cilk's `spawn` and `sync`, with jobs in a list for each thread and one count for each scope.
///
/// # Panics
///
/// When `body` panics, or else with the first panic of a job. All jobs are done before.
///
/// # Example
///
/// ```
/// let mut words = vec!["one", "two", "three"];
/// let (mut lengths, mut count) = (0, 0);
/// threadwork::scope(|scope| {
///     scope.spawn(|_| lengths = words.iter().map(|word| word.len()).sum());
///     scope.spawn(|_| count = words.len());
/// });
/// words.clear();
/// assert_eq!((lengths, count), (11, 3));
/// ```
pub fn scope<'scope, F, R>(body: F) -> R
where
    F: FnOnce(&Scope<'scope>) -> R,
{
    let stack = stack::current();
    let _member = stack.ensure_member();
    let (group, slot) = stack
        .membership()
        .map_or((ptr::null(), ptr::null()), |(group, slot)| {
            (ptr::from_ref(group), ptr::from_ref(slot))
        });
    let (begin, before) = (stack.now(), stack.begin_scope());
    let scope = Scope {
        group: AtomicPtr::new(group.cast_mut()),
        owner: AtomicPtr::new(ptr::from_ref(stack).cast_mut()),
        owner_slot: AtomicPtr::new(slot.cast_mut()),
        latch: CountLatch::new(1),
        thieves: std::array::from_fn(|_| Thief::nobody()),
        panic: AtomicPtr::new(ptr::null_mut()),
        _scope: PhantomData,
    };
    let result = panic::catch_unwind(AssertUnwindSafe(|| body(&scope)));
    // SAFETY: the body is one that is counted.
    unsafe { CountLatch::done(&scope.latch) };
    if !scope.latch.is_open() {
        idle::wait(stack, &scope.latch, &scope.thieves, begin);
    }
    stack.end_scope(before);
    match (result, scope.take_panic()) {
        (Ok(result), None) => result,
        (Err(payload), of_job) => {
            boundary::discard(of_job);
            panic::resume_unwind(payload)
        }
        (Ok(result), Some(payload)) => {
            boundary::discard(result);
            panic::resume_unwind(*payload)
        }
    }
}

impl<'scope> Scope<'scope> {
    /// Spawns a job, which is done before the scope ends. It may spawn others.
    ///
    /// It never blocks; but if the calling thread is not of the pool that the scope is in, or
    /// more than a thousand million jobs are not done, the job is run at once.
    ///
    /// # Example
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use threadwork::Scope;
    ///
    /// fn count<'a>(scope: &Scope<'a>, depth: u32, leaves: &'a AtomicU32) {
    ///     if depth == 0 {
    ///         leaves.fetch_add(1, Ordering::Relaxed);
    ///     } else {
    ///         scope.spawn(move |scope| count(scope, depth - 1, leaves));
    ///         scope.spawn(move |scope| count(scope, depth - 1, leaves));
    ///     }
    /// }
    ///
    /// let leaves = AtomicU32::new(0);
    /// threadwork::scope(|scope| count(scope, 8, &leaves));
    /// assert_eq!(leaves.into_inner(), 256);
    /// ```
    pub fn spawn<F>(&self, work: F)
    where
        F: FnOnce(&Scope<'scope>) + Send + 'scope,
    {
        self.spawn_job(work);
    }

    /// Spawns a job whose result is wanted before the scope ends: the handle waits for it.
    ///
    /// What [`spawn`](Self::spawn) says holds here, too, but for the result, which costs another
    /// allocation, and for a panic of the job: it goes to who joins, and ends the scope only if
    /// nobody does.
    ///
    /// The handle stays with the closure that has called this: nobody but the parent of a job
    /// waits for it. For results that others wait for, use tasks of a
    /// [`ThreadPool`](crate::ThreadPool) or a channel.
    ///
    /// # Example
    ///
    /// ```
    /// let texts = ["1", "2", "many", "4"];
    /// let sum: i32 = threadwork::scope(|scope| {
    ///     let numbers = texts.map(|text| scope.spawn_with_handle(|_| text.parse::<i32>()));
    ///     let numbers = numbers.into_iter().map(|number| number.join().unwrap());
    ///     numbers.filter_map(Result::ok).sum()
    /// });
    /// assert_eq!(sum, 7);
    /// ```
    ///
    /// ```compile_fail,E0521
    /// threadwork::scope(|scope| {
    ///     let first = scope.spawn_with_handle(|_| 1);
    ///     // Another job, which its own thief might have to wait for.
    ///     scope.spawn(move |_| drop(first.join()));
    /// });
    /// ```
    pub fn spawn_with_handle<F, T>(&self, work: F) -> JobHandle<'_, 'scope, T>
    where
        F: FnOnce(&Scope<'scope>) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        job_handle::spawn(self, work)
    }

    /// Spawns a job. Returns it, to be compared with others; null if it was run at once.
    #[inline]
    pub(super) fn spawn_job<F>(&self, work: F) -> *const Job
    where
        F: FnOnce(&Scope<'scope>) + Send + 'scope,
    {
        if !self.latch.add() {
            self.run(work);
            return ptr::null();
        }
        let scope = ptr::from_ref(self);
        // Another thread may get this: the work is `Send`, and the scope is `Sync`.
        let job = spawned::allocate(move || {
            // SAFETY: the scope waits for this job.
            unsafe { &*scope }.run_job(work);
            // SAFETY: as above.
            let latch = unsafe { &raw const (*scope).latch };
            // SAFETY: counted when it was spawned.
            unsafe { CountLatch::done(latch) };
        });
        let stack = stack::current();
        if self.is_listed_by(stack) {
            // SAFETY: nobody else knows it.
            unsafe { stack.spawn(job) };
            job
        } else {
            // SAFETY: nobody else knows it.
            unsafe { Job::run(job) };
            ptr::null()
        }
    }

    /// Whether the thread spawns into a list: a member of that group, or, if there was no slot, the
    /// owner, who finds the jobs there in the end. (To run them at once would take as much
    /// stack as there are jobs that spawn the next.)
    fn is_listed_by(&self, stack: &Stack) -> bool {
        // Ordering: Relaxed; it never changes.
        let owner = self.owner.load(Ordering::Relaxed).cast_const();
        match stack.membership() {
            Some(_) => self.is_shared_with(stack),
            None => ptr::eq(stack, owner),
        }
    }

    /// Whether the thread is a member of the group whose members spawn into lists.
    pub(super) fn is_shared_with(&self, stack: &Stack) -> bool {
        // Ordering: Relaxed; it never changes.
        let group = self.group.load(Ordering::Relaxed).cast_const();
        stack
            .membership()
            .is_some_and(|(own, _)| ptr::eq(own, group))
    }

    fn run_job(&self, work: impl FnOnce(&Scope<'scope>)) {
        let stack = stack::current();
        // Ordering: Relaxed; it never changes.
        if stack.is_in(self.owner_slot.load(Ordering::Relaxed)) || !self.is_shared_with(stack) {
            self.run(work);
            return;
        }
        let place = stack.place();
        let thief = &self.thieves[place.slot().unwrap_or(0) as usize % THIEVES];
        thief.set(place);
        self.run(work);
        thief.is_no_more(place);
    }

    fn run(&self, work: impl FnOnce(&Scope<'scope>)) {
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.keep_panic(payload);
        }
    }

    #[cold]
    pub(super) fn keep_panic(&self, payload: Payload) {
        let payload = Box::into_raw(Box::new(payload));
        // Ordering: Relaxed; the latch publishes it.
        let kept = self.panic.compare_exchange(
            ptr::null_mut(),
            payload,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if kept.is_err() {
            // SAFETY: made above, and not given away.
            boundary::discard(unsafe { Box::from_raw(payload) });
        }
    }

    /// When all are done.
    fn take_panic(&self) -> Option<Box<Payload>> {
        // Ordering: Relaxed; the latch was seen open.
        let payload = self.panic.swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: made by `keep_panic`, and taken once.
        (!payload.is_null()).then(|| unsafe { Box::from_raw(payload) })
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}
