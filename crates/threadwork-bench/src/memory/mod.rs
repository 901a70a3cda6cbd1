//! The memory suite: thread-local storage, atomics on cache lines of their own, the shared
//! memory of `threadwork` and its threads, against std's and the best crate's, natively and
//! as WebAssembly under Threadwork's engine.
//!
//! One access for each call, so that no compiler keeps a value in a register; alone, and in
//! as many threads as share a cache. A contestant is a rival in a child process of its own,
//! see `workloads/memory`.

use crate::case::{Case, Effort, Goal, Suite, Unit};
use crate::engine::hosts::{HOSTS, Host};
use crate::engine::workload::{Program, Work, rivals};

/// A family of cases: a workload, its rivals, and how often it is done.
struct Family {
    workload: &'static str,
    /// The first one is the baseline.
    rivals: &'static [&'static str],
    threads: &'static [u32],
    operations: u64,
    /// What is to be reached: at most so many times the cost of these.
    goals: &'static [(f64, &'static str)],
}

const CONTENDED: &[u32] = &[1, 2, 4, 8, 16];
const BATCH: &[&str] = &["single", "threadwork", "threadwork-run"];

const FAMILIES: &[Family] = &[
    Family {
        workload: "local",
        rivals: &[
            "std",
            "std-lazy",
            "thread_local",
            "threadwork",
            "threadwork-bound",
            "threadwork-slots",
        ],
        threads: &[1, 2, 8],
        operations: 10_000_000,
        goals: &[(1.0, "thread_local"), (1.5, "std-lazy")],
    },
    Family {
        workload: "local-or-atomic",
        rivals: &["atomic", "threadwork", "threadwork-slots"],
        threads: &[2, 4, 8],
        operations: 5_000_000,
        goals: &[(0.1, "atomic")],
    },
    Family {
        workload: "counters",
        rivals: &["packed", "threadwork", "shared"],
        threads: CONTENDED,
        operations: 5_000_000,
        // Half the contention. On one thread there is none.
        goals: &[(1.05, "packed")],
    },
    Family {
        workload: "memory-read",
        rivals: &["raw", "threadwork", "threadwork-grown"],
        threads: &[1],
        operations: 20_000_000,
        goals: &[(2.0, "raw")],
    },
    Family {
        workload: "memory-write",
        rivals: &["raw", "threadwork", "threadwork-grown"],
        threads: &[1],
        operations: 5_000_000,
        goals: &[(1.5, "raw")],
    },
    Family {
        workload: "memory-copy",
        rivals: &["raw", "threadwork", "threadwork-grown"],
        threads: &[1],
        operations: 20_000_000,
        goals: &[(1.0, "raw")],
    },
    Family {
        workload: "atomic-add",
        rivals: &["bare", "raw", "threadwork", "threadwork-grown"],
        threads: &[1],
        operations: 10_000_000,
        goals: &[(1.5, "bare")],
    },
    Family {
        workload: "batch-1",
        rivals: BATCH,
        threads: &[1],
        operations: 1_000_000,
        goals: &[],
    },
    Family {
        workload: "batch-8",
        rivals: BATCH,
        threads: &[1],
        operations: 5_000_000,
        goals: &[],
    },
    Family {
        workload: "batch-64",
        rivals: BATCH,
        threads: &[1],
        operations: 10_000_000,
        goals: &[],
    },
    Family {
        workload: "batch-512",
        rivals: BATCH,
        threads: &[1],
        operations: 10_000_000,
        goals: &[],
    },
    Family {
        workload: "threads-100",
        rivals: &["std", "threadwork"],
        threads: &[1],
        operations: 2_000,
        goals: &[(1.1, "std")],
    },
];

/// All cases: natively, then as WebAssembly.
pub fn suite(effort: Effort) -> Suite {
    let hosts = HOSTS.iter().filter_map(|host| match host.name {
        "native" => Some(("native", host)),
        "threadwork" => Some(("wasm", host)),
        _ => None,
    });
    let cases = hosts.flat_map(|(prefix, host)| {
        let families = FAMILIES.iter();
        families.flat_map(move |family| cases(prefix, *host, family, effort))
    });
    Suite {
        cases: cases.collect(),
    }
}

fn cases(prefix: &str, host: Host, family: &Family, effort: Effort) -> Vec<Case> {
    let case = |threads: &u32| {
        let iterations = effort.operations(family.operations);
        let work = Work::new(Program::Memory, family.workload, *threads, iterations);
        let name = format!("{prefix}-{}/threads={threads}", family.workload);
        let case = rivals(name, Unit::Nanoseconds, host, family.rivals, &work).cpu_time();
        family.goals.iter().fold(case, |case, (times, rival)| {
            case.goal(Goal::at_most("threadwork", *times, *rival))
        })
    };
    family.threads.iter().map(case).collect()
}
