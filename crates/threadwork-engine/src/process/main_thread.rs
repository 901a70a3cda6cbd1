//! The main thread of a process: runs `_start` of a command, or `_initialize` of a
//! reactor and then the calls of its embedder.

use super::handle::CallError;
use super::state::{Cause, State};
use crate::seat::{Ended, Seat, catch_panic, cause_of};
use crate::thread::ThreadState;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use wasmtime::{Func, Val};

/// A call of an export, and where its result goes.
pub(crate) struct Call {
    pub(crate) export: String,
    pub(crate) arguments: Vec<Val>,
    pub(crate) reply: SyncSender<Result<Vec<Val>, CallError>>,
}

/// The sending end of a reactor's calls. Dropping it ends the reactor's loop.
pub(crate) type CallSender = std::sync::mpsc::Sender<Call>;

/// What the main thread runs.
pub(crate) enum Program {
    /// `_start`.
    Command,
    /// `_initialize` if it is there, then calls. The first message says whether it
    /// could be initialized.
    Reactor(Receiver<Call>, SyncSender<()>),
}

/// Runs the program to its end. `seat` was made before if that runs nothing of the
/// guest's; else making it is part of the program.
pub(crate) fn run(
    process: &Arc<State>,
    seat: Option<Seat>,
    thread: &Arc<ThreadState>,
    program: Program,
) {
    let seat = seat.map_or_else(|| instantiate(process, thread), Ok);
    match seat {
        Ok(seat) => run_on(seat, process, thread, program),
        Err(error) => {
            process.thread_failed(thread, &error);
            process.thread_ended(thread, None);
        }
    }
}

/// Makes the seat of a module whose start function runs meanwhile.
fn instantiate(process: &Arc<State>, thread: &Arc<ThreadState>) -> wasmtime::Result<Seat> {
    thread.attach();
    process.check_running()?;
    catch_panic(|| Seat::new(process, thread))
}

fn run_on(mut seat: Seat, process: &Arc<State>, thread: &Arc<ThreadState>, program: Program) {
    let result = seat.on_thread(|seat| {
        seat.enter(true)?;
        match &program {
            Program::Command => call_if_there(seat, "_start"),
            Program::Reactor(..) => call_if_there(seat, "_initialize"),
        }
    });
    match (result, program) {
        (Err(error), _) => process.thread_failed(thread, &error),
        (Ok(()), Program::Command) => process.end(Cause::Exited(0)),
        (Ok(()), Program::Reactor(calls, ready)) => {
            // The receiver waits for this, or is gone because the process is.
            let _ = ready.send(());
            serve(process, &mut seat, thread, &calls);
        }
    }
    process.thread_ended(thread, None);
}

fn call_if_there(seat: &mut Seat, name: &str) -> wasmtime::Result<()> {
    match seat.instance.get_func(&mut seat.store, name) {
        Some(function) => {
            let function = function.typed::<(), ()>(&seat.store)?;
            function.call(&mut seat.store, ())
        }
        None => Ok(()),
    }
}

/// Serves calls until the process ends.
fn serve(process: &Arc<State>, seat: &mut Seat, thread: &Arc<ThreadState>, calls: &Receiver<Call>) {
    while let Ok(call) = calls.recv() {
        let result =
            find(seat, &call.export, &call.arguments).and_then(|(function, mut results)| {
                let called = seat.on_thread(|seat| {
                    function.call(&mut seat.store, &call.arguments, &mut results)
                });
                match called {
                    Ok(()) => Ok(results),
                    Err(error) => {
                        if let Some(cause) = cause_of(&error, process, thread) {
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
fn find(seat: &mut Seat, name: &str, arguments: &[Val]) -> Result<(Func, Vec<Val>), CallError> {
    let function = seat
        .instance
        .get_func(&mut seat.store, name)
        .ok_or_else(|| CallError::NoExport {
            name: name.to_owned(),
        })?;
    let ty = function.ty(&seat.store);
    let fits = ty.params().len() == arguments.len()
        && ty
            .params()
            .zip(arguments)
            .all(|(param, argument)| argument.matches_ty(&seat.store, &param).unwrap_or(false));
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

/// The channel of a reactor's calls.
pub(crate) fn channel() -> (CallSender, Receiver<Call>) {
    std::sync::mpsc::channel()
}

/// A channel for one reply.
pub(crate) fn reply<T>() -> (SyncSender<T>, Receiver<T>) {
    sync_channel(1)
}
