//! What the primitives promise, as tests that run natively, as WebAssembly under
//! the engine, and under Miri. One module for each primitive: behaviour, layout, bad
//! use, properties and stress.
//!
//! As WebAssembly:
//! `CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="threadwork run" cargo test --release -p
//! threadwork-sync --target wasm32-wasip1-threads --test primitives`.

#![cfg(not(loom))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod auto_traits;
mod barrier;
mod channel;
mod condvar;
mod futures;
mod generated;
mod latch;
mod lock_api;
mod lock_order;
mod mutex;
mod once;
mod parker;
mod priority_mutex;
mod rwlock;
mod select;
mod semaphore;
mod timeouts;
mod wait_group;
