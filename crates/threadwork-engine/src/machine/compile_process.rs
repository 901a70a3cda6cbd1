//! [`CompilerProcess`]: compiles in a process of its own, which can be ended.
//!
//! Nothing inside of a program can stop a compile that has begun, and nothing bounds the
//! memory of one; the system can do both to a process. So the compiler is another program
//! (or the same one, run again), which gets a module and its bounds on a socket that is its
//! standard input, and answers there with the machine code.
//!
//! | to the compiler | bytes |
//! |---|---|
//! | native stack of guests, memory, seconds of processor time | 8 each, little-endian |
//! | the module | up to the end |
//!
//! | from the compiler | bytes |
//! |---|---|
//! | 0 for code, 1 for what is wrong with the module | 1 |
//! | the length of what follows | 8, little-endian |
//! | the code, or the message | |
//!
//! Invariant: [`CompilerProcess::compile`] returns by its deadline, and its process is gone
//! then; an answer that is not whole is none.

use super::compiler::{self, Compiler};
use super::frames::USUAL_FRAMES;
use crate::error::{Error, one_line};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const CODE: u8 = 0;
const MESSAGE: u8 = 1;

/// Bytes in front of an answer.
const HEAD: usize = 9;

/// A program that compiles for an engine, in a process of its own, within bounds of time and
/// memory that hold whatever the module is. See
/// [`EngineBuilder::compiler_process`](crate::EngineBuilder::compiler_process).
///
/// The program calls [`serve`](Self::serve) and ends. It is trusted
/// as the embedder's own: what it answers is run as machine code. It may be the embedder's
/// program itself, started with an argument that says what it is to be; or the command
/// `threadwork` of the same version, whose argument for that is `compile-child`.
///
/// ```no_run
/// use std::time::Duration;
/// use threadwork_engine::{CompilerProcess, Engine};
///
/// fn main() -> anyhow::Result<()> {
///     if std::env::args().nth(1).as_deref() == Some("compile") {
///         return Ok(CompilerProcess::serve()?);
///     }
///     let this = CompilerProcess::new(std::env::current_exe()?).arg("compile");
///     let compiler = this.time(Duration::from_secs(5));
///     let engine = Engine::builder().untrusted().compiler_process(compiler).build()?;
///     // ...
/// #   let _ = engine;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct CompilerProcess {
    program: PathBuf,
    arguments: Vec<OsString>,
    time: Duration,
    memory: u64,
}

impl CompilerProcess {
    /// This program, without arguments; each compile may take 10 s and 1 GiB.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            time: Duration::from_secs(10),
            memory: 1 << 30,
        }
    }

    /// Appends an argument that the program is started with.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// How long a compile may take by the clock, with the start of the program and its
    /// answer; then the process is ended, and loading the module is an
    /// [`Error::CompileTime`]. [`Duration::MAX`] is no bound.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// How much memory the process may have, in bytes: its data, heap and stacks
    /// (`RLIMIT_DATA`, on Linux). A compile that needs more is an
    /// [`Error::CompileMemory`]. [`u64::MAX`] is no bound.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    // ---- In the program that wants code ----

    /// The machine code of `wasm`, for engines whose guests have so much native stack.
    pub(crate) fn compile(&self, max_wasm_stack: usize, wasm: &[u8]) -> Result<Vec<u8>, Error> {
        let deadline = Instant::now().checked_add(self.time);
        let (socket, mut process) = self.start().map_err(|error| self.not_started(&error))?;
        let mut request = Vec::with_capacity(24 + wasm.len());
        for number in [max_wasm_stack as u64, self.memory, self.seconds()] {
            request.extend_from_slice(&number.to_le_bytes());
        }
        request.extend_from_slice(wasm);
        let answer = exchange(&socket, &request, deadline).map_err(|error| self.failed(&error))?;
        let Some(answer) = answer else {
            return Err(Error::CompileTime { limit: self.time });
        };
        match whole(answer) {
            Some((CODE, code)) => Ok(code),
            Some((_, message)) => Err(Error::Compile {
                message: String::from_utf8_lossy(&message).into_owned(),
            }),
            None => match process.end() {
                Ok(status) => Err(self.ended(status)),
                Err(error) => Err(self.failed(&error)),
            },
        }
    }

    fn start(&self) -> io::Result<(UnixStream, Process)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn()?;
        // Dropping the command closes our copy of the other end.
        Ok((ours, Process(child)))
    }

    /// Processor time after which the process ends itself, should nobody else: all cores for
    /// as long as it may take.
    fn seconds(&self) -> u64 {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let seconds = self.time.as_secs().saturating_add(1);
        seconds.saturating_mul(cores as u64)
    }

    fn not_started(&self, error: &io::Error) -> Error {
        Error::CompilerProcess {
            program: self.program.clone(),
            reason: format!(
                "it cannot be started ({error}): it must be a program, and the system must allow \
                 another process and its descriptors"
            ),
        }
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::CompilerProcess {
            program: self.program.clone(),
            reason: format!("it does not take the module or give the code ({error}): {SERVES}"),
        }
    }

    /// Why a process that ended with this status has not answered.
    fn ended(&self, status: ExitStatus) -> Error {
        match status.signal() {
            Some(libc::SIGXCPU) => Error::CompileTime { limit: self.time },
            // How Rust ends a program that has no memory left.
            Some(libc::SIGABRT) if self.memory != u64::MAX => {
                Error::CompileMemory { limit: self.memory }
            }
            _ => Error::CompilerProcess {
                program: self.program.clone(),
                reason: format!("it ended without an answer ({status}): {SERVES}"),
            },
        }
    }

    // ---- In the program that compiles ----

    /// Compiles for the program that has started this one: reads a module from standard
    /// input, and answers there. To be called by the program of a [`CompilerProcess`],
    /// before it does anything else.
    ///
    /// It bounds the memory and the processor time of the whole process that calls it, and
    /// on Linux has the system end it when the thread that started it ends. It
    /// blocks until the module is there, and is compiled.
    ///
    /// # Errors
    ///
    /// If standard input is not the socket of an engine that waits for this, or its process
    /// has ended. What is wrong with the module is said there, and is no error here.
    pub fn serve() -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut number = || {
            let mut bytes = [0; 8];
            socket.read_exact(&mut bytes)?;
            io::Result::Ok(u64::from_le_bytes(bytes))
        };
        let (max_wasm_stack, memory, seconds) = (number()?, number()?, number()?);
        bound(Resource::Core, 0)?;
        bound(Resource::Cpu, seconds)?;
        bound(Resource::Data, memory)?;
        let mut wasm = Vec::new();
        socket.read_to_end(&mut wasm)?;
        let max_wasm_stack = usize::try_from(max_wasm_stack).unwrap_or(usize::MAX);
        let (tag, answer) = match precompile(max_wasm_stack, &wasm) {
            Ok(code) => (CODE, code),
            Err(error) => (MESSAGE, one_line(&error).into_bytes()),
        };
        socket.write_all(&[tag])?;
        socket.write_all(&(answer.len() as u64).to_le_bytes())?;
        socket.write_all(&answer)
    }
}

/// What every program has to do that compiles.
const SERVES: &str = "it must call CompilerProcess::serve, of this version";

/// Lowers a limit of this process, unless it is lower already.
fn bound(resource: Resource, most: u64) -> io::Result<()> {
    if most == u64::MAX || getrlimit(resource).maximum.is_some_and(|old| old <= most) {
        return Ok(());
    }
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(setrlimit(resource, limit)?)
}

fn precompile(max_wasm_stack: usize, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let config = compiler::config(max_wasm_stack, USUAL_FRAMES);
    let engine = wasmtime::Engine::new(&config)?;
    Compiler::new(config)?.precompile(&engine, wasm)
}

/// A child process, which is gone when this is.
struct Process(Child);

impl Process {
    /// Ends it, if it has not ended by itself, and tells how it did.
    fn end(&mut self) -> io::Result<ExitStatus> {
        // It changes nothing about one that is on its way out.
        self.0.kill()?;
        self.0.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that was waited for is not touched.
        let _ = self.end();
    }
}

/// Sends `request` and returns what came back until the other end was closed; `None` if
/// `deadline` came first.
fn exchange(
    socket: &UnixStream,
    request: &[u8],
    deadline: Option<Instant>,
) -> io::Result<Option<Vec<u8>>> {
    let (mut unsent, mut answer) = (request, Vec::new());
    loop {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, !unsent.is_empty());
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // More than the system can count is as good as no timeout.
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut [PollFd::new(socket, flags)], timeout.as_ref()) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(None),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !unsent.is_empty() {
            match send(socket, unsent) {
                Ok(sent) => unsent = &unsent[sent..],
                // It has ended; what it said before is still to be read.
                Err(_) => unsent = &[],
            }
            if unsent.is_empty() {
                // An error means the same: there will be no more.
                let _ = socket.shutdown(Shutdown::Write);
            }
        }
        if receive(socket, &mut answer)? {
            return Ok(Some(answer));
        }
    }
}

/// Sends as much as there is room for. Never raises `SIGPIPE`, which the standard library
/// holds back for sockets.
fn send(mut socket: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if is_later(&error) => Ok(0),
        result => result,
    }
}

/// Receives what is there; true if the other end was closed.
fn receive(mut socket: &UnixStream, answer: &mut Vec<u8>) -> io::Result<bool> {
    match socket.read_to_end(answer) {
        Ok(_) => Ok(true),
        Err(error) if is_later(&error) => Ok(false),
        // It has ended before it had read all.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// What an answer says, if all of it is there.
fn whole(mut answer: Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (tag, length) = answer.get(..HEAD)?.split_first()?;
    let (tag, length) = (*tag, u64::from_le_bytes(length.try_into().ok()?));
    let is_whole = length == (answer.len() - HEAD) as u64 && [CODE, MESSAGE].contains(&tag);
    answer.drain(..HEAD);
    is_whole.then_some((tag, answer))
}
