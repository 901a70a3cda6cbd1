//! A monotonic clock for every target that has one.

use core::time::Duration;

/// The time since some moment in the past, by a clock that is never set back; `None` where
/// the target has no clock.
///
/// It is for measuring time and for deadlines, which are compared within one process. In a
/// browser, threads agree on the time up to the coarseness of `performance.now()`.
///
/// There is no clock on `wasm32-unknown-unknown` without this crate's feature
/// `wasm-bindgen`, and on WASI beyond preview 1 without the feature `std`. It never blocks
/// and costs some ten nanoseconds.
///
/// # Example
///
/// ```
/// # fn main() {
/// let begin = wasm_futex::now();
/// std::thread::sleep(std::time::Duration::from_millis(1));
/// assert!(wasm_futex::now() > begin, "or both are `None`");
/// # }
/// ```
#[must_use]
pub fn now() -> Option<Duration> {
    source::now()
}

cfg_select! {
    all(
        any(target_os = "linux", target_os = "android"),
        target_pointer_width = "64"
    ) => {
        use crate::sys::linux as source;
    }
    all(target_os = "wasi", target_env = "p1") => {
        mod source {
            use core::time::Duration;

            #[link(wasm_import_module = "wasi_snapshot_preview1")]
            unsafe extern "C" {
                fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u16;
            }

            pub(super) fn now() -> Option<Duration> {
                const MONOTONIC: u32 = 1;
                let mut nanoseconds = 0;
                // SAFETY: this is the signature in WASI preview 1. The function writes the
                // time to its last argument, a valid place for it.
                let error = unsafe { clock_time_get(MONOTONIC, 0, &mut nanoseconds) };
                (error == 0).then(|| Duration::from_nanos(nanoseconds))
            }
        }
    }
    all(target_family = "wasm", target_os = "unknown", feature = "wasm-bindgen") => {
        use crate::javascript as source;
    }
    any(
        not(target_family = "wasm"),
        all(feature = "std", not(target_os = "unknown"))
    ) => {
        mod source {
            use core::time::Duration;
            use std::{sync::OnceLock, time::Instant};

            pub(super) fn now() -> Option<Duration> {
                // An `Instant` does not tell its origin, so the first question is ours.
                static ORIGIN: OnceLock<Instant> = OnceLock::new();
                Some(ORIGIN.get_or_init(Instant::now).elapsed())
            }
        }
    }
    _ => {
        mod source {
            use core::time::Duration;

            pub(super) fn now() -> Option<Duration> {
                None
            }
        }
    }
}
