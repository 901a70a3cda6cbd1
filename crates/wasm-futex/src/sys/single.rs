//! WebAssembly without threads: nobody can change a word while a thread waits, and nobody
//! waits while another notifies.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use crate::WaitResult;

pub(crate) fn wait32(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
    // Ordering: there is one thread.
    wait(word.load(Ordering::Relaxed) == expected, timeout)
}

pub(crate) fn wait64(word: &AtomicU64, expected: u64, timeout: Option<Duration>) -> WaitResult {
    // Ordering: there is one thread.
    wait(word.load(Ordering::Relaxed) == expected, timeout)
}

pub(crate) fn notify32(_word: *const AtomicU32, _count: u32) -> u32 {
    0
}

pub(crate) fn notify64(_word: *const AtomicU64, _count: u32) -> u32 {
    0
}

fn wait(equal: bool, timeout: Option<Duration>) -> WaitResult {
    if !equal {
        return WaitResult::NotEqual;
    }
    // As with threads, a time that does not fit into 63 bits of nanoseconds is for ever.
    match timeout.filter(|timeout| i64::try_from(timeout.as_nanos()).is_ok()) {
        Some(timeout) => {
            sleep(timeout);
            WaitResult::TimedOut
        }
        None => panic!(
            "this wait would never end: the program was built without threads, so nobody can \
             notify it; build it for wasm32-wasip1-threads"
        ),
    }
}

/// Lets the time pass if there is a clock to tell when it is over.
#[cfg(all(feature = "std", not(target_os = "unknown")))]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Lets the time pass if there is a clock to tell when it is over.
#[cfg(not(all(feature = "std", not(target_os = "unknown"))))]
fn sleep(time: Duration) {
    if crate::now().is_some() {
        crate::poll::wait(|| false, Some(time));
    }
}
