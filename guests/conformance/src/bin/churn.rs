//! Ten thousand threads one after another, then a thousand times four at once:
//! each gives the right answer, and the memory is flat after the warm-up.
//!
//! Prints `pages before <n> warm <n> after <n>` (64 KiB each; always 0 where the
//! program is not WebAssembly). `churn PERCENT` runs that part of it only.

use std::cell::Cell;
use std::thread;

use conformance::{arg_or, mix};

const ONE_AFTER_ANOTHER: u64 = 10_000;
const GROUPS: u64 = 1_000;
const AT_ONCE: u64 = 4;

thread_local! {
    /// A lazily made variable with a destructor: the full way out of a thread.
    static SCRATCH: Box<Cell<u64>> = Box::new(Cell::new(0));
}

fn main() {
    let percent: u64 = arg_or(1, 100);
    let before = memory_pages();
    churn(1);
    let warm = memory_pages();
    churn(percent);
    let after = memory_pages();
    println!("pages before {before} warm {warm} after {after}");
    assert_eq!(warm, after, "the memory grew");
    println!("ok churn");
}

fn churn(percent: u64) {
    for n in 0..ONE_AFTER_ANOTHER * percent / 100 {
        assert_eq!(thread::spawn(move || work(n)).join().unwrap(), mix(n));
    }
    for group in 0..GROUPS * percent / 100 {
        let threads = [0, 1, 2, 3].map(|n| thread::spawn(move || work(group * AT_ONCE + n)));
        for (n, thread) in (group * AT_ONCE..).zip(threads) {
            assert_eq!(thread.join().unwrap(), mix(n));
        }
    }
}

fn work(n: u64) -> u64 {
    SCRATCH.with(|scratch| {
        scratch.set(mix(n));
        scratch.get()
    })
}

#[cfg(target_family = "wasm")]
fn memory_pages() -> usize {
    core::arch::wasm32::memory_size(0)
}

#[cfg(not(target_family = "wasm"))]
fn memory_pages() -> usize {
    0
}
