//! What can go wrong with a managed thread.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::io;

use thiserror::Error;
use threadwork_sync::Mutex;

use super::ThreadId;

/// Why a thread was not started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The manager's limit is reached.
    #[error("{max} threads run already, which is the limit: join some, or raise the limit")]
    Limit {
        /// The limit.
        max: usize,
    },
    /// The system has refused.
    #[error(
        "the system could not start a thread ({0}): let others end first, use a smaller \
         stack, or raise the system's limit"
    )]
    System(#[from] io::Error),
}

/// Why a join has no value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The thread panicked. Where a panic ends the program (`panic = "abort"`, as in
    /// WebAssembly), the host reports it instead.
    #[error("{0}")]
    Panicked(ThreadPanic),
    /// It was joined before, or detached.
    #[error("{id} was joined before, or detached: join a thread once")]
    AlreadyJoined {
        /// The thread.
        id: ThreadId,
    },
    /// No thread has had this id yet.
    #[error("{id} was never started: use an id that `spawn` has given out")]
    Unknown {
        /// The id.
        id: ThreadId,
    },
    /// The timeout passed first. The thread can still be joined.
    #[error("{id} still ran when the timeout passed: join it again, or detach it")]
    TimedOut {
        /// The thread.
        id: ThreadId,
    },
    /// A thread would wait for its own end.
    #[error("{id} cannot join itself: let another thread do it, or detach it")]
    Itself {
        /// The thread.
        id: ThreadId,
    },
}

/// The panic of a thread.
pub struct ThreadPanic {
    id: ThreadId,
    name: Option<String>,
    message: Cow<'static, str>,
    /// Behind a lock only because it may be sent, but not shared.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl ThreadPanic {
    pub(super) fn new(id: ThreadId, name: Option<String>, payload: Box<dyn Any + Send>) -> Self {
        let message = match payload.downcast_ref::<&'static str>() {
            Some(text) => Cow::Borrowed(*text),
            None => match payload.downcast_ref::<String>() {
                Some(text) => Cow::Owned(text.clone()),
                None => Cow::Borrowed("(a payload that is not a text)"),
            },
        };
        ThreadPanic {
            id,
            name,
            message,
            payload: Mutex::new(payload),
        }
    }

    /// The thread.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.id
    }

    /// Its name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it said.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What it panicked with, for [`std::panic::resume_unwind`].
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner()
    }
}

impl fmt::Display for ThreadPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " panicked: {}", self.message)
    }
}

impl fmt::Debug for ThreadPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPanic")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
