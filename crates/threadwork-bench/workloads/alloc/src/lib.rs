//! `alloc-workload serve`: reads lines `<workload>/<contestant> <threads>
//! <iterations>`, and answers each with a figure. `alloc-workload list` names them all.
//!
//! There are two kinds of workload. Most call a contestant's `GlobalAlloc` methods, in one
//! program for all of them: statically dispatched, but never inlined, as a program calls
//! its global allocator. Those of [`collections`] use `Box`, `Vec` and `String`, and so the
//! global allocator: std's in `alloc-workload`, Threadwork's in `alloc-workload-global`.

use std::process::ExitCode;

use threadwork_workloads::contest::{Contest, entry};

mod collections;
mod footprint;
mod raw;
mod rivals;

/// The program, for its `main`. `global` names its global allocator.
pub fn main(global: &'static str) -> ExitCode {
    footprint::start();
    contest(global).main()
}

fn contest(global: &'static str) -> Contest {
    let mut contest: Contest = rivals::WORKLOADS.iter().copied().flatten().collect();
    for (workload, run) in collections::WORKLOADS {
        contest.push(entry(workload, global, *run));
    }
    contest
}

#[test]
fn contestants_agree_and_nonsense_is_refused() {
    contest("std").check(3, 3_000);
}
