//! What a sleeping thread weighs.

use super::workload::memory_case;
use crate::case::{Case, Effort, Goal};

/// Resident memory for each of 1,000 blocked threads.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let threads = match effort {
        Effort::Full => 1_000,
        Effort::Quick => 100,
    };
    vec![memory_case("blocked-thread", threads).goal(Goal::under("threadwork", 20.0 * 1024.0))]
}
