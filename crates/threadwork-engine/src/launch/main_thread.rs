//! The main thread of a process: runs `_start` of a command, or `_initialize` of a
//! reactor and then the calls of its embedder.

use super::calls::{Call, CallError};
use crate::process::{Cause, PooledInstance, State};
use crate::thread::{Ended, ThreadState};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use wasmtime::{Func, Val};

/// What the main thread runs.
pub(super) enum Main {
    /// `_start`.
    Command,
    /// `_initialize` if it is there, then calls. The first message says whether it
    /// could be initialized.
    Reactor(Receiver<Call>, SyncSender<()>),
}

/// Runs the program to its end.
pub(super) fn run(
    process: &Arc<State>,
    mut instance: PooledInstance,
    thread: &Arc<ThreadState>,
    main: Main,
) {
    let result = instance.on_thread(|instance| {
        instance.enter(true)?;
        match &main {
            Main::Command => call_if_there(instance, "_start"),
            Main::Reactor(..) => call_if_there(instance, "_initialize"),
        }
    });
    match (result, main) {
        (Err(error), _) => process.thread_failed(thread, &error),
        (Ok(()), Main::Command) => process.end(Cause::Exited(0)),
        (Ok(()), Main::Reactor(calls, ready)) => {
            // The receiver waits for this, or is gone because the process is.
            let _ = ready.send(());
            serve(process, &mut instance, thread, &calls);
        }
    }
    process.thread_ended(thread, None);
}

fn call_if_there(instance: &mut PooledInstance, name: &str) -> wasmtime::Result<()> {
    match instance.instance.get_func(&mut instance.store, name) {
        Some(function) => {
            let function = function.typed::<(), ()>(&instance.store)?;
            function.call(&mut instance.store, ())
        }
        None => Ok(()),
    }
}

/// Serves calls until the process ends.
fn serve(
    process: &Arc<State>,
    instance: &mut PooledInstance,
    thread: &Arc<ThreadState>,
    calls: &Receiver<Call>,
) {
    while let Ok(call) = calls.recv() {
        let result =
            find(instance, &call.export, &call.arguments).and_then(|(function, mut results)| {
                let called = instance.on_thread(|instance| {
                    function.call(&mut instance.store, &call.arguments, &mut results)
                });
                match called {
                    Ok(()) => Ok(results),
                    Err(error) => {
                        if let Some(cause) = process.cause_of(&error, thread) {
                            process.end(cause);
                        } else if error.is::<Ended>() {
                            process.thread_failed(thread, &error);
                        }
                        Err(CallError::Ended)
                    }
                }
            });
        // The caller waits for this.
        let _ = call.reply.send(result);
        if process.is_ending() {
            return;
        }
    }
}

/// The export and room for its results, if it can be called with these arguments.
fn find(
    instance: &mut PooledInstance,
    name: &str,
    arguments: &[Val],
) -> Result<(Func, Vec<Val>), CallError> {
    let function = instance
        .instance
        .get_func(&mut instance.store, name)
        .ok_or_else(|| CallError::NoExport {
            name: name.to_owned(),
        })?;
    let ty = function.ty(&instance.store);
    let fits = ty.params().len() == arguments.len()
        && ty.params().zip(arguments).all(|(param, argument)| {
            argument
                .matches_ty(&instance.store, &param)
                .unwrap_or(false)
        });
    if !fits {
        return Err(CallError::Arguments {
            name: name.to_owned(),
            expected: ty.to_string(),
        });
    }
    let results = ty
        .results()
        .map(|ty| Val::default_for_ty(&ty).unwrap_or(Val::I32(0)));
    Ok((function, results.collect()))
}
