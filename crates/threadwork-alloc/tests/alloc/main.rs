//! What the allocator promises, as tests that run natively, as WebAssembly under the
//! engine, and under Miri. Here it is called by its own methods, and the tests' own
//! memory is std's; `tests/global` has it as the global allocator.
//!
//! `THREADWORK_FULL=1` runs the long versions (natively; WebAssembly does not see it).

#![cfg(not(loom))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod exhaustion;
mod layouts;
mod model;
mod realloc;
mod stats;
mod thread_ends;
mod threads;
