//! Who may spin: a count of the threads that want a core now.
//!
//! Spinning pays only while the thread that is waited for runs on another core.
//! So a thread spins while no more threads are runnable than there are cores,
//! and stops as soon as there are. The count is touched when a thread falls
//! asleep or wakes, never on a path that does not sleep.
//!
//! And it pays only if the two really run on two cores. Systems in virtual machines are apt
//! to leave a thread on the core of the one that wakes it, since a core that sleeps looks
//! to them like one that somebody else has. Then a hand-off costs two changes of context,
//! for ever. A thread that finds itself there, and has a core to spare, moves once
//! (`core.rs`).

use crate::core::{self, Moves};
use crate::primitive::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use threadwork_sync::spin_history;

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
    moves: Moves,
}

impl Cores {
    /// A machine with `cores` cores on which no thread runs yet.
    #[must_use]
    pub fn new(cores: u32) -> Self {
        Self {
            runnable: AtomicU32::new(0),
            idle: AtomicU32::new(0),
            cores,
            moves: Moves::new(),
        }
    }

    /// Counts a thread as one that wants a core: the calling one, or one that it wakes.
    pub fn acquire(&self) {
        // Ordering: Relaxed; the count steers a heuristic and publishes nothing.
        self.runnable.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back one [`acquire`](Self::acquire).
    pub fn release(&self) {
        // Ordering: Relaxed, as in `acquire`.
        self.runnable.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether two threads can run at once at all.
    pub(crate) fn are_several(&self) -> bool {
        self.cores > 1
    }

    /// Whether a thread that is already counted may spin: everybody who wants a
    /// core has one.
    #[must_use]
    pub fn may_spin(&self) -> bool {
        // Ordering: Relaxed, as in `acquire`.
        self.are_several() && self.runnable.load(Ordering::Relaxed) <= self.cores
    }

    /// Calls `done` until it is true, for as long as spinning seems to pay and a core
    /// is left over by all the threads that have work. The caller is not counted as
    /// runnable. Returns what `done` said last.
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

    fn spin(&self, done: impl Fn() -> bool) -> bool {
        let Some(budget) = self.budget() else {
            return false;
        };
        let start = Instant::now();
        while self.has_room_for(1) && start.elapsed() < budget {
            if (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                done()
            }) {
                break;
            }
        }
        // Also when there was no room any more: maybe for the very work that is waited for.
        let finished = done();
        self.record(finished);
        finished
    }

    /// For how long the calling thread should spin now, if at all: maybe on another core
    /// than before, if it shares this one with the thread that wakes it.
    pub(crate) fn budget(&self) -> Option<Duration> {
        if spin_history::wants_move() && self.moves.allow() && core::leave() {
            spin_history::moved();
        }
        spin_history::budget()
    }

    /// How the spin ended.
    pub(crate) fn record(&self, success: bool) {
        if spin_history::record(success) {
            self.moves.paid();
        }
    }

    /// Whether so many threads without work may spin.
    fn has_room_for(&self, idle: u32) -> bool {
        self.are_several() && self.runnable.load(Ordering::Relaxed) + idle <= self.cores
    }
}
