//! The conformance tests: a rewritten module on this crate's host functions means
//! what the module means.
//!
//! | module | shows |
//! |---|---|
//! | `proposal` | the scripts of the threads proposal, and scripts of our own with threads |
//! | `wait_notify` | what those scripts leave out of waits, notifies and growth |
//! | `litmus` | the memory model: what atomics forbid is never seen |
//! | `differential` | random modules behave the same rewritten and not |
//!
//! `host`, `guest` and `script` are what they run on, `numbers` is where chance comes from.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod differential;
mod guest;
mod host;
mod litmus;
mod numbers;
mod proposal;
mod script;
mod wait_notify;
