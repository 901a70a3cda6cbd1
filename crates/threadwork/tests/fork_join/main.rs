//! What fork-join promises, as tests that run natively, as WebAssembly under the engine,
//! and under Miri. One module for each chapter of the promise.
//!
//! As WebAssembly:
//! `CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="threadwork run" cargo test --release -p
//! threadwork --target wasm32-wasip1-threads --test fork_join`. There a panic ends the
//! program, so the tests of panics are native.
//!
//! Stresses are sampled; `THREADWORK_FULL=1` runs them whole.

#![cfg(not(loom))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod generated;
mod handles;
mod join;
#[cfg(panic = "unwind")]
mod panics;
mod par;
mod scope;
#[cfg(all(target_os = "linux", not(miri)))]
mod sleep;
mod sort;
mod stress;
