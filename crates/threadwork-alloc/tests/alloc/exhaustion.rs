//! Without memory: null, and nothing is lost.

use std::thread;

use threadwork_alloc::{LocalHeap, Pool};

use crate::support::{Held, Limited, layout};

const MIB: usize = 1 << 20;

/// Much, for what runs it.
const MUCH: usize = if cfg!(miri) { 3 * MIB } else { 16 * MIB };

/// Takes blocks until there are no more.
fn fill(heap: &LocalHeap<'_, &Limited>, size: usize) -> Vec<Held> {
    (0..)
        .map_while(|seed| Held::take(heap, layout(size), seed))
        .collect()
}

fn give_all(heap: &LocalHeap<'_, &Limited>, blocks: Vec<Held>) {
    blocks.into_iter().for_each(|held| held.give(heap));
}

#[test]
fn no_memory_at_all() {
    let backend = Limited::new(100);
    let pool = Pool::new(&backend);
    assert!(pool.heap().is_none());
}

#[test]
fn memory_for_a_heap_only() {
    let backend = Limited::new(100_000);
    let pool = Pool::new(&backend);
    let heap = pool.heap().unwrap();
    for size in [1, 8, 1_000, 32_768, 100_000] {
        assert!(Held::take(&heap, layout(size), 0).is_none());
        assert!(Held::take_zeroed(&heap, layout(size), 0).is_none());
    }
}

#[test]
fn what_was_given_back_is_there_again() {
    let backend = Limited::new(MUCH);
    let pool = Pool::new(&backend);
    let heap = pool.heap().unwrap();
    let sizes: &[usize] = if cfg!(miri) {
        &[20_000]
    } else {
        &[16, 100, 1_000, 5_000, 32_768, 200_000]
    };
    let count = |size: &usize| {
        let blocks = fill(&heap, *size);
        let count = blocks.len();
        give_all(&heap, blocks);
        count
    };
    for size in sizes {
        assert!(count(size) * size > MUCH / 4 * 3);
    }
    // After all the others, as after itself.
    let once: Vec<usize> = sizes.iter().map(count).collect();
    let again: Vec<usize> = sizes.iter().rev().map(count).collect();
    assert!(once.iter().eq(again.iter().rev()), "{once:?} {again:?}");
}

/// A heap keeps an empty slab of each class that it has used, but not if that is the last
/// memory.
#[test]
fn what_a_heap_keeps_ready_is_given_up_in_need() {
    let backend = Limited::new(MIB / 2 + 16 * 1024);
    let pool = Pool::new(&backend);
    let heap = pool.heap().unwrap();
    for size in [30_000, 25_000, 16, 1_000, 20_000] {
        let held = Held::take(&heap, layout(size), 0).unwrap();
        held.give(&heap);
    }
}

/// The memory of one class is another's after all blocks are back, also if that happens in
/// the inbox of a heap whose thread is gone.
#[test]
fn what_dead_threads_left_is_used_before_it_is_null() {
    let backend = Limited::new(2 * MIB);
    let pool = Pool::new(&backend);
    let size = if cfg!(miri) { 30_000 } else { 100 };
    let left = thread::scope(|scope| {
        let fill = || fill(&pool.heap().unwrap(), size);
        scope.spawn(fill).join().unwrap()
    });
    assert!(left.len() * size > MIB);
    let heap = pool.heap().unwrap();
    let other = pool.heap().unwrap();
    give_all(&other, left);
    // Dropped, so that it waits; its inbox is empty, but that of the first one is not.
    drop(other);
    let blocks = fill(&heap, 20_000);
    assert!(blocks.len() * 20_000 > MIB, "{}", blocks.len());
    give_all(&heap, blocks);
}

#[test]
fn a_block_that_cannot_grow_stays_as_it_was() {
    let backend = Limited::new(MIB);
    let pool = Pool::new(&backend);
    let heap = pool.heap().unwrap();
    let mut small = Held::take(&heap, layout(100), 1).unwrap();
    let mut large = Held::take(&heap, layout(200_000), 2).unwrap();
    for held in [&mut small, &mut large] {
        assert!(!held.resize(&heap, 2 * MIB));
        assert!(!held.resize(&heap, isize::MAX as usize - 7));
        held.check();
    }
    assert!(large.resize(&heap, 100_000));
    give_all(&heap, vec![small, large]);
}

#[test]
fn several_threads_at_the_end_of_memory() {
    let backend = Limited::new(3 * MIB);
    let pool = Pool::new(&backend);
    thread::scope(|scope| {
        for index in 0..4_usize {
            let pool = &pool;
            scope.spawn(move || {
                let size = if cfg!(miri) { 25_000 } else { 24 << index };
                for _ in 0..if cfg!(miri) { 1 } else { 20 } {
                    let heap = pool.heap().unwrap();
                    let blocks = fill(&heap, size);
                    give_all(&heap, blocks);
                }
            });
        }
    });
    let heap = pool.heap().unwrap();
    let stats = heap.stats();
    assert_eq!((stats.used, stats.others), (0, 0), "{stats:?}");
    assert!(stats.taken() <= backend.given() + 1024, "{stats:?}");
}

#[test]
fn a_pool_gives_everything_back() {
    let backend = Limited::new(MUCH);
    let pool = Pool::new(&backend);
    let (heap, other) = (pool.heap().unwrap(), pool.heap().unwrap());
    let blocks = fill(&heap, 20_000);
    give_all(&other, blocks);
    drop((heap, other));
    assert!(backend.given() > 0);
    drop(pool);
    assert_eq!(backend.given(), 0);
}

/// A segment without blocks goes back while the pool is in use, but for one.
#[test]
fn segments_that_are_not_needed_go_back() {
    let backend = Limited::new(MUCH);
    let pool = Pool::new(&backend);
    let heap = pool.heap().unwrap();
    let blocks = fill(&heap, 32_000);
    let full = backend.given();
    give_all(&heap, blocks);
    // One slab stays that blocks are taken from, and one that is empty.
    assert!(
        full > MUCH - MIB && backend.given() < 2 * MIB,
        "{}",
        backend.given()
    );
}

/// That one is not given and asked for in turn.
#[test]
fn the_last_segment_stays() {
    let backend = Limited::new(MIB);
    let pool = Pool::new(&backend);
    for _ in 0..10 {
        let heap = pool.heap().unwrap();
        let held = Held::take(&heap, layout(100), 0).unwrap();
        held.give(&heap);
    }
    // The heap and the segment.
    assert_eq!(backend.calls(), 2);
}

/// The real end, at the limit of the module's memory (1 GiB, unless the runner sets less).
#[test]
#[cfg(target_family = "wasm")]
fn the_end_of_linear_memory() {
    use std::alloc::{GlobalAlloc, Layout};

    let allocator = crate::support::ALLOCATOR;
    let large = Layout::from_size_align(16 * MIB, 16).unwrap();
    // SAFETY: the size is not zero.
    let take = |layout| unsafe { allocator.alloc(layout) };
    let blocks: Vec<*mut u8> = (0..)
        .map(|_| take(large))
        .take_while(|block| !block.is_null())
        .collect();
    // Not a test's business to touch what is left: a few thousand small ones will do.
    let rest: Vec<*mut u8> = (0..2_000)
        .map(|_| take(layout(32_000)))
        .take_while(|block| !block.is_null())
        .collect();
    assert!(rest.len() < 2_000);
    for block in &blocks {
        // SAFETY: it came from there, with this layout.
        unsafe { allocator.dealloc(*block, large) };
    }
    assert!(!take(large).is_null());
    for block in rest {
        // SAFETY: it came from there, with this layout.
        unsafe { allocator.dealloc(block, layout(32_000)) };
    }
}

/// To need less is never out of memory: the old block will do.
#[test]
fn a_block_shrinks_without_memory() {
    let backend = Limited::new(4 * MIB);
    let pool = Pool::new(&backend);
    let heap = pool.heap().unwrap();
    let sizes = [32 << 10, 20_000, 16 << 10, 5_000, 1_000, 200];
    let shrinking: Vec<Held> = sizes
        .iter()
        .map(|size| Held::take(&heap, layout(*size), 1).unwrap())
        .collect();
    let rest: Vec<Held> = (3..18)
        .rev()
        .flat_map(|bits| fill(&heap, 1 << bits))
        .collect();
    for (mut held, size) in shrinking.into_iter().zip(sizes) {
        assert!(held.resize(&heap, size / 3), "{size}");
        assert!(held.resize(&heap, 1), "{size}");
        held.give(&heap);
    }
    give_all(&heap, rest);
}
