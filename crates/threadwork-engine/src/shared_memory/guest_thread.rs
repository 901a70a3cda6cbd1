//! [`GuestThread`]: a guest thread in a host function of an embedder's, which uses its
//! process's memory.
//!
//! What waits there is a thread that the process counts already, so it sleeps as that one
//! sleeps in the guest's own waits: a deadlock in which it takes part is one, its report
//! names the word, and the end of the process or of its task wakes it.

use super::memory::SharedMemory;
use crate::linear_memory::Closed;
use crate::process::{State, ThreadContext};
use crate::thread::ThreadState;
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;
use threadwork_parking::WaitResult;

/// See the module's documentation.
#[derive(Clone)]
pub(super) struct GuestThread {
    /// Not kept alive: an embedder may leave the memory in what the process holds.
    process: Weak<State>,
    thread: Arc<ThreadState>,
    /// The operating-system thread that runs it. The memory may be taken to others, which
    /// are of the host.
    runs_on: ThreadId,
}

impl GuestThread {
    /// Itself, if it is what the calling thread runs.
    pub(super) fn current(&self) -> Option<Running<'_>> {
        let process = self.process.upgrade()?;
        (thread::current().id() == self.runs_on).then_some(Running {
            process,
            thread: &self.thread,
        })
    }
}

/// A [`GuestThread`] that the calling thread runs.
pub(super) struct Running<'a> {
    process: Arc<State>,
    thread: &'a ThreadState,
}

impl Running<'_> {
    /// Sleeps on the word at `offset`, which has this key.
    pub(super) fn wait(
        &self,
        offset: u64,
        key: usize,
        timeout: Option<Duration>,
        expected: u64,
        load: impl Fn() -> u64,
    ) -> Result<WaitResult, Closed> {
        let waited = self
            .process
            .wait_on_word(self.thread, offset, key, timeout, expected, load);
        waited.map_err(|_| Closed)
    }
}

impl ThreadContext {
    /// The memory that [`Process::memory`](crate::Process::memory) gives, for a host
    /// function that this thread has called: see
    /// [`ProcessBuilder::linker`](crate::ProcessBuilder::linker).
    ///
    /// Who waits in it, or for an object in it, is this thread: it counts as asleep, so
    /// that deadlocks are found, and it is woken when the process ends, with
    /// [`MemoryError::Ended`](crate::MemoryError::Ended), which the host function should
    /// pass on. To be used in the call and no longer; other threads of the host take
    /// [`Process::memory`](crate::Process::memory).
    #[must_use]
    pub fn memory(&self) -> Option<SharedMemory> {
        let caller = GuestThread {
            process: Arc::downgrade(&self.process),
            thread: Arc::clone(&self.thread),
            runs_on: thread::current().id(),
        };
        let has_memory = !self.process.memories().is_empty();
        has_memory.then(|| SharedMemory::of_guest(self.process.arena(), caller))
    }
}
