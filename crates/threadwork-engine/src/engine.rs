//! [`Engine`]: what all modules and processes of a host program share.

use crate::compile_limits::CompileLimits;
use crate::error::Error;
use crate::machine::{
    CAN_SIGNAL, Compiler, CompilerProcess, HAS_PERF, Machine, PerfMap, USUAL_FRAMES, config,
    install_signal, workers_of_system,
};
use crate::process::{self, ThreadContext};
use crate::processes::{EngineStats, ProcessInfo};
use std::num::{NonZero, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::Linker;

/// What programs and debuggers ignore.
#[cfg(unix)]
const DEFAULT_SIGNAL: i32 = libc::SIGURG;
#[cfg(not(unix))]
const DEFAULT_SIGNAL: i32 = 0;

/// Native stack for the frames of each guest thread.
const MAX_WASM_STACK: usize = 16 << 20;

/// Native stack beyond both, for the frames by which a worker gets to the guest, and what the
/// system takes of a thread's stack for itself: so host functions have all that is theirs.
const ENTRY_STACK: usize = 64 << 10;

/// Native stack beyond that, for host functions. The engine's own need at most 20 KiB, measured
/// where the guest's share was used up (`path_open`; a spawn, which makes an instance, 16).
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
    machine: Arc<Machine>,
    /// The host functions that every module may import.
    linker: Linker<ThreadContext>,
    cache: Option<PathBuf>,
    stopping: Stopping,
    max_wasm_stack: usize,
    compile_limits: CompileLimits,
    compiler_process: Option<CompilerProcess>,
    checks_stacks: bool,
    perf_map: Option<PerfMap>,
}

/// How threads that compute are stopped, when their process or task is to end.
///
/// Threads that wait, sleep, read or write are woken in any case, and end then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stopping {
    /// By a signal, sent to the thread: nothing is added to the guest's loops. On Linux on
    /// x86-64, where it is the default.
    Signal,
    /// By reads of a page, in each loop and each function, that fail once the page is
    /// closed. Slower: `threadwork-bench engine --filter interruption` measures by how
    /// much. The default where there is no such signal.
    Poll,
    /// Not at all: kills and time limits end a thread only when it waits or calls the host.
    Never,
}

impl Default for Stopping {
    fn default() -> Self {
        match CAN_SIGNAL {
            true => Self::Signal,
            false => Self::Poll,
        }
    }
}

/// The settings of an [`Engine`]; made by [`Engine::builder`].
#[derive(Debug, Clone)]
pub struct EngineBuilder {
    cache: Option<PathBuf>,
    stopping: Stopping,
    stop_signal: i32,
    checks_stacks: bool,
    max_wasm_stack: usize,
    host_stack: usize,
    max_workers: Option<u32>,
    max_backtrace_frames: NonZeroUsize,
    parallelism: Option<NonZero<u32>>,
    compile_limits: CompileLimits,
    compiler_process: Option<CompilerProcess>,
    perf_map: bool,
}

impl EngineBuilder {
    /// Keeps compiled modules in `dir`, which only the user should be able to write
    /// to: what is found there is run, where its file is mapped. Files may be removed at any
    /// time, but not changed. Without a directory, each load compiles.
    #[must_use]
    pub fn cache_dir(mut self, dir: Option<PathBuf>) -> Self {
        self.cache = dir;
        self
    }

    /// How threads that compute are stopped.
    #[must_use]
    pub fn stopping(mut self, stopping: Stopping) -> Self {
        self.stopping = stopping;
        self
    }

    /// The number of the signal of [`Stopping::Signal`]; `SIGURG` by default, which
    /// programs and debuggers ignore. It is sent to the engine's own threads only. A
    /// handler that the program had for it before is called for every signal that is not
    /// the engine's own; one that is set later must do the same.
    ///
    /// Go's runtime sends `SIGURG` to its own threads. In a program that has both, those go on
    /// to its handler, since only the engine's workers take the signal as the engine's. Go
    /// forwards what meets other threads than its own, if its handler is set later, by its
    /// documentation; a runtime that does not needs another number here.
    #[must_use]
    pub fn stop_signal(mut self, number: i32) -> Self {
        self.stop_signal = number;
        self
    }

    /// Whether a thread that needs more than its stack in linear memory traps, instead of
    /// writing over whatever lies below: on by default. Compilers keep a stack there for
    /// what cannot be a local. It is looked at in modules whose stack is known, by the name
    /// of `__stack_pointer` or by wasi-libc's `wasi_thread_start`.
    #[must_use]
    pub fn check_stacks(mut self, on: bool) -> Self {
        self.checks_stacks = on;
        self
    }

    /// Native stack for WebAssembly frames of each thread, in bytes: 16 MiB by
    /// default. It is reserved, not used, until a thread recurses deeply. What the
    /// guest's compiler puts into linear memory is not counted here.
    ///
    /// It is the same for all threads, whatever stack a program asks for when it starts
    /// one (`std::thread::Builder::stack_size`): that is of linear memory, libraries do
    /// not pass the number on, and workers run one thread after another. A thread that
    /// uses it up traps, and the trap names this setting.
    #[must_use]
    pub fn max_wasm_stack(mut self, bytes: usize) -> Self {
        self.max_wasm_stack = bytes;
        self
    }

    /// Native stack that host functions have on each thread beyond that, in bytes: 256 KiB
    /// by default; the engine's own need at most 20 KiB. Raise it for host
    /// functions that recurse, or put large arrays on the stack.
    ///
    /// A host function has all of it whenever a guest calls it, however deep that has
    /// recursed: a guest that would reach into it traps. If it calls the guest back, the guest's
    /// share goes on where it was, and a host function that this calls has what the first
    /// has left.
    ///
    /// A host function that needs more overflows the stack of its thread, like any function
    /// of a Rust program: the system ends the program, guests and all. Nothing could be made
    /// of it: the function may hold locks, and half of what it was changing is changed.
    #[must_use]
    pub fn host_stack(mut self, bytes: usize) -> Self {
        self.host_stack = bytes;
        self
    }

    /// The most worker threads that the engine has at one time. All threads of all processes
    /// run on them, and a worker that is idle for two seconds ends.
    ///
    /// A process that cannot be started because of it is an [`Error::System`]; a guest's
    /// thread that cannot is refused as by the system, with `EAGAIN`. To bound one process,
    /// use [`Limits::threads`](crate::Limits::threads).
    ///
    /// The default is well below what the system allows: a host program that has no thread
    /// or mapping left is likely to abort. On Linux it is half of the threads that
    /// `vm.max_map_count` has mappings for (some 8,000 with the usual 65,530), half of
    /// `kernel.threads-max`, of `kernel.pid_max` and of the address space (`RLIMIT_AS`,
    /// `RLIMIT_DATA`), and three quarters of `RLIMIT_NPROC` and of the `pids.max` of the control groups, whichever is
    /// least; elsewhere it is 2,000. Memories that instances have for themselves, which cost
    /// mappings as well, are bounded in the same way. A program that has several engines, or
    /// many threads of its own, sets less.
    #[must_use]
    pub fn max_workers(mut self, count: u32) -> Self {
        self.max_workers = Some(count);
        self
    }

    /// How many frames a [`Backtrace`](crate::Backtrace) has at most, the newest ones: 20 by
    /// default. Those of traps and of the threads of a deadlock report alike.
    ///
    /// A trap visits so many, and keeps them, in each thread that traps: a large number makes
    /// the end of a program that recurses dear.
    #[must_use]
    pub fn max_backtrace_frames(mut self, count: NonZeroUsize) -> Self {
        self.max_backtrace_frames = count;
        self
    }

    /// How many threads can run at the same time: what programs are told, and how many cores
    /// a thread that spins believes in. With one, nobody spins.
    ///
    /// The default is what [`std::thread::available_parallelism`] says, which knows the
    /// cores that the program may run on, and the CPU quota of its control group where it can
    /// read that. A program that knows of a quota that it cannot read says so here: who spins
    /// on a share of a core burns it.
    ///
    /// ```
    /// use std::num::NonZero;
    /// use threadwork_engine::Engine;
    ///
    /// let engine = Engine::builder().parallelism(NonZero::<u32>::MIN).build()?;
    /// assert_eq!(engine.parallelism(), 1);
    /// # Ok::<(), threadwork_engine::Error>(())
    /// ```
    #[must_use]
    pub fn parallelism(mut self, threads: NonZero<u32>) -> Self {
        self.parallelism = Some(threads);
        self
    }

    /// What a module may cost to compile; without bounds by default.
    #[must_use]
    pub fn compile_limits(mut self, limits: CompileLimits) -> Self {
        self.compile_limits = limits;
        self
    }

    /// Compiles in a process of its own, which is ended where it needs more time or memory
    /// than it may have. Without one, modules are compiled in this program, on all cores:
    /// a compile that has begun there goes on to its end, and
    /// [`compile_limits`](Self::compile_limits) bound what it can cost.
    ///
    /// A process costs some milliseconds for each module, unless the engine's cache has it.
    #[must_use]
    pub fn compiler_process(mut self, process: CompilerProcess) -> Self {
        self.compiler_process = Some(process);
        self
    }

    /// Tells Linux' `perf` the names of the modules' functions, in `/tmp/perf-PID.map`: off by
    /// default. `perf record -g --call-graph fp` and `perf report` then show guests like any
    /// program; the file stays when the program ends, since `perf` reads it afterwards. Where
    /// code is in the [cache](Self::cache_dir), it is copied into memory rather than mapped,
    /// for `perf` looks for the names of mapped code in the file.
    ///
    /// For a profile without `perf`, see
    /// [`ProcessBuilder::profile`](crate::ProcessBuilder::profile).
    #[must_use]
    pub fn perf_map(mut self, on: bool) -> Self {
        self.perf_map = on;
        self
    }

    /// Settings for modules from strangers, to be used with
    /// [`Limits::untrusted`](crate::Limits::untrusted) for their processes:
    /// [`CompileLimits::untrusted`], and threads that can be stopped. What else was set
    /// stays as it is. With them a compile takes some seconds of a core at worst; a bound
    /// in seconds and bytes is that of a [`compiler_process`](Self::compiler_process).
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork_engine::{Engine, Limits, Module, ProcessBuilder};
    ///
    /// let engine = Engine::builder().untrusted().build()?;
    /// let module = Module::new(&engine, b"(module (func (export \"_start\") (loop (br 0))))")?;
    /// let limits = Limits::untrusted().wall_time(Duration::from_millis(100));
    /// let status = ProcessBuilder::new(&module).limits(limits).run()?;
    /// assert_eq!(status.code(), 124);
    /// # Ok::<(), threadwork_engine::Error>(())
    /// ```
    #[must_use]
    pub fn untrusted(mut self) -> Self {
        if self.stopping == Stopping::Never {
            self.stopping = Stopping::default();
        }
        self.compile_limits(CompileLimits::untrusted())
    }

    /// Makes the engine.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if Wasmtime does not accept the settings on this machine,
    /// if the signal that is to stop threads cannot be handled, or if the map for `perf`
    /// cannot be made.
    pub fn build(self) -> Result<Engine, Error> {
        let configuration = |error: wasmtime::Error| Error::Configuration(error.into());
        let frames = self.max_backtrace_frames;
        let config = config(self.max_wasm_stack, frames);
        let wasmtime = wasmtime::Engine::new(&config).map_err(configuration)?;
        let compiler = Compiler::new(config).map_err(configuration)?;
        let signal = (self.stopping == Stopping::Signal).then_some(self.stop_signal);
        if let Some(signal) = signal {
            install_signal(signal).map_err(|error| no_signal(signal, &error))?;
        }
        let perf_map = self.perf_map.then(open_perf_map).transpose()?;
        let mut linker = Linker::new(&wasmtime);
        threadwork_wasi::add_to_linker(&mut linker).map_err(configuration)?;
        process::add_to_linker(&mut linker).map_err(configuration)?;
        let stack = self
            .max_wasm_stack
            .saturating_add(self.host_stack)
            .saturating_add(ENTRY_STACK);
        let most = self.max_workers.unwrap_or_else(|| workers_of_system(stack));
        let parallelism = self.parallelism.map_or_else(cores, NonZero::get);
        let machine = Machine::new(wasmtime, compiler, signal, stack, most, frames, parallelism);
        Ok(Engine(Arc::new(Inner {
            machine: Arc::new(machine),
            linker,
            cache: self.cache,
            stopping: self.stopping,
            max_wasm_stack: self.max_wasm_stack,
            compile_limits: self.compile_limits,
            compiler_process: self.compiler_process,
            checks_stacks: self.checks_stacks,
            perf_map,
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
            stopping: Stopping::default(),
            stop_signal: DEFAULT_SIGNAL,
            checks_stacks: true,
            max_wasm_stack: MAX_WASM_STACK,
            host_stack: HOST_STACK,
            max_workers: None,
            max_backtrace_frames: USUAL_FRAMES,
            parallelism: None,
            compile_limits: CompileLimits::default(),
            compiler_process: None,
            perf_map: false,
        }
    }

    /// The number of threads that can run at the same time: the machine's, unless
    /// [`EngineBuilder::parallelism`] has set it.
    #[must_use]
    pub fn parallelism(&self) -> u32 {
        self.0.machine.parallelism()
    }

    /// The processes that run now, those of runtimes too, in the order of their start.
    ///
    /// ```
    /// use threadwork_engine::{Engine, Module, ProcessBuilder};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// let engine = Engine::new()?;
    /// let forever = br#"(module (func (export "_start") (loop (br 0))))"#;
    /// let module = Module::new(&engine, forever)?;
    /// let process = ProcessBuilder::new(&module).arg0("forever.wasm").spawn()?;
    /// let list = engine.processes();
    /// assert_eq!((list[0].id, &*list[0].name), (process.id(), "forever.wasm"));
    /// assert!(engine.kill(process.id(), "maintenance"));
    /// assert_eq!(process.wait().to_string(), "killed: maintenance");
    /// assert_eq!((engine.stats().killed, engine.processes().len()), (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessInfo> {
        self.0.machine.processes().list()
    }

    /// Kills the process with this number, as
    /// [`Process::kill_with`](crate::Process::kill_with); false if it does not run.
    pub fn kill(&self, process: u64, reason: impl Into<String>) -> bool {
        let reason = Some(reason.into());
        self.0.machine.processes().kill(process, reason)
    }

    /// What the engine has done so far. Reads the counters of all processes that run.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let (workers, workers_idle) = self.0.machine.workers().count();
        EngineStats {
            workers,
            workers_idle,
            ..self.0.machine.processes().stats()
        }
    }

    pub(crate) fn machine(&self) -> &Arc<Machine> {
        &self.0.machine
    }

    pub(crate) fn linker(&self) -> &Linker<ThreadContext> {
        &self.0.linker
    }

    pub(crate) fn cache(&self) -> Option<&Path> {
        self.0.cache.as_deref()
    }

    pub(crate) fn max_wasm_stack(&self) -> usize {
        self.0.max_wasm_stack
    }

    pub(crate) fn compile_limits(&self) -> &CompileLimits {
        &self.0.compile_limits
    }

    pub(crate) fn compiler_process(&self) -> Option<&CompilerProcess> {
        self.0.compiler_process.as_ref()
    }

    pub(crate) fn checks_stacks(&self) -> bool {
        self.0.checks_stacks
    }

    pub(crate) fn perf_map(&self) -> Option<&PerfMap> {
        self.0.perf_map.as_ref()
    }

    pub(crate) fn stopping(&self) -> Stopping {
        self.0.stopping
    }
}

fn open_perf_map() -> Result<PerfMap, Error> {
    let cannot = |message: String| Error::Configuration(message.into());
    if !HAS_PERF {
        return Err(cannot(
            "there is no `perf` on this system to make a map for".to_owned(),
        ));
    }
    PerfMap::open().map_err(|error| cannot(format!("the map for `perf` cannot be made: {error}")))
}

/// What the system lets the program use, as std knows it.
fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

fn no_signal(signal: i32, error: &std::io::Error) -> Error {
    let message = format!(
        "signal {signal} cannot stop threads here ({error}): choose another one \
         (EngineBuilder::stop_signal), or Stopping::Poll"
    );
    Error::Configuration(message.into())
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
