//! [`WakeSlots`]: what the sleepers of one bucket sleep on, so that one system call wakes as
//! many of them as are meant, and nobody else.
//!
//! All sleep on one futex word, the *generation*, which changes with each wake. Each has a
//! slot of its own for as long as it may sleep: a bit of the mask by which the system
//! chooses whom to wake (`FUTEX_WAKE_BITSET`). There are 32. Who finds none free, and
//! everybody on systems that have no such call, is parked and unparked by itself.
//!
//! # No wake-up is lost
//!
//! A sleeper reads the [generation](WakeSlots::generation) before it looks at its state, and
//! sleeps only if it is the same still. Whoever wakes it changes its state before the
//! generation. So either the sleeper sees the new state, or its look came before the change,
//! and then the generation changes after it was read: the system finds the word changed, or
//! the sleeper asleep.
//!
//! Invariant: a bit belongs to one thread at most, from before it enters the queue until
//! it has woken up for good. So a wake wakes exactly those whose bits are in its mask.

use crate::primitive::{AtomicU32, Thread, Word, current, park, park_timeout};
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How a sleeping thread is woken.
pub(crate) enum WakeSlot {
    /// With others, by this bit.
    Bit(NonZeroU32),
    /// By itself.
    Thread(Thread),
}

/// Sleepers to wake.
#[derive(Default)]
pub(crate) struct Sleepers {
    bits: u32,
    threads: Vec<Thread>,
}

impl Sleepers {
    pub(crate) fn add(&mut self, slot: &WakeSlot) {
        match slot {
            WakeSlot::Bit(bit) => self.bits |= bit.get(),
            WakeSlot::Thread(thread) => self.threads.push(thread.clone()),
        }
    }
}

/// See the module's documentation.
pub(crate) struct WakeSlots {
    /// How often somebody was woken.
    generation: Word,
    /// The bits that belong to somebody.
    taken: AtomicU32,
}

impl WakeSlots {
    pub(crate) fn new() -> Self {
        Self {
            generation: Word::new(),
            taken: AtomicU32::new(0),
        }
    }

    /// A slot for the calling thread, to be [freed](Self::free) after its last sleep.
    pub(crate) fn take(&self) -> WakeSlot {
        // Ordering: Relaxed; a first guess.
        let mut taken = self.taken.load(Ordering::Relaxed);
        while let Some(bit) = lowest(!taken & Word::BITS) {
            // Ordering: Acquire; pairs with the release in `free`: its owner before has
            // woken up for good.
            match self.taken.compare_exchange_weak(
                taken,
                taken | bit.get(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return WakeSlot::Bit(bit),
                Err(now) => taken = now,
            }
        }
        WakeSlot::Thread(current())
    }

    /// Gives the slot back.
    pub(crate) fn free(&self, slot: &WakeSlot) {
        if let WakeSlot::Bit(bit) = slot {
            // Ordering: Release; see `take`.
            self.taken.fetch_and(!bit.get(), Ordering::Release);
        }
    }

    /// What [`sleep`](Self::sleep) has to be told.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load()
    }

    /// Sleeps until the caller is woken, unless somebody was after `generation` was read,
    /// or until `deadline`. May return early.
    pub(crate) fn sleep(&self, slot: &WakeSlot, generation: u32, deadline: Option<Instant>) {
        match (slot, deadline) {
            (WakeSlot::Bit(bit), _) => self.generation.wait(generation, *bit, deadline),
            (WakeSlot::Thread(_), None) => park(),
            (WakeSlot::Thread(_), Some(deadline)) => {
                park_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Wakes them all.
    pub(crate) fn wake(&self, sleepers: Sleepers) {
        if let Some(bits) = NonZeroU32::new(sleepers.bits) {
            self.generation.change_and_wake(bits);
        }
        for thread in sleepers.threads {
            thread.unpark();
        }
    }
}

fn lowest(bits: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(bits & bits.wrapping_neg())
}
