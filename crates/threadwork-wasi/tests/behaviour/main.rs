//! What programs expect of files, streams, polls and sockets, call by call.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod read_only;
mod sockets;
mod streams;
mod support;
