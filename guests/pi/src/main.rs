//! Monte Carlo pi: throws `--size` darts at the unit square and counts those
//! that land inside the quarter circle.
//!
//! The darts come in blocks, each with a random generator seeded by the block's
//! number. Whichever thread throws a block, it throws the same darts, so the
//! count is the same for any number of threads. Coordinates are integers: there
//! is no rounding that could differ between platforms either.

use std::ops::Range;
use std::thread;
use std::time::Instant;

use example_cli::{Options, SplitMix64};

const DARTS_IN_BLOCK: usize = 1 << 16;

/// A coordinate in `0..1` is an integer in `0..2^COORDINATE_BITS`. With 31 bits
/// the sum of two squares still fits in 63.
const COORDINATE_BITS: u32 = 31;
const RADIUS_SQUARED: u64 = 1 << (2 * COORDINATE_BITS);

fn main() {
    let options = Options::from_args(500_000_000, &[]);
    println!("throwing {} darts", options.size);

    let start = Instant::now();
    let inside: u64 = thread::scope(|scope| {
        let throwers: Vec<_> = (0..options.threads)
            .map(|thrower| scope.spawn(move || throw_share(thrower, options.threads, options.size)))
            .collect();
        throwers.into_iter().map(|thrower| thrower.join().expect("a thrower panicked")).sum()
    });
    let elapsed = start.elapsed();

    println!("pi is about {:.6}", 4.0 * inside as f64 / options.size as f64);
    options.report(inside, elapsed);
}

/// Throws every `throwers`-th block, from block number `thrower` on, and counts
/// the darts inside.
fn throw_share(thrower: usize, throwers: usize, darts: usize) -> u64 {
    let blocks = darts.div_ceil(DARTS_IN_BLOCK);
    (thrower..blocks)
        .step_by(throwers)
        .map(|block| throw_block(block, darts_of(block, darts)))
        .sum()
}

/// The darts that belong to a block; the last block may be a short one.
fn darts_of(block: usize, darts: usize) -> Range<usize> {
    let first = block * DARTS_IN_BLOCK;
    first..darts.min(first + DARTS_IN_BLOCK)
}

fn throw_block(block: usize, darts: Range<usize>) -> u64 {
    let mut random = SplitMix64::for_block(block);
    darts.map(|_| u64::from(is_inside(random.next_u64()))).sum()
}

/// One random number is one dart: x in its upper bits, y in its lower ones.
#[inline]
fn is_inside(dart: u64) -> bool {
    let x = dart >> (64 - COORDINATE_BITS);
    let y = dart & ((1 << COORDINATE_BITS) - 1);
    x * x + y * y < RADIUS_SQUARED
}
