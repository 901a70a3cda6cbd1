//! [`Descriptor`]: what a number stands for.

use crate::abi::{Fdstat, Filestat, Filetype, rights};
use crate::channel::Channel;
use crate::errno::{Errno, Result};
use crate::limits::OpenFile;
use crate::listing::Listing;
use crate::streams::{Bytes, Sink};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// See the module's documentation.
pub(crate) struct Descriptor {
    pub(crate) kind: Kind,
    /// Rights that the guest has given up: its own, and those of what is opened by it.
    dropped: AtomicU64,
    dropped_inheriting: AtomicU64,
    /// Whether nothing is changed by it, nor by what is opened by it.
    pub(crate) read_only: bool,
    /// The standard stream that it was made as, if it was one that is written.
    pub(crate) stream: Option<Stream>,
    /// Counts it as long as it lives, if the guest has opened it.
    _open: Option<OpenFile>,
}

/// A standard stream that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

pub(crate) enum Kind {
    /// A file that was opened by a path.
    File(Channel),
    /// Anything else that bytes are read from or written to: a standard stream, a connection.
    Stream(Channel),
    Directory(Directory),
    Listener(Listener),
    /// Standard input that never blocks.
    Bytes(Bytes),
    /// Standard output that goes nowhere.
    Null,
    Sink(Arc<dyn Sink>),
}

pub(crate) struct Directory {
    pub(crate) dir: File,
    /// The guest's name for it, if it was granted under one.
    pub(crate) preopen: Option<String>,
    pub(crate) listing: Mutex<Listing>,
    /// What the guest has asked for, of `fdflags`: they mean nothing here, but can be read.
    flags: AtomicU16,
}

pub(crate) struct Listener {
    /// With `O_NONBLOCK`.
    pub(crate) channel: Channel,
}

impl Descriptor {
    /// That the process has from its start.
    pub(crate) fn granted(kind: Kind, read_only: bool) -> Self {
        Self {
            kind,
            read_only,
            stream: None,
            dropped: AtomicU64::new(0),
            dropped_inheriting: AtomicU64::new(0),
            _open: None,
        }
    }

    /// A standard stream that is written.
    pub(crate) fn standard(kind: Kind, stream: Stream) -> Self {
        Self {
            stream: Some(stream),
            ..Self::granted(kind, false)
        }
    }

    /// That a guest has opened by `parent`.
    pub(crate) fn opened(kind: Kind, open: OpenFile, parent: &Self) -> Self {
        // Ordering: Relaxed here and below; a call that begins after another has ended is
        // ordered by the guest.
        let dropped = parent.dropped_inheriting.load(Ordering::Relaxed);
        Self {
            kind,
            dropped: AtomicU64::new(dropped),
            dropped_inheriting: AtomicU64::new(dropped),
            read_only: parent.read_only,
            stream: None,
            _open: Some(open),
        }
    }

    // ---- What it is ----

    pub(crate) fn directory(&self) -> std::result::Result<&Directory, Errno> {
        match &self.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::NOTDIR),
            _ => Err(Errno::BADF),
        }
    }

    /// What has a descriptor of the system, and is no directory.
    pub(crate) fn channel(&self) -> Option<&Channel> {
        match &self.kind {
            Kind::File(channel) | Kind::Stream(channel) => Some(channel),
            Kind::Listener(listener) => Some(&listener.channel),
            _ => None,
        }
    }

    /// A file with positions.
    pub(crate) fn seekable(&self) -> std::result::Result<&Channel, Errno> {
        match &self.kind {
            Kind::File(channel) => Ok(channel),
            Kind::Stream(channel) if channel.can_seek => Ok(channel),
            Kind::Directory(_) => Err(Errno::BADF),
            _ => Err(Errno::SPIPE),
        }
    }

    /// Whether its use may have to wait for somebody else.
    pub(crate) fn can_block(&self) -> bool {
        self.channel().is_some_and(Channel::can_block)
    }

    pub(crate) fn is_readable(&self) -> bool {
        match &self.kind {
            Kind::Bytes(_) | Kind::Directory(_) => true,
            Kind::Null | Kind::Sink(_) => false,
            Kind::File(channel) | Kind::Stream(channel) => channel.is_readable,
            Kind::Listener(_) => true,
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        match &self.kind {
            Kind::Bytes(_) | Kind::Directory(_) | Kind::Listener(_) => false,
            Kind::Null | Kind::Sink(_) => true,
            Kind::File(channel) | Kind::Stream(channel) => channel.is_writable,
        }
    }

    // ---- What may be done with it ----

    /// Fails if the guest has given up this right, or changes with it what it may only read.
    pub(crate) fn require(&self, right: u64) -> std::result::Result<(), Errno> {
        if self.read_only && right & CHANGES != 0 {
            return Err(Errno::ROFS);
        }
        match self.dropped.load(Ordering::Relaxed) & right {
            0 => Ok(()),
            _ => Err(Errno::NOTCAPABLE),
        }
    }

    /// Fails if the guest has given up this right for what it opens by this descriptor.
    pub(crate) fn require_inheriting(&self, right: u64) -> std::result::Result<(), Errno> {
        if self.read_only && right & rights::FD_WRITE != 0 {
            return Err(Errno::ROFS);
        }
        match self.dropped_inheriting.load(Ordering::Relaxed) & right {
            0 => Ok(()),
            _ => Err(Errno::NOTCAPABLE),
        }
    }

    /// Gives up all other rights.
    pub(crate) fn set_rights(&self, base: u64, inheriting: u64) -> Result {
        let now = self.fdstat();
        if base & !now.base != 0 || inheriting & !now.inheriting != 0 {
            return Err(Errno::NOTCAPABLE.into());
        }
        self.dropped.fetch_or(!base, Ordering::Relaxed);
        self.dropped_inheriting
            .fetch_or(!inheriting, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn fdstat(&self) -> Fdstat {
        let (filetype, flags) = match (&self.kind, self.channel()) {
            (Kind::Directory(directory), _) => {
                (Filetype::Directory, directory.flags.load(Ordering::Relaxed))
            }
            (_, Some(channel)) => (channel.filetype, channel.flags()),
            (_, None) => (Filetype::Unknown, 0),
        };
        let (base, inheriting) = match &self.kind {
            Kind::Directory(directory) => directory.rights(),
            Kind::File(channel) | Kind::Stream(channel) => (channel.rights(), channel.rights()),
            Kind::Listener(_) => (LISTENER, CONNECTION),
            Kind::Bytes(_) => (rights::FD_READ | STREAM, rights::FD_READ | STREAM),
            Kind::Null | Kind::Sink(_) => (rights::FD_WRITE | STREAM, rights::FD_WRITE | STREAM),
        };
        Fdstat {
            filetype,
            flags,
            base: base & !self.dropped.load(Ordering::Relaxed),
            inheriting: inheriting & !self.dropped_inheriting.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn filestat(&self) -> Result<Filestat> {
        let stat = match (&self.kind, self.channel()) {
            (Kind::Directory(directory), _) => rustix::fs::fstat(&directory.dir)?,
            (_, Some(channel)) => rustix::fs::fstat(channel.fd())?,
            (_, None) => return Ok(Filestat::none()),
        };
        let mut stat = Filestat::from(stat);
        if let Some(channel) = self.channel() {
            // The system does not tell kinds of sockets apart here.
            stat.filetype = channel.filetype;
        }
        Ok(stat)
    }
}

/// Rights to change something that is there, or what there is, but those that only take a file
/// that is open for writing: there is none, and the system says so. A link to a file in another
/// directory, where it could be written to, is such a change.
const CHANGES: u64 = rights::FD_FILESTAT_SET_TIMES
    | rights::PATH_CREATE_DIRECTORY
    | rights::PATH_CREATE_FILE
    | rights::PATH_FILESTAT_SET_SIZE
    | rights::PATH_FILESTAT_SET_TIMES
    | rights::PATH_LINK_SOURCE
    | rights::PATH_LINK_TARGET
    | rights::PATH_REMOVE_DIRECTORY
    | rights::PATH_RENAME_SOURCE
    | rights::PATH_RENAME_TARGET
    | rights::PATH_SYMLINK
    | rights::PATH_UNLINK_FILE;

const STREAM: u64 = rights::POLL_FD_READWRITE | rights::FD_FILESTAT_GET;

const LISTENER: u64 = rights::FD_READ
    | rights::FD_FDSTAT_SET_FLAGS
    | rights::FD_FILESTAT_GET
    | rights::POLL_FD_READWRITE
    | rights::SOCK_ACCEPT
    | rights::SOCK_SHUTDOWN;

const CONNECTION: u64 = rights::FD_READ
    | rights::FD_WRITE
    | rights::FD_FDSTAT_SET_FLAGS
    | rights::FD_FILESTAT_GET
    | rights::POLL_FD_READWRITE
    | rights::SOCK_SHUTDOWN;

/// What many programs expect of a directory that was granted.
const PREOPEN: u64 = rights::PATH_CREATE_DIRECTORY
    | rights::PATH_CREATE_FILE
    | rights::PATH_LINK_SOURCE
    | rights::PATH_LINK_TARGET
    | rights::PATH_OPEN
    | rights::FD_READDIR
    | rights::PATH_READLINK
    | rights::PATH_RENAME_SOURCE
    | rights::PATH_RENAME_TARGET
    | rights::PATH_SYMLINK
    | rights::PATH_REMOVE_DIRECTORY
    | rights::PATH_UNLINK_FILE
    | rights::PATH_FILESTAT_GET
    | rights::PATH_FILESTAT_SET_TIMES
    | rights::FD_FILESTAT_GET
    | rights::FD_FILESTAT_SET_TIMES;

const PREOPEN_INHERITING: u64 = PREOPEN
    | rights::FD_DATASYNC
    | rights::FD_READ
    | rights::FD_SEEK
    | rights::FD_FDSTAT_SET_FLAGS
    | rights::FD_SYNC
    | rights::FD_TELL
    | rights::FD_WRITE
    | rights::FD_ADVISE
    | rights::FD_ALLOCATE
    | rights::FD_FILESTAT_SET_SIZE
    | rights::POLL_FD_READWRITE;

impl Directory {
    pub(crate) fn new(dir: File, preopen: Option<String>) -> Self {
        Self {
            dir,
            preopen,
            listing: Mutex::default(),
            flags: AtomicU16::new(0),
        }
    }

    pub(crate) fn set_flags(&self, flags: u16) {
        // Ordering: Relaxed; as for the rights above.
        self.flags.store(flags, Ordering::Relaxed);
    }

    fn rights(&self) -> (u64, u64) {
        if self.preopen.is_some() {
            return (PREOPEN, PREOPEN_INHERITING);
        }
        let files = rights::FD_SEEK
            | rights::FD_WRITE
            | rights::FD_FILESTAT_SET_SIZE
            | rights::PATH_FILESTAT_SET_SIZE;
        (
            rights::ALL & !files,
            rights::ALL & !files | rights::FD_SEEK | rights::FD_WRITE,
        )
    }
}

impl Listener {
    pub(crate) fn new(socket: OwnedFd) -> std::io::Result<Self> {
        let channel = Channel::told(socket)?;
        Ok(Self { channel })
    }
}
