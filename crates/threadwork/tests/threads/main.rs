//! What threads and their locals promise, as tests that run natively, as
//! WebAssembly under the engine, and under Miri.
//!
//! As WebAssembly:
//! `CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="threadwork run" cargo test --release -p
//! threadwork --target wasm32-wasip1-threads --test threads`.

#![cfg(not(loom))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod drop_in;
mod thread;
mod thread_bound;
mod thread_local;
