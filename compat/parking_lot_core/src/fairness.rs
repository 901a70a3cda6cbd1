//! When an unlock should hand over to who is woken: now and then, so that nobody starves.

use std::cell::Cell;
use std::time::Duration;

/// From one to the next, at most; half of it on average.
const PERIOD: u64 = 1_000_000;

/// Of one bucket, under its lock.
pub(crate) struct Fairness {
    /// When the next is due, in nanoseconds of [`wasm_futex::now`].
    due: Cell<u64>,
    random: Cell<u32>,
}

impl Fairness {
    pub(crate) const fn new() -> Self {
        Fairness {
            due: Cell::new(0),
            random: Cell::new(0),
        }
    }

    /// Whether it is time; then the next one is later.
    pub(crate) fn is_due(&self) -> bool {
        let now = wasm_futex::now().as_ref().map_or(0, Duration::as_nanos) as u64;
        if now <= self.due.get() {
            return false;
        }
        // Xorshift, Marsaglia 2003; its state must not be zero.
        let mut random = self.random.get().max(1);
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        self.random.set(random);
        self.due.set(now + u64::from(random) % PERIOD);
        true
    }
}
