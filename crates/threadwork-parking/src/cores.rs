//! Who may spin: a count of the threads that want a core now.
//!
//! Spinning pays only while the thread that is waited for runs on another core.
//! So a thread spins while no more threads are runnable than there are cores,
//! and stops as soon as there are. The count is touched when a thread falls
//! asleep or wakes, never on a path that does not sleep.

use crate::primitive::AtomicU32;
use std::sync::atomic::Ordering;
#[cfg(not(loom))]
use std::time::Instant;

#[cfg(not(loom))]
use threadwork_sync::luck;

/// Looks between two looks at the clock.
#[cfg(not(loom))]
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

    /// Calls `done` until it is true, for as long as spinning seems to pay and a core
    /// is left over by all the threads that have work. The caller is not counted as
    /// runnable. Returns what `done` said last.
    #[cfg(not(loom))]
    pub fn spin_idle(&self, done: impl Fn() -> bool) -> bool {
        if done() {
            return true;
        }
        // Ordering: Relaxed here and below, as in `acquire`.
        let others = self.idle.fetch_add(1, Ordering::Relaxed);
        let finished = self.has_room_for(others + 1) && self.spin(done);
        self.idle.fetch_sub(1, Ordering::Relaxed);
        finished
    }

    #[cfg(not(loom))]
    fn spin(&self, done: impl Fn() -> bool) -> bool {
        let Some(budget) = luck::budget() else {
            return false;
        };
        let start = Instant::now();
        let mut finished = false;
        while !finished && self.has_room_for(1) && start.elapsed() < budget {
            finished = (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                done()
            });
        }
        luck::record(finished);
        finished
    }

    /// Whether so many threads without work may spin.
    #[cfg(not(loom))]
    fn has_room_for(&self, idle: u32) -> bool {
        self.cores > 1 && self.runnable.load(Ordering::Relaxed) + idle <= self.cores
    }
}
