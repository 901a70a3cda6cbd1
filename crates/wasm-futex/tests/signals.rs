//! Signals neither end a wait nor prolong it.
#![cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]

use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{mem, ptr};

use wasm_futex::{WaitResult, notify, notify64, wait32, wait64};

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Lets SIGUSR1 interrupt system calls, which are not made again.
fn install_handler() {
    // SAFETY: a `sigaction` of zeros is valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler only touches an atomic. The old action may be dropped.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut()) };
    assert_eq!(result, 0);
}

/// Sends signals to the thread for some time.
fn disturb<T>(thread: &JoinHandle<T>, time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        // SAFETY: a thread that was not joined has a valid handle.
        unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) };
        thread::sleep(Duration::from_millis(3));
    }
    assert!(SIGNALS.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_signal_changes_no_timeout() {
    install_handler();
    const TIMEOUT: Duration = Duration::from_millis(100);
    let narrow = || wait32(&AtomicU32::new(0), 0, Some(TIMEOUT));
    let wide = || wait64(&AtomicU64::new(0), 0, Some(TIMEOUT));
    for wait in [narrow as fn() -> WaitResult, wide] {
        let waiter = thread::spawn(move || {
            let begin = Instant::now();
            let result = wait();
            (result, begin.elapsed())
        });
        // Longer than the timeout: a wait that began anew would last as long.
        disturb(&waiter, 20 * TIMEOUT);
        let (result, time) = waiter.join().unwrap();
        assert_eq!(result, WaitResult::TimedOut);
        assert!(time >= TIMEOUT, "{time:?}");
        assert!(time < 15 * TIMEOUT, "{time:?}");
    }
}

#[test]
fn a_signal_ends_no_wait() {
    install_handler();
    static NARROW: AtomicU32 = AtomicU32::new(0);
    static WIDE: AtomicU64 = AtomicU64::new(0);
    let narrow = || wait32(&NARROW, 0, None);
    let wide = || wait64(&WIDE, 0, None);
    for wait in [narrow as fn() -> WaitResult, wide] {
        let waiter = thread::spawn(wait);
        disturb(&waiter, Duration::from_millis(50));
        assert!(!waiter.is_finished());
        while notify(&NARROW, 1) + notify64(&WIDE, 1) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(waiter.join().unwrap(), WaitResult::Woken);
    }
}
