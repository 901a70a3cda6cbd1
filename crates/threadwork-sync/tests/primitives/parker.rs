//! `Parker`: tokens, layout, bad use, early free.

use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{Parker, System};

use crate::support::{Random, block_on, rounds, together};

const SOON: Duration = Duration::from_millis(20);

fn word(parker: &Parker) -> &AtomicU32 {
    // SAFETY: the parker is one atomic word.
    unsafe { &*(&raw const *parker).cast::<AtomicU32>() }
}

fn value(parker: &Parker) -> u32 {
    word(parker).load(Ordering::SeqCst)
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<Parker>(), align_of::<Parker>()), (4, 4));
    let parker = Parker::new();
    assert_eq!(value(&parker), 0);
    parker.unpark();
    assert_eq!(value(&parker), 1);
    parker.park();
    assert_eq!(value(&parker), 0);
    thread::scope(|scope| {
        scope.spawn(|| parker.park());
        while value(&parker) != 2 {
            thread::yield_now();
        }
        parker.unpark();
    });
    assert_eq!(value(&parker), 0);
}

#[test]
fn zero_bytes_are_a_parker_without_a_token() {
    // SAFETY: documented: zero is without a token.
    let parker: Parker = unsafe { std::mem::zeroed() };
    assert!(!parker.try_park());
    parker.unpark();
    assert!(parker.try_park());
}

#[test]
fn there_is_at_most_one_token() {
    let parker = Parker::new();
    parker.unpark();
    parker.unpark_with(&System);
    parker.park_with(&System);
    assert!(!parker.try_park());
}

#[test]
fn parks_give_up_not_before_their_time() {
    let parker = Parker::new();
    let start = Instant::now();
    assert!(!parker.park_timeout(SOON));
    assert!(start.elapsed() >= SOON);
    assert!(!parker.park_deadline(Instant::now() + SOON));
    assert!(start.elapsed() >= 2 * SOON);
    assert!(!parker.park_timeout(Duration::ZERO));
    assert_eq!(value(&parker), 0);
}

#[test]
fn a_dropped_future_leaves_the_token() {
    let parker = Parker::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut dropped = Box::pin(parker.park_async());
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    parker.unpark();
    drop(dropped);
    assert!(parker.try_park());
    let mut dropped = Box::pin(parker.park_async());
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    drop(dropped);
    assert_eq!(value(&parker), 0);
}

#[test]
#[should_panic(expected = "give each a Parker of its own")]
fn a_second_thread_that_parks_panics() {
    let parker = Parker::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(parker.park_async());
    assert!(first.as_mut().poll(&mut context).is_pending());
    parker.park();
}

/// A second thread took the token before the first had woken.
#[test]
#[should_panic(expected = "give each a Parker of its own")]
fn a_thread_whose_token_is_stolen_panics() {
    let parker = Parker::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(parker.park_async());
    assert!(first.as_mut().poll(&mut context).is_pending());
    parker.unpark();
    parker.park();
    let _ = first.as_mut().poll(&mut context);
}

/// Two threads take turns: each sees what the other did.
#[test]
fn threads_take_turns() {
    let each = rounds(20_000);
    let parkers = [Parker::new(), Parker::new()];
    let count = AtomicU32::new(0);
    parkers[0].unpark();
    together(2, |index| {
        let mut random = Random::new(u64::from(index));
        let (own, other) = (&parkers[index as usize], &parkers[1 - index as usize]);
        for turn in 0..each {
            match random.below(8) {
                0 => block_on(own.park_async()),
                1 => while !own.park_timeout(Duration::from_micros(random.below(50))) {},
                _ => own.park(),
            }
            assert_eq!(count.load(Ordering::Relaxed), 2 * turn + index);
            count.store(2 * turn + index + 1, Ordering::Relaxed);
            other.unpark();
        }
    });
}

/// The parked thread frees the parker while the other may still be in `unpark`.
#[test]
fn it_may_be_freed_at_once() {
    for _ in 0..rounds(5_000) {
        let parker = Box::new(Parker::new());
        let address = (&raw const *parker).expose_provenance();
        let other = thread::spawn(move || {
            let parker = std::ptr::with_exposed_provenance::<Parker>(address);
            // SAFETY: the parked thread frees it only when it has its token.
            unsafe { &*parker }.unpark();
        });
        parker.park();
        drop(parker);
        other.join().unwrap();
    }
}
