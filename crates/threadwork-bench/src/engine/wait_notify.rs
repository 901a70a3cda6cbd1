//! Two threads that wake each other in turn: one pair on free cores, and four pairs
//! on two cores.

use super::workload::{Program, Work};
use crate::case::{Case, Effort, Goal};

/// On a bare futex word, and by `thread::park`. 1,000 round trips for each pair.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let work = |program, workload, pairs: u32| {
        let iterations = effort.operations(1_000 * u64::from(pairs));
        Work::new(program, workload, 2 * pairs, iterations)
    };
    let alone = |program, workload| work(program, workload, 1).case(format!("{workload}/1-pair"));
    let crowded = |program, workload| {
        let work = work(program, workload, 4).on_cores(2);
        work.case(format!("{workload}/4-pairs-on-2-cores"))
    };
    let against =
        |case: Case, goal: fn(&str) -> Goal| case.goal(goal("native")).goal(goal("wasmtime"));
    let better = |rival: &str| Goal::better("threadwork", 10.0, rival);
    let no_slower = |rival: &str| Goal::at_most("threadwork", 1.0, rival);
    vec![
        against(alone(Program::PingPong, "wait-notify"), better),
        against(crowded(Program::PingPong, "wait-notify"), no_slower),
        alone(Program::Workload, "park"),
        crowded(Program::Workload, "park"),
    ]
}
