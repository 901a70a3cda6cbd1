//! Tasks that borrow from whoever waits for them.
//!
//! The closure of a task may borrow nothing, since its handle may be leaked. [`install`] has no
//! handle: it returns only when the closure is gone.
//!
//! Invariant: `_gone` opens after the closure, with all that it holds, was run or dropped, and by
//! whatever drops the task's own closure; so what is borrowed outlives its use.

use std::mem;
use std::sync::Arc;

use threadwork_sync::Latch;

use super::thread_pool::ThreadPool;
use super::worker::blocking;
use crate::error::TaskError;

/// A closure, and who is told when it is gone. The fields are dropped in this order.
struct Installed<'a> {
    work: Option<Box<dyn FnOnce() + Send + 'a>>,
    _gone: Opens,
}

struct Opens(Arc<Latch>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl Installed<'_> {
    fn run(mut self) {
        if let Some(work) = self.work.take() {
            work();
        }
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
    let gone = Arc::new(Latch::new());
    let place = &mut result;
    let installed = Installed {
        work: Some(Box::new(move || *place = Some(f()))),
        _gone: Opens(gone.clone()),
    };
    // SAFETY: only the lifetime changes, of a closure that is gone before this returns: `waits`
    // sees to that.
    let installed: Installed<'static> = unsafe { mem::transmute(installed) };
    let waits = Waits(gone);
    let outcome = pool.execute(move || installed.run()).wait();
    drop(waits);
    outcome?;
    match result {
        Some(result) => Ok(result),
        None => unreachable!("a task that ended well has run its closure"),
    }
}
