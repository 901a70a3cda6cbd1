//! The primitives of std::sync, with more and more threads.

use super::workload::{Program, Work};
use crate::case::{Case, Effort, Goal};

/// A fixed number of operations, whatever the number of threads.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let workloads = [("mutex", 2_000_000), ("barrier", 500), ("condvar", 2_000)];
    let cases = workloads.into_iter().flat_map(|(workload, operations)| {
        [2_u32, 4, 8, 16].map(|threads| {
            let iterations = effort.operations(operations);
            Work::new(Program::Workload, workload, threads, iterations)
                .case(format!("{workload}/threads={threads}"))
                .goal(Goal::at_most("threadwork", 1.0, "native"))
        })
    });
    cases.collect()
}
