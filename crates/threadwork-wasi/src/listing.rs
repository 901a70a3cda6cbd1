//! [`Listing`]: the entries of an open directory, as they are read by one descriptor.
//!
//! A listing begins when somebody reads from cookie 0, and goes on where the system's own
//! goes on: what is not removed meanwhile is listed once, as for any program. A cookie is
//! the number of an entry in that order. Of the entries themselves only some thousand bytes
//! are kept, and of the others where they begin, so that a program can go back.
//!
//! `.` and `..` come first, whatever the system's order is, and both are called the
//! directory itself: what is above a directory nobody may know.

use crate::abi::{Filetype, dirent};
use crate::errno::Errno;
use rustix::fs::{AtFlags, SeekFrom};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

/// Bytes of entries that the system gives at a time.
const CHUNK: usize = 32 << 10;

/// `.` and `..`.
const OWN: u64 = 2;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Listing {
    /// What was read last.
    entries: Vec<Entry>,
    names: Vec<u8>,
    /// Number of the first of them.
    first: u64,
    /// For each chunk: the number of its first entry, and where the system finds it. The
    /// last is of the chunk that comes next. None before the listing begins.
    chunks: Vec<(u64, u64)>,
    /// Where the system goes on by itself.
    position: Option<u64>,
    /// Number of the directory itself.
    inode: u64,
}

/// An entry: of which file, what, and its name.
type Named<'a> = (u64, Filetype, &'a [u8]);

struct Entry {
    inode: u64,
    filetype: Filetype,
    /// Where its name ends in `names`; it begins where that of the one before ends.
    end: usize,
}

impl Listing {
    /// Writes the entries from the cookie on, as many as there is room for, the last one in
    /// part; says how many bytes those are.
    pub(crate) fn read(
        &mut self,
        dir: BorrowedFd<'_>,
        mut cookie: u64,
        room: usize,
        mut write: impl FnMut(usize, &[u8]) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        // A cookie of another descriptor's is a number in that order as well.
        if cookie == 0 || self.chunks.is_empty() {
            *self = Self {
                chunks: vec![(OWN, 0)],
                inode: rustix::fs::fstat(dir)?.st_ino,
                ..Self::default()
            };
        }
        let mut at = 0;
        while at < room {
            let Some((inode, filetype, name)) = self.entry(dir, cookie)? else {
                break;
            };
            cookie += 1;
            let head = dirent(cookie, inode, name.len(), filetype);
            for part in [&head[..], name] {
                let part = &part[..part.len().min(room - at)];
                write(at, part)?;
                at += part.len();
            }
        }
        Ok(at)
    }

    /// The entry with this number.
    fn entry(&mut self, dir: BorrowedFd<'_>, number: u64) -> Result<Option<Named<'_>>, Errno> {
        if number < OWN {
            let name: &[u8] = if number == 0 { b"." } else { b".." };
            return Ok(Some((self.inode, Filetype::Directory, name)));
        }
        while !self.holds(number) {
            if !self.read_chunk_of(dir, number)? {
                return Ok(None);
            }
        }
        // It is held.
        let place = (number - self.first) as usize;
        let entry = &self.entries[place];
        let begin = place.checked_sub(1).map_or(0, |at| self.entries[at].end);
        Ok(Some((
            entry.inode,
            entry.filetype,
            &self.names[begin..entry.end],
        )))
    }

    fn holds(&self, number: u64) -> bool {
        let held = self.first..self.first + self.entries.len() as u64;
        held.contains(&number)
    }

    /// Reads the last chunk that is known to begin before this number, or the next one;
    /// false if there are no more entries.
    fn read_chunk_of(&mut self, dir: BorrowedFd<'_>, number: u64) -> Result<bool, Errno> {
        let known = self.chunks.partition_point(|(first, _)| *first <= number);
        // The first begins with the first entry that is not the directory's own.
        let at = known.saturating_sub(1);
        let (first, position) = self.chunks[at];
        // Going on is more than going there: it is right whatever was removed meanwhile.
        if self.position != Some(position) {
            rustix::fs::seek(dir, SeekFrom::Start(position))?;
        }
        self.first = first;
        self.position = None;
        let next = self.read_chunk(dir, position)?;
        self.position = Some(next);
        if self.entries.is_empty() {
            return Ok(false);
        }
        if at + 1 == self.chunks.len() {
            self.chunks.push((first + self.entries.len() as u64, next));
        } else if !self.holds(number) {
            // What was there when the next chunk was read is gone.
            return Ok(false);
        }
        Ok(true)
    }

    /// Replaces what is held by the system's next entries; says where those after them are.
    #[cfg(target_os = "linux")]
    fn read_chunk(&mut self, dir: BorrowedFd<'_>, position: u64) -> Result<u64, Errno> {
        self.entries.clear();
        self.names.clear();
        let mut buffer = vec![MaybeUninit::uninit(); CHUNK];
        let mut raw = rustix::fs::RawDir::new(dir, &mut buffer);
        let mut next = position;
        while let Some(entry) = raw.next() {
            let entry = match entry {
                // The directory itself was removed: to programs that is the end, as libc has it.
                Err(rustix::io::Errno::NOENT) => break,
                entry => entry?,
            };
            next = entry.next_entry_cookie();
            let (name, inode, kind) = (entry.file_name(), entry.ino(), entry.file_type());
            if !is_own(name) {
                let filetype = filetype(dir, name, kind);
                self.push(name, inode, filetype);
            }
            if raw.is_buffer_empty() && !self.entries.is_empty() {
                break;
            }
        }
        Ok(next)
    }

    /// As on Linux, but all entries at once: other systems do not say where one is.
    #[cfg(not(target_os = "linux"))]
    fn read_chunk(&mut self, dir: BorrowedFd<'_>, position: u64) -> Result<u64, Errno> {
        let is_first = self.first == OWN;
        self.entries.clear();
        self.names.clear();
        if is_first {
            for entry in rustix::fs::Dir::read_from(dir)? {
                let entry = entry?;
                if !is_own(entry.file_name()) {
                    let filetype = filetype(dir, entry.file_name(), entry.file_type());
                    self.push(entry.file_name(), entry.ino(), filetype);
                }
            }
        }
        Ok(position)
    }

    fn push(&mut self, name: &CStr, inode: u64, filetype: Filetype) {
        self.names.extend_from_slice(name.to_bytes());
        self.entries.push(Entry {
            inode,
            filetype,
            end: self.names.len(),
        });
    }
}

fn is_own(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// What an entry is; the file is asked only if the directory does not know.
fn filetype(dir: BorrowedFd<'_>, name: &CStr, kind: rustix::fs::FileType) -> Filetype {
    if kind != rustix::fs::FileType::Unknown {
        return kind.into();
    }
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    // It is gone, or is as unknown as before.
    stat.map_or(Filetype::Unknown, |stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::DIRENT;
    use std::collections::BTreeSet;
    use std::os::fd::AsFd;

    /// Reads from `cookie` with a buffer of `room`: each name with the cookie behind it.
    fn read(
        listing: &mut Listing,
        dir: &std::fs::File,
        cookie: u64,
        room: usize,
    ) -> Vec<(String, u64)> {
        let mut buffer = vec![0; room];
        let write = |at: usize, bytes: &[u8]| {
            buffer[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        };
        let used = listing.read(dir.as_fd(), cookie, room, write).unwrap();
        let mut rest = &buffer[..used];
        let mut all = Vec::new();
        while rest.len() >= DIRENT {
            let next = u64::from_le_bytes(rest[..8].try_into().unwrap());
            let length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
            let Some(name) = rest.get(DIRENT..DIRENT + length) else {
                break;
            };
            all.push((String::from_utf8_lossy(name).into_owned(), next));
            rest = &rest[DIRENT + length..];
        }
        all
    }

    fn folder(files: usize) -> (tempfile::TempDir, std::fs::File) {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..files {
            std::fs::write(folder.path().join(format!("file-{n:05}")), "").unwrap();
        }
        let dir = std::fs::File::open(folder.path()).unwrap();
        (folder, dir)
    }

    #[test]
    fn each_entry_is_listed_once_whatever_the_buffer() {
        let (_folder, dir) = folder(3000);
        for room in [60, 1000, 4096, 1 << 20] {
            let (mut listing, mut cookie, mut names) = (Listing::default(), 0, Vec::new());
            loop {
                let part = read(&mut listing, &dir, cookie, room);
                let Some((_, last)) = part.last() else { break };
                cookie = *last;
                names.extend(part.into_iter().map(|(name, _)| name));
            }
            assert_eq!(names[..2], [".", ".."]);
            assert_eq!(names.len(), 3002);
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 3002);
        }
    }

    #[test]
    fn one_can_go_back_and_begin_anew() {
        let (folder, dir) = folder(3000);
        let mut listing = Listing::default();
        let all = read(&mut listing, &dir, 0, 1 << 20);
        for place in [0, 1, 2, 1500, 10, 3000, 3001] {
            let (name, _) = &all[place];
            let cookie = place.checked_sub(1).map_or(0, |before| all[before].1);
            assert_eq!(read(&mut listing, &dir, cookie, 64)[0].0, *name, "{place}");
        }
        std::fs::remove_file(folder.path().join("file-00000")).unwrap();
        assert_eq!(read(&mut listing, &dir, 0, 1 << 20).len(), 3001);
    }

    /// As `rm -r` does it.
    #[test]
    fn what_is_not_removed_is_listed() {
        let (folder, dir) = folder(3000);
        let (mut listing, mut cookie) = (Listing::default(), 0);
        loop {
            let part = read(&mut listing, &dir, cookie, 500);
            let Some((_, last)) = part.last() else { break };
            cookie = *last;
            for (name, _) in part.iter().filter(|(name, _)| name.starts_with("file")) {
                std::fs::remove_file(folder.path().join(name)).unwrap();
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_removed_directory_has_no_more_entries() {
        let (folder, dir) = folder(0);
        let mut listing = Listing::default();
        assert_eq!(read(&mut listing, &dir, 0, 1000).len(), 2);
        drop(folder);
        for cookie in [2, 0] {
            let own = 2 - cookie as usize;
            let entries = read(&mut listing, &dir, cookie, 1000);
            assert_eq!(entries.len(), own, "{cookie}");
        }
    }

    #[test]
    fn cookies_that_nobody_gave_are_numbers_of_entries_or_at_the_end() {
        let (_folder, dir) = folder(3);
        for (cookie, left) in [(3, 2), (5, 0), (u64::MAX, 0)] {
            let mut listing = Listing::default();
            let entries = read(&mut listing, &dir, cookie, 1000);
            assert_eq!(entries.len(), left, "{cookie}");
        }
    }
}
