//! Calls on open files and streams.

use super::Call;
use crate::abi::{checked, fdflags, fstflags, rights};
use crate::channel::Channel;
use crate::descriptor::{Descriptor, Kind, Stream};
use crate::errno::{Errno, Failure, Result};
use crate::host::Host;
use crate::limits::{Limit, Reserved};
use crate::vectors::Vectors;
use rustix::fs::{SeekFrom, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::os::fd::BorrowedFd;

/// Bytes that go through a buffer of the host's own, where there is no descriptor.
const COPIED: usize = 64 << 10;

// ---- Reading ----

pub(crate) fn fd_read<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    vectors: u32,
    count: u32,
    result: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_READ)?;
    let mut vectors = Vectors::read(&call.memory, vectors, count)?;
    let bytes = match &descriptor.kind {
        Kind::Directory(_) => return Err(Errno::ISDIR.into()),
        Kind::Bytes(bytes) => read_bytes(&mut vectors, |room| bytes.read(room)),
        Kind::File(channel) | Kind::Stream(channel) if channel.is_readable => {
            match vectors.left() {
                0 => 0,
                _ => channel.read(call.host, &mut vectors)?,
            }
        }
        Kind::Listener(_) => return Err(Errno::NOTCONN.into()),
        _ => return Err(Errno::BADF.into()),
    };
    reply(call, result, bytes)
}

pub(crate) fn fd_pread<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    vectors: u32,
    count: u32,
    offset: u64,
    result: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_READ)?;
    if let Kind::Directory(_) = descriptor.kind {
        return Err(Errno::ISDIR.into());
    }
    let channel = descriptor.seekable()?;
    if !channel.is_readable {
        return Err(Errno::BADF.into());
    }
    let mut vectors = Vectors::read(&call.memory, vectors, count)?;
    let bytes = channel.read_file(call.host, &mut vectors, Some(offset))?;
    reply(call, result, bytes)
}

/// Fills the buffers with what `read` gives, piece by piece.
fn read_bytes(vectors: &mut Vectors<'_>, mut read: impl FnMut(&mut [u8]) -> usize) -> usize {
    let mut buffer = vec![0; vectors.left().min(COPIED)];
    let mut done = 0;
    while vectors.left() > 0 {
        let room = vectors.left().min(COPIED);
        let part = read(&mut buffer[..room]);
        if part == 0 {
            break;
        }
        done += vectors.fill(&buffer[..part]);
    }
    done
}

/// Says how many bytes a call moved: fewer than 2 GiB.
fn reply<H: Host>(call: &Call<'_, H>, result: u32, bytes: usize) -> Result {
    Ok(call.memory.write_u32(result, bytes as u32)?)
}

// ---- Writing ----

pub(crate) fn fd_write<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    vectors: u32,
    count: u32,
    result: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_WRITE)?;
    let mut vectors = Vectors::read(&call.memory, vectors, count)?;
    let bytes = match &descriptor.kind {
        Kind::File(channel) if channel.is_writable => {
            limited(call, &mut vectors, |vectors| match vectors.left() {
                0 => Ok(0),
                _ => channel.write(call.host, vectors),
            })?
        }
        kind => written(call, &descriptor, &mut vectors, |vectors| match kind {
            Kind::Null => Ok(vectors.left()),
            Kind::Sink(sink) => write_sink(call, vectors, |bytes| sink.write(bytes)),
            Kind::Stream(channel) if channel.is_writable => match vectors.left() {
                0 => Ok(0),
                _ => channel.write(call.host, vectors),
            },
            _ => Err(Errno::BADF.into()),
        })?,
    };
    reply(call, result, bytes)
}

pub(crate) fn fd_pwrite<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    vectors: u32,
    count: u32,
    offset: u64,
    result: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_WRITE)?;
    let channel = descriptor.seekable()?;
    if !channel.is_writable {
        return Err(Errno::BADF.into());
    }
    let mut vectors = Vectors::read(&call.memory, vectors, count)?;
    let write = |vectors: &mut Vectors<'_>| channel.write_file(call.host, vectors, Some(offset));
    let bytes = match descriptor.kind {
        Kind::File(_) => limited(call, &mut vectors, write)?,
        _ => written(call, &descriptor, &mut vectors, write)?,
    };
    reply(call, result, bytes)
}

/// Bytes of a message on standard error that its host is told of.
const COMPLAINT: usize = 1 << 10;

/// Writes to what is no file. Of a standard stream no more than its limit allows, beyond
/// which the process is ended.
pub(super) fn written<H: Host>(
    call: &Call<'_, H>,
    descriptor: &Descriptor,
    vectors: &mut Vectors<'_>,
    write: impl FnOnce(&mut Vectors<'_>) -> Result<usize>,
) -> Result<usize> {
    let Some(stream) = descriptor.stream else {
        return write(vectors);
    };
    if stream == Stream::Error {
        let mut text = [0; COMPLAINT];
        let length = vectors.copy(&mut text);
        call.host.complains(&text[..length]);
    }
    let output = call.host.wasi().output();
    let Some(limit) = output.limit() else {
        return write(vectors);
    };
    let asked = vectors.left() as u64;
    let reserved = output.reserve_part(asked);
    let reserved = reserved.map_err(|limit| call.host.end_by(limit))?;
    let allowed = reserved.bytes();
    // Not more than there are.
    vectors.truncate(allowed as usize);
    let written = write(vectors)?;
    reserved.use_up(written as u64);
    match allowed < asked && written as u64 == allowed {
        true => Err(call.host.end_by(limit).into()),
        false => Ok(written),
    }
}

/// Writes as much as the limit of bytes allows.
fn limited<H: Host>(
    call: &Call<'_, H>,
    vectors: &mut Vectors<'_>,
    write: impl FnOnce(&mut Vectors<'_>) -> Result<usize>,
) -> Result<usize> {
    let file_bytes = call.host.wasi().file_bytes();
    let Some(limit) = file_bytes.limit() else {
        return write(vectors);
    };
    let reserved = file_bytes.reserve_part(vectors.left() as u64);
    let reserved = reserved.map_err(|limit| refuse(call, limit))?;
    // Not more than there are.
    vectors.truncate(reserved.bytes() as usize);
    let written = write(vectors)?;
    spend(call, reserved, limit, written as u64);
    Ok(written)
}

fn refuse<H: Host>(call: &Call<'_, H>, limit: Limit) -> Errno {
    call.host.refused(limit);
    Errno::DQUOT
}

fn spend<H: Host>(call: &Call<'_, H>, reserved: Reserved<'_>, limit: Limit, bytes: u64) {
    reserved.use_up(bytes);
    call.host.granted(limit);
}

/// Gives a sink what there is, until it has no more room.
fn write_sink<H: Host>(
    call: &Call<'_, H>,
    vectors: &mut Vectors<'_>,
    mut write: impl FnMut(&[u8]) -> std::result::Result<usize, u64>,
) -> Result<usize> {
    let mut buffer = vec![0; vectors.left().min(COPIED)];
    let mut done = 0;
    while vectors.left() > 0 {
        call.host.check_running()?;
        let part = vectors.copy(&mut buffer);
        match write(&buffer[..part]) {
            Ok(taken) => {
                let taken = taken.min(part);
                vectors.advance(taken);
                done += taken;
                if taken < part {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(limit) => {
                call.host.refused(Limit::Sink(limit));
                return Err(Errno::NOSPC.into());
            }
        }
    }
    Ok(done)
}

// ---- Positions and sizes ----

pub(crate) fn fd_seek<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    offset: i64,
    whence: u32,
    result: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_SEEK)?;
    let channel = descriptor.seekable()?;
    let to = match whence {
        0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::INVAL)?),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::INVAL.into()),
    };
    call.memory.locate(result, 8)?;
    let position = rustix::fs::seek(channel.fd(), to)?;
    Ok(call.memory.write_u64(result, position)?)
}

pub(crate) fn fd_tell<H: Host>(call: &Call<'_, H>, fd: u32, result: u32) -> Result {
    let descriptor = call.get_with(fd, rights::FD_TELL)?;
    let position = rustix::fs::tell(descriptor.seekable()?.fd())?;
    Ok(call.memory.write_u64(result, position)?)
}

pub(crate) fn fd_filestat_set_size<H: Host>(call: &Call<'_, H>, fd: u32, size: u64) -> Result {
    // As Linux has it, this comes before what is open.
    i64::try_from(size).map_err(|_| Errno::INVAL)?;
    let descriptor = call.get_with(fd, rights::FD_FILESTAT_SET_SIZE)?;
    let channel = writable_file(&descriptor, Errno::INVAL)?;
    let grow = || Ok(rustix::fs::ftruncate(channel.fd(), size)?);
    grow_file(call, &descriptor, size, grow)
}

pub(crate) fn fd_allocate<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    offset: u64,
    length: u64,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_ALLOCATE)?;
    let is_negative = |number: u64| i64::try_from(number).is_err();
    if length == 0 || is_negative(length) || is_negative(offset) {
        return Err(Errno::INVAL.into());
    }
    let channel = writable_file(&descriptor, Errno::BADF)?;
    let size = offset.checked_add(length).ok_or(Errno::FBIG)?;
    #[cfg(target_os = "linux")]
    let grow = || {
        let flags = rustix::fs::FallocateFlags::empty();
        Ok(rustix::fs::fallocate(channel.fd(), flags, offset, length)?)
    };
    #[cfg(not(target_os = "linux"))]
    let grow = || Err(Errno::NOTSUP.into());
    grow_file(call, &descriptor, size, grow)
}

/// A file whose size can be changed; for a directory, and for one that was opened for reading
/// only, the error is as the call has it.
fn writable_file(descriptor: &Descriptor, otherwise: Errno) -> Result<&Channel> {
    match &descriptor.kind {
        Kind::File(channel) | Kind::Stream(channel) if channel.is_writable => Ok(channel),
        Kind::File(_) | Kind::Stream(_) | Kind::Directory(_) => Err(otherwise.into()),
        _ => Err(Errno::BADF.into()),
    }
}

/// Makes a file longer, perhaps, if the limit of bytes allows it.
fn grow_file<H: Host>(
    call: &Call<'_, H>,
    descriptor: &Descriptor,
    size: u64,
    grow: impl FnOnce() -> Result,
) -> Result {
    let file_bytes = call.host.wasi().file_bytes();
    let (Some(limit), Kind::File(_)) = (file_bytes.limit(), &descriptor.kind) else {
        return grow();
    };
    let now = descriptor.filestat()?.size;
    let growth = size.saturating_sub(now);
    let reserved = file_bytes.reserve_all(growth);
    let reserved = reserved.map_err(|limit| refuse(call, limit))?;
    grow()?;
    spend(call, reserved, limit, growth);
    Ok(())
}

// ---- What a descriptor is ----

pub(crate) fn fd_fdstat_get<H: Host>(call: &Call<'_, H>, fd: u32, result: u32) -> Result {
    let fdstat = call.get(fd)?.fdstat();
    Ok(call.memory.write(result, &fdstat.to_bytes())?)
}

pub(crate) fn fd_fdstat_set_flags<H: Host>(call: &Call<'_, H>, fd: u32, flags: u32) -> Result {
    let descriptor = call.get_with(fd, rights::FD_FDSTAT_SET_FLAGS)?;
    let flags = checked(flags, fdflags::ALL)?;
    match (descriptor.channel(), &descriptor.kind) {
        (Some(channel), _) => channel.set_flags(flags),
        (None, Kind::Directory(directory)) => {
            directory.set_flags(flags);
            Ok(())
        }
        // Neither waits for anything, nor has a position.
        (None, _) => match flags & !(fdflags::NONBLOCK | fdflags::APPEND) {
            0 => Ok(()),
            _ => Err(Errno::INVAL.into()),
        },
    }
}

pub(crate) fn fd_fdstat_set_rights<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    base: u64,
    inheriting: u64,
) -> Result {
    call.get(fd)?.set_rights(base, inheriting)
}

pub(crate) fn fd_filestat_get<H: Host>(call: &Call<'_, H>, fd: u32, result: u32) -> Result {
    let descriptor = call.get_with(fd, rights::FD_FILESTAT_GET)?;
    let stat = descriptor.filestat()?;
    Ok(call.memory.write(result, &stat.to_bytes())?)
}

pub(crate) fn fd_filestat_set_times<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Result {
    let descriptor = call.get(fd)?;
    let times = times(accessed, modified, flags)?;
    descriptor.require(rights::FD_FILESTAT_SET_TIMES)?;
    Ok(rustix::fs::futimens(file(&descriptor)?, &times)?)
}

/// Times as the system has them.
pub(super) fn times(accessed: u64, modified: u64, flags: u32) -> Result<Timestamps> {
    let flags = checked(flags, fstflags::ALL)?;
    let time = |nanoseconds: u64, set: u16, now: u16| {
        let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        match (flags & set != 0, flags & now != 0) {
            (true, true) => Err(Failure::from(Errno::INVAL)),
            (false, true) => Ok(special(UTIME_NOW)),
            (false, false) => Ok(special(UTIME_OMIT)),
            (true, false) => Ok(Timespec {
                // Both are far from what their types hold.
                tv_sec: (nanoseconds / 1_000_000_000).cast_signed(),
                tv_nsec: (nanoseconds % 1_000_000_000).cast_signed(),
            }),
        }
    };
    Ok(Timestamps {
        last_access: time(accessed, fstflags::ATIM, fstflags::ATIM_NOW)?,
        last_modification: time(modified, fstflags::MTIM, fstflags::MTIM_NOW)?,
    })
}

// ---- The descriptor itself ----

/// What has a file, or a directory, behind it.
fn file(descriptor: &Descriptor) -> Result<BorrowedFd<'_>> {
    use std::os::fd::AsFd;
    match (&descriptor.kind, descriptor.channel()) {
        (Kind::Directory(directory), _) => Ok(directory.dir.as_fd()),
        (_, Some(channel)) => Ok(channel.fd()),
        (_, None) => Err(Errno::INVAL.into()),
    }
}

pub(crate) fn fd_sync<H: Host>(call: &Call<'_, H>, fd: u32) -> Result {
    let descriptor = call.get_with(fd, rights::FD_SYNC)?;
    Ok(rustix::fs::fsync(file(&descriptor)?)?)
}

pub(crate) fn fd_datasync<H: Host>(call: &Call<'_, H>, fd: u32) -> Result {
    let descriptor = call.get_with(fd, rights::FD_DATASYNC)?;
    #[cfg(not(target_vendor = "apple"))]
    return Ok(rustix::fs::fdatasync(file(&descriptor)?)?);
    #[cfg(target_vendor = "apple")]
    return Ok(rustix::fs::fsync(file(&descriptor)?)?);
}

pub(crate) fn fd_advise<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    offset: u64,
    length: u64,
    advice: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::FD_ADVISE)?;
    if advice > 5 {
        return Err(Errno::INVAL.into());
    }
    let channel = descriptor.seekable()?;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::Advice;
        let advice = match advice {
            0 => Advice::Normal,
            1 => Advice::Sequential,
            2 => Advice::Random,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            _ => Advice::NoReuse,
        };
        let length = std::num::NonZeroU64::new(length);
        rustix::fs::fadvise(channel.fd(), offset, length, advice)?;
    }
    // Other systems need none.
    #[cfg(not(target_os = "linux"))]
    let _ = (channel, offset, length);
    Ok(())
}

pub(crate) fn fd_close<H: Host>(call: &Call<'_, H>, fd: u32) -> Result {
    let closed = call.host.wasi().table().remove(fd);
    closed.map(drop).map_err(|_| Errno::BADF.into())
}

pub(crate) fn fd_renumber<H: Host>(call: &Call<'_, H>, from: u32, to: u32) -> Result {
    let replaced = call.host.wasi().table().renumber(from, to);
    replaced.map(drop).map_err(|_| Errno::BADF.into())
}
