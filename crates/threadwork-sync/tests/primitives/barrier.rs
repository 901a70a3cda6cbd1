//! `Barrier`: phases, leaders, layout, bad use, withdrawal.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{Barrier, System};

use crate::support::{Random, THREADS, block_on, rounds, together};

const SOON: Duration = Duration::from_millis(20);

/// The words, as the module has them.
#[repr(C, align(16))]
struct Words {
    state: AtomicU64,
    gate: AtomicU32,
    others: AtomicU32,
}

/// Phase, arrivals, gate, others.
fn words(barrier: &Barrier) -> (u64, u64, u32, u32) {
    // SAFETY: the same fields in the same order.
    let words = unsafe { &*(&raw const *barrier).cast::<Words>() };
    let state = words.state.load(Ordering::SeqCst);
    (
        state >> 32,
        state & 0xffff_ffff,
        words.gate.load(Ordering::SeqCst),
        words.others.load(Ordering::SeqCst),
    )
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<Barrier>(), align_of::<Barrier>()), (16, 16));
    let barrier = Barrier::new(2);
    assert_eq!(words(&barrier), (0, 0, 0, 1));
    thread::scope(|scope| {
        scope.spawn(|| barrier.wait());
        // It arrives, and after a while it sleeps.
        while words(&barrier) != (0, 1, 1, 1) {
            thread::yield_now();
        }
        assert!(barrier.wait().is_leader());
    });
    assert_eq!(words(&barrier), (1, 0, 2, 1));
}

#[test]
fn zero_bytes_are_a_barrier_of_one() {
    // SAFETY: documented: zero is a barrier of one.
    let barrier: Barrier = unsafe { std::mem::zeroed() };
    assert_eq!(barrier.parties(), 1);
    for _ in 0..3 {
        assert!(barrier.wait().is_leader());
    }
}

#[test]
#[should_panic(expected = "pass the number of threads")]
fn nobody_can_wait_for_zero_threads() {
    let _ = Barrier::new(0);
}

#[test]
fn every_phase_has_one_leader_and_nobody_runs_ahead() {
    for &threads in THREADS {
        let phases = rounds(2_000);
        let barrier = Barrier::new(threads);
        let arrived = AtomicU32::new(0);
        let led = together(threads, |index| {
            let mut random = Random::new(u64::from(index));
            let mut led = 0;
            for phase in 1..=phases {
                arrived.fetch_add(1, Ordering::Relaxed);
                let result = match random.below(16) {
                    0 => block_on(barrier.wait_async()),
                    1 => barrier.wait_timeout(Duration::MAX).unwrap(),
                    2 => barrier.wait_with(&System),
                    _ => barrier.wait(),
                };
                led += u32::from(result.is_leader());
                let now = arrived.load(Ordering::Relaxed);
                assert!((threads * phase..threads * (phase + 1)).contains(&now));
            }
            led
        });
        assert_eq!(led.iter().sum::<u32>(), phases);
    }
}

/// Phase and gate count on past the ends of their bits.
#[test]
fn counts_wrap() {
    let near_the_end = Words {
        state: AtomicU64::new(0xffff_fffe << 32),
        gate: AtomicU32::new(0xffff_fffe << 1),
        others: AtomicU32::new(1),
    };
    // SAFETY: the same fields in the same order.
    let barrier = unsafe { &*(&raw const near_the_end).cast::<Barrier>() };
    together(2, |_| {
        for _ in 0..6 {
            barrier.wait();
        }
    });
    assert_eq!(words(barrier), (4, 0, 8, 1));
}

/// More threads than parties: as many pass as there are whole groups.
#[test]
fn more_threads_than_parties_pass_in_groups() {
    for parties in 1..=3 {
        let groups = rounds(2_000);
        let barrier = Barrier::new(parties);
        let started = AtomicU32::new(0);
        let led = together(6, |_| {
            let mut led = 0;
            while started.fetch_add(1, Ordering::Relaxed) < groups * parties {
                led += u32::from(barrier.wait().is_leader());
            }
            led
        });
        assert_eq!(led.iter().sum::<u32>(), groups);
    }
}

#[test]
fn waits_give_up_not_before_their_time() {
    let barrier = Barrier::new(2);
    let start = Instant::now();
    assert!(barrier.wait_timeout(SOON).is_none());
    assert!(start.elapsed() >= SOON);
    assert!(barrier.wait_deadline(Instant::now() + SOON).is_none());
    assert!(start.elapsed() >= 2 * SOON);
    assert!(barrier.wait_timeout(Duration::ZERO).is_none());
    assert_eq!(words(&barrier).1, 0, "all have withdrawn");
}

#[test]
fn a_dropped_future_withdraws() {
    let barrier = Barrier::new(2);
    let mut context = Context::from_waker(Waker::noop());
    let mut dropped = Box::pin(barrier.wait_async());
    assert_eq!(words(&barrier).1, 0, "a future arrives when it is polled");
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    assert_eq!(words(&barrier).1, 1);
    drop(dropped);
    assert_eq!(words(&barrier).1, 0);
}

/// Some give up all the time; the phases still have as many as they need.
#[test]
fn withdrawals_do_not_disturb_the_phases() {
    for &threads in THREADS {
        let phases = rounds(500);
        let barrier = Barrier::new(threads);
        let led = together(threads, |index| {
            let mut random = Random::new(u64::from(index));
            let mut led = 0;
            for _ in 0..phases {
                let result = loop {
                    let patience = Duration::from_micros(random.below(200));
                    let result = if random.below(2) == 0 {
                        barrier.wait_timeout(patience)
                    } else {
                        Some(barrier.wait())
                    };
                    if let Some(result) = result {
                        break result;
                    }
                };
                led += u32::from(result.is_leader());
            }
            led
        });
        assert_eq!(led.iter().sum::<u32>(), phases);
        assert_eq!(words(&barrier).1, 0);
    }
}

/// Whoever passes may free it, though the leader has not returned.
#[test]
fn it_may_be_freed_at_once() {
    for _ in 0..rounds(2_000) {
        let barrier = Box::into_raw(Box::new(Barrier::new(2))).expose_provenance();
        let wait = move || {
            let barrier = std::ptr::with_exposed_provenance_mut::<Barrier>(barrier);
            // SAFETY: it is freed below, by a thread that has passed.
            let leader = unsafe { &*barrier }.wait().is_leader();
            if !leader {
                // SAFETY: made by `Box::into_raw`; the leader needs it no more.
                drop(unsafe { Box::from_raw(barrier) });
            }
        };
        let other = thread::spawn(wait);
        wait();
        other.join().unwrap();
    }
}
