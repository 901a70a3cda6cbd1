//! What the data of a store does for whoever finds it there: the guest's WASI calls,
//! Wasmtime, and the host functions of embedders.

use super::state::ThreadContext;
use crate::limits::Limit;
use crate::linear_memory::Memory;
use crate::thread::{Ended, ThreadState};
use crate::wasi::{Host, Wasi};
use std::time::Duration;
use threadwork_parking::Cores;
use wasmtime::ResourceLimiter;

impl ThreadContext {
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
            true => Err(wasmtime::Error::new(Ended)),
            false => self.process.check_running(),
        }
    }
}

impl Host for ThreadContext {
    fn wasi(&self) -> &Wasi {
        self.process.wasi()
    }

    fn thread(&self) -> &ThreadState {
        &self.thread
    }

    fn cores(&self) -> &Cores {
        self.process.machine().cores()
    }

    fn check_running(&self) -> wasmtime::Result<()> {
        self.check_running()
    }

    fn shared_memory(&self) -> Option<&Memory> {
        let position = self.process.code().shared_wasi_memory?;
        self.process.memories().get(position)
    }

    fn meet_limit(&self, limit: Limit) {
        self.process.limits().meet(&self.thread, limit);
    }

    fn process_cpu_time(&self) -> Duration {
        self.process.threads().cpu_time()
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

/// Bounds what belongs to one instance: memories that are not shared, and tables.
impl ResourceLimiter for ThreadContext {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self
            .process
            .limits()
            .allow_memory(&self.thread, desired as u64))
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A table is host memory; the limit of linear memory stands for it.
        let bytes = desired.saturating_mul(size_of::<usize>());
        Ok(self
            .process
            .limits()
            .allow_memory(&self.thread, bytes as u64))
    }
}
