//! How a runtime is to be.

use std::time::Duration;

use threadwork::PoolBuilder;

use crate::error::Error;
use crate::runtime::ThreadRuntime;
use crate::shared_memory::SharedMemory;

/// The numbers that make a [`ThreadRuntime`].
///
/// ```
/// use threadwork_runtime::{RuntimeConfig, ThreadRuntime};
///
/// let config = RuntimeConfig { pool_size: 2, ..RuntimeConfig::default() };
/// assert_eq!(config.memory_size, 16 << 20);
/// let runtime = ThreadRuntime::with_config(config)?;
/// assert_eq!(runtime.pool().pool_size(), 2);
/// # Ok::<(), threadwork_runtime::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// The bytes of the shared memory to begin with: a multiple of 65,536, up to 4 GiB.
    /// 16 MiB by default.
    pub memory_size: usize,
    /// How many tasks the pool runs at once. 4 by default.
    pub pool_size: usize,
    /// How many threads the pool may have at once, when some of its tasks block; and how
    /// many the thread manager may have, besides. 16 by default.
    pub max_threads: usize,
    /// The bytes of each thread's slots: a multiple of 8. 1,024 by default.
    pub tls_slot_size: usize,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        RuntimeConfig {
            memory_size: 16 << 20,
            pool_size: 4,
            max_threads: 16,
            tls_slot_size: 1024,
        }
    }
}

/// The bytes of a slot.
const SLOT: usize = 8;

impl RuntimeConfig {
    /// The pages of the memory, if all numbers make sense. Those of the pool are the pool's
    /// to check.
    pub(crate) fn check(&self) -> Result<u32, Error> {
        let memory_size = self.memory_size;
        let pages = u32::try_from(memory_size / SharedMemory::PAGE).unwrap_or(u32::MAX);
        if memory_size == 0 || !memory_size.is_multiple_of(SharedMemory::PAGE) {
            return Err(Error::MemorySize { memory_size });
        }
        if pages > SharedMemory::MAX_PAGES {
            return Err(Error::MemoryTooLarge { memory_size });
        }
        let tls_slot_size = self.tls_slot_size;
        if tls_slot_size == 0 || !tls_slot_size.is_multiple_of(SLOT) {
            return Err(Error::SlotSize { tls_slot_size });
        }
        Ok(pages)
    }
}

/// How a [`ThreadRuntime`] is to be: the numbers of [`RuntimeConfig`], and the rest.
///
/// ```
/// use threadwork_runtime::ThreadRuntime;
///
/// let runtime = ThreadRuntime::builder()
///     .name("render")
///     .pool_size(2)
///     .memory_size(1 << 20)
///     .max_memory_size(2 << 20)
///     .build()?;
/// runtime.memory().grow(16).unwrap();
/// assert!(runtime.memory().grow(1).is_err());
/// # Ok::<(), threadwork_runtime::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RuntimeBuilder {
    pub(crate) config: RuntimeConfig,
    /// None: as far as there can be memory.
    pub(crate) max_memory_size: Option<usize>,
    pub(crate) drop_timeout: Duration,
    pub(crate) pool: PoolBuilder,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        RuntimeBuilder {
            config: RuntimeConfig::default(),
            max_memory_size: None,
            drop_timeout: Duration::from_secs(5),
            pool: PoolBuilder::default(),
        }
    }
}

impl RuntimeBuilder {
    /// All four numbers.
    pub fn config(mut self, config: RuntimeConfig) -> Self {
        self.config = config;
        self
    }

    /// [`RuntimeConfig::memory_size`].
    pub fn memory_size(mut self, bytes: usize) -> Self {
        self.config.memory_size = bytes;
        self
    }

    /// [`RuntimeConfig::pool_size`].
    pub fn pool_size(mut self, workers: usize) -> Self {
        self.config.pool_size = workers;
        self
    }

    /// [`RuntimeConfig::max_threads`].
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.config.max_threads = threads;
        self
    }

    /// [`RuntimeConfig::tls_slot_size`].
    pub fn tls_slot_size(mut self, bytes: usize) -> Self {
        self.config.tls_slot_size = bytes;
        self
    }

    /// How far the shared memory may grow, in bytes, rounded down to whole pages. 4 GiB if
    /// nothing is said; that costs nothing before it is used.
    pub fn max_memory_size(mut self, bytes: usize) -> Self {
        self.max_memory_size = Some(bytes);
        self
    }

    /// What the pool's threads are called: see [`PoolBuilder::name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.pool = self.pool.name(name);
        self
    }

    /// The stack of each thread of the pool: see [`PoolBuilder::stack_size`].
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.pool = self.pool.stack_size(bytes);
        self
    }

    /// Is called by each thread of the pool before its first task: see
    /// [`PoolBuilder::on_start`].
    pub fn on_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.pool = self.pool.on_start(hook);
        self
    }

    /// Is called by each thread of the pool after its last task: see [`PoolBuilder::on_exit`].
    pub fn on_exit(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.pool = self.pool.on_exit(hook);
        self
    }

    /// For how long dropping the runtime waits for tasks and threads that run, and for the
    /// destructors of their thread-locals; five seconds if nothing is said.
    pub fn drop_timeout(mut self, time: Duration) -> Self {
        self.drop_timeout = time;
        self
    }

    /// Makes the runtime, and starts its pool.
    ///
    /// # Errors
    ///
    /// When a number makes no sense, or the system does not have so much memory or so many
    /// threads.
    pub fn build(self) -> Result<ThreadRuntime, Error> {
        ThreadRuntime::build(self)
    }
}
