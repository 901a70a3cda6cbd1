//! `Condvar`: behaviour, layout, bad use, and no lost wake-up under stress.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{Condvar, Mutex, RawMutex, Resumed, RwLock, Step, System, Waiter, block};

use crate::support::{Random, THREADS, block_on, rounds, together};

const SOON: Duration = Duration::from_millis(20);

/// The sequence, and how many wait.
fn words(condvar: &Condvar) -> (u32, u32) {
    let words: *const Condvar = condvar;
    // SAFETY: the condition variable is two atomic words.
    let words = unsafe { &*words.cast::<[AtomicU32; 2]>() };
    (
        words[0].load(Ordering::SeqCst),
        words[1].load(Ordering::SeqCst),
    )
}

fn until_waiting(condvar: &Condvar, count: u32) {
    while words(condvar).1 != count {
        thread::yield_now();
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<Condvar>(), align_of::<Condvar>()), (8, 4));
    // SAFETY: documented: zero is ready to use.
    let condvar: Condvar = unsafe { std::mem::zeroed() };
    condvar.notify_one();
    condvar.notify_all();
    assert_eq!(words(&condvar), (0, 0));
    let waiter = condvar.waiter(&System);
    assert_eq!(words(&condvar), (0, 1));
    condvar.notify_one();
    assert_eq!(words(&condvar), (1, 1));
    drop(waiter);
    assert_eq!(words(&condvar), (1, 0));
}

#[test]
#[should_panic(expected = "forgotten instead of dropped")]
fn too_many_waiters_panic() {
    // SAFETY: two words.
    let condvar: Condvar = unsafe { std::mem::transmute([0, u32::MAX]) };
    let _waiter = condvar.waiter(&System);
}

#[test]
fn a_notify_wakes_and_the_mutex_is_locked() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let guard = condvar.wait_while(mutex.lock(), |value| *value == 0);
            assert!(mutex.is_locked());
            *guard
        });
        until_waiting(&condvar, 1);
        *mutex.lock() = 7;
        condvar.notify_one();
        assert_eq!(waiter.join().unwrap(), 7);
    });
    assert_eq!(words(&condvar).1, 0);
    assert!(!mutex.is_locked());
}

#[test]
fn notify_one_wakes_one_and_notify_all_the_rest() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let mut waits = Vec::new();
    for _ in 0..20 {
        let mut wait = Box::pin(condvar.wait_async(mutex.lock()));
        assert!(poll(wait.as_mut()).is_pending());
        waits.push(wait);
    }
    condvar.notify_one();
    // First in, first out.
    assert!(poll(waits[0].as_mut()).is_ready());
    assert!(
        waits[1..]
            .iter_mut()
            .all(|wait| poll(wait.as_mut()).is_pending())
    );
    condvar.notify_all();
    assert!(
        waits[1..]
            .iter_mut()
            .all(|wait| poll(wait.as_mut()).is_ready())
    );
    drop(waits);
    assert_eq!(words(&condvar).1, 0);
}

#[test]
fn waits_give_up_not_before_their_time() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let start = Instant::now();
    let (guard, result) = condvar.wait_timeout_while(mutex.lock(), SOON, |value| *value == 0);
    assert!(result.timed_out() && start.elapsed() >= SOON);
    let deadline = Instant::now() + SOON;
    let (guard, result) = condvar.wait_deadline_while(guard, deadline, |value| *value == 0);
    assert!(result.timed_out() && start.elapsed() >= 2 * SOON);
    let (guard, result) = condvar.wait_timeout(guard, Duration::ZERO);
    assert!(result.timed_out());
    let (guard, result) = condvar.wait_deadline(guard, Instant::now());
    assert!(result.timed_out() && mutex.is_locked());
    // A condition that holds needs no time.
    let (guard, result) = condvar.wait_timeout_while(guard, Duration::ZERO, |value| *value == 1);
    assert!(!result.timed_out());
    drop(guard);
    assert_eq!(words(&condvar), (0, 0));
}

#[test]
fn a_notify_in_time_is_no_timeout() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            until_waiting(&condvar, 1);
            *mutex.lock() = 1;
            condvar.notify_all();
        });
        let (guard, result) =
            condvar.wait_timeout_while(mutex.lock(), Duration::MAX, |value| *value == 0);
        assert!(!result.timed_out());
        assert_eq!(*guard, 1);
    });
}

/// The time was over first, the notify before the waiter noticed.
#[test]
fn a_notify_just_in_time_is_no_timeout() {
    let condvar = Condvar::new();
    let mut waiter = condvar.waiter(&System);
    assert!(matches!(waiter.step(Resumed::Started), Step::Watch(..)));
    assert!(matches!(waiter.step(Resumed::Watched), Step::Sleep(..)));
    condvar.notify_one();
    assert_eq!(waiter.cancel(false), Some(()));
    let waiter = condvar.waiter(&System);
    assert_eq!(block(&System, waiter, Some(Duration::ZERO)), None);
    assert_eq!(words(&condvar).1, 0);
}

#[test]
fn the_raw_forms_wait() {
    let (mutex, condvar) = (RawMutex::new(), Condvar::new());
    mutex.lock_with(&System);
    // SAFETY: locked above.
    assert!(!unsafe { condvar.wait_timeout_with(&System, &mutex, SOON) });
    let again = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            until_waiting(&condvar, 1);
            mutex.lock_with(&System);
            condvar.notify_one_with(&System);
            // SAFETY: locked above.
            unsafe { mutex.unlock_with(&System) };
            while again.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            until_waiting(&condvar, 1);
            // It is counted before it has read the sequence, and has the lock until then.
            mutex.lock_with(&System);
            // SAFETY: locked above.
            unsafe { mutex.unlock_with(&System) };
            condvar.notify_all_with(&System);
        });
        // SAFETY: locked above, and by each wait again.
        unsafe { condvar.wait_with(&System, &mutex) };
        assert!(mutex.is_locked());
        again.store(1, Ordering::SeqCst);
        // SAFETY: as above.
        assert!(unsafe { condvar.wait_timeout_with(&System, &mutex, Duration::MAX) });
    });
    assert!(mutex.is_locked());
}

#[test]
fn another_lock_will_do() {
    let (lock, condvar) = (RwLock::new(0), Condvar::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let guard = lock.read();
                if *guard == 1 {
                    return;
                }
                let waiter = condvar.waiter(&System);
                drop(guard);
                let _ = block(&System, waiter, None);
            }
        });
        until_waiting(&condvar, 1);
        *lock.write() = 1;
        condvar.notify_all();
    });
}

#[test]
fn a_dropped_future_passes_its_notify_on() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    for polled in [false, true] {
        let mut first = Box::pin(condvar.wait_async(mutex.lock()));
        assert!(poll(first.as_mut()).is_pending());
        let mut second = pin!(condvar.wait_async(mutex.lock()));
        assert!(poll(second.as_mut()).is_pending());
        condvar.notify_one();
        if polled {
            let held = mutex.lock();
            assert!(poll(first.as_mut()).is_pending());
            drop(first);
            drop(held);
        } else {
            drop(first);
        }
        assert!(poll(second.as_mut()).is_ready());
    }
    assert_eq!(words(&condvar).1, 0);
    assert!(mutex.try_lock().is_some());
}

#[test]
fn a_future_that_was_never_polled_unlocks() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let wait = condvar.wait_async(mutex.lock());
    assert!(mutex.is_locked());
    drop(wait);
    assert!(!mutex.is_locked());
    assert_eq!(words(&condvar), (0, 0));
}

/// A queue of two places: whoever misses a wake-up stops the rest.
#[test]
fn producers_and_consumers_meet() {
    for &threads in THREADS {
        let each = rounds(2_000);
        let queue = Mutex::new(VecDeque::new());
        let (not_full, not_empty) = (Condvar::new(), Condvar::new());
        let full = |queue: &mut VecDeque<u32>| queue.len() == 2;
        let empty = |queue: &mut VecDeque<u32>| queue.is_empty();
        let sums = together(threads, |index| {
            let mut random = Random::new(u64::from(index));
            let mut sum = 0;
            for number in 0..each {
                let patience = Duration::from_micros(random.below(30));
                let (condvar, other) = if index % 2 == 0 {
                    (&not_full, &not_empty)
                } else {
                    (&not_empty, &not_full)
                };
                let blocked = |queue: &mut VecDeque<u32>| {
                    if index % 2 == 0 {
                        full(queue)
                    } else {
                        empty(queue)
                    }
                };
                let mut guard = match random.below(3) {
                    0 => condvar.wait_while(queue.lock(), blocked),
                    1 => block_on(async {
                        condvar
                            .wait_while_async(queue.lock_async().await, blocked)
                            .await
                    }),
                    _ => loop {
                        let guard = queue.lock();
                        let (guard, result) = condvar.wait_timeout_while(guard, patience, blocked);
                        if !result.timed_out() {
                            break guard;
                        }
                    },
                };
                if index % 2 == 0 {
                    guard.push_back(number);
                    sum += u64::from(number);
                } else {
                    sum += u64::from(guard.pop_front().unwrap());
                }
                if random.below(2) == 0 {
                    drop(guard);
                    other.notify_one();
                } else if random.below(8) == 0 {
                    other.notify_all();
                } else {
                    other.notify_one();
                }
            }
            sum
        });
        let made: u64 = sums.iter().step_by(2).sum();
        let used: u64 = sums.iter().skip(1).step_by(2).sum();
        assert_eq!(made, used);
        assert_eq!((words(&not_full).1, words(&not_empty).1), (0, 0));
    }
}
