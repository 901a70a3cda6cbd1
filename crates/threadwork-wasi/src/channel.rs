//! [`Channel`]: a descriptor of the system that bytes are read from or written to, a file, a
//! pipe, a terminal, a device or a connection, and how to do that without ever blocking
//! beyond the end of the process.
//!
//! Invariant: a thread waits for a descriptor only in [`until_ready`], together with the end
//! of its process, and never in the call that moves bytes; but for the inherited streams
//! that cannot be told not to wait ([`Waiting::Shared`]), which are asked first.

use crate::abi::{Filetype, fdflags, rights};
use crate::ending::{is_ready, until_ready};
use crate::errno::{Errno, Failure, Result};
use crate::host::{Host, LongCall};
use crate::vectors::{self, How, Received, Vectors};
use rustix::event::PollFlags;
use rustix::io::Errno as System;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// Bytes that one system call moves at most: nothing ends such a call.
const PIECE: usize = 4 << 20;

/// What a pipe takes without blocking once it polls as writable.
const PIPE_PART: usize = 4096;

/// See the module's documentation.
pub(crate) struct Channel {
    fd: Fd,
    pub(crate) filetype: Filetype,
    /// A regular file that had no byte when it was opened.
    is_empty: bool,
    pub(crate) is_readable: bool,
    pub(crate) is_writable: bool,
    waiting: Waiting,
    /// Whether there are positions in it: in files and devices, but not in terminals.
    pub(crate) can_seek: bool,
    /// What the guest has asked for, of `fdflags`.
    flags: AtomicU16,
    /// Held while they change, since the system has some of them, too.
    changing: Mutex<()>,
    /// One thread at a time reads what cannot be told not to wait: another could take what a
    /// poll had promised.
    reading: Mutex<()>,
}

/// A descriptor of the process's own, or one of the host program.
pub(crate) enum Fd {
    Owned(OwnedFd),
    Inherited(BorrowedFd<'static>),
}

/// What the system says of a descriptor.
#[derive(Clone, Copy)]
pub(crate) struct What {
    pub(crate) filetype: Filetype,
    /// A regular file without a byte.
    is_empty: bool,
}

impl What {
    /// Where nobody knows it counts as a regular file, since its use will tell the error.
    fn of(fd: BorrowedFd<'_>) -> Self {
        rustix::fs::fstat(fd).map_or(Self::new(Filetype::RegularFile), Self::from)
    }

    pub(crate) fn new(filetype: Filetype) -> Self {
        Self {
            filetype,
            is_empty: false,
        }
    }
}

impl From<rustix::fs::Stat> for What {
    fn from(stat: rustix::fs::Stat) -> Self {
        let filetype = rustix::fs::FileType::from_raw_mode(stat.st_mode).into();
        Self {
            filetype,
            is_empty: filetype == Filetype::RegularFile && stat.st_size == 0,
        }
    }
}

/// Whether a call on the descriptor can have to wait for somebody else.
enum Waiting {
    /// Never: a regular file.
    Never,
    /// It does not wait but says `EAGAIN`: an open file description of our own, with
    /// `O_NONBLOCK`.
    Told,
    /// As `Told`: a FIFO that is read from. Before its first writer comes, which a poll waits
    /// for, a read would say that it is at its end. Holds whether one has come.
    Fifo(AtomicBool),
    /// It does not wait if each call says so: a socket.
    Socket,
    /// It waits, because others use the same open file description, or because the system
    /// makes up what is read while it is (`/proc/kmsg`). Holds whether single calls can be
    /// told not to.
    Shared(AtomicBool),
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Owned(fd) => fd.as_fd(),
            Self::Inherited(fd) => *fd,
        }
    }
}

impl Channel {
    /// Of a descriptor of our own, with `O_NONBLOCK` unless it is a regular file or a socket.
    pub(crate) fn owned(fd: OwnedFd, what: What) -> Self {
        let waiting = match what.filetype {
            Filetype::RegularFile => Waiting::Never,
            Filetype::SocketStream => Waiting::Socket,
            _ => Waiting::Told,
        };
        Self::new(Fd::Owned(fd), what, waiting)
    }

    /// Of a descriptor of our own, whatever it is, which is told not to wait.
    pub(crate) fn told(fd: OwnedFd) -> std::io::Result<Self> {
        let what = What::of(fd.as_fd());
        if what.filetype != Filetype::RegularFile {
            rustix::io::ioctl_fionbio(&fd, true)?;
        }
        Ok(Self::owned(fd, what))
    }

    /// Of a stream of the host program.
    pub(crate) fn inherited(fd: BorrowedFd<'static>) -> Self {
        let what = What::of(fd);
        let waiting = match what.filetype {
            Filetype::RegularFile => Waiting::Never,
            Filetype::SocketStream => Waiting::Socket,
            _ => Waiting::Shared(AtomicBool::new(cfg!(target_os = "linux"))),
        };
        Self::new(Fd::Inherited(fd), what, waiting)
    }

    fn new(fd: Fd, what: What, waiting: Waiting) -> Self {
        let can_seek = match what.filetype {
            Filetype::RegularFile | Filetype::BlockDevice => true,
            Filetype::CharacterDevice => !fd.as_fd().is_terminal(),
            _ => false,
        };
        Self {
            can_seek,
            fd,
            filetype: what.filetype,
            is_empty: what.is_empty,
            is_readable: false,
            is_writable: false,
            waiting,
            flags: AtomicU16::new(0),
            changing: Mutex::default(),
            reading: Mutex::default(),
        }
    }

    /// Says what it was opened for.
    pub(crate) fn opened_for(mut self, reading: bool, writing: bool, flags: u16) -> Self {
        self.is_readable = reading;
        self.is_writable = writing;
        self.flags = AtomicU16::new(flags);
        // What others use as well cannot be told not to wait, and stays `Shared`.
        let is_told = matches!(self.waiting, Waiting::Told);
        if is_told && reading && !writing && self.filetype == Filetype::Unknown {
            self.waiting = Waiting::Fifo(AtomicBool::new(false));
        }
        if reading && !writing && self.is_empty {
            self.waiting = Waiting::Shared(AtomicBool::new(false));
        }
        self
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether its use may have to wait for somebody else.
    pub(crate) fn can_block(&self) -> bool {
        !matches!(self.waiting, Waiting::Never)
    }

    pub(crate) fn is_regular(&self) -> bool {
        self.filetype == Filetype::RegularFile
    }

    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.waiting, Waiting::Socket)
    }

    /// What the guest may do with it, of `rights`.
    pub(crate) fn rights(&self) -> u64 {
        let mut all = match self.filetype {
            Filetype::RegularFile | Filetype::BlockDevice | Filetype::CharacterDevice => {
                rights::ALL
            }
            Filetype::SocketStream => STREAM | rights::SOCK_SHUTDOWN,
            _ => STREAM,
        };
        if !self.can_seek {
            all &= !(rights::FD_SEEK | rights::FD_TELL);
        }
        if !self.is_readable {
            all &= !(rights::FD_READ | rights::FD_READDIR);
        }
        if !self.is_writable {
            all &= !rights::FD_WRITE;
        }
        all
    }

    // ---- Flags ----

    /// What `fd_fdstat_get` tells, of `fdflags`.
    pub(crate) fn flags(&self) -> u16 {
        // Ordering: Relaxed here and below; a call that begins after another has ended is
        // ordered by the guest.
        self.flags.load(Ordering::Relaxed)
    }

    /// Changes `APPEND` and `NONBLOCK`, which are all that can be changed.
    pub(crate) fn set_flags(&self, flags: u16) -> Result {
        if flags & !(fdflags::APPEND | fdflags::NONBLOCK) != 0 {
            return Err(Errno::INVAL.into());
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.flags();
        if (flags ^ before) & fdflags::APPEND != 0 {
            self.set_append(flags & fdflags::APPEND != 0)?;
        }
        let kept = before & !(fdflags::APPEND | fdflags::NONBLOCK);
        self.flags.store(flags | kept, Ordering::Relaxed);
        Ok(())
    }

    /// The descriptions of inherited streams are left as they are: others use them.
    fn set_append(&self, on: bool) -> Result {
        if let Fd::Owned(fd) = &self.fd {
            let mut flags = rustix::fs::fcntl_getfl(fd)?;
            flags.set(rustix::fs::OFlags::APPEND, on);
            rustix::fs::fcntl_setfl(fd, flags)?;
        }
        Ok(())
    }

    fn is_nonblocking(&self) -> bool {
        self.flags() & fdflags::NONBLOCK != 0
    }

    // ---- Reading ----

    /// Reads at its position; how many bytes.
    pub(crate) fn read(&self, host: &impl Host, vectors: &mut Vectors<'_>) -> Result<usize> {
        match &self.waiting {
            Waiting::Never => self.read_file(host, vectors, None),
            Waiting::Told => self.read_told(host, vectors),
            Waiting::Fifo(is_met) => {
                // Ordering: Relaxed; a thread that does not know it yet polls once more.
                if !self.is_nonblocking() && !is_met.load(Ordering::Relaxed) {
                    let _call = LongCall::begin(host);
                    until_ready(host, self.fd(), PollFlags::IN)?;
                    is_met.store(true, Ordering::Relaxed);
                }
                self.read_told(host, vectors)
            }
            Waiting::Socket => Ok(self.receive(host, vectors, 0)?.bytes),
            Waiting::Shared(no_wait) => {
                let read = self.try_without_waiting(host, no_wait, PollFlags::IN, || {
                    vectors::read(self.fd(), vectors, PIECE, How::NoWait)
                })?;
                match read {
                    Some(bytes) => Ok(bytes),
                    None => self.read_in_turn(host, vectors),
                }
            }
        }
    }

    fn read_told(&self, host: &impl Host, vectors: &mut Vectors<'_>) -> Result<usize> {
        self.when_ready(host, PollFlags::IN, || {
            vectors::read(self.fd(), vectors, PIECE, How::Plain)
        })
    }

    /// Reads a file; at its position if there is no `offset`. A file gives all that there is:
    /// in pieces, so that the end of the process is seen.
    pub(crate) fn read_file(
        &self,
        host: &impl Host,
        vectors: &mut Vectors<'_>,
        offset: Option<u64>,
    ) -> Result<usize> {
        self.in_pieces(host, vectors, offset, vectors::read)
    }

    /// Receives from a socket.
    pub(crate) fn receive(
        &self,
        host: &impl Host,
        vectors: &mut Vectors<'_>,
        flags: i32,
    ) -> Result<Received> {
        self.when_ready(host, PollFlags::IN, || {
            vectors::receive(self.fd(), vectors, flags)
        })
    }

    /// Polls, then reads, while no other thread of this program does.
    fn read_in_turn(&self, host: &impl Host, vectors: &mut Vectors<'_>) -> Result<usize> {
        if self.is_nonblocking() && !is_ready(self.fd(), PollFlags::IN) {
            return Err(Errno::AGAIN.into());
        }
        let _call = LongCall::begin(host);
        let _turn = turn(host, &self.reading)?;
        until_ready(host, self.fd(), PollFlags::IN)?;
        retry(host, || {
            vectors::read(self.fd(), vectors, PIECE, How::Plain)
        })
    }

    // ---- Writing ----

    /// Writes at its position, everything if the guest lets it wait; how many bytes.
    pub(crate) fn write(&self, host: &impl Host, vectors: &mut Vectors<'_>) -> Result<usize> {
        match &self.waiting {
            Waiting::Never => self.write_file(host, vectors, None),
            Waiting::Told | Waiting::Fifo(_) => self.write_all(host, vectors, |vectors| {
                self.when_ready(host, PollFlags::OUT, || {
                    vectors::write(self.fd(), vectors, PIECE, How::Plain)
                })
            }),
            Waiting::Socket => self.write_all(host, vectors, |vectors| {
                self.when_ready(host, PollFlags::OUT, || vectors::send(self.fd(), vectors))
            }),
            Waiting::Shared(no_wait) => self.write_all(host, vectors, |vectors| {
                let written = self.try_without_waiting(host, no_wait, PollFlags::OUT, || {
                    vectors::write(self.fd(), vectors, PIECE, How::NoWait)
                })?;
                match written {
                    Some(bytes) => Ok(bytes),
                    None => self.write_in_turn(host, vectors),
                }
            }),
        }
    }

    /// Writes a file; at its position if there is no `offset`.
    pub(crate) fn write_file(
        &self,
        host: &impl Host,
        vectors: &mut Vectors<'_>,
        offset: Option<u64>,
    ) -> Result<usize> {
        self.in_pieces(host, vectors, offset, vectors::write)
    }

    /// Repeats `write` until nothing is left, it fails, or the guest does not want to wait.
    fn write_all(
        &self,
        host: &impl Host,
        vectors: &mut Vectors<'_>,
        mut write: impl FnMut(&mut Vectors<'_>) -> Result<usize>,
    ) -> Result<usize> {
        let mut done = 0;
        loop {
            match write(vectors) {
                Ok(bytes) => {
                    vectors.advance(bytes);
                    done += bytes;
                    if vectors.left() == 0 || bytes == 0 || self.is_nonblocking() {
                        return Ok(done);
                    }
                    host.check_running()?;
                }
                // What was written is told; the error comes again.
                Err(Failure::Errno(_)) if done > 0 => return Ok(done),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Polls, then writes what there is room for, while no other thread of this program does.
    fn write_in_turn(&self, host: &impl Host, vectors: &mut Vectors<'_>) -> Result<usize> {
        let _call = LongCall::begin(host);
        // A device takes what it gets, once it takes something.
        let most = if self.can_seek { PIECE } else { PIPE_PART };
        loop {
            if self.is_nonblocking() && !is_ready(self.fd(), PollFlags::OUT) {
                return Err(Errno::AGAIN.into());
            }
            until_ready(host, self.fd(), PollFlags::OUT)?;
            // Its room must still be there when it is used.
            let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
            if is_ready(self.fd(), PollFlags::OUT) {
                return retry(host, || {
                    vectors::write(self.fd(), vectors, most, How::Plain)
                });
            }
        }
    }

    // ---- What both need ----

    /// Moves all bytes of a regular file that there are, piece by piece.
    fn in_pieces(
        &self,
        host: &impl Host,
        vectors: &mut Vectors<'_>,
        offset: Option<u64>,
        call: fn(
            BorrowedFd<'_>,
            &mut Vectors<'_>,
            usize,
            How,
        ) -> std::result::Result<usize, System>,
    ) -> Result<usize> {
        let mut done = 0;
        loop {
            let how = match offset {
                None => How::Plain,
                Some(offset) => How::At(offset.saturating_add(done as u64)),
            };
            let asked = vectors.left().min(PIECE);
            match retry(host, || call(self.fd(), vectors, PIECE, how)) {
                Ok(bytes) => {
                    vectors.advance(bytes);
                    done += bytes;
                    if bytes < asked || vectors.left() == 0 {
                        return Ok(done);
                    }
                    host.check_running()?;
                }
                Err(Failure::Errno(_)) if done > 0 => return Ok(done),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Repeats a call that does not wait whenever the descriptor is ready for it, until it
    /// says something else than "again"; once, if the guest does not want to wait.
    pub(crate) fn when_ready<R>(
        &self,
        host: &impl Host,
        flags: PollFlags,
        mut call: impl FnMut() -> std::result::Result<R, System>,
    ) -> Result<R> {
        let mut long_call = None;
        loop {
            match call() {
                Err(System::AGAIN) if self.is_nonblocking() => return Err(Errno::AGAIN.into()),
                Err(System::AGAIN) => {
                    long_call.get_or_insert_with(|| LongCall::begin(host));
                    until_ready(host, self.fd(), flags)?;
                }
                Err(System::INTR) => host.check_running()?,
                result => return Ok(result?),
            }
        }
    }

    /// As [`when_ready`](Self::when_ready); `None` if the call cannot be told not to wait.
    fn try_without_waiting<R>(
        &self,
        host: &impl Host,
        no_wait: &AtomicBool,
        flags: PollFlags,
        mut call: impl FnMut() -> std::result::Result<R, System>,
    ) -> Result<Option<R>> {
        if !no_wait.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.when_ready(host, flags, || match call() {
            Err(System::OPNOTSUPP | System::NOSYS | System::INVAL) => {
                no_wait.store(false, Ordering::Relaxed);
                Ok(None)
            }
            result => result.map(Some),
        })
    }
}

/// What a stream may do that is no file.
const STREAM: u64 = rights::FD_READ
    | rights::FD_WRITE
    | rights::FD_FDSTAT_SET_FLAGS
    | rights::FD_FILESTAT_GET
    | rights::POLL_FD_READWRITE;

/// Held from a look at the room in an inherited stream until it is used. Standard
/// output and error are often the same pipe, so there is one for both.
static TURN: Mutex<()> = Mutex::new(());

/// The right to read. Several threads that want the same input are rare, so those
/// that wait look now and then whether the process ends.
fn turn<'a>(host: &impl Host, reading: &'a Mutex<()>) -> Result<MutexGuard<'a, ()>> {
    const LOOK: Duration = Duration::from_millis(5);
    loop {
        host.check_running()?;
        match reading.try_lock() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOOK),
        }
    }
}

/// Calls again what a signal has interrupted, unless that was the one to stop: somebody else
/// may have taken what a poll had promised, and then the call would block.
fn retry<R>(
    host: &impl Host,
    mut call: impl FnMut() -> std::result::Result<R, System>,
) -> Result<R> {
    loop {
        match call() {
            Err(System::INTR) => host.check_running()?,
            result => return Ok(result?),
        }
    }
}
