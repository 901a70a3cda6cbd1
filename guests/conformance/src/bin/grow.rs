//! Four threads grow their own vectors at the same time, until the memory
//! refuses or `grow MEBIBYTES` (256 by default) are reached together.
//!
//! Prints `total <MiB> refused <yes|no>`. Growth must be seen by all threads, must
//! move nothing, and a refusal must be an error that leaves everything intact.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use conformance::{arg_or, mix, say};

const THREADS: usize = 4;
const MEBIBYTE: usize = 1 << 20;
const WORDS_IN_MEBIBYTE: usize = MEBIBYTE / size_of::<u64>();

fn main() {
    let limit: usize = arg_or(1, 256);
    // Room to print in, when all the rest has been used up.
    let ballast: Vec<u8> = black_box(vec![1; MEBIBYTE]);
    let (total, refused) = (AtomicUsize::new(0), AtomicBool::new(false));
    let all_here = Barrier::new(THREADS);

    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (total, refused, all_here) = (&total, &refused, &all_here);
            scope.spawn(move || {
                all_here.wait();
                let mut blocks: Vec<Vec<u64>> = Vec::with_capacity(limit + 1);
                while total.fetch_add(1, SeqCst) < limit {
                    let mut block = Vec::new();
                    if block.try_reserve_exact(WORDS_IN_MEBIBYTE).is_err() {
                        refused.store(true, SeqCst);
                        break;
                    }
                    block.extend(words(thread, blocks.len()));
                    blocks.push(block);
                }
                // The one that was not had.
                total.fetch_sub(1, SeqCst);
                for (index, block) in blocks.iter().enumerate() {
                    assert!(words(thread, index).eq(block.iter().copied()), "a block was changed");
                }
                // Nobody frees anything before everybody has looked.
                all_here.wait();
            });
        }
    });

    drop(ballast);
    let refused = if refused.into_inner() { "yes" } else { "no" };
    say(format_args!("total {} refused {refused}", total.into_inner()));

    // One vector again and again moved to a larger place.
    let mut numbers = Vec::new();
    (0..WORDS_IN_MEBIBYTE as u64).for_each(|n| numbers.push(n));
    assert!(numbers.iter().copied().eq(0..WORDS_IN_MEBIBYTE as u64));
    println!("ok grow");
}

/// A mebibyte of numbers that no other thread and no other block has.
fn words(thread: usize, block: usize) -> impl Iterator<Item = u64> {
    let first = ((block * THREADS + thread) * WORDS_IN_MEBIBYTE) as u64;
    (first..first + WORDS_IN_MEBIBYTE as u64).map(mix)
}
