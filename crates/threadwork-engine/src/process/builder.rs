//! [`ProcessBuilder`]: what a process is given.
//!
//! Invariant: what can be wrong with a program (imports, memory, limits, entry) is
//! an error here, before any of it runs.

use super::io::{HostEnds, InputStream, Output, OutputStream, Stdin};
use super::main_thread::{self, Program};
use super::{Linked, Process, State};
use crate::arena::Arena;
use crate::error::one_line;
use crate::limits::PAGE;
use crate::memory::Memory;
use crate::poll_page::PollPage;
use crate::runtime::Pool;
use crate::seat::Seat;
use crate::thread::{ThreadContext, ThreadState};
use crate::wasi::{Grants, Wasi};
use crate::{Error, ExitStatus, Limits, Module};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use threadwork_rewrite::{HOST_MODULE, POLL, SharedMemoryImport};
use wasmtime::{ExternType, Linker, MemoryTypeBuilder, SharedMemory, Store, UnknownImportError};

/// Adds an embedder's host functions to a linker.
type Define = Box<dyn FnOnce(&mut Linker<ThreadContext>) -> wasmtime::Result<()>>;

/// The arguments, files, streams and limits of a process to be. It starts with
/// nothing: no arguments, no environment, no files, empty input, forgotten output,
/// no limits.
///
/// ```
/// use threadwork_engine::{Engine, Limits, Module, Output, ProcessBuilder};
///
/// # fn main() -> Result<(), threadwork_engine::Error> {
/// # let engine = Engine::new()?;
/// # let module = Module::new(&engine, b"(module (func (export \"_start\")))")?;
/// let process = ProcessBuilder::new(&module)
///     .arg0("app.wasm")
///     .arg("--fast")
///     .env("RUST_BACKTRACE", "1")
///     .stdout(Output::Inherit)
///     .limits(Limits::default().memory(1 << 30))
///     .spawn()?;
/// assert!(process.wait().success());
/// # Ok(())
/// # }
/// ```
pub struct ProcessBuilder {
    module: Module,
    arg0: String,
    grants: Grants,
    stdin: Stdin,
    stdout: Output,
    stderr: Output,
    limits: Limits,
    define: Option<Define>,
}

/// What makes a process a command, a reactor, or a runtime.
#[derive(Default)]
pub(crate) struct Shape {
    /// Where a reactor gets its calls from.
    pub(crate) calls: Option<main_thread::CallSender>,
    /// The workers and tasks of a runtime.
    pub(crate) pool: Option<Pool>,
    /// Bytes that the memory has at first, if it may grow by twice as much.
    pub(crate) memory: u64,
    /// Threads of the host that count in the arena.
    pub(crate) hosts: u32,
}

/// A process that has everything but a running main thread.
pub(crate) struct Prepared {
    pub(crate) state: Arc<State>,
    ends: HostEnds,
    thread: Arc<ThreadState>,
    seat: Option<Seat>,
}

impl ProcessBuilder {
    /// A process of `module` that is given nothing yet.
    #[must_use]
    pub fn new(module: &Module) -> Self {
        Self {
            module: module.clone(),
            arg0: "main.wasm".to_owned(),
            grants: Grants::default(),
            stdin: Stdin::default(),
            stdout: Output::default(),
            stderr: Output::default(),
            limits: Limits::default(),
            define: None,
        }
    }

    /// The name under which the program knows itself: "main.wasm" unless set.
    #[must_use]
    pub fn arg0(mut self, name: impl Into<String>) -> Self {
        self.arg0 = name.into();
        self
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.grants.args.push(argument.into());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.grants
            .args
            .extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.grants.env.retain(|(other, _)| *other != name);
        self.grants.env.push((name, value.into()));
        self
    }

    /// Sets the host program's environment variables, as far as they are Unicode.
    #[must_use]
    pub fn inherit_env(self) -> Self {
        let unicode = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os()
            .filter_map(unicode)
            .fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Where standard input comes from.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Where standard output goes.
    #[must_use]
    pub fn stdout(mut self, stdout: Output) -> Self {
        self.stdout = stdout;
        self
    }

    /// Where standard error goes.
    #[must_use]
    pub fn stderr(mut self, stderr: Output) -> Self {
        self.stderr = stderr;
        self
    }

    /// Lets the program read and write the host's directory `host`, and what is
    /// below it, under the name `guest`.
    #[must_use]
    pub fn preopen_dir(mut self, host: impl AsRef<Path>, guest: impl Into<String>) -> Self {
        self.grants
            .dirs
            .push((host.as_ref().to_owned(), guest.into()));
        self
    }

    /// What the process may use at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds host functions of the embedder's own, which the guest can import. They
    /// run on the worker of the thread that calls; one that blocks cannot be
    /// cancelled, so the process ends only when it returns.
    #[must_use]
    pub fn linker(
        mut self,
        define: impl FnOnce(&mut Linker<ThreadContext>) -> wasmtime::Result<()> + 'static,
    ) -> Self {
        self.define = Some(Box::new(define));
        self
    }

    /// Starts a command: `_start` runs on a worker when this returns.
    ///
    /// # Errors
    ///
    /// If the program cannot be started as it is; nothing of it has run then.
    pub fn spawn(self) -> Result<Process, Error> {
        self.check_entry(
            "_start",
            "it may be a reactor, which only a host program can use (ProcessBuilder::load)",
            true,
        )?;
        self.prepare(Shape::default())?.run(Program::Command)
    }

    /// Loads a reactor: calls `_initialize`, if the module exports it, and returns
    /// when that is done. Exports can then be called with [`Process::call`].
    ///
    /// # Errors
    ///
    /// If the program cannot be started as it is. If `_initialize` fails, this
    /// succeeds, the process has ended, and its status says why.
    pub fn load(self) -> Result<Process, Error> {
        self.check_entry("_initialize", "", false)?;
        let (ready, is_ready) = main_thread::reply();
        let (sender, receiver) = main_thread::channel();
        let prepared = self.prepare(Shape {
            calls: Some(sender),
            ..Shape::default()
        })?;
        let process = prepared.run(Program::Reactor(receiver, ready))?;
        // An error means that the main thread has ended.
        let _ = is_ready.recv();
        Ok(process)
    }

    /// Starts a command and blocks until it has ended.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn run(self) -> Result<ExitStatus, Error> {
        Ok(self.spawn()?.wait())
    }

    /// An entry must be a function without parameters and results.
    fn check_entry(&self, name: &str, remedy: &'static str, required: bool) -> Result<(), Error> {
        let name = name.to_owned();
        match self.module.wasmtime().get_export(&name) {
            Some(ExternType::Func(ty)) if ty.params().len() + ty.results().len() == 0 => Ok(()),
            Some(ExternType::Func(ty)) => Err(Error::EntryType {
                name,
                found: ty.to_string(),
                expected: "(func)",
            }),
            _ if required => Err(Error::NoEntry { name, remedy }),
            _ => Ok(()),
        }
    }

    /// Makes everything that the main thread needs. Nothing of the guest's runs yet.
    pub(crate) fn prepare(mut self, shape: Shape) -> Result<Prepared, Error> {
        self.limits.check()?;
        self.grants.args.insert(0, std::mem::take(&mut self.arg0));
        self.tell_parallelism();
        let mut ends = HostEnds::default();
        let stdin = InputStream::open(self.stdin, &mut ends)?;
        let stdout = OutputStream::stdout(self.stdout, &mut ends)?;
        let stderr = OutputStream::stderr(self.stderr, &mut ends)?;
        let wasi = Wasi::new(&self.grants, stdin, stdout, stderr, self.limits.open_files)?;
        let arena = Arena::new(
            make_memories(&self.module, &self.limits, shape.memory)?,
            Arc::clone(self.module.engine().cores()),
            self.limits.memory,
            shape.hosts,
        );
        if let Some(import) = self.module.memories().first() {
            arena.own_from(import.minimum.saturating_mul(PAGE));
        }
        let poll_page = make_poll_page(&self.module)?;
        let Shape { calls, pool, .. } = shape;
        let state = State::new(
            &self.module,
            arena,
            poll_page,
            self.limits,
            wasi,
            calls,
            pool,
        );
        let state = Arc::new(state);
        state.arena().belongs_to(&state);
        state.link(link(&state, self.define.take())?);
        let thread = state.add_main();
        // Without a shared memory, an instance runs its start function when it is made.
        let seat = match state.memories().is_empty() {
            true => None,
            false => Some(
                Seat::new(&state, &thread).map_err(|error| Error::Instantiate {
                    message: one_line(&error),
                })?,
            ),
        };
        Ok(Prepared {
            state,
            ends,
            thread,
            seat,
        })
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    /// Limits the threads beside the main one, and leaves the other limits as they are.
    pub(crate) fn max_threads(mut self, count: u32) -> Self {
        self.limits.threads = Some(count);
        self
    }

    /// WASI cannot say how many threads run at once, so rayon, and our own library, would
    /// use one.
    fn tell_parallelism(&mut self) {
        if !self.module.spawns() {
            return;
        }
        let cores = self.module.engine().parallelism();
        let granted = self.limits.threads.map_or(cores, |most| most.min(cores));
        for name in ["RAYON_NUM_THREADS", "THREADWORK_PARALLELISM"] {
            if !self.grants.env.iter().any(|(given, _)| given == name) {
                self.grants.env.push((name.to_owned(), granted.to_string()));
            }
        }
    }
}

impl Prepared {
    /// Starts the main thread.
    fn run(self, program: Program) -> Result<Process, Error> {
        self.start(|state, seat, thread| main_thread::run(state, seat, thread, program))
    }

    /// Starts the main thread, which runs `main` and holds a store until that returns.
    pub(crate) fn start(
        self,
        main: impl FnOnce(&Arc<State>, Option<Seat>, &Arc<ThreadState>) + Send + 'static,
    ) -> Result<Process, Error> {
        let Self {
            state,
            ends,
            thread,
            seat,
        } = self;
        state.watch();
        let process = Arc::clone(&state);
        let run = move |_: &Arc<_>| {
            main(&process, seat, &thread);
            process.vacate();
        };
        let workers = state.module().engine().workers();
        workers.run(run).map_err(|source| Error::System {
            what: "a thread",
            source,
        })?;
        Ok(Process::new(state, ends))
    }
}

impl std::fmt::Debug for ProcessBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessBuilder")
            .field("arg0", &self.arg0)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Makes the shared memories, of `size` bytes if they want less and may have as much; a
/// limit lowers the maximum.
fn make_memories(module: &Module, limits: &Limits, size: u64) -> Result<Vec<Memory>, Error> {
    let mut left = limits.memory.map(|bytes| bytes / PAGE);
    let too_large = |minimum: u64, limit: u64| Error::Memory {
        minimum: minimum.saturating_mul(PAGE),
        reason: format!("the limit is {limit} bytes: raise it"),
    };
    let own = module
        .wasmtime()
        .resources_required()
        .max_initial_memory_size;
    if let (Some(own), Some(limit)) = (own, limits.memory)
        && own > limit / PAGE
    {
        return Err(too_large(own, limit));
    }
    let make = |import: &SharedMemoryImport| {
        let refused = |reason: String| Error::Memory {
            minimum: import.minimum.saturating_mul(PAGE),
            reason,
        };
        let declared = import.maximum.unwrap_or(import.minimum);
        let maximum = left.map_or(declared, |left| left.min(declared));
        if maximum < import.minimum {
            let bytes = limits.memory.unwrap_or_default();
            return Err(too_large(import.minimum, bytes));
        }
        // It keeps half of what it may grow by.
        let more = (size / PAGE).saturating_sub(import.minimum);
        let minimum = import.minimum + more.min((maximum - import.minimum) / 2);
        if let Some(left) = &mut left {
            *left -= minimum;
        }
        let ty = MemoryTypeBuilder::default()
            .shared(true)
            .memory64(import.memory64)
            .min(minimum)
            .max(Some(maximum))
            .build()
            .map_err(|error| refused(one_line(&error)))?;
        let memory = SharedMemory::new(module.engine().wasmtime(), ty)
            .map_err(|error| refused(one_line(&error)))?;
        Ok(Memory::new(memory))
    };
    module.memories().iter().map(make).collect()
}

/// Makes what stops the threads that compute, if the module looks at it.
fn make_poll_page(module: &Module) -> Result<Option<PollPage>, Error> {
    let page = module
        .has_poll()
        .then(|| PollPage::new(module.engine().wasmtime()));
    page.transpose().map_err(|error| Error::Memory {
        minimum: PAGE,
        reason: one_line(&error),
    })
}

/// Resolves the imports of the process's module.
fn link(state: &Arc<State>, define: Option<Define>) -> Result<Linked, Error> {
    let module = state.module();
    let failed = |error: wasmtime::Error| Error::Linker {
        message: one_line(&error),
    };
    let mut linker = module.linker().clone();
    if let Some(define) = define {
        define(&mut linker).map_err(failed)?;
    }
    // Shared memories belong to no store; the linker wants one to know the engine.
    let context = ThreadContext {
        process: Arc::clone(state),
        thread: Arc::default(),
    };
    let mut store = Store::new(module.engine().wasmtime(), context);
    linker.allow_shadowing(true);
    for (import, memory) in module.memories().iter().zip(state.memories()) {
        linker
            .define(
                &store,
                &import.module,
                &import.name,
                memory.shared().clone(),
            )
            .map_err(failed)?;
    }
    if let Some(page) = state.poll_page() {
        linker
            .define(&store, HOST_MODULE, POLL, page.memory().clone())
            .map_err(failed)?;
    }
    let pre = linker.instantiate_pre(module.wasmtime()).map_err(|error| {
        if error.is::<UnknownImportError>() {
            missing_imports(module, &linker, &mut store)
        } else {
            Error::ImportType {
                message: one_line(&error),
            }
        }
    })?;
    Ok(Linked { linker, pre })
}

/// All that is missing, in one error.
fn missing_imports(
    module: &Module,
    linker: &Linker<ThreadContext>,
    store: &mut Store<ThreadContext>,
) -> Error {
    let mut missing = Vec::new();
    for import in module.wasmtime().imports() {
        if linker.get_by_import(&mut *store, &import).is_none() {
            missing.push(import);
        }
    }
    let remedy = missing.first().map_or("", |import| match import.ty() {
        ExternType::Memory(_) => {
            "a memory that is not shared belongs to the module; link it without --import-memory"
        }
        _ => remedy(import.module()),
    });
    // Escaped, because a name may be anything.
    let names = missing.iter().map(|import| {
        format!(
            "{}.{}",
            import.module().escape_debug(),
            import.name().escape_debug()
        )
    });
    Error::MissingImports {
        names: names.collect(),
        remedy,
    }
}

/// What the module of an import says about how the program was built.
fn remedy(module: &str) -> &'static str {
    match module {
        "wasi_snapshot_preview1" => "this is no function of WASI preview 1",
        "wasi_unstable" => {
            "the program was built for an old WASI; build it for wasm32-wasip1-threads"
        }
        "wasi" => "of wasi-threads there is only wasi.thread-spawn",
        "env" => {
            "a C function may be undefined, or the program was built for a browser; link \
             what it lacks, build it for wasm32-wasip1-threads, or run it in a host program \
             that defines it (ProcessBuilder::linker)"
        }
        "go" | "gojs" => "the program was built for Go's JavaScript host; set GOOS=wasip1",
        module if module.starts_with("__wbindgen") || module == "wbg" => {
            "the program was built with wasm-bindgen for a browser; build it for \
             wasm32-wasip1-threads without"
        }
        module if module.starts_with("wasi:") || module == "$root" => {
            "the program was built for the component model; build it for \
             wasm32-wasip1-threads"
        }
        module if module.starts_with("wasix") => {
            "the program was built for WASIX; build it for wasm32-wasip1-threads"
        }
        _ => {
            "build the program without, or run it in a host program that defines it \
             (ProcessBuilder::linker)"
        }
    }
}
