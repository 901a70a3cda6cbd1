//! `Mutex`: behaviour, layout, bad use, exclusion, and the bound on unfairness.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{LOSSES, Mutex, RawMutex, Resumed, STARVING_AFTER, System};

use crate::support::{THREADS, block_on, passes, rounds, together};

const SOON: Duration = Duration::from_millis(20);

fn word(mutex: &RawMutex) -> u32 {
    let word: *const RawMutex = mutex;
    // SAFETY: the lock is one atomic word of this size.
    unsafe { &*word.cast::<AtomicU32>() }.load(Ordering::SeqCst)
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<RawMutex>(), align_of::<RawMutex>()), (4, 4));
    assert_eq!(size_of::<Mutex<u64>>(), 16);
    let mutex = RawMutex::new();
    assert_eq!(word(&mutex), 0);
    assert!(mutex.try_lock());
    assert_eq!(word(&mutex), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            mutex.lock_with(&System);
            // SAFETY: locked above.
            unsafe { mutex.unlock_with(&System) };
        });
        while word(&mutex) != 0b11 {
            thread::yield_now();
        }
        // SAFETY: locked by `try_lock`.
        unsafe { mutex.unlock_with(&System) };
    });
    assert_eq!(word(&mutex), 0);
}

#[test]
fn zero_bytes_are_an_unlocked_mutex() {
    // SAFETY: documented: zero is unlocked, and zero is a u64.
    let mutex: Mutex<u64> = unsafe { std::mem::zeroed() };
    *mutex.try_lock().unwrap() += 1;
    assert_eq!(mutex.into_inner(), 1);
}

#[test]
fn a_held_lock_is_not_given_away() {
    let mutex = Mutex::new(1);
    let guard = mutex.lock();
    assert!(mutex.is_locked());
    assert!(mutex.try_lock().is_none());
    assert!(thread::scope(|scope| scope
        .spawn(|| mutex.try_lock().is_none())
        .join()
        .unwrap()));
    assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked> }");
    drop(guard);
    assert!(!mutex.is_locked());
    assert_eq!(format!("{mutex:?}"), "Mutex { data: 1 }");
}

#[test]
fn waits_give_up_not_before_their_time() {
    let mutex = Mutex::new(());
    let _held = mutex.lock();
    thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            assert!(mutex.lock_timeout(SOON).is_none());
            assert!(start.elapsed() >= SOON);
            assert!(mutex.lock_deadline(Instant::now() + SOON).is_none());
            assert!(start.elapsed() >= 2 * SOON);
            assert!(mutex.lock_timeout(Duration::ZERO).is_none());
        });
    });
}

#[test]
fn a_lock_that_gets_free_in_time_is_taken() {
    let mutex = Mutex::new(0);
    let guard = mutex.lock();
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| *mutex.lock_timeout(Duration::MAX).unwrap() += 1))
            .collect();
        thread::sleep(SOON);
        drop(guard);
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    });
    assert_eq!(mutex.into_inner(), 3);
}

#[test]
fn a_guard_may_go_to_another_thread() {
    let mutex = Mutex::new(0);
    let mut guard = mutex.lock();
    thread::scope(|scope| {
        scope.spawn(move || *guard += 1);
    });
    assert_eq!(*mutex.lock(), 1);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_panic_frees_the_lock() {
    let mutex = Mutex::new(0);
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let _guard = mutex.lock();
                // Not a panic with a message on the terminal.
                std::panic::resume_unwind(Box::new(()));
            })
            .join()
    });
    assert!(panicked.is_err());
    assert!(mutex.try_lock().is_some());
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
#[should_panic(expected = "unlock once for each lock")]
fn unlocking_a_free_lock_panics() {
    // SAFETY: not so; but a lock that protects nothing makes that harmless.
    unsafe { RawMutex::new().unlock_with(&System) };
}

#[test]
fn threads_and_futures_exclude_each_other() {
    for &threads in THREADS {
        let each = rounds(4_000);
        let mutex = Mutex::new(0_u32);
        let inside = AtomicBool::new(false);
        let enter = || {
            assert!(!inside.swap(true, Ordering::Relaxed), "two at once");
            assert!(inside.swap(false, Ordering::Relaxed), "two at once");
        };
        together(threads, |index| {
            for round in 0..each {
                let mut guard = match (index + round) % 4 {
                    0 => block_on(mutex.lock_async()),
                    1 => match mutex.lock_timeout(Duration::from_micros(u64::from(round % 50))) {
                        Some(guard) => guard,
                        None => mutex.lock(),
                    },
                    _ => mutex.lock(),
                };
                enter();
                *guard += 1;
            }
        });
        assert_eq!(mutex.into_inner(), threads * each);
    }
}

/// A thread that holds the lock nearly always cannot keep another one out: that one
/// is passed a bounded number of times. With a lock that only barges, this fails.
#[test]
fn a_hog_does_not_starve_others() {
    let passed = |resumed, pause| {
        let mutex = RawMutex::new();
        assert!(mutex.try_lock());
        let passed = passes(mutex.acquire(&System), resumed, || {
            // SAFETY: locked above, or by the hog.
            unsafe { mutex.unlock_with(&System) };
            thread::sleep(pause);
            mutex.try_lock()
        });
        assert!(mutex.is_locked());
        // SAFETY: it was the waiter's.
        unsafe { mutex.unlock_with(&System) };
        assert_eq!(word(&mutex), 0);
        passed
    };
    let woken = passed(Resumed::Woken, Duration::ZERO);
    assert!((1..=LOSSES).contains(&woken), "{woken} times");
    // Who never gets to sleep is never woken in vain, and starves all the same.
    let refused = passed(Resumed::Changed, STARVING_AFTER / 10);
    assert!((1..=LOSSES + 10).contains(&refused), "{refused} times");
}

#[test]
fn what_is_known_without_locking() {
    let mut mutex = Mutex::from(1);
    *mutex.get_mut() += 1;
    assert!(!mutex.is_locked());
    let guard = mutex.lock();
    assert!(mutex.is_locked());
    assert_eq!(
        (guard.to_string(), format!("{guard:?}")),
        ("2".into(), "2".into())
    );
    assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked> }");
    drop(guard);
    assert_eq!(format!("{mutex:?}"), "Mutex { data: 2 }");
    assert_eq!(Mutex::<u32>::default().into_inner(), 0);
}

/// A reference to a futex is one: the slow path, too.
#[test]
fn a_futex_may_be_borrowed() {
    let (mutex, futex) = (RawMutex::new(), &System);
    mutex.lock_with(&futex);
    let waiting = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            waiting.store(true, Ordering::Release);
            mutex.lock_with(&futex);
            // SAFETY: locked in the line before.
            unsafe { mutex.unlock_with(&futex) };
        });
        while !waiting.load(Ordering::Acquire) {
            thread::yield_now();
        }
        thread::sleep(SOON);
        // SAFETY: locked above.
        unsafe { mutex.unlock_with(&futex) };
    });
    assert_eq!(word(&mutex), 0);
}
