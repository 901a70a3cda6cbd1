//! Computing: what the engine must not slow down.

use std::thread::available_parallelism;

use super::workload::{Program, case};
use crate::case::{Case, Effort, Goal};

/// Monte Carlo pi, on one thread and on all cores.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let cores = available_parallelism().map_or(1, |cores| cores.get() as u32);
    let pi = |name, threads| {
        case(
            name,
            Program::Workload,
            "pi",
            threads,
            effort.operations(10_000_000),
        )
        .goal(Goal::at_most("threadwork", 1.03, "native"))
    };
    vec![pi("pi/1-thread", 1), pi("pi/all-cores", cores)]
}
