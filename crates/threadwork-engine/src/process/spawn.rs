//! The host function `wasi.thread-spawn`.
//!
//! The new thread runs on a pooled instance that is idle (its worker may still be
//! spinning: then the hand-off is one store), or becomes so in a moment, or on one that the
//! spawner makes for it.
//!
//! Invariant: once a spawn has returned an id, the thread has all that it needs to run.
//! What cannot be had is an error of the spawn, which a program can cope with.

use super::pooled_instance::{self, PooledInstance};
use super::state::{State, ThreadContext};
use super::threads::{InstanceSlot, LINGER, Refused};
use crate::events;
use crate::limits::Limit;
use crate::machine::Worker;
use crate::thread::ThreadState;
use std::sync::Arc;
use std::time::Instant;
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
            process.refuse(spawner, Limit::Threads(most));
            return None;
        }
        Err(Refused::Closed) => return None,
    };
    let id = thread.id;
    if let (Some(track), Some(child)) = (&spawner.track, &thread.track) {
        track.spawned(child);
    }
    match instance {
        Some(instance) => instance.run(thread, argument),
        None => start(process, spawner, thread, argument)?,
    }
    spawner.granted(|limit| matches!(limit, Limit::Threads(_)));
    events::spawned(process.id(), id);
    // Ids are below 2^29.
    Some(id.cast_signed())
}

/// Makes an instance for the thread, and gives it to a worker; `None` if one of them cannot
/// be had.
fn start(
    process: &Arc<State>,
    spawner: &ThreadState,
    thread: Arc<ThreadState>,
    argument: i32,
) -> Option<()> {
    let id = thread.id;
    process.acquire_store();
    let started = match instance(process, spawner, &thread) {
        Ok(Found::Idle(slot)) => {
            // It has a store.
            process.release_store();
            slot.run(thread, argument);
            return Some(());
        }
        Ok(Found::New(instance)) => {
            let state = Arc::clone(process);
            let run = move |worker: &Arc<Worker>| {
                pooled_instance::serve(&state, worker, instance, thread, argument);
                state.threads().instance_gone();
                state.release_store();
            };
            process.machine().workers().run(run).ok()
        }
        Err(_) => {
            // Whom the program blames, if it traps because of it.
            if let Some(limit) = thread.take_limit() {
                process.refuse(spawner, limit);
            }
            None
        }
    };
    if started.is_none() {
        process.threads().take_back(id);
        // The spawner itself is alive and awake, and has a store.
        process.lot().leave(|| false);
        process.release_store();
    }
    started
}

/// What a new thread runs on.
#[expect(
    clippy::large_enum_variant,
    reason = "matched at once: a box would be an allocation for each spawn"
)]
enum Found {
    New(PooledInstance),
    Idle(Arc<InstanceSlot>),
}

/// Makes an instance. Where there is no room for it, a thread that has ended, as far as the
/// guest can see, may be about to leave some, or its instance.
fn instance(
    process: &Arc<State>,
    spawner: &ThreadState,
    thread: &Arc<ThreadState>,
) -> wasmtime::Result<Found> {
    if let Some(slot) = process.threads().take_renewed(process.machine().cores()) {
        return Ok(Found::Idle(slot));
    }
    let deadline = Instant::now() + LINGER;
    loop {
        let rooms = process.threads().rooms();
        let error = match PooledInstance::new(process, thread) {
            Ok(instance) => return Ok(Found::New(instance)),
            Err(error) => error,
        };
        if !process.threads().wait_for_room(rooms, deadline, spawner) {
            return Err(error);
        }
        if let Some(slot) = process.threads().take_idle() {
            return Ok(Found::Idle(slot));
        }
    }
}
