//! The host function `wasi.thread-spawn`.
//!
//! The new thread runs on a pooled instance that is idle (its worker may still be
//! spinning: then the hand-off is one store), or a worker makes one for it.

use super::pooled_instance;
use super::state::{State, ThreadContext};
use super::threads::Refused;
use crate::limits::Limit;
use crate::machine::Worker;
use crate::thread::ThreadState;
use std::sync::Arc;
use wasmtime::{Caller, Linker};

/// `EAGAIN` of WASI, the error of a spawn that cannot be done now.
const SPAWN_FAILED: i32 = -6;

/// Defines `wasi.thread-spawn`.
pub(super) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "wasi",
        "thread-spawn",
        |caller: Caller<'_, ThreadContext>, argument: i32| {
            caller.data().check_running()?;
            let ThreadContext {
                process, thread, ..
            } = caller.data();
            Ok(spawn(process, thread, argument))
        },
    )?;
    Ok(())
}

/// The new thread's id, or a negative error.
fn spawn(process: &Arc<State>, spawner: &ThreadState, argument: i32) -> i32 {
    try_spawn(process, spawner, argument).unwrap_or_else(|| {
        process.threads().count_failure();
        SPAWN_FAILED
    })
}

fn try_spawn(process: &Arc<State>, spawner: &ThreadState, argument: i32) -> Option<i32> {
    let most = process.limits().threads();
    let (thread, instance) = match process.threads().admit(most, process.lot(), spawner) {
        Ok(admitted) => admitted,
        Err(Refused::Limit(most)) => {
            spawner.meet_limit(Limit::Threads(most));
            return None;
        }
        Err(Refused::Closed) => return None,
    };
    let id = thread.id;
    match instance {
        Some(instance) => instance.run(thread, argument),
        None => start(process, thread, argument)?,
    }
    spawner.granted(|limit| matches!(limit, Limit::Threads(_)));
    // Ids are below 2^29.
    Some(id.cast_signed())
}

/// Has a worker make an instance for the thread; `None` if the system has no thread left.
fn start(process: &Arc<State>, thread: Arc<ThreadState>, argument: i32) -> Option<()> {
    let id = thread.id;
    process.acquire_store();
    let state = Arc::clone(process);
    let run = move |worker: &Arc<Worker>| {
        pooled_instance::serve(&state, worker, thread, argument);
        state.release_store();
    };
    if process.machine().workers().run(run).is_err() {
        process.threads().take_back(id);
        // The spawner itself is alive and awake, and has a store.
        process.lot().leave(|| false);
        process.release_store();
        return None;
    }
    Some(())
}
