//! [`GuestThread`]: a guest thread in a host function of an embedder's, which uses its
//! process's memory.
//!
//! What waits there is a thread that the process counts already, so it sleeps as that one
//! sleeps in the guest's own waits: a deadlock in which it takes part is one, its report
//! names the word, and the end of the process or of its task wakes it.

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
    /// The one that has called the host, on the calling thread.
    pub(super) fn of(context: &ThreadContext) -> Self {
        Self {
            process: Arc::downgrade(&context.process),
            thread: Arc::clone(&context.thread),
            runs_on: thread::current().id(),
        }
    }

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
