//! Checked access to a shared memory against raw words.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use threadwork_runtime::SharedMemory;
use threadwork_workloads::{Measured, share, timed};

use threadwork_workloads::contest::{Entry, entry};

/// How many words are gone through, one after another.
const WORDS: usize = 4096;

/// Words that are found by a number.
trait Words: Sync {
    fn new() -> Self;
    fn read(&self, index: usize) -> u32;
    fn write(&self, index: usize, value: u32);
    fn add(&self, index: usize, value: u32) -> u32;
    fn copy(&self, to: &mut [u8]);
}

/// A slice of atomics: Rust checks the index.
struct Raw(Box<[AtomicU32]>);

impl Words for Raw {
    fn new() -> Self {
        Raw((0..WORDS).map(|_| AtomicU32::default()).collect())
    }
    #[inline]
    fn read(&self, index: usize) -> u32 {
        self.0[index].load(Ordering::Relaxed)
    }
    #[inline]
    fn write(&self, index: usize, value: u32) {
        self.0[index].store(value, Ordering::Relaxed);
    }
    #[inline]
    fn add(&self, index: usize, value: u32) -> u32 {
        self.0[index].fetch_add(value, Ordering::SeqCst)
    }
    #[inline]
    fn copy(&self, to: &mut [u8]) {
        for (word, to) in self.0.iter().zip(to.as_chunks_mut::<4>().0) {
            *to = word.load(Ordering::Relaxed).to_ne_bytes();
        }
    }
}

/// A shared memory, at the start of it or, if `GROWN`, where it has grown.
struct Checked<const GROWN: bool>(SharedMemory);

impl<const GROWN: bool> Checked<GROWN> {
    const START: usize = if GROWN { 2 * SharedMemory::PAGE } else { 0 };
}

const INSIDE: &str = "the words are inside, and aligned";

impl<const GROWN: bool> Words for Checked<GROWN> {
    fn new() -> Self {
        let memory = SharedMemory::new(1, 4).expect("there is memory");
        memory.grow(3).expect("there is memory");
        Checked(memory)
    }
    #[inline]
    fn read(&self, index: usize) -> u32 {
        self.0.read(Self::START + index * 4).expect(INSIDE)
    }
    #[inline]
    fn write(&self, index: usize, value: u32) {
        self.0.write(Self::START + index * 4, value).expect(INSIDE);
    }
    #[inline]
    fn add(&self, index: usize, value: u32) -> u32 {
        self.0.add(Self::START + index * 4, value).expect(INSIDE)
    }
    #[inline]
    fn copy(&self, to: &mut [u8]) {
        self.0.read_bytes(Self::START, to).expect(INSIDE);
    }
}

fn reads<W: Words>(threads: u32, iterations: u64) -> Measured {
    let words = W::new();
    let (elapsed, answer) = timed(threads, |index| {
        let mut sum = 0;
        for n in 0..share(iterations, threads, index) {
            sum += u64::from(words.read(n as usize % WORDS)) + 1;
        }
        sum
    });
    Measured::new(elapsed, iterations, answer)
}

fn writes<W: Words>(threads: u32, iterations: u64) -> Measured {
    let words = W::new();
    let (elapsed, answer) = timed(threads, |index| {
        let count = share(iterations, threads, index);
        for n in 0..count {
            words.write(n as usize % WORDS, n as u32);
        }
        count
    });
    Measured::new(elapsed, iterations, answer)
}

/// One add, of the same word in one thread: what acceptance test 18 asks for.
fn adds<W: Words>(threads: u32, iterations: u64) -> Measured {
    let words = W::new();
    let (elapsed, answer) = timed(threads, |index| {
        let own = index as usize * 32 % WORDS;
        for _ in 0..share(iterations, threads, index) {
            words.add(black_box(own), 1);
        }
        u64::from(words.read(own))
    });
    Measured::new(elapsed, iterations, answer)
}

/// Figures for each 8 bytes.
fn copies<W: Words>(threads: u32, iterations: u64) -> Measured {
    let words = W::new();
    let (elapsed, answer) = timed(threads, |index| {
        let mut bytes = [1; 4096];
        let count = share(iterations, threads, index);
        for _ in 0..count.div_ceil(512) {
            words.copy(&mut bytes);
            black_box(&mut bytes);
        }
        bytes.iter().map(|byte| u64::from(*byte)).sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// The best that there is: one atomic, at an address that is known.
fn bare_add(threads: u32, iterations: u64) -> Measured {
    let words: Vec<AtomicU64> = (0..16 * threads).map(|_| AtomicU64::default()).collect();
    let (elapsed, answer) = timed(threads, |index| {
        let own = &words[index as usize * 16];
        for _ in 0..share(iterations, threads, index) {
            own.fetch_add(1, Ordering::SeqCst);
        }
        own.load(Ordering::Relaxed)
    });
    Measured::new(elapsed, iterations, answer)
}

macro_rules! workloads {
    ($($contestant:literal: $words:ty),* $(,)?) => {
        &[
            $(
                entry("memory-read", $contestant, reads::<$words>),
                entry("memory-write", $contestant, writes::<$words>),
                entry("memory-copy", $contestant, copies::<$words>),
                entry("atomic-add", $contestant, adds::<$words>),
            )*
            entry("atomic-add", "bare", bare_add),
        ]
    };
}

pub(crate) const WORKLOADS: &[Entry] = workloads! {
    "raw": Raw,
    "threadwork": Checked<false>,
    "threadwork-grown": Checked<true>,
};
