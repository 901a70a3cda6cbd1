//! Every program can be ended, whatever it does: hostile modules, each ended at a random
//! moment, and what that took.
//!
//! 300 seeds, or 10,000 with `THREADWORK_FULL=1`. Each seed is a module: endless programs
//! put together from all that a guest can do (`written`), or a module of `wasm-smith`
//! whose code is made endless (`random`). Each is started three times, through one of the
//! engine's doors, and killed, dropped, cancelled or timed out (`ending`). It must be gone
//! within a minute, must not have ended before, and must leave nothing behind. How long it
//! took is printed, and no condition: `stopped 900: p50 .. p99 .. max ..`.
//!
//! It is done for each way to stop threads that compute: by a signal, and by polls.
//!
//! All seeds run in a child process, so that a program that cannot be ended, and a host that
//! panics, is a line with its seed in the report and not the end of the test (`child`,
//! `report`). In the environment:
//!
//! | variable | means |
//! |---|---|
//! | `HOSTILE_SEED=17` | only this one |
//! | `HOSTILE_SEEDS=500..600` | only these |
//! | `HOSTILE_PATIENCE=5` | seconds after which a program counts as hanging, 60 by default |
//! | `HOSTILE_FAILURES=100` | failures after which the test gives up, 5 by default |

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
mod child;
mod ending;
#[allow(dead_code, reason = "shared with other test programs")]
#[path = "../shared/holdings.rs"]
mod holdings;
#[path = "../../src/conformance/numbers.rs"]
mod numbers;
mod random;
mod report;
#[allow(dead_code, reason = "shared with other test programs")]
#[path = "../shared/watch.rs"]
mod watch;
mod written;

use threadwork_engine::{Engine, Stopping};

/// The engine of a way to stop threads that compute.
fn engine(mode: &str) -> Engine {
    let builder = match mode {
        "signal" => Engine::builder().stopping(Stopping::Signal),
        "poll" => Engine::builder().stopping(Stopping::Poll),
        other => panic!("no such mode: {other}"),
    };
    builder.build().unwrap()
}

#[test]
fn every_module_ends_by_a_signal() {
    report::all_end("signal");
}

#[test]
fn every_module_ends_by_polls() {
    report::all_end("poll");
}
