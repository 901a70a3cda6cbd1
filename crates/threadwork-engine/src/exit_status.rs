//! How a process ended.

use crate::backtrace::{Backtrace, Frame};
use crate::limits::Limit;
use crate::panic_message::PanicMessage;
use serde::Serialize;
use std::fmt;

/// The end of a process. The first cause wins: what threads do after it is not
/// looked at.
///
/// Serialized, a backtrace is a list of its frames, as far as it
/// [prints](Backtrace::abridged) them:
///
/// ```
/// use threadwork_engine::{Engine, Module, ProcessBuilder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let engine = Engine::new()?;
/// let module = Module::new(&engine, br#"(module (func (export "_start") unreachable))"#)?;
/// let status = serde_json::to_value(ProcessBuilder::new(&module).run()?)?;
/// assert_eq!(status["Trapped"]["thread"], 0);
/// assert_eq!(status["Trapped"]["backtrace"][0]["function_index"], 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub enum ExitStatus {
    /// `_start` returned (0), or a thread called `proc_exit`.
    Exited(i32),
    /// A thread trapped.
    Trapped(Trap),
    /// Every thread slept without a timeout, so nobody could wake anybody.
    Deadlock(DeadlockReport),
    /// A limit ended the process, or made it trap.
    LimitExceeded(LimitExceeded),
    /// [`Process::kill`](crate::Process::kill), or the [`Process`](crate::Process) was dropped.
    Killed {
        /// What [`Process::kill_with`](crate::Process::kill_with) said.
        reason: Option<String>,
    },
}

/// A trap and the thread that had it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Trap {
    /// The thread's id; 0 is the main thread. Rust's standard library counts from 1: its
    /// panics name the thread with the id 1 `(2)`, as long as each spawn has succeeded.
    pub thread: u32,
    /// What happened, such as "wasm `unreachable` instruction executed".
    pub reason: String,
    /// The message of the panic that it follows, if the thread has printed one of Rust's.
    pub panic: Option<Box<PanicMessage>>,
    /// Where.
    pub backtrace: Backtrace,
}

/// Who sleeps where.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DeadlockReport {
    /// All threads of the process, by id.
    pub threads: Vec<Sleeper>,
}

/// A thread in a [`DeadlockReport`].
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Sleeper {
    /// The thread's id; 0 is the main thread. Rust's standard library counts from 1: its
    /// panics name the thread with the id 1 `(2)`, as long as each spawn has succeeded.
    pub thread: u32,
    /// The address in linear memory that it waits for a notify of.
    pub address: u64,
    /// Where it called; empty for a thread after the first 256 that were looked at.
    pub backtrace: Backtrace,
}

/// A limit that was reached, and the trap that followed, if it did not end the
/// process by itself.
///
/// A limit is named for a trap only where it explains it: the thread that trapped was itself
/// refused something by it, nothing of that kind was granted to this thread afterwards, and
/// the trap is one that can follow (the program aborts, accesses memory or a table out of
/// bounds, or could not be instantiated). If several limits refused something, it is the
/// last.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LimitExceeded {
    /// The limit.
    pub limit: Limit,
    /// How the program failed after it had been refused something.
    pub trap: Option<Trap>,
}

impl ExitStatus {
    /// Whether the program exited with code 0: all 32 bits of it, though systems tell their
    /// users the last eight only.
    ///
    /// ```
    /// use threadwork_engine::ExitStatus;
    ///
    /// assert!(ExitStatus::Exited(0).success());
    /// assert!(!ExitStatus::Exited(256).success() && !ExitStatus::Exited(-1).success());
    /// ```
    #[must_use]
    pub fn success(&self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// The exit code of a command-line program that reports this status: the
    /// guest's own if it is one of 0 to 255, which is all that a process can say, else
    /// 255 (256 is no success, and no system may make it 0); 134 (128 + SIGABRT) for a trap;
    /// 120 for a deadlock; 121, 122, 123, 137, 153, 124 and 152 for the limits of threads, open
    /// files, output, memory, bytes of files, wall-clock and CPU time; 130 (128 + SIGINT) if killed.
    ///
    /// ```
    /// use threadwork_engine::ExitStatus;
    ///
    /// assert_eq!(ExitStatus::Exited(3).code(), 3);
    /// assert_eq!(ExitStatus::Exited(256).code(), 255);
    /// assert_eq!(ExitStatus::Killed { reason: None }.code(), 130);
    /// ```
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Exited(code @ 0..=255) => *code,
            Self::Exited(_) => 255,
            Self::Trapped(_) => 134,
            Self::Deadlock(_) => 120,
            Self::LimitExceeded(exceeded) => match exceeded.limit {
                Limit::Threads(_) => 121,
                Limit::OpenFiles(_) => 122,
                Limit::Output(_) => 123,
                Limit::WallTime(_) => 124,
                Limit::Memory(_) => 137,
                Limit::CpuTime(_) => 152,
                Limit::FileBytes(_) => 153,
            },
            Self::Killed { .. } => 130,
        }
    }
}

/// A headline, and lines of detail where there are any.
impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Trapped(trap) => trap.fmt(f),
            Self::Deadlock(report) => report.fmt(f),
            Self::LimitExceeded(exceeded) => exceeded.fmt(f),
            Self::Killed { reason: None } => write!(f, "killed"),
            Self::Killed {
                reason: Some(reason),
            } => write!(f, "killed: {reason}"),
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} trapped: {}",
            ThreadName::of(self.thread, &self.backtrace),
            self.reason
        )?;
        write_backtrace(f, &self.backtrace)?;
        match self.is_of_the_parker() {
            true => write!(f, "\n{NO_PARKER}"),
            false => Ok(()),
        }
    }
}

/// What to do about `parking_lot_core` 0.9, whose parker for WebAssembly panics on a stable
/// compiler the first time that a lock is contended. Half of what uses threads stands on it.
const NO_PARKER: &str = "\
    parking_lot_core 0.9 cannot wait on WebAssembly if a stable compiler has built it. One line in\n\
    Cargo.toml replaces it, below [patch.crates-io]: parking_lot_core = { path =\n\
    \"threadwork/compat/parking_lot_core\" }, a folder of Threadwork's repository: see docs/drop-in.md";

impl Trap {
    /// Whether it is that panic. Its message is on the program's own standard error.
    fn is_of_the_parker(&self) -> bool {
        let names = |frame: &Frame| {
            let name = frame.function.as_deref();
            name.is_some_and(|name| name.contains("parking_lot_core::thread_parker"))
        };
        self.backtrace.frames().iter().any(names)
    }
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, whom) = match self.threads.len() {
            1 => ("the only thread waits".to_owned(), "it"),
            count => (format!("all {count} threads wait"), "them"),
        };
        write!(
            f,
            "deadlock: {who} for ever, nobody is left to notify {whom}"
        )?;
        for sleeper in &self.threads {
            let name = ThreadName::of(sleeper.thread, &sleeper.backtrace);
            write!(f, "\n{name} waits at address {:#x}", sleeper.address)?;
            write_backtrace(f, &sleeper.backtrace)?;
        }
        Ok(())
    }
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was reached", self.limit)?;
        match &self.trap {
            Some(trap) => write!(f, "; then {trap}"),
            None => Ok(()),
        }
    }
}

/// How reports call a thread. Rust's standard library counts the main thread as 1, and its
/// panics say so: `thread '<unnamed>' (2) panicked` is of the thread with the id 1. Both
/// are said where the program is of Rust.
struct ThreadName {
    id: u32,
    is_of_rust: bool,
}

impl ThreadName {
    fn of(id: u32, backtrace: &Backtrace) -> Self {
        let is_of_rust = backtrace.is_of_rust();
        Self { id, is_of_rust }
    }
}

impl fmt::Display for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.id, self.is_of_rust) {
            (0, _) => write!(f, "the main thread"),
            (id, true) => write!(f, "thread {id} ({} in Rust's messages)", id + 1),
            (id, false) => write!(f, "thread {id}"),
        }
    }
}

fn write_backtrace(f: &mut fmt::Formatter<'_>, backtrace: &Backtrace) -> fmt::Result {
    match backtrace.is_empty() {
        true => Ok(()),
        false => write!(f, "\n{backtrace}"),
    }
}
