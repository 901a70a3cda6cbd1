//! Waiting and notifying.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use threadwork::sync::WaitResult;
use threadwork_runtime::{MemoryError, SharedMemory};

use crate::support::{rounds, together};

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn a_waiter_is_woken_and_counted() {
    let memory = SharedMemory::new(1, 1).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| memory.wait32(0, 0, Some(Duration::from_secs(60))));
        let mut woken = 0;
        while woken == 0 {
            woken = memory.notify(0, 1).unwrap();
            std::thread::yield_now();
        }
        assert_eq!(woken, 1);
        assert_eq!(waiter.join().unwrap(), Ok(WaitResult::Woken));
    });
}

#[test]
fn another_value_does_not_wait() {
    let memory = SharedMemory::new(1, 1).unwrap();
    memory.store(0, -1_i32).unwrap();
    assert_eq!(memory.wait32(0, 0, None), Ok(WaitResult::NotEqual));
    assert_eq!(memory.wait64(0, -1, None), Ok(WaitResult::NotEqual));
    memory.store(8, 1_i64 << 40).unwrap();
    assert_eq!(memory.wait64(8, 0, None), Ok(WaitResult::NotEqual));
}

#[test]
fn a_timeout_passes() {
    let memory = SharedMemory::new(1, 1).unwrap();
    memory.store(0, -1_i64).unwrap();
    let start = Instant::now();
    assert_eq!(memory.wait32(0, -1, Some(SHORT)), Ok(WaitResult::TimedOut));
    assert_eq!(memory.wait64(0, -1, Some(SHORT)), Ok(WaitResult::TimedOut));
    assert!(start.elapsed() >= 2 * SHORT);
}

#[test]
fn nobody_is_zero() {
    let memory = SharedMemory::new(1, 1).unwrap();
    assert_eq!(memory.notify(0, u32::MAX), Ok(0));
    assert_eq!(memory.notify(4, 0), Ok(0));
}

#[test]
fn offsets_are_checked() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let unaligned = |offset, align| MemoryError::Unaligned { offset, align };
    assert_eq!(memory.wait32(2, 0, None), Err(unaligned(2, 4)));
    assert_eq!(memory.wait64(4, 0, None), Err(unaligned(4, 8)));
    assert_eq!(memory.notify(3, 1), Err(unaligned(3, 4)));
    let end = SharedMemory::PAGE;
    let outside = |len| MemoryError::OutOfBounds {
        offset: end,
        size: end,
        len,
    };
    assert_eq!(memory.wait32(end, 0, None), Err(outside(4)));
    assert_eq!(memory.wait64(end, 0, None), Err(outside(8)));
    assert_eq!(memory.notify(end, 1), Err(outside(4)));
}

/// Longer than it takes to fall asleep on any machine: a hundred thousand times as long.
const NEVER: Duration = Duration::from_secs(5);

/// A notify reaches the waiters of both widths, no more than it may, and says how many.
///
/// The waiters wait again and again, until notifies of each size have found as many as they
/// may wake, again and again: so they have met all four asleep.
#[test]
fn a_count_is_honest_for_both_widths() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let over = AtomicBool::new(false);
    let woken = AtomicU32::new(0);
    let (counted, surprise) = std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|index| {
                let (memory, over, woken) = (&memory, &over, &woken);
                scope.spawn(move || {
                    while !over.load(Ordering::Acquire) {
                        let result = match index % 2 {
                            0 => memory.wait32(8, 0, None),
                            _ => memory.wait64(8, 0, None),
                        };
                        assert_eq!(result, Ok(WaitResult::Woken));
                        woken.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut counted = 0;
        let mut notify = |most| {
            let count = memory.notify(8, most).unwrap();
            counted += count;
            count
        };
        let mut surprise = None;
        'rounds: for round in 0..rounds(100) {
            // The scope's end waits for the waiters: what is wrong is told after it.
            let most = round % 3 + 1;
            let begin = Instant::now();
            loop {
                std::thread::sleep(Duration::from_millis(1));
                match notify(most) {
                    count if count > most => surprise = Some(format!("{count} of {most}")),
                    count if count == most => continue 'rounds,
                    _ if begin.elapsed() < NEVER => continue,
                    _ => surprise = Some(format!("never {most}")),
                }
                break 'rounds;
            }
        }
        over.store(true, Ordering::Release);
        let begin = Instant::now();
        while !waiters
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            notify(u32::MAX);
            if surprise.is_some() && begin.elapsed() > NEVER {
                // Nothing wakes them.
                eprintln!("woken: {surprise:?}");
                std::process::exit(101);
            }
            std::thread::yield_now();
        }
        (counted, surprise)
    });
    assert_eq!(surprise, None);
    assert_eq!(woken.into_inner(), counted);
    assert_eq!(memory.notify(8, 9), Ok(0));
}

/// A turn that two threads hand to each other: a wake-up that is lost hangs.
#[test]
fn no_wakeup_is_lost() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let each = rounds(2_000) as i32;
    together(2, |index| {
        let own = index as i32;
        for _ in 0..each {
            while memory.load::<i32>(0).unwrap() != own {
                memory.wait32(0, 1 - own, None).unwrap();
            }
            memory.store(0, 1 - own).unwrap();
            memory.notify(0, 1).unwrap();
        }
    });
}
