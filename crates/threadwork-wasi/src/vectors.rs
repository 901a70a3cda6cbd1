//! [`Vectors`]: the buffers of one call, and the system calls that read or write them where
//! they are, in the guest's memory.
//!
//! Invariant: every buffer lies in the memory that it was made from, and there are no more
//! than [`MOST_VECTORS`], as on other systems: what the host allocates for a call does not
//! grow with what the guest asks for.

use crate::errno::Errno;
use crate::memory::{GuestMemory, copy_in, copy_out};
use libc::iovec;
use rustix::io::Errno as System;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Buffers that one call may have.
pub(crate) const MOST_VECTORS: u32 = 1024;

/// Bytes that one call moves at most, as on Linux.
const MOST_BYTES: usize = 0x7fff_f000;

/// See the module's documentation.
pub(crate) struct Vectors<'a> {
    rest: Few,
    /// Of `rest`, those before are done.
    first: usize,
    left: usize,
    memory: PhantomData<GuestMemory<'a>>,
}

/// Buffers, of which there is one as a rule: then nothing is allocated.
enum Few {
    One([iovec; 1]),
    Many(Vec<iovec>),
}

impl Deref for Few {
    type Target = [iovec];

    fn deref(&self) -> &[iovec] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

impl DerefMut for Few {
    fn deref_mut(&mut self) -> &mut [iovec] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

impl<'a> Vectors<'a> {
    /// The `count` buffers whose addresses and lengths stand at `at`.
    pub(crate) fn read(memory: &GuestMemory<'a>, at: u32, count: u32) -> Result<Self, Errno> {
        if count > MOST_VECTORS {
            return Err(Errno::INVAL);
        }
        // All of them are there, before any is looked at; none are nowhere.
        if count > 0 {
            memory.locate(at, count as usize * 8)?;
        }
        let mut left = MOST_BYTES;
        let mut vector = |place: u32| {
            let pair: [u8; 8] = memory.read(at + place * 8)?;
            let [a, b, c, d, e, f, g, h] = pair;
            let length = u32::from_le_bytes([e, f, g, h]) as usize;
            let base = match length {
                // Wherever it is, nobody goes there.
                0 => std::ptr::dangling_mut(),
                _ => memory.locate(u32::from_le_bytes([a, b, c, d]), length)?,
            };
            let iov_len = length.min(left);
            left -= iov_len;
            Ok(iovec {
                iov_base: base.cast(),
                iov_len,
            })
        };
        let rest = match count {
            1 => Few::One([vector(0)?]),
            _ => Few::Many((0..count).map(vector).collect::<Result<_, Errno>>()?),
        };
        Ok(Self {
            rest,
            first: 0,
            left: MOST_BYTES - left,
            memory: PhantomData,
        })
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Forgets what is beyond so many bytes.
    pub(crate) fn truncate(&mut self, most: usize) {
        self.left = self.left.min(most);
        let mut room = self.left;
        for vector in &mut self.rest[self.first..] {
            vector.iov_len = vector.iov_len.min(room);
            room -= vector.iov_len;
        }
    }

    /// So many bytes are done.
    pub(crate) fn advance(&mut self, mut done: usize) {
        self.left -= done;
        while done > 0 {
            let vector = &mut self.rest[self.first];
            let part = done.min(vector.iov_len);
            vector.iov_base = vector.iov_base.wrapping_byte_add(part);
            vector.iov_len -= part;
            done -= part;
            if vector.iov_len == 0 {
                self.first += 1;
            }
        }
    }

    /// Calls `body` with the first `most` bytes of what is left.
    fn with_part<R>(&mut self, most: usize, body: impl FnOnce(&[iovec]) -> R) -> R {
        let mut room = most;
        let mut end = self.first;
        while end < self.rest.len() && room > self.rest[end].iov_len {
            room -= self.rest[end].iov_len;
            end += 1;
        }
        let Some(last) = self.rest.get_mut(end) else {
            return body(&self.rest[self.first..]);
        };
        let whole = last.iov_len;
        last.iov_len = room;
        let result = body(&self.rest[self.first..=end]);
        self.rest[end].iov_len = whole;
        result
    }

    /// Fills what is left with `bytes`, as far as there is room; says how many there were.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        for vector in &self.rest[self.first..] {
            let part = vector.iov_len.min(bytes.len() - at);
            // SAFETY: the buffer is in the guest's memory, by the invariant.
            unsafe { copy_in(&bytes[at..at + part], vector.iov_base.cast()) };
            at += part;
        }
        self.advance(at);
        at
    }

    /// Copies what is left into `bytes`, as far as there is room; says how many there were.
    /// They are still left.
    pub(crate) fn copy(&self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        for vector in &self.rest[self.first..] {
            let part = vector.iov_len.min(bytes.len() - at);
            // SAFETY: as in `fill`.
            unsafe { copy_out(vector.iov_base.cast(), &mut bytes[at..at + part]) };
            at += part;
        }
        at
    }
}

/// How a call on a descriptor is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// At the descriptor's position.
    Plain,
    /// At this offset.
    At(u64),
    /// At its position, and never waiting: `EAGAIN` instead. `ENOTSUP` or `EINVAL` if the
    /// system cannot do that with this descriptor.
    NoWait,
}

/// Reads up to `most` bytes to where they belong.
pub(crate) fn read(
    fd: BorrowedFd<'_>,
    vectors: &mut Vectors<'_>,
    most: usize,
    how: How,
) -> Result<usize, System> {
    vectors.with_part(most, |vectors| {
        let (fd, at, count) = (fd.as_raw_fd(), vectors.as_ptr(), vectors.len() as i32);
        result(match (how, vectors) {
            // SAFETY: the buffer is in the guest's memory, which may change at any time anyway.
            (How::Plain, [one]) => unsafe { libc::read(fd, one.iov_base, one.iov_len) },
            // SAFETY: the vectors are as many as said; as above.
            (How::Plain, _) => unsafe { libc::readv(fd, at, count) },
            (How::At(offset), _) => {
                let offset = offset_of(offset)?;
                // SAFETY: as above.
                unsafe { libc::preadv(fd, at, count, offset) }
            }
            // SAFETY: as above.
            #[cfg(target_os = "linux")]
            (How::NoWait, _) => unsafe { libc::preadv2(fd, at, count, -1, libc::RWF_NOWAIT) },
            #[cfg(not(target_os = "linux"))]
            (How::NoWait, _) => return Err(System::OPNOTSUPP),
        })
    })
}

/// Writes up to `most` bytes from where they are.
pub(crate) fn write(
    fd: BorrowedFd<'_>,
    vectors: &mut Vectors<'_>,
    most: usize,
    how: How,
) -> Result<usize, System> {
    vectors.with_part(most, |vectors| {
        let (fd, at, count) = (fd.as_raw_fd(), vectors.as_ptr(), vectors.len() as i32);
        result(match (how, vectors) {
            // SAFETY: as in `read`.
            (How::Plain, [one]) => unsafe { libc::write(fd, one.iov_base, one.iov_len) },
            // SAFETY: as in `read`.
            (How::Plain, _) => unsafe { libc::writev(fd, at, count) },
            (How::At(offset), _) => {
                let offset = offset_of(offset)?;
                // SAFETY: as in `read`.
                unsafe { libc::pwritev(fd, at, count, offset) }
            }
            // SAFETY: as in `read`.
            #[cfg(target_os = "linux")]
            (How::NoWait, _) => unsafe { libc::pwritev2(fd, at, count, -1, libc::RWF_NOWAIT) },
            #[cfg(not(target_os = "linux"))]
            (How::NoWait, _) => return Err(System::OPNOTSUPP),
        })
    })
}

/// What a socket gave.
pub(crate) struct Received {
    pub(crate) bytes: usize,
    /// There was more in the message than there was room for.
    pub(crate) is_truncated: bool,
}

/// Receives from a socket, without waiting.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    vectors: &mut Vectors<'_>,
    flags: i32,
) -> Result<Received, System> {
    vectors.with_part(usize::MAX, |vectors| {
        let mut message = message(vectors);
        // SAFETY: as in `read`; the message has no address and no other data.
        let bytes = result(unsafe {
            libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags | libc::MSG_DONTWAIT)
        })?;
        Ok(Received {
            bytes,
            is_truncated: message.msg_flags & libc::MSG_TRUNC != 0,
        })
    })
}

/// Sends to a socket, without waiting and without a signal if nobody receives any more.
pub(crate) fn send(fd: BorrowedFd<'_>, vectors: &mut Vectors<'_>) -> Result<usize, System> {
    vectors.with_part(usize::MAX, |vectors| {
        let message = message(vectors);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: as in `receive`.
        result(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, flags) })
    })
}

/// A message of these bytes.
fn message(vectors: &[iovec]) -> libc::msghdr {
    // SAFETY: integers and pointers, of which all may be zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_ptr().cast_mut();
    // At most `MOST_VECTORS`; the type differs between systems.
    message.msg_iovlen = vectors.len() as _;
    message
}

/// An offset as the system has it.
fn offset_of(offset: u64) -> Result<libc::off_t, System> {
    libc::off_t::try_from(offset).map_err(|_| System::INVAL)
}

fn result(bytes: isize) -> Result<usize, System> {
    usize::try_from(bytes).map_err(|_| {
        let error = std::io::Error::last_os_error();
        System::from_io_error(&error).unwrap_or(System::IO)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    /// A memory with these vectors at 0, and `bytes` from 512 on.
    fn memory(pairs: &[(u32, u32)], bytes: &[u8]) -> Vec<u8> {
        let mut store = vec![0; 1024];
        for (place, (at, length)) in store.chunks_exact_mut(8).zip(pairs) {
            place[..4].copy_from_slice(&at.to_le_bytes());
            place[4..].copy_from_slice(&length.to_le_bytes());
        }
        store[512..512 + bytes.len()].copy_from_slice(bytes);
        store
    }

    fn view(store: &mut [u8]) -> GuestMemory<'_> {
        // SAFETY: the caller uses the array by this alone while it lives.
        unsafe { GuestMemory::new(store.as_mut_ptr(), store.len()) }
    }

    #[test]
    fn vectors_are_in_the_memory_or_a_fault() {
        let read = |pairs: &[(u32, u32)], count| {
            let mut store = memory(pairs, &[]);
            let vectors = Vectors::read(&view(&mut store), 0, count);
            vectors.map(|vectors| vectors.left())
        };
        assert_eq!(
            read(&[(512, 10), (0, 0), (u32::MAX, 0), (1014, 10)], 4),
            Ok(20)
        );
        assert_eq!(read(&[(1015, 10)], 1), Err(Errno::FAULT));
        assert_eq!(read(&[(u32::MAX, u32::MAX)], 1), Err(Errno::FAULT));
        assert_eq!(read(&[], MOST_VECTORS + 1), Err(Errno::INVAL));
        assert_eq!(read(&[], u32::MAX), Err(Errno::INVAL));
        assert_eq!(read(&[], 129), Err(Errno::FAULT));
    }

    #[test]
    fn parts_and_whole_reach_the_system() {
        let mut store = memory(&[(512, 5), (514, 3), (520, 4)], b"hello, world");
        let mut file = tempfile::tempfile().unwrap();
        let memory = view(&mut store);
        let mut vectors = Vectors::read(&memory, 0, 3).unwrap();
        for most in [1, 3, 100] {
            let done = write(file.as_fd(), &mut vectors, most, How::Plain).unwrap();
            vectors.advance(done);
        }
        assert_eq!(vectors.left(), 0);
        let mut text = String::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hellolloorld");
        let mut vectors = Vectors::read(&memory, 0, 3).unwrap();
        assert_eq!(read(file.as_fd(), &mut vectors, 7, How::At(2)), Ok(7));
        vectors.advance(7);
        assert_eq!(vectors.left(), 5);
        assert_eq!(
            read(file.as_fd(), &mut vectors, 1, How::At(u64::MAX)),
            Err(System::INVAL)
        );
    }

    #[test]
    fn copies_stop_where_there_is_no_room() {
        let mut store = memory(&[(512, 5), (520, 4)], b"hello, world");
        let memory = view(&mut store);
        let mut vectors = Vectors::read(&memory, 0, 2).unwrap();
        let mut bytes = [0; 7];
        assert_eq!(vectors.copy(&mut bytes), 7);
        assert_eq!(&bytes, b"helloor");
        assert_eq!(vectors.fill(b"abcdefg"), 7);
        assert_eq!(vectors.left(), 2);
        assert_eq!(vectors.fill(b"hijk"), 2);
        let back: [u8; 4] = memory.read(520).unwrap();
        assert_eq!(&back, b"fghi");
    }

    #[test]
    fn a_pipe_without_input_says_so_at_once() {
        let mut store = memory(&[(512, 5)], &[]);
        let memory = view(&mut store);
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut vectors = Vectors::read(&memory, 0, 1).unwrap();
        let empty = read(reader.as_fd(), &mut vectors, 5, How::NoWait);
        assert!(
            matches!(empty, Err(System::AGAIN | System::OPNOTSUPP)),
            "{empty:?}"
        );
        writer.write_all(b"abc").unwrap();
        if empty == Err(System::AGAIN) {
            assert_eq!(read(reader.as_fd(), &mut vectors, 5, How::NoWait), Ok(3));
        }
    }
}
