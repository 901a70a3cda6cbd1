//! What the example guests have in common: two options and one line of report.
//!
//! ```text
//! pi --threads 4 --size 100000000
//! ...
//! result: 78541123 seconds: 0.214 threads: 4
//! ```
//!
//! An example's `result` depends on `--size` alone: never on the number of
//! threads, on their timing, or on the platform.

use std::collections::HashMap;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::process;
use std::str::FromStr;
use std::time::Duration;

/// The command line of an example.
pub struct Options {
    /// How many threads do the work (`--threads`, default 1).
    pub threads: usize,
    /// How much work there is (`--size`), in the example's own unit.
    pub size: usize,
    others: HashMap<String, String>,
}

impl Options {
    /// Reads the command line: `--threads N`, `--size S`, and for each name in
    /// `others` an option with a text value.
    ///
    /// Prints what is wrong and exits with code 2 if it cannot be understood.
    pub fn from_args(default_size: usize, others: &[&str]) -> Self {
        let mut given = HashMap::new();
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            if !["--threads", "--size"].contains(&name.as_str()) && !others.contains(&name.as_str())
            {
                refuse(format!("unknown option {name}; try --threads N --size S"));
            }
            let Some(value) = args.next() else {
                refuse(format!("{name} needs a value"));
            };
            given.insert(name, value);
        }
        let mut number = |name, default| match given.remove(name) {
            Some(text) => NonZeroUsize::from_str(&text).map_or_else(
                |_| refuse(format!("{name} needs a whole number above 0, not {text}")),
                NonZeroUsize::get,
            ),
            None => default,
        };
        Self {
            threads: number("--threads", 1),
            size: number("--size", default_size),
            others: given,
        }
    }

    /// The value of one of the example's own options.
    pub fn get<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.others.get(name).map_or(default, String::as_str)
    }

    /// Prints the machine-readable last line.
    pub fn report(&self, result: impl Display, parallel_part: Duration) {
        let (seconds, threads) = (parallel_part.as_secs_f64(), self.threads);
        println!("result: {result} seconds: {seconds:.6} threads: {threads}");
    }
}

fn refuse(message: String) -> ! {
    eprintln!("error: {message}");
    process::exit(2)
}

/// A SplitMix64 generator: one multiply-and-shift chain for each number, and
/// any two seeds give unrelated sequences, so that every block of work can have
/// a generator of its own.
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The generator of block number `block`.
    pub fn for_block(block: usize) -> Self {
        Self(mix(block as u64 + 1))
    }

    /// The next number, uniform over all of `u64`.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
}

/// The finalizer of SplitMix64: every input bit changes every output bit.
#[inline]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
