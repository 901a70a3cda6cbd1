//! The one place that switches between the real primitives and loom's, and between the
//! systems, so that the code that is model-checked is the code that ships.

use std::num::NonZeroU32;
#[cfg(all(target_os = "linux", not(loom)))]
use std::sync::atomic::Ordering;
use std::time::Instant;

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, fence},
    },
    thread::{Thread, current, park, park_timeout},
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, fence},
    },
    thread::{Thread, current, park},
};

/// Loom has no clock: a timed park is a yield, after which the caller's
/// deadline is taken as passed.
#[cfg(loom)]
pub(crate) fn park_timeout(_: std::time::Duration) {
    loom::thread::yield_now();
}

/// A word on which threads sleep, each with a bit of its own.
#[cfg(all(target_os = "linux", not(loom)))]
pub(crate) struct Word(AtomicU32);

#[cfg(all(target_os = "linux", not(loom)))]
impl Word {
    /// The bits that there are.
    pub(crate) const BITS: u32 = u32::MAX;

    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(crate) fn load(&self) -> u32 {
        // Ordering: Acquire; pairs with the release in `change_and_wake`: who sees
        // a change sees what was done before it.
        self.0.load(Ordering::Acquire)
    }

    /// Sleeps if the word still has this value. May return early.
    pub(crate) fn wait(&self, value: u32, bit: NonZeroU32, deadline: Option<Instant>) {
        use rustix::thread::futex;
        use rustix::time::{ClockId, Timespec, clock_gettime};
        // A moment of the clock that the call reckons by, which is that of `Instant`. One
        // that cannot be expressed never comes.
        let deadline = deadline.and_then(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            clock_gettime(ClockId::Monotonic).checked_add(Timespec::try_from(left).ok()?)
        });
        // It fails if the word has changed, at the deadline, and for a signal: in each case
        // the caller looks again.
        let _ = futex::wait_bitset(
            &self.0,
            futex::Flags::PRIVATE,
            value,
            deadline.as_ref(),
            bit,
        );
    }

    /// Changes the word, and wakes those who sleep with these bits.
    pub(crate) fn change_and_wake(&self, bits: NonZeroU32) {
        use rustix::thread::futex;
        // Ordering: Release; see `load`.
        self.0.fetch_add(1, Ordering::Release);
        // It does not fail for a word of ours.
        let _ = futex::wake_bitset(
            &self.0,
            futex::Flags::PRIVATE,
            bits.count_ones().get(),
            bits,
        );
    }
}

/// The same as a model: a sleeper for each of two bits. The others sleep by themselves.
#[cfg(loom)]
pub(crate) struct Word {
    value: Mutex<u32>,
    sleepers: [loom::sync::Condvar; 2],
}

#[cfg(loom)]
impl Word {
    pub(crate) const BITS: u32 = 0b11;

    pub(crate) fn new() -> Self {
        Self {
            value: Mutex::new(0),
            sleepers: Default::default(),
        }
    }

    fn value(&self) -> MutexGuard<'_, u32> {
        self.value
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn load(&self) -> u32 {
        *self.value()
    }

    pub(crate) fn wait(&self, value: u32, bit: NonZeroU32, deadline: Option<Instant>) {
        if deadline.is_some() {
            return loom::thread::yield_now();
        }
        let now = self.value();
        if *now == value {
            drop(self.sleepers[bit.trailing_zeros() as usize].wait(now));
        }
    }

    pub(crate) fn change_and_wake(&self, bits: NonZeroU32) {
        *self.value() += 1;
        for (at, sleeper) in self.sleepers.iter().enumerate() {
            if bits.get() & (1 << at) != 0 {
                sleeper.notify_one();
            }
        }
    }
}

/// Elsewhere nobody sleeps here.
#[cfg(not(any(target_os = "linux", loom)))]
pub(crate) struct Word;

#[cfg(not(any(target_os = "linux", loom)))]
impl Word {
    pub(crate) const BITS: u32 = 0;

    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn load(&self) -> u32 {
        0
    }

    pub(crate) fn wait(&self, _: u32, _: NonZeroU32, _: Option<Instant>) {}

    pub(crate) fn change_and_wake(&self, _: NonZeroU32) {}
}
