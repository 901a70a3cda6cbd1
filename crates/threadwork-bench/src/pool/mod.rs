//! The pool suite: `threadwork`'s thread pool against the best crates', natively and as
//! WebAssembly under Threadwork's engine.
//!
//! A round trip from a thread outside to a warm worker and back; tasks that do next to
//! nothing, one of a thousand; the same from four threads at once; tasks that make tasks;
//! and a pool that has nothing to do, whose CPU time should be none. A contestant is a
//! rival in a child process of its own, see `workloads/pool`. `std` is a thread for each
//! task.

use crate::case::{Case, Effort, Goal, Suite, Unit};
use crate::engine::hosts::{HOSTS, Host};
use crate::engine::workload::{Program, Work, rivals};

const POOLS: &[&str] = &["threadpool", "rusty_pool", "rayon", "threadwork"];

/// A family of cases: a workload, its rivals, and how often it is done.
struct Family {
    workload: &'static str,
    /// The first one is the baseline.
    rivals: &'static [&'static str],
    /// The workers of the pool.
    threads: &'static [u32],
    operations: u64,
    /// What is to be reached: at most so many times the cost of these.
    goals: &'static [(f64, &'static str)],
    /// And at most so much.
    most: Option<f64>,
}

const FAMILIES: &[Family] = &[
    Family {
        workload: "pool-round-trip",
        rivals: &["std", "threadpool", "rusty_pool", "rayon", "threadwork"],
        threads: &[1, 2],
        operations: 10_000,
        goals: &[(1.0, "rayon"), (1.0, "threadpool"), (0.1, "std")],
        // Two microseconds there, and as much back.
        most: Some(4_000.0),
    },
    Family {
        workload: "pool-tasks",
        rivals: POOLS,
        threads: &[1, 2],
        operations: 200_000,
        goals: &[(1.05, "rayon")],
        most: None,
    },
    Family {
        workload: "pool-burst",
        rivals: POOLS,
        threads: &[2],
        operations: 200_000,
        goals: &[(1.05, "rayon")],
        most: None,
    },
    Family {
        workload: "pool-tree",
        rivals: POOLS,
        threads: &[2],
        operations: 200_000,
        goals: &[],
        most: None,
    },
    Family {
        workload: "pool-idle",
        rivals: POOLS,
        threads: &[4],
        operations: 200,
        goals: &[],
        most: None,
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
        let work = Work::new(Program::Pool, family.workload, *threads, iterations);
        let name = format!("{prefix}-{}/workers={threads}", family.workload);
        let case = rivals(name, Unit::Nanoseconds, host, family.rivals, &work).cpu_time();
        let case = family.goals.iter().fold(case, |case, (times, rival)| {
            case.goal(Goal::at_most("threadwork", *times, *rival))
        });
        match family.most {
            Some(most) => case.goal(Goal::under("threadwork", most)),
            None => case,
        }
    };
    family.threads.iter().map(case).collect()
}
