//! How a thread watches a word without sleeping, and for how long.

use core::sync::atomic::Ordering;

use crate::futex::Patience;
use crate::primitive::{AtomicU32, spin_loop};

/// Looks of a brief watch: a few microseconds.
const BRIEF: u32 = 100;

/// Looks between two looks at the clock.
#[cfg(all(feature = "std", not(target_family = "wasm")))]
const LOOKS: u32 = 64;

pub(crate) fn watch(word: &AtomicU32, expected: u32, patience: Patience) {
    match patience {
        Patience::Brief => {
            look(word, expected, BRIEF);
        }
        Patience::Long => long(word, expected),
    }
}

/// Whether the word changed within so many looks.
fn look(word: &AtomicU32, expected: u32, looks: u32) -> bool {
    (0..looks).any(|_| {
        spin_loop();
        // Ordering: Relaxed; who cares what the value is, looks again.
        word.load(Ordering::Relaxed) != expected
    })
}

/// As the thread's own spin history has it, where there is a clock that costs little.
#[cfg(all(feature = "std", not(target_family = "wasm")))]
fn long(word: &AtomicU32, expected: u32) {
    let Some(budget) = crate::spin_history::budget() else {
        return;
    };
    let start = std::time::Instant::now();
    let changed = loop {
        if look(word, expected, LOOKS) {
            break true;
        }
        if start.elapsed() >= budget {
            break false;
        }
    };
    crate::spin_history::record(changed);
}

/// In WebAssembly the engine watches on, with a better idea of which cores are free; in a
/// browser this is what a sleep costs.
#[cfg(not(all(feature = "std", not(target_family = "wasm"))))]
fn long(word: &AtomicU32, expected: u32) {
    look(word, expected, BRIEF);
}
