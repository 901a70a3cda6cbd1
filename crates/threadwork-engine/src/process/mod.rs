//! Processes: one shared memory, one module, its threads, its open files, its
//! limits, isolated from the host program and from each other.
//!
//! [`State`] is what the threads of a process share, and [`Program`] what it runs, which
//! this module knows nothing else about.
//!
//! | module | holds |
//! |---|---|
//! | `ending` | the first cause, the stores that are left, the exit status |
//! | `threads` | the threads, and the pooled instances that wait for more |
//! | `limits` | what the process may use, and its clock |
//! | `record` | [`Record`], these three, which outlives the process |
//! | `state` | [`State`], all of these, and the data of its stores |
//! | `context` | that data as WASI, Wasmtime and embedders see it |
//! | `pooled_instance` | a store and an instance that run one thread after another |
//! | `spawn`, `sync_calls`, `batch_calls` | host functions: threads, waits and notifies, many atomic operations |

mod batch_calls;
mod context;
mod ending;
mod limits;
mod pooled_instance;
mod record;
mod spawn;
mod state;
mod sync_calls;
mod threads;

pub(crate) use context::ELEMENT;
pub(crate) use ending::Cause;
pub(crate) use limits::check_limits;
pub(crate) use pooled_instance::{PooledInstance, catch_panic};
pub(crate) use record::Record;
pub use state::ThreadContext;
pub(crate) use state::{Linked, Parts, Program, State};
pub(crate) use sync_calls::define_sync_imports;
#[cfg(test)]
pub(crate) use sync_calls::{Find, define_sync_import};

use wasmtime::Linker;

/// Defines `wasi.thread-spawn` and `threadwork.atomic_batch`.
pub(crate) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> wasmtime::Result<()> {
    batch_calls::add_to_linker(linker)?;
    spawn::add_to_linker(linker)
}
