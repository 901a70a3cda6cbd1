//! Tasks are executed, once each, in the order in which they come, by so many workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use threadwork::{Error, Priority, ThreadPool};

use crate::support::{Plug, pool, rigid_pool, rounds, until};

#[test]
fn a_task_has_a_result() {
    let pool = pool(2);
    assert_eq!(pool.execute(|| 6 * 7).wait().unwrap(), 42);
    assert_eq!(pool.execute(String::new).wait().unwrap(), "");
}

/// Acceptance test 22: far more tasks than workers, and never more than those at once.
#[test]
fn thread_pooling() {
    const WORKERS: usize = 4;
    let pool = pool(WORKERS);
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let threads = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..rounds(2_000, 100_000))
        .map(|n| {
            let (running, most, threads) = (running.clone(), most.clone(), threads.clone());
            pool.execute(move || {
                let now = running.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                let own = thread::current().id();
                let mut threads = threads.lock().unwrap();
                if !threads.contains(&own) {
                    threads.push(own);
                }
                drop(threads);
                thread::yield_now();
                running.fetch_sub(1, Ordering::Relaxed);
                n
            })
        })
        .collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.wait().unwrap(), n);
    }
    assert!(most.fetch_add(0, Ordering::Relaxed) <= WORKERS);
    assert!(threads.lock().unwrap().len() <= WORKERS);
}

/// Without handles, each is run once all the same, and what the closures hold is gone then; those
/// that come after the end, or were queued when the pool is dropped, are dropped unrun.
#[test]
fn what_is_spawned_runs_without_a_handle() {
    let held = Arc::new(());
    let ran = Arc::new(AtomicUsize::new(0));
    let task = || {
        let (held, ran) = (held.clone(), ran.clone());
        move || {
            let _held = held;
            ran.fetch_add(1, Ordering::Relaxed);
        }
    };
    let pool = rigid_pool(2);
    let tasks = rounds(1_000, 100_000) as usize;
    for n in 0..tasks {
        match n % 3 {
            // A child, which its parent knows.
            0 => {
                let (task, inner) = (task(), Arc::downgrade(&held));
                pool.spawn(move || {
                    drop(inner);
                    threadwork::global().spawn(task);
                });
            }
            1 => pool
                .task()
                .name("named")
                .priority(Priority::Low)
                .spawn(task()),
            _ => pool.spawn(task()),
        }
    }
    pool.wait_all().unwrap();
    threadwork::global().wait_all().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), tasks);
    assert_eq!(Arc::strong_count(&held), 1);

    let plug = Plug::insert(&pool);
    pool.spawn(task());
    plug.pull();
    pool.shutdown();
    pool.spawn(task());
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(ran.load(Ordering::Relaxed), tasks + 1);
}

/// A panic ends the task, and nothing else.
#[test]
#[cfg(panic = "unwind")]
fn what_is_spawned_may_panic() {
    let pool = pool(1);
    pool.spawn(|| std::panic::resume_unwind(Box::new(1)));
    assert_eq!(pool.execute(|| 2).wait().unwrap(), 2);
}

/// Children are known to their parent, and freed when they are over all the same.
#[test]
fn what_a_task_spawns_on_its_own_pool_is_freed() {
    let pool = Arc::new(pool(2));
    let held = Arc::new(());
    let (own, inner) = (pool.clone(), held.clone());
    let task = pool.execute(move || {
        for _ in 0..100 {
            let held = inner.clone();
            own.spawn(move || drop(held));
        }
    });
    task.wait().unwrap();
    pool.wait_all().unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn one_worker_keeps_the_order() {
    let pool = pool(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    for n in 0..100 {
        let order = order.clone();
        drop(pool.execute(move || order.lock().unwrap().push(n)));
    }
    pool.wait_all().unwrap();
    assert!(order.lock().unwrap().iter().copied().eq(0..100));
}

#[test]
fn tasks_are_numbered_from_one() {
    let pool = pool(1);
    let numbers: Vec<_> = (0..3).map(|_| pool.execute(|| ()).id().get()).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn many_threads_execute_at_once() {
    let pool = pool(2);
    let sum = Arc::new(AtomicUsize::new(0));
    let each = rounds(1_000, 50_000) as usize;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..each {
                    let sum = sum.clone();
                    drop(pool.execute(move || sum.fetch_add(1, Ordering::Relaxed)));
                }
            });
        }
    });
    pool.wait_all().unwrap();
    assert_eq!(sum.fetch_add(0, Ordering::Relaxed), 8 * each);
    assert_eq!(pool.unfinished(), 0);
}

#[test]
fn tasks_make_tasks() {
    /// A binary tree of tasks that nobody waits for.
    fn grow(pool: &Arc<ThreadPool>, leaves: &Arc<AtomicUsize>, depth: u32) {
        if depth == 0 {
            leaves.fetch_add(1, Ordering::Relaxed);
            return;
        }
        for _ in 0..2 {
            let (inner, leaves) = (pool.clone(), leaves.clone());
            drop(pool.execute(move || grow(&inner, &leaves, depth - 1)));
        }
    }
    let pool = Arc::new(rigid_pool(2));
    let leaves = Arc::new(AtomicUsize::new(0));
    let depth = if cfg!(miri) { 4 } else { 12 };
    grow(&pool, &leaves, depth);
    pool.wait_all().unwrap();
    assert_eq!(leaves.fetch_add(0, Ordering::Relaxed), 1 << depth);
    // The last task to let the pool go must not be one of its own.
    until(|| Arc::strong_count(&pool) == 1);
}

#[test]
fn the_global_pool_is_one() {
    let one: *const ThreadPool = threadwork::global();
    assert!(std::ptr::eq(one, threadwork::global()));
    assert_eq!(threadwork::global().execute(|| 1).wait().unwrap(), 1);
}

/// Acceptance test 23, of the pool: impossible numbers are errors that name the remedy.
#[test]
fn maximum_thread_limits() {
    let error = ThreadPool::new(0).unwrap_err();
    assert!(matches!(error, Error::NoWorkers));
    assert!(error.to_string().contains("set pool_size to 1 or more"));

    let error = ThreadPool::builder()
        .pool_size(5)
        .max_threads(4)
        .build()
        .unwrap_err();
    assert!(matches!(
        error,
        Error::MoreWorkersThanThreads {
            pool_size: 5,
            max_threads: 4
        }
    ));
    assert!(error.to_string().contains("set max_threads to 5 or more"));

    let error = ThreadPool::new(1 << 20).unwrap_err();
    assert!(matches!(error, Error::TooManyThreads { .. }));
    assert!(error.to_string().contains("set it to 65535 or less"));

    // Within the limit, that many threads and no more.
    let pool = rigid_pool(2);
    assert_eq!((pool.pool_size(), pool.max_threads()), (2, 2));
    let inner = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let inner = inner.clone();
            pool.execute(move || threadwork::blocking(|| inner.fetch_add(1, Ordering::Relaxed)))
        })
        .collect();
    for task in tasks {
        task.wait().unwrap();
    }
    assert_eq!(inner.fetch_add(0, Ordering::Relaxed), 20);
    assert_eq!(pool.workers().len(), 2);
}

/// What the system refuses is an error, and what was started before ends.
#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn a_stack_that_is_too_big_is_an_error() {
    let error = ThreadPool::builder()
        .pool_size(2)
        .stack_size(1 << 60)
        .build()
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Spawn {
            started: 0,
            wanted: 2,
            ..
        }
    ));
    assert!(error.to_string().contains("use a smaller pool or stack"));
}
