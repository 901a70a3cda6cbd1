//! `Condvar`: no lost wake-up, whoever gives up.

use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use threadwork_sync::{Condvar, Mutex, MutexGuard};

use crate::model;

const SOON: Duration = Duration::from_secs(1);

/// Things to take, under a mutex.
struct Things {
    left: Mutex<u32>,
    more: Condvar,
}

type Shared = Arc<Things>;

fn things() -> Shared {
    Arc::new(Things {
        left: Mutex::new(0),
        more: Condvar::new(),
    })
}

impl Things {
    fn take(&self) {
        *self.more.wait_while(self.left.lock(), |left| *left == 0) -= 1;
    }

    async fn take_async(&self) {
        let guard = self.left.lock_async().await;
        *self.more.wait_while_async(guard, |left| *left == 0).await -= 1;
    }

    fn add(&self, count: u32) {
        *self.left.lock() += count;
    }

    /// Whether there was a thing in time.
    fn try_take(&self) -> bool {
        let (mut guard, _) = self.more.wait_timeout(self.left.lock(), SOON);
        let some = *guard > 0;
        *guard -= u32::from(some);
        some
    }
}

fn run<T: 'static>(
    things: &Shared,
    body: impl FnOnce(&Things) -> T + 'static,
) -> thread::JoinHandle<T> {
    let things = things.clone();
    thread::spawn(move || body(&things))
}

/// Polls a wait until it sleeps.
fn start<'a>(
    things: &'a Things,
) -> std::pin::Pin<Box<impl Future<Output = MutexGuard<'a, u32>> + use<'a>>> {
    let mut wait = Box::pin(things.more.wait_async(things.left.try_lock().unwrap()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(wait.as_mut().poll(&mut context).is_pending());
    wait
}

#[test]
fn a_notify_after_the_unlock_is_not_lost() {
    model(3, || {
        let things = things();
        let taker = run(&things, Things::take);
        things.add(1);
        things.more.notify_one();
        taker.join().unwrap();
    });
}

#[test]
fn a_notify_under_the_lock_is_not_lost() {
    model(3, || {
        let things = things();
        let taker = run(&things, Things::take);
        let mut guard = things.left.lock();
        *guard += 1;
        things.more.notify_one();
        drop(guard);
        taker.join().unwrap();
    });
}

#[test]
fn two_notifies_wake_two() {
    model(2, || {
        let things = things();
        let takers = [run(&things, Things::take), run(&things, Things::take)];
        for _ in 0..2 {
            things.add(1);
            things.more.notify_one();
        }
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    });
}

#[test]
fn notify_all_wakes_all() {
    model(2, || {
        let things = things();
        let takers = [run(&things, Things::take), run(&things, Things::take)];
        things.add(2);
        things.more.notify_all();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    });
}

/// One notify for two who wait: who runs out of time takes the thing or leaves the
/// notify to the other.
#[test]
fn a_timeout_does_not_swallow_a_notify() {
    model(2, || {
        let things = things();
        let impatient = run(&things, |things| {
            let taken = things.try_take();
            if taken {
                // The other one's.
                things.add(1);
                things.more.notify_one();
            }
        });
        let patient = run(&things, Things::take);
        things.add(1);
        things.more.notify_one();
        impatient.join().unwrap();
        patient.join().unwrap();
    });
}

#[test]
fn a_future_is_woken() {
    model(2, || {
        let things = things();
        let taker = run(&things, |things| block_on(things.take_async()));
        things.add(1);
        things.more.notify_one();
        taker.join().unwrap();
    });
}

/// Dropped after it was notified, before it was polled: the notify is the other's.
#[test]
fn a_future_that_is_dropped_passes_its_notify_on() {
    model(3, || {
        let things = things();
        let dropped = start(&things);
        let other = start(&things);
        things.add(1);
        let notifier = run(&things, |things| things.more.notify_one());
        drop(dropped);
        let other = block_on(other);
        assert_eq!(*other, 1);
        drop(other);
        notifier.join().unwrap();
    });
}

/// Dropped after it left the queue, while it waited for the mutex.
#[test]
fn a_future_that_is_dropped_at_the_mutex_passes_its_notify_on() {
    model(2, || {
        let things = things();
        let mut dropped = start(&things);
        let other = start(&things);
        let notifier = run(&things, |things| {
            let mut left = things.left.lock();
            *left += 1;
            things.more.notify_one();
            drop(left);
        });
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(guard) = dropped.as_mut().poll(&mut context) {
            drop(guard);
            things.more.notify_one();
        }
        drop(dropped);
        drop(block_on(other));
        notifier.join().unwrap();
    });
}

/// The mutex is unlocked, whenever the future is dropped.
#[test]
fn a_future_that_is_dropped_holds_nothing() {
    model(2, || {
        let things = things();
        let fresh = things.more.wait_async(things.left.lock());
        assert!(things.left.try_lock().is_none());
        drop(fresh);
        drop(start(&things));
        let taker = run(&things, Things::take);
        things.add(1);
        things.more.notify_one();
        taker.join().unwrap();
        assert!(things.left.try_lock().is_some());
    });
}
