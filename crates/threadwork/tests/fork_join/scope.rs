//! `scope`: all jobs are done when it returns, wherever they were spawned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use threadwork::{Scope, join, scope};

use crate::support::{Event, often, on_pool, up_to};

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
        let size = up_to(60);
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
