//! Threads that free what others have allocated.

use std::alloc::System;
use std::sync::mpsc;
use std::thread;

use threadwork_alloc::Pool;

use crate::support::{ALLOCATOR, Held, layout, rounds};

/// One thread allocates all the time, another one frees: what is freed is used again.
#[test]
fn a_consumer_feeds_its_producer() {
    const BATCH: usize = 100;
    let pool = Pool::new(System);
    let (batches, received) = mpsc::sync_channel::<Vec<Held>>(4);
    thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            let heap = pool.heap().unwrap();
            for batch in 0..rounds(2_000, 100_000) {
                let size = 8 << (batch % 8);
                let blocks = (0..BATCH)
                    .map(|seed| Held::take(&heap, layout(size), seed).unwrap())
                    .collect();
                batches.send(blocks).unwrap();
            }
            // While it has its heap: whoever takes that over would collect. Six batches are
            // under way at most, 600 blocks of a kilobyte; and each class keeps a slab or two.
            assert!(pool.stats().reserved < 3 << 20, "{:?}", pool.stats());
        });
        scope.spawn(move || {
            let heap = pool.heap().unwrap();
            for batch in received {
                batch.into_iter().for_each(|held| held.give(&heap));
            }
        });
    });
}

/// In a ring, so that everybody is both.
#[test]
fn everybody_frees_for_everybody() {
    const THREADS: usize = 4;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| mpsc::channel::<Held>()).unzip();
    thread::scope(|scope| {
        for (index, received) in receivers.into_iter().enumerate() {
            let senders = senders.clone();
            scope.spawn(move || {
                for step in 0..rounds(20_000, 500_000) {
                    let held = Held::take(&ALLOCATOR, layout(1 + step % 500), step).unwrap();
                    let to = (index + 1 + step % (THREADS - 1)) % THREADS;
                    senders[to].send(held).unwrap();
                    if let Ok(held) = received.try_recv() {
                        held.give(&ALLOCATOR);
                    }
                }
                drop(senders);
                received.into_iter().for_each(|held| held.give(&ALLOCATOR));
            });
        }
        drop(senders);
    });
}

/// A heap may go to another thread, with its blocks.
#[test]
fn a_heap_can_be_sent() {
    let pool = Pool::new(System);
    let heap = pool.heap().unwrap();
    let blocks: Vec<Held> = (0..100)
        .map(|seed| Held::take(&heap, layout(64), seed).unwrap())
        .collect();
    thread::scope(|scope| {
        scope.spawn(move || {
            blocks.into_iter().for_each(|held| held.give(&heap));
            assert_eq!(heap.stats().used, 0);
        });
    });
}
