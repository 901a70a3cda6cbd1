//! Processes: one shared memory, one module, its threads, its open files, its
//! limits, isolated from the host program and from each other.
//!
//! [`ProcessBuilder`] makes one, [`Process`] is the embedder's handle on it,
//! [`State`] is what its threads share.

mod builder;
mod handle;
mod io;
mod main_thread;
mod state;
mod sync_calls;
pub mod testing;
mod threads;

pub use builder::ProcessBuilder;
pub use handle::{CallError, Killer, Process};
pub(crate) use io::{InputStream, OutputStream, can_block};
pub use io::{Output, Stdin};
pub(crate) use state::{Cause, ProcExit, State};
pub(crate) use sync_calls::define_sync_imports;

use crate::thread::ThreadContext;
use wasmtime::{Caller, Linker};

/// Defines `wasi.thread-spawn`.
pub(crate) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "wasi",
        "thread-spawn",
        |caller: Caller<'_, ThreadContext>, argument: i32| {
            let process = &caller.data().process;
            process.check_running()?;
            Ok(State::spawn_thread(process, argument))
        },
    )?;
    Ok(())
}
