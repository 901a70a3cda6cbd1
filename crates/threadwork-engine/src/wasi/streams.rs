//! The standard streams of a process, and which descriptors they are.

use super::stdio::{InputStream, OutputStream, can_block, read_can_block};
use std::io::IsTerminal;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    In,
    Out,
    Err,
}

/// Which descriptors are standard streams: all three, unless the guest closes or
/// renumbers them.
pub(super) struct Streams(RwLock<Vec<(u32, Stream)>>);

impl Default for Streams {
    fn default() -> Self {
        let streams = vec![(0, Stream::In), (1, Stream::Out), (2, Stream::Err)];
        Self(RwLock::new(streams))
    }
}

impl Streams {
    /// The standard stream that a descriptor is.
    pub(super) fn find(&self, fd: u32) -> Option<Stream> {
        let streams = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = streams.iter().find(|(other, _)| *other == fd);
        found.map(|(_, stream)| *stream)
    }

    /// The descriptor is closed.
    pub(super) fn forget(&self, fd: u32) {
        let mut streams = self.0.write().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|(other, _)| *other != fd);
    }

    /// The descriptor `from` becomes `to`, which is closed.
    pub(super) fn renumber(&self, from: u32, to: u32) {
        if from == to {
            return;
        }
        self.forget(to);
        let mut streams = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (fd, _) in &mut *streams {
            if *fd == from {
                *fd = to;
            }
        }
    }
}

/// Which of the three are terminals.
#[derive(Clone, Copy)]
pub(super) struct Terminals {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

pub(super) fn terminals(
    stdin: &InputStream,
    stdout: &OutputStream,
    stderr: &OutputStream,
) -> Terminals {
    let is_terminal = |fd: Option<BorrowedFd<'_>>| fd.is_some_and(|fd| fd.is_terminal());
    Terminals {
        stdin: is_terminal(stdin.fd()),
        stdout: is_terminal(stdout.fd()),
        stderr: is_terminal(stderr.fd()),
    }
}

/// A stream that can be closed while threads use it.
pub(super) struct Closable<S> {
    stream: RwLock<Option<Arc<S>>>,
    can_block: bool,
}

/// Standard input. One thread reads at a time: another could take what a poll had
/// promised.
pub(super) struct Input {
    stream: Closable<InputStream>,
    pub(super) reading: Mutex<()>,
}

/// Standard output or error.
pub(super) type Output = Closable<OutputStream>;

impl<S> Closable<S> {
    pub(super) fn with(stream: S, can_block: bool) -> Self {
        Self {
            stream: RwLock::new(Some(Arc::new(stream))),
            can_block,
        }
    }

    /// Whether its use may have to wait for somebody else.
    pub(super) fn can_block(&self) -> bool {
        self.can_block
    }

    /// Keeps it open while the guard lives.
    pub(super) fn open(&self) -> Open<S> {
        let stream = self.stream.read().unwrap_or_else(PoisonError::into_inner);
        Open(stream.clone())
    }

    pub(super) fn close(&self) {
        *self.stream.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A stream in use; `None` once the process has ended.
pub(super) struct Open<S>(pub(super) Option<Arc<S>>);

impl Open<InputStream> {
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref()?.fd()
    }
}

impl Open<OutputStream> {
    pub(super) fn is_inherited(&self) -> bool {
        self.0.as_ref().is_some_and(|stream| stream.is_inherited())
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref()?.fd()
    }
}

impl Output {
    pub(super) fn new(stream: OutputStream) -> Self {
        let can_block = stream.fd().is_some_and(can_block);
        Self::with(stream, can_block)
    }
}

impl Input {
    pub(super) fn new(stream: InputStream) -> Self {
        let can_block = stream.fd().is_some_and(read_can_block);
        Self {
            stream: Closable::with(stream, can_block),
            reading: Mutex::new(()),
        }
    }

    pub(super) fn can_block(&self) -> bool {
        self.stream.can_block
    }

    pub(super) fn open(&self) -> Open<InputStream> {
        self.stream.open()
    }

    pub(super) fn close(&self) {
        self.stream.close();
    }
}
