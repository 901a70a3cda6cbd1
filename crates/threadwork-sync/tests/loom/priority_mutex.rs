//! `PriorityMutex`: exclusion, order of classes, robbed and refused grants, and no lost
//! wake-up whoever gives up.

use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use threadwork_sync::{
    AcquirePriority, Contender, Priority, PriorityHook, PriorityMutex, RawPriorityMutex, Resumed,
    Step, System, ThreadToken, Waiter, block, set_priority_hook,
};

use crate::model;

const SOME_TIME: Option<Duration> = Some(Duration::from_secs(1));

const fn at(priority: Priority) -> Contender {
    Contender {
        priority,
        token: None,
    }
}

/// Loom complains if two threads are in the cell at once, or if one does not see what
/// the other did before.
fn increment(mutex: &PriorityMutex<UnsafeCell<u32>>, priority: Priority) {
    mutex
        .lock_as(priority)
        .with_mut(|value| unsafe { *value += 1 });
}

fn value(mutex: &PriorityMutex<UnsafeCell<u32>>) -> u32 {
    let guard = mutex.try_lock().unwrap();
    guard.with(|value| unsafe { *value })
}

/// A lock that waiters in several threads can borrow.
fn leaked() -> &'static RawPriorityMutex {
    Box::leak(Box::new(RawPriorityMutex::new()))
}

fn unlock(mutex: &RawPriorityMutex) {
    unsafe { mutex.unlock_with(&System) };
}

type Waiting = AcquirePriority<'static, System>;

/// A waiter that is counted, and looks at its gate next.
fn waiting(mutex: &'static RawPriorityMutex, priority: Priority) -> Waiting {
    let mut waiter = mutex.acquire(&System, at(priority));
    let step = waiter.step(Resumed::Started);
    assert!(!matches!(step, Step::Done(())));
    waiter
}

/// Like [`waiting`], and all but asleep on the value that its gate has now.
fn asleep(mutex: &'static RawPriorityMutex, priority: Priority) -> Waiting {
    let mut waiter = waiting(mutex, priority);
    let step = waiter.step(Resumed::Watched);
    assert!(matches!(step, Step::Sleep(..)));
    waiter
}

#[test]
fn two_threads_exclude_each_other() {
    model(3, || {
        let mutex = Arc::new(PriorityMutex::new(UnsafeCell::new(0)));
        let other = {
            let mutex = mutex.clone();
            thread::spawn(move || (0..2).for_each(|_| increment(&mutex, Priority::Normal)))
        };
        (0..2).for_each(|_| increment(&mutex, Priority::Normal));
        other.join().unwrap();
        assert_eq!(value(&mutex), 4);
    });
}

#[test]
fn three_classes_exclude_each_other() {
    model(2, || {
        let mutex = Arc::new(PriorityMutex::new(UnsafeCell::new(0)));
        let others: Vec<_> = [Priority::Low, Priority::High]
            .into_iter()
            .map(|priority| {
                let mutex = mutex.clone();
                thread::spawn(move || increment(&mutex, priority))
            })
            .collect();
        increment(&mutex, Priority::Normal);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(value(&mutex), 3);
    });
}

/// Two wait when the holder leaves, asleep or on their way there.
#[test]
fn waiters_of_one_class_hand_it_on() {
    model(2, || {
        let mutex = leaked();
        assert!(mutex.try_lock(at(Priority::Normal)));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let waiter = waiting(mutex, Priority::Normal);
                thread::spawn(move || {
                    block(&System, waiter, None).unwrap();
                    unlock(mutex);
                })
            })
            .collect();
        unlock(mutex);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(!mutex.is_locked());
    });
}

/// The lower one runs first and is counted first, and yet is the last.
#[test]
fn the_highest_class_goes_first() {
    model(3, || {
        let mutex = leaked();
        let order = Arc::new(AtomicI32::new(0));
        assert!(mutex.try_lock(at(Priority::Low)));
        let others: Vec<_> = [(Priority::Low, 1), (Priority::High, 0)]
            .into_iter()
            .map(|(priority, place)| {
                let waiter = waiting(mutex, priority);
                let order = order.clone();
                thread::spawn(move || {
                    block(&System, waiter, None).unwrap();
                    assert_eq!(order.fetch_add(1, Ordering::Relaxed), place);
                    unlock(mutex);
                })
            })
            .collect();
        unlock(mutex);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_waiter_that_gives_up_leaves_nobody_asleep() {
    model(2, || {
        let mutex = leaked();
        assert!(mutex.try_lock(at(Priority::Normal)));
        let waiter = waiting(mutex, Priority::Normal);
        let impatient = thread::spawn(move || {
            if block(&System, waiter, SOME_TIME).is_some() {
                unlock(mutex);
            }
        });
        let patient = thread::spawn(move || {
            mutex.lock_with(&System, at(Priority::Normal));
            unlock(mutex);
        });
        unlock(mutex);
        impatient.join().unwrap();
        patient.join().unwrap();
        assert!(!mutex.is_locked());
    });
}

/// The only waiter may give up between being chosen and getting the token.
#[test]
fn a_grant_to_nobody_frees_the_lock() {
    model(4, || {
        let mutex = leaked();
        assert!(mutex.try_lock(at(Priority::Normal)));
        let mut waiter = waiting(mutex, Priority::Normal);
        let leaver = thread::spawn(move || {
            if waiter.cancel(false).is_some() {
                unlock(mutex);
            }
        });
        unlock(mutex);
        leaver.join().unwrap();
        assert!(mutex.try_lock(at(Priority::Low)));
    });
}

/// The same, with others that come and go meanwhile.
#[test]
fn a_grant_to_nobody_goes_to_the_next() {
    model(2, || {
        let mutex = leaked();
        assert!(mutex.try_lock(at(Priority::Normal)));
        let mut waiter = waiting(mutex, Priority::High);
        let leaver = thread::spawn(move || {
            if waiter.cancel(false).is_some() {
                unlock(mutex);
            }
        });
        let next = thread::spawn(move || {
            mutex.lock_with(&System, at(Priority::High));
            unlock(mutex);
        });
        unlock(mutex);
        leaver.join().unwrap();
        next.join().unwrap();
        assert!(mutex.try_lock(at(Priority::Low)));
    });
}

/// The second comes when the first has been given the token, and leaves it to the
/// first, which gives up.
#[test]
fn a_token_that_is_given_up_goes_to_those_who_left_it() {
    model(3, || {
        let mutex = leaked();
        assert!(mutex.try_lock(at(Priority::Normal)));
        let mut first = asleep(mutex, Priority::Normal);
        unlock(mutex);
        let second = thread::spawn(move || {
            mutex.lock_with(&System, at(Priority::Normal));
            unlock(mutex);
        });
        if first.cancel(true).is_some() {
            unlock(mutex);
        }
        second.join().unwrap();
        assert!(!mutex.is_locked());
    });
}

/// The token is the first one's, however long it takes to come for it.
#[test]
fn a_newcomer_leaves_the_token_to_those_before_it() {
    model(3, || {
        let mutex = leaked();
        let order = Arc::new(AtomicI32::new(0));
        assert!(mutex.try_lock(at(Priority::Normal)));
        let first = asleep(mutex, Priority::Normal);
        unlock(mutex);
        let second = {
            let order = order.clone();
            thread::spawn(move || {
                mutex.lock_with(&System, at(Priority::Normal));
                assert_eq!(order.fetch_add(1, Ordering::Relaxed), 1);
                unlock(mutex);
            })
        };
        block(&System, first, None).unwrap();
        assert_eq!(order.fetch_add(1, Ordering::Relaxed), 0);
        unlock(mutex);
        second.join().unwrap();
    });
}

/// A futex need not be first in, first out: the wrong one may be woken, and then the
/// right one sleeps on.
#[test]
fn who_is_woken_takes_any_token() {
    model(1, || {
        let mutex = leaked();
        assert!(mutex.try_lock(at(Priority::Normal)));
        let first = asleep(mutex, Priority::Normal);
        unlock(mutex);
        let mut second = asleep(mutex, Priority::Normal);
        assert!(matches!(second.step(Resumed::Changed), Step::Sleep(..)));
        assert!(matches!(second.step(Resumed::Woken), Step::Done(())));
        unlock(mutex);
        block(&System, first, None).unwrap();
        unlock(mutex);
        assert!(!mutex.is_locked());
    });
}

/// A waiter of a lower class that has been chosen, or will be, and does not run, is in
/// nobody's way; and it is not forgotten.
#[test]
fn a_lower_class_that_does_not_run_is_robbed() {
    model(4, || {
        let mutex = leaked();
        assert!(mutex.try_lock(at(Priority::Low)));
        let low = asleep(mutex, Priority::Low);
        let high = thread::spawn(move || {
            mutex.lock_with(&System, at(Priority::High));
            unlock(mutex);
        });
        unlock(mutex);
        high.join().unwrap();
        block(&System, low, None).unwrap();
        unlock(mutex);
        assert!(!mutex.is_locked());
    });
}

/// The robbed one gives up while it is robbed.
#[test]
fn a_robbed_waiter_may_give_up() {
    model(3, || {
        let mutex = leaked();
        assert!(mutex.try_lock(at(Priority::Low)));
        let mut low = asleep(mutex, Priority::Low);
        unlock(mutex);
        let high = thread::spawn(move || {
            mutex.lock_with(&System, at(Priority::High));
            unlock(mutex);
        });
        if low.cancel(false).is_some() {
            unlock(mutex);
        }
        high.join().unwrap();
        assert!(mutex.try_lock(at(Priority::Low)));
        assert_eq!(mutex.waiting(Priority::Low), 0);
    });
}

#[test]
fn data_goes_with_a_robbed_token() {
    model(3, || {
        let mutex = Arc::new(PriorityMutex::new(UnsafeCell::new(0)));
        let high = {
            let mutex = mutex.clone();
            thread::spawn(move || increment(&mutex, Priority::High))
        };
        let low = {
            let mutex = mutex.clone();
            thread::spawn(move || increment(&mutex, Priority::Low))
        };
        increment(&mutex, Priority::Low);
        high.join().unwrap();
        low.join().unwrap();
        assert_eq!(value(&mutex), 3);
    });
}

#[test]
fn a_future_gets_the_lock() {
    model(2, || {
        let mutex = Arc::new(PriorityMutex::new(UnsafeCell::new(0)));
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
        increment(&mutex, Priority::Normal);
        future.join().unwrap();
        assert_eq!(value(&mutex), 2);
    });
}

/// A future that is dropped after it was notified passes the lock on.
#[test]
fn a_future_that_is_dropped_leaves_nobody_asleep() {
    model(2, || {
        let mutex = Arc::new(PriorityMutex::new(()));
        let first = mutex.lock();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(mutex.lock_async());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        let patient = {
            let mutex = mutex.clone();
            thread::spawn(move || block_on(async { drop(mutex.lock_async().await) }))
        };
        drop(first);
        drop(dropped);
        patient.join().unwrap();
        assert!(mutex.try_lock().is_some());
    });
}

/// What the hook has heard of tokens 1 and 2: at `Normal`, at `High`.
static HEARD: [[AtomicI32; 2]; 2] = [const { [const { AtomicI32::new(0) }; 2] }; 2];

struct Hook;

impl PriorityHook for Hook {
    fn raise(&self, holder: ThreadToken, to: Priority) {
        HEARD[holder.get() as usize - 1][to as usize - 1].fetch_add(1, Ordering::Relaxed);
    }

    fn restore(&self, holder: ThreadToken, to: Priority) {
        HEARD[holder.get() as usize - 1][to as usize - 1].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whatever happens, what was raised is restored, and nothing else.
#[test]
fn the_hook_hears_the_end_of_all_that_it_heard_begin() {
    let _set_already = set_priority_hook(&Hook);
    model(2, || {
        let token = |number, priority| Contender {
            priority,
            token: ThreadToken::new(number),
        };
        let mutex = leaked();
        assert!(mutex.try_lock(token(1, Priority::Low)));
        let mut low = mutex.acquire(&System, token(2, Priority::Low));
        assert!(!matches!(low.step(Resumed::Started), Step::Done(())));
        let leaver = waiting(mutex, Priority::Normal);
        let leaver = thread::spawn(move || {
            if block(&System, leaver, SOME_TIME).is_some() {
                unlock(mutex);
            }
        });
        let other = thread::spawn(move || {
            mutex.lock_with(&System, at(Priority::Normal));
            unlock(mutex);
        });
        unlock(mutex);
        block(&System, low, None).unwrap();
        unlock(mutex);
        leaver.join().unwrap();
        other.join().unwrap();
        for heard in HEARD.iter().flatten() {
            assert_eq!(heard.load(Ordering::Relaxed), 0);
        }
    });
}
