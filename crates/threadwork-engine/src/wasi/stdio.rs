//! Where the standard streams of a process lead.

use crate::error::Error;
use crate::linear_memory::Totals;
use crate::lock::lock;
use rustix::fs::FileType;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

/// Standard input of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stdin {
    /// At its end from the start.
    #[default]
    Null,
    /// That of the host program.
    Inherit,
    /// A pipe, whose other end is [`Process::take_stdin`](crate::Process::take_stdin).
    Pipe,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Standard output or error of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Forgotten.
    #[default]
    Null,
    /// That of the host program.
    Inherit,
    /// A pipe, whose other end is [`Process::take_stdout`](crate::Process::take_stdout)
    /// or `take_stderr`. A guest that writes faster than it is read waits.
    Pipe,
    /// Kept in memory, for [`Process::stdout_buffer`](crate::Process::stdout_buffer)
    /// or `stderr_buffer`. Until it is taken it counts for
    /// [`Limits::memory`](crate::Limits::memory); a write for which there is no room fails
    /// with ENOSPC.
    Buffer,
}

/// The guest's end of standard input.
pub(crate) enum InputStream {
    Fd(OwnedFd),
    /// The host program's own, which is only borrowed.
    Inherit,
    /// What has not been read yet.
    Bytes(Mutex<std::io::Cursor<Vec<u8>>>),
}

/// The guest's end of standard output or error.
pub(crate) enum OutputStream {
    Fd(OwnedFd),
    InheritStdout,
    InheritStderr,
    Null,
    Buffer(Arc<Kept>),
}

/// The embedder's ends.
#[derive(Default)]
pub(crate) struct HostEnds {
    pub(crate) stdin: Option<PipeWriter>,
    pub(crate) stdout: Option<PipeReader>,
    pub(crate) stderr: Option<PipeReader>,
    pub(crate) stdout_buffer: Option<Arc<Kept>>,
    pub(crate) stderr_buffer: Option<Arc<Kept>>,
}

/// What a guest has written and the embedder has not taken yet. It counts as memory of the
/// process.
pub(crate) struct Kept {
    bytes: Mutex<Vec<u8>>,
    totals: Arc<Totals>,
}

impl Kept {
    fn new(totals: &Arc<Totals>) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::default(),
            totals: Arc::clone(totals),
        })
    }

    /// Keeps as much as there is room for; says how much.
    ///
    /// # Errors
    ///
    /// The limit of memory, if there is no room at all.
    fn keep(&self, bytes: &[u8]) -> Result<usize, u64> {
        // At most as many as there are.
        let fit = self.totals.reserve_part(bytes.len() as u64)? as usize;
        lock(&self.bytes).extend_from_slice(&bytes[..fit]);
        Ok(fit)
    }

    /// Gives all of it to the embedder.
    pub(crate) fn take(&self) -> Vec<u8> {
        let bytes = std::mem::take(&mut *lock(&self.bytes));
        self.totals.release(bytes.len() as u64);
        bytes
    }
}

impl InputStream {
    pub(crate) fn open(stdin: Stdin, ends: &mut HostEnds) -> Result<Self, Error> {
        Ok(match stdin {
            Stdin::Null => Self::Bytes(Mutex::default()),
            Stdin::Inherit => Self::Inherit,
            Stdin::Bytes(bytes) => Self::Bytes(Mutex::new(std::io::Cursor::new(bytes))),
            Stdin::Pipe => {
                let (reader, writer) = pipe()?;
                ends.stdin = Some(writer);
                Self::Fd(reader.into())
            }
        })
    }

    /// What has to be polled and read; `None` if reading never blocks.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Fd(fd) => Some(fd.as_fd()),
            Self::Inherit => Some(rustix::stdio::stdin()),
            Self::Bytes(_) => None,
        }
    }
}

impl OutputStream {
    pub(crate) fn stdout(
        output: Output,
        ends: &mut HostEnds,
        totals: &Arc<Totals>,
    ) -> Result<Self, Error> {
        Self::open(
            output,
            Self::InheritStdout,
            &mut ends.stdout,
            &mut ends.stdout_buffer,
            totals,
        )
    }

    pub(crate) fn stderr(
        output: Output,
        ends: &mut HostEnds,
        totals: &Arc<Totals>,
    ) -> Result<Self, Error> {
        Self::open(
            output,
            Self::InheritStderr,
            &mut ends.stderr,
            &mut ends.stderr_buffer,
            totals,
        )
    }

    fn open(
        output: Output,
        inherited: Self,
        reader: &mut Option<PipeReader>,
        buffer: &mut Option<Arc<Kept>>,
        totals: &Arc<Totals>,
    ) -> Result<Self, Error> {
        Ok(match output {
            Output::Null => Self::Null,
            Output::Inherit => inherited,
            Output::Buffer => Self::Buffer(Arc::clone(buffer.insert(Kept::new(totals)))),
            Output::Pipe => {
                let (host, guest) = pipe()?;
                // Several threads may find the same room in it.
                rustix::io::ioctl_fionbio(&guest, true).map_err(|error| Error::System {
                    what: "a pipe",
                    source: error.into(),
                })?;
                *reader = Some(host);
                Self::Fd(guest.into())
            }
        })
    }

    /// What has to be polled and written; `None` if writing never blocks.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Fd(fd) => Some(fd.as_fd()),
            Self::InheritStdout => Some(rustix::stdio::stdout()),
            Self::InheritStderr => Some(rustix::stdio::stderr()),
            Self::Null | Self::Buffer(_) => None,
        }
    }

    /// Whether others in this program may write to the same descriptor.
    pub(crate) fn is_inherited(&self) -> bool {
        matches!(self, Self::InheritStdout | Self::InheritStderr)
    }

    /// Writes to a stream that has no descriptor; says how much there was room for.
    ///
    /// # Errors
    ///
    /// The limit of memory, if there is no room at all.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Result<usize, u64> {
        match self {
            Self::Buffer(buffer) => buffer.keep(bytes),
            _ => Ok(bytes.len()),
        }
    }
}

pub(super) fn pipe() -> Result<(PipeReader, PipeWriter), Error> {
    std::io::pipe().map_err(|source| Error::System {
        what: "a pipe",
        source,
    })
}

/// Whether a read can wait. A regular file without a size may be one that the system makes
/// up while it is read, and waits for what it has to say (`/proc/kmsg`).
pub(crate) fn read_can_block(fd: BorrowedFd<'_>) -> bool {
    can_block(fd) || rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_size == 0)
}

/// Whether a read or write of this descriptor can wait for somebody else: all but
/// regular files.
pub(crate) fn can_block(fd: BorrowedFd<'_>) -> bool {
    let regular = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode).is_file();
    !rustix::fs::fstat(fd).is_ok_and(regular)
}
