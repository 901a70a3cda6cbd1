//! Files, and what a call of WASI costs at least.

use super::workload::{Program, Work};
use crate::case::{Case, Effort, Goal};

/// The goals are of two kinds: as natively where the system does the work, and twice that where
/// the way to it counts.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let case = |name: &str, threads: u32, operations: u64, most: f64| {
        let work = Work::new(
            Program::Workload,
            name,
            threads,
            effort.operations(operations),
        );
        work.case(format!("{name}/threads={threads}"))
            .goal(Goal::at_most("threadwork", most, "native"))
    };
    vec![
        case("file-read", 1, 4_800, 1.1),
        case("file-read", 4, 4_800, 1.1),
        case("file-read-bytes", 1, 1_000_000, 2.0),
        case("pipe-write", 1, 100_000, 2.0),
        case("file-list", 1, 24_000, 1.5),
        case("file-list-paths", 1, 24_000, 1.5),
        case("file-open", 1, 10_000, 2.0),
        case("file-open", 2, 10_000, 2.0),
        case("file-open", 4, 10_000, 2.0),
        case("clock", 1, 1_000_000, 2.0),
        case("random", 1, 1_600, 2.0),
    ]
}
