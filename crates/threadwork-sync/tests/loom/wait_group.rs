//! `WaitGroup`: waiters see all that was done, and the last does not touch it afterwards.

use std::task::{Context, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use threadwork_sync::{AtomicU32, WaitGroup};

use crate::model;

const SOME_TIME: Duration = Duration::from_secs(1);

/// What the tasks did.
struct Work {
    group: WaitGroup,
    results: Vec<UnsafeCell<u32>>,
}

impl Work {
    fn new(tasks: u32) -> Arc<Self> {
        let group = WaitGroup::new();
        group.add(tasks);
        Arc::new(Work {
            group,
            results: (0..tasks).map(|_| UnsafeCell::new(0)).collect(),
        })
    }

    fn finish(&self, index: usize) {
        self.results[index].with_mut(|result| unsafe { *result += 1 });
        self.group.done();
    }

    fn check(&self) {
        for result in &self.results {
            assert!(result.with(|result| unsafe { *result }) > 0);
        }
    }
}

fn spawn_finish(work: &Arc<Work>, index: usize) -> thread::JoinHandle<()> {
    let work = work.clone();
    thread::spawn(move || work.finish(index))
}

#[test]
fn a_waiter_sees_what_all_did() {
    model(3, || {
        let work = Work::new(2);
        let others = [spawn_finish(&work, 0), spawn_finish(&work, 1)];
        work.group.wait();
        work.check();
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn all_waiters_are_woken() {
    model(3, || {
        let work = Work::new(1);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let work = work.clone();
                thread::spawn(move || {
                    work.group.wait();
                    work.check();
                })
            })
            .collect();
        work.finish(0);
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    });
}

/// The bit of the first round's waiter is still set when the second one begins.
#[test]
fn a_group_is_used_again() {
    model(3, || {
        let work = Work::new(1);
        let other = spawn_finish(&work, 0);
        work.group.wait();
        work.check();
        work.group.add(1);
        let another = spawn_finish(&work, 0);
        work.group.wait();
        work.check();
        other.join().unwrap();
        another.join().unwrap();
    });
}

/// A task adds another one, while somebody waits.
#[test]
fn tasks_may_grow() {
    model(3, || {
        let work = Work::new(2);
        let other = {
            let work = work.clone();
            thread::spawn(move || {
                let token = work.group.token();
                work.finish(0);
                work.finish(1);
                drop(token);
            })
        };
        work.group.wait();
        work.check();
        other.join().unwrap();
        assert_eq!(work.group.count(), 0);
    });
}

#[test]
fn one_that_gives_up_is_in_nobodys_way() {
    model(3, || {
        let work = Work::new(1);
        let impatient = {
            let work = work.clone();
            thread::spawn(move || {
                if work.group.wait_timeout(SOME_TIME) {
                    work.check();
                }
            })
        };
        let other = spawn_finish(&work, 0);
        work.group.wait();
        work.check();
        impatient.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn futures_are_woken_dropped_or_not() {
    model(3, || {
        let work = Work::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(work.group.wait_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let future = {
            let work = work.clone();
            thread::spawn(move || {
                block_on(work.group.wait_async());
                work.check();
            })
        };
        let other = spawn_finish(&work, 0);
        drop(dropped);
        future.join().unwrap();
        other.join().unwrap();
    });
}

/// A waiter may free the group. Here it makes something else of the memory.
#[test]
fn the_last_does_not_touch_the_group_afterwards() {
    const SOMETHING_ELSE: u32 = 1000;
    model(3, || {
        let work = Work::new(2);
        let others = [spawn_finish(&work, 0), spawn_finish(&work, 1)];
        work.group.wait();
        let word = unsafe { &*(&raw const work.group).cast::<AtomicU32>() };
        word.store(SOMETHING_ELSE, Ordering::Relaxed);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(word.load(Ordering::Relaxed), SOMETHING_ELSE);
    });
}
