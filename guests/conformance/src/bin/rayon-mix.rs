//! Rayon as it comes: iterators, sorts, `join`, `scope`, pools inside pools.
//!
//! `RAYON_NUM_THREADS` is obeyed: the global pool's size is printed as
//! `current_num_threads=<n>`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::thread;

use conformance::mix;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

fn main() {
    println!("current_num_threads={}", rayon::current_num_threads());
    sums_and_maps();
    sorts();
    joins_recursively();
    scopes_spawn_into_themselves();
    broadcast_reaches_every_worker();
    pools_have_the_size_asked_for();
    pools_nest();
    println!("ok rayon-mix");
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn sums_and_maps() {
    let sum: u64 = (0..1_000_000_u64).into_par_iter().map(|x| x * x % 7).sum();
    assert_eq!(sum, (0..1_000_000_u64).map(|x| x * x % 7).sum());
    let words: Vec<String> = (0..10_000).into_par_iter().map(|n| n.to_string()).collect();
    assert!(words.iter().enumerate().all(|(n, word)| *word == n.to_string()));
    assert_eq!((1..100_000).into_par_iter().find_any(|n| n * n == 2_500), Some(50));
}

fn sorts() {
    let mut numbers: Vec<u64> = (0..200_000).map(mix).collect();
    let mut expected = numbers.clone();
    expected.sort_unstable();
    numbers.par_sort();
    assert_eq!(numbers, expected);
    numbers.par_sort_unstable_by(|a, b| b.cmp(a));
    assert!(numbers.iter().eq(expected.iter().rev()));
}

fn joins_recursively() {
    fn fibonacci(n: u32) -> u64 {
        if n < 2 {
            return u64::from(n);
        }
        let (a, b) = rayon::join(|| fibonacci(n - 1), || fibonacci(n - 2));
        a + b
    }
    assert_eq!(fibonacci(22), 17_711);
}

fn scopes_spawn_into_themselves() {
    let total = AtomicU64::new(0);
    rayon::scope(|scope| {
        for n in 0..100 {
            let total = &total;
            scope.spawn(move |scope| {
                total.fetch_add(n, Relaxed);
                scope.spawn(move |_| _ = total.fetch_add(1, Relaxed));
            });
        }
    });
    assert_eq!(total.into_inner(), 4950 + 100);
}

fn broadcast_reaches_every_worker() {
    let mut indexes = pool(3).broadcast(|context| context.index());
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1, 2]);
}

fn pools_have_the_size_asked_for() {
    for size in 1..=5 {
        let (all_here, ids) = (Barrier::new(size), Mutex::new(HashSet::new()));
        // Nobody passes the barrier until `size` workers run at the same time.
        pool(size).broadcast(|_| {
            all_here.wait();
            ids.lock().unwrap().insert(thread::current().id());
        });
        assert_eq!(ids.into_inner().unwrap().len(), size);
    }
}

fn pools_nest() {
    let (outer, inner) = (pool(2), pool(2));
    let sum: u64 = outer.install(|| {
        (0..64_u64)
            .into_par_iter()
            .map(|row| {
                inner.install(|| (0..1_000_u64).into_par_iter().map(|n| n ^ row).sum::<u64>())
            })
            .sum()
    });
    assert_eq!(sum, (0..64).map(|row| (0..1_000).map(|n| n ^ row).sum::<u64>()).sum());
}
