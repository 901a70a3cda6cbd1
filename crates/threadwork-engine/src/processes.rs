//! [`Processes`]: those that an engine runs, and what became of the others.
//!
//! Invariant: a process is in the list from its start to its end; who started counts as
//! ended in one way, or is in the list.

use crate::exit_status::ExitStatus;
use crate::lock::lock;
use crate::stats::Stats;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, Weak};
use std::time::Duration;

/// A row of [`Engine::processes`](crate::Engine::processes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// As [`Process::id`](crate::Process::id).
    pub id: u64,
    /// As [`ProcessBuilder::arg0`](crate::ProcessBuilder::arg0) said.
    pub name: String,
    /// Whether its end has begun.
    pub is_ending: bool,
    /// What it has done so far.
    pub stats: Stats,
}

/// What an engine has done so far, by [`Engine::stats`](crate::Engine::stats): for an
/// exporter of metrics. All but the gauges only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EngineStats {
    /// Processes that have started.
    pub processes_started: u64,
    /// Processes that exist now (a gauge).
    pub processes_alive: u64,
    /// Processes that exited, with whatever code.
    pub exited: u64,
    /// Processes that trapped.
    pub trapped: u64,
    /// Processes that were ended as deadlocks.
    pub deadlocked: u64,
    /// Processes that failed at a limit.
    pub limited: u64,
    /// Processes that were killed.
    pub killed: u64,
    /// Modules that were compiled.
    pub modules_compiled: u64,
    /// Modules that were in the cache.
    pub modules_from_cache: u64,
    /// Time for which modules were compiled, by the clock on the wall.
    pub compile_time: Duration,
    /// Worker threads of the engine that exist now, and that are idle (gauges).
    pub workers: u32,
    /// See [`workers`](Self::workers).
    pub workers_idle: u32,
    /// Bytes of shared linear memory of the processes that exist now (a gauge).
    pub memory: u64,
}

/// A process, as far as the list must know.
pub(crate) trait Listed: Send + Sync {
    fn info(&self) -> ProcessInfo;
    fn kill(&self, reason: Option<String>);
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Processes(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    running: BTreeMap<u64, Weak<dyn Listed>>,
    /// Of processes and modules only.
    stats: EngineStats,
}

impl Processes {
    /// A process starts.
    pub(crate) fn add(&self, id: u64, process: Weak<dyn Listed>) {
        let mut inner = lock(&self.0);
        inner.stats.processes_started += 1;
        inner.running.insert(id, process);
    }

    /// It has not started after all.
    pub(crate) fn withdraw(&self, id: u64) {
        let mut inner = lock(&self.0);
        if inner.running.remove(&id).is_some() {
            inner.stats.processes_started -= 1;
        }
    }

    /// It has ended.
    pub(crate) fn remove(&self, id: u64, status: &ExitStatus) {
        let mut inner = lock(&self.0);
        if inner.running.remove(&id).is_none() {
            return;
        }
        let stats = &mut inner.stats;
        let count = match status {
            ExitStatus::Exited(_) => &mut stats.exited,
            ExitStatus::Trapped(_) => &mut stats.trapped,
            ExitStatus::Deadlock(_) => &mut stats.deadlocked,
            ExitStatus::LimitExceeded(_) => &mut stats.limited,
            ExitStatus::Killed { .. } => &mut stats.killed,
        };
        *count += 1;
    }

    /// A module was loaded.
    pub(crate) fn compiled(&self, time: Duration, from_cache: bool) {
        let stats = &mut lock(&self.0).stats;
        match from_cache {
            true => stats.modules_from_cache += 1,
            false => {
                stats.modules_compiled += 1;
                stats.compile_time += time;
            }
        }
    }

    /// Those that run, in the order of their start.
    pub(crate) fn list(&self) -> Vec<ProcessInfo> {
        let running: Vec<_> = {
            let inner = lock(&self.0);
            inner.running.values().filter_map(Weak::upgrade).collect()
        };
        running.iter().map(|process| process.info()).collect()
    }

    /// Kills the one with this number; false if it does not run.
    pub(crate) fn kill(&self, id: u64, reason: Option<String>) -> bool {
        let process = lock(&self.0).running.get(&id).and_then(Weak::upgrade);
        process.map(|process| process.kill(reason)).is_some()
    }

    /// All but what is known of workers.
    pub(crate) fn stats(&self) -> EngineStats {
        let running = self.list();
        let mut stats = lock(&self.0).stats.clone();
        stats.processes_alive = running.len() as u64;
        stats.memory = running.iter().map(|process| process.stats.memory).sum();
        stats
    }
}
