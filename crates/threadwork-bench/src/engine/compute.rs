//! Computing: what the engine must not slow down.

use std::thread::available_parallelism;

use super::hosts::{HOSTS, Host, UNINTERRUPTIBLE};
use super::workload::{Program, Work, relation};
use crate::case::{Case, Effort, Goal};

/// The workloads that compute, and how many of their operations make a sample.
const WORKLOADS: [(&str, u64); 3] = [("pi", 10_000_000), ("sort", 1_000_000), ("queens", 10_000)];

fn works(effort: Effort, threads: u32) -> [(&'static str, Work); 3] {
    WORKLOADS.map(|(workload, operations)| {
        let iterations = effort.operations(operations);
        let work = Work::new(Program::Workload, workload, threads, iterations);
        (workload, work)
    })
}

/// One thread against native code, and what all cores are worth: the time on all
/// cores as a part of the time on one, which is the inverse of the speed-up.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let cores = available_parallelism().map_or(1, |cores| cores.get() as u32);
    let (one, all) = (works(effort, 1), works(effort, cores));
    let alone = one
        .iter()
        .map(|(workload, work)| work.case(format!("{workload}/1-thread")));
    let together = one.iter().zip(&all).map(|((workload, one), (_, all))| {
        relation(format!("{workload}/all-cores-to-1"), one, all).goal(Goal::at_most(
            "threadwork",
            1.03,
            "native",
        ))
    });
    alone.chain(together).collect()
}

/// What it costs that a thread that computes can be stopped.
pub(super) fn interruption(effort: Effort) -> Vec<Case> {
    let threadwork = HOSTS.iter().filter(|host| host.name == "threadwork");
    let hosts: Vec<Host> = [UNINTERRUPTIBLE]
        .iter()
        .chain(threadwork)
        .copied()
        .collect();
    works(effort, 1)
        .iter()
        .map(|(workload, work)| work.case_of(format!("interruption/{workload}"), &hosts))
        .collect()
}
