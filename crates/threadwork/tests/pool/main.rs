//! What the pool promises, as tests that run natively, as WebAssembly under the
//! engine, and under Miri. One module for each chapter of the promise.
//!
//! As WebAssembly:
//! `CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="threadwork run" cargo test --release -p
//! threadwork --target wasm32-wasip1-threads --test pool`. There a panic ends the program,
//! so the chapter on panics is native; `last_words` is about that end.
//!
//! Stresses are sampled; `THREADWORK_FULL=1` runs them whole.

#![cfg(not(loom))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[cfg(panic = "unwind")]
mod boundaries;
mod dismissed;
mod end;
mod execute;
mod handles;
mod install;
#[cfg(not(any(miri, target_family = "wasm")))]
mod last_words;
#[cfg(panic = "unwind")]
mod panics;
mod priorities;
mod resources;
mod stress;
mod waits;
mod workers;
