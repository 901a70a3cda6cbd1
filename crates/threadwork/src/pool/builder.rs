//! How a pool is to be.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use super::task::WorkerSlot;
use super::thread_pool::{ThreadPool, make_global};
use crate::boundary;
use crate::error::Error;
use crate::thread::available_parallelism;

type Hook = Arc<dyn Fn(usize) + Send + Sync>;

/// How a [`ThreadPool`] is to be.
///
/// ```
/// use std::time::Duration;
/// use threadwork::ThreadPool;
///
/// let pool = ThreadPool::builder()
///     .name("images")
///     .pool_size(2)
///     .max_threads(8)
///     .on_start(|index| println!("worker {index} starts"))
///     .build()?;
/// let name = pool.execute(|| std::thread::current().name().map(str::to_owned));
/// assert!(name.wait().unwrap().unwrap().starts_with("images-"));
/// # Ok::<(), threadwork::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder {
    pub(super) pool_size: usize,
    pub(super) max_threads: usize,
    pub(super) stack_size: Option<usize>,
    pub(super) keep_alive: Duration,
    pub(super) drop_timeout: Duration,
    pub(super) finish_on_drop: bool,
    name: Arc<str>,
    on_start: Option<Hook>,
    on_exit: Option<Hook>,
}

/// Threads for each worker by default, and their least number: room for some that block.
const THREADS_FOR_EACH: usize = 4;
const FEWEST_THREADS: usize = 16;

/// The most workers by default, whatever the environment says.
const MOST_WORKERS: usize = 1024;

impl Default for PoolBuilder {
    /// A worker for each thread that can run at once
    /// ([`available_parallelism`](crate::thread::available_parallelism)), 1,024 at most; and four
    /// threads for each worker, sixteen at least.
    fn default() -> Self {
        PoolBuilder::for_cores(available_parallelism().map_or(1, NonZero::get))
    }
}

impl PoolBuilder {
    fn for_cores(cores: usize) -> Self {
        let workers = cores.min(MOST_WORKERS);
        PoolBuilder {
            pool_size: workers,
            max_threads: FEWEST_THREADS.max(workers * THREADS_FOR_EACH),
            stack_size: None,
            keep_alive: Duration::from_secs(10),
            drop_timeout: Duration::from_secs(5),
            finish_on_drop: false,
            name: "pool".into(),
            on_start: None,
            on_exit: None,
        }
    }

    /// How many tasks run at once: so many threads are started with the pool. Raises
    /// [`max_threads`](Self::max_threads) to that, if it is less.
    #[doc(alias = "num_threads")]
    pub fn pool_size(mut self, workers: usize) -> Self {
        self.pool_size = workers;
        self.max_threads = self.max_threads.max(workers);
        self
    }

    /// How many threads there may be at once: those that run tasks, and those that
    /// [block](crate::blocking) within one. At most 65,535.
    ///
    /// Once all of them are blocked, what is queued waits until one goes on, unless a task
    /// [waits](crate::TaskHandle#waiting-within-a-task) for it, whose thread runs it then.
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.max_threads = threads;
        self
    }

    /// What the threads are called, followed by a number: `name-0`, `name-1`. "pool" if
    /// nothing is said.
    #[doc(alias = "thread_name")]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().into();
        self
    }

    /// The stack of each thread, in bytes; std's default if nothing is said.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// For how long a thread that has taken the place of one that blocks is kept when it
    /// is not needed any more; ten seconds if nothing is said.
    pub fn keep_alive(mut self, time: Duration) -> Self {
        self.keep_alive = time;
        self
    }

    /// For how long dropping the pool waits for tasks that run, for hooks, and for the destructors
    /// of its threads' thread-locals, together; five seconds if nothing is said. See [`ThreadPool`] on its end.
    pub fn drop_timeout(mut self, time: Duration) -> Self {
        self.drop_timeout = time;
        self
    }

    /// Whether dropping the pool is [`shutdown`](ThreadPool::shutdown): what is queued is run
    /// first, however long that takes. If nothing is said, dropping it cancels what is queued.
    /// A task that a task of this pool waits for must not drop it then: they would wait for each
    /// other.
    ///
    /// # Example
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use threadwork::ThreadPool;
    ///
    /// let done = Arc::new(AtomicU32::new(0));
    /// let pool = ThreadPool::builder().pool_size(1).finish_on_drop(true).build()?;
    /// for _ in 0..100 {
    ///     let done = done.clone();
    ///     drop(pool.execute(move || done.fetch_add(1, Ordering::Relaxed)));
    /// }
    /// drop(pool);
    /// assert_eq!(done.load(Ordering::Relaxed), 100);
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn finish_on_drop(mut self, finish: bool) -> Self {
        self.finish_on_drop = finish;
        self
    }

    /// Is called by each thread before its first task, with the number of its slot: below
    /// `max_threads`, and used again when a thread has ended.
    ///
    /// A panic in it is reported as any, and the thread goes on.
    #[doc(alias = "start_handler")]
    pub fn on_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.on_start = Some(Arc::new(hook));
        self
    }

    /// Is called by each thread after its last task, with the same number: at the end of the pool,
    /// or when the thread has not been needed for [`keep_alive`](Self::keep_alive).
    ///
    /// Until it is over the thread is one of [`max_threads`](Self::max_threads), and counts as one
    /// that blocks. So it may wait for what it likes, tasks of the pool included, and may execute
    /// tasks, which are refused at the end of the pool. But while it takes its time a task that
    /// blocks may find no thread to work in its place, and what is queued waits for the hook. The
    /// end of the pool waits for it, [as long as for a task](Self::drop_timeout). A panic in it is
    /// reported as any, and the thread ends.
    #[doc(alias = "exit_handler")]
    pub fn on_exit(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.on_exit = Some(Arc::new(hook));
        self
    }

    /// Starts the pool.
    ///
    /// # Errors
    ///
    /// When a number makes no sense, or the system does not start so many threads; then
    /// those that did start end again.
    pub fn build(self) -> Result<ThreadPool, Error> {
        ThreadPool::start(self)
    }

    /// Makes the [global](crate::global) pool, which is like this from then on: how many threads
    /// it has, what their stacks and names are. To be called early in `main`: the first use of
    /// the global pool, by [`join`](crate::join) or [`par`](crate::par) too, makes it as it is by
    /// default.
    ///
    /// # Errors
    ///
    /// [`GlobalPoolExists`](Error::GlobalPoolExists) if it is there already, and when a number
    /// makes no sense. Threads that the system does not start are missing then, and no error.
    ///
    /// # Example
    ///
    /// ```standalone_crate
    /// use threadwork::{Error, ThreadPool};
    ///
    /// ThreadPool::builder().pool_size(2).stack_size(4 << 20).build_global()?;
    /// assert_eq!(threadwork::global().pool_size(), 2);
    /// let again = ThreadPool::builder().build_global();
    /// assert!(matches!(again, Err(Error::GlobalPoolExists)));
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn build_global(self) -> Result<(), Error> {
        make_global(self)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let (pool_size, max_threads) = (self.pool_size, self.max_threads);
        if pool_size == 0 {
            return Err(Error::NoWorkers);
        }
        if pool_size > max_threads {
            return Err(Error::MoreWorkersThanThreads {
                pool_size,
                max_threads,
            });
        }
        if max_threads > WorkerSlot::MOST {
            let most = WorkerSlot::MOST;
            return Err(Error::TooManyThreads { max_threads, most });
        }
        Ok(())
    }

    pub(super) fn thread_name(&self, slot: WorkerSlot) -> String {
        format!("{}-{}", self.name, slot.index())
    }

    pub(super) fn start_hook(&self, slot: WorkerSlot) {
        if let Some(hook) = &self.on_start {
            boundary::call(|| hook(slot.index()));
        }
    }

    pub(super) fn exit_hook(&self, slot: WorkerSlot) {
        if let Some(hook) = &self.on_exit {
            boundary::call(|| hook(slot.index()));
        }
    }

    pub(super) fn pool_name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("name", &self.name)
            .field("pool_size", &self.pool_size)
            .field("max_threads", &self.max_threads)
            .field("stack_size", &self.stack_size)
            .field("keep_alive", &self.keep_alive)
            .field("drop_timeout", &self.drop_timeout)
            .field("finish_on_drop", &self.finish_on_drop)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_environment_says_makes_a_pool() {
        for cores in [1, 3, 20_000, usize::MAX] {
            PoolBuilder::for_cores(cores).check().unwrap();
        }
    }
}
