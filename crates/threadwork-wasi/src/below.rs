//! Paths below an open directory, walked as the system walks them.
//!
//! A call that makes, renames or removes something takes apart its path: the directory that
//! the last name is in is opened, and the system changes that name in it. So its errors, and
//! the order in which they are found, are the system's own.
//!
//! Invariant: nothing outside of the directory that a path starts from is ever opened or
//! changed. [`cap_primitives`] sees to it for all names but the last; the last is never
//! followed by the calls that it is given to.

use crate::errno::Errno;
use cap_primitives::fs::{self, FollowSymlinks, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// The directory that the last name of a path is in.
pub(crate) struct Parent<'a> {
    start: &'a File,
    path: &'a str,
    /// Unless it is where the path starts.
    opened: Option<File>,
    /// The last name, with the slashes behind it, which mean that it is a directory.
    pub(crate) name: &'a str,
}

impl<'a> Parent<'a> {
    /// Walks to there.
    pub(crate) fn of(start: &'a File, path: &'a str) -> Result<Self, Errno> {
        let names = path.trim_end_matches('/');
        if path.starts_with('/') {
            return Err(Errno::PERM);
        }
        if names.is_empty() {
            return Err(Errno::NOENT);
        }
        let (before, opened) = match names.rfind('/') {
            None => (0, None),
            Some(slash) => (
                slash + 1,
                Some(open(start, &path[..slash], Kind::Directory)?),
            ),
        };
        Ok(Self {
            start,
            path,
            opened,
            name: &path[before..],
        })
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.opened.as_ref().unwrap_or(self.start).as_fd()
    }

    /// Opens the thing itself, a directory, or the one that a link leads to.
    pub(crate) fn open(&self) -> Result<File, Errno> {
        open(self.start, self.path, Kind::Directory)
    }

    /// Whether the system, asked for the last name, would go on from what it finds there:
    /// to a link's target, or upwards.
    pub(crate) fn leads_on(&self) -> bool {
        self.name.ends_with('/') || matches!(self.name, "." | "..")
    }
}

/// What [`open`] opens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// Whatever it is; of a link its target.
    Any,
    /// Whatever it is, a link as well.
    Itself,
}

/// Opens something to ask about it, or to start from: for neither reading nor writing,
/// which takes no right and waits for nobody.
pub(crate) fn open(start: &File, path: &str, kind: Kind) -> Result<File, Errno> {
    let mut options = OpenOptions::new();
    options.read(true);
    options._cap_fs_ext_follow(match kind {
        Kind::Itself => FollowSymlinks::No,
        Kind::Any | Kind::Directory => FollowSymlinks::Yes,
    });
    #[cfg(target_os = "linux")]
    let mut flags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let mut flags = OFlags::NONBLOCK;
    flags.set(OFlags::DIRECTORY, kind == Kind::Directory);
    options.custom_flags(flags.bits().cast_signed());
    Ok(fs::open(start, Path::new(path), &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_name_has_its_slashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        let start = File::open(folder.path()).unwrap();
        for (path, name, is_start) in [
            ("x", "x", true),
            ("x//", "x//", true),
            ("..", "..", true),
            ("a/x", "x", false),
            ("a//b/./x/", "x/", false),
            ("a/..", "..", false),
        ] {
            let parent = Parent::of(&start, path).unwrap();
            assert_eq!(parent.name, name, "{path}");
            assert_eq!(parent.opened.is_none(), is_start, "{path}");
        }
        for (path, errno) in [
            ("", Errno::NOENT),
            ("/", Errno::PERM),
            ("/a", Errno::PERM),
            ("../a", Errno::PERM),
            ("a/../../a", Errno::PERM),
            ("n/x", Errno::NOENT),
        ] {
            assert_eq!(Parent::of(&start, path).err(), Some(errno), "{path}");
        }
    }
}
