//! Tasks that borrow from whoever waits for them.
//!
//! The closure of a task may borrow nothing, since its handle may be leaked. [`install`] has no
//! handle: it returns only when the closure is gone.
//!
//! Invariant: `_gone` opens after the closure, with all that it holds, was run, or given back to
//! who waits; so what is borrowed outlives its use.

use std::mem;
use std::sync::Arc;

use threadwork_sync::{Latch, Mutex};

use super::thread_pool::ThreadPool;
use super::worker::blocking;
use crate::boundary;
use crate::error::TaskError;

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
    let outcome = pool.execute(move || installed.run()).wait();
    drop(waits);
    boundary::discard(back.into_inner());
    outcome?;
    match result {
        Some(result) => Ok(result),
        None => unreachable!("a task that ended well has run its closure"),
    }
}
