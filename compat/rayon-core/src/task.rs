//! Closures that lie in queues, and panics of theirs.

use std::any::Any;
use std::collections::VecDeque;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{process, ptr};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Something to be done once, which does not unwind.
pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// A task of a closure that borrows.
///
/// # Safety
///
/// What it borrows is there until it was run or dropped.
pub(crate) unsafe fn borrowing<'a>(work: impl FnOnce() + Send + 'a) -> Task {
    let task: Box<dyn FnOnce() + Send + 'a> = Box::new(work);
    // SAFETY: only the lifetime changes, for which the caller answers.
    unsafe { mem::transmute::<Box<dyn FnOnce() + Send + 'a>, Task>(task) }
}

pub(crate) fn catch<R>(work: impl FnOnce() -> R) -> Result<R, Payload> {
    panic::catch_unwind(AssertUnwindSafe(work))
}

/// Ends the program if it is dropped: in a place that a panic must not leave.
pub(crate) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        eprintln!("rayon-core (threadwork): a panic that nobody handles; the program ends");
        process::abort();
    }
}

/// The first panic of several closures.
pub(crate) struct FirstPanic(AtomicPtr<Payload>);

impl FirstPanic {
    pub(crate) fn none() -> Self {
        FirstPanic(AtomicPtr::new(ptr::null_mut()))
    }

    #[cold]
    pub(crate) fn keep(&self, payload: Payload) {
        let payload = Box::into_raw(Box::new(payload));
        // Ordering: Relaxed; the latch of the scope publishes it.
        let kept = self.0.compare_exchange(
            ptr::null_mut(),
            payload,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if kept.is_err() {
            let abort = AbortOnUnwind;
            // SAFETY: made above, and not given away.
            drop(unsafe { Box::from_raw(payload) });
            mem::forget(abort);
        }
    }

    /// When all who could keep one are done.
    pub(crate) fn resume(&self) {
        // Ordering: Relaxed; the latch of the scope was seen open.
        let payload = self.0.swap(ptr::null_mut(), Ordering::Relaxed);
        if !payload.is_null() {
            // SAFETY: made by `keep`, and taken once.
            let payload = unsafe { Box::from_raw(payload) };
            panic::resume_unwind(*payload);
        }
    }
}

/// Tasks, the oldest first.
pub(crate) struct Fifo {
    tasks: Mutex<VecDeque<Task>>,
    len: AtomicUsize,
}

impl Fifo {
    pub(crate) fn new() -> Self {
        Fifo {
            tasks: Mutex::new(VecDeque::new()),
            len: AtomicUsize::new(0),
        }
    }

    pub(crate) fn push(&self, task: Task) {
        let mut tasks = self.lock();
        tasks.push_back(task);
        // Ordering: Release; pairs with the acquire in `is_empty`. That a thread which falls
        // asleep sees it, or is seen by the wake-up that follows, is the scheduler's doing.
        self.len.store(tasks.len(), Ordering::Release);
    }

    pub(crate) fn pop(&self) -> Option<Task> {
        if self.is_empty() {
            return None;
        }
        let mut tasks = self.lock();
        let task = tasks.pop_front();
        // Ordering: Release, as above.
        self.len.store(tasks.len(), Ordering::Release);
        task
    }

    pub(crate) fn is_empty(&self) -> bool {
        // Ordering: Acquire; see `push`.
        self.len.load(Ordering::Acquire) == 0
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Task>> {
        // Nobody panics under this lock but for want of memory.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
