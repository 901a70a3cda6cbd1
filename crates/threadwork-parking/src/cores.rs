//! Who may spin: a count of the threads that want a core now.
//!
//! Spinning pays only while the thread that is waited for runs on another core.
//! So a thread spins while no more threads are runnable than there are cores,
//! and stops as soon as there are. The count is touched when a thread falls
//! asleep or wakes, never on a path that does not sleep.

#[cfg(not(loom))]
use crate::luck;
use crate::primitive::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Looks between two looks at the clock.
const LOOKS: u32 = 32;

/// The cores of the machine and the threads that want one, shared by all the
/// parking lots of an engine.
#[derive(Debug)]
pub struct Cores {
    /// Threads with work to do.
    runnable: AtomicU32,
    /// Threads without work that spin for some.
    idle: AtomicU32,
    cores: u32,
}

impl Cores {
    /// A machine with `cores` cores on which no thread runs yet.
    #[must_use]
    pub fn new(cores: u32) -> Self {
        Self {
            runnable: AtomicU32::new(0),
            idle: AtomicU32::new(0),
            cores,
        }
    }

    /// Counts the calling thread as one that wants a core.
    pub fn acquire(&self) {
        // Ordering: Relaxed; the count steers a heuristic and publishes nothing.
        self.runnable.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back one [`acquire`](Self::acquire).
    pub fn release(&self) {
        // Ordering: Relaxed, as in `acquire`.
        self.runnable.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a thread that is already counted may spin: everybody who wants a
    /// core has one.
    #[must_use]
    pub fn may_spin(&self) -> bool {
        // Ordering: Relaxed, as in `acquire`.
        self.cores > 1 && self.runnable.load(Ordering::Relaxed) <= self.cores
    }

    #[cfg(not(loom))]
    /// Calls `done` until it is true, for at most `time`, while a core is left
    /// over by all the threads that have work. The caller is not counted as
    /// runnable. Returns what `done` said last.
    pub fn spin_idle(&self, time: Duration, done: impl Fn() -> bool) -> bool {
        let mut finished = done();
        if finished || !self.has_spare() || !luck::try_it() {
            return finished;
        }
        // Ordering: Relaxed here and below, as in `acquire`.
        self.idle.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        while !finished && self.has_spare() && start.elapsed() < time {
            finished = (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                done()
            });
        }
        self.idle.fetch_sub(1, Ordering::Relaxed);
        luck::record(finished);
        finished
    }

    #[cfg(not(loom))]
    fn has_spare(&self) -> bool {
        // Ordering: Relaxed, as in `acquire`.
        let idle = self.idle.load(Ordering::Relaxed);
        self.cores > 1 && self.runnable.load(Ordering::Relaxed) + idle <= self.cores
    }
}
