//! Starting an empty thread and waiting for its end.

use super::workload::{Program, Work};
use crate::case::{Case, Effort, Goal};

/// Threads one after the other.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let work = Work::new(Program::Workload, "spawn-join", 1, effort.operations(200));
    vec![
        work.case("spawn-join")
            .goal(Goal::better("threadwork", 10.0, "native")),
    ]
}
