//! [`Record`]: what is known of a process while it runs and when it has ended.
//!
//! Invariant: it holds nothing of the guest's, neither memories nor code, so a handle of a
//! process that has ended keeps next to nothing.

use super::ending::{Ending, OnExit};
use super::limits::Limiter;
use super::threads::Threads;
use crate::exit_status::ExitStatus;
use crate::limits::Limits;
use crate::recorder::Recorder;
use crate::stats::Stats;
use crate::thread::ThreadInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Instant;

/// See the module's documentation.
pub(crate) struct Record {
    id: u64,
    pub(super) threads: Threads,
    pub(super) limits: Limiter,
    pub(super) ending: Ending,
    /// Bytes of shared memory that it had when it ended.
    memory: OnceLock<u64>,
}

impl Record {
    /// Of a process that starts now, and is profiled by this recorder, if it is.
    pub(super) fn new(limits: Limits, recorder: Option<Arc<Recorder>>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            // Ordering: Relaxed; only distinctness matters.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            threads: Threads::new(recorder),
            limits: Limiter::new(limits),
            ending: Ending::new(),
            memory: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_ending()
    }

    /// The status, as soon as the process has ended; `None` if `deadline` comes first.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<ExitStatus> {
        self.ending.wait(deadline)
    }

    /// Calls `on_exit` when the process has ended; at once if it has.
    pub(crate) fn on_exit(&self, on_exit: OnExit) {
        self.ending.on_exit(on_exit);
    }

    /// The status, if the process has ended; else `waker` is woken when it has, unless it is
    /// [forgotten](Self::forget) before.
    pub(crate) fn poll(&self, key: &mut Option<u64>, waker: &Waker) -> Option<ExitStatus> {
        self.ending.poll(key, waker)
    }

    pub(crate) fn forget(&self, key: u64) {
        self.ending.forget(key);
    }

    /// The process has ended, and has so many bytes of shared memory.
    pub(super) fn stop(&self, memory: u64) {
        let _ = self.memory.set(memory);
        self.limits.stop_clock();
    }

    pub(crate) fn thread_infos(&self) -> Vec<ThreadInfo> {
        self.threads.infos()
    }

    /// All but the memory of a process that runs.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            memory: self.memory.get().copied().unwrap_or_default(),
            wall_time: self.limits.wall_time(),
            ..self.threads.stats()
        }
    }
}
