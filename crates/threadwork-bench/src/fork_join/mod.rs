//! The fork_join suite: `join`, `scope`, parallel loops and sorts of `threadwork` against
//! rayon's and chili's, natively and as WebAssembly under Threadwork's engine.
//!
//! What a join costs that nobody takes part in, by the protocol of Spice: the sum of a tree,
//! a join for each node, on one thread, against plain recursion. The same with
//! more threads, for a tree that is done before anybody wakes, and for a large one; from a
//! thread outside of the pool; a tree that nobody knows the shape of. A long loop and
//! a thousand short ones, a matrix product, sorts, a scope with many jobs; and what a pool
//! costs that has nothing to do. A contestant is a rival in a child process of its own, see
//! `workloads/fork-join`. `sequential` is the same program with nobody who helps; chili
//! has nothing but `join`.

use std::thread::available_parallelism;

use crate::case::{Case, Effort, Goal, Suite, Unit};
use crate::engine::hosts::{HOSTS, Host, Target};
use crate::engine::workload::{Program, Work, rivals};

const FORKS: &[&str] = &["sequential", "rayon", "chili", "threadwork"];
const LOOPS: &[&str] = &["sequential", "rayon", "threadwork"];

/// A family of cases: a workload, its rivals, and how often it is done.
struct Family {
    workload: &'static str,
    /// The first one is the baseline.
    rivals: &'static [&'static str],
    threads: Threads,
    operations: u64,
    goal: Bound,
}

/// The threads of the pool.
enum Threads {
    These(&'static [u32]),
    /// The global pool's.
    Cores,
}

/// What is to be reached.
#[derive(Clone, Copy)]
enum Bound {
    /// Hardly ever slower than rayon; and on one thread, natively, at most so many
    /// nanoseconds more than a call.
    Join(Option<f64>),
    /// So much more CPU time, in nanoseconds, than a program without a pool.
    Idle(f64),
}

const fn family(
    workload: &'static str,
    rivals: &'static [&'static str],
    threads: &'static [u32],
    operations: u64,
) -> Family {
    Family {
        workload,
        rivals,
        threads: Threads::These(threads),
        operations,
        goal: Bound::Join(None),
    }
}

impl Family {
    const fn goal(mut self, goal: Bound) -> Self {
        self.goal = goal;
        self
    }

    const fn on_all_cores(mut self) -> Self {
        self.threads = Threads::Cores;
        self
    }
}

const FAMILIES: &[Family] = &[
    // A thousand nodes a thousand times, and ten million once.
    family("small-tree", FORKS, &[1, 2, 4], 1_000_000).goal(Bound::Join(Some(3.0))),
    family("large-tree", FORKS, &[1, 2, 4], 10_000_000).goal(Bound::Join(Some(3.0))),
    family("small-tree-outside", FORKS, &[], 1_000_000).on_all_cores(),
    family("large-tree-outside", FORKS, &[], 10_000_000).on_all_cores(),
    family("unbalanced", FORKS, &[1, 2, 4], 1_000_000),
    family("sum", LOOPS, &[1, 2, 4], 10_000_000),
    family("sum-outside", LOOPS, &[], 10_000_000).on_all_cores(),
    family("short-loops", LOOPS, &[1, 2, 4], 1_000),
    family("short-loops-outside", LOOPS, &[], 1_000).on_all_cores(),
    family("matrix", LOOPS, &[1, 2, 4], 512),
    family("sort-random", LOOPS, &[1, 2, 4], 8_000_000),
    family("sort-sorted", LOOPS, &[2], 8_000_000),
    family("sort-few", LOOPS, &[2], 8_000_000),
    family("sort-stable", LOOPS, &[2], 8_000_000),
    family("scope", LOOPS, &[1, 2, 4], 100_000),
    // A thousandth of a core.
    family("idle", FORKS, &[4], 200).goal(Bound::Idle(200_000.0)),
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
    let threads = match family.threads {
        Threads::These(threads) => threads.to_vec(),
        Threads::Cores => vec![available_parallelism().map_or(1, |cores| cores.get() as u32)],
    };
    let case = |threads: u32| {
        let iterations = effort.operations(family.operations);
        let work = Work::new(Program::ForkJoin, family.workload, threads, iterations);
        let work = match family.goal {
            Bound::Join(_) => work,
            Bound::Idle(_) => work.by_cpu_time(),
        };
        let name = format!("{prefix}-{}/threads={threads}", family.workload);
        let case = rivals(name, Unit::Nanoseconds, host, family.rivals, &work).cpu_time();
        match family.goal {
            Bound::Join(most) => {
                let case = case.goal(Goal::at_most("threadwork", 1.05, "rayon"));
                let alone = threads == 1 && host.target == Target::Native;
                match most.filter(|_| alone) {
                    Some(most) => case.goal(Goal::within("threadwork", most, "sequential")),
                    None => case,
                }
            }
            Bound::Idle(most) => case.goal(Goal::within("threadwork", most, "sequential")),
        }
    };
    threads.into_iter().map(case).collect()
}
