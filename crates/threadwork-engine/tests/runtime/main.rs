//! Runtimes, as an embedder sees them: a pool of workers for a module's exported
//! functions, and what the host does with a shared memory.
//!
//! Each module is a chapter. Guests are short texts that make one point each, and
//! libraries in Rust and C that are built here (`tests/fixtures`, `guests/library`).
//!
//! `THREADWORK_FULL=1` makes the tests of `flat`, `litmus` and `model` long.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batch;
mod deadlock;
mod execute;
mod flat;
#[path = "../shared/holdings.rs"]
mod holdings;
mod litmus;
mod memory;
mod model;
mod objects;
mod own_memory;
mod primitives;
mod refusals;
mod stop;
mod support;
#[path = "../shared/watch.rs"]
mod watch;
