//! `join`: both halves, once each, wherever they run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use threadwork::{ThreadPool, blocking, join};

use crate::support::{Event, LONG, often, on_pool, up_to};

fn count(nodes: u64) -> u64 {
    if nodes == 0 {
        return 0;
    }
    let left = (nodes - 1) / 2;
    let (left, right) = join(|| count(left), || count(nodes - 1 - left));
    left + right + 1
}

#[test]
fn both_results_are_returned() {
    assert_eq!(join(|| 1, || "two"), (1, "two"));
}

#[test]
fn a_tree_is_counted_by_any_number_of_threads() {
    let most = if cfg!(miri) { 3 } else { 16 };
    for workers in [1, 2, 3, 4, 8, 16].into_iter().filter(|n| *n <= most) {
        for nodes in [1, 2, 10, 1_000, 20_000].map(up_to) {
            assert_eq!(on_pool(workers, move || count(nodes as u64)), nodes as u64);
        }
    }
}

#[test]
fn halves_borrow_and_move() {
    let mut left = vec![1, 2];
    let right = vec![3];
    let ((), moved) = join(|| left.push(9), move || right);
    assert_eq!((left, moved), (vec![1, 2, 9], vec![3]));
}

/// The owner does nothing more than the one join: the offer alone must be seen.
#[test]
fn a_job_is_taken_while_its_owner_is_busy() {
    for _ in 0..often(3_000) {
        let (a, b) = on_pool(2, || {
            let taken = Event::default();
            join(
                || {
                    taken.wait();
                    thread::current().id()
                },
                || {
                    taken.set();
                    thread::current().id()
                },
            )
        });
        assert_ne!(a, b);
    }
}

/// Sleep by then: the pool is not new.
#[test]
fn sleepers_are_woken_for_a_job() {
    let pool = threadwork::ThreadPool::new(3).unwrap();
    for round in 0..often(2_000) {
        let task = pool.execute(|| {
            let (second, third) = (Event::default(), Event::default());
            join(
                || {
                    join(
                        || {
                            second.wait();
                            third.wait();
                        },
                        || {
                            second.set();
                            third.wait();
                        },
                    )
                },
                || {
                    third.set();
                    second.wait();
                },
            );
        });
        task.wait().unwrap();
        if round % 8 == 0 {
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

#[test]
fn threads_outside_of_any_pool_take_part() {
    let total = AtomicU64::new(0);
    thread::scope(|threads| {
        for _ in 0..up_to(8).min(8) {
            threads.spawn(|| {
                for _ in 0..often(2_000) {
                    total.fetch_add(count(up_to(100) as u64), Ordering::Relaxed);
                }
            });
        }
    });
    let expected = 8 * often(2_000) * up_to(100);
    assert_eq!(total.into_inner(), expected as u64);
}

/// More than there are slots: those that get none do it alone.
#[test]
#[cfg_attr(miri, ignore = "many threads")]
fn more_threads_than_permits_get_it_done() {
    const THREADS: usize = 80;
    let inside = AtomicU64::new(0);
    thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                join(
                    || {
                        inside.fetch_add(1, Ordering::Relaxed);
                        while inside.load(Ordering::Relaxed) < THREADS as u64 {
                            thread::sleep(std::time::Duration::from_millis(1));
                        }
                        assert_eq!(count(100), 100);
                    },
                    || (),
                );
            });
        }
    });
}

/// A pool's task that goes to another pool, and back.
#[test]
fn pools_within_pools() {
    let sum = on_pool(2, || {
        join(
            || on_pool(2, || count(50) + on_pool(1, || count(20))),
            || count(30),
        )
    });
    assert_eq!(sum, (70, 30));
}

/// Frames that are gone as soon as the join returns: a thief that touched a latch after
/// opening it would write into the next one (rayon #739, #740, #768).
#[test]
fn nobody_touches_a_join_that_is_over() {
    on_pool(2, || {
        for round in 0..often(200_000) as u64 {
            let noise = [round; 16];
            let (left, right) = join(
                || std::hint::black_box(noise).iter().sum::<u64>(),
                || std::hint::black_box([round; 4]).iter().sum::<u64>(),
            );
            assert_eq!((left, right), (16 * round, 4 * round));
        }
    });
}

/// More frames than a bounded deque would hold, in both directions.
#[test]
fn joins_nest_deeply() {
    fn left(depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let (deep, one) = join(|| left(depth - 1), || 1);
        deep + one
    }
    fn right(depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let (one, deep) = join(|| 1, || right(depth - 1));
        deep + one
    }
    let depth = up_to(2_000) as u32;
    assert_eq!(on_pool(2, move || left(depth)), depth);
    assert_eq!(on_pool(2, move || right(depth)), depth);
}

/// The one worker of the pool waits for a half that another thread has, and that thread for a
/// task: a third one runs the task.
#[test]
fn a_half_may_wait_for_a_task_of_its_pool() {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let own = pool.clone();
    let mut root = pool.execute(move || {
        let (taken, back) = (Event::default(), Event::default());
        join(
            || {
                blocking(|| taken.wait());
                back.set();
            },
            || {
                taken.set();
                back.wait();
                let (sender, receiver) = mpsc::channel();
                drop(own.execute(move || sender.send(())));
                blocking(|| receiver.recv()).unwrap();
            },
        );
    });
    let end = root.wait_timeout(LONG);
    end.expect("it hangs").unwrap();
}
