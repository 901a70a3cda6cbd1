//! [`Engine`]: what all modules and processes of a host program share.

use crate::thread::ThreadContext;
use crate::watchdog::Watchdog;
use crate::worker::Workers;
use crate::{Error, process, wasi};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use threadwork_parking::Cores;
use wasmtime::{Config, Linker, WasmBacktraceDetails};

/// Native stack for the frames of each guest thread.
const MAX_WASM_STACK: usize = 1 << 20;

/// Native stack beyond that, for host functions.
const HOST_STACK: usize = 256 << 10;

/// The compiler, the worker threads and the watchdog. Cheap to clone; one for a
/// host program is enough.
///
/// Dropping the last clone (processes and modules hold one) ends the idle workers.
///
/// ```
/// use threadwork_engine::{Engine, Module, ProcessBuilder};
///
/// # fn main() -> Result<(), threadwork_engine::Error> {
/// let engine = Engine::new()?;
/// let module = Module::new(&engine, b"(module (func (export \"_start\")))")?;
/// let status = ProcessBuilder::new(&module).run()?;
/// assert!(status.success());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    /// The host functions that every module may import.
    linker: Linker<ThreadContext>,
    cores: Arc<Cores>,
    parallelism: u32,
    workers: Workers,
    watchdog: Watchdog,
    cache: Option<PathBuf>,
    interruptible: bool,
}

/// The settings of an [`Engine`]; made by [`Engine::builder`].
#[derive(Debug, Clone)]
pub struct EngineBuilder {
    cache: Option<PathBuf>,
    interruptible: bool,
    max_wasm_stack: usize,
}

impl EngineBuilder {
    /// Keeps compiled modules in `dir`, which only the user should be able to write
    /// to: what is found there is run. Without one, each load compiles.
    #[must_use]
    pub fn cache_dir(mut self, dir: Option<PathBuf>) -> Self {
        self.cache = dir;
        self
    }

    /// Whether threads that compute can be ended. Costs a read of memory in each loop
    /// and in each function that calls others (`threadwork-bench engine --filter
    /// interruption` measures it). Without it, kills and time limits end a thread only
    /// when it waits or calls the host. On by default.
    #[must_use]
    pub fn interruptible(mut self, on: bool) -> Self {
        self.interruptible = on;
        self
    }

    /// Native stack for WebAssembly frames of each thread, in bytes: 1 MiB by
    /// default. It is reserved, not used, until a thread recurses deeply. What the
    /// guest's compiler puts into linear memory is not counted here.
    #[must_use]
    pub fn max_wasm_stack(mut self, bytes: usize) -> Self {
        self.max_wasm_stack = bytes;
        self
    }

    /// Makes the engine.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if Wasmtime does not accept the settings on this
    /// machine.
    pub fn build(self) -> Result<Engine, Error> {
        let configuration = |error: wasmtime::Error| Error::Configuration(error.into());
        let mut config = Config::new();
        config
            .shared_memory(true)
            .max_wasm_stack(self.max_wasm_stack)
            .wasm_backtrace_details(WasmBacktraceDetails::Disable)
            .wasm_tail_call(true)
            .wasm_multi_memory(true)
            .wasm_memory64(true)
            .wasm_relaxed_simd(true)
            .wasm_extended_const(true)
            .wasm_exceptions(true)
            .concurrency_support(false);
        let wasmtime = wasmtime::Engine::new(&config).map_err(configuration)?;
        let mut linker = Linker::new(&wasmtime);
        wasi::add_to_linker(&mut linker).map_err(configuration)?;
        process::add_to_linker(&mut linker).map_err(configuration)?;
        let parallelism = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let parallelism = u32::try_from(parallelism).unwrap_or(u32::MAX);
        let cores = Arc::new(Cores::new(parallelism));
        Ok(Engine(Arc::new(Inner {
            linker,
            workers: Workers::new(self.max_wasm_stack + HOST_STACK, Arc::clone(&cores)),
            watchdog: Watchdog::default(),
            wasmtime,
            cores,
            parallelism,
            cache: self.cache,
            interruptible: self.interruptible,
        })))
    }
}

impl Engine {
    /// An engine with the default settings.
    ///
    /// # Errors
    ///
    /// As [`EngineBuilder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// The default settings, to be changed.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            cache: None,
            interruptible: true,
            max_wasm_stack: MAX_WASM_STACK,
        }
    }

    /// The number of threads that can run at the same time on this machine.
    #[must_use]
    pub fn parallelism(&self) -> u32 {
        self.0.parallelism
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn linker(&self) -> &Linker<ThreadContext> {
        &self.0.linker
    }

    pub(crate) fn cores(&self) -> &Arc<Cores> {
        &self.0.cores
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.0.workers
    }

    pub(crate) fn watchdog(&self) -> &Watchdog {
        &self.0.watchdog
    }

    pub(crate) fn cache(&self) -> Option<&Path> {
        self.0.cache.as_deref()
    }

    pub(crate) fn interruptible(&self) -> bool {
        self.0.interruptible
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
