//! The scheduler without a pool around it, for schedulers of another interface: `rayon-core`'s,
//! in `compat/`. No part of the documented interface: it changes without notice.
//!
//! Who uses it brings the threads, which [`enter`](Group::enter) a [`Group`], and the work that
//! comes from outside, which a member is called for. Two things differ from a pool of this crate:
//! a member that waits does whatever there is to do, and so does what was queued elsewhere; and
//! nobody becomes a member who did not enter.

use std::sync::Arc;

use super::job::{Job, Work};
use super::spawned::{self, Mark};
use super::stack;
use super::{Half, fork, group, idle, latch};

/// Threads that do each other's jobs.
#[derive(Clone)]
pub struct Group(Arc<group::Group>);

/// That the calling thread is one of them.
pub struct Member(group::Member);

impl Group {
    /// A group for so many threads. Members that wait call `elsewhere`, which does one thing that
    /// is in no steal queue, or returns false: with true before they steal, with false after that
    /// was in vain.
    pub fn new(threads: usize, elsewhere: fn(bool) -> bool) -> Self {
        Group(group::Group::eager(threads, elsewhere))
    }

    /// The calling thread is the member of that index until the result is dropped. `None` if
    /// there is one, or the group has no such index.
    pub fn enter(&self, index: usize) -> Option<Member> {
        self.0.enter_at(index).map(Member)
    }

    /// Something was queued for anybody: wakes a member that sleeps in [`Member::idle`], unless
    /// one searches, who will see it. Returns whether it woke one.
    pub fn wake_one(&self) -> bool {
        self.0.wake_one()
    }

    /// Wakes all members that sleep in [`Member::idle`].
    pub fn wake_all(&self) {
        self.0.wake_all();
    }

    /// Wakes the member of that index if it sleeps in [`wait`]. Returns whether it did.
    pub fn rouse(&self, index: usize) -> bool {
        self.0.rouse(index)
    }
}

impl Member {
    /// Runs all that this thread has spawned and nobody has stolen.
    pub fn run_spawned(&self) {
        self.0.run_spawned(Mark::BEGINNING);
    }

    /// Runs a job of another member; false if there was none.
    pub fn help(&self) -> bool {
        self.0.help()
    }

    /// Waits until there is a job of another member, and runs it, or `queued` is true, which must
    /// be followed by a wake-up whenever it becomes so.
    pub fn idle(&self, queued: &dyn Fn() -> bool) {
        self.0.idle(queued);
    }

    /// Runs one job of this thread; false if there is none.
    pub fn run_local(&self) -> bool {
        stack::current().run_local()
    }

    /// Whether this thread has a job that nobody has begun.
    pub fn has_local(&self) -> bool {
        stack::current().has_local()
    }
}

struct WithContext<F>(F);

impl<R, F: FnOnce(bool) -> R> Work<R> for WithContext<F> {
    const IS_ALWAYS_RUN: bool = true;

    #[inline(always)]
    fn run(self, stolen: bool) -> R {
        (self.0)(stolen)
    }
}

/// [`join`](crate::join) whose halves are told whether another thread runs them: that may be so of
/// the second. That is run in any case, after a panic of the first, too. On a thread that is no
/// member, `outside` is called instead.
#[inline(always)]
pub fn join<A, B, RA, RB>(a: A, b: B, outside: impl FnOnce(A, B) -> (RA, RB)) -> (RA, RB)
where
    A: FnOnce(bool) -> RA,
    B: FnOnce(bool) -> RB + Send,
    RB: Send,
{
    fork(WithContext(a), WithContext(b), |(a, b)| outside(a.0, b.0))
}

/// Spawns a job on the calling thread, or runs it at once if that is no member.
///
/// # Safety
///
/// What `work` borrows must be there when it is run, on any thread. It does not unwind.
pub unsafe fn spawn(work: impl FnOnce() + Send) {
    let stack = stack::current();
    let job = spawned::allocate(work);
    if stack.membership().is_some() {
        // SAFETY: nobody else knows it.
        unsafe { stack.spawn(job) };
    } else {
        // SAFETY: nobody else knows it.
        unsafe { Job::run(job) };
    }
}

/// So many things are to be done.
pub struct CountLatch(latch::CountLatch);

impl CountLatch {
    /// With so many.
    pub fn new(count: u32) -> Self {
        CountLatch(latch::CountLatch::new(count))
    }

    /// One more, by one that is not done. False if there are too many to count.
    pub fn add(&self) -> bool {
        self.0.add()
    }

    /// One is done.
    ///
    /// # Safety
    ///
    /// `this` is valid, and the caller is one of those that are counted. It may be gone
    /// afterwards.
    pub unsafe fn done(this: *const Self) {
        // SAFETY: valid.
        let inner = unsafe { &raw const (*this).0 };
        // SAFETY: the caller's promise.
        unsafe { latch::CountLatch::done(inner) }
    }

    /// Whether all are done. If so, what they did is visible.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }
}

/// Waits until the latch opens. A member does meanwhile whatever there is to do.
pub fn wait(latch: &CountLatch) {
    let stack = stack::current();
    if stack.membership().is_some() {
        if !latch.is_open() {
            idle::wait(stack, &latch.0, &[], Mark::BEGINNING);
        }
        return;
    }
    let mut watches = true;
    while !latch.is_open() {
        if std::mem::take(&mut watches) {
            latch.0.watch();
        } else {
            latch.0.sleep(None);
        }
    }
}

/// Calls `body` as a scope of the calling thread: jobs that are spawned meanwhile are not put below
/// what the thread had before.
pub fn in_scope<R>(body: impl FnOnce() -> R) -> R {
    /// However `body` ends.
    struct Begun(*const Half);
    impl Drop for Begun {
        fn drop(&mut self) {
            stack::current().end_scope(self.0);
        }
    }
    let _begun = Begun(stack::current().begin_scope());
    body()
}
