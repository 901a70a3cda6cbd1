//! Reading and writing standard streams. It may wait for somebody outside of the process,
//! so it is done without any lock that another thread could want, and ends when the
//! process does.

use super::file_calls;
use super::host::{Errno, Host, MODULE, MOST_VECTORS, errno, with_memory};
use super::poll::poll;
use super::stdio::InputStream;
use super::streams::Stream;
use crate::limits::Limit;
use crate::lock::lock;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::{Ciovec, Iovec};
use wiggle::{GuestMemory, GuestPtr};

/// The most that one call moves; the guest calls again for the rest.
const MOST: usize = 64 << 10;

/// What a pipe takes without blocking once it polls as writable.
const PIPE_PART: usize = 4096;

pub(super) fn add_to_linker<H: Host>(linker: &mut Linker<H>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Caller<'_, H>, fd: i32, bufs: i32, count: i32, result: i32| match caller
            .data()
            .wasi()
            .streams()
            .find(fd.cast_unsigned())
        {
            None => file_calls::fd_write(caller, fd, bufs, count, result),
            Some(Stream::In) => Ok(Errno::Badf as i32),
            Some(_) if count.cast_unsigned() > MOST_VECTORS => Ok(Errno::Inval as i32),
            Some(stream) => with_memory(&mut caller, |host, memory| {
                let bufs = GuestPtr::new(bufs.cast_unsigned());
                let bytes = gather(memory, bufs.as_array(count.cast_unsigned()))?;
                reply(memory, result, write(host, stream, &bytes)?)
            }),
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_read",
        |mut caller: Caller<'_, H>, fd: i32, bufs: i32, count: i32, result: i32| match caller
            .data()
            .wasi()
            .streams()
            .find(fd.cast_unsigned())
        {
            None => file_calls::fd_read(caller, fd, bufs, count, result),
            Some(Stream::Out | Stream::Err) => Ok(Errno::Badf as i32),
            Some(_) if count.cast_unsigned() > MOST_VECTORS => Ok(Errno::Inval as i32),
            Some(Stream::In) => with_memory(&mut caller, |host, memory| {
                let bufs = GuestPtr::<Iovec>::new(bufs.cast_unsigned());
                let bufs = bufs.as_array(count.cast_unsigned());
                let bytes = match read(host, room(memory, bufs)?)? {
                    Ok(bytes) => bytes,
                    Err(errno) => return Ok(Err(errno)),
                };
                scatter(memory, bufs, &bytes)?;
                reply(memory, result, Ok(bytes.len()))
            }),
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

fn write(host: &impl Host, stream: Stream, bytes: &[u8]) -> Result<Result<usize, Errno>> {
    let output = host.wasi().output(stream);
    let open = output.open();
    let Some(fd) = open.fd() else {
        let kept = open.0.as_ref().map(|stream| stream.keep(bytes));
        return Ok(kept.unwrap_or(Ok(bytes.len())).map_err(|limit| {
            host.thread().meet_limit(Limit::Memory(limit));
            Errno::Nospc
        }));
    };
    if !output.can_block() {
        return Ok(retry(|| rustix::io::write(fd, bytes)).map_err(errno));
    }
    let _call = host.thread().host_call();
    let part = &bytes[..bytes.len().min(PIPE_PART)];
    loop {
        match until_ready(host, fd, PollFlags::OUT)? {
            Ok(()) => {}
            Err(errno) => return Ok(Err(errno)),
        }
        // A pipe of ours does not block, but one that is inherited does: its room must
        // still be there when it is used.
        let turn = open.is_inherited().then(|| lock(&TURN));
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

fn read(host: &impl Host, room: usize) -> Result<Result<Vec<u8>, Errno>> {
    let stdin = host.wasi().stdin();
    let open = stdin.open();
    let mut bytes = vec![0; room];
    let read = match (&open.0, open.fd()) {
        (Some(stream), None) => {
            let InputStream::Bytes(left) = &**stream else {
                return Ok(Ok(Vec::new()));
            };
            lock(left).read(&mut bytes).map_err(errno)
        }
        (_, None) => Ok(0),
        (_, Some(fd)) if !stdin.can_block() => {
            retry(|| rustix::io::read(fd, &mut bytes[..])).map_err(errno)
        }
        (_, Some(fd)) => {
            let _call = host.thread().host_call();
            let _reading = reader(host, &stdin.reading)?;
            match until_ready(host, fd, PollFlags::IN)? {
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
fn reader<'a>(host: &impl Host, reading: &'a Mutex<()>) -> Result<std::sync::MutexGuard<'a, ()>> {
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

/// Waits until the descriptor can be used without blocking.
fn until_ready(
    host: &impl Host,
    fd: BorrowedFd<'_>,
    flags: PollFlags,
) -> Result<Result<(), Errno>> {
    let cancel = host.wasi().cancel();
    let Some(cancel) = &cancel.0 else {
        return Ok(Err(Errno::Badf));
    };
    let mut fds = [
        PollFd::from_borrowed_fd(cancel.fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(fd, flags),
    ];
    // Ready is the usual case, and then the thread keeps its core.
    match poll(host, &mut fds, Some(Instant::now()))? {
        Ok(()) if fds[1].revents().is_empty() => {}
        result => return Ok(result),
    }
    let cores = host.cores();
    cores.release();
    let result = poll(host, &mut fds, None);
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
