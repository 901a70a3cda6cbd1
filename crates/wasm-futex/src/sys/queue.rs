//! Queues of sleeping threads in this process, over `parking_lot_core`: for words that the
//! operating system cannot wait for, or whose waiters it does not count.
//!
//! Invariant: a thread is parked under the address of its word, with a token that only
//! this module knows. So a notify wakes nobody who parked for another reason, even if its
//! address is not, or no longer, that of a futex word.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::time::Instant;

use parking_lot_core::{DEFAULT_UNPARK_TOKEN, FilterOp, ParkResult, ParkToken};

use crate::WaitResult;

pub(crate) fn wait32(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
    // Ordering: as in `wait64`.
    let equal = || word.load(Ordering::Relaxed) == expected;
    wait(word.as_ptr().addr(), Width::Bits32, equal, timeout)
}

pub(crate) fn wait64(word: &AtomicU64, expected: u64, timeout: Option<Duration>) -> WaitResult {
    // Ordering: the queue's lock is the edge. If the notifier took it before us, this load
    // sees what it had stored; if not, it finds us in the queue.
    let equal = || word.load(Ordering::Relaxed) == expected;
    wait(word.as_ptr().addr(), Width::Bits64, equal, timeout)
}

pub(crate) fn notify32(word: *const AtomicU32, count: u32) -> u32 {
    notify(word.addr(), Width::Bits32, count)
}

pub(crate) fn notify64(word: *const AtomicU64, count: u32) -> u32 {
    notify(word.addr(), Width::Bits64, count)
}

/// Which waiters of an address a call is about.
#[derive(Clone, Copy)]
enum Width {
    Bits32,
    Bits64,
}

impl Width {
    /// Tells our waiters, and their widths, from everybody else who parks: nobody else has
    /// these addresses to park with.
    fn token(self) -> ParkToken {
        static ADDRESSES: [u8; 2] = [32, 64];
        ParkToken((&raw const ADDRESSES[self as usize]).addr())
    }
}

/// Sleeps until notified, unless `equal` says no. `equal` is called while the queue is
/// locked and must not panic.
fn wait(
    address: usize,
    width: Width,
    equal: impl FnOnce() -> bool,
    timeout: Option<Duration>,
) -> WaitResult {
    // A deadline that the clock cannot express never comes.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    // SAFETY: the address is that of the caller's word, and the token keeps us apart from
    // others who may have used it. The closures neither unwind nor park nor unpark.
    let result = unsafe {
        parking_lot_core::park(address, equal, || {}, |_, _| {}, width.token(), deadline)
    };
    match result {
        ParkResult::Unparked(_) => WaitResult::Woken,
        ParkResult::Invalid => WaitResult::NotEqual,
        ParkResult::TimedOut => WaitResult::TimedOut,
    }
}

/// Wakes up to `count` waiters of the address and width, and returns how many.
fn notify(address: usize, width: Width, count: u32) -> u32 {
    let token = width.token();
    let mut woken = 0;
    let choose = |waiter| {
        if woken == count {
            FilterOp::Stop
        } else if waiter == token {
            woken += 1;
            FilterOp::Unpark
        } else {
            FilterOp::Skip
        }
    };
    // SAFETY: only waiters with our token are woken, and they expect it. The closures
    // neither unwind nor park nor unpark.
    unsafe { parking_lot_core::unpark_filter(address, choose, |_| DEFAULT_UNPARK_TOKEN) };
    woken
}

/// What `tests/futex.rs` cannot reach where the kernel waits for 32-bit words.
#[cfg(test)]
mod tests {
    use std::thread;
    use std::vec::Vec;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(2);

    /// Notifies until somebody is woken.
    fn wake_one(notify: impl Fn() -> u32) {
        while notify() == 0 {
            thread::sleep(MOMENT);
        }
    }

    #[test]
    fn a_narrow_word_is_compared_timed_and_woken() {
        let word = AtomicU32::new(5);
        assert_eq!(wait32(&word, 4, None), WaitResult::NotEqual);
        assert_eq!(wait32(&word, 5, Some(MOMENT)), WaitResult::TimedOut);
        assert_eq!(notify32(&word, u32::MAX), 0);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait32(&word, 5, None));
            wake_one(|| notify32(&word, 1));
            assert_eq!(waiter.join().unwrap(), WaitResult::Woken);
        });
    }

    #[test]
    fn the_widths_of_an_address_have_separate_queues() {
        let word = AtomicU64::new(0);
        let narrow = word.as_ptr() as *const AtomicU32;
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait64(&word, 0, None));
            thread::sleep(100 * MOMENT);
            assert_eq!(notify32(narrow, u32::MAX), 0);
            wake_one(|| notify64(&word, 1));
            assert_eq!(waiter.join().unwrap(), WaitResult::Woken);
        });
    }

    #[test]
    fn no_notify_wakes_somebody_who_parked_for_another_reason() {
        let word = AtomicU32::new(0);
        let address = word.as_ptr().addr();
        let park = || {
            let token = parking_lot_core::DEFAULT_PARK_TOKEN;
            // SAFETY: the address is our word's. The closures do nothing.
            unsafe { parking_lot_core::park(address, || true, || {}, |_, _| {}, token, None) }
        };
        thread::scope(|scope| {
            let stranger = scope.spawn(park);
            let waiters: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| wait32(&word, 0, None)))
                .collect();
            let mut woken = 0;
            while woken < 2 {
                woken += notify32(&word, u32::MAX);
                thread::sleep(MOMENT);
            }
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), WaitResult::Woken);
            }
            assert_eq!(notify32(&word, u32::MAX), 0);
            assert!(!stranger.is_finished());
            // SAFETY: the only thread that is parked there is the one above.
            wake_one(|| unsafe { parking_lot_core::unpark_all(address, DEFAULT_UNPARK_TOKEN) } as u32);
            assert_ne!(stranger.join().unwrap(), ParkResult::TimedOut);
        });
    }
}
