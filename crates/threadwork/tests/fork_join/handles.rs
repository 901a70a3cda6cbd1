//! `Scope::spawn_with_handle`: a result for whoever has spawned the job, before the scope ends.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use threadwork::{Scope, join, scope};

use crate::support::{Event, ends_on_pool, often, on_pool, up_to};

#[test]
fn each_join_gets_its_result() {
    for workers in [1, 2, 4] {
        on_pool(workers, || {
            let size = up_to(2_000) as u64;
            for newest_first in [false, true] {
                let sum: u64 = scope(|scope| {
                    let job = |i| scope.spawn_with_handle(move |_| vec![i]);
                    let mut jobs: Vec<_> = (0..size).map(job).collect();
                    if newest_first {
                        jobs.reverse();
                    }
                    jobs.into_iter().flat_map(|job| job.join().unwrap()).sum()
                });
                assert_eq!(sum, size * (size - 1) / 2);
            }
        });
    }
}

fn fib(scope: &Scope<'_>, n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let first = scope.spawn_with_handle(move |scope| fib(scope, n - 1));
    fib(scope, n - 2) + first.join().unwrap()
}

#[test]
fn jobs_join_jobs() {
    let (n, expected) = if cfg!(miri) { (6, 8) } else { (15, 610) };
    for workers in [1, 2, 4] {
        for _ in 0..often(200) {
            let number = on_pool(workers, move || scope(|scope| fib(scope, n)));
            assert_eq!(number, expected);
        }
    }
}

/// Who waits for a job that nobody has begun does it, whatever else lies above it, and nothing
/// else: a job of the same scope may want a lock that is held meanwhile.
#[test]
fn who_waits_does_that_job_alone() {
    ends_on_pool(1, || {
        let (lock, order) = (Mutex::new(()), Mutex::new(Vec::new()));
        let done = |number| order.lock().unwrap().push(number);
        scope(|scope| {
            let older = scope.spawn_with_handle(|_| done(1));
            scope.spawn(|_| {
                drop(lock.lock().unwrap());
                done(3);
            });
            let newest = scope.spawn_with_handle(|_| done(2));
            let locked = lock.lock().unwrap();
            older.join().unwrap();
            newest.join().unwrap();
            drop(locked);
        });
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    });
}

/// A scope finds the jobs that are spawned on it after a job of a scope around it was joined
/// within, which lay below them.
#[test]
fn a_handle_may_be_joined_in_a_scope_within() {
    // All, from the newest on; from the oldest on; only some, from both ends.
    let orders: [&'static [usize]; 4] = [
        &[5, 4, 3, 2, 1, 0],
        &[0, 1, 2, 3, 4, 5],
        &[5, 0],
        &[3, 5, 1],
    ];
    for order in orders {
        ends_on_pool(1, move || {
            let (jobs, done) = (AtomicU64::new(0), AtomicU64::new(0));
            let count = |count: &AtomicU64| {
                count.fetch_add(1, Ordering::Relaxed);
            };
            scope(|outer| {
                let job = |_| Some(outer.spawn_with_handle(|_| count(&jobs)));
                let mut handles: Vec<_> = (0..6).map(job).collect();
                scope(|inner| {
                    for &at in order {
                        handles[at].take().unwrap().join().unwrap();
                    }
                    for _ in 0..9 {
                        inner.spawn(|inner| {
                            count(&done);
                            inner.spawn(|_| count(&done));
                        });
                    }
                });
                // Nothing that is older than the inner scope was run by its end.
                assert_eq!(jobs.load(Ordering::Relaxed), order.len() as u64);
                assert_eq!(done.load(Ordering::Relaxed), 18);
                for handle in handles.into_iter().flatten() {
                    handle.join().unwrap();
                }
            });
            assert_eq!(jobs.into_inner(), 6);
        });
    }
}

/// While another does the job, its parts are taken by who waits for it.
#[test]
fn who_waits_helps() {
    ends_on_pool(2, || {
        let (begun, helped) = (Event::default(), Event::default());
        scope(|scope| {
            let job = scope.spawn_with_handle(|_| {
                begun.set();
                // Only the thread that waits can do the second half.
                join(|| helped.wait(), || helped.set());
                7
            });
            begun.wait();
            assert!(!job.is_finished());
            assert_eq!(job.join().unwrap(), 7);
        });
    });
}

/// As for `join`: no other job is run on top of a wait, since it may want what is held there.
#[test]
fn who_waits_takes_only_what_descends() {
    ends_on_pool(2, || {
        let lock = Mutex::new(());
        let begun = Event::default();
        scope(|scope| {
            let job = scope.spawn_with_handle(|_| {
                begun.set();
                thread::sleep(Duration::from_millis(50));
            });
            begun.wait();
            scope.spawn(|_| drop(lock.lock().unwrap()));
            let locked = lock.lock().unwrap();
            job.join().unwrap();
            drop(locked);
        });
    });
}

/// A handle that is dropped waits for nothing, and the scope for the job.
#[test]
fn a_dropped_handle_leaves_the_job_alone() {
    on_pool(2, || {
        let count = AtomicU64::new(0);
        /// A result that counts when it is dropped.
        struct Counts<'a>(&'a AtomicU64);
        impl Drop for Counts<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let size = up_to(1_000) as u64;
        scope(|scope| {
            for _ in 0..size {
                drop(scope.spawn_with_handle(|_| Counts(&count)));
            }
        });
        assert_eq!(count.into_inner(), size);
    });
}

/// A thread of no pool does what it spawns at once.
#[test]
fn a_foreign_thread_gets_results() {
    on_pool(1, || {
        scope(|scope| {
            thread::scope(|threads| {
                threads.spawn(|| {
                    let job = scope.spawn_with_handle(|_| 5);
                    assert!(job.is_finished());
                    assert_eq!(job.join().unwrap(), 5);
                });
            });
        });
    });
}
