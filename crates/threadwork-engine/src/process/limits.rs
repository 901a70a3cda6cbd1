//! [`Limiter`]: the limits of a process, and its clock.

use crate::error::Error;
use crate::limits::{Limit, Limits, PAGE};
use crate::machine::HAS_CPU_CLOCKS;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The shortest time between two looks at how much CPU time is left.
const SHORTEST_VISIT: Duration = Duration::from_millis(1);

/// See the module's documentation.
pub(crate) struct Limiter {
    limits: Limits,
    started: Instant,
    /// How long the process ran, once it has ended.
    wall_time: OnceLock<Duration>,
}

impl Limiter {
    /// Of a process that starts now, and whose limits were [checked](check_limits).
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            started: Instant::now(),
            wall_time: OnceLock::new(),
        }
    }

    /// Threads that may exist beside the main one.
    pub(super) fn threads(&self) -> Option<u32> {
        self.limits.threads
    }

    // ---- Times ----

    /// When to look at the times at first.
    pub(super) fn first_look(&self, parallelism: u32) -> Option<Instant> {
        let times = [self.limits.wall_time, self.limits.cpu_time];
        let soon = times.into_iter().flatten().min()? / parallelism;
        // A limit beyond all time is none.
        self.started.checked_add(soon)
    }

    /// When to look at the times again.
    ///
    /// # Errors
    ///
    /// The limit that has passed.
    pub(super) fn look(
        &self,
        now: Instant,
        cpu_time: impl FnOnce() -> Duration,
        parallelism: u32,
    ) -> Result<Option<Instant>, Limit> {
        let left = |limit: Option<Duration>, used: Duration, which: fn(Duration) -> Limit| {
            let left = limit.map(|limit| (limit, limit.saturating_sub(used)));
            match left {
                Some((limit, Duration::ZERO)) => Err(which(limit)),
                left => Ok(left.map(|(_, left)| left)),
            }
        };
        let used = now.saturating_duration_since(self.started);
        let wall = left(self.limits.wall_time, used, Limit::WallTime)?;
        let used = self.limits.cpu_time.map(|_| cpu_time());
        let cpu = left(
            self.limits.cpu_time,
            used.unwrap_or_default(),
            Limit::CpuTime,
        )?;
        // It cannot be used up faster than all cores can.
        let cpu = cpu.map(|left| (left / parallelism).max(SHORTEST_VISIT));
        let soonest = [wall, cpu].into_iter().flatten().min();
        Ok(soonest.and_then(|left| now.checked_add(left)))
    }

    /// The process has ended.
    pub(super) fn stop_clock(&self) {
        let _ = self.wall_time.set(self.started.elapsed());
    }

    /// Time from the start, until the end.
    pub(super) fn wall_time(&self) -> Duration {
        let ended = self.wall_time.get().copied();
        ended.unwrap_or_else(|| self.started.elapsed())
    }
}

/// Refuses limits under which nothing could run.
pub(crate) fn check_limits(limits: &Limits) -> Result<(), Error> {
    let zero = |limit: Limit| Err(Error::ZeroLimit { limit });
    match *limits {
        Limits {
            threads: Some(0), ..
        } => zero(Limit::Threads(0)),
        Limits {
            memory: Some(bytes),
            ..
        } if bytes < PAGE => zero(Limit::Memory(bytes)),
        Limits {
            wall_time: Some(Duration::ZERO),
            ..
        } => zero(Limit::WallTime(Duration::ZERO)),
        Limits {
            cpu_time: Some(Duration::ZERO),
            ..
        } => zero(Limit::CpuTime(Duration::ZERO)),
        Limits {
            open_files: Some(0),
            ..
        } => zero(Limit::OpenFiles(0)),
        _ if limits.cpu_time.is_some() && !HAS_CPU_CLOCKS => Err(Error::Unsupported {
            what: "a CPU time limit",
            remedy: "limit the wall-clock time instead",
        }),
        _ => Ok(()),
    }
}
