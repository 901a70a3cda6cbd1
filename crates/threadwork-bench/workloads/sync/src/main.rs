//! `sync-workload serve`: reads lines `<workload>/<contestant> <threads>
//! <iterations>`, and answers each with a figure. `sync-workload list` names them all.
//!
//! Each module holds the contestants of one kind of primitive, behind a trait that is
//! no more than what the workloads need, and the workloads. They are called through
//! static dispatch, so that what is compared is what a program would compile to.

use std::process::ExitCode;

use threadwork_workloads::contest::{Contest, Entry};

mod barrier;
mod cell;
mod channel;
mod mutex;
mod rwlock;
mod signals;
mod waits;

const TABLES: &[&[Entry]] = &[
    mutex::WORKLOADS,
    rwlock::WORKLOADS,
    barrier::BARRIER_WORKLOADS,
    barrier::PARKER_WORKLOADS,
    signals::WORKLOADS,
    channel::WORKLOADS,
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
