//! What one has of a task that was executed.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use threadwork_sync::{Priority, Wait};

use super::name::TaskId;
use super::task::{Finish, Outcome};
use super::worker::wait_for;
use crate::error::TaskError;

/// A task of a [`ThreadPool`](crate::ThreadPool): to wait for its result, or to cancel it.
///
/// Dropping it changes nothing for the task: it is run all the same, and its result
/// dropped by the worker (*detached*), or with the handle if it was there before. But a pool that
/// is dropped cancels what is queued: see [its end](crate::ThreadPool#the-end).
///
/// It is also a future, by [`IntoFuture`], for threads that may not block.
///
/// # Waiting within a task
///
/// A task may wait for another one of its own pool without starving it:
///
/// - if the other is still queued, the worker that waits runs it, at once, on its own
///   stack. So a chain of waits needs no more workers than one;
/// - if it runs already, another thread works in place of the one that waits, as with
///   [`blocking`](crate::blocking);
/// - a chain in which a worker would begin more than 64 tasks within each other goes on in
///   another thread, as long as there may be more.
///
/// A wait for a task of *another* pool does the second. But once that pool has no thread for it,
/// since all that it may have ([`max_threads`](crate::PoolBuilder::max_threads)) are blocked, the
/// thread that waits runs the task, in place of the other pool's: under its own name and
/// [number](crate::current_worker_index), on its own stack. So tasks of several pools may wait for
/// each other as deep as the stack allows.
///
/// A wait with a timeout does only the second: it could not end in time if it ran the
/// task. To await the handle, and block in an executor until that is done, is not a wait that
/// the pool knows of: do so within [`blocking`](crate::blocking). A task that waits for one that waits for it, waits for ever; if it finds that
/// one on its own stack, it gets [`TaskError::WaitsForItself`].
///
/// ```
/// use threadwork::ThreadPool;
///
/// let pool = ThreadPool::new(2)?;
/// let task = pool.execute(|| (1..=4).product::<u32>());
/// assert_eq!(task.wait().unwrap(), 24);
/// # Ok::<(), threadwork::Error>(())
/// ```
#[must_use = "dropping the handle detaches the task: say so with `drop` if that is meant, and \
              see that the pool lives until the task has run"]
pub struct TaskHandle<T> {
    outcome: Outcome<T>,
}

impl<T> TaskHandle<T> {
    pub(super) fn new(outcome: Outcome<T>) -> Self {
        TaskHandle { outcome }
    }

    /// The number of the task.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.outcome.task().label().id
    }

    /// The name of the task, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.outcome.task().label().name.as_deref()
    }

    /// The class that the task is queued at now: its own, or one that it inherited from
    /// whoever waits for it, or for a lock of the task that spawned it. Never blocks.
    ///
    /// ```
    /// use threadwork::{Priority, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let task = pool.task().priority(Priority::Low).execute(|| 1);
    /// assert_eq!(task.priority(), Priority::Low);
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.outcome.task().class()
    }

    /// Waits for the result. Blocks, but see above on waits within a task; a thread that
    /// may not block polls.
    ///
    /// # Errors
    ///
    /// That the task panicked, was cancelled, or came after the end of its pool.
    pub fn wait(mut self) -> Result<T, TaskError> {
        wait_for(self.outcome.task(), None)?;
        self.taken()
    }

    /// Waits for the result, up to `timeout`. `None` if the task is not over then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork::{TaskError, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let mut task = pool.execute(|| std::thread::sleep(Duration::from_millis(20)));
    /// while task.wait_timeout(Duration::from_millis(1)).is_none() {
    ///     // Not yet.
    /// }
    /// assert!(matches!(task.try_wait(), Some(Err(TaskError::Taken))));
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, TaskError>> {
        match wait_for(self.outcome.task(), Some(timeout)) {
            Ok(true) => Some(self.taken()),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Waits for the result until `deadline`. `None` if the task is not over then.
    pub fn wait_deadline(&mut self, deadline: Instant) -> Option<Result<T, TaskError>> {
        self.wait_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    /// The result, if the task is over. Never blocks.
    pub fn try_wait(&mut self) -> Option<Result<T, TaskError>> {
        self.outcome.take()
    }

    /// Whether the task is over: it has run, or never will.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outcome.task().is_done()
    }

    /// Cancels the task if it has not begun. (To end one that runs, see
    /// [`CancelToken`](crate::CancelToken).) Returns whether it was in time: then the task
    /// never runs, and its result is [`TaskError::Cancelled`]. Never blocks.
    ///
    /// What the closure holds is dropped here and now.
    ///
    /// # Panics
    ///
    /// If that panics as it is dropped. The task is cancelled all the same.
    ///
    /// ```
    /// use threadwork::{TaskError, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let task = pool.execute(|| 1);
    /// if task.cancel() {
    ///     assert!(matches!(task.wait(), Err(TaskError::Cancelled)));
    /// } else {
    ///     assert_eq!(task.wait().unwrap(), 1);
    /// }
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    #[must_use = "the task may have begun"]
    pub fn cancel(&self) -> bool {
        self.outcome.task().cancel()
    }

    fn taken(&mut self) -> Result<T, TaskError> {
        self.outcome
            .take()
            .unwrap_or_else(|| unreachable!("a task that was waited for is over"))
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

impl<T> IntoFuture for TaskHandle<T> {
    type Output = Result<T, TaskError>;
    type IntoFuture = TaskFuture<T>;

    fn into_future(self) -> TaskFuture<T> {
        TaskFuture::new(self.outcome)
    }
}

/// The wait for a [`TaskHandle`] as a future, on any executor. It allocates nothing. To
/// drop it detaches the task.
///
/// ```
/// # use std::future::Future;
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop {
/// #         if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
/// #             return output;
/// #         }
/// #         std::thread::yield_now();
/// #     }
/// # }
/// use threadwork::ThreadPool;
///
/// let pool = ThreadPool::new(1)?;
/// let sum = block_on(async {
///     let (one, two) = (pool.execute(|| 1), pool.execute(|| 2));
///     one.await.unwrap() + two.await.unwrap()
/// });
/// assert_eq!(sum, 3);
/// # Ok::<(), threadwork::Error>(())
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct TaskFuture<T> {
    /// First, so that it is dropped before the task that it points to.
    wait: Wait<'static, Finish<'static>>,
    outcome: Outcome<T>,
}

impl<T> TaskFuture<T> {
    fn new(outcome: Outcome<T>) -> Self {
        TaskFuture {
            // SAFETY: the outcome keeps the task for as long as `wait` is there.
            wait: Wait::new(unsafe { Finish::unbound(outcome.task()) }),
            outcome,
        }
    }
}

impl<T> Future for TaskFuture<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// When it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `wait` is not moved out of; the outcome is never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: it is pinned because the whole is.
        let wait = unsafe { Pin::new_unchecked(&mut this.wait) };
        wait.poll(context).map(|()| {
            this.outcome
                .take()
                .unwrap_or_else(|| unreachable!("a task that was waited for is over"))
        })
    }
}

impl<T> fmt::Debug for TaskFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFuture")
            .field("task", &self.outcome.task().label().id)
            .finish_non_exhaustive()
    }
}
