//! Threads that begin and end.

use std::alloc::System;
use std::cell::RefCell;
use std::thread;

use threadwork_alloc::Pool;

use crate::support::{ALLOCATOR, Held, Random, layout, rounds};

fn in_a_thread<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(body).join().unwrap())
}

/// Threads one after another, which leak nothing: the memory is that of a few.
#[test]
fn many_threads_weigh_no_more_than_a_few() {
    let pool = Pool::new(System);
    let run = |seed: usize| {
        in_a_thread(|| {
            let heap = pool.heap().unwrap();
            let mut random = Random::new(seed);
            let blocks: Vec<Held> = (0..50)
                .map(|seed| Held::take(&heap, random.layout(14), seed).unwrap())
                .collect();
            blocks.into_iter().for_each(|held| held.give(&heap));
        });
    };
    (0..10).for_each(run);
    let few = pool.stats();
    (0..rounds(1_000, 10_000)).for_each(run);
    let many = pool.stats();
    assert_eq!(many.heaps, 1);
    assert_eq!((many.used, many.others), (0, 0));
    // All but the heap itself is there for others.
    assert!(many.reserved - many.unused < 8 * 1024, "{many:?}");
    assert!(
        many.reserved <= few.reserved + (1 << 20),
        "{few:?} {many:?}"
    );
}

/// Of several heaps that wait, none is forgotten.
#[test]
fn heaps_that_wait_are_all_used() {
    let pool = Pool::new(System);
    for count in [5, 3, 5] {
        let heaps: Vec<_> = (0..count).map(|_| pool.heap().unwrap()).collect();
        drop(heaps);
    }
    assert_eq!((pool.stats().heaps, pool.stats().idle), (5, 5));
}

/// The threads with the global allocator, and so by way of thread-local destructors. Other
/// tests' threads have heaps, too.
#[test]
fn a_thread_that_ends_leaves_its_heap() {
    let run = |seed: usize| {
        in_a_thread(|| {
            let held = Held::take(&ALLOCATOR, layout(100), seed).unwrap();
            held.give(&ALLOCATOR);
        });
    };
    (0..rounds(1_000, 10_000)).for_each(run);
    assert!(ALLOCATOR.stats().heaps < 200, "{:?}", ALLOCATOR.stats());
}

/// Blocks outlive their thread, its heap's next thread frees some of them, others the rest.
#[test]
fn blocks_outlive_their_threads() {
    let mut left: Vec<Held> = Vec::new();
    let mut random = Random::new(3);
    for round in 0..rounds(500, 20_000) {
        let taken = in_a_thread(|| {
            let take = |seed| Held::take(&ALLOCATOR, layout(8 << (round % 9)), seed).unwrap();
            (0..100).map(take).collect::<Vec<Held>>()
        });
        left.extend(taken);
        left.iter().step_by(17).for_each(Held::check);
        while left.len() > 1_000 {
            let held = left.swap_remove(random.below(left.len()));
            if random.below(2) == 0 {
                held.give(&ALLOCATOR);
            } else {
                in_a_thread(|| held.give(&ALLOCATOR));
            }
        }
    }
    left.into_iter().for_each(|held| held.give(&ALLOCATOR));
}

/// One here, one there: a slab with a block in use stays as it is.
#[test]
fn a_few_blocks_outlive_their_thread() {
    let pool = Pool::new(System);
    let count = if cfg!(miri) { 60 } else { 3_000 };
    let take = |heap: &_, size| -> Vec<Held> {
        let take = |seed| Held::take(heap, layout(size), seed).unwrap();
        (0..count).map(take).collect()
    };
    let kept: Vec<Held> = in_a_thread(|| {
        let heap = pool.heap().unwrap();
        let blocks = take(&heap, 1_000).into_iter().enumerate();
        let (kept, rest): (Vec<_>, Vec<_>) = blocks.partition(|(n, _)| n % 16 == 3);
        rest.into_iter().for_each(|(_, held)| held.give(&heap));
        kept.into_iter().map(|(_, held)| held).collect()
    });
    let heap = pool.heap().unwrap();
    let others: Vec<Held> = [16, 2_000, 500]
        .into_iter()
        .flat_map(|size| take(&heap, size))
        .collect();
    kept.into_iter()
        .chain(others)
        .for_each(|held| held.give(&heap));
}

/// What a thread leaves behind in a pool, and others free, is there for the next one.
#[test]
fn what_is_freed_for_the_dead_is_used_again() {
    let pool = Pool::new(System);
    for round in 0..rounds(300, 5_000) {
        let blocks = in_a_thread(|| {
            let heap = pool.heap().unwrap();
            let take = |seed| Held::take(&heap, layout(1_000 + round % 8 * 100), seed).unwrap();
            (0..200).map(take).collect::<Vec<Held>>()
        });
        let heap = pool.heap().unwrap();
        blocks.into_iter().for_each(|held| held.give(&heap));
    }
    let stats = pool.stats();
    assert!(stats.heaps <= 2 && stats.reserved < 3 << 20, "{stats:?}");
}

/// Thread-locals of the program are dropped before and after the allocator's own.
#[test]
fn destructors_may_allocate() {
    struct Late(RefCell<Vec<Held>>);
    impl Drop for Late {
        fn drop(&mut self) {
            for held in self.0.take() {
                held.give(&ALLOCATOR);
            }
            for _ in 0..rounds(10, 10) {
                let take =
                    |seed| Held::take(&ALLOCATOR, layout(8_usize << (seed % 8)), seed).unwrap();
                let blocks: Vec<Held> = (0..100).map(take).collect();
                blocks.into_iter().for_each(|held| held.give(&ALLOCATOR));
            }
        }
    }
    thread_local! {
        static BEFORE: Late = const { Late(RefCell::new(Vec::new())) };
        static AFTER: Late = const { Late(RefCell::new(Vec::new())) };
    }
    let run = || {
        // Registered before the thread allocates, so dropped after it has left its heap;
        // and the other way round.
        BEFORE.with(|_| ());
        let take = |seed| Held::take(&ALLOCATOR, layout(40), seed).unwrap();
        BEFORE.with(|late| late.0.borrow_mut().push(take(1)));
        AFTER.with(|late| late.0.borrow_mut().push(take(2)));
    };
    for _ in 0..rounds(200, 2_000) {
        thread::scope(|scope| {
            (0..4).for_each(|_| {
                scope.spawn(run);
            });
        });
    }
    assert!(ALLOCATOR.stats().heaps < 200, "{:?}", ALLOCATOR.stats());
}
