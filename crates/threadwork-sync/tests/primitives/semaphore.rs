//! `Semaphore`: behaviour, layout, bad use, limits, and that big requests are served.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_sync::{LOSSES, Resumed, Semaphore, SemaphoreWaiter, Step, System, Waiter};

use crate::support::{Random, THREADS, block_on, rounds, together};

const SOON: Duration = Duration::from_millis(20);

fn words(semaphore: &Semaphore) -> [u32; 2] {
    // SAFETY: the semaphore is two atomic words.
    let words = unsafe { &*(&raw const *semaphore).cast::<[AtomicU32; 2]>() };
    [0, 1].map(|index: usize| words[index].load(Ordering::SeqCst))
}

fn wait_for(semaphore: &Semaphore, expected: [u32; 2]) {
    while words(semaphore) != expected {
        thread::yield_now();
    }
}

#[test]
fn layout_is_frozen() {
    assert_eq!((size_of::<Semaphore>(), align_of::<Semaphore>()), (8, 4));
    let semaphore = Semaphore::new(3);
    assert_eq!(words(&semaphore), [12, 0]);
    semaphore.acquire_many(2).forget();
    assert_eq!(words(&semaphore), [4, 0]);
    thread::scope(|scope| {
        scope.spawn(|| semaphore.acquire_many(2));
        wait_for(&semaphore, [1, 1]);
        scope.spawn(|| semaphore.acquire_many(2));
        wait_for(&semaphore, [1, 5]);
        semaphore.release(1);
    });
    assert_eq!(semaphore.available(), 2);
    assert_eq!(words(&semaphore)[1], 0);
}

#[test]
fn zero_bytes_have_no_permits() {
    // SAFETY: documented: zero is without permits.
    let semaphore: Semaphore = unsafe { std::mem::zeroed() };
    assert!(semaphore.try_acquire().is_none());
    semaphore.release(1);
    assert!(semaphore.try_acquire().is_some());
}

#[test]
fn permits_are_given_back_or_forgotten() {
    let semaphore = Semaphore::new(5);
    let two = semaphore.acquire_many(2);
    assert_eq!((two.permits(), semaphore.available()), (2, 3));
    assert!(semaphore.try_acquire_many(4).is_none());
    let three = semaphore.try_acquire_many(3).unwrap();
    assert!(semaphore.try_acquire().is_none());
    assert_eq!(semaphore.acquire_many(0).permits(), 0);
    three.forget();
    drop(two);
    assert_eq!(semaphore.available(), 2);
    semaphore.acquire_with(2, &System);
    semaphore.release_with(4, &System);
    assert_eq!(semaphore.available(), 4);
}

#[test]
#[should_panic(expected = "start it with fewer")]
fn a_semaphore_with_too_many_permits_panics() {
    let _ = Semaphore::new(Semaphore::MAX_PERMITS + 1);
}

#[test]
#[should_panic(expected = "release only what was acquired")]
fn too_many_permits_panic() {
    Semaphore::new(Semaphore::MAX_PERMITS).release(1);
}

#[test]
#[should_panic(expected = "acquire at most Semaphore::MAX_PERMITS")]
fn a_request_that_nobody_can_serve_panics() {
    let semaphore = Semaphore::new(1);
    let _permit = semaphore.acquire_many(Semaphore::MAX_PERMITS + 1);
}

#[test]
#[cfg_attr(not(panic = "unwind"), ignore = "needs unwinding")]
fn bad_use_changes_nothing() {
    let semaphore = Semaphore::new(1);
    assert!(semaphore.try_acquire_many(u32::MAX).is_none());
    for permits in [Semaphore::MAX_PERMITS, u32::MAX] {
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.release(permits))).is_err());
    }
    assert_eq!(words(&semaphore), [4, 0]);
}

#[test]
fn waits_give_up_not_before_their_time() {
    let semaphore = Semaphore::new(1);
    let start = Instant::now();
    assert!(semaphore.acquire_many_timeout(2, SOON).is_none());
    assert!(start.elapsed() >= SOON);
    assert!(
        semaphore
            .acquire_many_deadline(2, Instant::now() + SOON)
            .is_none()
    );
    assert!(start.elapsed() >= 2 * SOON);
    assert!(semaphore.acquire_many_timeout(2, Duration::ZERO).is_none());
    assert_eq!(semaphore.available(), 1, "what was collected is back");
    assert_eq!(words(&semaphore)[1], 0, "nobody collects");
}

#[test]
fn a_dropped_future_gives_back_what_it_collected() {
    let semaphore = Semaphore::new(2);
    let mut context = Context::from_waker(Waker::noop());
    let mut collector = Box::pin(semaphore.acquire_many_async(3));
    assert!(collector.as_mut().poll(&mut context).is_pending());
    let mut queued = Box::pin(semaphore.acquire_many_async(2));
    assert!(queued.as_mut().poll(&mut context).is_pending());
    assert_eq!(semaphore.available(), 0, "two are collected");
    drop(collector);
    assert_eq!(semaphore.available(), 2);
    assert_eq!(block_on(queued).permits(), 2);
    assert_eq!(semaphore.available(), 2);
}

/// Until it sleeps, or is done.
fn settle(waiter: &mut SemaphoreWaiter<'_, System>, mut resumed: Resumed) {
    while let Step::Watch(..) = waiter.step(resumed) {
        resumed = Resumed::Watched;
    }
}

/// Others that want several take a turn that is free, but not for ever.
#[test]
fn the_turn_is_lost_a_few_times_and_no_more() {
    let semaphore = Semaphore::new(1);
    let collect = || {
        let mut waiter = semaphore.waiter(2, &System);
        settle(&mut waiter, Resumed::Started);
        waiter
    };
    let mut hog = collect();
    let mut patient = collect();
    let mut lost = 0;
    loop {
        assert!(hog.cancel(false).is_none());
        hog = collect();
        if semaphore.available() == 1 {
            break;
        }
        lost += 1;
        assert!(lost < 1_000, "it is passed for ever");
        settle(&mut patient, Resumed::Woken);
    }
    assert!((1..=LOSSES + 1).contains(&lost), "{lost} times");
    settle(&mut patient, Resumed::Woken);
    assert_eq!(semaphore.available(), 0, "it has its turn");
    assert!(hog.cancel(false).is_none() && patient.cancel(false).is_none());
    assert_eq!((semaphore.available(), words(&semaphore)[1]), (1, 0));
    drop(semaphore.acquire());
}

/// One that hurries and gives up is in nobody's way.
#[test]
fn a_hurry_ends_with_its_waiter() {
    let semaphore = Semaphore::new(1);
    let mut hog = semaphore.waiter(2, &System);
    settle(&mut hog, Resumed::Started);
    let mut patient = semaphore.waiter(2, &System);
    settle(&mut patient, Resumed::Started);
    (0..=LOSSES).for_each(|_| settle(&mut patient, Resumed::Woken));
    assert_eq!(words(&semaphore)[1], 7);
    assert!(patient.cancel(false).is_none());
    assert_eq!(words(&semaphore)[1], 1);
    assert!(hog.cancel(false).is_none());
}

#[test]
fn an_owned_permit_keeps_its_semaphore() {
    let semaphore = Arc::new(Semaphore::new(2));
    let permit = semaphore.acquire_owned();
    assert_eq!((permit.permits(), semaphore.available()), (1, 1));
    assert!(Arc::ptr_eq(permit.semaphore(), &semaphore));
    let other = block_on(Arc::clone(&semaphore).acquire_owned_async());
    assert!(semaphore.try_acquire_owned().is_none());
    thread::spawn(move || drop(other)).join().unwrap();
    assert_eq!(semaphore.available(), 1);
    let weak = Arc::downgrade(&semaphore);
    drop(semaphore);
    assert_eq!(weak.upgrade().unwrap().available(), 1);
    drop(permit);
    assert!(weak.upgrade().is_none());
}

/// There are never more inside than permits, and in the end all permits are back.
#[test]
fn the_limit_holds() {
    for &threads in THREADS {
        let (permits, each) = (3, rounds(2_000));
        let semaphore = Semaphore::new(permits);
        let inside = AtomicU32::new(0);
        together(threads, |index| {
            let mut random = Random::new(u64::from(index));
            for _ in 0..each {
                let wanted = 1 + random.below(u64::from(permits)) as u32;
                let patience = Duration::from_micros(random.below(50));
                let permit = match random.below(4) {
                    0 => Some(block_on(semaphore.acquire_many_async(wanted))),
                    1 => semaphore.acquire_many_timeout(wanted, patience),
                    _ => Some(semaphore.acquire_many(wanted)),
                };
                if permit.is_some() {
                    let before = inside.fetch_add(wanted, Ordering::Relaxed);
                    assert!(before + wanted <= permits, "too many at once");
                    inside.fetch_sub(wanted, Ordering::Relaxed);
                }
            }
        });
        assert_eq!(semaphore.available(), permits);
        assert_eq!(words(&semaphore)[1], 0);
    }
}

/// One release, many waiters: each gets its own.
#[test]
fn one_release_serves_many() {
    for &threads in THREADS {
        let semaphore = Semaphore::new(0);
        together(threads, |index| {
            if index == 0 {
                semaphore.release(threads - 1);
            } else {
                semaphore.acquire().forget();
            }
        });
        assert_eq!(semaphore.available(), 0);
    }
}

/// A request for all permits comes through a stream of small ones that never leaves
/// all free at once.
#[test]
fn a_big_request_is_not_starved() {
    let semaphore = Semaphore::new(4);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut held = semaphore.acquire();
                while !done.load(Ordering::Relaxed) {
                    // It has a permit at nearly all times.
                    drop(held);
                    held = semaphore.acquire();
                    thread::yield_now();
                }
            });
        }
        for _ in 0..rounds(50) {
            assert_eq!(semaphore.acquire_many(4).permits(), 4);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(semaphore.available(), 4);
}
