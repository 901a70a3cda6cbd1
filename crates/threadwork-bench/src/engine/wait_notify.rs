//! Two threads that wake each other in turn: one pair, and four pairs at once.

use super::workload::{Program, case};
use crate::case::{Case, Effort};

/// On a bare futex word, and by `thread::park`. 1,000 round trips for each pair.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let programs = [
        ("wait-notify", Program::PingPong),
        ("park", Program::Workload),
    ];
    let cases = programs.into_iter().flat_map(|(workload, program)| {
        [1_u32, 4].map(|pairs| {
            let name = format!(
                "{workload}/{pairs}-pair{}",
                if pairs == 1 { "" } else { "s" }
            );
            case(
                name,
                program,
                workload,
                2 * pairs,
                effort.operations(1_000 * u64::from(pairs)),
            )
        })
    });
    cases.collect()
}
