//! WebAssembly with threads: the instructions, from the object that the build script
//! wrote.

use core::sync::atomic::{AtomicU32, AtomicU64};
use core::time::Duration;

use crate::WaitResult;

unsafe extern "C" {
    #[link_name = concat!("__wasm_futex_wait32_v", env!("CARGO_PKG_VERSION_MAJOR"), "_", env!("CARGO_PKG_VERSION_MINOR"))]
    fn memory_atomic_wait32(word: *const AtomicU32, expected: u32, nanoseconds: i64) -> u32;
    #[link_name = concat!("__wasm_futex_wait64_v", env!("CARGO_PKG_VERSION_MAJOR"), "_", env!("CARGO_PKG_VERSION_MINOR"))]
    fn memory_atomic_wait64(word: *const AtomicU64, expected: u64, nanoseconds: i64) -> u32;
    // An address is an address: the instruction does not look at what is there.
    #[link_name = concat!("__wasm_futex_notify_v", env!("CARGO_PKG_VERSION_MAJOR"), "_", env!("CARGO_PKG_VERSION_MINOR"))]
    safe fn memory_atomic_notify(word: *const (), count: u32) -> u32;
}

pub(crate) fn wait32(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
    // SAFETY: `word` is a valid, aligned word, which the instruction reads atomically. The
    // build script defines the function with this signature.
    result(unsafe { memory_atomic_wait32(word, expected, nanoseconds(timeout)) })
}

pub(crate) fn wait64(word: &AtomicU64, expected: u64, timeout: Option<Duration>) -> WaitResult {
    // SAFETY: as in `wait32`.
    result(unsafe { memory_atomic_wait64(word, expected, nanoseconds(timeout)) })
}

pub(crate) fn notify32(word: *const AtomicU32, count: u32) -> u32 {
    memory_atomic_notify(word.cast(), count)
}

pub(crate) fn notify64(word: *const AtomicU64, count: u32) -> u32 {
    memory_atomic_notify(word.cast(), count)
}

/// The timeout as the instruction takes it: less than zero is for ever.
fn nanoseconds(timeout: Option<Duration>) -> i64 {
    timeout
        .and_then(|timeout| i64::try_from(timeout.as_nanos()).ok())
        .unwrap_or(-1)
}

fn result(code: u32) -> WaitResult {
    match code {
        0 => WaitResult::Woken,
        1 => WaitResult::NotEqual,
        _ => WaitResult::TimedOut,
    }
}
