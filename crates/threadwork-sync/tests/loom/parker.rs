//! `Parker`: no token is lost, each has its edge, and a second thread is found out.

use std::task::{Context, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use threadwork_sync::{AtomicU32, Parker};

use crate::model;

const SOME_TIME: Duration = Duration::from_secs(1);

/// What the unparking threads did before.
struct Work {
    parker: Parker,
    results: [UnsafeCell<u32>; 2],
}

impl Work {
    fn new() -> Arc<Self> {
        Arc::new(Work {
            parker: Parker::new(),
            results: [UnsafeCell::new(0), UnsafeCell::new(0)],
        })
    }

    fn finish(&self, index: usize) {
        self.results[index].with_mut(|result| unsafe { *result = 1 });
        self.parker.unpark();
    }

    fn check(&self, index: usize) {
        assert_eq!(self.results[index].with(|result| unsafe { *result }), 1);
    }
}

fn spawn_finish(work: &Arc<Work>, index: usize) -> thread::JoinHandle<()> {
    let work = work.clone();
    thread::spawn(move || work.finish(index))
}

/// Two rounds: an answer is a token at the other parker.
#[test]
fn each_park_meets_an_unpark() {
    model(4, || {
        let (ping, pong) = (Work::new(), Work::new());
        let other = {
            let (ping, pong) = (ping.clone(), pong.clone());
            thread::spawn(move || {
                for index in 0..2 {
                    ping.parker.park();
                    ping.check(index);
                    pong.finish(index);
                }
            })
        };
        for index in 0..2 {
            ping.finish(index);
            pong.parker.park();
            pong.check(index);
        }
        other.join().unwrap();
    });
}

/// An unpark that finds a token leaves its edge all the same.
#[test]
fn a_token_has_the_edges_of_all_unparks() {
    model(3, || {
        let work = Work::new();
        work.finish(0);
        let came = Arc::new(AtomicU32::new(0));
        let other = {
            let (work, came) = (work.clone(), came.clone());
            thread::spawn(move || {
                work.finish(1);
                came.store(1, Ordering::Relaxed);
            })
        };
        let both = came.load(Ordering::Relaxed) == 1;
        work.parker.park();
        work.check(0);
        if both {
            work.check(1);
        }
        other.join().unwrap();
    });
}

#[test]
fn a_park_that_gives_up_leaves_no_trace() {
    model(4, || {
        let work = Work::new();
        let other = spawn_finish(&work, 0);
        if !work.parker.park_timeout(SOME_TIME) {
            work.parker.park();
        }
        work.check(0);
        other.join().unwrap();
        assert!(!work.parker.try_park());
    });
}

#[test]
fn a_future_parks() {
    model(3, || {
        let work = Work::new();
        let other = spawn_finish(&work, 0);
        block_on(work.parker.park_async());
        work.check(0);
        other.join().unwrap();
    });
}

#[test]
fn a_future_that_is_dropped_leaves_the_token() {
    model(3, || {
        let work = Work::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(work.parker.park_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let other = spawn_finish(&work, 0);
        drop(dropped);
        work.parker.park();
        work.check(0);
        other.join().unwrap();
    });
}

/// The parked thread may free the parker. Here it makes something else of the memory.
#[test]
fn the_unparker_does_not_touch_the_parker_afterwards() {
    const SOMETHING_ELSE: u32 = 1000;
    model(4, || {
        let parker = Arc::new(Parker::new());
        let other = {
            let parker = parker.clone();
            thread::spawn(move || parker.unpark())
        };
        parker.park();
        word(&parker).store(SOMETHING_ELSE, Ordering::Relaxed);
        other.join().unwrap();
        assert_eq!(word(&parker).load(Ordering::Relaxed), SOMETHING_ELSE);
    });
}

fn word(parker: &Parker) -> &AtomicU32 {
    unsafe { &*(&raw const *parker).cast::<AtomicU32>() }
}
