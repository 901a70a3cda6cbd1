//! The primitives of std::sync, with more and more threads.

use super::workload::{Program, case};
use crate::case::{Case, Effort};

/// A fixed number of operations, whatever the number of threads.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let workloads = [("mutex", 2_000_000), ("barrier", 500), ("condvar", 2_000)];
    let cases = workloads.into_iter().flat_map(|(workload, operations)| {
        [2_u32, 4, 8, 16].map(|threads| {
            let name = format!("{workload}/threads={threads}");
            case(
                name,
                Program::Workload,
                workload,
                threads,
                effort.operations(operations),
            )
        })
    });
    cases.collect()
}
