//! Work that takes a known time, inside and outside of critical sections.

use std::hint::black_box;

/// About so many nanoseconds of work that the compiler cannot leave out: a chain of
/// multiplications, each of which waits for the one before. Never inlined, so that it is
/// the same code for every contestant.
#[inline(never)]
pub(crate) fn work(nanoseconds: u32) {
    let mut value = 1_u64;
    for _ in 0..nanoseconds {
        value = black_box(value.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}
