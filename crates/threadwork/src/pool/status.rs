//! What the workers of a pool are doing.

use super::name::{TaskId, TaskName};

/// What a worker was doing when it was asked.
///
/// ```
/// use threadwork::{ThreadPool, WorkerStatus};
/// use threadwork::sync::Latch;
/// use std::sync::Arc;
///
/// let pool = ThreadPool::new(1)?;
/// let (started, go_on) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
/// let task = pool.task().name("count").execute({
///     let (started, go_on) = (started.clone(), go_on.clone());
///     move || {
///         started.open();
///         go_on.wait();
///     }
/// });
/// started.wait();
/// match &pool.workers()[0] {
///     WorkerStatus::Busy { name: Some(name), .. } => assert_eq!(&**name, "count"),
///     other => panic!("{other:?}"),
/// }
/// go_on.open();
/// pool.shutdown();
/// assert_eq!(pool.workers(), [WorkerStatus::Terminated]);
/// # Ok::<(), threadwork::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerStatus {
    /// It has no task.
    Idle,
    /// It runs a task, or waits within one.
    Busy {
        /// The task; if it runs another one within it, for which it waits, that one.
        task: TaskId,
        /// The name of the task, if it has one.
        name: Option<TaskName>,
    },
    /// Its thread has ended, or is about to.
    Terminated,
}
