//! Nothing grows: pools, tasks, threads, and panics leave nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use threadwork::ThreadPool;

use crate::support::rounds;

/// What the system says of this process, where it does: threads, and resident kibibytes. Of Miri's
/// process that says nothing.
fn usage() -> Option<(u64, u64)> {
    if cfg!(miri) {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let number = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((number("Threads:")?, number("VmRSS:")?))
}

/// Tasks of a round.
const BATCH: u32 = if cfg!(miri) { 50 } else { 1_000 };

/// File descriptors of this process, where there is a list.
fn descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// Runs `round` so many times, and checks that the last half needs nothing that the first
/// did not. Other tests run in the same process and come and go: only growth in
/// proportion to the rounds would be a leak, and that is far more than the margin.
fn stays_flat(rounds: u32, mut round: impl FnMut(u32)) {
    /// Resident memory that other tests may take meanwhile.
    const MARGIN_KIB: u64 = 65_536;
    const MARGIN: u64 = 100;

    (0..rounds / 2).for_each(&mut round);
    let before = (usage(), descriptors());
    (rounds / 2..rounds).for_each(&mut round);
    if let (Some((threads, memory)), Some((threads_then, memory_then))) = (usage(), before.0) {
        assert!(
            threads <= threads_then + MARGIN,
            "{threads_then} -> {threads} threads"
        );
        assert!(
            memory <= memory_then + MARGIN_KIB,
            "{memory_then} -> {memory} KiB"
        );
    }
    if let (Some(now), Some(then)) = (descriptors(), before.1) {
        assert!(now <= then + MARGIN as usize, "{then} -> {now} descriptors");
    }
}

#[test]
fn pools_come_and_go() {
    stays_flat(rounds(500, 10_000), |n| {
        let pool = ThreadPool::builder()
            .pool_size(2)
            .max_threads(3)
            .build()
            .unwrap();
        let task = pool.execute(move || n);
        if n % 2 == 0 {
            assert_eq!(task.wait().unwrap(), n);
            pool.shutdown();
        }
    });
}

#[test]
fn a_million_tasks() {
    let pool = ThreadPool::new(2).unwrap();
    let sum = Arc::new(AtomicU64::new(0));
    let batch = BATCH;
    let batches = rounds(100, 1_000);
    stays_flat(batches, |_| {
        for _ in 0..batch {
            let sum = sum.clone();
            drop(pool.execute(move || sum.fetch_add(1, Ordering::Relaxed)));
        }
        pool.wait_all().unwrap();
    });
    let want = u64::from(batch) * u64::from(batches / 2 + batches.div_ceil(2));
    assert_eq!(sum.fetch_add(0, Ordering::Relaxed), want);
}

/// All of them queued at once.
#[test]
fn a_long_queue() {
    let pool = ThreadPool::new(2).unwrap();
    let sum = Arc::new(AtomicU64::new(0));
    let tasks = u64::from(rounds(100_000, 1_000_000));
    for n in 0..tasks {
        let sum = sum.clone();
        drop(pool.execute(move || sum.fetch_add(n, Ordering::Relaxed)));
    }
    pool.wait_all().unwrap();
    assert_eq!(sum.fetch_add(0, Ordering::Relaxed), tasks * (tasks - 1) / 2);
}

/// A parent that makes very many tasks keeps neither their results, nor those tasks
/// themselves for long.
#[test]
fn a_task_with_many_parts() {
    let pool = Arc::new(ThreadPool::builder().pool_size(2).build().unwrap());
    let held = Arc::new(());
    let parent = pool.execute({
        let (pool, held) = (pool.clone(), held.clone());
        move || {
            stays_flat(rounds(100, 1_000), |_| {
                for _ in 0..BATCH {
                    let part = held.clone();
                    drop(pool.execute(move || part));
                }
                crate::support::until(|| pool.unfinished() == 1);
                // The test's, and this task's own.
                assert_eq!(Arc::strong_count(&held), 2);
            });
        }
    });
    parent.wait().unwrap();
    crate::support::until(|| Arc::strong_count(&pool) == 1);
}

#[test]
#[cfg(panic = "unwind")]
fn tasks_that_panic_at_random() {
    use crate::support::Random;

    let pool = ThreadPool::new(4).unwrap();
    let mut random = Random::new(1);
    let hook = std::panic::take_hook();
    // A hundred thousand messages help nobody. Those of other tests are lost meanwhile.
    std::panic::set_hook(Box::new(|_| {}));
    stays_flat(rounds(100, 1_000), |_| {
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let fails = random.below(3) == 0;
                (fails, pool.execute(move || assert!(!fails, "task {n}")))
            })
            .collect();
        for (fails, task) in tasks {
            assert_eq!(task.wait().is_err(), fails);
        }
    });
    std::panic::set_hook(hook);
    assert_eq!(pool.workers().len(), 4);
}
