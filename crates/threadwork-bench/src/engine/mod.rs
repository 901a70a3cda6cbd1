//! The engine suite: what a thread costs in a runtime for WebAssembly, against the
//! same program as native code.
//!
//! One file for each family of cases. The runtimes are those of [`hosts`]; the
//! programs are in `workloads/`.

use crate::case::{Effort, Suite};

mod compute;
pub mod hosts;
mod memory;
mod spawn;
mod sync;
mod wait_notify;
pub mod workload;

/// All cases, in the order of the table.
pub fn suite(effort: Effort) -> Suite {
    let families = [
        spawn::cases,
        wait_notify::cases,
        sync::cases,
        compute::cases,
        memory::cases,
    ];
    Suite {
        cases: families
            .into_iter()
            .flat_map(|family| family(effort))
            .collect(),
    }
}
