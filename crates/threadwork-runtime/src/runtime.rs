//! [`ThreadRuntime`]: one object that owns everything else, and ends it.

use std::fmt;
use std::time::{Duration, Instant};

use threadwork::{ThreadLocal, ThreadPool, blocking};
use threadwork_sync::channel::{Receiver, Sender, bounded};
use threadwork_sync::{
    Barrier, CachePadded, Condvar, Latch, LazyLock, Mutex, Once, OnceLock, Parker, PriorityMutex,
    RwLock, Semaphore, WaitGroup,
};

use crate::config::{RuntimeBuilder, RuntimeConfig};
use crate::error::Error;
use crate::shared_memory::SharedMemory;
use crate::slots::ThreadLocalStorage;
use crate::threads::ThreadManager;

/// A pool, a manager of threads, a shared memory, slots for each thread, and a way to
/// make every primitive: all that a program with threads needs, from one configuration.
///
/// ```
/// use std::sync::Arc;
/// use threadwork_runtime::ThreadRuntime;
///
/// let runtime = ThreadRuntime::new()?;
/// let total = Arc::new(runtime.mutex(0));
/// let tasks: Vec<_> = (1..=4)
///     .map(|n| {
///         let total = total.clone();
///         runtime.pool().execute(move || *total.lock() += n)
///     })
///     .collect();
/// for task in tasks {
///     task.wait().unwrap();
/// }
/// assert_eq!(*total.lock(), 10);
/// # Ok::<(), threadwork_runtime::Error>(())
/// ```
///
/// The factories are conveniences: what they make is not bound to the runtime and may
/// outlive it.
///
/// # The end
///
/// To drop it ends everything in bounded time: the pool as [`ThreadPool`] says, then
/// threads of the manager that still run are waited for, both together for
/// [`drop_timeout`](RuntimeBuilder::drop_timeout) at most. What runs longer, a thread-local's
/// destructor included, is left to itself. The memory is freed when nobody has a clone of it.
pub struct ThreadRuntime {
    config: RuntimeConfig,
    drop_timeout: Duration,
    /// Taken when it is dropped.
    pool: Option<ThreadPool>,
    threads: ThreadManager,
    tls: ThreadLocalStorage,
    memory: SharedMemory,
}

impl ThreadRuntime {
    /// A runtime as [`RuntimeConfig`] has it by default.
    ///
    /// # Errors
    ///
    /// As [`RuntimeBuilder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// A runtime with these numbers.
    ///
    /// # Errors
    ///
    /// As [`RuntimeBuilder::build`].
    pub fn with_config(config: RuntimeConfig) -> Result<Self, Error> {
        Self::builder().config(config).build()
    }

    /// A runtime that is to be otherwise.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    pub(crate) fn build(plan: RuntimeBuilder) -> Result<Self, Error> {
        let config = plan.config;
        let pages = config.check()?;
        let max_pages = match plan.max_memory_size {
            None => SharedMemory::MAX_PAGES,
            Some(bytes) => u32::try_from(bytes / SharedMemory::PAGE).unwrap_or(u32::MAX),
        };
        let memory = SharedMemory::new(pages, max_pages)?;
        // Last, since it starts threads.
        let pool = plan
            .pool
            .pool_size(config.pool_size)
            .max_threads(config.max_threads)
            .drop_timeout(plan.drop_timeout)
            .build()?;
        Ok(ThreadRuntime {
            config,
            drop_timeout: plan.drop_timeout,
            pool: Some(pool),
            threads: ThreadManager::with_max_threads(config.max_threads),
            tls: ThreadLocalStorage::new(config.tls_slot_size),
            memory,
        })
    }

    /// What it was made of.
    #[must_use]
    pub fn config(&self) -> RuntimeConfig {
        self.config
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &ThreadPool {
        match &self.pool {
            Some(pool) => pool,
            None => unreachable!("the pool is there until the runtime is dropped"),
        }
    }

    /// Starts threads, and knows them. They are not the pool's.
    #[must_use]
    pub fn threads(&self) -> &ThreadManager {
        &self.threads
    }

    /// Slots for each thread, by number.
    #[must_use]
    pub fn tls(&self) -> &ThreadLocalStorage {
        &self.tls
    }

    /// The shared memory.
    #[must_use]
    pub fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// A value for each thread.
    #[must_use]
    pub fn thread_local<T: Send>(&self) -> ThreadLocal<T> {
        ThreadLocal::new()
    }

    /// A value behind a lock.
    pub fn mutex<T>(&self, value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    /// A value behind a lock whose waiters have priorities, which tasks of the pool inherit.
    pub fn priority_mutex<T>(&self, value: T) -> PriorityMutex<T> {
        PriorityMutex::new(value)
    }

    /// A value behind a lock that readers share.
    pub fn rwlock<T>(&self, value: T) -> RwLock<T> {
        RwLock::new(value)
    }

    /// A condition to wait for.
    #[must_use]
    pub fn condvar(&self) -> Condvar {
        Condvar::new()
    }

    /// A barrier for so many threads.
    ///
    /// # Panics
    ///
    /// As [`Barrier::new`].
    #[must_use]
    pub fn barrier(&self, parties: u32) -> Barrier {
        Barrier::new(parties)
    }

    /// A number of permits.
    ///
    /// # Panics
    ///
    /// As [`Semaphore::new`].
    #[must_use]
    pub fn semaphore(&self, permits: u32) -> Semaphore {
        Semaphore::new(permits)
    }

    /// A gate that opens once.
    #[must_use]
    pub fn latch(&self) -> Latch {
        Latch::new()
    }

    /// A count of what is not done.
    #[must_use]
    pub fn wait_group(&self) -> WaitGroup {
        WaitGroup::new()
    }

    /// A place for one thread to sleep.
    #[must_use]
    pub fn parker(&self) -> Parker {
        Parker::new()
    }

    /// Something that happens once.
    #[must_use]
    pub fn once(&self) -> Once {
        Once::new()
    }

    /// A value that is set once.
    #[must_use]
    pub fn once_lock<T>(&self) -> OnceLock<T> {
        OnceLock::new()
    }

    /// A value that is made when it is first needed.
    pub fn lazy_lock<T, F: FnOnce() -> T>(&self, init: F) -> LazyLock<T, F> {
        LazyLock::new(init)
    }

    /// A channel of so many places.
    ///
    /// # Panics
    ///
    /// As [`bounded`].
    #[must_use]
    pub fn channel<T>(&self, capacity: usize) -> (Sender<T>, Receiver<T>) {
        bounded(capacity)
    }

    /// A value with cache lines of its own.
    pub fn cache_aligned<T>(&self, value: T) -> CachePadded<T> {
        CachePadded::new(value)
    }
}

impl Drop for ThreadRuntime {
    fn drop(&mut self) {
        let start = Instant::now();
        drop(self.pool.take());
        let left = self.drop_timeout.saturating_sub(start.elapsed());
        blocking(|| self.threads.end_all(left));
    }
}

impl fmt::Debug for ThreadRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadRuntime")
            .field("config", &self.config)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
