//! The engine suite: what a thread costs in a runtime for WebAssembly, against the
//! same program as native code.
//!
//! One file for each family of cases. The runtimes are those of [`hosts`]; the
//! programs are in `workloads/`. Three families need no child process: `kill` and `batch` call
//! the engine itself, and `parking` its parking lot.

use crate::case::{Effort, Suite};

mod batch;
mod compute;
mod files;
pub mod hosts;
mod kill;
mod memory;
mod parking;
mod place;
mod raw_wasmtime;
mod spawn;
mod startup;
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
        compute::interruption,
        files::cases,
        memory::cases,
        kill::cases,
        startup::cases,
        parking::cases,
        batch::cases,
    ];
    Suite {
        cases: families
            .into_iter()
            .flat_map(|family| family(effort))
            .collect(),
    }
}
