//! Calls of WASI preview 1, bare: libraries would look at the arguments first, and call again.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};

/// What a call returns; 0 is success.
pub type Errno = u16;

/// The granted directory.
pub const ROOT: i32 = 3;
/// Follow a link at the end of a path.
pub const FOLLOW: i32 = 1;
/// Do not.
pub const NOFOLLOW: i32 = 0;
/// Of [`open`]: makes the file, and writes.
pub const CREATE: i32 = 1;

const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 6;
/// Both times become those of the call.
const NOW: i32 = 2 | 8;

/// Errors of preview 1.
pub mod errno {
    /// EAGAIN.
    pub const AGAIN: u16 = 6;
    /// EBADF.
    pub const BADF: u16 = 8;
    /// EILSEQ.
    pub const ILSEQ: u16 = 25;
    /// EINVAL.
    pub const INVAL: u16 = 28;
    /// ELOOP.
    pub const LOOP: u16 = 32;
    /// ENAMETOOLONG.
    pub const NAMETOOLONG: u16 = 37;
    /// ENOENT.
    pub const NOENT: u16 = 44;
    /// ENOTDIR.
    pub const NOTDIR: u16 = 54;
    /// ENOTSUP.
    pub const NOTSUP: u16 = 58;
    /// ENXIO.
    pub const NXIO: u16 = 60;
    /// EPERM.
    pub const PERM: u16 = 63;
}

#[repr(C)]
struct Vector(*mut u8, usize);

/// What `poll` waits for. Fields that are narrower have eight bytes, too: numbers are
/// little-endian.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Subscription {
    /// The subscriber's own.
    pub userdata: u64,
    /// 0 for a clock, 1 to read, 2 to write.
    pub kind: u64,
    /// The clock, or the descriptor.
    pub id: u64,
    /// Nanoseconds.
    pub timeout: u64,
    /// Unused.
    pub precision: u64,
    /// 1 for a moment instead of a time that passes.
    pub flags: u64,
}

/// What has happened.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    /// The subscriber's own.
    pub userdata: u64,
    /// 0, or what is wrong with the descriptor.
    pub errno: Errno,
    /// Of the subscription.
    pub kind: u8,
    /// That can be read at once.
    pub bytes: u64,
    /// 1 if nobody has the other end.
    pub flags: u16,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn path_open(
        fd: i32,
        lookup: i32,
        path: *const u8,
        length: usize,
        flags: i32,
        rights: u64,
        inheriting: u64,
        fdflags: i32,
        opened: *mut i32,
    ) -> i32;
    fn path_filestat_get(
        fd: i32,
        lookup: i32,
        path: *const u8,
        length: usize,
        stat: *mut u64,
    ) -> i32;
    fn path_filestat_set_times(
        fd: i32,
        lookup: i32,
        path: *const u8,
        length: usize,
        accessed: u64,
        modified: u64,
        flags: i32,
    ) -> i32;
    fn path_create_directory(fd: i32, path: *const u8, length: usize) -> i32;
    fn path_remove_directory(fd: i32, path: *const u8, length: usize) -> i32;
    fn path_unlink_file(fd: i32, path: *const u8, length: usize) -> i32;
    fn path_readlink(
        fd: i32,
        path: *const u8,
        length: usize,
        buffer: *mut u8,
        room: usize,
        used: *mut usize,
    ) -> i32;
    fn path_symlink(
        target: *const u8,
        target_length: usize,
        fd: i32,
        path: *const u8,
        length: usize,
    ) -> i32;
    fn path_link(
        fd: i32,
        lookup: i32,
        path: *const u8,
        length: usize,
        to_fd: i32,
        to: *const u8,
        to_length: usize,
    ) -> i32;
    fn path_rename(
        fd: i32,
        path: *const u8,
        length: usize,
        to_fd: i32,
        to: *const u8,
        to_length: usize,
    ) -> i32;
    fn fd_pread(fd: i32, vectors: *const Vector, count: usize, at: u64, read: *mut usize) -> i32;
    fn fd_write(fd: i32, vectors: *const Vector, count: usize, written: *mut usize) -> i32;
    fn fd_fdstat_set_flags(fd: i32, flags: i32) -> i32;
    fn fd_renumber(from: i32, to: i32) -> i32;
    fn clock_time_get(clock: i32, precision: u64, time: *mut u64) -> i32;
    fn poll_oneoff(
        subscriptions: *const Subscription,
        events: *mut Event,
        count: usize,
        ready: *mut usize,
    ) -> i32;
    fn fd_read(fd: i32, vectors: *const Vector, count: usize, read: *mut usize) -> i32;
    fn fd_close(fd: i32) -> i32;
}

/// Opens what a path leads to, below an open directory.
pub fn open(fd: i32, lookup: i32, path: &[u8], flags: i32) -> Result<i32, Errno> {
    let rights = if flags & CREATE == 0 { READ } else { READ | WRITE };
    let mut opened = -1;
    // SAFETY: the path and the result are there as long as the call lasts; so below.
    let errno = unsafe {
        path_open(fd, lookup, path.as_ptr(), path.len(), flags, rights, 0, 0, &raw mut opened)
    };
    if errno == 0 { Ok(opened) } else { Err(errno as Errno) }
}

/// Looks at what a path leads to.
pub fn stat(lookup: i32, path: &[u8]) -> Errno {
    let mut stat = [0; 8];
    // SAFETY: as above.
    unsafe {
        path_filestat_get(ROOT, lookup, path.as_ptr(), path.len(), stat.as_mut_ptr()) as Errno
    }
}

/// Sets the times of what a path leads to.
pub fn set_times(lookup: i32, path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_filestat_set_times(ROOT, lookup, path.as_ptr(), path.len(), 0, 0, NOW) as Errno }
}

/// Makes a directory.
pub fn create_directory(path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_create_directory(ROOT, path.as_ptr(), path.len()) as Errno }
}

/// Removes a directory.
pub fn remove_directory(path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_remove_directory(ROOT, path.as_ptr(), path.len()) as Errno }
}

/// Removes the name of a file.
pub fn unlink(path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_unlink_file(ROOT, path.as_ptr(), path.len()) as Errno }
}

/// Reads a link.
pub fn readlink(path: &[u8]) -> Errno {
    let (mut target, mut used) = ([0; 256], 0);
    // SAFETY: as above.
    unsafe {
        let room = target.len();
        path_readlink(ROOT, path.as_ptr(), path.len(), target.as_mut_ptr(), room, &raw mut used)
            as Errno
    }
}

/// Makes a link.
pub fn symlink(target: &[u8], path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_symlink(target.as_ptr(), target.len(), ROOT, path.as_ptr(), path.len()) as Errno }
}

/// Gives a file another name.
pub fn link(from: &[u8], to: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_link(ROOT, 0, from.as_ptr(), from.len(), ROOT, to.as_ptr(), to.len()) as Errno }
}

/// Gives a file or directory another name instead of its own.
pub fn rename(from: &[u8], to: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_rename(ROOT, from.as_ptr(), from.len(), ROOT, to.as_ptr(), to.len()) as Errno }
}

/// The first bytes of a file, which is closed then.
pub fn read(fd: i32) -> Vec<u8> {
    let (mut bytes, mut used) = (vec![0; 64], 0);
    let vector = Vector(bytes.as_mut_ptr(), bytes.len());
    // SAFETY: the vector names bytes that are there.
    let errno = unsafe { fd_read(fd, &raw const vector, 1, &raw mut used) };
    assert_eq!(errno, 0, "what was opened can be read");
    close(fd);
    bytes.truncate(used);
    bytes
}

/// Closes a descriptor.
pub fn close(fd: i32) -> Errno {
    // SAFETY: a number.
    unsafe { fd_close(fd) as Errno }
}

/// One read at a place in a file; how many bytes.
pub fn pread(fd: i32, bytes: &mut [u8], at: u64) -> Result<usize, Errno> {
    let vector = Vector(bytes.as_mut_ptr(), bytes.len());
    let mut used = 0;
    // SAFETY: the vector names bytes that are there.
    let errno = unsafe { fd_pread(fd, &raw const vector, 1, at, &raw mut used) };
    if errno == 0 { Ok(used) } else { Err(errno as Errno) }
}

/// One read from a stream or a file, into `bytes` or into no buffers at all.
pub fn read_once(fd: i32, bytes: Option<&mut [u8]>) -> Result<usize, Errno> {
    let count = usize::from(bytes.is_some());
    let vector = bytes
        .map_or(Vector(std::ptr::null_mut(), 0), |bytes| Vector(bytes.as_mut_ptr(), bytes.len()));
    let mut used = 0;
    // SAFETY: the vector names bytes that are there.
    let errno = unsafe { fd_read(fd, &raw const vector, count, &raw mut used) };
    if errno == 0 { Ok(used) } else { Err(errno as Errno) }
}

/// One write; how many bytes.
pub fn write_once(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    let vector = Vector(bytes.as_ptr().cast_mut(), bytes.len());
    let mut used = 0;
    // SAFETY: the vector names bytes that are there, and nobody writes them.
    let errno = unsafe { fd_write(fd, &raw const vector, 1, &raw mut used) };
    if errno == 0 { Ok(used) } else { Err(errno as Errno) }
}

/// Sets the flags of a descriptor.
pub fn set_flags(fd: i32, flags: i32) -> Errno {
    // SAFETY: numbers.
    unsafe { fd_fdstat_set_flags(fd, flags) as Errno }
}

/// Gives what a descriptor stands for another number.
pub fn renumber(from: i32, to: i32) -> Errno {
    // SAFETY: numbers.
    unsafe { fd_renumber(from, to) as Errno }
}

/// The nanoseconds of a clock.
pub fn clock(id: i32) -> Result<u64, Errno> {
    let mut time = 0;
    // SAFETY: the result is there as long as the call lasts.
    let errno = unsafe { clock_time_get(id, 0, &raw mut time) };
    if errno == 0 { Ok(time) } else { Err(errno as Errno) }
}

/// Waits until something has happened.
pub fn poll(subscriptions: &[Subscription]) -> Result<Vec<Event>, Errno> {
    let (count, mut ready) = (subscriptions.len(), 0);
    let mut events = vec![Event::default(); count];
    // SAFETY: there is an event for each subscription.
    let errno =
        unsafe { poll_oneoff(subscriptions.as_ptr(), events.as_mut_ptr(), count, &raw mut ready) };
    events.truncate(ready);
    if errno == 0 { Ok(events) } else { Err(errno as Errno) }
}

// ---- C's listings ----

/// `DIR`.
enum Stream {}

unsafe extern "C" {
    fn opendir(path: *const c_char) -> *mut Stream;
    fn readdir(dir: *mut Stream) -> *mut c_void;
    fn telldir(dir: *mut Stream) -> c_long;
    fn seekdir(dir: *mut Stream, position: c_long);
    fn closedir(dir: *mut Stream) -> c_int;
}

/// How many entries follow each position that `telldir` gives in a directory, when `seekdir` goes
/// there; `None` if it cannot be opened.
pub fn entries_behind_positions(path: &CStr) -> Option<Vec<usize>> {
    // SAFETY: the path ends in a null byte; the stream is open until it is closed here.
    unsafe {
        let dir = opendir(path.as_ptr());
        if dir.is_null() {
            return None;
        }
        let mut positions = Vec::new();
        loop {
            positions.push(telldir(dir));
            if readdir(dir).is_null() {
                break;
            }
        }
        let count = |position: &c_long| {
            seekdir(dir, *position);
            (0..).take_while(|_| !readdir(dir).is_null()).count()
        };
        let counts = positions.iter().map(count).collect();
        closedir(dir);
        Some(counts)
    }
}
