//! Small, ordinary programs (see `src/bin`) that the tests of a host run.
//!
//! Each exits with 0 and prints `ok <name>` as its last line if everything was
//! right, and panics otherwise. The few that are about how a program ends say
//! in their own documentation what they do instead.
//!
//! This library holds what more than one of them needs.

#[cfg(target_family = "wasm")]
pub mod wasi;

use std::fmt::Display;
use std::io::{self, Write};
use std::str::FromStr;

/// Prints a line and flushes it at once: a program that is about to be ended,
/// or to sleep for ever, must have been heard before.
pub fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").expect("stdout takes a line");
    out.flush().expect("stdout takes a flush");
}

/// The command-line argument at `index` (1 is the first), or `default`.
pub fn arg_or<T: FromStr>(index: usize, default: T) -> T {
    match std::env::args().nth(index) {
        Some(text) => {
            text.parse().unwrap_or_else(|_| panic!("argument {index} cannot be {text:?}"))
        }
        None => default,
    }
}

/// A number that looks random and depends on `x` alone (SplitMix64's finalizer).
pub fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
