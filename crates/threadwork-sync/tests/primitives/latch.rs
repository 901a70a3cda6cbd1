//! `Latch`: behaviour, layout, early free.

use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{Latch, System};

use crate::support::{THREADS, block_on, rounds, together};

const SOON: Duration = Duration::from_millis(20);

fn word(latch: &Latch) -> u32 {
    // SAFETY: the latch is one atomic word.
    unsafe { &*(&raw const *latch).cast::<AtomicU32>() }.load(Ordering::SeqCst)
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<Latch>(), align_of::<Latch>()), (4, 4));
    let latch = Latch::new();
    assert_eq!(word(&latch), 0);
    thread::scope(|scope| {
        scope.spawn(|| latch.wait());
        while word(&latch) != 1 {
            thread::yield_now();
        }
        latch.open();
    });
    assert_eq!(word(&latch), 2);
}

#[test]
fn zero_bytes_are_a_closed_latch() {
    // SAFETY: documented: zero is closed.
    let latch: Latch = unsafe { std::mem::zeroed() };
    assert!(!latch.is_open());
    latch.open();
    assert!(latch.is_open());
}

#[test]
fn it_stays_open() {
    let latch = Latch::new();
    latch.open();
    latch.open();
    latch.wait();
    latch.wait_with(&System);
    assert!(latch.wait_timeout(Duration::ZERO));
    assert!(latch.wait_deadline(Instant::now()));
    block_on(latch.wait_async());
}

#[test]
fn waits_give_up_not_before_their_time() {
    let latch = Latch::new();
    let start = Instant::now();
    assert!(!latch.wait_timeout(SOON));
    assert!(start.elapsed() >= SOON);
    assert!(!latch.wait_deadline(Instant::now() + SOON));
    assert!(start.elapsed() >= 2 * SOON);
    assert!(!latch.wait_timeout(Duration::ZERO));
}

#[test]
fn a_future_may_be_dropped_while_it_waits() {
    let latch = Latch::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut dropped = Box::pin(latch.wait_async());
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    drop(dropped);
    latch.open_with(&System);
    block_on(latch.wait_async());
}

#[test]
fn threads_and_futures_see_what_was_done() {
    for &threads in THREADS {
        for _ in 0..rounds(200) {
            let latch = Latch::new();
            let value = AtomicU32::new(0);
            together(threads, |index| {
                match index % 4 {
                    0 if index == 0 => {
                        value.store(1, Ordering::Relaxed);
                        latch.open();
                    }
                    1 => block_on(latch.wait_async()),
                    2 => assert!(latch.wait_timeout(Duration::MAX)),
                    _ => latch.wait(),
                }
                assert_eq!(value.load(Ordering::Relaxed), 1);
            });
        }
    }
}

/// The waiter frees the latch while the opener may still be in `open` (rayon #739).
#[test]
fn it_may_be_freed_at_once() {
    for _ in 0..rounds(5_000) {
        let latch = Box::new(Latch::new());
        let address = (&raw const *latch).expose_provenance();
        let opener = thread::spawn(move || {
            let latch = std::ptr::with_exposed_provenance::<Latch>(address);
            // SAFETY: the waiter frees it only when it has been opened.
            unsafe { &*latch }.open();
        });
        latch.wait();
        drop(latch);
        opener.join().unwrap();
    }
}
