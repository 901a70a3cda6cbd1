//! [`Process`]: the embedder's handle.

use super::calls::{CallError, Calls};
use crate::exit_status::ExitStatus;
use crate::lock::lock;
use crate::process::{Cause, State};
use crate::shared_memory::SharedMemory;
use crate::stats::Stats;
use crate::thread::ThreadInfo;
use crate::wasi::{HostEnds, Kept};
use std::io::{PipeReader, PipeWriter};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use wasmtime::Val;

/// A running or ended program, made by [`ProcessBuilder`](crate::ProcessBuilder).
///
/// It can be used from several threads at once. Dropping it kills the program, if
/// it still runs, and waits until its threads are gone; so do not drop it in a host
/// function of the process itself ([`Killer`] can be used there).
///
/// ```
/// use threadwork_engine::{Engine, ExitStatus, Module, ProcessBuilder};
///
/// # fn main() -> Result<(), threadwork_engine::Error> {
/// let engine = Engine::new()?;
/// let forever = br#"(module (func (export "_start") (loop (br 0))))"#;
/// let process = ProcessBuilder::new(&Module::new(&engine, forever)?).spawn()?;
/// assert!(process.try_wait().is_none());
/// process.kill();
/// assert!(matches!(process.wait(), ExitStatus::Killed));
/// # Ok(())
/// # }
/// ```
pub struct Process {
    state: Arc<State>,
    calls: Arc<Calls>,
    ends: Mutex<HostEnds>,
}

/// Kills a [`Process`] from wherever it is sent to. Cheap to clone; keeps nothing of
/// the process running.
#[derive(Clone)]
pub struct Killer {
    id: u64,
    /// Weak, because a host function of the process may hold it: the process would
    /// keep itself. While it runs, its workers keep it.
    state: Weak<State>,
}

impl Process {
    pub(crate) fn new(state: Arc<State>, calls: Arc<Calls>, ends: HostEnds) -> Self {
        Self {
            state,
            calls,
            ends: Mutex::new(ends),
        }
    }

    /// The number of the process, unique in this host program.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.state.id()
    }

    /// Blocks until the process has ended and all its threads are gone, and tells
    /// how it ended. May be called again, and from several threads.
    #[must_use]
    pub fn wait(&self) -> ExitStatus {
        // Without a deadline there is always a status in the end.
        self.state.wait(None).unwrap_or(ExitStatus::Killed)
    }

    /// Like [`wait`](Self::wait), for at most `time`.
    #[must_use]
    pub fn wait_timeout(&self, time: Duration) -> Option<ExitStatus> {
        match Instant::now().checked_add(time) {
            Some(deadline) => self.state.wait(Some(deadline)),
            None => Some(self.wait()),
        }
    }

    /// The status if the process has ended. Does not block.
    #[must_use]
    pub fn try_wait(&self) -> Option<ExitStatus> {
        self.state.wait(Some(Instant::now()))
    }

    /// Ends the process: waits and blocking host calls are cancelled, computing
    /// threads are stopped at the next loop or function. Returns at once;
    /// [`wait`](Self::wait) returns when they are gone. Does nothing if the process
    /// is ending or has ended.
    pub fn kill(&self) {
        self.state.end(Cause::Killed);
    }

    /// A handle that can only kill.
    #[must_use]
    pub fn killer(&self) -> Killer {
        Killer {
            id: self.id(),
            state: Arc::downgrade(&self.state),
        }
    }

    /// The threads that exist now, by id.
    #[must_use]
    pub fn threads(&self) -> Vec<ThreadInfo> {
        self.state.thread_infos()
    }

    /// What the process has done so far. Works after its end, too.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// The first shared memory of the module, if it has one. It outlives the process.
    /// While the host has a handle on it, the process is never in a deadlock, because
    /// the host could notify its threads.
    #[must_use]
    pub fn memory(&self) -> Option<SharedMemory> {
        let has_memory = !self.state.memories().is_empty();
        has_memory.then(|| SharedMemory::of_host(self.state.arena()))
    }

    /// The writing end of [`Stdin::Pipe`](crate::Stdin::Pipe), once. Dropping it is the
    /// end of the guest's input.
    #[must_use]
    pub fn take_stdin(&self) -> Option<PipeWriter> {
        lock(&self.ends).stdin.take()
    }

    /// The reading end of standard output as [`Output::Pipe`](crate::Output::Pipe), once.
    #[must_use]
    pub fn take_stdout(&self) -> Option<PipeReader> {
        lock(&self.ends).stdout.take()
    }

    /// The reading end of standard error as [`Output::Pipe`](crate::Output::Pipe), once.
    #[must_use]
    pub fn take_stderr(&self) -> Option<PipeReader> {
        lock(&self.ends).stderr.take()
    }

    /// What the guest has written to a standard output that is an
    /// [`Output::Buffer`](crate::Output::Buffer), since the last call.
    #[must_use]
    pub fn stdout_buffer(&self) -> Vec<u8> {
        take(lock(&self.ends).stdout_buffer.as_deref())
    }

    /// As [`stdout_buffer`](Self::stdout_buffer), for standard error.
    #[must_use]
    pub fn stderr_buffer(&self) -> Vec<u8> {
        take(lock(&self.ends).stderr_buffer.as_deref())
    }

    /// Calls an exported function of a reactor on its main thread, and blocks until
    /// it returns. Not to be called from a host function of the same process, which
    /// would wait for itself. Calls from several threads are served one after another.
    ///
    /// # Errors
    ///
    /// [`CallError`]. A trap in the function ends the process, as in any thread.
    pub fn call(&self, export: &str, arguments: &[Val]) -> Result<Vec<Val>, CallError> {
        self.calls
            .call(export, arguments)
            .unwrap_or_else(|| match self.state.is_ending() {
                true => Err(CallError::Ended),
                false => Err(CallError::NotAReactor),
            })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.wait();
    }
}

impl Killer {
    /// As [`Process::kill`].
    pub fn kill(&self) {
        if let Some(state) = self.state.upgrade() {
            state.end(Cause::Killed);
        }
    }
}

fn take(buffer: Option<&Kept>) -> Vec<u8> {
    buffer.map(Kept::take).unwrap_or_default()
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Killer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Killer").field(&self.id).finish()
    }
}
