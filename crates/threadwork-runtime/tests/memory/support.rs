//! What the chapters share.

use std::sync::Barrier;
use std::thread;

/// How often a stress repeats: ten times as often with `THREADWORK_FULL=1`, and seldom under
/// Miri, which is a thousand times slower.
pub(crate) fn rounds(quick: u32) -> u32 {
    match std::env::var("THREADWORK_FULL").as_deref() {
        _ if cfg!(miri) => quick.div_ceil(1000),
        Ok("1") => quick * 10,
        _ => quick,
    }
}

/// Runs `body(index)` in so many threads, which start together.
pub(crate) fn together<T: Send>(threads: u32, body: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads as usize);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                let (start, body) = (&start, &body);
                scope.spawn(move || {
                    start.wait();
                    body(index)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// Numbers that look random and are the same each time (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
}
