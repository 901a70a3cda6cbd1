//! The host function `wasi.thread-spawn`.
//!
//! The new thread runs on a pooled instance that is idle (its worker may still be
//! spinning: then the hand-off is one store), or on one that the spawner makes for it.
//!
//! Invariant: once a spawn has returned an id, the thread has all that it needs to run.
//! What cannot be had is an error of the spawn, which a program can cope with.

use super::pooled_instance::{self, PooledInstance};
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

/// Makes an instance for the thread, and gives it to a worker; `None` if one of them cannot
/// be had.
fn start(process: &Arc<State>, thread: Arc<ThreadState>, argument: i32) -> Option<()> {
    let id = thread.id;
    process.acquire_store();
    let started = PooledInstance::new(process, &thread).and_then(|instance| {
        let state = Arc::clone(process);
        let run = move |worker: &Arc<Worker>| {
            pooled_instance::serve(&state, worker, instance, thread, argument);
            state.release_store();
        };
        Ok(process.machine().workers().run(run)?)
    });
    if started.is_err() {
        process.threads().take_back(id);
        // The spawner itself is alive and awake, and has a store.
        process.lot().leave(|| false);
        process.release_store();
    }
    started.ok()
}
