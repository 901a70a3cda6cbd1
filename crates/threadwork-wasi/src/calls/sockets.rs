//! Calls on sockets: listeners that were granted, and connections to them.

use super::Call;
use super::files::written;
use crate::abi::{DATA_TRUNCATED, Filetype, checked, fdflags, riflags, rights, sdflags};
use crate::channel::{Channel, What};
use crate::descriptor::{Descriptor, Kind};
use crate::errno::{Errno, Result};
use crate::host::Host;
use crate::vectors::Vectors;
use rustix::event::PollFlags;
use rustix::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A stream that is a socket.
fn socket(descriptor: &Descriptor) -> Result<&Channel> {
    match &descriptor.kind {
        Kind::Stream(channel) if channel.is_socket() => Ok(channel),
        _ => Err(Errno::NOTSOCK.into()),
    }
}

pub(crate) fn sock_accept<H: Host>(call: &Call<'_, H>, fd: u32, flags: u32, result: u32) -> Result {
    let descriptor = call.get_with(fd, rights::SOCK_ACCEPT)?;
    let flags = checked(flags, fdflags::ALL)?;
    if flags & !fdflags::NONBLOCK != 0 {
        return Err(Errno::INVAL.into());
    }
    let listener = match &descriptor.kind {
        Kind::Listener(listener) => &listener.channel,
        // It does not listen.
        Kind::Stream(channel) if channel.is_socket() => return Err(Errno::INVAL.into()),
        _ => return Err(Errno::NOTSOCK.into()),
    };
    call.memory.locate(result, 4)?;
    let opened = call.open(&descriptor, || {
        let connection = listener.when_ready(call.host, PollFlags::IN, || accept(listener.fd()))?;
        let channel = Channel::owned(connection, What::new(Filetype::SocketStream));
        Ok(Kind::Stream(channel.opened_for(true, true, flags)))
    })?;
    Ok(call.memory.write_u32(result, opened)?)
}

/// Accepts a connection, which no child of the host program inherits.
fn accept(listener: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    return rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC);
    #[cfg(not(target_os = "linux"))]
    {
        let connection = rustix::net::accept(listener)?;
        rustix::io::fcntl_setfd(&connection, rustix::io::FdFlags::CLOEXEC)?;
        Ok(connection)
    }
}

pub(crate) fn sock_recv<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    vectors: u32,
    count: u32,
    flags: u32,
    result: u32,
    result_flags: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_READ)?;
    let flags = checked(flags, riflags::ALL)?;
    let channel = socket(&descriptor)?;
    let mut vectors = Vectors::read(&call.memory, vectors, count)?;
    call.memory.locate(result, 4)?;
    call.memory.locate(result_flags, 2)?;
    let peek = match flags & riflags::PEEK {
        0 => 0,
        _ => libc::MSG_PEEK,
    };
    let waits_for_all = flags & riflags::WAITALL != 0 && peek == 0;
    let (mut bytes, mut is_truncated) = (0, false);
    while vectors.left() > 0 {
        let received = match channel.receive(call.host, &mut vectors, peek) {
            Err(crate::errno::Failure::Errno(_)) if bytes > 0 => break,
            received => received?,
        };
        bytes += received.bytes;
        is_truncated |= received.is_truncated;
        vectors.advance(received.bytes.min(vectors.left()));
        if received.bytes == 0 || !waits_for_all {
            break;
        }
    }
    let flags = match is_truncated {
        true => DATA_TRUNCATED,
        false => 0,
    };
    call.memory.write_u32(result, bytes as u32)?;
    Ok(call.memory.write(result_flags, &flags.to_le_bytes())?)
}

pub(crate) fn sock_send<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    vectors: u32,
    count: u32,
    flags: u32,
    result: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_WRITE)?;
    // There are none.
    checked::<u16>(flags, 0)?;
    let channel = socket(&descriptor)?;
    let mut vectors = Vectors::read(&call.memory, vectors, count)?;
    call.memory.locate(result, 4)?;
    let bytes = written(call, &descriptor, &mut vectors, |vectors| {
        match vectors.left() {
            0 => Ok(0),
            _ => channel.write(call.host, vectors),
        }
    })?;
    Ok(call.memory.write_u32(result, bytes as u32)?)
}

pub(crate) fn sock_shutdown<H: Host>(call: &Call<'_, H>, fd: u32, how: u32) -> Result {
    let descriptor = call.get_with(fd, rights::SOCK_SHUTDOWN)?;
    let channel = match &descriptor.kind {
        Kind::Listener(listener) => &listener.channel,
        _ => socket(&descriptor)?,
    };
    let how = match checked(how, sdflags::ALL)? {
        sdflags::RD => Shutdown::Read,
        sdflags::WR => Shutdown::Write,
        sdflags::ALL => Shutdown::Both,
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(rustix::net::shutdown(channel.fd(), how)?)
}
