//! [`ThreadRuntime`] and [`RuntimeBuilder`].

use super::config::{RuntimeConfig, WorkerStatus};
use super::handle::TaskHandle;
use super::instance::{self, Instances};
use super::pool::Pool;
use super::task::{Entries, Entry, ExecuteError, Task};
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::launch::{Prepared, Process, ProcessBuilder, Shape};
use crate::limits::Limits;
use crate::linear_memory::Arena;
use crate::module::Module;
use crate::process::{Cause, PooledInstance, State, ThreadContext};
use crate::shared_memory::SharedMemory;
use crate::thread::ThreadState;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;
use threadwork_parking::Cores;
use wasmtime::{ExternType, FuncType, Linker};

/// The settings of a [`ThreadRuntime`]; made by [`ThreadRuntime::builder`].
///
/// ```
/// use std::time::Duration;
/// use threadwork_engine::{Engine, Limits, Module, RuntimeConfig, Task, ThreadRuntime};
///
/// # fn main() -> anyhow::Result<()> {
/// # let engine = Engine::new()?;
/// let module = Module::new(&engine, br#"
///     (module
///       (import "host" "twice" (func $twice (param i32) (result i32)))
///       (memory 1 1 shared)
///       (func (export "quadruple") (param i32) (result i32)
///         (call $twice (call $twice (local.get 0)))))
/// "#)?;
/// let runtime = ThreadRuntime::builder(&module)
///     .config(RuntimeConfig { pool_size: 2, ..RuntimeConfig::default() })
///     .limits(Limits::default().memory(64 << 20))
///     .task_timeout(Duration::from_secs(10))
///     .linker(|linker| {
///         linker.func_wrap("host", "twice", |n: i32| 2 * n)?;
///         Ok(())
///     })
///     .build()?;
/// let answer: i32 = runtime.execute(Task::new("quadruple", [10]))?.wait_as()?;
/// assert_eq!(answer, 40);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RuntimeBuilder {
    process: ProcessBuilder,
    config: RuntimeConfig,
    task_timeout: Option<Duration>,
    host_threads: u32,
}

/// The process that a runtime is, with what it was given.
impl From<ProcessBuilder> for RuntimeBuilder {
    fn from(process: ProcessBuilder) -> Self {
        Self {
            process,
            config: RuntimeConfig::default(),
            task_timeout: None,
            host_threads: 1,
        }
    }
}

impl RuntimeBuilder {
    /// Its sizes.
    #[must_use]
    pub fn config(mut self, config: RuntimeConfig) -> Self {
        self.config = config;
        self
    }

    /// What it may use at most. Of threads it may have
    /// [`max_threads`](RuntimeConfig::max_threads); the times are those of the runtime,
    /// not of a task.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.process(|process| process.limits(limits))
    }

    /// How long a task may run, unless it [says](Task::timeout) itself. No limit by
    /// default.
    #[must_use]
    pub fn task_timeout(mut self, time: Duration) -> Self {
        self.task_timeout = Some(time);
        self
    }

    /// Adds host functions, as [`ProcessBuilder::linker`].
    #[must_use]
    pub fn linker(
        self,
        define: impl FnOnce(&mut Linker<ThreadContext>) -> wasmtime::Result<()> + Send + 'static,
    ) -> Self {
        self.process(|process| process.linker(define))
    }

    /// What the process that the runtime is, is given: for a module that speaks WASI its
    /// arguments, environment, files and streams.
    #[must_use]
    pub fn process(mut self, give: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Self {
        self.process = give(self.process);
        self
    }

    /// How many threads of the host use the runtime, 1 by default: execute tasks, wait
    /// for them, or touch its memory. A deadlock is when all tasks wait and so many
    /// threads of the host do, too; another thread of the host could still wake them.
    /// So a host with more threads must say so, or its tasks may be ended while one of
    /// them is about to do that. For any number of threads, and no reports of
    /// deadlocks, say 0.
    #[must_use]
    pub fn host_threads(mut self, count: u32) -> Self {
        self.host_threads = count;
        self
    }

    /// Makes the runtime: the memory, the start of the program (its data, its start
    /// function, `_initialize`), and the workers with their instances.
    ///
    /// # Errors
    ///
    /// If the module cannot be run so; the message says why, and what to do.
    pub fn build(self) -> Result<ThreadRuntime, Error> {
        let config = self.config;
        check(&config)?;
        let module = self.process.module().clone();
        if module.code().memories.is_empty() {
            return Err(Error::NoSharedMemory);
        }
        let instances = Instances::new(&module, &config)?;
        let entries = Arc::new(entries(&module));
        let shape = Shape {
            memory: config.memory_size,
            hosts: self.host_threads,
        };
        let timeout = self.task_timeout;
        let process = self.process.max_threads(config.max_threads);
        let prepared = process.prepare(shape, |arena| {
            Pool::new(arena, config.pool_size, timeout, instances)
        })?;
        if self.host_threads == 0 {
            // Somebody lives who never sleeps.
            prepared.state.lot().enter();
        }
        start(prepared, entries, config.pool_size)
    }
}

/// Refuses sizes with which nothing could run.
fn check(config: &RuntimeConfig) -> Result<(), Error> {
    if config.pool_size == 0 {
        return Err(Error::RuntimeConfig {
            what: "pool_size is 0: a runtime needs a worker",
        });
    }
    if config.max_threads < config.pool_size {
        return Err(Error::RuntimeConfig {
            what: "max_threads is less than pool_size: raise it",
        });
    }
    if !(1024..=instance::LARGEST).contains(&config.stack_size) {
        return Err(Error::RuntimeConfig {
            what: "stack_size is not from 1 KiB to 4 GiB",
        });
    }
    Ok(())
}

/// The functions that a module exports.
fn entries(module: &Module) -> Entries {
    let exports = module.code().wasmtime.exports();
    let entry = |export: wasmtime::ExportType<'_>| {
        let ExternType::Func(ty) = export.ty() else {
            return None;
        };
        let name = export.name().to_owned();
        if name.starts_with(threadwork_rewrite::RESERVED) {
            return None;
        }
        let entry = Entry {
            ty,
            export: module.code().wasmtime.get_export_index(&name)?,
            name: name.clone(),
        };
        Some((name, Arc::new(entry)))
    };
    Entries(exports.filter_map(entry).collect())
}

/// Starts the program and the workers, and waits until they are ready.
fn start(
    prepared: Prepared<Pool>,
    entries: Arc<Entries>,
    workers: u32,
) -> Result<ThreadRuntime, Error> {
    let (ready, is_ready) = sync_channel(workers as usize);
    let state = Arc::clone(&prepared.state);
    let pool = Arc::clone(&prepared.program);
    // The pool's own, until the process is ending.
    state.acquire_store();
    let started = Arc::clone(&pool);
    let process = prepared.start(Arc::default(), move |state, instance, thread| {
        if begin(state, &started, instance, thread) {
            for _ in 0..workers {
                if started
                    .start_worker(state, None, Some(ready.clone()))
                    .is_err()
                {
                    let _ = ready.send(Err("the system has no thread left".to_owned()));
                }
            }
        }
        state.thread_ended(thread, None);
    })?;
    let runtime = ThreadRuntime {
        process,
        state: Arc::downgrade(&state),
        pool: Arc::downgrade(&pool),
        entries,
        cores: Arc::clone(state.machine().cores()),
        slots: Arc::clone(pool.slots()),
    };
    drop((state, pool));
    runtime.until_ready(&is_ready, workers)?;
    Ok(runtime)
}

/// Runs what runs once for a program; false if the process is ending.
fn begin(
    state: &Arc<State>,
    pool: &Pool,
    instance: PooledInstance,
    thread: &Arc<ThreadState>,
) -> bool {
    let begun = pool.instances().initialize(instance);
    begun
        .inspect_err(|error| state.thread_failed(thread, error))
        .is_ok()
}

/// A module's exported functions on a pool of workers, over one shared memory: see the
/// [module's documentation](crate::runtime).
///
/// It can be used from several threads of the host at once, which
/// [`host_threads`](RuntimeBuilder::host_threads) should be told of. Dropping it ends it
/// as [`shutdown_now`](Self::shutdown_now) does, so do not drop it in a host function of
/// its own.
///
/// Once it has ended, it keeps neither the memory nor the code of its program.
pub struct ThreadRuntime {
    process: Process,
    /// Weak, as the process's own handle is: gone when it has ended.
    state: Weak<State>,
    pool: Weak<Pool>,
    entries: Arc<Entries>,
    cores: Arc<Cores>,
    /// Workers that there were at one time, for when the pool is gone.
    slots: Arc<AtomicUsize>,
}

impl ThreadRuntime {
    /// A runtime with the default sizes.
    ///
    /// # Errors
    ///
    /// As [`RuntimeBuilder::build`].
    pub fn new(module: &Module) -> Result<Self, Error> {
        Self::builder(module).build()
    }

    /// A runtime with these sizes.
    ///
    /// # Errors
    ///
    /// As [`RuntimeBuilder::build`].
    pub fn with_config(module: &Module, config: RuntimeConfig) -> Result<Self, Error> {
        Self::builder(module).config(config).build()
    }

    /// The default settings, to be changed.
    #[must_use]
    pub fn builder(module: &Module) -> RuntimeBuilder {
        ProcessBuilder::new(module).into()
    }

    /// Runs a task on a worker that is idle, or on the first that will be. Does not
    /// block.
    ///
    /// # Errors
    ///
    /// If there is no such function, if the arguments do not fit it, or if the runtime
    /// was shut down or has ended.
    pub fn execute(&self, task: Task) -> Result<TaskHandle, ExecuteError> {
        let entry = self.entries.find(&task)?;
        let pool = self.pool.upgrade().ok_or(ExecuteError::ShutDown)?;
        Ok(TaskHandle {
            task: pool.execute(task, entry)?,
            pool: Weak::clone(&self.pool),
            process: Weak::clone(&self.state),
        })
    }

    /// The type of an exported function, if tasks can call it.
    ///
    /// # Errors
    ///
    /// If there is no such function, or not one of numbers.
    pub fn signature(&self, entry: &str) -> Result<FuncType, ExecuteError> {
        self.entries.get(entry).map(|entry| entry.ty.clone())
    }

    /// Blocks until no task is queued or runs.
    pub fn wait_all(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.wait_all();
        }
    }

    /// Like [`wait_all`](Self::wait_all), for at most `time`; false if tasks are left.
    #[must_use]
    pub fn wait_all_timeout(&self, time: Duration) -> bool {
        let pool = self.pool.upgrade();
        pool.is_none_or(|pool| pool.wait_all_timeout(time))
    }

    /// The workers: as many as the pool is meant to have, and those that were started
    /// because all waited.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        match self.pool.upgrade() {
            Some(pool) => pool.status(),
            // Ordering: Relaxed; nobody changes it any more.
            None => vec![WorkerStatus::Terminated; self.slots.load(Ordering::Relaxed)],
        }
    }

    /// Tasks that wait for a worker.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.pool.upgrade().map_or(0, |pool| pool.queued())
    }

    /// The first shared memory of the module. The handle outlives the runtime, and keeps the
    /// memory: a host that wants to read it after the end takes one before. When the runtime
    /// has ended, this is a memory without a byte.
    #[must_use]
    pub fn memory(&self) -> SharedMemory {
        match self.state.upgrade() {
            Some(state) if self.process.try_wait().is_none() => {
                SharedMemory::uncounted(state.arena())
            }
            _ => SharedMemory::uncounted(&Arc::new(Arena::gone(&self.cores))),
        }
    }

    /// The process that the runtime is: its statistics, its threads, its standard
    /// streams, and a [`Killer`](crate::Killer) to end it from elsewhere.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Takes no more tasks, lets those that are queued or running come to their end,
    /// and ends the workers. Blocks until they are gone, and tells how the runtime
    /// ended: with code 0 if nothing else ended it before.
    pub fn shutdown(&self) -> ExitStatus {
        if let Some(pool) = self.pool.upgrade() {
            pool.drain();
            pool.wait_all();
        }
        self.end(Cause::Exited(0))
    }

    /// Ends the runtime at once: tasks that are queued are never run, those that run are
    /// stopped. Blocks until the workers are gone.
    pub fn shutdown_now(&self) -> ExitStatus {
        self.end(Cause::Killed(None))
    }

    fn end(&self, cause: Cause) -> ExitStatus {
        if let Some(state) = self.state.upgrade() {
            state.end(cause);
        }
        self.process.wait()
    }

    /// Waits until each worker has its instance.
    fn until_ready(&self, ready: &Receiver<Result<(), String>>, workers: u32) -> Result<(), Error> {
        for _ in 0..workers {
            match ready.recv() {
                Ok(Ok(())) => {}
                Ok(Err(message)) if self.state.upgrade().is_some_and(|s| !s.is_ending()) => {
                    return Err(Error::Instantiate { message });
                }
                // The program has failed before there were workers, or has ended.
                Ok(Err(_)) | Err(_) => {
                    let status = Box::new(self.process.wait());
                    return Err(Error::Start { status });
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for ThreadRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadRuntime")
            .field("process", &self.process)
            .field("workers", &self.workers())
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
