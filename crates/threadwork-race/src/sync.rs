//! What each atomic word says happened before whoever reads it.
//!
//! A thread holds a word's *shard* from before an atomic operator until after it, so that the
//! clocks change in the order in which the operators happened.
//!
//! Invariant: a shard is held by one thread at a time, which does nothing meanwhile but that one
//! operator. If it traps there, the process ends, and whoever waits for the shard looks for that.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Clock;
use crate::lock;

const SHARDS: usize = 256;
/// Turns that a thread waits before it lets others run.
const TURNS: u32 = 64;

#[derive(Default)]
struct Shard {
    held: AtomicBool,
    clocks: Mutex<HashMap<u64, Clock>>,
}

/// The clocks of all words.
pub(crate) struct Words {
    shards: Box<[Shard]>,
}

/// A shard that is held.
#[derive(Debug)]
pub(crate) struct Held(usize);

impl Words {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    fn number(word: u64) -> usize {
        // Words of a line have shards of their own.
        ((word ^ word >> 2 ^ word >> 10) % SHARDS as u64) as usize
    }

    /// Holds the shard of a word; `None` if the process ends.
    pub(crate) fn hold(&self, word: u64, is_ending: impl Fn() -> bool) -> Option<Held> {
        let number = Self::number(word);
        let shard = self.shards.get(number)?;
        let mut turns = 0;
        // Ordering: Acquire, of the Release in `release`: the guest's operator of whoever held
        // it before happened before ours.
        while shard.held.swap(true, Ordering::Acquire) {
            turns += 1;
            if turns < TURNS {
                std::hint::spin_loop();
            } else if is_ending() {
                return None;
            } else {
                std::thread::yield_now();
            }
        }
        Some(Held(number))
    }

    /// Lets a shard go.
    pub(crate) fn release(&self, held: Held) {
        if let Some(shard) = self.shards.get(held.0) {
            // Ordering: see `hold`.
            shard.held.store(false, Ordering::Release);
        }
    }

    /// Changes the clock of a word, which is made if it is not there.
    pub(crate) fn update(&self, word: u64, change: impl FnOnce(&mut Clock)) {
        if let Some(shard) = self.shards.get(Self::number(word)) {
            change(lock(&shard.clocks).entry(word).or_default());
        }
    }

    /// Looks at the clock of a word, if it has one.
    pub(crate) fn read(&self, word: u64, look: impl FnOnce(&Clock)) {
        if let Some(shard) = self.shards.get(Self::number(word))
            && let Some(clock) = lock(&shard.clocks).get(&word)
        {
            look(clock);
        }
    }
}
