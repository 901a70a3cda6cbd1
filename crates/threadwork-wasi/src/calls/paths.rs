//! Calls on paths below an open directory.

use super::Call;
use super::files::times;
use crate::abi::{Filestat, Filetype, checked, fdflags, lookupflags, oflags, rights};
use crate::channel::{Channel, What};
use crate::descriptor::{Directory, Kind};
use crate::errno::{Errno, Failure, Result};
use crate::host::Host;
use cap_primitives::fs::{self, FollowSymlinks, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, OFlags};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

fn follow(flags: u32) -> Result<FollowSymlinks> {
    Ok(match checked(flags, lookupflags::ALL)? {
        0 => FollowSymlinks::No,
        _ => FollowSymlinks::Yes,
    })
}

// ---- Opening ----

#[expect(clippy::too_many_arguments, reason = "WASI has as many")]
pub(crate) fn path_open<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    flags: u32,
    base: u64,
    _inheriting: u64,
    descriptor_flags: u32,
    result: u32,
) -> Result {
    let opening = Opening {
        follow: follow(lookup)?,
        flags: checked(flags, oflags::ALL)?,
        base,
        descriptor_flags: checked(descriptor_flags, fdflags::ALL)?,
    };
    let descriptor = call.get_with(fd, rights::PATH_OPEN)?;
    let directory = descriptor.directory()?;
    descriptor.require(opening.needed())?;
    descriptor.require_inheriting(base & (rights::FD_READ | rights::FD_WRITE))?;
    let path = call.path(path, length)?;
    call.memory.locate(result, 4)?;
    let opened = call.open(&descriptor, || opening.open(directory, Path::new(&path)))?;
    Ok(call.memory.write_u32(result, opened)?)
}

/// How something is opened.
struct Opening {
    follow: FollowSymlinks,
    flags: u16,
    base: u64,
    descriptor_flags: u16,
}

impl Opening {
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Rights of the directory that this takes.
    fn needed(&self) -> u64 {
        let create = self.has(oflags::CREAT).then_some(rights::PATH_CREATE_FILE);
        let truncate = self
            .has(oflags::TRUNC)
            .then_some(rights::PATH_FILESTAT_SET_SIZE);
        create.unwrap_or(0) | truncate.unwrap_or(0)
    }

    /// What is not opened for writing is opened for reading, whatever the rights say.
    fn reads(&self) -> bool {
        self.base & rights::FD_READ != 0 || !self.writes()
    }

    fn writes(&self) -> bool {
        self.base & rights::FD_WRITE != 0
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        let truncates = self.has(oflags::TRUNC);
        options.read(self.reads()).write(self.writes() || truncates);
        options.truncate(truncates);
        options._cap_fs_ext_follow(self.follow);
        options._cap_fs_ext_sync(self.descriptor_flags & fdflags::SYNC != 0);
        options._cap_fs_ext_dsync(self.descriptor_flags & fdflags::DSYNC != 0);
        options._cap_fs_ext_rsync(self.descriptor_flags & fdflags::RSYNC != 0);
        // Nobody waits for whoever has the other end; a terminal stays the host's.
        options._cap_fs_ext_nonblock(true);
        let mut flags = OFlags::NOCTTY;
        flags.set(OFlags::APPEND, self.descriptor_flags & fdflags::APPEND != 0);
        // The options themselves only let those create who write.
        flags.set(OFlags::CREATE, self.has(oflags::CREAT));
        flags.set(
            OFlags::EXCL,
            self.has(oflags::CREAT) && self.has(oflags::EXCL),
        );
        options.custom_flags(flags.bits().cast_signed());
        options
    }

    fn open(&self, directory: &Directory, path: &Path) -> Result<Kind> {
        let exclusive = oflags::CREAT | oflags::EXCL | oflags::TRUNC;
        if self.has(oflags::DIRECTORY) && self.has(exclusive) {
            return Err(Errno::INVAL.into());
        }
        let opened = fs::open(&directory.dir, path, &self.options());
        let opened = opened.map_err(|error| self.explain(directory, path, error.into()))?;
        let stat = rustix::fs::fstat(&opened)?;
        let what = What::from(stat);
        match what.filetype {
            Filetype::Directory => Ok(Kind::Directory(Directory::new(opened, None))),
            _ if self.has(oflags::DIRECTORY) => Err(Errno::NOTDIR.into()),
            // A FIFO.
            Filetype::Unknown => Err(Errno::NOTSUP.into()),
            _ => {
                let channel = Channel::owned(OwnedFd::from(opened), what);
                let flags = self.descriptor_flags;
                Ok(Kind::File(channel.opened_for(
                    self.reads(),
                    self.writes(),
                    flags,
                )))
            }
        }
    }

    /// Nobody reads a FIFO: that is no other error than that it is one.
    fn explain(&self, directory: &Directory, path: &Path, error: Errno) -> Errno {
        if error != Errno::NXIO {
            return error;
        }
        let stat = fs::stat(&directory.dir, path, self.follow).map(Filestat::from);
        match stat {
            Ok(stat) if stat.filetype == Filetype::Unknown => Errno::NOTSUP,
            _ => error,
        }
    }
}

// ---- What is there ----

pub(crate) fn path_filestat_get<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    flags: u32,
    path: u32,
    length: u32,
    result: u32,
) -> Result {
    let follow = follow(flags)?;
    let descriptor = call.get_with(fd, rights::PATH_FILESTAT_GET)?;
    let directory = descriptor.directory()?;
    let path = call.path(path, length)?;
    let stat = stat(&directory.dir, &path, follow)?;
    Ok(call.memory.write(result, &stat.to_bytes())?)
}

fn stat(dir: &File, path: &str, follow: FollowSymlinks) -> Result<Filestat> {
    // One name leads nowhere else, unless it is a link's.
    if !path.contains('/') && !matches!(path, "" | "." | "..") {
        let stat = rustix::fs::statat(dir, path, AtFlags::SYMLINK_NOFOLLOW)?;
        let stat = Filestat::from(stat);
        if follow == FollowSymlinks::No || stat.filetype != Filetype::SymbolicLink {
            return Ok(stat);
        }
    }
    // With a slash at its end it is a directory that is meant, and a link to one is one.
    let follow = match path.ends_with('/') {
        true => FollowSymlinks::Yes,
        false => follow,
    };
    Ok(fs::stat(dir, Path::new(path), follow)?.into())
}

#[expect(clippy::too_many_arguments, reason = "WASI has as many")]
pub(crate) fn path_filestat_set_times<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    flags: u32,
    path: u32,
    length: u32,
    accessed: u64,
    modified: u64,
    set: u32,
) -> Result {
    let times = times(accessed, modified, set)?;
    let follow = follow(flags)?;
    let descriptor = call.get_with(fd, rights::PATH_FILESTAT_SET_TIMES)?;
    let directory = descriptor.directory()?;
    let path = call.path(path, length)?;
    let mut options = OpenOptions::new();
    options.read(true);
    options._cap_fs_ext_follow(follow);
    // What a descriptor of this kind is opened for needs no right and waits for nobody.
    #[cfg(target_os = "linux")]
    let (kind, at) = (OFlags::PATH, AtFlags::EMPTY_PATH);
    #[cfg(not(target_os = "linux"))]
    let (kind, at) = (OFlags::NONBLOCK, AtFlags::empty());
    options.custom_flags(kind.bits().cast_signed());
    let file = fs::open(&directory.dir, Path::new(&path), &options)?;
    if cfg!(target_os = "linux") {
        Ok(rustix::fs::utimensat(&file, "", &times, at)?)
    } else {
        Ok(rustix::fs::futimens(&file, &times)?)
    }
}

pub(crate) fn path_readlink<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    path: u32,
    length: u32,
    at: u32,
    room: u32,
    result: u32,
) -> Result {
    let descriptor = call.get_with(fd, rights::PATH_READLINK)?;
    let directory = descriptor.directory()?;
    let path = call.path(path, length)?;
    let link = fs::read_link(&directory.dir, Path::new(&path))?;
    let text = link.to_str().ok_or(Errno::ILSEQ)?.as_bytes();
    let text = &text[..text.len().min(room as usize)];
    call.memory.locate(result, 4)?;
    call.memory.write(at, text)?;
    Ok(call.memory.write_u32(result, text.len() as u32)?)
}

// ---- Changes ----

/// Calls `change` with the directory and the path.
fn change<H: Host>(
    call: &Call<'_, H>,
    (fd, right): (u32, u64),
    (path, length): (u32, u32),
    change: impl FnOnce(&File, &Path) -> std::io::Result<()>,
) -> Result {
    let descriptor = call.get_with(fd, right)?;
    let directory = descriptor.directory()?;
    let path = call.path(path, length)?;
    Ok(change(&directory.dir, Path::new(&path))?)
}

pub(crate) fn path_create_directory<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    path: u32,
    length: u32,
) -> Result {
    let create = |dir: &File, path: &Path| fs::create_dir(dir, path, &fs::DirOptions::new());
    change(
        call,
        (fd, rights::PATH_CREATE_DIRECTORY),
        (path, length),
        create,
    )
}

pub(crate) fn path_remove_directory<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    path: u32,
    length: u32,
) -> Result {
    change(
        call,
        (fd, rights::PATH_REMOVE_DIRECTORY),
        (path, length),
        fs::remove_dir,
    )
}

pub(crate) fn path_unlink_file<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    path: u32,
    length: u32,
) -> Result {
    change(
        call,
        (fd, rights::PATH_UNLINK_FILE),
        (path, length),
        fs::remove_file,
    )
}

pub(crate) fn path_symlink<H: Host>(
    call: &Call<'_, H>,
    target: u32,
    target_length: u32,
    fd: u32,
    path: u32,
    length: u32,
) -> Result {
    let target = call.path(target, target_length)?;
    let link = |dir: &File, path: &Path| fs::symlink(Path::new(&target), dir, path);
    change(call, (fd, rights::PATH_SYMLINK), (path, length), link)
}

#[expect(clippy::too_many_arguments, reason = "WASI has as many")]
pub(crate) fn path_link<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    flags: u32,
    path: u32,
    length: u32,
    new_fd: u32,
    new_path: u32,
    new_length: u32,
) -> Result {
    if follow(flags)? == FollowSymlinks::Yes {
        return Err(Errno::INVAL.into());
    }
    let from = (fd, rights::PATH_LINK_SOURCE, path, length);
    let to = (new_fd, rights::PATH_LINK_TARGET, new_path, new_length);
    two(call, from, to, fs::hard_link)
}

pub(crate) fn path_rename<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    path: u32,
    length: u32,
    new_fd: u32,
    new_path: u32,
    new_length: u32,
) -> Result {
    let from = (fd, rights::PATH_RENAME_SOURCE, path, length);
    let to = (new_fd, rights::PATH_RENAME_TARGET, new_path, new_length);
    two(call, from, to, fs::rename)
}

/// A descriptor, the right that it takes, and a path below it.
type Place = (u32, u64, u32, u32);

/// Calls `change` with two directories and a path below each.
fn two<H: Host>(
    call: &Call<'_, H>,
    (fd, right, path, length): Place,
    (new_fd, new_right, new_path, new_length): Place,
    change: impl FnOnce(&File, &Path, &File, &Path) -> std::io::Result<()>,
) -> Result {
    let from = call.get_with(fd, right)?;
    let to = call.get_with(new_fd, new_right)?;
    let (from, to) = (from.directory()?, to.directory()?);
    let path = call.path(path, length)?;
    let new_path = call.path(new_path, new_length)?;
    change(&from.dir, Path::new(&path), &to.dir, Path::new(&new_path)).map_err(Failure::from)
}
