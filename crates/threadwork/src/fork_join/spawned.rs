//! Jobs that are spawned: on the heap, each freed by whoever runs it.
//!
//! Each has a number, one more than that of the job before. A mark is the number that the next
//! job will have, and no number is given twice: what is spawned after a mark is told from what was
//! before, whatever was taken meanwhile, and from where.
//!
//! Invariants of the list: what is in it is known to nobody else. A job is taken out before
//! it is run or put in the steal queue, since it is gone then at any moment. The numbers grow from
//! the oldest to the newest, and those in the steal queue are lower than all in the list. Neither
//! the oldest nor the newest entry is empty, nor are most.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ptr;

use super::job::Job;

/// The head of a job on the heap.
#[repr(C)]
struct Head {
    job: Job,
    /// For who has taken the job. Where it lies in between, nobody looks.
    number: Cell<u64>,
}

/// A job on the heap.
#[repr(C)]
struct HeapJob<F> {
    head: Head,
    work: F,
}

/// Allocates a job, which must be run once, or is leaked. `work` must not unwind, and what
/// it borrows must be there when it is run.
pub(super) fn allocate<F: FnOnce()>(work: F) -> *const Job {
    let job = Box::new(HeapJob {
        head: Head {
            job: Job {
                run: run_and_free::<F>,
            },
            number: Cell::new(0),
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

/// # Safety
///
/// `job` was made by [`allocate`], and is the caller's for as long as the result is used.
unsafe fn number_of<'a>(job: *const Job) -> &'a Cell<u64> {
    // SAFETY: alive, and a `Head`.
    let head = unsafe { &*job.cast::<Head>() };
    &head.number
}

/// Jobs that a thread has spawned, and that are not in its steal queue.
pub(super) struct List {
    /// The oldest first.
    jobs: RefCell<VecDeque<Entry>>,
    /// How many of them are empty.
    empty: Cell<usize>,
    /// The next number. It has 64 bits everywhere, and so never wraps around.
    next: Cell<u64>,
    /// All numbers in the steal queue are lower.
    above_shelved: Cell<u64>,
}

/// A job, or null where it was taken out from between others.
struct Entry {
    number: u64,
    job: *const Job,
}

/// A moment in the life of a list.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(super) const BEGINNING: Self = Mark(0);
}

impl List {
    pub(super) const fn new() -> Self {
        List {
            jobs: RefCell::new(VecDeque::new()),
            empty: Cell::new(0),
            next: Cell::new(0),
            above_shelved: Cell::new(0),
        }
    }

    pub(super) fn swap(&self, other: &Self) {
        self.jobs.swap(&other.jobs);
        self.empty.swap(&other.empty);
        self.next.swap(&other.next);
        self.above_shelved.swap(&other.above_shelved);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.borrow().is_empty()
    }

    pub(super) fn now(&self) -> Mark {
        Mark(self.next.get())
    }

    /// # Safety
    ///
    /// The job was made by [`allocate`], and is in no list or steal queue.
    pub(super) unsafe fn push(&self, job: *const Job) {
        let number = self.next.get();
        self.next.set(number + 1);
        // SAFETY: the caller's promise; nobody else knows the job.
        unsafe { number_of(job) }.set(number);
        self.jobs.borrow_mut().push_back(Entry { number, job });
    }

    /// Gives back the newest of those that were taken by `pop_oldest`.
    ///
    /// # Safety
    ///
    /// It is one of those, and the caller has taken it back.
    pub(super) unsafe fn put_back(&self, job: *const Job) {
        // SAFETY: the caller's promise.
        let number = unsafe { number_of(job) }.get();
        self.above_shelved.set(number);
        self.jobs.borrow_mut().push_front(Entry { number, job });
    }

    /// Whether the steal queue may have one that was pushed since then.
    pub(super) fn may_have_shelved(&self, since: Mark) -> bool {
        self.above_shelved.get() > since.0
    }

    /// Takes the newest one, if it was pushed since then.
    pub(super) fn pop_newest(&self, since: Mark) -> Option<*const Job> {
        let mut jobs = self.jobs.borrow_mut();
        let newest = jobs.pop_back_if(|newest| newest.number >= since.0)?;
        self.trim(&mut jobs);
        Some(newest.job)
    }

    pub(super) fn pop_oldest(&self) -> Option<*const Job> {
        let mut jobs = self.jobs.borrow_mut();
        let oldest = jobs.pop_front()?;
        self.above_shelved.set(oldest.number + 1);
        self.trim(&mut jobs);
        Some(oldest.job)
    }

    /// Takes that job, the first one pushed since then, wherever in the list it is.
    pub(super) fn take(&self, job: *const Job, since: Mark) -> bool {
        let mut jobs = self.jobs.borrow_mut();
        let Ok(at) = jobs.binary_search_by_key(&since.0, |entry| entry.number) else {
            return false;
        };
        // In the list of another group, another job has the number.
        if !ptr::eq(jobs[at].job, job) {
            return false;
        }
        jobs[at].job = ptr::null();
        self.empty.set(self.empty.get() + 1);
        self.trim(&mut jobs);
        true
    }

    /// Removes empty entries from both ends, and all as soon as they are most.
    fn trim(&self, jobs: &mut VecDeque<Entry>) {
        let mut empty = self.empty.get();
        while empty > 0 && jobs.pop_front_if(|oldest| oldest.job.is_null()).is_some() {
            empty -= 1;
        }
        while empty > 0 && jobs.pop_back_if(|newest| newest.job.is_null()).is_some() {
            empty -= 1;
        }
        if empty > jobs.len() / 2 {
            jobs.retain(|entry| !entry.job.is_null());
            empty = 0;
        }
        self.empty.set(empty);
    }
}
