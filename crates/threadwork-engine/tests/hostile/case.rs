//! What a seed stands for: a module, and how it is run.

use crate::numbers::Numbers;
use crate::{random, written};

/// A program that does not end by itself, or does so rarely.
pub(crate) struct Case {
    /// In the text or the binary format.
    pub(crate) module: Vec<u8>,
    pub(crate) door: Door,
    pub(crate) output: Output,
    /// What it is, for the report.
    pub(crate) what: String,
    /// Whether it runs until it is ended, so that an end of its own is a mistake of ours.
    pub(crate) endless: bool,
}

/// Through which door it runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Door {
    /// `_start`, called from outside or after an endless start function.
    Command,
    /// A reactor whose `_initialize` does not end.
    Initialize,
    /// A reactor whose export `go` does not.
    Call,
    /// A runtime with a worker for each of these exports.
    Tasks(Vec<String>),
}

impl Door {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tasks(tasks) => format!("{} tasks", tasks.len()),
            door => format!("{door:?}").to_lowercase(),
        }
    }
}

/// Where its output goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Output {
    Forgotten,
    Kept,
    /// To a pipe that nobody reads.
    Blocked,
    /// To a pipe whose reader is gone.
    Closed,
}

impl Case {
    pub(crate) fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        match numbers.below(3) {
            0 => random::case(numbers),
            _ => written::case(numbers),
        }
    }
}

/// What must be among the programs of the ordinary run, as the report names it.
const EVERYTHING: &[&str] = &[
    "command",
    "initialize",
    "call",
    "1 tasks",
    "16 tasks",
    ", random",
    "threads: 1",
    "threads: 16",
    "shared",
    "64 bit",
    "1 GiB",
    "start function",
    "bare: (loop $l0 (br $l0))",
    "bare: (loop $l0 (loop $l1 (br $l1))",
    // Shapes.
    "loops(1) br;",
    "loops(2) br br;",
    "loops(3)",
    "loops(4)",
    "br_if",
    "br_if-mask",
    "br_table",
    "br-out",
    "loop of values",
    "tail calls(1)",
    "tail calls(4)",
    "tail calls(2) indirect",
    "recursion(1",
    "recursion(3",
    "twice: true",
    "straight line(2000)",
    "wait32",
    "wait64",
    " read",
    "poll stdin",
    "poll an hour",
    // Acts.
    " load",
    " store",
    "rmw",
    "cmpxchg",
    "spin lock",
    "simd",
    "call_indirect",
    "fill(1073733632)",
    " copy",
    " init",
    "data.drop",
    "fill second",
    "table.fill",
    "table.copy",
    "table.init",
    "table.grow",
    " grow(1)",
    "grow(60000)",
    "wait(0)",
    "wait(1000000)",
    " notify",
    "clock",
    "random 100 KiB",
    "yield",
    "write nowhere",
    " write",
    "poll 1us",
    " host ",
    " host work",
    "spawn",
];

/// And all modules are valid, of which the run would see the first that is not.
#[test]
fn the_sample_has_everything() {
    let sample: Vec<_> = (0..300).map(Case::new).collect();
    for (seed, case) in sample.iter().enumerate() {
        let wasm = wat::parse_bytes(&case.module).unwrap();
        let valid = threadwork_rewrite::rewrite(&wasm);
        assert!(valid.is_ok(), "seed {seed}: {valid:?}");
    }
    for word in EVERYTHING {
        // The last shape ends as the others do.
        let count = sample
            .iter()
            .filter(|case| format!("{};", case.what).contains(word))
            .count();
        println!("{word}: {count}");
        assert!(count > 0, "{word}");
    }
}
