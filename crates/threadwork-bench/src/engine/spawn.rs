//! Starting an empty thread and waiting for its end.

use super::workload::{Program, case};
use crate::case::{Case, Effort, Goal};

/// Threads one after the other.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    vec![
        case(
            "spawn-join",
            Program::Workload,
            "spawn-join",
            1,
            effort.operations(200),
        )
        .goal(Goal::better("threadwork", 10.0, "native")),
    ]
}
