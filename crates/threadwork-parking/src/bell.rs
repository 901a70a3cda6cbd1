//! [`Bell`]: what the sleepers of one bucket hear, so that one system call wakes as many of
//! them as are meant, and nobody else.
//!
//! All sleep on one word, which changes whenever the bell is rung. Each has a *cord* of its
//! own for as long as it may sleep: a bit of the mask by which the system chooses whom to
//! wake (`FUTEX_WAKE_BITSET`). There are 32. Who finds none left, and everybody on systems
//! that have no such call, sleeps by itself.
//!
//! # No wake-up is lost
//!
//! A sleeper [listens](Bell::listen) before it looks at its state, and sleeps only if the
//! bell has not been rung since. Whoever wakes it changes its state before ringing. So
//! either the sleeper sees the new state, or its look came before the change, and then the
//! ring comes after it listened: the system finds the word changed, or the sleeper asleep.
//!
//! Invariant: a cord belongs to one thread at most, from before it enters the queue until
//! it has woken up for good. So a ring wakes exactly those whose cords are pulled.

use crate::primitive::{AtomicU32, Thread, Word, current, park, park_timeout};
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Where a thread sleeps.
pub(crate) enum Bed {
    /// By the bell, with this bit.
    Cord(NonZeroU32),
    /// By itself.
    Own(Thread),
}

/// Sleepers to wake.
#[derive(Default)]
pub(crate) struct Sleepers {
    cords: u32,
    others: Vec<Thread>,
}

impl Sleepers {
    pub(crate) fn add(&mut self, bed: &Bed) {
        match bed {
            Bed::Cord(cord) => self.cords |= cord.get(),
            Bed::Own(thread) => self.others.push(thread.clone()),
        }
    }
}

/// See the module's documentation.
pub(crate) struct Bell {
    /// How often it was rung.
    rings: Word,
    /// The cords that belong to somebody.
    taken: AtomicU32,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self {
            rings: Word::new(),
            taken: AtomicU32::new(0),
        }
    }

    /// A bed for the calling thread, to be [made](Self::make) after the last sleep in it.
    pub(crate) fn bed(&self) -> Bed {
        // Ordering: Relaxed; a first guess.
        let mut taken = self.taken.load(Ordering::Relaxed);
        while let Some(cord) = lowest(!taken & Word::CORDS) {
            // Ordering: Acquire; pairs with the release in `make`: its owner before has
            // woken up for good.
            match self.taken.compare_exchange_weak(
                taken,
                taken | cord.get(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Bed::Cord(cord),
                Err(now) => taken = now,
            }
        }
        Bed::Own(current())
    }

    /// Gives the bed back.
    pub(crate) fn make(&self, bed: &Bed) {
        if let Bed::Cord(cord) = bed {
            // Ordering: Release; see `bed`.
            self.taken.fetch_and(!cord.get(), Ordering::Release);
        }
    }

    /// What [`sleep`](Self::sleep) has to be told.
    pub(crate) fn listen(&self) -> u32 {
        self.rings.load()
    }

    /// Sleeps until the caller is woken, unless the bell was rung after `heard`, or until
    /// `deadline`. May return early.
    pub(crate) fn sleep(&self, bed: &Bed, heard: u32, deadline: Option<Instant>) {
        match (bed, deadline) {
            (Bed::Cord(cord), _) => self.rings.wait(heard, *cord, deadline),
            (Bed::Own(_), None) => park(),
            (Bed::Own(_), Some(deadline)) => {
                park_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Wakes them all.
    pub(crate) fn ring(&self, sleepers: Sleepers) {
        if let Some(cords) = NonZeroU32::new(sleepers.cords) {
            self.rings.change_and_wake(cords);
        }
        for sleeper in sleepers.others {
            sleeper.unpark();
        }
    }
}

fn lowest(bits: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(bits & bits.wrapping_neg())
}
