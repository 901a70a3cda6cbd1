//! Makes the calls, and says what each returned.
//!
//! One program runs after another: a descriptor that the last one left open would shift the
//! numbers of the next.

use std::ffi::{CStr, CString};
use std::fmt::Write;

use libc::{c_int, c_void};

use crate::errno;
use crate::program::{Access, At, Call, Open, PLACES, Place, Time, Whence};
use crate::tree;

/// The state of a program: its folder, and what its places have.
pub(crate) struct Calls {
    root: c_int,
    /// The lowest descriptor that is free at the start.
    base: c_int,
    places: [Option<c_int>; PLACES],
}

impl Calls {
    /// A program that works in this folder, which is made.
    pub(crate) fn in_folder(name: &str) -> Self {
        std::fs::create_dir(name).expect("the folder can be made");
        let name = text(name);
        close_inherited();
        // SAFETY: the name ends in a null byte.
        let root = unsafe { libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) };
        assert!(root >= 0, "the folder can be opened: {}", errno::last());
        Self { root, base: root + 1, places: [None; PLACES] }
    }

    /// What the call returns, or the name of its error.
    pub(crate) fn make(&mut self, call: &Call) -> String {
        match call {
            Call::Open { to, at, path, how } => self.open(*to, *at, path, *how),
            Call::Close { fd } => {
                let number = self.fd(*fd);
                self.places[*fd] = None;
                // SAFETY: nobody else has the descriptor.
                done(unsafe { libc::close(number) })
            }
            Call::Read { fd, parts } => self.read(*fd, parts),
            Call::Write { fd, parts, byte } => self.write(*fd, parts, *byte),
            Call::ReadAt { fd, length, offset } => {
                let mut bytes = vec![0_u8; *length];
                let (at, fd) = (bytes.as_mut_ptr().cast(), self.fd(*fd));
                // SAFETY: there is room for so many bytes.
                let read = unsafe { libc::pread(fd, at, *length, *offset as libc::off_t) };
                got(read, &bytes)
            }
            Call::WriteAt { fd, length, offset, byte } => {
                let bytes = vec![*byte; *length];
                let (at, fd) = (bytes.as_ptr().cast(), self.fd(*fd));
                // SAFETY: there are so many bytes.
                count(unsafe { libc::pwrite(fd, at, *length, *offset as libc::off_t) })
            }
            Call::Seek { fd, offset, whence } => {
                let whence = match whence {
                    Whence::Start => libc::SEEK_SET,
                    Whence::Current => libc::SEEK_CUR,
                    Whence::End => libc::SEEK_END,
                };
                // SAFETY: no precondition, here and where nothing is said.
                let at = unsafe { libc::lseek(self.fd(*fd), *offset as libc::off_t, whence) };
                count(at as isize)
            }
            Call::Truncate { fd, length } => {
                // SAFETY: as above.
                done(unsafe { libc::ftruncate(self.fd(*fd), *length as libc::off_t) })
            }
            Call::TruncatePath { path, length } => self.truncate(path, *length),
            Call::Allocate { fd, offset, length } => {
                let (offset, length) = (*offset as libc::off_t, *length as libc::off_t);
                // SAFETY: as above.
                match unsafe { libc::posix_fallocate(self.fd(*fd), offset, length) } {
                    0 => "ok".to_owned(),
                    error => errno::name(error),
                }
            }
            // SAFETY: as above.
            Call::Sync { fd, data: false } => done(unsafe { libc::fsync(self.fd(*fd)) }),
            // SAFETY: as above.
            Call::Sync { fd, data: true } => done(unsafe { libc::fdatasync(self.fd(*fd)) }),
            Call::Flags { fd } => self.flags(*fd),
            Call::SetFlags { fd, append, nonblock } => self.set_flags(*fd, *append, *nonblock),
            Call::Poll { fd } => self.poll(*fd),
            Call::Stat { fd } => {
                let fd = self.fd(*fd);
                // SAFETY: the record is there to be written to.
                stat(|stat| unsafe { libc::fstat(fd, stat) })
            }
            Call::StatAt { at, path, follow } => {
                let (at, path, follow) = (self.at(*at), text(path), following(*follow));
                // SAFETY: as above; the path ends in a null byte, here and below.
                stat(|stat| unsafe { libc::fstatat(at, path.as_ptr(), stat, follow) })
            }
            Call::Times { fd, access, modified } => {
                let times = [time(*access), time(*modified)];
                // SAFETY: there are two times.
                done(unsafe { libc::futimens(self.fd(*fd), times.as_ptr()) })
            }
            Call::TimesAt { at, path, access, modified, follow } => {
                let (times, path) = ([time(*access), time(*modified)], text(path));
                let (at, follow) = (self.at(*at), following(*follow));
                // SAFETY: as above.
                done(unsafe { libc::utimensat(at, path.as_ptr(), times.as_ptr(), follow) })
            }
            Call::Access { at, path } => {
                let path = text(path);
                // SAFETY: as above.
                done(unsafe { libc::faccessat(self.at(*at), path.as_ptr(), libc::F_OK, 0) })
            }
            Call::CreateDir { at, path } => {
                let path = text(path);
                // SAFETY: as above.
                done(unsafe { libc::mkdirat(self.at(*at), path.as_ptr(), 0o777) })
            }
            Call::Remove { at, path, directory } => {
                let (path, flags) = (text(path), if *directory { libc::AT_REMOVEDIR } else { 0 });
                // SAFETY: as above.
                done(unsafe { libc::unlinkat(self.at(*at), path.as_ptr(), flags) })
            }
            Call::Rename { at, path, new_at, new_path } => {
                let (from, to) = (text(path), text(new_path));
                let (at, new_at) = (self.at(*at), self.at(*new_at));
                // SAFETY: as above.
                done(unsafe { libc::renameat(at, from.as_ptr(), new_at, to.as_ptr()) })
            }
            Call::Link { at, path, new_at, new_path } => {
                let (from, to) = (text(path), text(new_path));
                let (at, new_at) = (self.at(*at), self.at(*new_at));
                // SAFETY: as above.
                done(unsafe { libc::linkat(at, from.as_ptr(), new_at, to.as_ptr(), 0) })
            }
            Call::Symlink { target, at, path } => {
                let (target, path) = (text(target), text(path));
                // SAFETY: as above.
                done(unsafe { libc::symlinkat(target.as_ptr(), self.at(*at), path.as_ptr()) })
            }
            Call::ReadLink { at, path, room } => {
                let (path, mut bytes) = (text(path), vec![0_u8; *room]);
                let (at, to) = (self.at(*at), bytes.as_mut_ptr().cast());
                // SAFETY: as above, and there is so much room.
                let read = unsafe { libc::readlinkat(at, path.as_ptr(), to, *room) };
                got(read, &bytes)
            }
            Call::List { at, path } => self.list(*at, path),
        }
    }

    /// The same folder and descriptors, for another thread.
    pub(crate) fn shared(&self) -> Self {
        Self { ..*self }
    }

    /// Closes what the places from this one on have.
    pub(crate) fn close_own(&mut self, from: Place) {
        for fd in self.places[from..].iter_mut().filter_map(Option::take) {
            // SAFETY: nobody else has the descriptor.
            unsafe { libc::close(fd) };
        }
    }

    /// Closes all descriptors.
    pub(crate) fn end(&mut self) {
        self.close_own(0);
        // SAFETY: nobody else has the descriptor.
        unsafe { libc::close(self.root) };
    }

    /// What the descriptors have: the number of the file, its position and flags.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn state(&self) -> Vec<Option<(u64, i64, c_int)>> {
        let state = |fd: &Option<c_int>| {
            let fd = (*fd)?;
            // SAFETY: of integers, which may all be zero.
            let mut stat: libc::stat = unsafe { std::mem::zeroed() };
            // SAFETY: the record is there; no precondition.
            let at = unsafe {
                libc::fstat(fd, &raw mut stat);
                libc::lseek(fd, 0, libc::SEEK_CUR)
            };
            // SAFETY: no precondition.
            Some((stat.st_ino, at, unsafe { libc::fcntl(fd, libc::F_GETFL) }))
        };
        self.places.iter().map(state).collect()
    }

    /// What a place has; a number that no descriptor has if it is empty.
    fn fd(&self, place: Place) -> c_int {
        self.places[place].unwrap_or(-1)
    }

    fn at(&self, at: At) -> c_int {
        at.map_or(self.root, |place| self.fd(place))
    }

    // ---- Calls that need more than a line ----

    fn open(&mut self, to: Place, at: At, path: &str, how: Open) -> String {
        let mut flags = match how.access {
            Access::Read => libc::O_RDONLY,
            Access::Write => libc::O_WRONLY,
            Access::Both => libc::O_RDWR,
        };
        for (is_set, flag) in [
            // Linux ignores or refuses this pair, by its version.
            (how.create && !how.directory, libc::O_CREAT),
            (how.exclusive && how.create && !how.directory, libc::O_EXCL),
            // What it means for a file that is only read nobody says.
            (how.truncate && !matches!(how.access, Access::Read), libc::O_TRUNC),
            (how.append, libc::O_APPEND),
            (how.directory, libc::O_DIRECTORY),
            (how.no_follow, libc::O_NOFOLLOW),
            (how.nonblock, libc::O_NONBLOCK),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        let path = text(path);
        // SAFETY: the path ends in a null byte.
        let fd = unsafe { libc::openat(self.at(at), path.as_ptr(), flags, 0o666) };
        if fd < 0 {
            return errno::last();
        }
        if let Some(before) = self.places[to].replace(fd) {
            // SAFETY: nobody else has the descriptor.
            unsafe { libc::close(before) };
        }
        format!("descriptor {}", fd - self.base)
    }

    fn read(&self, fd: Place, parts: &[usize]) -> String {
        let mut bytes = vec![0_u8; parts.iter().sum()];
        let mut rest = &mut bytes[..];
        let mut vectors = Vec::new();
        for part in parts {
            let (this, after) = rest.split_at_mut(*part);
            vectors.push(libc::iovec { iov_base: this.as_mut_ptr().cast(), iov_len: *part });
            rest = after;
        }
        let (at, parts) = (vectors.as_ptr(), vectors.len() as c_int);
        // SAFETY: the parts are as long as said, and apart from each other.
        let read = unsafe { libc::readv(self.fd(fd), at, parts) };
        got(read, &bytes)
    }

    fn write(&self, fd: Place, parts: &[usize], byte: u8) -> String {
        let parts: Vec<_> = parts.iter().zip(byte..).map(|(part, b)| vec![b; *part]).collect();
        let vector = |part: &Vec<u8>| libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast::<c_void>(),
            iov_len: part.len(),
        };
        let vectors: Vec<_> = parts.iter().map(vector).collect();
        // SAFETY: the parts are as long as said, and are only read.
        count(unsafe { libc::writev(self.fd(fd), vectors.as_ptr(), vectors.len() as c_int) })
    }

    /// By the folder: the path of the program itself is another on each system.
    fn truncate(&self, path: &str, length: i64) -> String {
        let path = text(path);
        // SAFETY: as in `open`.
        let fd = unsafe { libc::openat(self.root, path.as_ptr(), libc::O_WRONLY) };
        if fd < 0 {
            return errno::last();
        }
        // SAFETY: no precondition.
        let outcome = done(unsafe { libc::ftruncate(fd, length as libc::off_t) });
        // SAFETY: nobody else has it.
        unsafe { libc::close(fd) };
        outcome
    }

    fn flags(&self, fd: Place) -> String {
        // SAFETY: no precondition.
        let flags = unsafe { libc::fcntl(self.fd(fd), libc::F_GETFL) };
        if flags < 0 {
            return errno::last();
        }
        let mut text = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => "read",
            libc::O_WRONLY => "write",
            libc::O_RDWR => "both",
            _ => "neither",
        }
        .to_owned();
        for (flag, name) in [(libc::O_APPEND, "append"), (libc::O_NONBLOCK, "nonblock")] {
            if flags & flag != 0 {
                let _ = write!(text, " {name}");
            }
        }
        text
    }

    fn set_flags(&self, fd: Place, append: bool, nonblock: bool) -> String {
        let mut flags = 0;
        for (is_set, flag) in [(append, libc::O_APPEND), (nonblock, libc::O_NONBLOCK)] {
            flags |= if is_set { flag } else { 0 };
        }
        // SAFETY: no precondition.
        done(unsafe { libc::fcntl(self.fd(fd), libc::F_SETFL, flags) })
    }

    fn poll(&self, fd: Place) -> String {
        let events = libc::POLLIN | libc::POLLOUT;
        let mut polled = libc::pollfd { fd: self.fd(fd), events, revents: 0 };
        if polled.fd < 0 {
            // Such a one is left out natively.
            return "no descriptor".to_owned();
        }
        // SAFETY: there is one record.
        let ready = unsafe { libc::poll(&raw mut polled, 1, 0) };
        if ready < 0 {
            return errno::last();
        }
        let mut text = ready.to_string();
        for (flag, name) in [
            (libc::POLLIN, "in"),
            (libc::POLLOUT, "out"),
            (libc::POLLERR, "error"),
            (libc::POLLHUP, "hangup"),
            (libc::POLLNVAL, "invalid"),
        ] {
            if polled.revents & flag != 0 {
                let _ = write!(text, " {name}");
            }
        }
        text
    }

    fn list(&self, at: At, path: &str) -> String {
        let path = text(path);
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        // SAFETY: as in `open`.
        let fd = unsafe { libc::openat(self.at(at), path.as_ptr(), flags) };
        if fd < 0 {
            return errno::last();
        }
        // SAFETY: it is open, and the stream has it from here on.
        let stream = unsafe { libc::fdopendir(fd) };
        if stream.is_null() {
            return errno::last();
        }
        let mut names = Vec::new();
        loop {
            // SAFETY: the stream is open.
            let entry = unsafe { libc::readdir(stream) };
            if entry.is_null() {
                break;
            }
            // SAFETY: an entry is valid until the next is read, and so is its name, which
            // ends in a null byte.
            let (name, kind) = unsafe { (entry_name(entry), (*entry).d_type) };
            let kind = match kind {
                libc::DT_DIR => "/",
                libc::DT_LNK => "@",
                libc::DT_REG => "",
                _ => "?",
            };
            names.push(format!("{}{kind}", name.to_string_lossy()));
        }
        // SAFETY: it is open, and not used any more.
        unsafe { libc::closedir(stream) };
        names.sort();
        names.join(" ")
    }
}

/// Natively, a shell may have left descriptors open: numbers would have gaps.
fn close_inherited() {
    #[cfg(not(target_family = "wasm"))]
    for fd in 3..64 {
        // SAFETY: before the program has opened anything, these are of nobody here.
        unsafe { libc::close(fd) };
    }
}

/// # Safety
///
/// The entry is one that `readdir` has returned last.
unsafe fn entry_name<'a>(entry: *mut libc::dirent) -> &'a CStr {
    // SAFETY: the name follows in the entry's own memory.
    unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) }
}

// ---- Arguments ----

fn text(text: &str) -> CString {
    CString::new(text).expect("no name has a null byte")
}

fn following(follow: bool) -> c_int {
    if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW }
}

fn time(time: Time) -> libc::timespec {
    let (seconds, nanoseconds) = match time {
        Time::Omit => (0, libc::UTIME_OMIT),
        Time::Now => (0, libc::UTIME_NOW),
        Time::At(seconds, nanoseconds) => (seconds, nanoseconds as libc::c_long),
    };
    // SAFETY: of integers, which may all be zero.
    let mut spec: libc::timespec = unsafe { std::mem::zeroed() };
    spec.tv_sec = seconds;
    spec.tv_nsec = nanoseconds;
    spec
}

// ---- Outcomes ----

fn done(result: c_int) -> String {
    if result < 0 { errno::last() } else { "ok".to_owned() }
}

fn count(result: isize) -> String {
    if result < 0 { errno::last() } else { result.to_string() }
}

/// How many bytes were read, and which: runs of the same one in short.
fn got(read: isize, bytes: &[u8]) -> String {
    let Ok(length) = usize::try_from(read) else {
        return errno::last();
    };
    format!("{length} bytes:{}", tree::runs(&bytes[..length]))
}

fn stat(call: impl FnOnce(*mut libc::stat) -> c_int) -> String {
    // SAFETY: of integers, which may all be zero.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    if call(&raw mut stat) < 0 {
        return errno::last();
    }
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => "directory",
        libc::S_IFLNK => "link",
        libc::S_IFREG => "file",
        _ => "other",
    };
    let mut text = format!("{kind}, {} links", stat.st_nlink);
    if kind != "directory" {
        let _ = write!(text, ", {} bytes", stat.st_size);
    }
    #[cfg(target_family = "wasm")]
    let modified = (stat.st_mtim.tv_sec, i64::from(stat.st_mtim.tv_nsec));
    #[cfg(not(target_family = "wasm"))]
    let modified = (stat.st_mtime, stat.st_mtime_nsec);
    match modified {
        // Times that a program sets are before this one.
        (seconds, nanoseconds) if seconds <= 1_000_000_000 => {
            let _ = write!(text, ", modified at {seconds}.{nanoseconds:09}");
        }
        _ => text.push_str(", modified now"),
    }
    text
}
