//! `fork-join-workload serve`: reads lines `<workload>/<contestant> <threads>
//! <iterations>`, and answers each with a figure. `fork-join-workload list` names them all.
//!
//! The work is written once, over what the contestants have in common, and called through
//! static dispatch, so that what is compared is what a program would compile to. Each keeps
//! its pool from one line to the next, and the clock runs inside of the pool: a warm one is
//! measured, without the way into it. `sequential` is the same work with nobody who helps.

use std::process::ExitCode;

use threadwork_workloads::contest::Contest;

mod contestants;
mod loops;
mod trees;

fn contest() -> Contest {
    let trees = trees::WORKLOADS.as_flattened().iter();
    trees.chain(loops::WORKLOADS.as_flattened()).collect()
}

fn main() -> ExitCode {
    contest().main()
}

#[test]
fn contestants_agree_and_nonsense_is_refused() {
    contest().check(2, 50);
}
