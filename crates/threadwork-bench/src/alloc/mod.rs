//! The alloc suite: `threadwork-alloc` against std's allocator and others, natively and as
//! WebAssembly under Threadwork's engine.
//!
//! The field's workloads: one block at a time; batches; a working set of random sizes
//! (Larson and Krishnan); blocks that other threads free (xmalloc-test); larger blocks; a
//! buffer that grows; threads that begin and end; programs of `Box`, `Vec` and `String`.
//! How well two threads do of what one does, and what the blocks weigh. A contestant is
//! a rival in a child process of its own, see `workloads/alloc`.
//!
//! `mimalloc` is C, and the yardstick natively. `rusty_alloc` is Rust; in threaded
//! WebAssembly it takes all threads for one. `talc` is one heap behind a lock.

use crate::case::{Case, Effort, Goal, Suite, Unit};
use crate::engine::hosts::{HOSTS, Host, Target};
use crate::engine::workload::{Program, Work, rivals};

/// Natively. The first one is the baseline.
const NATIVE: &[&str] = &["std", "talc", "rusty_alloc", "mimalloc", "threadwork"];

/// As WebAssembly.
const WASM: &[&str] = &["std", "talc", "threadwork"];

/// A family of cases: a workload, and how often it is done.
struct Family {
    workload: &'static str,
    threads: &'static [u32],
    operations: u64,
    unit: Unit,
    goal: Option<Bound>,
}

/// What is to be reached.
enum Bound {
    /// So many times the cost of std's allocator.
    OfStd(f64),
    /// A value.
    Under(f64),
}

const fn family(workload: &'static str, threads: &'static [u32], operations: u64) -> Family {
    Family {
        workload,
        threads,
        operations,
        unit: Unit::Nanoseconds,
        goal: Some(Bound::OfStd(1.0)),
    }
}

impl Family {
    const fn ratio(mut self, goal: Option<Bound>) -> Self {
        self.unit = Unit::Ratio;
        self.goal = goal;
        self
    }

    const fn for_information(mut self) -> Self {
        self.goal = None;
        self
    }
}

/// Two threads do 1.9 times the work of one.
const TWICE: Option<Bound> = Some(Bound::Under(1.0 / 1.9));

const THREADS: &[u32] = &[1, 2, 4, 8];

/// What calls an allocator's methods.
const RAW: &[Family] = &[
    family("pairs", THREADS, 5_000_000),
    family("batches", THREADS, 5_000_000),
    family("random", THREADS, 2_000_000),
    family("handed", THREADS, 1_000_000),
    family("blocks", THREADS, 200_000),
    // In place at the end of the heap if nobody else is there; then nothing is copied.
    family("growth", &[1, 2], 500).for_information(),
    family("threads", &[1, 8], 200),
    family("scaling-pairs", &[2], 5_000_000).ratio(TWICE),
    family("scaling-batches", &[2], 5_000_000).ratio(TWICE),
    family("scaling-random", &[2], 2_000_000).ratio(TWICE),
    family("footprint", &[1, 4], 500_000).ratio(None),
];

/// What uses the global allocator.
const COLLECTIONS: &[Family] = &[
    family("trees", &[1, 2, 8], 2_000),
    family("words", &[1, 2, 8], 2_000),
    family("vectors", &[1, 2, 8], 300),
];

/// All cases: natively, then as WebAssembly.
pub fn suite(effort: Effort) -> Suite {
    let hosts = HOSTS.iter().filter_map(|host| match host.name {
        "native" => Some(("native", host)),
        "threadwork" => Some(("wasm", host)),
        _ => None,
    });
    let cases = hosts.flat_map(|(prefix, host)| {
        let raw = RAW.iter().map(|family| (family, false));
        let families = raw.chain(COLLECTIONS.iter().map(|family| (family, true)));
        families.flat_map(move |(family, global)| cases(prefix, *host, family, global, effort))
    });
    Suite {
        cases: cases.collect(),
    }
}

fn cases(prefix: &str, host: Host, family: &Family, global: bool, effort: Effort) -> Vec<Case> {
    let case = |threads: &u32| {
        let name = format!("{prefix}-{}/threads={threads}", family.workload);
        let iterations = effort.operations(family.operations);
        let work = |program| Work::new(program, family.workload, *threads, iterations);
        let case = if global {
            [
                (Program::Alloc, "std"),
                (Program::AllocGlobal, "threadwork"),
            ]
            .into_iter()
            .fold(Case::new(name, family.unit), |case, (program, rival)| {
                let work = work(program).done_by(rival);
                case.contestant(rival, move || work.set_up(&host))
            })
        } else {
            let able = if host.target == Target::Native {
                NATIVE
            } else {
                WASM
            };
            rivals(name, family.unit, host, able, &work(Program::Alloc))
        };
        let case = case.cpu_time();
        match family.goal {
            Some(Bound::OfStd(times)) => case.goal(Goal::at_most("threadwork", times, "std")),
            Some(Bound::Under(value)) => case.goal(Goal::under("threadwork", value)),
            None => case,
        }
    };
    family.threads.iter().map(case).collect()
}
