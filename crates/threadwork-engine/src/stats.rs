//! What a process has done so far.

use serde::Serialize;
use std::time::Duration;

/// A snapshot of a process's counters, by [`Process::stats`](crate::Process::stats).
/// The counters of running threads are read without stopping them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Threads started, the main one included.
    pub threads_started: u64,
    /// Threads that exist now.
    pub threads_alive: u32,
    /// The most that existed at one time.
    pub threads_peak: u32,
    /// Spawns that were refused.
    pub spawns_failed: u64,
    /// `memory.atomic.wait` instructions.
    pub waits: u64,
    /// Waits that ended without a sleep or a notify: the value had changed.
    pub waits_not_equal: u64,
    /// `memory.atomic.notify` instructions.
    pub notifies: u64,
    /// Waiters that they woke.
    pub woken: u64,
    /// Bytes of shared linear memory now; it never shrinks.
    pub memory: u64,
    /// Processor time of all threads, where the system tells it.
    pub cpu_time: Duration,
    /// Time since the start, until the end.
    pub wall_time: Duration,
}
