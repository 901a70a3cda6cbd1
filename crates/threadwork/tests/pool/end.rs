//! The end of a pool: graceful, at once, by drop, and while others use it.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use threadwork::sync::{Barrier, Latch};
use threadwork::{TaskError, ThreadPool, WorkerStatus};

use crate::support::{OpensAtDrop, Plug, Random, count, pool, rounds, until};

fn counting(pool: &ThreadPool, tasks: usize) -> Arc<AtomicUsize> {
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..tasks {
        let ran = ran.clone();
        drop(pool.execute(move || {
            thread::yield_now();
            ran.fetch_add(1, Ordering::Relaxed);
        }));
    }
    ran
}

#[test]
fn shutdown_finishes_what_is_queued() {
    for size in 1..4 {
        let pool = pool(size);
        let ran = counting(&pool, 100);
        assert!(!pool.is_shut_down());
        pool.shutdown();
        assert_eq!(ran.fetch_add(0, Ordering::Relaxed), 100);
        assert!(pool.is_shut_down());
        assert_eq!(
            count(&pool, |worker| *worker == WorkerStatus::Terminated),
            size
        );
        pool.shutdown();
        pool.shutdown_now();
    }
}

/// Detached tasks, whose end nobody else would see.
#[test]
fn a_pool_that_is_to_finish_does_so_when_it_is_dropped() {
    let builder = ThreadPool::builder().pool_size(1).finish_on_drop(true);
    let pool = builder.drop_timeout(Duration::ZERO).build().unwrap();
    let plug = Plug::insert(&pool);
    let ran = counting(&pool, 100);
    plug.pull();
    drop(pool);
    assert_eq!(ran.fetch_add(0, Ordering::Relaxed), 100);
}

#[test]
fn a_pool_that_has_ended_refuses() {
    let pool = pool(1);
    pool.shutdown();
    let held = Arc::new(());
    let task = pool.task().name("late").execute({
        let held = held.clone();
        move || held
    });
    assert_eq!(Arc::strong_count(&held), 1, "the closure is dropped");
    assert!(task.is_finished() && !task.cancel());
    assert_eq!(task.name(), Some("late"));
    let error = task.wait().unwrap_err();
    assert!(matches!(error, TaskError::PoolGone));
    assert!(error.to_string().contains("execute tasks before shutdown"));
    pool.wait_all().unwrap();
    assert_eq!(pool.unfinished(), 0);
}

#[test]
fn shutdown_now_cancels_what_is_queued() {
    let pool = Arc::new(pool(1));
    let plug = Plug::insert(&pool);
    let tasks: Vec<_> = (0..100).map(|n| pool.execute(move || n)).collect();
    let ender = thread::spawn({
        let pool = pool.clone();
        move || pool.shutdown_now()
    });
    // They are cancelled while the first still runs.
    for task in tasks {
        assert!(matches!(task.wait(), Err(TaskError::Cancelled)));
    }
    // A cancelled task is over a moment before it is counted.
    until(|| pool.unfinished() == 1);
    plug.pull();
    ender.join().unwrap();
    assert_eq!(pool.unfinished(), 0);
    pool.wait_all().unwrap();
}

/// Dropping waits for what runs, and cancels the rest.
#[test]
fn drop_waits_for_what_runs() {
    let pool = pool(1);
    let (started, cancelled) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let runs = pool.execute({
        let (started, cancelled) = (started.clone(), cancelled.clone());
        move || {
            started.open();
            cancelled.wait();
            thread::sleep(Duration::from_millis(20));
            7
        }
    });
    started.wait();
    let opens = OpensAtDrop(cancelled);
    let queued = pool.execute(move || drop(opens));
    drop(pool);
    assert!(runs.is_finished());
    assert_eq!(runs.wait().unwrap(), 7);
    assert!(matches!(queued.wait(), Err(TaskError::Cancelled)));
}

/// But not for ever: the thread ends with its task.
#[test]
fn drop_leaves_a_task_that_runs_too_long() {
    let exited = Arc::new(Latch::new());
    let pool = ThreadPool::builder()
        .pool_size(1)
        .drop_timeout(Duration::from_millis(5))
        .on_exit({
            let exited = exited.clone();
            move |_| exited.open()
        })
        .build()
        .unwrap();
    let plug = Plug::insert(&pool);
    drop(pool);
    assert!(!exited.is_open());
    plug.pull();
    exited.wait();
}

/// The last owner is a task: it cannot wait for itself.
#[test]
fn a_task_drops_its_own_pool() {
    for _ in 0..rounds(20, 2_000) {
        let pool = pool(2);
        let (sender, receiver) = mpsc::channel::<ThreadPool>();
        let task = pool.execute(move || drop(receiver.recv().unwrap()));
        sender.send(pool).unwrap();
        task.wait().unwrap();
    }
}

#[test]
fn a_task_shuts_its_own_pool_down() {
    let pool = Arc::new(pool(2));
    let inner = pool.clone();
    let task = pool.execute(move || {
        inner.shutdown();
        matches!(inner.execute(|| ()).wait(), Err(TaskError::PoolGone))
    });
    assert!(task.wait().unwrap());
    pool.shutdown();
}

/// Tasks that are made while the pool closes are done or refused, none is forgotten.
#[test]
fn shutdown_races_with_execute() {
    let mut random = Random::new(1);
    for round in 0..rounds(100, 10_000) {
        let pool = pool(1 + random.below(3) as usize);
        let ran = AtomicUsize::new(0);
        let start = Instant::now();
        let pause = Duration::from_micros(random.below(200));
        thread::scope(|scope| {
            let done: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let tasks: Vec<_> = (0..50).map(|n| pool.execute(move || n)).collect();
                        let mut refused = false;
                        for (n, task) in (0..).zip(tasks) {
                            match task.wait() {
                                Ok(m) => {
                                    assert_eq!(n, m);
                                    assert!(!refused, "a pool that refused took another");
                                    ran.fetch_add(1, Ordering::Relaxed);
                                }
                                Err(TaskError::PoolGone) => refused = true,
                                Err(TaskError::Cancelled) => assert!(round % 2 == 1),
                                Err(error) => panic!("{error}"),
                            }
                        }
                    })
                })
                .collect();
            while start.elapsed() < pause {
                thread::yield_now();
            }
            if round % 2 == 0 {
                pool.shutdown();
            } else {
                pool.shutdown_now();
            }
            done.into_iter().for_each(|thread| thread.join().unwrap());
        });
        pool.wait_all().unwrap();
        assert_eq!(pool.unfinished(), 0);
    }
}

#[test]
fn many_threads_shut_down_at_once() {
    for _ in 0..rounds(50, 5_000) {
        let pool = pool(2);
        let ran = counting(&pool, 20);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| pool.shutdown());
            }
        });
        assert_eq!(ran.fetch_add(0, Ordering::Relaxed), 20);
    }
}

/// A pool ends while a task of it has had its place taken. Whoever is spare then, or is
/// about to be, is sent home, however long spares are kept.
#[test]
fn the_end_comes_while_a_task_blocks() {
    for _ in 0..rounds(200, 20_000) {
        let pool = ThreadPool::builder()
            .pool_size(1)
            .max_threads(3)
            .keep_alive(Duration::MAX)
            .build()
            .unwrap();
        let go_on = Arc::new(Latch::new());
        let started = Arc::new(Latch::new());
        let blocks = pool.execute({
            let (started, go_on) = (started.clone(), go_on.clone());
            move || {
                started.open();
                threadwork::blocking(|| go_on.wait());
            }
        });
        started.wait();
        drop(pool.execute(|| ()));
        thread::scope(|scope| {
            scope.spawn(|| pool.shutdown());
            until(|| pool.is_shut_down());
            go_on.open();
        });
        blocks.wait().unwrap();
    }
}

/// Runs its closure when its thread ends.
struct AtEnd(Option<Box<dyn FnOnce()>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if let Some(body) = self.0.take() {
            body();
        }
    }
}

thread_local! {
    static AT_END: Cell<AtEnd> = const { Cell::new(AtEnd(None)) };
}

/// A thread that has left the pool, and whose thread-locals are not to be waited for any longer.
#[test]
fn drop_leaves_a_thread_local_that_takes_too_long() {
    let builder = ThreadPool::builder().pool_size(1);
    let pool = builder.drop_timeout(Duration::from_millis(1));
    let pool = Arc::new(pool.build().unwrap());
    let (inside, go_on) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    pool.spawn({
        let (pool, inside, go_on) = (pool.clone(), inside.clone(), go_on.clone());
        move || {
            AT_END.set(AtEnd(Some(Box::new(move || {
                inside.open();
                go_on.wait();
            }))));
            pool.shutdown();
        }
    });
    inside.wait();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        drop(Arc::into_inner(pool).unwrap());
        sender.send(()).unwrap();
    });
    let dropped = receiver.recv_timeout(Duration::from_secs(10));
    go_on.open();
    dropped.expect("it waits for the thread-local");
}

/// Each of those that shut a pool down waits for what its threads have left to do.
#[test]
fn all_who_shut_down_wait_for_thread_locals() {
    let pool = pool(1);
    let (inside, go_on) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let done = Arc::new(AtomicUsize::new(0));
    pool.spawn({
        let (inside, go_on, done) = (inside.clone(), go_on.clone(), done.clone());
        move || {
            AT_END.set(AtEnd(Some(Box::new(move || {
                inside.open();
                go_on.wait();
                done.store(1, Ordering::Relaxed);
            }))));
        }
    });
    let calls = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                calls.wait();
                pool.shutdown();
                assert_eq!(done.load(Ordering::Relaxed), 1);
            });
        }
        calls.wait();
        inside.wait();
        // Time for one that does not wait to be seen.
        thread::sleep(Duration::from_millis(100));
        go_on.open();
    });
}

/// The last of a pool is dropped by one of its own threads, which has left it and is not over.
#[test]
fn a_pool_may_end_in_a_thread_local_of_its_own_thread() {
    let ends: [fn(&ThreadPool); 2] = [ThreadPool::shutdown, |_| ()];
    for end in ends {
        let pool = Arc::new(pool(1));
        let (gone, ended) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
        let task = pool.execute({
            let (pool, gone, ended) = (pool.clone(), gone.clone(), ended.clone());
            move || {
                let last = pool.clone();
                AT_END.set(AtEnd(Some(Box::new(move || {
                    gone.wait();
                    end(&last);
                    drop(last);
                    ended.open();
                }))));
                pool.shutdown();
            }
        });
        task.wait().unwrap();
        drop(pool);
        gone.open();
        assert!(ended.wait_timeout(Duration::from_secs(10)), "it hangs");
    }
}
