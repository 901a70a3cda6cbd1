//! [`ProcessBuilder`]: what a process is given.
//!
//! Invariant: what can be wrong with a program (imports, memory, limits, entry) is
//! an error here, before any of it runs.

use super::calls::{self, Calls};
use super::handle::Process;
use super::imports::{Define, link};
use super::main_thread::{self, Main};
use crate::error::{Error, no_instance, no_memory, one_line};
use crate::exit_status::ExitStatus;
use crate::limits::{Limits, PAGE};
use crate::linear_memory::{Arena, Memory, Totals};
use crate::machine::{CAN_SAMPLE, install_sampler, with_traps};
use crate::module::Module;
use crate::poll_page::PollPage;
use crate::process::{
    ELEMENT, Parts, PooledInstance, Program, State, ThreadContext, catch_panic, check_limits,
};
use crate::profile::Profile;
use crate::recorder::{ProfileOptions, Recorder};
use crate::thread::ThreadState;
use crate::wasi::{Dir, Grants, HostEnds, Output, Stdin, Streams};
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use threadwork_rewrite::SharedMemoryImport;
use wasmtime::{ExternType, Linker, MemoryTypeBuilder, SharedMemory};

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
    host_memory: u64,
    define: Option<Define>,
    profile: Option<ProfileOptions>,
}

/// What a runtime wants of its process.
#[derive(Default)]
pub(crate) struct Shape {
    /// Bytes that the memory has at first, if it may grow by twice as much.
    pub(crate) memory: u64,
    /// Threads of the host that count in the arena.
    pub(crate) hosts: u32,
}

/// A process that has everything but a running main thread.
pub(crate) struct Prepared<P> {
    pub(crate) state: Arc<State>,
    pub(crate) program: Arc<P>,
    profile: Option<Profile>,
    ends: HostEnds,
    thread: Arc<ThreadState>,
    instance: PooledInstance,
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
            host_memory: 0,
            define: None,
            profile: None,
        }
    }

    /// The name under which the program knows itself: "main.wasm" unless set.
    #[must_use]
    pub fn arg0(mut self, name: impl Into<String>) -> Self {
        self.arg0 = name.into();
        self
    }

    /// Appends an argument. One with a NUL character is an error when the process starts.
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

    /// Sets an environment variable. An empty name, a `=` in a name or a NUL character is an
    /// error when the process starts.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.grants.env.retain(|(other, _)| *other != name);
        self.grants.env.push((name, value.into()));
        self
    }

    /// Sets the host program's environment variables, as far as they are Unicode and have
    /// names that a program can be given.
    #[must_use]
    pub fn inherit_env(self) -> Self {
        let unicode = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok()?;
            // Windows has some.
            let is_name = !name.is_empty() && !name.contains('=');
            Some((name, value.into_string().ok()?)).filter(|_| is_name)
        };
        std::env::vars_os()
            .filter_map(unicode)
            .fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Where standard input comes from: a [`Stdin`], or what has a descriptor, such as a file.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdin>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Where standard output goes: an [`Output`], or what has a descriptor, such as a file.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Output>) -> Self {
        self.stdout = stdout.into();
        self
    }

    /// Where standard error goes, as for [`stdout`](Self::stdout).
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<Output>) -> Self {
        self.stderr = stderr.into();
        self
    }

    /// Lets the program read and write the host's directory `host`, and what is
    /// below it, under the name `guest`.
    #[must_use]
    pub fn preopen_dir(self, host: impl AsRef<Path>, guest: impl Into<String>) -> Self {
        self.grant_dir(host.as_ref(), guest.into(), false)
    }

    /// As [`preopen_dir`](Self::preopen_dir), for reading only: whatever would change something
    /// there fails with `EROFS`, also where the host program runs as root, to whom the modes of
    /// files mean nothing.
    #[must_use]
    pub fn preopen_dir_read_only(self, host: impl AsRef<Path>, guest: impl Into<String>) -> Self {
        self.grant_dir(host.as_ref(), guest.into(), true)
    }

    fn grant_dir(mut self, host: &Path, guest: String, read_only: bool) -> Self {
        self.grants.dirs.push(Dir {
            host: host.to_owned(),
            guest,
            read_only,
        });
        self
    }

    /// Lets the program accept connections on a socket that listens: with std, by
    /// `TcpListener::from_raw_fd`. The first is the descriptor after those of the
    /// [directories](Self::preopen_dir), 3 if there are none. A thread that waits for a
    /// connection, or for what comes from one, ends when the process does.
    ///
    /// ```no_run
    /// use std::net::TcpListener;
    /// use threadwork_engine::{Module, ProcessBuilder};
    ///
    /// # fn serve(module: &Module) -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = TcpListener::bind("127.0.0.1:8080")?;
    /// ProcessBuilder::new(module).preopen_listener(listener).run()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn preopen_listener(mut self, listener: TcpListener) -> Self {
        self.grants.listeners.push(listener.into());
        self
    }

    /// What the process may use at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Reserves so many bytes of the program's first shared memory for
    /// [objects](crate::SharedMemory::allocate) of the host: 0 unless set. The memory has
    /// them from the start, beyond what the module declares, and they count as its others
    /// do; pages that nobody touches cost nothing. A program that never grows its memory
    /// needs none: there the host's area grows when it must.
    #[must_use]
    pub fn host_memory(mut self, bytes: u64) -> Self {
        self.host_memory = bytes;
        self
    }

    /// Adds host functions of the embedder's own, which the guest can import. They
    /// run on the worker of the thread that calls. The process ends only when they return: one
    /// that blocks does so in [`ThreadContext::blocking`], which is woken, and one that
    /// computes for long looks at [`ThreadContext::is_ending`].
    ///
    /// The caller's memory is [`ThreadContext::memory`]. Its waits and notifies meet the
    /// guest's, and a wait ends when the process does. Those of the `SharedMemory` of
    /// Wasmtime that [`Caller::get_export`](crate::Caller::get_export) gives
    /// (`atomic_wait32`, `atomic_wait64`, `atomic_notify`) do **not**: they know another
    /// queue, in which no guest sleeps, and nothing ends a wait there.
    ///
    /// ```
    /// use threadwork_engine::{Caller, Engine, Module, ProcessBuilder, ThreadContext};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let module = Module::new(&engine, br#"
    ///     (module
    ///       (import "host" "ring" (func $ring (param i32)))
    ///       (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    ///       (import "env" "memory" (memory 1 1 shared))
    ///       (func (export "wasi_thread_start") (param i32 i32)
    ///         (i32.atomic.store (i32.const 64) (i32.const 1))
    ///         (call $ring (i32.const 64)))
    ///       (func (export "_start")
    ///         (drop (call $spawn (i32.const 0)))
    ///         (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1)))))
    /// "#)?;
    /// let process = ProcessBuilder::new(&module).linker(|linker| {
    ///     linker.func_wrap("host", "ring", |caller: Caller<'_, ThreadContext>, at: u32| {
    ///         if let Some(memory) = caller.data().memory() {
    ///             memory.notify(at.into(), 1)?;
    ///         }
    ///         Ok(())
    ///     })?;
    ///     Ok(())
    /// });
    /// assert!(process.run()?.success());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn linker(
        mut self,
        define: impl FnOnce(&mut Linker<ThreadContext>) -> wasmtime::Result<()> + Send + 'static,
    ) -> Self {
        self.define = Some(Box::new(define));
        self
    }

    /// Records what the program's threads do, for [`Process::profile`]: where they spend
    /// processor time, where they wait and who wakes them, and when. Nothing is compiled for
    /// it, and a process that is not profiled pays nothing.
    ///
    /// Samples of processor time are taken by `SIGPROF`, sent by timers to the engine's own
    /// threads; a handler that the program had for it before is called for every other
    /// `SIGPROF`.
    ///
    /// ```
    /// use threadwork_engine::{Engine, Module, ProcessBuilder, ProfileOptions};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let module = Module::new(&engine, br#"
    ///     (module (func $count (local $n i32) (loop
    ///         (local.set $n (i32.add (local.get $n) (i32.const 1)))
    ///         (br_if 0 (i32.lt_u (local.get $n) (i32.const 100000000)))))
    ///       (func (export "_start") (call $count)))
    /// "#)?;
    /// # if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
    /// let process = ProcessBuilder::new(&module).profile(ProfileOptions::default()).spawn()?;
    /// assert!(process.wait().success());
    /// let profile = process.profile().expect("it was asked for");
    /// assert!(profile.summary().contains("count"), "{}", profile.summary());
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn profile(mut self, options: ProfileOptions) -> Self {
        self.profile = Some(options);
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
        let prepared = self.prepare(Shape::default(), |_| Calls::default())?;
        prepared.run(Main::Command)
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
        let (ready, is_ready) = calls::reply();
        let (calls, receiver) = Calls::channel();
        let prepared = self.prepare(Shape::default(), |_| calls)?;
        let process = prepared.run(Main::Reactor(receiver, ready))?;
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
        match self.module.code().wasmtime.get_export(&name) {
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

    /// Makes everything that the main thread needs, of a process that runs `program`.
    /// Nothing of the guest's runs yet.
    pub(crate) fn prepare<P: Program + 'static>(
        mut self,
        shape: Shape,
        program: impl FnOnce(&Arc<Arena>) -> P,
    ) -> Result<Prepared<P>, Error> {
        check_limits(&self.limits)?;
        let watchdog = self.module.engine().machine().watchdog().start();
        watchdog.map_err(|source| Error::System {
            what: "a thread",
            source,
        })?;
        let recorder = self.profile.map(start_recorder).transpose()?;
        let name = self.arg0.clone();
        self.grants.args.insert(0, std::mem::take(&mut self.arg0));
        self.grants.check()?;
        self.tell_parallelism();
        let totals = Arc::new(Totals::new(self.limits.memory));
        let (streams, ends) = Streams::open(self.stdin, self.stdout, self.stderr, &totals)?;
        let wasi = self.grants.open(streams, &self.limits)?;
        let code = self.module.code();
        let machine = self.module.engine().machine();
        let arena = Arc::new(Arena::new(
            make_memories(&self.module, &totals, shape.memory, self.host_memory)?,
            Arc::clone(machine.cores()),
            totals,
            shape.hosts,
        ));
        if let Some(import) = code.memories.first() {
            arena.own_from(import.minimum.saturating_mul(PAGE), code.grows_memory);
        }
        let poll_page = make_poll_page(&self.module)?;
        let program = Arc::new(program(&arena));
        let state = State::new(Parts {
            machine: Arc::clone(machine),
            code: Arc::clone(code),
            arena,
            poll_page,
            limits: self.limits,
            wasi,
            program: Arc::<P>::clone(&program),
            recorder: recorder.clone(),
            name: name.clone(),
        });
        state.link(link(&self.module, &state, self.define.take())?);
        let thread = state.add_main();
        let instance = first_instance(&state, &thread)?;
        Ok(Prepared {
            profile: recorder.map(|recorder| Profile::new(recorder, Arc::clone(code), name)),
            state,
            program,
            ends,
            thread,
            instance,
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

impl Prepared<Calls> {
    /// Starts the main thread.
    fn run(self, main: Main) -> Result<Process, Error> {
        let calls = Arc::clone(&self.program);
        self.start(calls, |state, instance, thread| {
            main_thread::run(state, instance, thread, main);
        })
    }
}

impl<P> Prepared<P> {
    /// Starts the main thread, which runs `main` and holds a store until that returns.
    pub(crate) fn start(
        self,
        calls: Arc<Calls>,
        main: impl FnOnce(&Arc<State>, PooledInstance, &Arc<ThreadState>) + Send + 'static,
    ) -> Result<Process, Error> {
        let Self {
            state,
            program: _,
            profile,
            ends,
            thread,
            instance,
        } = self;
        state.watch();
        let process = Arc::clone(&state);
        let run = move |_: &Arc<_>| {
            main(&process, instance, &thread);
            process.release_store();
        };
        let workers = state.machine().workers();
        workers.run(run).map_err(|source| {
            state.machine().processes().withdraw(state.id());
            Error::System {
                what: "a thread",
                source,
            }
        })?;
        Ok(Process::new(&state, calls, ends, profile))
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

fn start_recorder(options: ProfileOptions) -> Result<Arc<Recorder>, Error> {
    let no_profile = |reason| Error::NoProfile { reason };
    if !CAN_SAMPLE {
        return Err(no_profile(
            "they are made on Linux on x86-64 only: elsewhere there is no timer of a thread's \
             processor time, or no way to walk its stack"
                .to_owned(),
        ));
    }
    install_sampler().map_err(|error| {
        no_profile(format!(
            "SIGPROF, which takes the samples, cannot be handled: {error}"
        ))
    })?;
    Ok(Recorder::new(options))
}

/// Makes an instance on the embedder's thread. None of the guest's functions runs here, but
/// code that Wasmtime compiled may: it copies segments of tables, which trap where they do
/// not fit. All else that guests run is on workers.
fn first_instance(state: &Arc<State>, thread: &Arc<ThreadState>) -> Result<PooledInstance, Error> {
    let made = with_traps(|| catch_panic(|| PooledInstance::new(state, thread)));
    made.map_err(|error| Error::Instantiate {
        message: no_instance(&error, thread.take_limit()),
    })
}

/// Makes the shared memories, of `size` bytes if they want less and may have as much; a
/// limit lowers the maximum. The first has `host` bytes more than it wants, in any case.
/// What an instance has besides must find room, too.
fn make_memories(
    module: &Module,
    totals: &Totals,
    size: u64,
    host: u64,
) -> Result<Vec<Memory>, Error> {
    let mut host = host.div_ceil(PAGE);
    let memories = module.code().memories.iter();
    let memories = memories
        .map(|import| make_memory(module, import, totals, size, std::mem::take(&mut host)))
        .collect::<Result<_, _>>()?;
    let own = module.code().own;
    let tables = own.elements.saturating_mul(ELEMENT as u64);
    let own = own.pages.saturating_mul(PAGE).saturating_add(tables);
    let own = own.saturating_add(module.code().own.rest);
    // The instance will reserve it.
    reserve(totals, own)?;
    totals.release(own);
    Ok(memories)
}

fn make_memory(
    module: &Module,
    import: &SharedMemoryImport,
    totals: &Totals,
    size: u64,
    host: u64,
) -> Result<Memory, Error> {
    reserve(totals, import.minimum.saturating_mul(PAGE))?;
    let declared = import.maximum.unwrap_or(import.minimum);
    let most = totals
        .left()
        .map(|left| import.minimum.saturating_add(left / PAGE));
    let maximum = most.map_or(declared, |most| most.min(declared));
    let refused = |reason: String| Error::Memory {
        minimum: import.minimum.saturating_mul(PAGE),
        reason,
    };
    let room = maximum - import.minimum;
    if host > room {
        return Err(refused(format!(
            "there is no room for {} more for the host (ProcessBuilder::host_memory): link the \
             program with a larger --max-memory, or raise the limit",
            host.saturating_mul(PAGE)
        )));
    }
    // It keeps half of what it may grow by.
    let more = (size / PAGE).saturating_sub(import.minimum);
    let more = more.min(room / 2).max(host);
    reserve(totals, more * PAGE)?;
    let ty = MemoryTypeBuilder::default()
        .shared(true)
        .memory64(import.memory64)
        .min(import.minimum + more)
        .max(Some(maximum))
        .build()
        .map_err(|error| refused(one_line(&error)))?;
    let memory = SharedMemory::new(module.engine().machine().wasmtime(), ty)
        .map_err(|error| refused(no_memory(&error)))?;
    Ok(Memory::declared(memory, declared))
}

fn reserve(totals: &Totals, bytes: u64) -> Result<(), Error> {
    totals.reserve(bytes).map_err(|limit| Error::Memory {
        minimum: bytes,
        reason: format!("the limit is {limit} bytes: raise it"),
    })
}

/// Makes what stops the threads that compute, if the module looks at it.
fn make_poll_page(module: &Module) -> Result<Option<PollPage>, Error> {
    let page = module
        .code()
        .has_poll
        .then(|| PollPage::new(module.engine().machine().wasmtime()));
    page.transpose().map_err(|error| Error::Memory {
        minimum: PAGE,
        reason: no_memory(&error),
    })
}
