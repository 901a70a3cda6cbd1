//! Where the standard streams of a process lead.

use std::io::{Cursor, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Standard input of a process.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Input {
    /// At its end from the start.
    #[default]
    Null,
    /// That of the host program.
    Inherit,
    /// This descriptor, which nobody else uses.
    Fd(OwnedFd),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Standard output or error of a process.
#[derive(Default)]
#[non_exhaustive]
pub enum Output {
    /// Forgotten.
    #[default]
    Null,
    /// That of the host program: its standard output or its standard error.
    Inherit,
    /// This descriptor, which nobody else uses.
    Fd(OwnedFd),
    /// Whatever the embedder does with it.
    Sink(Arc<dyn Sink>),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Inherit => "Inherit",
            Self::Fd(_) => "Fd",
            Self::Sink(_) => "Sink",
        })
    }
}

/// Takes what a guest writes.
pub trait Sink: Send + Sync {
    /// Takes as many of `bytes` as there is room for, from the first on, and says how many.
    /// Several threads may call at the same time. Must not block.
    ///
    /// # Errors
    ///
    /// The limit, if there is no room at all: the guest's write fails with ENOSPC.
    fn write(&self, bytes: &[u8]) -> Result<usize, u64>;
}

/// What is left of [`Input::Bytes`].
#[derive(Default)]
pub(crate) struct Bytes(Mutex<Cursor<Vec<u8>>>);

impl Bytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Mutex::new(Cursor::new(bytes)))
    }

    pub(crate) fn read(&self, bytes: &mut [u8]) -> usize {
        let mut rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A cursor never fails.
        rest.read(bytes).unwrap_or(0)
    }

    pub(crate) fn left(&self) -> u64 {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rest.get_ref().len() as u64 - rest.position()
    }
}
