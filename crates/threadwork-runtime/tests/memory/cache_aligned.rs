//! Atomics with cache lines of their own.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use threadwork_runtime::CacheAligned;

#[test]
fn no_two_share_a_line() {
    let counters: [CacheAligned<AtomicU8>; 3] = Default::default();
    let addresses = counters
        .each_ref()
        .map(|counter| (&raw const **counter).addr());
    assert!(addresses.iter().all(|address| address % 128 == 0));
    assert_eq!(addresses[1] - addresses[0], 128);
    assert_eq!(addresses[2] - addresses[1], 128);
}

#[test]
fn it_is_the_atomic() {
    let counter = CacheAligned::new(AtomicI64::new(5));
    assert_eq!(counter.fetch_add(2, Ordering::Relaxed), 5);
    assert_eq!(counter.into_inner().into_inner(), 7);
}
