//! Calls of a reactor's exports: from the embedder's threads to the main thread.

use crate::lock::lock;
use crate::process::{Program, State};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use wasmtime::Val;

/// Why [`Process::call`](crate::Process::call) has no results.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The module does not export such a function.
    #[error("the module exports no function `{name}`")]
    NoExport {
        /// The name.
        name: String,
    },
    /// The arguments do not fit the function.
    #[error("the arguments do not fit `{name}`, which is {expected}")]
    Arguments {
        /// The function.
        name: String,
        /// Its type.
        expected: String,
    },
    /// The process is a command: its main thread runs `_start` and takes no calls.
    #[error("the process runs `_start` and takes no calls: start it with ProcessBuilder::load")]
    NotAReactor,
    /// The process ended before or during the call; [`Process::wait`](crate::Process::wait) has the status.
    #[error("the process has ended; its exit status says why")]
    Ended,
}

/// A call of an export, and where its result goes.
pub(crate) struct Call {
    pub(crate) export: String,
    pub(crate) arguments: Vec<Val>,
    pub(crate) reply: SyncSender<Result<Vec<Val>, CallError>>,
}

/// The sending end of a reactor's calls; of a command, nothing.
#[derive(Default)]
pub(crate) struct Calls(Mutex<Option<Sender<Call>>>);

impl Calls {
    /// With the receiving end.
    pub(super) fn channel() -> (Self, Receiver<Call>) {
        let (sender, receiver) = channel();
        (Self(Mutex::new(Some(sender))), receiver)
    }

    /// Calls an export and waits for its results; `None` if no calls are taken, or not any
    /// more.
    pub(super) fn call(
        &self,
        export: &str,
        arguments: &[Val],
    ) -> Option<Result<Vec<Val>, CallError>> {
        let (reply, result) = reply();
        let call = Call {
            export: export.to_owned(),
            arguments: arguments.to_vec(),
            reply,
        };
        let sent = lock(&self.0).as_ref()?.send(call);
        // Without a receiver, and without a reply, the main thread has ended.
        Some(match sent {
            Ok(()) => result.recv().unwrap_or(Err(CallError::Ended)),
            Err(_) => Err(CallError::Ended),
        })
    }
}

/// A main program is gone when its threads are: there is nothing else to look after.
impl Program for Calls {
    fn close(&self, _: &State) {
        // Ends the main thread's loop.
        drop(lock(&self.0).take());
    }
}

/// A channel for one reply.
pub(super) fn reply<T>() -> (SyncSender<T>, Receiver<T>) {
    sync_channel(1)
}
