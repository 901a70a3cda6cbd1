//! What the figures say.

use std::alloc::System;

use threadwork_alloc::Pool;

use crate::support::{Held, layout};

#[test]
fn blocks_are_counted_with_their_size() {
    let pool = Pool::new(System);
    assert_eq!(pool.stats().taken(), 0);
    let heap = pool.heap().unwrap();
    let take = |size| Held::take(&heap, layout(size), 0).unwrap();
    let blocks = [take(1), take(8), take(100), take(1_000), take(100_000)];
    let stats = heap.stats();
    assert_eq!(stats.used, 8 + 8 + 112 + 1_024);
    assert_eq!(stats.large, 100_000);
    assert_eq!(stats.in_use(), stats.used + 100_000);
    assert_eq!((stats.others, stats.heaps, stats.idle), (0, 1, 0));
    assert!(stats.metadata < 8 * 1024, "{stats:?}");
    assert_eq!(stats.overhead(), stats.reserved - stats.used);
    assert!(stats.reserved >= 512 * 1024 && stats.unused < 512 * 1024);
    blocks.into_iter().for_each(|held| held.give(&heap));
    assert_eq!(heap.stats().in_use(), 0);
}

#[test]
fn full_slabs_are_counted() {
    let pool = Pool::new(System);
    let heap = pool.heap().unwrap();
    let count = if cfg!(miri) { 50 } else { 5_000 };
    let blocks: Vec<Held> = (0..count)
        .map(|seed| Held::take(&heap, layout(2_000), seed).unwrap())
        .collect();
    assert_eq!(heap.stats().used, count * 2_048);
    let (some, rest): (Vec<_>, Vec<_>) = blocks
        .into_iter()
        .enumerate()
        .partition(|(n, _)| n % 3 == 0);
    let freed = some.len();
    some.into_iter().for_each(|(_, held)| held.give(&heap));
    assert_eq!(heap.stats().used, (count - freed) * 2_048);
    rest.into_iter().for_each(|(_, held)| held.give(&heap));
    assert_eq!(heap.stats().used, 0);
}

#[test]
fn other_threads_are_known_by_their_slabs() {
    let pool = Pool::new(System);
    let (heap, other) = (pool.heap().unwrap(), pool.heap().unwrap());
    let held = Held::take(&other, layout(100), 0).unwrap();
    let stats = heap.stats();
    assert_eq!((stats.used, stats.others, stats.heaps), (0, 16 * 1024, 2));
    // Without a thread, a heap is known exactly.
    drop(other);
    let stats = heap.stats();
    assert_eq!((stats.used, stats.others, stats.idle), (112, 0, 1));
    held.give(&heap);
}

/// Most of the memory is for the program: with a hundred thousand blocks of one size, what is
/// added to them is a few hundredths.
#[test]
#[cfg(not(miri))]
fn many_blocks_cost_little_more_than_themselves() {
    for size in [16, 64, 256, 1_024] {
        let pool = Pool::new(System);
        let heap = pool.heap().unwrap();
        let blocks: Vec<Held> = (0..100_000)
            .map(|seed| Held::take(&heap, layout(size), seed).unwrap())
            .collect();
        let stats = heap.stats();
        assert!(
            stats.overhead() < stats.used / 20 + (1 << 20),
            "{size}: {stats:?}"
        );
        blocks.into_iter().for_each(|held| held.give(&heap));
    }
}
