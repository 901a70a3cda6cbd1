//! Tasks that borrow from whoever waits for them.
//!
//! The closure of a task may borrow nothing, since its handle may be leaked. [`install`] has no
//! handle: it returns only when the closure is gone.
//!
//! Invariant: `_gone` opens after the closure, with all that it holds, was run, or given back to
//! who waits; so what is borrowed outlives its use.
//!
//! # Pools that install into each other
//!
//! A worker that waits here keeps a thread of its own pool blocked, on which what it has installed
//! may depend in turn; once all that a pool may have are, a task that is queued there runs only if
//! one of them goes on, and each may be waiting for that very task. So a worker of another pool
//! that finds a pool like that takes its closure back, and runs it itself. *No chain hangs:* the
//! last wait of a chain finds a pool that has a thread for it, or none and runs its closure. It
//! looks again now and then, since a thread may block after it has looked.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use threadwork_sync::{Latch, Mutex};

use super::handle::TaskHandle;
use super::thread_pool::ThreadPool;
use super::worker::{blocking, is_worker_of_another};
use crate::boundary;
use crate::error::{TaskError, TaskPanic};

/// How long a worker of another pool waits before it looks again whether there is a thread: as
/// often as a thread that waits for a job looks around.
const FIRST_NAP: Duration = Duration::from_micros(500);
const LONGEST_NAP: Duration = Duration::from_millis(10);

type Work<'a> = Box<dyn FnOnce() + Send + 'a>;

/// A closure, where it goes if nobody runs it, and who is told when it is gone.
struct Installed<'w, 'a> {
    work: Option<Work<'a>>,
    back: &'w Mutex<Option<Work<'a>>>,
    _gone: Opens,
}

struct Opens(Arc<Latch>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl Installed<'_, '_> {
    fn run(mut self) {
        if let Some(work) = self.work.take() {
            work();
        }
    }
}

impl Drop for Installed<'_, '_> {
    /// Before `_gone` opens.
    fn drop(&mut self) {
        *self.back.lock() = self.work.take();
    }
}

/// Waits until the closure is gone, also if the wait for the task ends by a panic.
struct Waits(Arc<Latch>);

impl Drop for Waits {
    fn drop(&mut self) {
        if !self.0.is_open() {
            blocking(|| self.0.wait());
        }
    }
}

/// See [`ThreadPool::install`].
pub(super) fn install<R, F>(pool: &ThreadPool, f: F) -> Result<R, TaskError>
where
    R: Send,
    F: FnOnce() -> R + Send,
{
    let mut result = None;
    let back = Mutex::new(None);
    let gone = Arc::new(Latch::new());
    let place = &mut result;
    let installed = Installed {
        work: Some(Box::new(move || *place = Some(f()))),
        back: &back,
        _gone: Opens(gone.clone()),
    };
    // SAFETY: only the lifetimes change, of a closure that is gone before this returns, and then
    // uses `back` no more: `waits` sees to that.
    let installed: Installed<'static, 'static> = unsafe { mem::transmute(installed) };
    let waits = Waits(gone);
    let task = pool.execute(move || installed.run());
    let id = task.id();
    let outcome = wait(pool, task);
    drop(waits);
    let work = back.into_inner();
    let outcome = match (outcome, work) {
        (Some(outcome), work) => {
            boundary::discard(work);
            outcome
        }
        (None, Some(work)) => catch_unwind(AssertUnwindSafe(work))
            .map_err(|payload| TaskError::Panicked(Box::new(TaskPanic::new(id, None, payload)))),
        (None, None) => unreachable!("what was taken back was not run"),
    };
    outcome?;
    match result {
        Some(result) => Ok(result),
        None => unreachable!("a task that ended well has run its closure"),
    }
}

/// Waits for the task; `None` if it was taken back, to be run by the calling thread.
fn wait(pool: &ThreadPool, mut task: TaskHandle<()>) -> Option<Result<(), TaskError>> {
    if !is_worker_of_another(pool.number()) {
        return Some(task.wait());
    }
    blocking(|| {
        let mut nap = FIRST_NAP;
        while !task.has_begun() {
            if pool.is_exhausted() && task.cancel() {
                return None;
            }
            if let Some(outcome) = task.wait_timeout(nap) {
                return Some(outcome);
            }
            nap = (nap * 2).min(LONGEST_NAP);
        }
        Some(task.wait())
    })
}
