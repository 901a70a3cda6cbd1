//! `Once`, `OnceLock`, `LazyLock`: one run, which everybody sees, and nobody who waits is
//! forgotten, also when a run fails. The cells' data is in loom's `UnsafeCell`.

use std::task::{Context, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use threadwork_sync::{LazyLock, Once, OnceLock, System, block};

use crate::model;

#[test]
fn two_threads_agree_on_one_value() {
    model(4, || {
        let cell = Arc::new(OnceLock::new());
        let other = {
            let cell = cell.clone();
            thread::spawn(move || *cell.get_or_init(|| 1))
        };
        let mine = *cell.get_or_init(|| 2);
        assert_eq!(other.join().unwrap(), mine);
        assert_eq!(cell.get(), Some(&mine));
    });
}

#[test]
fn three_threads_agree_on_one_value() {
    model(2, || {
        let cell = Arc::new(OnceLock::new());
        let others: Vec<_> = (1..3)
            .map(|index| {
                let cell = cell.clone();
                thread::spawn(move || *cell.get_or_init(|| index))
            })
            .collect();
        let mine = *cell.get_or_init(|| 3);
        others
            .into_iter()
            .for_each(|other| assert_eq!(other.join().unwrap(), mine));
    });
}

#[test]
fn who_sees_the_value_sees_what_is_in_it() {
    model(4, || {
        let cell = Arc::new(OnceLock::new());
        let other = {
            let cell = cell.clone();
            thread::spawn(move || cell.set(7).unwrap())
        };
        while cell.get().is_none() {
            thread::yield_now();
        }
        assert_eq!(cell.get(), Some(&7));
        other.join().unwrap();
    });
}

#[test]
fn waiters_wait_for_whoever_comes() {
    model(2, || {
        let cell = Arc::new(OnceLock::new());
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let cell = cell.clone();
                thread::spawn(move || *cell.wait())
            })
            .collect();
        cell.set(7).unwrap();
        waiters
            .into_iter()
            .for_each(|waiter| assert_eq!(waiter.join().unwrap(), 7));
    });
}

/// The second run finds what the first one left.
#[test]
fn after_a_failed_run_the_next_one_runs() {
    struct Shared {
        once: Once,
        runs: UnsafeCell<u32>,
    }
    fn run(shared: &Shared) {
        while !shared.once.is_completed() {
            let Some(running) = block(&System, shared.once.begin(&System), None).unwrap() else {
                break;
            };
            let runs = shared.runs.with_mut(|runs| unsafe {
                *runs += 1;
                *runs
            });
            if runs == 2 {
                running.complete();
            }
        }
        assert_eq!(shared.runs.with(|runs| unsafe { *runs }), 2);
    }
    model(3, || {
        let shared = Arc::new(Shared {
            once: Once::new(),
            runs: UnsafeCell::new(0),
        });
        let other = {
            let shared = shared.clone();
            thread::spawn(move || run(&shared))
        };
        run(&shared);
        other.join().unwrap();
    });
}

/// One thread's run fails and it does not try again: the other one, if it sleeps, must.
#[test]
fn a_failure_wakes_who_may_run_next() {
    model(4, || {
        let cell = Arc::new(OnceLock::new());
        let failing = {
            let cell = cell.clone();
            thread::spawn(move || cell.get_or_try_init(|| Err(())).copied())
        };
        assert_eq!(cell.get_or_init(|| 7), &7);
        assert!(matches!(failing.join().unwrap(), Err(()) | Ok(7)));
    });
}

#[test]
fn a_waiter_that_gives_up_is_in_nobodys_way() {
    model(2, || {
        let cell = Arc::new(OnceLock::new());
        let impatient = {
            let cell = cell.clone();
            thread::spawn(move || {
                let seen = cell.wait_timeout(Duration::from_secs(1)).copied();
                assert!(seen.is_none_or(|value| value == 7));
            })
        };
        let patient = {
            let cell = cell.clone();
            thread::spawn(move || assert_eq!(cell.wait(), &7))
        };
        cell.set(7).unwrap();
        impatient.join().unwrap();
        patient.join().unwrap();
    });
}

#[test]
fn futures_wait_like_threads() {
    model(2, || {
        let cell = Arc::new(OnceLock::new());
        let others: Vec<_> = [false, true]
            .into_iter()
            .map(|wait| {
                let cell = cell.clone();
                thread::spawn(move || {
                    block_on(async {
                        if wait {
                            *cell.wait_async().await
                        } else {
                            *cell.get_or_init_async(|| 1).await
                        }
                    })
                })
            })
            .collect();
        let mine = *cell.get_or_init(|| 2);
        others
            .into_iter()
            .for_each(|other| assert_eq!(other.join().unwrap(), mine));
    });
}

#[test]
fn a_dropped_future_is_in_nobodys_way() {
    model(2, || {
        let cell = Arc::new(OnceLock::new());
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(cell.wait_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let patient = {
            let cell = cell.clone();
            thread::spawn(move || block_on(async { *cell.wait_async().await }))
        };
        let setter = {
            let cell = cell.clone();
            thread::spawn(move || cell.set(7).unwrap())
        };
        drop(dropped);
        assert_eq!(patient.join().unwrap(), 7);
        setter.join().unwrap();
    });
}

#[test]
fn a_lazy_value_is_made_once() {
    model(2, || {
        let made = Arc::new(UnsafeCell::new(0));
        let lazy = {
            let made = made.clone();
            Arc::new(LazyLock::new(move || {
                made.with_mut(|made| unsafe {
                    *made += 1;
                    *made
                })
            }))
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lazy = lazy.clone();
                thread::spawn(move || assert_eq!(**lazy, 1))
            })
            .collect();
        assert_eq!(**lazy, 1);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}
