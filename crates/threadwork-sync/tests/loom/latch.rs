//! `Latch`: nobody misses the opening, and the opener does not touch it afterwards.

use std::task::{Context, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use threadwork_sync::{AtomicU32, Latch};

use crate::model;

const SOME_TIME: Duration = Duration::from_secs(1);

/// What the opener did before.
struct Work {
    latch: Latch,
    result: UnsafeCell<u32>,
}

impl Work {
    fn new() -> Arc<Self> {
        Arc::new(Work {
            latch: Latch::new(),
            result: UnsafeCell::new(0),
        })
    }

    fn finish(&self) {
        self.result.with_mut(|result| unsafe { *result = 1 });
        self.latch.open();
    }

    fn check(&self) {
        assert_eq!(self.result.with(|result| unsafe { *result }), 1);
    }
}

#[test]
fn waiters_see_what_the_opener_did() {
    model(3, || {
        let work = Work::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let work = work.clone();
                thread::spawn(move || {
                    work.latch.wait();
                    work.check();
                })
            })
            .collect();
        work.finish();
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn one_that_gives_up_is_in_nobodys_way() {
    model(3, || {
        let work = Work::new();
        let impatient = {
            let work = work.clone();
            thread::spawn(move || {
                if work.latch.wait_timeout(SOME_TIME) {
                    work.check();
                }
            })
        };
        let patient = {
            let work = work.clone();
            thread::spawn(move || {
                work.latch.wait();
                work.check();
            })
        };
        work.finish();
        impatient.join().unwrap();
        patient.join().unwrap();
    });
}

#[test]
fn futures_are_woken_dropped_or_not() {
    model(3, || {
        let work = Work::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(work.latch.wait_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let future = {
            let work = work.clone();
            thread::spawn(move || {
                block_on(work.latch.wait_async());
                work.check();
            })
        };
        let opener = {
            let work = work.clone();
            thread::spawn(move || work.finish())
        };
        drop(dropped);
        future.join().unwrap();
        opener.join().unwrap();
    });
}

/// A waiter may free the latch. Here it makes something else of the memory.
#[test]
fn the_opener_does_not_touch_an_open_latch() {
    const SOMETHING_ELSE: u32 = 1000;
    model(4, || {
        let latch = Arc::new(Latch::new());
        let opener = {
            let latch = latch.clone();
            thread::spawn(move || latch.open())
        };
        latch.wait();
        let word = unsafe { &*(&raw const *latch).cast::<AtomicU32>() };
        word.store(SOMETHING_ELSE, Ordering::Relaxed);
        opener.join().unwrap();
        assert_eq!(word.load(Ordering::Relaxed), SOMETHING_ELSE);
    });
}
