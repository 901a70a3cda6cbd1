//! `scope`: all jobs are done when it returns, wherever they were spawned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use threadwork::{Scope, ThreadPool, join, par, scope};

use crate::support::{Event, LONG, ends_on_pool, often, on_pool, up_to};

#[test]
fn all_jobs_are_done() {
    for workers in [1, 2, 4] {
        on_pool(workers, || {
            let sum = AtomicU64::new(0);
            let size = up_to(20_000) as u64;
            let result = scope(|scope| {
                for i in 0..size {
                    let sum = &sum;
                    scope.spawn(move |_| {
                        sum.fetch_add(i, Ordering::Relaxed);
                    });
                }
                "the body's"
            });
            assert_eq!(result, "the body's");
            assert_eq!(sum.into_inner(), size * (size - 1) / 2);
        });
    }
}

#[test]
fn nothing_is_spawned() {
    assert_eq!(scope(|_| 5), 5);
}

fn grow<'a>(scope: &Scope<'a>, depth: u32, leaves: &'a AtomicU64) {
    if depth == 0 {
        leaves.fetch_add(1, Ordering::Relaxed);
        return;
    }
    for _ in 0..3 {
        scope.spawn(move |scope| grow(scope, depth - 1, leaves));
    }
}

#[test]
fn jobs_spawn_jobs() {
    for _ in 0..often(2_000) {
        on_pool(3, || {
            let leaves = AtomicU64::new(0);
            scope(|scope| grow(scope, 5, &leaves));
            assert_eq!(leaves.into_inner(), 243);
        });
    }
}

/// The inner scope's jobs are spawned by thieves of the outer one's, and the other way
/// round.
#[test]
fn scopes_nest() {
    on_pool(4, || {
        let (outer_count, inner_count) = (AtomicU64::new(0), AtomicU64::new(0));
        let size = if cfg!(miri) { 12 } else { 60 };
        scope(|outer| {
            for _ in 0..size {
                outer.spawn(|outer| {
                    scope(|inner| {
                        for _ in 0..10 {
                            inner.spawn(|_| {
                                inner_count.fetch_add(1, Ordering::Relaxed);
                            });
                            outer.spawn(|_| {
                                outer_count.fetch_add(1, Ordering::Relaxed);
                            });
                        }
                    });
                });
            }
        });
        assert_eq!(inner_count.into_inner(), 10 * size as u64);
        assert_eq!(outer_count.into_inner(), 10 * size as u64);
    });
}

#[test]
fn joins_within_scopes_within_joins() {
    fn tree(depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        let (a, b) = join(
            || {
                let count = AtomicU64::new(0);
                scope(|scope| {
                    scope.spawn(|_| {
                        count.fetch_add(tree(depth - 1), Ordering::Relaxed);
                    });
                    count.fetch_add(join(|| 1, || 1).0, Ordering::Relaxed);
                });
                count.into_inner()
            },
            || tree(depth - 1),
        );
        a + b
    }
    let depth = if cfg!(miri) { 3 } else { 9 };
    for workers in [1, 2, 4] {
        assert_eq!(
            on_pool(workers, move || tree(depth)),
            (1 << (depth + 1)) - 1
        );
    }
}

/// When the join takes its second half back, a job that was spawned since lies above it in
/// the steal queue.
#[test]
fn a_join_may_spawn_on_the_scope_around_it() {
    for workers in [1, 2, 4] {
        on_pool(workers, || {
            for _ in 0..often(10_000) {
                let count = AtomicU64::new(0);
                let add = || count.fetch_add(1, Ordering::Relaxed);
                scope(|scope| {
                    join(
                        || {
                            scope.spawn(|scope| {
                                add();
                                scope.spawn(|_| {
                                    add();
                                });
                            });
                        },
                        add,
                    );
                });
                assert_eq!(count.into_inner(), 3);
            }
        });
    }
}

/// A half that is older than a scope and not on offer yet, when there is room for it and for a
/// job of the scope: the job must not come to lie below it, where its own thread, which does not
/// take the half while the scope lasts, cannot reach it.
#[test]
fn jobs_are_in_reach_of_whoever_waits_for_them() {
    ends_on_pool(3, || {
        let (busy, taken) = (AtomicU64::new(0), AtomicU64::new(0));
        let (free, done) = (Event::default(), Event::default());
        let until = |count: &AtomicU64, end| {
            while count.load(Ordering::Acquire) < end {
                thread::yield_now();
            }
        };
        let work = |count: &AtomicU64, end: &Event| {
            count.fetch_add(1, Ordering::Release);
            end.wait();
        };
        scope(|outer| {
            // The other two threads are kept from taking anything.
            for _ in 0..2 {
                outer.spawn(|_| work(&busy, &free));
            }
            until(&busy, 2);
            // As many as are on offer at once.
            for _ in 0..4 {
                outer.spawn(|_| work(&taken, &done));
            }
            join(
                || {
                    free.set();
                    until(&taken, 2);
                    scope(|inner| inner.spawn(|_| ()));
                    done.set();
                },
                || (),
            );
        });
    });
}

/// Two threads wait for each other's halves, and one of them has a job on offer that wants a lock
/// which the other one holds meanwhile: that one must not take the job.
#[test]
fn a_thread_that_waits_takes_only_what_descends() {
    ends_on_pool(2, || {
        let lock = Mutex::new(());
        let (outer_taken, inner_taken) = (Event::default(), Event::default());
        scope(|scope| {
            join(
                || {
                    outer_taken.wait();
                    scope.spawn(|_| drop(lock.lock().unwrap()));
                },
                // Of the other thread.
                || {
                    let _locked = lock.lock().unwrap();
                    outer_taken.set();
                    // The first thread waits, and has put its job on offer.
                    thread::sleep(Duration::from_millis(100));
                    join(
                        || inner_taken.wait(),
                        // Of the first one again.
                        || {
                            inner_taken.set();
                            // Now the other one looks for something to do.
                            thread::sleep(Duration::from_millis(100));
                        },
                    );
                },
            );
        });
    });
}

/// A thread that fills a cell in parallel, for one of the items of a loop, does no other items
/// meanwhile: they want the cell.
#[test]
fn a_cell_may_be_filled_in_parallel_within_a_loop() {
    ends_on_pool(4, || {
        let rounds = if cfg!(miri) { 2 } else { 200 };
        let work =
            |n: u32| (0..rounds).fold(u64::from(n), |sum, _| std::hint::black_box(sum) * 3 % 101);
        for _ in 0..often(20_000) {
            let cell = OnceLock::new();
            par(0..64_u32).for_each(|_| {
                cell.get_or_init(|| par(0..400_u32).map_reduce(work, || 0, |a, b| a + b));
            });
        }
    });
}

#[test]
fn jobs_are_taken_while_the_spawner_is_busy() {
    on_pool(2, || {
        let taken = Event::default();
        scope(|scope| {
            scope.spawn(|_| taken.set());
            taken.wait();
        });
    });
}

/// A thread of no pool runs what it spawns at once.
#[test]
fn a_foreign_thread_may_spawn() {
    on_pool(2, || {
        let sum = AtomicU64::new(0);
        scope(|scope| {
            let sum = &sum;
            thread::scope(|threads| {
                threads.spawn(|| {
                    for i in 0..10 {
                        scope.spawn(move |_| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                    }
                });
            });
        });
        assert_eq!(sum.into_inner(), 45);
    });
}

#[cfg(not(miri))]
fn chain<'a>(scope: &Scope<'a>, length: u32, sum: &'a AtomicU64) {
    sum.fetch_add(1, Ordering::Relaxed);
    if length > 1 {
        scope.spawn(move |scope| chain(scope, length - 1, sum));
    }
}

/// More threads than the global pool has room for: those that come too late do all by themselves,
/// and need no more stack for it. (So many threads are too much for Miri.)
#[test]
#[cfg(not(miri))]
fn a_thread_without_a_slot_runs_its_jobs_in_the_end() {
    const THREADS: usize = 70;
    const LENGTH: u32 = 20_000;
    let (sum, all) = (AtomicU64::new(0), std::sync::Barrier::new(THREADS));
    thread::scope(|threads| {
        for _ in 0..THREADS {
            let body = || {
                scope(|scope| {
                    all.wait();
                    chain(scope, LENGTH, &sum);
                });
            };
            let thread = thread::Builder::new().stack_size(256 << 10);
            thread.spawn_scoped(threads, body).unwrap();
        }
    });
    assert_eq!(sum.into_inner(), THREADS as u64 * u64::from(LENGTH));
}

/// A job that a task leaves behind, for a scope that somebody else waits for, is done before that
/// task's worker begins another, which may want what the other has.
#[test]
fn a_task_leaves_no_jobs_behind() {
    let pool = Arc::new(ThreadPool::new(2).unwrap());
    let (own, lock) = (pool.clone(), Arc::new(Mutex::new(())));
    let mut task = pool.execute(move || {
        let _guard = lock.lock().unwrap();
        scope(|scope| {
            // By a thread of its own, so that it is the other worker that runs it.
            thread::scope(|threads| {
                threads.spawn(|| {
                    own.install(|| {
                        (0..10).for_each(|_| scope.spawn(|_| ()));
                        let lock = lock.clone();
                        drop(own.execute(move || drop(lock.lock())));
                    })
                    .unwrap();
                });
            });
        });
    });
    task.wait_timeout(LONG).expect("it hangs").unwrap();
}
