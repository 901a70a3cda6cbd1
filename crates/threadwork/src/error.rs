//! What can go wrong, with the remedy in each message.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::io;

use threadwork_sync::Mutex;

use crate::pool::{TaskId, TaskName};

/// Why a pool could not be made. The message says what to do.
///
/// ```
/// use threadwork::{Error, ThreadPool};
///
/// let error = ThreadPool::new(0).unwrap_err();
/// assert!(matches!(error, Error::NoWorkers));
/// assert!(error.to_string().contains("pool_size"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `pool_size` is zero.
    #[error("a pool without workers never runs a task: set pool_size to 1 or more")]
    NoWorkers,
    /// `pool_size` is more than `max_threads`.
    #[error(
        "pool_size is {pool_size}, but max_threads is {max_threads}: \
         set max_threads to {pool_size} or more"
    )]
    MoreWorkersThanThreads {
        /// The workers asked for.
        pool_size: usize,
        /// The most threads allowed.
        max_threads: usize,
    },
    /// `max_threads` is more than a pool can count.
    #[error("max_threads is {max_threads}: set it to {most} or less")]
    TooManyThreads {
        /// The threads asked for.
        max_threads: usize,
        /// The most that a pool can have.
        most: usize,
    },
    /// The global pool was to be made, and is there.
    #[error(
        "the global pool is in use already: call build_global before the first task, join or \
         parallel loop"
    )]
    GlobalPoolExists,
    /// The system refused to start a worker.
    #[error(
        "the system could not start worker {started} of {wanted} ({source}): \
         use a smaller pool or stack, or raise the limit of threads"
    )]
    Spawn {
        /// The workers that it did start; they have ended again.
        started: usize,
        /// The workers asked for.
        wanted: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a task has no result.
///
/// ```
/// use threadwork::{TaskError, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// # #[cfg(panic = "unwind")] {
/// let error = pool.task().name("divide").execute(|| panic!("by zero")).wait().unwrap_err();
/// assert_eq!(error.to_string(), "task 1 `divide` panicked: by zero");
/// # }
/// pool.shutdown();
/// let error = pool.execute(|| ()).wait().unwrap_err();
/// assert!(matches!(error, TaskError::PoolGone));
/// # Ok::<(), threadwork::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked. Where a panic ends the program (`panic = "abort"`, as in
    /// WebAssembly), the program's last words name the task instead.
    #[error("{0}")]
    Panicked(Box<TaskPanic>),
    /// It was cancelled before it began, by its handle or by the end of its pool.
    #[error("the task was cancelled before it began")]
    Cancelled,
    /// Its pool had been shut down when it came, so it was dropped unrun.
    #[error("the pool had been shut down when the task came: execute tasks before shutdown")]
    PoolGone,
    /// It was waited for by a task that itself has to end before this one can: it runs
    /// further down on the stack of the thread that waits.
    #[error("the task waits for itself: let another task wait, or do not wait")]
    WaitsForItself,
    /// Its result was taken by a wait before.
    #[error("the result of the task was taken before: keep what the first wait returned")]
    Taken,
}

/// The panic of a task.
pub struct TaskPanic {
    task: TaskId,
    name: Option<TaskName>,
    message: Cow<'static, str>,
    /// Behind a lock only because it may be sent, but not shared.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl TaskPanic {
    pub(crate) fn new(task: TaskId, name: Option<TaskName>, payload: Box<dyn Any + Send>) -> Self {
        let message = match payload.downcast_ref::<&'static str>() {
            Some(text) => Cow::Borrowed(*text),
            None => match payload.downcast_ref::<String>() {
                Some(text) => Cow::Owned(text.clone()),
                None => Cow::Borrowed("(a payload that is not a text)"),
            },
        };
        TaskPanic {
            task,
            name,
            message,
            payload: Mutex::new(payload),
        }
    }

    /// The task.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Its name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it said.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What it panicked with, for [`std::panic::resume_unwind`].
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner()
    }
}

impl fmt::Display for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.task)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " panicked: {}", self.message)
    }
}

impl fmt::Debug for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPanic")
            .field("task", &self.task)
            .field("name", &self.name)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// Why a wait for all tasks of a pool ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The timeout passed first.
    #[error("the pool still had tasks when the timeout passed")]
    TimedOut,
    /// A task of the pool waited for all tasks of the pool, of which it is one.
    #[error("a task cannot wait for all tasks of its own pool: wait for their handles")]
    WithinTask,
}
