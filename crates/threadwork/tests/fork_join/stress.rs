//! Everything at once, at random.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use threadwork::{ThreadPool, join, par, scope};

use crate::support::{Random, often};

/// A computation whose answer does not depend on who does it: joins, scopes and loops, as
/// deep as `depth`.
fn compute(seed: u64, depth: u64) -> u64 {
    let mut random = Random::new(seed);
    if depth == 0 {
        // Leaves of very different sizes.
        let rounds = 1 << random.below(if cfg!(miri) { 3 } else { 9 });
        return (0..rounds).fold(seed, |sum, _| sum.wrapping_add(random.next()));
    }
    let (a, b) = (random.next(), random.next());
    match random.below(6) {
        0..=2 => {
            let (a, b) = join(|| compute(a, depth - 1), || compute(b, depth - 1));
            a.wrapping_mul(31).wrapping_add(b)
        }
        3 => {
            let sum = AtomicU64::new(0);
            scope(|scope| {
                for i in 0..3 {
                    let sum = &sum;
                    scope.spawn(move |scope| {
                        sum.fetch_add(compute(a ^ i, depth - 1), Ordering::Relaxed);
                        scope.spawn(move |_| {
                            sum.fetch_add(compute(b ^ i, 0), Ordering::Relaxed);
                        });
                    });
                }
            });
            sum.into_inner()
        }
        4 => par(0..random.below(40) as u32).map_reduce(
            |i| compute(a ^ u64::from(i), depth / 3),
            || 0,
            |a, b| a ^ b,
        ),
        _ => compute(a, depth - 1) ^ compute(b, depth / 2),
    }
}

const DEPTH: u64 = if cfg!(miri) { 3 } else { 7 };

#[test]
fn answers_do_not_depend_on_the_threads() {
    let one = ThreadPool::new(1).unwrap();
    let sizes: &[usize] = if cfg!(miri) { &[3] } else { &[2, 3, 8] };
    let pools: Vec<ThreadPool> = sizes.iter().map(|n| ThreadPool::new(*n).unwrap()).collect();
    for seed in 0..often(3_000) as u64 {
        let expected = one.execute(move || compute(seed, DEPTH)).wait().unwrap();
        let tasks: Vec<_> = pools
            .iter()
            .map(|pool| pool.execute(move || compute(seed, DEPTH)))
            .collect();
        let outside = compute(seed, DEPTH);
        assert_eq!(outside, expected, "outside, seed {seed}");
        for task in tasks {
            assert_eq!(task.wait().unwrap(), expected, "seed {seed}");
        }
    }
}

#[test]
fn many_outside_threads_at_once() {
    thread::scope(|threads| {
        for thread in 0..if cfg!(miri) { 3 } else { 12 } {
            threads.spawn(move || {
                let one = ThreadPool::new(1).unwrap();
                for round in 0..often(1_000) as u64 {
                    let seed = thread * 1_000 + round;
                    let expected = one.execute(move || compute(seed, DEPTH)).wait().unwrap();
                    assert_eq!(compute(seed, DEPTH), expected, "seed {seed}");
                }
            });
        }
    });
}

/// Tasks of a pool that is busy with jobs are not forgotten, nor are its jobs.
#[test]
fn tasks_and_jobs_in_one_pool() {
    let pool = ThreadPool::new(3).unwrap();
    for seed in 0..often(2_000) as u64 {
        let tasks: Vec<_> = (0..6)
            .map(|task| pool.execute(move || compute(seed ^ task, DEPTH - 1)))
            .collect();
        for (task, handle) in tasks.into_iter().enumerate() {
            assert_eq!(
                handle.wait().unwrap(),
                compute(seed ^ task as u64, DEPTH - 1)
            );
        }
    }
}
