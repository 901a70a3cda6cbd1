//! Jobs of a scope that have a result, and somebody who waits for it.
//!
//! Such a job is a spawned one like the others, but for what it does when it is run: it takes
//! its work out of what it shares with the handle, unless the handle was quicker. So who waits
//! for a job that nobody has begun does it itself. It takes it from its list, from between others
//! if need be: what is done there does not fill the memory until the scope ends. Only from the
//! steal queue, which is short, no job is taken that lies below others: it is left there empty.
//!
//! *Nobody waits for itself.* A handle cannot leave the closure that has spawned the job, nor
//! that closure's thread. So who waits is always the parent of what it waits for; and what it
//! runs meanwhile descends from that (see [`descent`](super::descent)) and waits only for what
//! descends in turn. If handles could be passed on, a job could wait for one that lies
//! below it on its own stack.
//!
//! Invariant: the work is taken once; the latch opens when the outcome is there.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use threadwork_sync::Mutex;

use super::descent::Thief;
use super::idle;
use super::job::Job;
use super::latch::CountLatch;
use super::scope::Scope;
use super::spawned::Mark;
use super::stack;
use crate::boundary;

/// A job of a [`Scope`], and its result: what [`spawn_with_handle`](Scope::spawn_with_handle)
/// returns.
///
/// Dropping the handle changes nothing for the job, which is done before the scope ends; its
/// result is dropped then.
pub struct JobHandle<'a, 'scope, T> {
    scope: &'a Scope<'scope>,
    shared: Arc<dyn Promise<'scope, T> + 'a>,
    /// In the list of this thread, or null if it was run at once. Only compared while the job is
    /// not done, and so not freed.
    job: *const Job,
    /// When it was spawned; it was the next.
    since: Mark,
    /// See the head of this file.
    _parent_only: PhantomData<*const ()>,
}

/// What a job and its handle share.
struct Shared<F, T> {
    work: Mutex<Option<F>>,
    outcome: Mutex<Outcome<T>>,
    latch: CountLatch,
    /// Who runs it, if that is not who waits.
    thief: [Thief; 1],
}

enum Outcome<T> {
    Pending,
    There(thread::Result<T>),
    /// Nobody will ask for it.
    Unwanted,
}

/// [`Shared`], whatever the work is.
trait Promise<'scope, T>: Send + Sync {
    /// Does the work, unless somebody has begun it.
    fn run(&self, scope: &Scope<'scope>);

    fn latch(&self) -> &CountLatch;

    fn thieves(&self) -> &[Thief];

    /// The outcome, if it is there. Nobody will ask again.
    fn give_up(&self) -> Option<thread::Result<T>>;
}

impl<'scope, F, T> Promise<'scope, T> for Shared<F, T>
where
    F: FnOnce(&Scope<'scope>) -> T + Send,
    T: Send,
{
    fn run(&self, scope: &Scope<'scope>) {
        let Some(work) = self.work.lock().take() else {
            return;
        };
        let stack = stack::current();
        if scope.is_shared_with(stack) {
            self.thief[0].is_me();
        }
        let result = catch_unwind(AssertUnwindSafe(|| work(scope)));
        let mut outcome = self.outcome.lock();
        if matches!(*outcome, Outcome::Pending) {
            *outcome = Outcome::There(result);
            drop(outcome);
        } else {
            drop(outcome);
            scope.settle(result);
        }
        // SAFETY: it is there as long as `self`, and counts this run, which is the only one.
        unsafe { CountLatch::done(&self.latch) };
    }

    fn latch(&self) -> &CountLatch {
        &self.latch
    }

    fn thieves(&self) -> &[Thief] {
        &self.thief
    }

    fn give_up(&self) -> Option<thread::Result<T>> {
        match mem::replace(&mut *self.outcome.lock(), Outcome::Unwanted) {
            Outcome::There(result) => Some(result),
            Outcome::Pending | Outcome::Unwanted => None,
        }
    }
}

/// See [`Scope::spawn_with_handle`].
pub(super) fn spawn<'a, 'scope, F, T>(scope: &'a Scope<'scope>, work: F) -> JobHandle<'a, 'scope, T>
where
    F: FnOnce(&Scope<'scope>) -> T + Send + 'scope,
    T: Send + 'scope,
{
    let shared = Arc::new(Shared {
        work: Mutex::new(Some(work)),
        outcome: Mutex::new(Outcome::Pending),
        latch: CountLatch::new(1),
        thief: [Thief::nobody()],
    });
    let promise = shared.clone();
    let since = stack::current().now();
    let job = scope.spawn_job(move |scope: &Scope<'scope>| promise.run(scope));
    JobHandle {
        scope,
        shared,
        job,
        since,
        _parent_only: PhantomData,
    }
}

impl<T> JobHandle<'_, '_, T> {
    /// Waits until the job is done, and returns its result. Blocks.
    ///
    /// If nobody has begun the job, the calling thread does it. If another one does it, the
    /// calling thread helps with what the job has forked or spawned, and with nothing else, and
    /// sleeps when there is nothing of it: as [`join`](crate::join).
    ///
    /// What the job has spawned on the scope may still run afterwards.
    ///
    /// # Errors
    ///
    /// The payload of the job's panic, which nobody else sees then.
    ///
    /// # Example
    ///
    /// ```
    /// let text = "to be or not to be";
    /// threadwork::scope(|scope| {
    ///     let words = scope.spawn_with_handle(|_| text.split(' ').count());
    ///     let vowels = text.chars().filter(|c| "aeiou".contains(*c)).count();
    ///     assert_eq!((words.join().unwrap(), vowels), (6, 6));
    /// });
    /// ```
    pub fn join(self) -> thread::Result<T> {
        let stack = stack::current();
        if !self.is_finished() {
            if stack.take_that(self.job, self.since) {
                // SAFETY: taken; it is not done, so the address is still this job's.
                unsafe { Job::run(self.job) };
            } else {
                self.shared.run(self.scope);
            }
        }
        if !self.is_finished() {
            let shared = &self.shared;
            idle::wait(stack, shared.latch(), shared.thieves(), stack.now());
        }
        match self.shared.give_up() {
            Some(result) => result,
            None => unreachable!("a job that is done leaves its outcome for its one join"),
        }
    }

    /// Whether the job is done: then [`join`](Self::join) does not block. Never blocks itself.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.latch().is_open()
    }
}

impl<T> Drop for JobHandle<'_, '_, T> {
    fn drop(&mut self) {
        if let Some(result) = self.shared.give_up() {
            self.scope.settle(result);
        }
    }
}

impl<T> fmt::Debug for JobHandle<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl Scope<'_> {
    /// Does with the outcome of a job what is to be done where nobody asks for it.
    fn settle<T>(&self, result: thread::Result<T>) {
        match result {
            Ok(value) => boundary::discard(value),
            Err(payload) => self.keep_panic(payload),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Weak};

    use super::super::steal_queue::PLACES;
    use super::{JobHandle, Promise, stack};
    use crate::{Scope, ThreadPool, scope};

    /// Jobs that were joined are not kept until the scope ends, or a loop of them would fill the
    /// memory.
    #[test]
    fn what_was_joined_is_gone() {
        let pool = ThreadPool::new(1).unwrap();
        let task = pool.execute(|| {
            scope(|scope| {
                for i in 0..10 {
                    assert_eq!(scope.spawn_with_handle(move |_| i).join().unwrap(), i);
                    assert!(stack::current().offers_nothing());
                }
            });
        });
        task.wait().unwrap();
    }

    /// More than a steal queue holds.
    const MANY: usize = if cfg!(miri) { 12 } else { 100 };

    /// What jobs and their handles share, as long as the jobs are anywhere.
    type Kept<'a, 'scope> = Vec<Weak<dyn Promise<'scope, usize> + 'a>>;

    fn spawn<'a, 'scope>(
        scope: &'a Scope<'scope>,
        kept: &mut Kept<'a, 'scope>,
    ) -> JobHandle<'a, 'scope, usize> {
        let number = kept.len();
        let handle = scope.spawn_with_handle(move |_| number);
        kept.push(Arc::downgrade(&handle.shared));
        handle
    }

    /// Runs `body` in a scope. Of the jobs, all of which are joined, there
    /// may be left what has been put in the steal queue.
    fn few_are_left(body: for<'a, 'scope> fn(&'a Scope<'scope>, &mut Kept<'a, 'scope>)) {
        scope(|scope| {
            let mut kept = Vec::new();
            body(scope, &mut kept);
            let left = kept.iter().filter(|job| job.strong_count() > 0).count();
            assert!(left <= PLACES, "{left} are left");
        });
    }

    /// In whatever order they are joined.
    #[test]
    fn nothing_is_left_of_what_was_joined_out_of_order() {
        let pool = ThreadPool::new(1).unwrap();
        let task = pool.execute(|| {
            // In the order in which they were spawned, by twos.
            few_are_left(|scope, kept| {
                for _ in 0..MANY {
                    let (a, b) = (spawn(scope, kept), spawn(scope, kept));
                    assert_eq!(a.join().unwrap() + 1, b.join().unwrap());
                }
            });
            // Always the oldest of eight.
            few_are_left(|scope, kept| {
                let mut open = VecDeque::new();
                for _ in 0..MANY {
                    open.push_back(spawn(scope, kept));
                    if open.len() == 8 {
                        open.pop_front().unwrap().join().unwrap();
                    }
                }
                for handle in open {
                    handle.join().unwrap();
                }
            });
            // From the middle outwards, one side after the other.
            few_are_left(|scope, kept| {
                let mut open: Vec<_> = (0..MANY).map(|_| spawn(scope, kept)).collect();
                while !open.is_empty() {
                    open.remove(open.len() / 2).join().unwrap();
                }
            });
        });
        task.wait().unwrap();
    }
}
