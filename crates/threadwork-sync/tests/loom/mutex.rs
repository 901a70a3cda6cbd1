//! `Mutex`: exclusion, and no lost wake-up whoever gives up.

use std::task::{Context, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use threadwork_sync::Mutex;

use crate::model;

/// Loom complains if two threads are in the cell at once, or if one does not see what
/// the other did before.
fn increment(mutex: &Mutex<UnsafeCell<u32>>) {
    mutex.lock().with_mut(|value| unsafe { *value += 1 });
}

fn value(mutex: &Mutex<UnsafeCell<u32>>) -> u32 {
    mutex.lock().with(|value| unsafe { *value })
}

#[test]
fn two_threads_exclude_each_other() {
    model(4, || {
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let other = {
            let mutex = mutex.clone();
            thread::spawn(move || (0..2).for_each(|_| increment(&mutex)))
        };
        (0..2).for_each(|_| increment(&mutex));
        other.join().unwrap();
        assert_eq!(value(&mutex), 4);
    });
}

#[test]
fn three_threads_exclude_each_other() {
    model(2, || {
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let mutex = mutex.clone();
                thread::spawn(move || increment(&mutex))
            })
            .collect();
        (0..2).for_each(|_| increment(&mutex));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(value(&mutex), 4);
    });
}

#[test]
fn a_waiter_that_gives_up_leaves_nobody_asleep() {
    model(2, || {
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let impatient = {
            let mutex = mutex.clone();
            thread::spawn(move || {
                if let Some(guard) = mutex.lock_timeout(Duration::from_secs(1)) {
                    guard.with_mut(|value| unsafe { *value += 1 });
                }
            })
        };
        let patient = {
            let mutex = mutex.clone();
            thread::spawn(move || increment(&mutex))
        };
        (0..2).for_each(|_| increment(&mutex));
        impatient.join().unwrap();
        patient.join().unwrap();
        assert!(value(&mutex) >= 3);
    });
}

/// It may have lost once, which makes it starve, before it gives up.
#[test]
fn a_starving_waiter_that_gives_up_is_in_nobodys_way() {
    model(4, || {
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let impatient = {
            let mutex = mutex.clone();
            thread::spawn(move || drop(mutex.lock_timeout(Duration::from_secs(1))))
        };
        (0..2).for_each(|_| increment(&mutex));
        impatient.join().unwrap();
        assert_eq!(value(&mutex), 2);
    });
}

#[test]
fn a_future_gets_the_lock() {
    model(2, || {
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let future = {
            let mutex = mutex.clone();
            thread::spawn(move || {
                block_on(async {
                    mutex
                        .lock_async()
                        .await
                        .with_mut(|value| unsafe { *value += 1 });
                });
            })
        };
        increment(&mutex);
        future.join().unwrap();
        assert_eq!(value(&mutex), 2);
    });
}

/// A future that is dropped after it was notified passes the wake-up on, whether the
/// lock is free then or taken again.
#[test]
fn a_future_that_is_dropped_leaves_nobody_asleep() {
    model(3, || {
        let mutex = Arc::new(Mutex::new(()));
        let first = mutex.lock();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(mutex.lock_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let patient = {
            let mutex = mutex.clone();
            thread::spawn(move || block_on(async { drop(mutex.lock_async().await) }))
        };
        drop(first);
        let second = mutex.try_lock();
        drop(dropped);
        drop(second);
        patient.join().unwrap();
        assert!(mutex.try_lock().is_some());
    });
}
