//! Linux and Android: the system call `futex`, and the clock it reckons by.
//!
//! Only where pointers have 64 bits: older 32-bit systems take times in one format, newer
//! ones in another, and the queues in this process serve them as well.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use core::{mem, ptr};
use std::io;

use crate::WaitResult;

pub(crate) fn wait32(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
    /// The set of notifies to listen to: all bits, which libc has no name for on Android.
    const ANY_NOTIFY: u32 = u32::MAX;

    // A moment in time, not a length of it: after a signal the call is made again with the
    // same one. One that cannot be expressed never comes.
    let deadline = timeout
        .and_then(|timeout| now()?.checked_add(timeout))
        .and_then(|deadline| {
            Some(libc::timespec {
                tv_sec: deadline.as_secs().try_into().ok()?,
                tv_nsec: deadline.subsec_nanos().into(),
            })
        });
    loop {
        // Spares the system call if the answer is clear. Ordering: the kernel compares again,
        // under the lock of its queue, before it puts us to sleep.
        if word.load(Ordering::Relaxed) != expected {
            return WaitResult::NotEqual;
        }
        // SAFETY: the word and the deadline, which is null for none, are valid for as long as
        // the call lasts. The kernel reads the word atomically.
        let result = unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
                expected,
                deadline.as_ref().map_or(ptr::null(), ptr::from_ref),
                ptr::null::<u32>(),
                ANY_NOTIFY,
            )
        };
        if result == 0 {
            return WaitResult::Woken;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN) => return WaitResult::NotEqual,
            Some(libc::ETIMEDOUT) => return WaitResult::TimedOut,
            // A signal. We are out of the queue, and no notify has counted us.
            Some(libc::EINTR) => {}
            _ => panic!("the system call futex failed to wait: {error}"),
        }
    }
}

pub(crate) fn notify32(word: *const AtomicU32, count: u32) -> u32 {
    // The kernel counts after it has woken: to wake none would wake one.
    if count == 0 {
        return 0;
    }
    // SAFETY: the kernel uses the word's address only to find its waiters.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            i32::try_from(count).unwrap_or(i32::MAX),
        )
    };
    // It fails for an address that cannot be a word's: nobody waits there.
    u32::try_from(woken).unwrap_or(0)
}

/// The time since the machine started.
pub(crate) fn now() -> Option<Duration> {
    // SAFETY: a `timespec` is two integers.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: `time` is a valid place for the time.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    if result != 0 {
        return None;
    }
    Some(Duration::new(
        time.tv_sec.try_into().ok()?,
        time.tv_nsec.try_into().ok()?,
    ))
}
