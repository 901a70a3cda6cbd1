//! [`Process`]: the embedder's handle.

use super::calls::{CallError, Calls};
use super::exited::Exited;
use crate::exit_status::ExitStatus;
use crate::lock::lock;
use crate::process::{Cause, Record, State};
use crate::profile::Profile;
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
/// assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
/// # Ok(())
/// # }
/// ```
pub struct Process {
    record: Arc<Record>,
    /// Weak, so that a handle of a process that has ended keeps no memory. While it runs,
    /// its workers keep it.
    state: Weak<State>,
    calls: Arc<Calls>,
    ends: Mutex<HostEnds>,
    profile: Option<Profile>,
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
    pub(crate) fn new(
        state: &Arc<State>,
        calls: Arc<Calls>,
        ends: HostEnds,
        profile: Option<Profile>,
    ) -> Self {
        Self {
            record: Arc::clone(state.record()),
            state: Arc::downgrade(state),
            calls,
            ends: Mutex::new(ends),
            profile,
        }
    }

    /// The number of the process, unique in this host program.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.record.id()
    }

    /// Blocks until the process has ended and all its threads are gone, and tells
    /// how it ended. May be called again, and from several threads.
    #[must_use]
    pub fn wait(&self) -> ExitStatus {
        // Without a deadline there is always a status in the end.
        self.record
            .wait(None)
            .unwrap_or(ExitStatus::Killed { reason: None })
    }

    /// Like [`wait`](Self::wait), for at most `time`.
    #[must_use]
    pub fn wait_timeout(&self, time: Duration) -> Option<ExitStatus> {
        match Instant::now().checked_add(time) {
            Some(deadline) => self.record.wait(Some(deadline)),
            None => Some(self.wait()),
        }
    }

    /// The status if the process has ended. Does not block.
    #[must_use]
    pub fn try_wait(&self) -> Option<ExitStatus> {
        self.record.wait(Some(Instant::now()))
    }

    /// The status as a future, for a host that has no thread to spare for each process. It
    /// keeps nothing of the process running, and needs no executor of any kind. As with
    /// [`wait`](Self::wait), all threads of the process are gone then.
    ///
    /// ```
    /// # use std::pin::pin;
    /// # use std::task::{Context, Poll, Waker};
    /// use threadwork_engine::{Engine, Module, ProcessBuilder};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let module = Module::new(&engine, br#"(module (func (export "_start")))"#)?;
    /// let process = ProcessBuilder::new(&module).spawn()?;
    /// let job = async { process.exited().await.code() };
    /// # let mut job = pin!(job);
    /// # let code = loop {
    /// #     match job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
    /// #         Poll::Ready(code) => break code,
    /// #         Poll::Pending => std::thread::yield_now(),
    /// #     }
    /// # };
    /// # assert_eq!(code, 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "a future does nothing unless it is awaited"]
    pub fn exited(&self) -> Exited {
        Exited::new(Arc::clone(&self.record))
    }

    /// Calls `then` with the status when the process has ended and all its threads are gone;
    /// at once, on the calling thread, if it has. Otherwise it is called by a worker of the
    /// engine's, which should not be kept for long. If it panics, that ends nothing.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use threadwork_engine::{Engine, Module, ProcessBuilder};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let module = Module::new(&engine, br#"(module (func (export "_start") unreachable))"#)?;
    /// let process = ProcessBuilder::new(&module).spawn()?;
    /// let (ended, end) = channel();
    /// process.on_exit(move |status| drop(ended.send(status.code())));
    /// assert_eq!(end.recv(), Ok(134));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_exit(&self, then: impl FnOnce(ExitStatus) + Send + 'static) {
        self.record.on_exit(Box::new(then));
    }

    /// Ends the process: waits and blocking host calls are cancelled, computing
    /// threads are stopped as [`Stopping`](crate::Stopping) says. Returns at once;
    /// [`wait`](Self::wait) returns when they are gone. Does nothing if the process
    /// is ending or has ended.
    pub fn kill(&self) {
        self.killer().kill();
    }

    /// As [`kill`](Self::kill), with a reason that the status repeats.
    pub fn kill_with(&self, reason: impl Into<String>) {
        self.killer().kill_with(reason);
    }

    /// A handle that can only kill.
    #[must_use]
    pub fn killer(&self) -> Killer {
        Killer {
            id: self.id(),
            state: Weak::clone(&self.state),
        }
    }

    /// The threads that exist now, by id.
    #[must_use]
    pub fn threads(&self) -> Vec<ThreadInfo> {
        self.record.thread_infos()
    }

    /// What the process has done so far. Works after its end, too.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let running = self.state.upgrade();
        running.map_or_else(|| self.record.stats(), |state| state.stats())
    }

    /// What its threads have done so far, if that was asked for
    /// ([`ProcessBuilder::profile`](crate::ProcessBuilder::profile)). Whole when the process
    /// has ended, however it did.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        self.profile.clone()
    }

    /// The first shared memory of the module; `None` if it has none, or if the process is
    /// ending or has ended. A handle that was taken before stays good, and keeps the memory.
    ///
    /// While the host has such a handle it could notify the threads of the process, so that
    /// is never ended as a deadlock: from the moment in which this returns a handle until
    /// the last clone of it is dropped. A host that only looks, or waits, should
    /// [observe](Self::observe_memory) the memory instead.
    #[must_use]
    pub fn memory(&self) -> Option<SharedMemory> {
        let state = self.with_memory()?;
        let memory = SharedMemory::of_host(state.arena());
        // If that came too late, the process ends all the same.
        (!state.is_ending()).then_some(memory)
    }

    /// As [`memory`](Self::memory), for a host that never notifies: it is not counted as
    /// somebody who could, so deadlocks are found and reported as if it did not look. A wait
    /// without a timeout then counts as one of the process's own: if all its threads sleep
    /// for ever, too, it is a deadlock, and the wait ends as well.
    ///
    /// ```
    /// use threadwork_engine::{Engine, Module, ProcessBuilder};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let module = Module::new(&engine, br#"
    ///     (module (memory 1 1 shared) (func (export "_start")
    ///       (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))
    /// "#)?;
    /// let process = ProcessBuilder::new(&module).spawn()?;
    /// let memory = process.observe_memory();
    /// assert_eq!(process.wait().code(), 120);
    /// # drop(memory);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn observe_memory(&self) -> Option<SharedMemory> {
        let state = self.with_memory()?;
        Some(SharedMemory::uncounted(state.arena()))
    }

    /// The process, if it has a shared memory and is not ending.
    fn with_memory(&self) -> Option<Arc<State>> {
        let state = self.state.upgrade()?;
        (!state.is_ending() && !state.memories().is_empty()).then_some(state)
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
            .unwrap_or_else(|| match self.record.is_ending() {
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
        self.end(None);
    }

    /// As [`Process::kill_with`].
    ///
    /// ```
    /// use threadwork_engine::{Engine, Module, ProcessBuilder};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let forever = br#"(module (func (export "_start") (loop (br 0))))"#;
    /// let process = ProcessBuilder::new(&Module::new(&engine, forever)?).spawn()?;
    /// process.killer().kill_with("the client has gone");
    /// assert_eq!(process.wait().to_string(), "killed: the client has gone");
    /// # Ok(())
    /// # }
    /// ```
    pub fn kill_with(&self, reason: impl Into<String>) {
        self.end(Some(reason.into()));
    }

    fn end(&self, reason: Option<String>) {
        if let Some(state) = self.state.upgrade() {
            state.end(Cause::Killed(reason));
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
