//! [`TaskHandle`].

use super::pool::Pool;
use super::task::{TaskError, TaskId, TaskState, types};
use super::values::Results;
use crate::process::State;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use wasmtime::Val;

/// The task is waiting, running or done; this is what one knows it by. Dropping it lets
/// the task go on.
#[derive(Clone)]
pub struct TaskHandle {
    pub(super) task: Arc<TaskState>,
    /// Weak, so that a handle that nobody looks at does not keep a memory. Gone only
    /// when the task is done.
    pub(super) pool: Weak<Pool>,
    pub(super) process: Weak<State>,
}

impl TaskHandle {
    /// The number of the task.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.task.id
    }

    /// Whether it has its results, or never will.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.task.result.get().is_some()
    }

    /// Blocks until the task is done, and returns its results. May be called again, and
    /// from several threads. Not to be called by a host function of the same runtime,
    /// which would keep a worker from its work.
    ///
    /// # Errors
    ///
    /// [`TaskError`].
    pub fn wait(&self) -> Result<Vec<Val>, TaskError> {
        if !self.is_done() {
            self.wait_for_ever();
        }
        self.result()
    }

    /// As [`wait`](Self::wait), with results as Rust's own numbers: `()`, one number,
    /// or a tuple of up to four. The same bits serve for a number with and without a
    /// sign.
    ///
    /// # Errors
    ///
    /// [`TaskError`]; [`TaskError::Results`] if the function returns something else.
    pub fn wait_as<R: Results>(&self) -> Result<R, TaskError> {
        let results = self.wait()?;
        R::from_values(&results).ok_or_else(|| {
            let found = self.task.entry.ty.results().map(|ty| ty.to_string());
            TaskError::Results {
                found: types(&found.collect::<Vec<_>>()),
                expected: std::any::type_name::<R>(),
            }
        })
    }

    /// Like [`wait`](Self::wait), for at most `time`; `None` if it is not done then.
    #[must_use]
    pub fn wait_timeout(&self, time: Duration) -> Option<Result<Vec<Val>, TaskError>> {
        self.task.done.wait_timeout(time).then(|| self.result())
    }

    /// As [`wait`](Self::wait), for a host that has no thread to spare for each task. If the
    /// future is dropped, the task goes on.
    ///
    /// # Errors
    ///
    /// [`TaskError`].
    pub async fn wait_async(&self) -> Result<Vec<Val>, TaskError> {
        self.task.done.wait_async().await;
        self.result()
    }

    /// The results, if the task is done. Does not block.
    #[must_use]
    pub fn try_wait(&self) -> Option<Result<Vec<Val>, TaskError>> {
        self.is_done().then(|| self.result())
    }

    /// Ends the task: one that is queued is never run, one that waits or sleeps is
    /// woken, one that computes is stopped as [`Stopping`](crate::Stopping) says. False if it is done
    /// already. Returns at once; the task may still come to its end by itself, and what
    /// it was in the middle of stays as it is: locks that it holds are never unlocked.
    ///
    /// A task that is inside of a host function of the embedder's, or reads or writes a
    /// standard stream, stops when that returns.
    pub fn cancel(&self) -> bool {
        let (pool, process) = (self.pool.upgrade(), self.process.upgrade());
        let of = pool.zip(process);
        of.is_some_and(|(pool, process)| pool.cancel(&process, &self.task))
    }

    fn wait_for_ever(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.host_waits_for(&self.task);
        }
        self.task.done.wait();
    }

    fn result(&self) -> Result<Vec<Val>, TaskError> {
        // The latch opens when it is set.
        self.task
            .result
            .get()
            .cloned()
            .unwrap_or(Err(TaskError::Cancelled))
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.task.id.0)
            .field("entry", &self.task.entry.name)
            .field("done", &self.is_done())
            .finish()
    }
}
