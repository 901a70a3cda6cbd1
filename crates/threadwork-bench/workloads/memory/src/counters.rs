//! Atomic counters, one of each thread, beside each other or on lines of their own.

use std::sync::atomic::{AtomicU64, Ordering};

use threadwork_runtime::CacheAligned;
use threadwork_workloads::{Measured, share, timed};

use threadwork_workloads::contest::{Entry, entry};

/// The most threads.
const COUNTERS: usize = 64;

fn count<C: std::ops::Deref<Target = AtomicU64> + Sync>(
    counters: &[C],
    threads: u32,
    iterations: u64,
) -> Measured {
    let (elapsed, _) = timed(threads, |index| {
        let own = &counters[index as usize % counters.len()];
        for _ in 0..share(iterations, threads, index) {
            own.fetch_add(1, Ordering::Relaxed);
        }
        0
    });
    let answer = counters.iter().map(|own| own.load(Ordering::Relaxed)).sum();
    Measured::new(elapsed, iterations, answer)
}

fn packed(threads: u32, iterations: u64) -> Measured {
    let counters: [AtomicU64; COUNTERS] = std::array::from_fn(|_| AtomicU64::default());
    count(&counters.each_ref(), threads, iterations)
}

fn aligned(threads: u32, iterations: u64) -> Measured {
    let counters: [CacheAligned<AtomicU64>; COUNTERS] =
        std::array::from_fn(|_| CacheAligned::default());
    count(&counters, threads, iterations)
}

fn shared(threads: u32, iterations: u64) -> Measured {
    count(&[&AtomicU64::default()], threads, iterations)
}

pub(crate) const WORKLOADS: &[Entry] = &[
    entry("counters", "packed", packed),
    entry("counters", "threadwork", aligned),
    entry("counters", "shared", shared),
];
