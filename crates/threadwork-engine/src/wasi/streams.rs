//! Standard streams. Reading and writing them may wait for somebody outside of the
//! process, so it is done without any lock that another thread could want, and ends
//! when the process does.

use super::poll::poll;
use super::{Errno, MODULE, MOST_VECTORS, Wasi, errno, files, with_memory};
use crate::process::{InputStream, OutputStream, State, can_block};
use crate::thread::ThreadContext;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io::{IsTerminal, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::{Ciovec, Iovec};
use wiggle::{GuestMemory, GuestPtr};

/// The most that one call moves; the guest calls again for the rest.
const MOST: usize = 64 << 10;

/// What a pipe takes without blocking once it polls as writable.
const PIPE_PART: usize = 4096;

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    In,
    Out,
    Err,
}

/// Which descriptors are standard streams.
pub(super) struct Streams(Vec<(u32, Stream)>);

impl Default for Streams {
    fn default() -> Self {
        Self(vec![(0, Stream::In), (1, Stream::Out), (2, Stream::Err)])
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
    reading: Mutex<()>,
}

/// Standard output or error.
pub(super) type Output = Closable<OutputStream>;

impl<S> Closable<S> {
    fn with(stream: S, can_block: bool) -> Self {
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
pub(super) struct Open<S>(Option<Arc<S>>);

impl Open<InputStream> {
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref()?.fd()
    }
}

impl Open<OutputStream> {
    fn is_inherited(&self) -> bool {
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
        let can_block = stream.fd().is_some_and(can_block);
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

impl Wasi {
    /// The standard stream that a descriptor is.
    pub(super) fn stream(&self, fd: u32) -> Option<Stream> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let found = streams.0.iter().find(|(other, _)| *other == fd);
        found.map(|(_, stream)| *stream)
    }

    /// The descriptor is closed.
    pub(super) fn forget_stream(&self, fd: u32) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.0.retain(|(other, _)| *other != fd);
    }

    /// The descriptor `from` becomes `to`, which is closed.
    pub(super) fn move_stream(&self, from: u32, to: u32) {
        if from == to {
            return;
        }
        self.forget_stream(to);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        for (fd, _) in &mut streams.0 {
            if *fd == from {
                *fd = to;
            }
        }
    }

    pub(super) fn output(&self, stream: Stream) -> &Output {
        match stream {
            Stream::Err => &self.stderr,
            Stream::Out | Stream::In => &self.stdout,
        }
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Caller<'_, ThreadContext>, fd: i32, bufs: i32, count: i32, result: i32| {
            match caller.data().process.wasi().stream(fd.cast_unsigned()) {
                None => files::fd_write(caller, fd, bufs, count, result),
                Some(Stream::In) => Ok(Errno::Badf as i32),
                Some(_) if count.cast_unsigned() > MOST_VECTORS => Ok(Errno::Inval as i32),
                Some(stream) => with_memory(&mut caller, |context, memory| {
                    let bufs = GuestPtr::new(bufs.cast_unsigned());
                    let bytes = gather(memory, bufs.as_array(count.cast_unsigned()))?;
                    reply(memory, result, write(context, stream, &bytes)?)
                }),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_read",
        |mut caller: Caller<'_, ThreadContext>, fd: i32, bufs: i32, count: i32, result: i32| {
            match caller.data().process.wasi().stream(fd.cast_unsigned()) {
                None => files::fd_read(caller, fd, bufs, count, result),
                Some(Stream::Out | Stream::Err) => Ok(Errno::Badf as i32),
                Some(_) if count.cast_unsigned() > MOST_VECTORS => Ok(Errno::Inval as i32),
                Some(Stream::In) => with_memory(&mut caller, |context, memory| {
                    let bufs = GuestPtr::<Iovec>::new(bufs.cast_unsigned());
                    let bufs = bufs.as_array(count.cast_unsigned());
                    let bytes = match read(context, room(memory, bufs)?)? {
                        Ok(bytes) => bytes,
                        Err(errno) => return Ok(Err(errno)),
                    };
                    scatter(memory, bufs, &bytes)?;
                    reply(memory, result, Ok(bytes.len()))
                }),
            }
        },
    )?;
    Ok(())
}

/// Writes the number of bytes that a call moved.
fn reply(
    memory: &mut GuestMemory<'_>,
    result: i32,
    moved: Result<usize, Errno>,
) -> Result<Result<(), Errno>> {
    match moved {
        Err(errno) => Ok(Err(errno)),
        Ok(moved) => {
            // At most `MOST`.
            memory.write(GuestPtr::new(result.cast_unsigned()), moved as u32)?;
            Ok(Ok(()))
        }
    }
}

/// The guest's buffers as one, at most `MOST` bytes.
fn gather(memory: &GuestMemory<'_>, bufs: GuestPtr<[Ciovec]>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for buf in bufs.iter() {
        let buf = memory.read(buf?)?;
        let length = (buf.buf_len as usize).min(MOST - bytes.len()) as u32;
        bytes.extend_from_slice(&memory.as_cow(buf.buf.as_array(length))?);
        if bytes.len() == MOST {
            break;
        }
    }
    Ok(bytes)
}

/// How much the guest's buffers hold, at most `MOST`.
fn room(memory: &GuestMemory<'_>, bufs: GuestPtr<[Iovec]>) -> Result<usize> {
    let mut room = 0_usize;
    for buf in bufs.iter() {
        room = room.saturating_add(memory.read(buf?)?.buf_len as usize);
    }
    Ok(room.min(MOST))
}

fn scatter(memory: &mut GuestMemory<'_>, bufs: GuestPtr<[Iovec]>, mut bytes: &[u8]) -> Result<()> {
    for buf in bufs.iter() {
        let buf = memory.read(buf?)?;
        let (part, rest) = bytes.split_at((buf.buf_len as usize).min(bytes.len()));
        memory.copy_from_slice(part, buf.buf.as_array(part.len() as u32))?;
        bytes = rest;
    }
    Ok(())
}

fn write(context: &ThreadContext, stream: Stream, bytes: &[u8]) -> Result<Result<usize, Errno>> {
    let wasi = context.process.wasi();
    let output = wasi.output(stream);
    let open = output.open();
    let Some(fd) = open.fd() else {
        if let Some(stream) = &open.0 {
            stream.keep(bytes);
        }
        return Ok(Ok(bytes.len()));
    };
    if !output.can_block() {
        return Ok(retry(|| rustix::io::write(fd, bytes)).map_err(errno));
    }
    let _call = context.thread.host_call();
    let part = &bytes[..bytes.len().min(PIPE_PART)];
    loop {
        match until_ready(&context.process, fd, PollFlags::OUT)? {
            Ok(()) => {}
            Err(errno) => return Ok(Err(errno)),
        }
        // A pipe of ours does not block, but one that is inherited does: its room must
        // still be there when it is used.
        let turn = open.is_inherited().then(|| crate::worker::lock(&TURN));
        if turn.is_some() && !is_writable(fd) {
            continue;
        }
        match retry(|| rustix::io::write(fd, part)) {
            // Somebody else who writes there was faster.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return Ok(result.map_err(errno)),
        }
    }
}

/// Held from a look at the room in an inherited stream until it is used. Standard
/// output and error are often the same pipe, so there is one for both.
static TURN: Mutex<()> = Mutex::new(());

fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    let ready = rustix::event::poll(&mut fds, Some(&Timespec::default()));
    ready.is_ok_and(|count| count > 0)
}

fn read(context: &ThreadContext, room: usize) -> Result<Result<Vec<u8>, Errno>> {
    let stdin = &context.process.wasi().stdin;
    let open = stdin.open();
    let mut bytes = vec![0; room];
    let read = match (&open.0, open.fd()) {
        (Some(stream), None) => {
            let InputStream::Bytes(left) = &**stream else {
                return Ok(Ok(Vec::new()));
            };
            crate::worker::lock(left).read(&mut bytes).map_err(errno)
        }
        (_, None) => Ok(0),
        (_, Some(fd)) if !stdin.can_block() => {
            retry(|| rustix::io::read(fd, &mut bytes[..])).map_err(errno)
        }
        (_, Some(fd)) => {
            let _call = context.thread.host_call();
            let _reading = reader(&context.process, &stdin.reading)?;
            match until_ready(&context.process, fd, PollFlags::IN)? {
                Ok(()) => retry(|| rustix::io::read(fd, &mut bytes[..])).map_err(errno),
                Err(errno) => Err(errno),
            }
        }
    };
    Ok(read.map(|read| {
        bytes.truncate(read);
        bytes
    }))
}

/// The right to read. Several threads that want the same input are rare, so those
/// that wait look now and then whether the process ends.
fn reader<'a>(process: &State, reading: &'a Mutex<()>) -> Result<std::sync::MutexGuard<'a, ()>> {
    const LOOK: Duration = Duration::from_millis(5);
    loop {
        process.check_running()?;
        match reading.try_lock() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOOK),
        }
    }
}

/// Waits until the descriptor can be used without blocking.
fn until_ready(process: &State, fd: BorrowedFd<'_>, flags: PollFlags) -> Result<Result<(), Errno>> {
    let cancel: OwnedFd = match process.wasi().cancel_fd() {
        Ok(cancel) => cancel,
        Err(error) => return Ok(Err(errno(error))),
    };
    let mut fds = [
        PollFd::from_borrowed_fd(cancel.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(fd, flags),
    ];
    // Ready is the usual case, and then the thread keeps its core.
    match poll(process, &mut fds, Some(Instant::now()))? {
        Ok(()) if fds[1].revents().is_empty() => {}
        result => return Ok(result),
    }
    let cores = process.engine().cores();
    cores.release();
    let result = poll(process, &mut fds, None);
    cores.acquire();
    result
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<usize>) -> std::io::Result<usize> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
