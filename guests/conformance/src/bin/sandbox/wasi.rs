//! The calls of WASI preview 1 that take paths, bare: libraries would look at the paths first.

/// What a call returns; 0 is success.
pub(crate) type Errno = u16;

/// The granted directory.
pub(crate) const ROOT: i32 = 3;
pub(crate) const FOLLOW: i32 = 1;
pub(crate) const NOFOLLOW: i32 = 0;
/// Of [`open`]: makes the file, and writes.
pub(crate) const CREATE: i32 = 1;

const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 6;
/// Both times become those of the call.
const NOW: i32 = 2 | 8;

/// Errors of preview 1.
pub(crate) mod errno {
    pub(crate) const ILSEQ: u16 = 25;
    pub(crate) const INVAL: u16 = 28;
    pub(crate) const LOOP: u16 = 32;
    pub(crate) const NAMETOOLONG: u16 = 37;
    pub(crate) const NOENT: u16 = 44;
    pub(crate) const NOTDIR: u16 = 54;
    pub(crate) const NOTSUP: u16 = 58;
    pub(crate) const NXIO: u16 = 60;
    pub(crate) const PERM: u16 = 63;
}

#[repr(C)]
struct Vector(*mut u8, usize);

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    #[expect(clippy::too_many_arguments, reason = "WASI has as many")]
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
    fn fd_read(fd: i32, vectors: *const Vector, count: usize, read: *mut usize) -> i32;
    fn fd_close(fd: i32) -> i32;
}

pub(crate) fn open(fd: i32, lookup: i32, path: &[u8], flags: i32) -> Result<i32, Errno> {
    let rights = if flags & CREATE == 0 { READ } else { READ | WRITE };
    let mut opened = -1;
    // SAFETY: the path and the result are there as long as the call lasts; so below.
    let errno = unsafe {
        path_open(fd, lookup, path.as_ptr(), path.len(), flags, rights, 0, 0, &raw mut opened)
    };
    if errno == 0 { Ok(opened) } else { Err(errno as Errno) }
}

pub(crate) fn stat(lookup: i32, path: &[u8]) -> Errno {
    let mut stat = [0; 8];
    // SAFETY: as above.
    unsafe {
        path_filestat_get(ROOT, lookup, path.as_ptr(), path.len(), stat.as_mut_ptr()) as Errno
    }
}

pub(crate) fn set_times(lookup: i32, path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_filestat_set_times(ROOT, lookup, path.as_ptr(), path.len(), 0, 0, NOW) as Errno }
}

pub(crate) fn create_directory(path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_create_directory(ROOT, path.as_ptr(), path.len()) as Errno }
}

pub(crate) fn remove_directory(path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_remove_directory(ROOT, path.as_ptr(), path.len()) as Errno }
}

pub(crate) fn unlink(path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_unlink_file(ROOT, path.as_ptr(), path.len()) as Errno }
}

pub(crate) fn readlink(path: &[u8]) -> Errno {
    let (mut target, mut used) = ([0; 256], 0);
    // SAFETY: as above.
    unsafe {
        let room = target.len();
        path_readlink(ROOT, path.as_ptr(), path.len(), target.as_mut_ptr(), room, &raw mut used)
            as Errno
    }
}

pub(crate) fn symlink(target: &[u8], path: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_symlink(target.as_ptr(), target.len(), ROOT, path.as_ptr(), path.len()) as Errno }
}

pub(crate) fn link(from: &[u8], to: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_link(ROOT, 0, from.as_ptr(), from.len(), ROOT, to.as_ptr(), to.len()) as Errno }
}

pub(crate) fn rename(from: &[u8], to: &[u8]) -> Errno {
    // SAFETY: as above.
    unsafe { path_rename(ROOT, from.as_ptr(), from.len(), ROOT, to.as_ptr(), to.len()) as Errno }
}

/// The first bytes of a file, which is closed then.
pub(crate) fn read(fd: i32) -> Vec<u8> {
    let (mut bytes, mut used) = (vec![0; 64], 0);
    let vector = Vector(bytes.as_mut_ptr(), bytes.len());
    // SAFETY: the vector names bytes that are there.
    let errno = unsafe { fd_read(fd, &raw const vector, 1, &raw mut used) };
    assert_eq!(errno, 0, "what was opened can be read");
    close(fd);
    bytes.truncate(used);
    bytes
}

pub(crate) fn close(fd: i32) -> Errno {
    // SAFETY: a number.
    unsafe { fd_close(fd) as Errno }
}
