//! The calls of each target, chosen at compile time: `wait32`, `wait64`, `notify32`,
//! `notify64`.
//!
//! The words of a notify are pointers, which may dangle: a notify never reads them.

/// Whether anybody but the calling thread can change a word or notify.
pub(crate) const THREADS: bool = cfg!(any(not(target_family = "wasm"), wasm_futex_threads));

cfg_select! {
    all(target_family = "wasm", wasm_futex_threads) => {
        mod wasm;
        pub(crate) use wasm::{notify32, notify64, wait32, wait64};
    }
    target_family = "wasm" => {
        mod single;
        pub(crate) use single::{notify32, notify64, wait32, wait64};
    }
    all(any(target_os = "linux", target_os = "android"), target_pointer_width = "64") => {
        pub(crate) mod linux;
        #[cfg_attr(not(test), allow(dead_code, reason = "the kernel waits for 32-bit words"))]
        mod queue;
        pub(crate) use linux::{notify32, wait32};
        pub(crate) use queue::{notify64, wait64};
    }
    _ => {
        mod queue;
        pub(crate) use queue::{notify32, notify64, wait32, wait64};
    }
}
