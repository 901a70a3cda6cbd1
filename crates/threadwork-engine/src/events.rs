//! What an engine does, as events of the crate `tracing`, for whoever operates it; nothing
//! at all without the feature of that name.
//!
//! | event | level | fields |
//! |---|---|---|
//! | `module compiled` | debug | `bytes`, `time_us`, `from_cache` |
//! | `process started` | debug | `process`, `name` |
//! | `thread spawned` | trace | `process`, `thread` |
//! | `limit refused something` | debug | `process`, `thread`, `limit` |
//! | `process ended` | info | `process`, `status` (one line), `code`, `time_us`, `threads` |
//! | `process failed` | warn | the same, where it trapped, met a limit or deadlocked; `report` has all lines |

use crate::exit_status::ExitStatus;
use crate::limits::Limit;
use crate::stats::Stats;
use std::time::Duration;

#[cfg(feature = "tracing")]
mod on {
    use super::{Duration, ExitStatus, Limit, Stats};
    use tracing::{debug, info, trace, warn};

    fn micros(time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn compiled(bytes: usize, time: Duration, from_cache: bool) {
        debug!(bytes, time_us = micros(time), from_cache, "module compiled");
    }

    pub(crate) fn started(process: u64, name: &str) {
        debug!(process, name, "process started");
    }

    pub(crate) fn spawned(process: u64, thread: u32) {
        trace!(process, thread, "thread spawned");
    }

    pub(crate) fn refused(process: u64, thread: u32, limit: Limit) {
        debug!(process, thread, %limit, "limit refused something");
    }

    pub(crate) fn ended(process: u64, status: &ExitStatus, stats: impl FnOnce() -> Stats) {
        let stats = stats();
        let (code, time_us) = (status.code(), micros(stats.wall_time));
        let threads = stats.threads_started;
        match status {
            ExitStatus::Exited(_) | ExitStatus::Killed { .. } => {
                info!(process, %status, code, time_us, threads, "process ended");
            }
            _ if tracing::enabled!(tracing::Level::WARN) => {
                let report = status.to_string();
                let status = report.lines().next().unwrap_or_default();
                warn!(
                    process,
                    status, code, time_us, threads, report, "process failed"
                );
            }
            _ => {}
        }
    }
}

#[cfg(feature = "tracing")]
pub(crate) use on::{compiled, ended, refused, spawned, started};

#[cfg(not(feature = "tracing"))]
mod off {
    use super::{Duration, ExitStatus, Limit, Stats};

    pub(crate) fn compiled(_: usize, _: Duration, _: bool) {}
    pub(crate) fn started(_: u64, _: &str) {}
    pub(crate) fn spawned(_: u64, _: u32) {}
    pub(crate) fn refused(_: u64, _: u32, _: Limit) {}
    pub(crate) fn ended(_: u64, _: &ExitStatus, _: impl FnOnce() -> Stats) {}
}

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{compiled, ended, refused, spawned, started};
