//! Processes: one shared memory, one module, its threads, its open files, its
//! limits, isolated from the host program and from each other.
//!
//! [`ProcessBuilder`] makes one, [`Process`] is the embedder's handle on it,
//! [`State`] is what its threads share.

mod builder;
mod handle;
mod io;
pub(crate) mod main_thread;
mod state;
mod sync_calls;
pub mod testing;
mod threads;

pub use builder::ProcessBuilder;
pub(crate) use builder::{Prepared, Shape};
pub use handle::{CallError, Killer, Process};
pub(crate) use io::{InputStream, OutputStream, can_block};
pub use io::{Output, Stdin};
pub(crate) use state::{Cause, Linked, ProcExit, State};
pub(crate) use sync_calls::define_sync_imports;

use crate::thread::ThreadContext;
use wasmtime::{Caller, Linker};

/// Defines `wasi.thread-spawn` and `threadwork.atomic_batch`.
pub(crate) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> wasmtime::Result<()> {
    crate::shared_memory::add_to_linker(linker)?;
    linker.func_wrap(
        "wasi",
        "thread-spawn",
        |caller: Caller<'_, ThreadContext>, argument: i32| {
            caller.data().check_running()?;
            let ThreadContext { process, thread } = caller.data();
            Ok(process.spawn_thread(thread, argument))
        },
    )?;
    Ok(())
}
