//! What the tests of the host interface work with: an engine, a library of guests, and
//! threads of this program.

use std::thread;

use threadwork_engine::{
    Engine, Module, RuntimeBuilder, RuntimeConfig, SharedMemory, Task, TaskHandle, ThreadRuntime,
    Val,
};

use super::check::OrFail;

pub(super) struct Stage {
    engine: Engine,
    library: Module,
}

impl Stage {
    pub(super) fn new(engine: &Engine, library: Module) -> Self {
        Self {
            engine: engine.clone(),
            library,
        }
    }

    /// A memory of the host's own.
    pub(super) fn memory(&self, pages: u64, most: u64) -> Result<SharedMemory, String> {
        SharedMemory::new(&self.engine, pages, most).or_fail("a memory")
    }

    /// A runtime of the library with so many workers, which so many threads of this
    /// program will use.
    pub(super) fn runtime(&self, workers: u32, threads: u32) -> Result<ThreadRuntime, String> {
        self.with_workers(workers)
            .host_threads(threads)
            .build()
            .or_fail("a runtime")
    }

    pub(super) fn with_workers(&self, workers: u32) -> RuntimeBuilder {
        ThreadRuntime::builder(&self.library).config(RuntimeConfig {
            pool_size: workers,
            ..RuntimeConfig::default()
        })
    }
}

/// Executes a guest with arguments of 32 bits: numbers, or offsets in its memory.
pub(super) fn start<const N: usize>(
    runtime: &ThreadRuntime,
    entry: &str,
    args: [u64; N],
) -> Result<TaskHandle, String> {
    let args = args.map(|arg| Val::I32(arg as i32));
    runtime.execute(Task::new(entry, args)).or_fail(entry)
}

/// Executes it, and waits for its only result.
pub(super) fn call<const N: usize>(
    runtime: &ThreadRuntime,
    entry: &str,
    args: [u64; N],
) -> Result<u32, String> {
    start(runtime, entry, args)?.wait_as().or_fail(entry)
}

/// Runs `work(0)` to `work(threads - 1)`, each on a thread of this program. The first
/// failure is the failure of all.
pub(super) fn on_threads(
    threads: u64,
    work: impl Fn(u64) -> Result<(), String> + Sync,
) -> Result<(), String> {
    thread::scope(|scope| {
        let start = |index| {
            let work = &work;
            scope.spawn(move || work(index))
        };
        let handles: Vec<_> = (0..threads).map(start).collect();
        let end = |handle: thread::ScopedJoinHandle<'_, Result<(), String>>| {
            let outcome = handle.join();
            outcome.unwrap_or_else(|_| Err("a thread panicked".to_owned()))
        };
        let outcomes: Vec<_> = handles.into_iter().map(end).collect();
        outcomes.into_iter().collect()
    })
}
