//! [`RuntimeConfig`] and [`WorkerStatus`]: the sizes of a runtime, and what its workers do.

use super::task::TaskId;

/// The sizes of a [`ThreadRuntime`](crate::ThreadRuntime).
///
/// ```
/// use threadwork_engine::RuntimeConfig;
///
/// let config = RuntimeConfig { pool_size: 2, ..RuntimeConfig::default() };
/// assert_eq!(config.memory_size, 16 << 20);
/// assert_eq!(config.max_threads, 16);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Bytes of shared memory at the start: 16 MiB. A module that wants more gets what it
    /// wants, and one that may not grow by twice as much keeps half of that. What is
    /// beyond the size that it declares is the host's: for the workers' stacks and
    /// thread-local data, and for [objects](crate::SharedMemory::allocate).
    pub memory_size: u64,
    /// Workers: 4.
    pub pool_size: u32,
    /// Workers and threads that the guest starts, at one time: 16.
    pub max_threads: u32,
    /// Bytes of thread-local data for each worker, where the module exports a mutable
    /// `__tls_base` but does not say how much it needs: 1024, all zero at the start.
    pub tls_slot_size: u32,
    /// Bytes of stack for each worker, where the module exports `__stack_pointer`: 1 MiB.
    pub stack_size: u64,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            memory_size: 16 << 20,
            pool_size: 4,
            max_threads: 16,
            tls_slot_size: 1024,
            stack_size: 1 << 20,
        }
    }
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerStatus {
    /// It waits for a task, or makes its instance ready for one.
    Idle,
    /// It runs this task.
    Busy(TaskId),
    /// It has left: the runtime has ended, or the worker was one that had been started
    /// because all others waited.
    Terminated,
}
