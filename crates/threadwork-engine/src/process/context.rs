//! What the data of a store does for whoever finds it there: the guest's WASI calls,
//! Wasmtime, and the host functions of embedders.

use super::state::{State, ThreadContext};
use crate::limits::Limit;
use crate::linear_memory::Reserved;
use crate::thread::ThreadState;
use std::sync::Arc;
use std::time::Duration;
use threadwork_rewrite::MEMORY;
use threadwork_wasi::{Host, Wasi};
use wasmtime::{ResourceLimiter, SharedMemory};

/// Bytes of the host that an element of a table counts for: a pointer, and as much again,
/// since a table that grows is a vector, which may have room for twice what is in it.
pub(crate) const ELEMENT: usize = 2 * size_of::<usize>();

impl ThreadContext {
    /// Of a store of the process whose first thread is this one.
    pub(crate) fn new(process: &Arc<State>, thread: &Arc<ThreadState>) -> Self {
        Self {
            process: Arc::clone(process),
            thread: Arc::clone(thread),
            reserved: Reserved::new(process.arena().totals()),
        }
    }

    /// The number of the process, unique in this host program.
    #[must_use]
    pub fn process_id(&self) -> u64 {
        self.process.id()
    }

    /// The id of the calling thread; 0 is the main thread.
    #[must_use]
    pub fn thread_id(&self) -> u32 {
        self.thread.id
    }

    /// Fails if the process is ending or the thread's task was cancelled.
    pub(super) fn check_running(&self) -> wasmtime::Result<()> {
        match self.thread.is_cancelled() {
            true => Err(self.process.ended()),
            false => self.process.check_running(),
        }
    }
}

/// What WASI must know of whoever calls.
impl Host for ThreadContext {
    fn wasi(&self) -> &Wasi {
        self.process.wasi()
    }

    fn check_running(&self) -> wasmtime::Result<()> {
        self.check_running()
    }

    fn exit(&self, code: i32) -> wasmtime::Error {
        let exit = wasmtime::Error::new(threadwork_wasi::Exit(code));
        self.process.machine().without_frames(exit)
    }

    fn shared_memory(&self) -> Option<&SharedMemory> {
        let position = self.process.code().shared_wasi_memory?;
        let memory = self.process.memories().get(position)?;
        memory.shared()
    }

    fn memory_name(&self) -> &'static str {
        MEMORY
    }

    fn process_cpu_time(&self) -> Duration {
        self.process.threads().cpu_time()
    }

    fn thread_cpu_time(&self) -> Duration {
        self.thread.cpu_time().unwrap_or_default()
    }

    fn long_call_begins(&self) {
        self.thread.host_call_begins();
    }

    fn long_call_ends(&self) {
        self.thread.host_call_ends();
    }

    fn sleep_begins(&self) {
        self.process.machine().cores().release();
    }

    fn sleep_ends(&self) {
        self.process.machine().cores().acquire();
    }

    fn refused(&self, limit: threadwork_wasi::Limit) {
        if let Some(limit) = named(limit) {
            self.thread.meet_limit(limit);
        }
    }

    fn granted(&self, limit: threadwork_wasi::Limit) {
        if let Some(limit) = named(limit) {
            self.thread
                .granted(|met| std::mem::discriminant(met) == std::mem::discriminant(&limit));
        }
    }
}

/// The limit of a process that is one of its files.
fn named(limit: threadwork_wasi::Limit) -> Option<Limit> {
    match limit {
        threadwork_wasi::Limit::OpenFiles(count) => Some(Limit::OpenFiles(count)),
        threadwork_wasi::Limit::FileBytes(bytes) => Some(Limit::FileBytes(bytes)),
        // What is kept of its output is memory.
        threadwork_wasi::Limit::Sink(bytes) => Some(Limit::Memory(bytes)),
        _ => None,
    }
}

impl std::fmt::Debug for ThreadContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadContext")
            .field("process", &self.process.id())
            .field("thread", &self.thread.id)
            .finish()
    }
}

/// Counts what belongs to one instance: memories that are not shared, and tables.
///
/// What Wasmtime fails to get afterwards, because the system has no more, stays counted
/// until the store is gone: nothing here could tell that failure from others.
impl ResourceLimiter for ThreadContext {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, ELEMENT))
    }
}

impl ThreadContext {
    /// Whether something of so many units may grow, which count for so many bytes each.
    fn grow(&mut self, now: usize, then: usize, maximum: Option<usize>, unit: usize) -> bool {
        // The module's own maximum is no limit of ours.
        if maximum.is_some_and(|maximum| then > maximum) {
            return false;
        }
        let bytes = then.saturating_sub(now).saturating_mul(unit);
        match self.reserved.add(bytes as u64) {
            Ok(()) => {
                self.thread
                    .granted(|limit| matches!(limit, Limit::Memory(_)));
                true
            }
            Err(limit) => {
                self.thread.meet_limit(Limit::Memory(limit));
                false
            }
        }
    }
}
