//! What `parking_lot_core` documents.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot_core::{
    DEFAULT_PARK_TOKEN, DEFAULT_UNPARK_TOKEN, FilterOp, ParkResult, ParkToken, RequeueOp, SpinWait,
    UnparkResult, UnparkToken, park, unpark_all, unpark_filter, unpark_one, unpark_requeue,
};

/// Addresses of its own for each test.
struct Keys([u8; 2]);

impl Keys {
    fn key(&self) -> usize {
        (&raw const self.0[0]).addr()
    }

    fn other(&self) -> usize {
        (&raw const self.0[1]).addr()
    }
}

fn wait(key: usize, token: usize, timeout: Option<Instant>) -> ParkResult {
    // SAFETY: the key is a test's own, and the closures do nothing.
    unsafe { park(key, || true, || {}, |_, _| {}, ParkToken(token), timeout) }
}

/// How many wait for the key.
fn waiting(key: usize) -> usize {
    let mut count = 0;
    let look = |_| {
        count += 1;
        FilterOp::Skip
    };
    // SAFETY: as above; nobody is unparked.
    unsafe { unpark_filter(key, look, |_| DEFAULT_UNPARK_TOKEN) };
    count
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

fn all(key: usize, token: usize) -> usize {
    // SAFETY: as above.
    unsafe { unpark_all(key, UnparkToken(token)) }
}

#[test]
fn what_is_not_valid_does_not_park() {
    let keys = Keys([0; 2]);
    let slept = Cell::new(false);
    // SAFETY: as above.
    let result = unsafe {
        park(
            keys.key(),
            || false,
            || slept.set(true),
            |_, _| slept.set(true),
            DEFAULT_PARK_TOKEN,
            None,
        )
    };
    assert_eq!(result, ParkResult::Invalid);
    assert!(!slept.get());
    assert_eq!(waiting(keys.key()), 0);
}

#[test]
fn time_passes() {
    let keys = Keys([0; 2]);
    let told = Cell::new(None);
    let begin = Instant::now();
    // SAFETY: as above.
    let result = unsafe {
        park(
            keys.key(),
            || true,
            || {},
            |key, last| told.set(Some((key, last))),
            DEFAULT_PARK_TOKEN,
            Some(begin + Duration::from_millis(20)),
        )
    };
    assert_eq!(result, ParkResult::TimedOut);
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert_eq!(told.get(), Some((keys.key(), true)));
    assert_eq!(waiting(keys.key()), 0);
}

#[test]
fn who_came_first_is_unparked_first_with_the_token() {
    let keys = Keys([0; 2]);
    let key = keys.key();
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for token in 0..4 {
            let order = &order;
            scope.spawn(move || {
                let result = wait(key, token, None);
                order.lock().unwrap().push((token, result));
            });
            until(|| waiting(key) == token + 1);
        }
        for token in 0..4 {
            let mut told = UnparkResult::default();
            // SAFETY: as above.
            let result = unsafe {
                unpark_one(key, |result| {
                    told = result;
                    UnparkToken(10 + token)
                })
            };
            assert_eq!(result, told);
            assert_eq!(result.unparked_threads, 1);
            assert_eq!(result.have_more_threads, token < 3);
            until(|| order.lock().unwrap().len() == token + 1);
        }
    });
    let unparked = |token| (token, ParkResult::Unparked(UnparkToken(10 + token)));
    assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3].map(unparked));
    // SAFETY: as above.
    let nobody = unsafe { unpark_one(key, |_| DEFAULT_UNPARK_TOKEN) };
    assert_eq!(nobody, UnparkResult::default());
}

#[test]
fn a_filter_chooses() {
    let keys = Keys([0; 2]);
    let key = keys.key();
    let unparked = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for token in 0..5 {
            let unparked = &unparked;
            scope.spawn(move || {
                assert!(wait(key, token, None).is_unparked());
                unparked.lock().unwrap().push(token);
            });
            until(|| waiting(key) == token + 1);
        }
        let odd = |token: ParkToken| match token.0 {
            4 => FilterOp::Stop,
            token if token % 2 == 1 => FilterOp::Unpark,
            _ => FilterOp::Skip,
        };
        // SAFETY: as above.
        let result = unsafe { unpark_filter(key, odd, |_| DEFAULT_UNPARK_TOKEN) };
        assert_eq!(
            (result.unparked_threads, result.have_more_threads),
            (2, true)
        );
        until(|| unparked.lock().unwrap().len() == 2);
        unparked.lock().unwrap().sort_unstable();
        assert_eq!(*unparked.lock().unwrap(), [1, 3]);
        assert_eq!(all(key, 0), 3);
    });
}

#[test]
fn requeued_threads_wait_for_the_other_key() {
    for (op, unparked, requeued, left) in [
        (RequeueOp::Abort, 0, 0, 4),
        (RequeueOp::UnparkOne, 1, 0, 3),
        (RequeueOp::RequeueOne, 0, 1, 3),
        (RequeueOp::UnparkOneRequeueRest, 1, 3, 0),
        (RequeueOp::RequeueAll, 0, 4, 0),
    ] {
        let keys = Keys([0; 2]);
        let (key, other) = (keys.key(), keys.other());
        let told = Cell::new(false);
        thread::scope(|scope| {
            for count in 0..4 {
                scope.spawn(move || assert!(wait(key, 0, None).is_unparked()));
                until(|| waiting(key) == count + 1);
            }
            let callback = |given, _| {
                assert_eq!(given, op);
                told.set(true);
                DEFAULT_UNPARK_TOKEN
            };
            // SAFETY: as above.
            let result = unsafe { unpark_requeue(key, other, || op, callback) };
            assert_eq!(result.unparked_threads, unparked, "{op:?}");
            assert_eq!(result.requeued_threads, requeued, "{op:?}");
            assert_eq!(told.get(), op != RequeueOp::Abort, "{op:?}");
            assert_eq!(result.have_more_threads, left > 0 && told.get(), "{op:?}");
            assert_eq!((all(key, 0), all(other, 0)), (left, requeued), "{op:?}");
        });
    }
}

#[test]
fn time_passes_in_the_other_queue_too() {
    let keys = Keys([0; 2]);
    let (key, other) = (keys.key(), keys.other());
    let told = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while told.load(Ordering::Relaxed) != other {
                let end = Instant::now() + Duration::from_millis(2);
                let tell = |key: usize, last: bool| {
                    assert!(last);
                    told.store(key, Ordering::Relaxed);
                };
                // SAFETY: as above.
                unsafe { park(key, || true, || {}, tell, DEFAULT_PARK_TOKEN, Some(end)) };
            }
        });
        let op = || RequeueOp::RequeueAll;
        while told.load(Ordering::Relaxed) != other {
            // SAFETY: as above.
            unsafe { unpark_requeue(key, other, op, |_, _| DEFAULT_UNPARK_TOKEN) };
            thread::yield_now();
        }
    });
    assert_eq!(waiting(key) + waiting(other), 0);
}

/// Keys that share a bucket, and threads that go by themselves meanwhile.
#[test]
fn each_wake_up_is_for_one_thread() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 200;
    let keys: Vec<u64> = vec![0; 64];
    let keys = &keys;
    let (woken, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let given = thread::scope(|scope| {
        for thread in 0..THREADS {
            let (woken, gone) = (&woken, &gone);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let key = (&raw const keys[(thread + round) % 4 * 16]).addr();
                    let end = Instant::now() + Duration::from_micros(300);
                    if wait(key, 0, Some(end)).is_unparked() {
                        woken.fetch_add(1, Ordering::Relaxed);
                    }
                }
                gone.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut given = 0;
        while gone.load(Ordering::Relaxed) < THREADS {
            for key in (0..4).map(|index| (&raw const keys[index * 16]).addr()) {
                // SAFETY: as above.
                let result = unsafe { unpark_one(key, |_| DEFAULT_UNPARK_TOKEN) };
                given += result.unparked_threads;
            }
            thread::yield_now();
        }
        given
    });
    assert_eq!(given, woken.into_inner());
}

/// One that is woken for the lock of the queues must not forget those who still sleep for it.
#[test]
fn all_who_sleep_for_a_lock_get_it() {
    const THREADS: usize = 4;
    static KEYS: Keys = Keys([0; 2]);
    let (begin, begun) = channel();
    let (end, ended) = channel();
    let held = || {
        for _ in 0..THREADS {
            let (begin, end) = (begin.clone(), end.clone());
            // Not in a scope, which would wait for one that sleeps for ever.
            thread::spawn(move || {
                begin.send(()).unwrap();
                // SAFETY: as above; nobody is unparked.
                unsafe { unpark_one(KEYS.key(), |_| DEFAULT_UNPARK_TOKEN) };
                end.send(()).unwrap();
            });
        }
        assert_eq!(begun.iter().take(THREADS).count(), THREADS);
        // They sleep soon, as long as this has the lock.
        thread::sleep(Duration::from_millis(50));
        false
    };
    // SAFETY: `held` locks nothing, and nor do those that it waits for before they have told it.
    let result = unsafe { park(KEYS.key(), held, || {}, |_, _| {}, DEFAULT_PARK_TOKEN, None) };
    assert_eq!(result, ParkResult::Invalid);
    for got in 0..THREADS {
        let next = ended.recv_timeout(Duration::from_secs(30));
        assert!(next.is_ok(), "only {got} got it");
    }
}

#[test]
fn a_spin_ends() {
    let mut spin = SpinWait::new();
    let rounds = std::iter::from_fn(|| spin.spin().then_some(())).count();
    assert!((1..100).contains(&rounds));
    assert!(!spin.spin());
    spin.reset();
    spin.spin_no_yield();
    assert!(spin.spin());
}

/// Now and then, and not always.
#[test]
fn unlocks_are_fair_now_and_then() {
    let keys = Keys([0; 2]);
    let key = keys.key();
    let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
    thread::scope(|scope| {
        scope.spawn(|| while wait(key, 0, None) != ParkResult::Unparked(UnparkToken(1)) {});
        while seen.iter().any(|count| count.load(Ordering::Relaxed) == 0) {
            // SAFETY: as above.
            let result = unsafe { unpark_one(key, |_| DEFAULT_UNPARK_TOKEN) };
            if result.unparked_threads == 1 {
                seen[usize::from(result.be_fair)].fetch_add(1, Ordering::Relaxed);
            }
        }
        until(|| all(key, 1) == 1);
    });
}
