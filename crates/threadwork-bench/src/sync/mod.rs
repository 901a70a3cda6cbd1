//! The sync suite: the primitives of `threadwork-sync` against std's and against the
//! best crates', natively and as WebAssembly under Threadwork's engine.
//!
//! The method is the field's: uncontended first; contended over the number of threads
//! and the length of the work inside and outside of the lock; readers against
//! writers; phases; round trips; messages; and the waits themselves: the median, the
//! 99th percentile, the longest, and the share of the luckiest thread over that of the
//! unluckiest. Wall time and CPU time are kept for each.
//!
//! A contestant is a rival in a child process of its own, see `workloads/sync`. Where
//! a crate has no such type, or cannot sleep on the target, it does not compete.

use crate::case::{Case, Effort, Goal, Suite, Unit};
use crate::engine::hosts::{HOSTS, Host, Target};
use crate::engine::workload::{Program, Work, rivals};

/// Whoever has the type, natively. The first one is the baseline.
const LOCKS: &[&str] = &["std", "parking_lot", "usync", "threadwork"];
const LOCKS_AND_MUTEX: &[&str] = &["std", "parking_lot", "usync", "threadwork", "mutex"];
const CONDVARS: &[&str] = &["std", "parking_lot", "threadwork"];
const CHANNELS: &[&str] = &["std", "crossbeam", "threadwork"];
const STD: &[&str] = &["std", "threadwork"];

/// A family of cases: a workload, its rivals, and how often it is done.
struct Family {
    workload: &'static str,
    rivals: &'static [&'static str],
    threads: &'static [u32],
    operations: u64,
    unit: Unit,
    /// What is to be reached: at most so many times the cost of a rival.
    at_most: f64,
    /// Of which rivals.
    against: Against,
}

/// Against whom a goal is.
#[derive(Clone, Copy, PartialEq)]
enum Against {
    Everybody,
    Std,
    /// The figure is for information: a lock whose threads hardly ever hand it over has
    /// the best median wait, and the worst longest one.
    Nobody,
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
        threads,
        operations,
        unit: Unit::Nanoseconds,
        at_most: 1.05,
        against: Against::Everybody,
    }
}

impl Family {
    const fn better_than_std(mut self, times: f64) -> Self {
        self.at_most = 1.0 / times;
        self.against = Against::Std;
        self
    }

    const fn for_information(mut self) -> Self {
        self.against = Against::Nobody;
        self
    }

    const fn shares(mut self) -> Self {
        self.unit = Unit::Ratio;
        self
    }
}

const FAMILIES: &[Family] = &[
    family("mutex-alone", LOCKS, &[1], 2_000_000),
    family("rwlock-read-alone", LOCKS, &[1], 2_000_000),
    family("rwlock-write-alone", LOCKS, &[1], 2_000_000),
    family("semaphore-alone", STD, &[1], 1_000_000),
    family("once", STD, &[1], 10_000_000),
    family("notify-nobody", LOCKS, &[1], 200_000),
    family("mutex-empty", LOCKS, &[2, 8], 500_000),
    family("mutex-short", LOCKS, &[2, 4, 8, 16], 200_000),
    family("mutex-medium", LOCKS, &[2, 4, 8, 16], 100_000),
    family("mutex-long", LOCKS, &[2, 4, 8, 16], 10_000),
    family("mutex-sparse", LOCKS, &[2, 4, 8, 16], 20_000),
    family("mutex-wait-p50", LOCKS, &[8], 50_000).for_information(),
    family("mutex-wait-p99", LOCKS, &[8], 50_000).for_information(),
    family("mutex-wait-longest", LOCKS, &[2, 8, 32], 200_000).better_than_std(10.0),
    family("mutex-share", LOCKS, &[2, 8], 100).shares(),
    family("rwlock-reads-100", LOCKS, &[2, 8], 200_000),
    family("rwlock-reads-99", LOCKS, &[2, 8], 200_000),
    family("rwlock-reads-95", LOCKS_AND_MUTEX, &[2, 8], 200_000),
    family("rwlock-reads-90", LOCKS, &[2, 8], 200_000),
    family("rwlock-reads-50", LOCKS, &[2, 8], 100_000),
    family("rwlock-longest-read", LOCKS, &[4], 2_000),
    family("rwlock-longest-write", LOCKS, &[4], 2_000),
    // Threads that have a core each; more of them are in the next family.
    family("barrier", STD, &[2], 5_000).better_than_std(20.0),
    family("barrier", STD, &[4, 8, 16], 300),
    family("ping-pong", CHANNELS, &[2, 8], 5_000),
    family("condvar", CONDVARS, &[2, 8], 2_000),
    family("semaphore", STD, &[2, 8], 100_000),
    family("channel-one-to-one-1", CHANNELS, &[2], 50_000),
    family("channel-one-to-one-64", CHANNELS, &[2], 200_000),
    family("channel-many-to-one-64", CHANNELS, &[8], 100_000),
    family("channel-many-to-many-1", CHANNELS, &[8], 20_000),
    family("channel-many-to-many-64", CHANNELS, &[8], 100_000),
    family("channel-many-to-many-1024", CHANNELS, &[8], 100_000),
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
    // parking_lot's locks panic where a thread would have to sleep, in WebAssembly
    // that stable Rust built.
    let able: Vec<&str> = family
        .rivals
        .iter()
        .copied()
        .filter(|rival| host.target == Target::Native || *rival != "parking_lot")
        .collect();
    let case = |threads: &u32| {
        let iterations = effort.operations(family.operations);
        let work = Work::new(Program::Sync, family.workload, *threads, iterations);
        let name = format!("{prefix}-{}/threads={threads}", family.workload);
        let case = rivals(name, family.unit, host, &able, &work).cpu_time();
        let others = able.iter().filter(|rival| match family.against {
            Against::Everybody => **rival != "threadwork",
            Against::Std => **rival == "std",
            Against::Nobody => false,
        });
        others.fold(case, |case, rival| {
            case.goal(Goal::at_most("threadwork", family.at_most, *rival))
        })
    };
    family.threads.iter().map(case).collect()
}
