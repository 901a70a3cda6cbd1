//! Computing, with no synchronization: what a runtime must not slow down.

use std::hint::black_box;

use crate::{Measured, share, timed};

/// The work is cut into so many parts, each with a seed of its own, whatever the
/// number of threads: the answer is the same for all.
const PARTS: u32 = 64;

/// One operation: a random point in the unit square. The answer is how many fell
/// into the quarter circle, so that pi is about `4 * answer / iterations`.
pub(crate) fn pi(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        let parts = (index..PARTS).step_by(threads as usize);
        parts
            .map(|part| hits(part, share(iterations, PARTS, part)))
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// One operation: a number is sorted among its part. The answer is a checksum of the
/// numbers and their places.
pub(crate) fn sort(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        let parts = (index..PARTS).step_by(threads as usize);
        parts
            .map(|part| {
                let mut random = random(part);
                let count = share(iterations, PARTS, part);
                let mut numbers: Vec<u64> = (0..count).map(|_| random()).collect();
                numbers.sort_unstable();
                let placed = (1..).zip(&numbers);
                // Small enough for the sum of all threads.
                placed.fold(0_u64, |sum, (place, n)| sum.wrapping_add(n ^ place)) >> 8
            })
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// One operation: the 40 solutions of the seven queens are counted, by recursion.
pub(crate) fn queens(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        let games = share(iterations, threads, index);
        (0..games)
            .map(|_| solutions(black_box(0x7f), 0, 0, 0))
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// How many ways there are to fill the free columns; the others are bits of the
/// columns that queens above attack straight, to the left and to the right.
fn solutions(all: u32, straight: u32, left: u32, right: u32) -> u64 {
    if straight == all {
        return 1;
    }
    let mut free = all & !(straight | left | right);
    let mut count = 0;
    while free != 0 {
        let queen = free & free.wrapping_neg();
        free ^= queen;
        let next = straight | queen;
        count += solutions(all, next, (left | queen) << 1, (right | queen) >> 1);
    }
    count
}

/// Random numbers for a part: Steele, Lea, Flood, "Fast splittable pseudorandom
/// number generators".
fn random(part: u32) -> impl FnMut() -> u64 {
    let mut state = u64::from(part) << 32;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// How many of `points` points fall into the quarter circle.
fn hits(part: u32, points: u64) -> u64 {
    let mut random = random(part);
    let mut hits = 0;
    for _ in 0..points {
        let bits = random();
        let x = f64::from(bits as u32) / f64::from(u32::MAX);
        let y = f64::from((bits >> 32) as u32) / f64::from(u32::MAX);
        hits += u64::from(x * x + y * y <= 1.0);
    }
    hits
}
