//! A latch of this scheduler: so many jobs are still to be done, and one thread waits
//! for them.
//!
//! | bits | name | meaning |
//! |---|---|---|
//! | 0 | `SLEEPER` | the waiting thread may sleep: the last one done must notify |
//! | 1.. | count | jobs that are not done |
//!
//! *No wake-up is lost*: the waiter sleeps only while the word keeps a value that has
//! `SLEEPER` set and a count above zero. The step to zero comes before the futex
//! compares, and the waiter does not sleep, or after, and it replaced a word that has
//! `SLEEPER` set, and notifies.
//!
//! *The latch may be gone*: it is on the waiter's stack, and the waiter goes on as soon as
//! it sees the count of zero. So the subtraction is the last access of whoever is done; the
//! notify is given an address. (Rayon #739, #740, #768.)
//!
//! It differs from `threadwork_sync::WaitGroup` in that its waiter has other things to do:
//! it asks, and sleeps for a nap.

use std::sync::atomic::Ordering;
use std::time::Duration;

use threadwork_sync::{Futex, System};

use crate::primitive::AtomicU32;

const SLEEPER: u32 = 1;
const ONE: u32 = 2;

/// Past this, jobs are done at once by whoever adds them.
const MOST: u32 = u32::MAX / 2;

pub(super) struct CountLatch {
    word: AtomicU32,
}

impl CountLatch {
    /// With so many to be done.
    #[inline]
    pub(super) fn new(count: u32) -> Self {
        CountLatch {
            word: AtomicU32::new(count * ONE),
        }
    }

    /// One more is to be done; false if there are too many to count. Whoever calls this
    /// is one that is not done.
    pub(super) fn add(&self) -> bool {
        // Ordering: Relaxed; it publishes nothing, and the caller keeps the latch shut.
        let fits = self.word.load(Ordering::Relaxed) < MOST;
        if fits {
            self.word.fetch_add(ONE, Ordering::Relaxed);
        }
        fits
    }

    /// One is done.
    ///
    /// # Safety
    ///
    /// `this` is valid, and the caller is one of those that are counted.
    pub(super) unsafe fn done(this: *const Self) {
        // SAFETY: valid, since the caller is counted and the waiter waits for it.
        let word = unsafe { &raw const (*this).word };
        // Ordering: Release; pairs with the acquire in `is_open`. The subtractions of
        // others continue the release sequence.
        // SAFETY: as above. The reference ends with the subtraction.
        let before = unsafe { &*word }.fetch_sub(ONE, Ordering::Release);
        // From here on the latch may be gone: only its address is used.
        if before == ONE | SLEEPER {
            System.notify(word, 1);
        }
    }

    /// Whether all are done. If so, what they did is visible.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        // Ordering: Acquire; pairs with the release in `done`.
        self.word.load(Ordering::Acquire) < ONE
    }

    /// Watches for a moment whether it opens.
    #[cfg(all(feature = "bare", not(loom)))]
    pub(super) fn watch(&self) {
        // Ordering: Relaxed; a hint.
        let word = self.word.load(Ordering::Relaxed);
        if word >= ONE {
            System.watch(&self.word, word, threadwork_sync::Patience::Long);
        }
    }

    /// What a sleeper can be woken by for no reason. The latch may be gone when that is done.
    pub(super) fn word(&self) -> *mut AtomicU32 {
        (&raw const self.word).cast_mut()
    }

    /// Sleeps until it opens, or for the timeout, or for no reason.
    pub(super) fn sleep(&self, timeout: Option<Duration>) {
        // Ordering: Relaxed here and below; what was done is seen by `is_open`.
        let mut word = self.word.load(Ordering::Relaxed);
        while word >= ONE && word & SLEEPER == 0 {
            match self.word.compare_exchange_weak(
                word,
                word | SLEEPER,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => word |= SLEEPER,
                Err(now) => word = now,
            }
        }
        if word >= ONE {
            System.wait(&self.word, word, timeout);
        }
    }
}
