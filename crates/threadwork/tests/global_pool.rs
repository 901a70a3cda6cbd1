//! The global pool as a program has made it: how many compute, and who. (It is made once in a
//! process, so this is one test.)

#![cfg(not(loom))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use threadwork::sync::Latch;
use threadwork::{Error, ThreadPool, blocking, join, par};

/// So many compute.
const WORKERS: u32 = 2;

/// A thousand times as long as it takes to wake a thread.
const NEVER: Duration = Duration::from_secs(10);

#[test]
fn as_many_compute_as_it_has_workers() {
    let pool = ThreadPool::builder();
    pool.pool_size(0).build_global().unwrap_err();
    let pool = ThreadPool::builder().pool_size(WORKERS as usize);
    pool.name("ours").build_global().unwrap();
    let again = ThreadPool::builder().build_global();
    assert!(matches!(again, Err(Error::GlobalPoolExists)), "{again:?}");

    let global = threadwork::global();
    assert_eq!(global.pool_size(), 2);
    assert_eq!(global.workers().len(), 1, "this thread is the other");
    loops_run_on_two();
    assert_eq!(global.workers().len(), 1);

    let name = global.execute(|| thread::current().name().map(str::to_owned));
    assert!(name.wait().unwrap().unwrap().starts_with("ours-"));
    assert_eq!(global.workers().len(), 2, "tasks have both workers");
    loops_run_on_two();
    a_job_that_blocks_gives_its_permit_back();
    loops_run_on_two();
    tasks_within_a_job_that_blocks_leave_its_permit_alone();
    loops_run_on_two();
    tasks_run_on_two();
}

/// Whatever the worker does that is too many: it never takes a part of the loop.
fn loops_run_on_two() {
    let running = AtomicU32::new(0);
    let most = AtomicU32::new(0);
    let threads = Mutex::new(HashSet::new());
    let body = || {
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        threads.lock().unwrap().insert(thread::current().id());
        thread::sleep(Duration::from_micros(200));
        running.fetch_sub(1, Ordering::SeqCst);
    };
    let rounds = if cfg!(miri) { 1 } else { 20 };
    for _ in 0..rounds {
        par(0..50_u32).for_each(|_| body());
        join(|| join(body, body), || join(body, body));
        threadwork::scope(|scope| (0..10).for_each(|_| scope.spawn(|_| body())));
    }
    assert!(most.into_inner() <= WORKERS);
    let threads = threads.into_inner().unwrap();
    assert!(threads.contains(&thread::current().id()));

    // A worker does help.
    let helped = Latch::new();
    let (helped, ()) = join(|| helped.wait_timeout(NEVER), || helped.open());
    assert!(helped, "nobody helps");
}

/// A job that blocks has its place taken by another worker, who takes the other job.
fn a_job_that_blocks_gives_its_permit_back() {
    let (begun, opened, done) = (Latch::new(), Latch::new(), Latch::new());
    let helped = threadwork::scope(|scope| {
        scope.spawn(|_| {
            begun.open();
            blocking(|| opened.wait());
            done.open();
        });
        begun.wait();
        scope.spawn(|_| opened.open());
        let helped = done.wait_timeout(NEVER);
        opened.open();
        helped
    });
    assert!(helped, "nobody takes its place");
}

/// A task that is run within may block, too: the permit is given back once, and taken again once.
fn tasks_within_a_job_that_blocks_leave_its_permit_alone() {
    for _ in 0..3 {
        let begun = Latch::new();
        threadwork::scope(|scope| {
            scope.spawn(|_| {
                begun.open();
                blocking(|| {
                    let within = threadwork::global().execute(|| blocking(|| ()));
                    within.wait().unwrap();
                });
            });
            // Else this thread might run it, which has no permit to give back.
            assert!(begun.wait_timeout(NEVER), "nobody helps");
        });
    }
}

/// Each waits for the other, so both run.
fn tasks_run_on_two() {
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(2));
    let tasks = [barrier.clone(), barrier].map(|barrier| {
        threadwork::global().execute(move || {
            barrier.wait();
        })
    });
    for task in tasks {
        task.wait().unwrap();
    }
}
