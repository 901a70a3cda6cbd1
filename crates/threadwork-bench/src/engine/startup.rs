//! From the start of a process to the first line that it prints.

use super::workload::startup_case;
use crate::case::{Case, Effort, Goal};

const MILLISECOND: f64 = 1e6;

/// The module is compiled already, and lies in the cache.
pub(super) fn cases(_: Effort) -> Vec<Case> {
    vec![startup_case("first-line").goal(Goal::within("threadwork", 10.0 * MILLISECOND, "native"))]
}
