//! Tasks that wait: for tasks of their own pool, of another, for anything else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use threadwork::sync::{Barrier, Latch};
use threadwork::{TaskError, ThreadPool, WaitError, WorkerStatus, blocking, join};

use crate::support::{Plug, count, pool, rigid_pool, until};

/// A thousand times what anything here takes: without it a test that fails would hang.
const LONG: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 30 });

/// Each task waits for the next, which is queued behind it.
fn chain(pool: &Arc<ThreadPool>, depth: u32) -> u32 {
    if depth == 0 {
        return 0;
    }
    let inner = pool.clone();
    let next = pool.execute(move || chain(&inner, depth - 1));
    next.wait().unwrap() + 1
}

#[test]
fn a_chain_of_waits_needs_one_worker() {
    let pool = Arc::new(rigid_pool(1));
    let inner = pool.clone();
    let task = pool.execute(move || chain(&inner, 50));
    assert_eq!(task.wait().unwrap(), 50);
    until(|| Arc::strong_count(&pool) == 1);
}

/// Deeper than one worker goes by itself: on in other threads, and when there may be no
/// more, on its own stack after all.
#[test]
fn a_deep_chain_goes_on_in_other_threads() {
    let pool = Arc::new(
        ThreadPool::builder()
            .pool_size(1)
            .max_threads(3)
            .build()
            .unwrap(),
    );
    let inner = pool.clone();
    let task = pool.execute(move || chain(&inner, 300));
    assert_eq!(task.wait().unwrap(), 300);
    assert_eq!(pool.workers().len(), 3);
    until(|| Arc::strong_count(&pool) == 1);
}

/// Deeper than that, where the system refuses the thread that is to go on: it goes on itself.
#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn a_deep_chain_goes_on_where_no_thread_can_be_started() {
    use std::process::Command;

    /// Room for the stack of one worker, in KiB, and not for two.
    const LIMIT: &str = "3000000";
    const STACK: usize = 2 << 30;
    const CHILD: &str = "NO_MORE_THREADS";

    if std::env::var_os(CHILD).is_some() {
        let pool = ThreadPool::builder().pool_size(1).stack_size(STACK);
        let pool = Arc::new(pool.build().unwrap());
        let inner = pool.clone();
        let mut task = pool.execute(move || chain(&inner, 300));
        let end = task.wait_timeout(Duration::from_secs(10));
        // A thread that hangs would keep the pool's end, too.
        std::process::exit(i32::from(!matches!(end, Some(Ok(300)))));
    }
    let own = std::env::current_exe().unwrap();
    let script = format!("ulimit -v {LIMIT}; exec \"$0\" \"$@\"");
    let status = Command::new("sh")
        .args(["-c", &script])
        .arg(own)
        .args([
            "--exact",
            "waits::a_deep_chain_goes_on_where_no_thread_can_be_started",
        ])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// Each task waits for one that runs already, and only the last one lets the first go on:
/// each wait must free a worker.
#[test]
fn waits_for_running_tasks_are_substituted_for() {
    const DEPTH: usize = 8;
    let pool = ThreadPool::builder()
        .pool_size(1)
        .max_threads(DEPTH + 2)
        .build()
        .unwrap();
    let go_on = Arc::new(Latch::new());
    let mut task = pool.execute({
        let go_on = go_on.clone();
        move || {
            blocking(|| go_on.wait());
            0
        }
    });
    for _ in 0..DEPTH {
        let before = task;
        let started = Arc::new(Latch::new());
        task = pool.execute({
            let started = started.clone();
            move || {
                started.open();
                before.wait().unwrap() + 1
            }
        });
        started.wait();
    }
    pool.execute(move || go_on.open()).wait().unwrap();
    assert_eq!(task.wait().unwrap(), DEPTH);
}

#[test]
fn blocking_tasks_need_as_many_threads() {
    const TASKS: usize = 8;
    let pool = ThreadPool::builder()
        .pool_size(1)
        .max_threads(TASKS)
        .build()
        .unwrap();
    // All of them have to be there at once.
    let barrier = Arc::new(Barrier::new(TASKS as u32));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let barrier = barrier.clone();
            pool.execute(move || blocking(|| barrier.wait().is_leader()))
        })
        .collect();
    let leaders = tasks.into_iter().map(|task| task.wait().unwrap());
    assert_eq!(leaders.filter(|leader| *leader).count(), 1);
    assert_eq!(pool.workers().len(), TASKS);
}

/// Past the most threads a task that blocks keeps its worker, and nothing else.
#[test]
fn past_the_most_threads_tasks_wait_in_the_queue() {
    let pool = rigid_pool(1);
    let go_on = Arc::new(Latch::new());
    let blocks = pool.execute({
        let go_on = go_on.clone();
        move || blocking(|| go_on.wait())
    });
    let mut queued = pool.execute(|| ());
    assert!(queued.wait_timeout(Duration::from_millis(20)).is_none());
    go_on.open();
    blocks.wait().unwrap();
    queued.wait().unwrap();
}

#[test]
fn never_more_than_so_many_run_but_for_a_moment() {
    // Tasks that block and run in turns; those that run are counted between two waits.
    let pool = Arc::new(
        ThreadPool::builder()
            .pool_size(2)
            .max_threads(6)
            .build()
            .unwrap(),
    );
    let finished = Arc::new(AtomicUsize::new(0));
    for _ in 0..200 {
        let finished = finished.clone();
        drop(pool.execute(move || {
            blocking(thread::yield_now);
            finished.fetch_add(1, Ordering::Relaxed);
        }));
    }
    pool.wait_all().unwrap();
    assert_eq!(finished.fetch_add(0, Ordering::Relaxed), 200);
    assert!(pool.workers().len() <= 6);
    // No more run at once afterwards than before.
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..200 {
        let (running, most) = (running.clone(), most.clone());
        drop(pool.execute(move || {
            most.fetch_max(
                running.fetch_add(1, Ordering::Relaxed) + 1,
                Ordering::Relaxed,
            );
            thread::yield_now();
            running.fetch_sub(1, Ordering::Relaxed);
        }));
    }
    pool.wait_all().unwrap();
    assert!(most.fetch_add(0, Ordering::Relaxed) <= 2);
}

#[test]
fn blocking_within_blocking_and_outside_only_calls() {
    assert_eq!(blocking(|| blocking(|| 1)), 1);
    let pool = ThreadPool::builder()
        .pool_size(1)
        .max_threads(4)
        .build()
        .unwrap();
    let task = pool.execute(|| blocking(|| blocking(|| blocking(|| 2))));
    assert_eq!(task.wait().unwrap(), 2);
    assert!(pool.workers().len() <= 2);
}

/// Within `blocking`, a wait still runs what is queued, and the substitute goes on.
#[test]
fn a_wait_within_blocking() {
    let pool = Arc::new(
        ThreadPool::builder()
            .pool_size(1)
            .max_threads(2)
            .build()
            .unwrap(),
    );
    let inner = pool.clone();
    let task = pool.execute(move || {
        blocking(|| {
            (0..20)
                .map(|n| inner.execute(move || n))
                .map(|task| task.wait().unwrap())
                .sum::<i32>()
        })
    });
    assert_eq!(task.wait().unwrap(), 190);
    until(|| Arc::strong_count(&pool) == 1);
}

#[test]
fn a_task_that_waits_for_itself_is_told() {
    let pool = pool(1);
    let (sender, receiver) = mpsc::channel::<threadwork::TaskHandle<bool>>();
    let task = pool.execute(move || {
        let own = receiver.recv().unwrap();
        matches!(own.wait(), Err(TaskError::WaitsForItself))
    });
    // The handle goes to the task; its answer comes by other means.
    let (answer, answered) = mpsc::channel();
    let watcher = pool.execute(move || answer.send(()).unwrap());
    sender.send(task).unwrap();
    answered.recv().unwrap();
    watcher.wait().unwrap();
}

/// Also if it is further down: A waits for B, which runs on A's stack and waits for A.
#[test]
fn a_circle_on_one_stack_is_told() {
    let pool = Arc::new(rigid_pool(1));
    let (sender, receiver) = mpsc::channel::<threadwork::TaskHandle<bool>>();
    let (answer, answered) = mpsc::channel();
    let inner = pool.clone();
    let outer = pool.execute(move || {
        let b = inner.execute(move || {
            let a = receiver.recv().unwrap();
            matches!(a.wait(), Err(TaskError::WaitsForItself))
        });
        let told = b.wait().unwrap();
        answer.send(told).unwrap();
        told
    });
    sender.send(outer).unwrap();
    assert!(answered.recv().unwrap());
    until(|| Arc::strong_count(&pool) == 1);
}

#[test]
fn a_task_cannot_wait_for_all() {
    let pool = Arc::new(pool(1));
    let inner = pool.clone();
    let task = pool.execute(move || (inner.wait_all(), inner.wait_all_timeout(Duration::ZERO)));
    assert_eq!(
        task.wait().unwrap(),
        (Err(WaitError::WithinTask), Err(WaitError::WithinTask))
    );
    until(|| Arc::strong_count(&pool) == 1);
}

#[test]
fn a_timed_wait_within_a_task() {
    let pool = Arc::new(
        ThreadPool::builder()
            .pool_size(1)
            .max_threads(2)
            .build()
            .unwrap(),
    );
    let inner = pool.clone();
    let task = pool.execute(move || {
        let go_on = Arc::new(Latch::new());
        let mut waits = inner.execute({
            let go_on = go_on.clone();
            move || blocking(|| go_on.wait())
        });
        let early = waits.wait_timeout(Duration::from_millis(5)).is_none();
        go_on.open();
        let late = waits.wait_timeout(Duration::from_secs(3600)).unwrap();
        (early, late.is_ok())
    });
    assert_eq!(task.wait().unwrap(), (true, true));
    until(|| Arc::strong_count(&pool) == 1);
}

#[test]
fn a_pool_inside_a_pool() {
    let outer = pool(2);
    let tasks: Vec<_> = (0..8)
        .map(|n: u32| {
            outer.execute(move || {
                let inner = ThreadPool::new(2).unwrap();
                let parts: Vec<_> = (0..4).map(|m| inner.execute(move || n * m)).collect();
                inner.wait_all().unwrap();
                let sum: u32 = parts.into_iter().map(|part| part.wait().unwrap()).sum();
                inner.shutdown();
                sum
            })
        })
        .collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.wait().unwrap(), 6 * n);
    }
}

/// Two pools whose tasks wait for each other's, to and fro.
#[test]
fn pools_wait_for_each_other() {
    fn bounce(one: &Arc<ThreadPool>, other: &Arc<ThreadPool>, depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let (near, far) = (one.clone(), other.clone());
        let task = other.execute(move || bounce(&far, &near, depth - 1));
        task.wait().unwrap() + 1
    }
    let small = || {
        let pool = ThreadPool::builder().pool_size(1).max_threads(8).build();
        Arc::new(pool.unwrap())
    };
    let (one, other) = (small(), small());
    assert_eq!(bounce(&one, &other, 10), 10);
    until(|| Arc::strong_count(&one) == 1 && Arc::strong_count(&other) == 1);
}

/// Deeper than both may have threads: who waits then runs what it waits for.
#[test]
fn pools_without_threads_wait_for_each_other() {
    const DEPTH: u32 = 12;
    fn bounce(pools: Arc<[ThreadPool; 2]>, depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let far = pools.clone();
        let task = pools[depth as usize % 2].execute(move || bounce(far, depth - 1));
        // One that waits in a join counts as active for a while.
        let wait = || task.wait().unwrap();
        1 + match depth % 3 {
            0 => join(wait, || ()).0,
            1 => join(|| (), wait).1,
            _ => wait(),
        }
    }
    for threads in [1, 2, 4] {
        let small = || {
            let pool = ThreadPool::builder().pool_size(1).max_threads(threads);
            pool.build().unwrap()
        };
        let pools = Arc::new([small(), small()]);
        let outer = pool(1);
        let mut task = outer.execute(move || bounce(pools, DEPTH));
        let end = task.wait_timeout(LONG).expect("it hangs");
        assert_eq!(end.unwrap(), DEPTH);
    }
}

/// A task that a thread of another pool runs is a task of its own pool all the same.
#[test]
fn a_visit_is_a_task_of_its_pool() {
    let (one, other) = (Arc::new(rigid_pool(1)), rigid_pool(1));
    let (begun, go_on) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let (unblock, done) = (Arc::new(Latch::new()), Arc::new(AtomicUsize::new(0)));
    // Until then the only thread of the pool is blocked.
    let blocks = one.execute({
        let unblock = unblock.clone();
        move || blocking(|| unblock.wait())
    });
    let waits = other.execute({
        let (one, begun, go_on, done) = (one.clone(), begun.clone(), go_on.clone(), done.clone());
        move || {
            let own = one.clone();
            let visit = one.execute(move || {
                assert_eq!(own.wait_all(), Err(WaitError::WithinTask));
                own.shutdown();
                begun.open();
                go_on.wait();
                done.store(1, Ordering::Relaxed);
                thread::current().id()
            });
            assert_eq!(visit.wait().unwrap(), thread::current().id());
        }
    });
    begun.wait();
    unblock.open();
    blocks.wait().unwrap();
    // The pool has no thread any more.
    until(|| count(&one, |worker| *worker == WorkerStatus::Terminated) == 1);
    let calls = Latch::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            calls.open();
            one.shutdown();
            let is_done = done.load(Ordering::Relaxed);
            assert_eq!(is_done, 1, "it does not wait for the visit");
        });
        calls.wait();
        // Time for a shutdown that does not wait to be seen.
        thread::sleep(Duration::from_millis(100));
        go_on.open();
    });
    waits.wait().unwrap();
    assert_eq!(one.unfinished(), 0);
}

/// A thread that belongs to no pool does not run tasks: it waits for a worker.
#[test]
fn an_outside_thread_leaves_tasks_to_the_workers() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let task = pool.execute(|| thread::current().id());
    let waiter = thread::spawn(move || (task.wait().unwrap(), thread::current().id()));
    plug.pull();
    let (ran_on, waited_on) = waiter.join().unwrap();
    assert_ne!(ran_on, waited_on);
}
