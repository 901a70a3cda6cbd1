//! Processes, as an embedder sees them: the rules that they keep, how they end, what
//! bounds them, what they can reach, and that they leave nothing behind.
//!
//! Each module is a chapter. Guests are those of the repository's folder `guests`,
//! built here with `cargo` when the first test needs one, and short texts that make
//! one point each (`support::plot`).
//!
//! `THREADWORK_FULL=1` makes the tests of `flat` as long as the acceptance asks for.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backtrace;
mod bad_input;
mod blocking;
mod cache;
mod compile_process;
mod deadlock;
mod deep;
mod descriptors;
mod ending;
mod exits;
mod flat;
#[path = "../shared/holdings.rs"]
mod holdings;
mod host_functions;
mod host_memory;
mod limits;
mod machine_code;
mod operating;
mod precompiled;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod profile;
mod reactor;
mod rules;
mod sandbox;
mod sockets;
mod stack;
mod stopping;
mod streams;
mod support;
mod survive;
mod totals;
mod unmodified;
mod wasi;
#[path = "../shared/watch.rs"]
mod watch;
