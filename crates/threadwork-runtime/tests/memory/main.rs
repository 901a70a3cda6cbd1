//! What the shared memory promises, as tests that run natively, as WebAssembly under the
//! engine, and under Miri.
//!
//! As WebAssembly:
//! `CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="threadwork run" cargo test --release -p
//! threadwork-runtime --target wasm32-wasip1-threads --test memory`.
//!
//! Some tests use one word with accesses of several widths, one after another. Miri's
//! emulation of weak memory gives up on them, so that they are ignored there, unless one
//! asks for them: `MIRIFLAGS=-Zmiri-disable-weak-memory-emulation cargo miri test -p
//! threadwork-runtime --test memory -- --include-ignored`.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod access;
mod atomics;
mod batch;
mod cache_aligned;
mod growth;
mod litmus;
mod model;
mod objects;
mod waits;
