//! What the bytes by which threads synchronize say happened before whoever reads them.
//!
//! Clocks are of bytes, since operators of different widths may reach the same: a flag of one
//! byte is read with its neighbours. They are kept by aligned words of eight bytes, in none of
//! which an atomic operator leaves another.
//!
//! A thread holds a word's *shard* from before an atomic operator until after it, so that the
//! clocks change in the order in which the operators happened.
//!
//! Invariant: a shard is held by one thread at a time, which does nothing meanwhile but that one
//! operator. If it traps there, the process ends, and whoever waits for the shard looks for that.
//! Each byte of a word has one clock at most.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Clock;
use crate::lock;

const SHARDS: usize = 256;
/// Bytes of a word.
const WORD: u64 = 8;
/// The bit of a word's name that makes it that of the queue of waiters at an address.
const QUEUE: u64 = 1 << 63;
/// Turns that a thread waits before it lets others run.
const TURNS: u32 = 64;

/// Clocks of bytes of a word, none of which is in two masks.
type Parts = Vec<(u8, Clock)>;

/// Spreads addresses, which nobody chooses to be in each other's way but a program that slows
/// down nothing but itself.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

#[derive(Default)]
struct Shard {
    held: AtomicBool,
    words: Mutex<HashMap<u64, Parts, BuildHasherDefault<Spread>>>,
}

/// Bytes of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes {
    word: u64,
    mask: u8,
}

impl Bytes {
    /// The bytes that an operator reaches, word by word.
    pub(crate) fn of(address: u64, width: u8) -> impl Iterator<Item = Self> {
        let end = address.saturating_add(width.into());
        let mut at = address;
        std::iter::from_fn(move || {
            let (word, first) = (at - at % WORD, at % WORD);
            let bytes = end.saturating_sub(at).min(WORD - first);
            at = at.saturating_add(bytes);
            let mask = (((1u16 << bytes) - 1) << first) as u8;
            (bytes > 0).then_some(Self { word, mask })
        })
    }

    /// What stands for the queue of those who wait at an address.
    pub(crate) fn queue(address: u64) -> Self {
        Self {
            word: address | QUEUE,
            mask: 1,
        }
    }
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

    fn number(address: u64) -> usize {
        // Words of a line have shards of their own.
        let word = address / WORD;
        ((word ^ word >> 8) % SHARDS as u64) as usize
    }

    /// Holds the shard of the word with an address; `None` if the process ends.
    pub(crate) fn hold(&self, address: u64, is_ending: impl Fn() -> bool) -> Option<Held> {
        let number = Self::number(address);
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

    /// A release that is added to those before it: the bytes' clocks join `clock`.
    pub(crate) fn join(&self, bytes: Bytes, clock: &Clock) {
        self.with(bytes, |parts| {
            let mut missing = bytes.mask;
            let mut added = Vec::new();
            for (mask, own) in &mut *parts {
                let common = *mask & bytes.mask;
                missing &= !common;
                if common == *mask {
                    own.join(clock);
                } else if common != 0 {
                    *mask &= !common;
                    let mut both = own.clone();
                    both.join(clock);
                    added.push((common, both));
                }
            }
            if missing != 0 {
                added.push((missing, clock.clone()));
            }
            parts.append(&mut added);
        });
    }

    /// A release that stands for those before it: the bytes' clocks become `clock`.
    pub(crate) fn store(&self, bytes: Bytes, clock: &Clock) {
        self.with(bytes, |parts| set(parts, bytes.mask, clock));
    }

    /// An acquire and a release in one.
    pub(crate) fn exchange(&self, bytes: Bytes, clock: &mut Clock) {
        self.with(bytes, |parts| {
            acquire(parts, bytes.mask, clock);
            set(parts, bytes.mask, clock);
        });
    }

    /// An acquire: `clock` joins those of the bytes.
    pub(crate) fn read(&self, bytes: Bytes, clock: &mut Clock) {
        if let Some(shard) = self.shards.get(Self::number(bytes.word))
            && let Some(parts) = lock(&shard.words).get(&bytes.word)
        {
            acquire(parts, bytes.mask, clock);
        }
    }

    fn with(&self, bytes: Bytes, change: impl FnOnce(&mut Parts)) {
        if let Some(shard) = self.shards.get(Self::number(bytes.word)) {
            change(lock(&shard.words).entry(bytes.word).or_default());
        }
    }
}

fn acquire(parts: &Parts, mask: u8, clock: &mut Clock) {
    let reached = parts.iter().filter(|(bytes, _)| bytes & mask != 0);
    reached.for_each(|(_, theirs)| clock.join(theirs));
}

fn set(parts: &mut Parts, mask: u8, clock: &Clock) {
    if let Some((_, own)) = parts.iter_mut().find(|(bytes, _)| *bytes == mask) {
        own.copy_from(clock);
        return;
    }
    parts.iter_mut().for_each(|(bytes, _)| *bytes &= !mask);
    parts.retain(|(bytes, _)| *bytes != 0);
    parts.push((mask, clock.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(slot: u16) -> Clock {
        let mut clock = Clock::default();
        clock.raise(slot, 1);
        clock
    }

    /// Which of the slots from 0 to 3 whoever reads the bytes knows of.
    fn known(words: &Words, address: u64, width: u8) -> Vec<u16> {
        let mut clock = Clock::default();
        for bytes in Bytes::of(address, width) {
            words.read(bytes, &mut clock);
        }
        (0..4).filter(|slot| clock.at(*slot) > 0).collect()
    }

    fn only(address: u64, width: u8) -> Bytes {
        let mut all = Bytes::of(address, width);
        let first = all.next().unwrap();
        assert_eq!(all.next(), None);
        first
    }

    #[test]
    fn bytes_are_divided_by_words() {
        let masks = |address, width| -> Vec<_> {
            let all = Bytes::of(address, width);
            all.map(|bytes| (bytes.word, bytes.mask)).collect()
        };
        assert_eq!(masks(129, 1), [(128, 2)]);
        assert_eq!(masks(8, 8), [(8, 255)]);
        assert_eq!(masks(6, 4), [(0, 0xc0), (8, 3)]);
        assert_eq!(masks(4, 16), [(0, 0xf0), (8, 255), (16, 15)]);
        assert!(masks(u64::MAX, 4).is_empty() && masks(5, 0).is_empty());
    }

    #[test]
    fn whoever_reads_a_byte_knows_who_stored_it() {
        let words = Words::new();
        words.store(only(129, 1), &clock(0));
        assert_eq!(known(&words, 128, 4), [0]);
        assert_eq!(known(&words, 128, 8), [0]);
        assert!(known(&words, 128, 1).is_empty());
        assert!(known(&words, 132, 4).is_empty());
        // Part of a wide one.
        words.store(only(128, 8), &clock(1));
        assert_eq!(known(&words, 129, 1), [1]);
        words.store(only(132, 4), &clock(2));
        assert_eq!(known(&words, 128, 8), [1, 2]);
        assert_eq!(known(&words, 128, 4), [1]);
        words.join(only(130, 1), &clock(3));
        assert_eq!(known(&words, 130, 1), [1, 3]);
        assert_eq!(known(&words, 131, 1), [1]);
        let mut own = clock(0);
        words.exchange(only(130, 2), &mut own);
        assert_eq!((own.at(1), own.at(2), own.at(3)), (1, 0, 1));
        assert_eq!(known(&words, 131, 1), [0, 1, 3]);
        // A queue is of no word.
        words.join(Bytes::queue(128), &clock(2));
        assert_eq!(known(&words, 128, 1), [1]);
    }
}
