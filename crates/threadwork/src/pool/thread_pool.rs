//! [`ThreadPool`]: what a program has of a pool, and the pool of the whole program.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use threadwork_sync::{OnceLock, Priority};

use super::builder::PoolBuilder;
use super::handle::TaskHandle;
use super::install;
use super::last_words;
use super::name::TaskName;
use super::shared::Shared;
use super::status::WorkerStatus;
use super::task::{Label, Outcome, TaskRef};
use super::worker::{blocking, is_or_was_within, is_within};
use crate::error::{Error, TaskError, WaitError};
use crate::fork_join::{Group, Scope, scope};

/// Threads that are started with the pool and run its tasks, one after the other.
///
/// ```
/// use threadwork::ThreadPool;
///
/// let pool = ThreadPool::new(4)?;
/// let squares: Vec<_> = (1..=3).map(|n| pool.execute(move || n * n)).collect();
/// let squares: Result<Vec<u32>, _> = squares.into_iter().map(|task| task.wait()).collect();
/// assert_eq!(squares.unwrap(), [1, 4, 9]);
/// # Ok::<(), threadwork::Error>(())
/// ```
///
/// # Order
///
/// At most `pool_size` tasks run at once; the others are queued, any number of them.
/// Tasks of one [`Priority`] begin in the order in which they came, those of a higher one
/// first. But no class starves: one task in 32 is taken from a lower class that has one.
/// To execute a task never blocks.
///
/// A task that holds a [`PriorityMutex`](crate::sync::PriorityMutex) inherits the priority
/// of those who wait for it: tasks that it has spawned or waits for are taken sooner. A task
/// that a task waits for is taken sooner, too.
///
/// # Tasks that wait
///
/// A task may wait for others: see [`TaskHandle`], and [`blocking`] for anything else
/// that takes long. Then up to `max_threads` threads take the places of those that wait.
///
/// # Panics of tasks
///
/// A panic in a task is the result of its handle, and the worker goes on. So it does if a hook
/// or a waker panics, or what a worker drops because nobody waits for it (a result, the payload
/// of a panic, what a cancelled closure holds): the panic hook has reported that, and it ends
/// there. Where a panic
/// ends the program (`panic = "abort"`, as on WebAssembly) the program's last words name
/// the task.
///
/// # The end
///
/// [`shutdown`](Self::shutdown) runs what is queued, then ends. To **drop** the pool is
/// [`shutdown_now`](Self::shutdown_now) with a limit on the time: what is queued is
/// cancelled (its handles say so; of tasks whose handles were dropped **nobody is told**), and
/// what runs is waited for, up to [`drop_timeout`](PoolBuilder::drop_timeout). A task that runs
/// longer is left to itself; its thread ends with it. The same goes for a hook, and for the
/// destructor of a thread-local. So a pool that goes out of scope, by an
/// error or a panic too, takes no work with it into the background, as far as that is possible,
/// and does not hang on it. Whoever wants the queued work done says so, by `shutdown`, by
/// [`wait_all`](Self::wait_all), or once for the pool by
/// [`finish_on_drop`](PoolBuilder::finish_on_drop).
///
/// After its end a pool refuses tasks: their handles say [`PoolGone`](crate::TaskError).
///
/// # Hosts
///
/// Everywhere where threads can be started.
pub struct ThreadPool {
    shared: Arc<Shared>,
}

impl ThreadPool {
    /// A pool of so many workers, and otherwise as [`PoolBuilder`] has it by default.
    ///
    /// # Errors
    ///
    /// As [`PoolBuilder::build`].
    pub fn new(pool_size: usize) -> Result<Self, Error> {
        Self::builder().pool_size(pool_size).build()
    }

    /// A pool that is to be otherwise.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// Starts the workers, all or none.
    pub(super) fn start(plan: PoolBuilder) -> Result<Self, Error> {
        plan.check()?;
        let pool = Self::without_workers(plan, false);
        let wanted = pool.pool_size();
        for started in 0..wanted {
            pool.shared.thread_counts.add();
            if let Err(source) = pool.shared.start() {
                pool.shared.close();
                if pool.shared.thread_counts.leave() {
                    pool.shared.ended.open();
                }
                return Err(Error::Spawn {
                    started,
                    wanted,
                    source,
                });
            }
        }
        Ok(pool)
    }

    /// The global pool, whose last worker is started with the first task: until then the
    /// program's own threads that come to it are one of its. So many of the others are started
    /// as can be.
    fn start_global(plan: PoolBuilder) -> Self {
        let pool = Self::without_workers(plan, true);
        for _ in 1..pool.pool_size() {
            pool.shared.thread_counts.add();
            if pool.shared.start().is_err() {
                pool.shared.thread_counts.leave();
                break;
            }
        }
        pool
    }

    fn without_workers(plan: PoolBuilder, is_global: bool) -> Self {
        last_words::prepare();
        ThreadPool {
            shared: Shared::new(plan, is_global),
        }
    }

    /// Has a worker run `f`, at [`Priority::Normal`] and without a name. Never blocks.
    ///
    /// A panic of `f`, and that the pool has been shut down, is told by the handle. A task
    /// whose handle was dropped runs all the same, unless the pool is dropped before it begins:
    /// see [the end](Self#the-end).
    ///
    /// # Panics
    ///
    /// If the pool has been shut down, and what `f` holds panics as it is dropped here.
    pub fn execute<T, F>(&self, f: F) -> TaskHandle<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.task().execute(f)
    }

    /// Has a worker run `f`, and that is all: [`execute`](Self::execute) for who needs no handle, a
    /// little cheaper. Never blocks.
    ///
    /// A panic of `f` ends the task, and the panic hook tells of it. Once the pool has been shut
    /// down `f` is dropped unrun; and so it is if the pool is dropped before it begins: see
    /// [the end](Self#the-end).
    ///
    /// # Panics
    ///
    /// As for [`execute`](Self::execute).
    ///
    /// # Example
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use threadwork::ThreadPool;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let (sender, receiver) = mpsc::channel();
    /// pool.spawn(move || sender.send(7).unwrap());
    /// assert_eq!(receiver.recv(), Ok(7));
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn spawn<F>(&self, f: F)
    where
        F: FnOnce() + Send + 'static,
    {
        self.task().spawn(f);
    }

    /// Has a worker run `f`, and waits for it: as [`execute`](Self::execute) and
    /// [`wait`](TaskHandle::wait), but that `f` may borrow. A [`join`](crate::join), a
    /// [`scope`](crate::scope) or a [`par`](crate::par) in it is this pool's. Blocks.
    ///
    /// Within a task of this pool, the calling thread runs it, most likely. Within a task of another
    /// pool, it does so if this pool has no thread for it, as with
    /// [any task](TaskHandle#waiting-within-a-task); only then is `f` run elsewhere than here.
    ///
    /// # Errors
    ///
    /// That `f` panicked, or never ran since the pool was shut down.
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork::{ThreadPool, par};
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let numbers = [1, 2, 3];
    /// let sum: u32 = pool.install(|| par(&numbers).sum()).unwrap();
    /// assert_eq!(sum, 6);
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn install<R, F>(&self, f: F) -> Result<R, TaskError>
    where
        R: Send,
        F: FnOnce() -> R + Send,
    {
        install::install(self, f)
    }

    /// A [`scope`](crate::scope) whose jobs are run by this pool: its body is
    /// [installed](Self::install) there. Blocks.
    ///
    /// # Errors
    ///
    /// That `body` or a job panicked, or that the pool was shut down, and nothing ran.
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork::ThreadPool;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let (mut left, mut right) = ([3, 1, 2], [6, 5, 4]);
    /// pool.scope(|scope| {
    ///     scope.spawn(|_| left.sort());
    ///     scope.spawn(|_| right.sort());
    /// })
    /// .unwrap();
    /// assert_eq!((left, right), ([1, 2, 3], [4, 5, 6]));
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn scope<'scope, R, F>(&self, body: F) -> Result<R, TaskError>
    where
        R: Send,
        F: FnOnce(&Scope<'scope>) -> R + Send,
    {
        self.install(|| scope(body))
    }

    /// A task that has a name, or another priority.
    ///
    /// ```
    /// use threadwork::{Priority, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let task = pool.task().name("urgent").priority(Priority::High).execute(|| 1);
    /// assert_eq!(task.name(), Some("urgent"));
    /// assert_eq!(task.wait().unwrap(), 1);
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn task(&self) -> TaskBuilder<'_> {
        TaskBuilder {
            shared: &self.shared,
            priority: Priority::Normal,
            name: None,
        }
    }

    /// Waits until no task is queued or runs, those included that come meanwhile. What the
    /// tasks did is visible then. Blocks.
    ///
    /// # Errors
    ///
    /// Within a task of this pool, which would wait for itself.
    pub fn wait_all(&self) -> Result<(), WaitError> {
        self.wait_until_quiet(None)
    }

    /// [`wait_all`](Self::wait_all), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// When the timeout passed first, and within a task of this pool.
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork::{ThreadPool, WaitError};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// drop(pool.execute(|| std::thread::sleep(Duration::from_millis(20))));
    /// let soon = pool.wait_all_timeout(Duration::from_millis(1));
    /// assert_eq!(soon, Err(WaitError::TimedOut));
    /// pool.wait_all().unwrap();
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn wait_all_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        // A time that the clock does not know is for ever.
        self.wait_until_quiet(Instant::now().checked_add(timeout))
    }

    fn wait_until_quiet(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        if is_within(self.shared.number) {
            return Err(WaitError::WithinTask);
        }
        if blocking(|| self.shared.queue.wait_until_quiet(deadline)) {
            Ok(())
        } else {
            Err(WaitError::TimedOut)
        }
    }

    /// How many tasks are queued or run at this moment.
    ///
    /// A task that is over is counted until its worker is back at the queue, and one that was
    /// cancelled until a worker comes to its place there. After
    /// [`wait_all`](Self::wait_all) none is.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.shared.queue.unfinished()
    }

    /// What each worker is doing at this moment: `pool_size` of them, and those that have
    /// worked in place of others.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.shared.statuses()
    }

    /// How many tasks run at once.
    #[must_use]
    pub fn pool_size(&self) -> usize {
        self.shared.plan.pool_size
    }

    /// How many threads there may be at once.
    #[must_use]
    pub fn max_threads(&self) -> usize {
        self.shared.plan.max_threads
    }

    /// Takes no more tasks, runs those that are queued, and ends all threads. Blocks until
    /// that is done, but within a task of this pool, or the destructor of a thread-local of one of
    /// its threads, where it returns at once.
    ///
    /// A task that executes another one on this pool meanwhile is refused.
    ///
    /// ```
    /// use threadwork::{TaskError, ThreadPool};
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let tasks: Vec<_> = (0..100).map(|n| pool.execute(move || n)).collect();
    /// pool.shutdown();
    /// assert!(tasks.iter().all(|task| task.is_finished()));
    /// assert!(matches!(pool.execute(|| ()).wait(), Err(TaskError::PoolGone)));
    /// # Ok::<(), threadwork::Error>(())
    /// ```
    pub fn shutdown(&self) {
        self.shared.close();
        self.wait_for_end(None);
    }

    /// Takes no more tasks, cancels those that are queued, and ends all threads. Blocks
    /// until the tasks that run are over, but on one of its own threads, as
    /// [`shutdown`](Self::shutdown).
    pub fn shutdown_now(&self) {
        self.shared.abort();
        self.wait_for_end(None);
    }

    /// Whether the pool takes no more tasks.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.shared.queue.is_closed()
    }

    fn wait_for_end(&self, timeout: Option<Duration>) {
        if !is_or_was_within(self.shared.number) {
            blocking(|| self.shared.wait_for_end(timeout));
        }
    }

    /// Where the workers share fork-join work.
    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.shared.group
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        if self.shared.plan.finish_on_drop {
            self.shutdown();
        } else {
            self.shared.abort();
            self.wait_for_end(Some(self.shared.plan.drop_timeout));
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("name", &self.shared.plan.pool_name())
            .field("pool_size", &self.pool_size())
            .field("max_threads", &self.max_threads())
            .field("unfinished", &self.unfinished())
            .field("is_shut_down", &self.is_shut_down())
            .finish()
    }
}

/// A task that is about to be executed: see [`ThreadPool::task`].
#[derive(Clone)]
#[must_use = "nothing runs until `execute`"]
pub struct TaskBuilder<'a> {
    shared: &'a Arc<Shared>,
    priority: Priority,
    name: Option<TaskName>,
}

impl TaskBuilder<'_> {
    /// In which class it is queued; [`Priority::Normal`] if nothing is said.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// What it is called in [`WorkerStatus`], and in messages if it panics.
    pub fn name(mut self, name: impl Into<TaskName>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Has a worker run `f`. Never blocks.
    ///
    /// # Panics
    ///
    /// As for [`ThreadPool::execute`].
    pub fn execute<T, F>(self, f: F) -> TaskHandle<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let shared = self.shared;
        match self.announce() {
            Ok(label) => {
                let (task, outcome) = Outcome::new(label, f);
                shared.enqueue(task);
                TaskHandle::new(outcome)
            }
            Err(label) => TaskHandle::new(Outcome::refused(label, f)),
        }
    }

    /// Has a worker run `f`, without a handle: see [`ThreadPool::spawn`].
    ///
    /// # Panics
    ///
    /// As for [`ThreadPool::execute`].
    pub fn spawn<F>(self, f: F)
    where
        F: FnOnce() + Send + 'static,
    {
        let shared = self.shared;
        match self.announce() {
            Ok(label) => shared.enqueue(TaskRef::detached(label, f)),
            Err(label) => drop(Outcome::refused(label, f)),
        }
    }

    /// The label of a task that comes; an error if the pool takes no more.
    fn announce(self) -> Result<Label, Label> {
        self.shared.complete();
        let announced = self.shared.queue.announce();
        let label = |id| Label {
            id,
            pool: self.shared.number,
            class: self.priority,
            name: self.name,
        };
        match announced {
            Ok(id) => Ok(label(id)),
            Err(id) => Err(label(id)),
        }
    }
}

impl fmt::Debug for TaskBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("priority", &self.priority)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The pool of the whole program: made when it is first asked for, and never ended.
///
/// Fork-join calls from threads that belong to no pool run here, on the calling thread and on
/// workers. As many threads as the pool has workers
/// ([`available_parallelism`](crate::thread::available_parallelism), unless
/// [`PoolBuilder::build_global`] said otherwise) compute then, the calling one included: so the
/// last worker is only started when somebody executes a task. On a pool of one worker, `join` and
/// [`par`](crate::par) run on the calling thread alone. (Threads that call at the same time all
/// compute; and so do tasks that run meanwhile.)
///
/// In a guest those threads are of the limit that its host has set (`threadwork run --threads N`: so
/// many beside the main one, and `available_parallelism` is N, if there are as many cores). Join,
/// `scope` and `par` leave one of them to the program's own threads. Tasks may take all N, as
/// rayon's pool does: a program that has threads of its own beside them wants a larger limit, or
/// a smaller pool.
///
/// If the system does not start so many threads, it has fewer. If it starts none at all, the
/// pool refuses tasks, and their handles say so.
///
/// ```
/// let task = threadwork::global().execute(|| 6 * 7);
/// assert_eq!(task.wait().unwrap(), 42);
/// ```
pub fn global() -> &'static ThreadPool {
    GLOBAL.get_or_init(|| ThreadPool::start_global(PoolBuilder::default().name("threadwork")))
}

static GLOBAL: OnceLock<ThreadPool> = OnceLock::new();

/// Makes the global pool, unless it is there.
pub(super) fn make_global(plan: PoolBuilder) -> Result<(), Error> {
    plan.check()?;
    let mut plan = Some(plan);
    GLOBAL.get_or_init(|| match plan.take() {
        Some(plan) => ThreadPool::start_global(plan),
        None => unreachable!("an initializer is called once"),
    });
    match plan {
        None => Ok(()),
        Some(_) => Err(Error::GlobalPoolExists),
    }
}
