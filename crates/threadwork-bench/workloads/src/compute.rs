//! Computing, with no synchronization: what a runtime must not slow down.

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

/// How many of `points` points fall into the quarter circle.
fn hits(part: u32, points: u64) -> u64 {
    // splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
    let mut state = u64::from(part) << 32;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut hits = 0;
    for _ in 0..points {
        let bits = random();
        let x = f64::from(bits as u32) / f64::from(u32::MAX);
        let y = f64::from((bits >> 32) as u32) / f64::from(u32::MAX);
        hits += u64::from(x * x + y * y <= 1.0);
    }
    hits
}
