//! `memory-workload serve`: reads lines `<workload>/<contestant> <threads>
//! <iterations>`, and answers each with a figure. `memory-workload list` names them all.
//!
//! Each module holds the contestants of one thing and what they do. They are called through
//! static dispatch, so that what is compared is what a program would compile to.

use std::process::ExitCode;

use threadwork_workloads::contest::{Contest, Entry};

mod access;
mod batch;
mod counters;
mod local;
mod threads;

const TABLES: &[&[Entry]] = &[
    local::WORKLOADS,
    counters::WORKLOADS,
    access::WORKLOADS,
    batch::WORKLOADS,
    threads::WORKLOADS,
];

fn contest() -> Contest {
    TABLES.iter().copied().flatten().collect()
}

fn main() -> ExitCode {
    contest().main()
}

#[test]
fn contestants_agree_and_nonsense_is_refused() {
    contest().check(4, 400);
}
