//! Jobs that are spawned: on the heap, each freed by whoever runs it.
//!
//! Invariant of the list: what is in it is known to nobody else. A job is taken out before
//! it is run or put in the steal queue, since it is gone then at any moment.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ptr;

use super::job::Job;

/// A job on the heap.
#[repr(C)]
struct HeapJob<F> {
    job: Job,
    work: F,
}

/// Allocates a job, which must be run once, or is leaked. `work` must not unwind, and what
/// it borrows must be there when it is run.
pub(super) fn allocate<F: FnOnce()>(work: F) -> *const Job {
    let job = Box::new(HeapJob {
        job: Job {
            run: run_and_free::<F>,
        },
        work,
    });
    Box::into_raw(job).cast_const().cast()
}

/// # Safety
///
/// `job` is the head of a `HeapJob<F>` that the caller has taken.
unsafe fn run_and_free<F: FnOnce()>(job: *const Job) {
    // SAFETY: it was made by `Box::into_raw`, and is taken once.
    let job = unsafe { Box::from_raw(job.cast_mut().cast::<HeapJob<F>>()) };
    (job.work)();
}

/// Jobs that a thread has spawned, and that are not in its steal queue.
pub(super) struct List {
    /// The oldest first.
    jobs: RefCell<VecDeque<*const Job>>,
    /// How many were pushed, less those that were popped from the new end.
    pushed: Cell<usize>,
}

/// A moment in the life of a list.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

impl Mark {
    pub(super) const BEGINNING: Self = Mark(0);
}

impl List {
    pub(super) const fn new() -> Self {
        List {
            jobs: RefCell::new(VecDeque::new()),
            pushed: Cell::new(0),
        }
    }

    pub(super) fn swap(&self, other: &Self) {
        self.jobs.swap(&other.jobs);
        self.pushed.swap(&other.pushed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.borrow().is_empty()
    }

    pub(super) fn now(&self) -> Mark {
        Mark(self.pushed.get())
    }

    pub(super) fn push(&self, job: *const Job) {
        self.jobs.borrow_mut().push_back(job);
        self.pushed.set(self.pushed.get() + 1);
    }

    /// Gives back one that was taken by `pop_oldest`, as long as all that were taken before
    /// it are gone.
    pub(super) fn put_back(&self, job: *const Job) {
        self.jobs.borrow_mut().push_front(job);
    }

    /// Whether one was pushed since then and has not been popped from the new end: it may be
    /// elsewhere.
    pub(super) fn has_grown(&self, since: Mark) -> bool {
        self.pushed.get() > since.0
    }

    pub(super) fn is_newest(&self, job: *const Job) -> bool {
        let jobs = self.jobs.borrow();
        jobs.back().is_some_and(|newest| ptr::eq(*newest, job))
    }

    /// Takes the newest one, if it was pushed since then.
    pub(super) fn pop_newest(&self, since: Mark) -> Option<*const Job> {
        if !self.has_grown(since) {
            return None;
        }
        let job = self.jobs.borrow_mut().pop_back()?;
        self.pushed.set(self.pushed.get() - 1);
        Some(job)
    }

    pub(super) fn pop_oldest(&self) -> Option<*const Job> {
        self.jobs.borrow_mut().pop_front()
    }
}
