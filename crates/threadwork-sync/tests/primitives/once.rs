//! `Once`, `OnceLock`, `LazyLock`: behaviour, layout, failures, recursion, races.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{LazyLock, Once, OnceLock, Resumed, Step, System, Waiter, block};

use crate::support::{Random, THREADS, block_on, rounds, together};

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

fn word(once: &Once) -> u32 {
    let word: *const Once = once;
    // SAFETY: a once is one atomic word.
    unsafe { &*word.cast::<AtomicU32>() }.load(Ordering::SeqCst)
}

/// The message of the panic that `body` ends in.
fn panics(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).unwrap_err();
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap()
}

/// Begins to wait, and gives up when it would sleep.
fn queue(once: &Once) {
    let mut waiter = once.completion();
    assert!(matches!(waiter.step(Resumed::Started), Step::Watch(..)));
    assert!(matches!(waiter.step(Resumed::Watched), Step::Sleep(..)));
    assert!(waiter.cancel(false).is_none());
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<Once>(), align_of::<Once>()), (4, 4));
    assert_eq!(
        (size_of::<OnceLock<u32>>(), align_of::<OnceLock<u32>>()),
        (8, 4)
    );
    assert_eq!(size_of::<OnceLock<u64>>(), 16);
    let cell = OnceLock::from(0x0102_0304_u32);
    let words: *const OnceLock<u32> = &raw const cell;
    // SAFETY: the word, then the data, and nobody writes either.
    assert_eq!(unsafe { *words.cast::<[u32; 2]>() }, [2, 0x0102_0304]);

    let once = Once::new();
    assert_eq!(word(&once), 0);
    let running = block(&System, once.begin(&System), None).unwrap().unwrap();
    assert_eq!(word(&once), 1);
    queue(&once);
    assert_eq!(word(&once), 1 + 4, "somebody may sleep");
    drop(running);
    assert_eq!(word(&once), 0);
    queue(&once);
    assert_eq!(word(&once), 4, "also while nobody runs");
    once.call_once(|| assert_eq!(word(&once), 1 + 4));
    assert_eq!(word(&once), 2);
    once.wait();
    assert_eq!(word(&once), 2);
}

#[test]
fn zero_bytes_are_an_empty_cell() {
    // SAFETY: documented.
    let cell: OnceLock<Box<u32>> = unsafe { std::mem::zeroed() };
    assert_eq!(cell.get(), None);
    assert_eq!(**cell.get_or_init(|| Box::new(1)), 1);
    // SAFETY: documented.
    let once: Once = unsafe { std::mem::zeroed() };
    assert!(!once.is_completed());
}

#[test]
fn the_first_value_stays() {
    let cell = OnceLock::new();
    assert_eq!(cell.get(), None);
    assert_eq!(format!("{cell:?}"), "OnceLock(<empty>)");
    assert_eq!(cell.set(1), Ok(()));
    assert_eq!(cell.set(2), Err(2));
    assert_eq!(cell.try_insert(3), Err((&1, 3)));
    assert_eq!(cell.get_or_init(|| 4), &1);
    assert_eq!(cell.get_or_try_init(|| Err::<i32, ()>(())), Ok(&1));
    assert_eq!(
        (cell.wait(), cell.wait_timeout(Duration::ZERO)),
        (&1, Some(&1))
    );
    assert_eq!(format!("{cell:?}"), "OnceLock(1)");
    assert_eq!(cell.clone(), cell);
    assert_ne!(cell, OnceLock::new());
    assert_eq!(cell.into_inner(), Some(1));
}

#[test]
fn an_owner_changes_and_empties_it() {
    let mut cell = OnceLock::from("a".to_string());
    cell.get_mut().unwrap().push('b');
    assert_eq!(cell.take().as_deref(), Some("ab"));
    assert_eq!(cell.get_mut(), None);
    assert_eq!(cell.take(), None);
    assert_eq!(cell.get_or_init(|| "c".to_string()), "c");
    let empty = OnceLock::<String>::default();
    assert_eq!(empty.into_inner(), None);
}

#[test]
fn what_is_inside_is_dropped_once() {
    let value = Arc::new(());
    let cell = OnceLock::from(value.clone());
    assert_eq!(Arc::strong_count(&value), 2);
    drop(cell);
    let mut cell = OnceLock::from(value.clone());
    drop(cell.take());
    drop(cell);
    drop(OnceLock::from(value.clone()).into_inner());
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn an_error_leaves_it_empty() {
    let cell = OnceLock::new();
    assert_eq!(cell.get_or_try_init(|| Err::<u32, _>("no")), Err("no"));
    assert_eq!(cell.get(), None);
    assert_eq!(cell.get_or_try_init(|| Ok::<_, ()>(1)), Ok(&1));
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn a_panic_is_no_poison_but_for_the_lazy_one() {
    let once = Once::new();
    assert_eq!(panics(|| once.call_once(|| panic!("first"))), "first");
    assert!(!once.is_completed());
    once.call_once(|| {});
    assert!(once.is_completed());

    let cell = OnceLock::<String>::new();
    panics(|| drop(cell.get_or_init(|| panic!("first")).clone()));
    assert_eq!(cell.get_or_init(String::new), "");

    let lazy: LazyLock<u32> = LazyLock::new(|| panic!("first"));
    assert_eq!(panics(|| drop(LazyLock::force(&lazy).to_string())), "first");
    let message = panics(|| drop(LazyLock::force(&lazy).to_string()));
    assert!(message.contains("use a OnceLock"), "{message}");
    assert_eq!(LazyLock::get(&lazy), None);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "panics abort there")]
fn waiting_for_oneself_is_refused() {
    let once = Once::new();
    let message = panics(|| once.call_once(|| once.call_once(|| {})));
    assert!(message.contains("waits for itself"), "{message}");
    let message = panics(|| once.call_once(|| once.wait()));
    assert!(message.contains("waits for itself"), "{message}");

    let outer = OnceLock::new();
    panics(|| {
        drop(
            outer
                .get_or_init(|| outer.get_or_init(String::new).clone())
                .clone(),
        )
    });
    let other = Once::new();
    once.call_once(|| other.call_once(|| {}));
    assert!(once.is_completed() && other.is_completed());
}

#[test]
fn a_lazy_value_is_made_at_first_use() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static LAZY: LazyLock<Vec<u32>> = LazyLock::new(|| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        vec![1, 2, 3]
    });
    assert_eq!(LazyLock::get(&LAZY), None);
    assert_eq!(format!("{:?}", &LAZY), "LazyLock(<uninitialized>)");
    assert_eq!(CALLS.load(Ordering::Relaxed), 0);
    assert_eq!(together(4, |_| LAZY.iter().sum::<u32>()), [6; 4]);
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    assert_eq!(format!("{:?}", &LAZY), "LazyLock([1, 2, 3])");
    let value = Arc::new(());
    let unused = LazyLock::new({
        let value = value.clone();
        move || value
    });
    drop(unused);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn waits_give_up_not_before_their_time() {
    let cell = OnceLock::<u32>::new();
    let start = Instant::now();
    assert_eq!(cell.wait_timeout(SOON), None);
    assert!(start.elapsed() >= SOON);
    assert_eq!(cell.wait_deadline(Instant::now() + SOON), None);
    assert!(start.elapsed() >= 2 * SOON);
}

/// Before anybody runs, through a run that fails, to one that ends well.
#[test]
fn all_kinds_of_waiters_are_told() {
    let cell = OnceLock::new();
    thread::scope(|scope| {
        let waiting = [
            scope.spawn(|| *cell.wait()),
            scope.spawn(|| *cell.wait_timeout(LONG).unwrap()),
            scope.spawn(|| *cell.wait_deadline(Instant::now() + LONG).unwrap()),
            scope.spawn(|| *block_on(cell.wait_async())),
        ];
        thread::sleep(SOON);
        assert_eq!(cell.get_or_try_init(|| Err(())), Err(()));
        thread::sleep(SOON);
        cell.set(7).unwrap();
        for waiter in waiting {
            assert_eq!(waiter.join().unwrap(), 7);
        }
    });
}

#[test]
fn who_comes_during_a_run_gets_its_value() {
    let cell = OnceLock::new();
    let running = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            cell.get_or_init(|| {
                running.store(true, Ordering::SeqCst);
                thread::sleep(SOON);
                1
            });
        });
        while !running.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        assert_eq!(cell.get(), None);
        scope.spawn(|| assert_eq!(cell.set(2), Err(2)));
        scope.spawn(|| assert_eq!(block_on(cell.get_or_init_async(|| 3)), &1));
        assert_eq!(cell.get_or_init(|| 4), &1);
    });
}

#[test]
fn futures_run_it_too() {
    let cell = OnceLock::new();
    assert_eq!(block_on(cell.get_or_init_async(|| 1)), &1);
    assert_eq!(block_on(cell.get_or_init_async(|| 2)), &1);
    assert_eq!(block_on(cell.wait_async()), &1);
    let once = Once::new();
    let mut calls = 0;
    block_on(once.call_once_async(|| calls += 1));
    block_on(once.call_once_async(|| unreachable!()));
    block_on(once.wait_async());
    assert!(once.wait_deadline(Instant::now()));
    assert_eq!(calls, 1);
}

/// Whoever waits may free the object at once: the run that ended does not touch it again.
#[test]
fn it_may_be_gone_when_the_waiters_are_woken() {
    for _ in 0..rounds(2000) {
        let once = Box::into_raw(Box::new(Once::new())).expose_provenance();
        let runner = thread::spawn(move || {
            let once: *const Once = std::ptr::with_exposed_provenance(once);
            // SAFETY: it is freed only after this has run.
            unsafe { &*once }.call_once(|| {});
        });
        let once: *mut Once = std::ptr::with_exposed_provenance_mut(once);
        // SAFETY: only this thread frees it.
        unsafe { &*once }.wait();
        // SAFETY: it comes from a box, and is not used any more.
        drop(unsafe { Box::from_raw(once) });
        runner.join().unwrap();
    }
}

#[test]
fn exactly_one_of_many_wins() {
    for &threads in THREADS {
        for _ in 0..rounds(200) {
            let cell = OnceLock::new();
            let calls = AtomicU32::new(0);
            let seen = together(threads, |index| {
                **cell.get_or_init(|| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    Box::new(index)
                })
            });
            assert_eq!(calls.load(Ordering::Relaxed), 1);
            assert!(seen.iter().all(|index| *index == seen[0]));
        }
    }
}

/// Runs that fail at random: all get a value, of one that did not.
#[test]
fn failures_at_random_leave_one_success() {
    for &threads in THREADS {
        for round in 0..rounds(100) {
            let cell = OnceLock::new();
            let successes = Mutex::new(Vec::new());
            together(threads, |index| {
                let mut random = Random::new(u64::from(round * 64 + index));
                loop {
                    let outcome = cell.get_or_try_init(|| {
                        if random.below(3) > 0 {
                            return Err(());
                        }
                        successes.lock().unwrap().push(index);
                        Ok(index)
                    });
                    if let Ok(value) = outcome {
                        break assert_eq!(successes.lock().unwrap()[..], [*value]);
                    }
                    let _may_be_there = cell.wait_timeout(Duration::ZERO);
                }
            });
        }
    }
}
