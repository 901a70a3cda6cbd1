//! `Semaphore`: never more than there are permits, and no lost wake-up whoever gives up.

use std::task::{Context, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use threadwork_sync::{AtomicU32, Semaphore};

use crate::model;

const SOME_TIME: Duration = Duration::from_secs(1);

/// A count behind a semaphore. With all its permits, a thread may write.
struct Guarded {
    semaphore: Semaphore,
    all: u32,
    count: UnsafeCell<u32>,
}

impl Guarded {
    fn new(free: u32, all: u32) -> Arc<Self> {
        Arc::new(Guarded {
            semaphore: Semaphore::new(free),
            all,
            count: UnsafeCell::new(0),
        })
    }

    fn increment(&self) {
        let _all = self.semaphore.acquire_many(self.all);
        self.count.with_mut(|count| unsafe { *count += 1 });
    }

    fn read(&self) -> u32 {
        let _one = self.semaphore.acquire();
        self.count.with(|count| unsafe { *count })
    }
}

fn spawn(guarded: &Arc<Guarded>, body: impl FnOnce(&Guarded) + 'static) -> thread::JoinHandle<()> {
    let guarded = guarded.clone();
    thread::spawn(move || body(&guarded))
}

#[test]
fn one_permit_is_a_lock() {
    model(3, || {
        let guarded = Guarded::new(1, 1);
        let other = spawn(&guarded, |guarded| (0..2).for_each(|_| guarded.increment()));
        (0..2).for_each(|_| guarded.increment());
        other.join().unwrap();
        assert_eq!(guarded.read(), 4);
    });
}

#[test]
fn three_threads_share_one_permit() {
    model(2, || {
        let guarded = Guarded::new(1, 1);
        let others = [
            spawn(&guarded, Guarded::increment),
            spawn(&guarded, Guarded::increment),
        ];
        guarded.increment();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(guarded.read(), 3);
    });
}

/// Two releases, of which the second finds that the first has notified already.
#[test]
fn two_releases_wake_two() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.acquire().forget())
            })
            .collect();
        semaphore.release(1);
        semaphore.release(1);
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
        assert_eq!(semaphore.available(), 0);
    });
}

#[test]
fn one_release_of_two_wakes_two() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.acquire().forget())
            })
            .collect();
        semaphore.release(2);
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    });
}

/// Two want both permits, and each may have one first.
#[test]
fn two_that_want_all_do_not_stop_each_other() {
    model(2, || {
        let guarded = Guarded::new(2, 2);
        let others = [
            spawn(&guarded, Guarded::increment),
            spawn(&guarded, Guarded::increment),
        ];
        guarded.read();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(guarded.read(), 2);
        assert_eq!(guarded.semaphore.available(), 2);
    });
}

/// One collects, the other waits for its turn.
#[test]
fn the_turn_goes_on() {
    model(2, || {
        let guarded = Guarded::new(0, 2);
        let others = [
            spawn(&guarded, Guarded::increment),
            spawn(&guarded, Guarded::increment),
        ];
        guarded.semaphore.release(2);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(guarded.read(), 2);
    });
}

#[test]
fn one_that_gives_up_leaves_nobody_asleep() {
    model(2, || {
        let guarded = Guarded::new(1, 1);
        let impatient = spawn(&guarded, |guarded| {
            if let Some(_permit) = guarded.semaphore.acquire_timeout(SOME_TIME) {
                guarded.count.with_mut(|count| unsafe { *count += 1 });
            }
        });
        let patient = spawn(&guarded, Guarded::increment);
        guarded.increment();
        impatient.join().unwrap();
        patient.join().unwrap();
        assert!(guarded.read() >= 2);
    });
}

/// It may have lost once, which makes it starve, before it gives up.
#[test]
fn a_starving_waiter_that_gives_up_is_in_nobodys_way() {
    model(4, || {
        let guarded = Guarded::new(1, 1);
        let impatient = spawn(&guarded, |guarded| {
            drop(guarded.semaphore.acquire_timeout(SOME_TIME))
        });
        (0..2).for_each(|_| guarded.increment());
        impatient.join().unwrap();
        assert_eq!(guarded.read(), 2);
    });
}

/// What it has collected is for the other one.
#[test]
fn a_collector_that_gives_up_gives_back() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let collector = {
            let semaphore = semaphore.clone();
            thread::spawn(move || assert!(semaphore.acquire_many_timeout(2, SOME_TIME).is_none()))
        };
        semaphore.acquire().forget();
        collector.join().unwrap();
        assert_eq!(semaphore.available(), 0);
    });
}

#[test]
fn one_that_waits_for_its_turn_may_give_up() {
    model(2, || {
        let guarded = Guarded::new(2, 2);
        let impatient = spawn(&guarded, |guarded| {
            if let Some(_all) = guarded.semaphore.acquire_many_timeout(2, SOME_TIME) {
                guarded.count.with_mut(|count| unsafe { *count += 1 });
            }
        });
        let patient = spawn(&guarded, Guarded::increment);
        guarded.increment();
        impatient.join().unwrap();
        patient.join().unwrap();
        assert_eq!(guarded.semaphore.available(), 2);
        // And nobody is counted any more: the second word, as the module has it.
        let words = unsafe { &*(&raw const guarded.semaphore).cast::<[AtomicU32; 2]>() };
        assert_eq!(words[1].load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_future_gets_permits() {
    model(2, || {
        let guarded = Guarded::new(2, 2);
        let future = spawn(&guarded, |guarded| {
            block_on(async {
                let _all = guarded.semaphore.acquire_many_async(2).await;
                guarded.count.with_mut(|count| unsafe { *count += 1 });
            });
        });
        guarded.read();
        guarded.increment();
        future.join().unwrap();
        assert_eq!(guarded.read(), 2);
    });
}

/// A future that is dropped after it was notified passes the wake-up on, whether a
/// permit is free then or taken again.
#[test]
fn a_future_that_is_dropped_leaves_nobody_asleep() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let first = semaphore.acquire();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(semaphore.acquire_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let patient = {
            let semaphore = semaphore.clone();
            thread::spawn(move || block_on(async { drop(semaphore.acquire_async().await) }))
        };
        drop(first);
        let second = semaphore.try_acquire();
        drop(dropped);
        drop(second);
        patient.join().unwrap();
        assert!(semaphore.try_acquire().is_some());
    });
}

/// The same for one that waits for its turn to collect, and was notified of it.
#[test]
fn a_dropped_future_passes_the_turn_on() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let mut context = Context::from_waker(Waker::noop());
        let mut collector = Box::pin(semaphore.acquire_many_async(2));
        assert!(collector.as_mut().poll(&mut context).is_pending());
        let mut dropped = Box::pin(semaphore.acquire_many_async(2));
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let patient = {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                block_on(async { semaphore.acquire_many_async(2).await.forget() })
            })
        };
        drop(collector);
        drop(dropped);
        semaphore.release(2);
        patient.join().unwrap();
        assert_eq!(semaphore.available(), 0);
    });
}

/// A future that was woken for its turn and is not polled is in no thread's way, and passes the
/// turn on when it is dropped.
#[test]
fn an_unpolled_future_does_not_keep_the_turn() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let mut context = Context::from_waker(Waker::noop());
        let mut asleep = [(); 3].map(|()| Box::pin(semaphore.acquire_many_async(2)));
        for future in &mut asleep {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        let [collector, unpolled, mut next] = asleep;
        drop(collector);
        let thread = {
            let semaphore = semaphore.clone();
            thread::spawn(move || drop(semaphore.acquire_many(2)))
        };
        semaphore.release(2);
        thread.join().unwrap();
        drop(unpolled);
        assert_eq!(block_on(next.as_mut()).permits(), 2);
    });
}
