//! Calls on paths below an open directory.

use super::Call;
use super::files::times;
use crate::abi::{Filestat, Filetype, checked, fdflags, lookupflags, oflags, rights};
use crate::below::{self, Parent};
use crate::channel::{Channel, What};
use crate::descriptor::{Directory, Kind};
use crate::ending::sleep;
use crate::errno::{Errno, Failure, Result};
use crate::host::{Host, LongCall};
use cap_primitives::fs::{self, FollowSymlinks, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

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
    let mut opening = Opening {
        follow: follow(lookup)?,
        flags: checked(flags, oflags::ALL)?,
        base,
        descriptor_flags: checked(descriptor_flags, fdflags::ALL)?,
    };
    if opening.has(oflags::DIRECTORY) && opening.has(oflags::CREAT) {
        return Err(Errno::INVAL.into());
    }
    let path = call.path(path, length)?;
    let descriptor = call.get_with(fd, rights::PATH_OPEN)?;
    let directory = descriptor.directory()?;
    // Where nothing is created, what is there can be opened all the same.
    let would_create = descriptor.read_only && opening.has(oflags::CREAT);
    if would_create {
        opening.flags &= !oflags::CREAT;
    }
    descriptor.require(opening.needed())?;
    descriptor.require_inheriting(base & (rights::FD_READ | rights::FD_WRITE))?;
    call.memory.locate(result, 4)?;
    let opened = call.open(&descriptor, || {
        let opened = match would_create && opening.has(oflags::EXCL) {
            true => stat(&directory.dir, &path, FollowSymlinks::No).and(Err(Errno::EXIST.into())),
            false => opening.open(call.host, directory, Path::new(&path)),
        };
        match opened {
            Ok(Kind::Directory(_)) if would_create => Err(Errno::ISDIR.into()),
            Err(Failure::Errno(Errno::NOENT)) if would_create => {
                Parent::of(&directory.dir, &path)?;
                Err(Errno::ROFS.into())
            }
            opened => opened,
        }
    })?;
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
        flags.set(OFlags::DIRECTORY, self.has(oflags::DIRECTORY));
        // The options themselves only let those create who write.
        flags.set(OFlags::CREATE, self.has(oflags::CREAT));
        flags.set(
            OFlags::EXCL,
            self.has(oflags::CREAT) && self.has(oflags::EXCL),
        );
        options.custom_flags(flags.bits().cast_signed());
        options
    }

    fn open(&self, host: &impl Host, directory: &Directory, path: &Path) -> Result<Kind> {
        let opened = self.open_file(host, directory, path)?;
        let stat = rustix::fs::fstat(&opened)?;
        let what = What::from(stat);
        if what.filetype == Filetype::Directory {
            let directory = Directory::new(opened, None);
            directory.set_flags(self.descriptor_flags);
            return Ok(Kind::Directory(directory));
        }
        let channel = Channel::owned(OwnedFd::from(opened), what);
        let flags = self.descriptor_flags;
        Ok(Kind::File(channel.opened_for(
            self.reads(),
            self.writes(),
            flags,
        )))
    }

    /// Opens what is there. Who writes to a FIFO waits for a reader, as on Linux; who reads from
    /// one waits for a writer when it reads: nothing of the system tells of a writer that has
    /// not written yet.
    fn open_file(&self, host: &impl Host, directory: &Directory, path: &Path) -> Result<File> {
        /// Nobody tells of readers either.
        const LOOK: Duration = Duration::from_millis(5);
        let mut long_call = None;
        loop {
            let errno = match fs::open(&directory.dir, path, &self.options()) {
                Ok(opened) => return Ok(opened),
                Err(error) => Errno::from(error),
            };
            let waits = errno == Errno::NXIO && self.descriptor_flags & fdflags::NONBLOCK == 0;
            if !waits || !self.is_fifo(directory, path) {
                return Err(errno.into());
            }
            long_call.get_or_insert_with(|| LongCall::begin(host));
            sleep(host, Instant::now().checked_add(LOOK))?;
        }
    }

    fn is_fifo(&self, directory: &Directory, path: &Path) -> bool {
        let stat = fs::stat(&directory.dir, path, self.follow).map(Filestat::from);
        stat.is_ok_and(|stat| stat.filetype == Filetype::Unknown)
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
    let path = call.path(path, length)?;
    let descriptor = call.get_with(fd, rights::PATH_FILESTAT_GET)?;
    let directory = descriptor.directory()?;
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
    let file = below::open(dir, path, itself_or_target(follow))?;
    Ok(rustix::fs::fstat(&file)?.into())
}

fn itself_or_target(follow: FollowSymlinks) -> below::Kind {
    match follow {
        FollowSymlinks::Yes => below::Kind::Any,
        FollowSymlinks::No => below::Kind::Itself,
    }
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
    // Nothing to set is nothing to look for.
    if set == 0 {
        return Ok(());
    }
    let times = times(accessed, modified, set)?;
    let follow = follow(flags)?;
    let path = call.path(path, length)?;
    let descriptor = call.get_with(fd, rights::PATH_FILESTAT_SET_TIMES)?;
    let directory = descriptor.directory()?;
    let file = below::open(&directory.dir, &path, itself_or_target(follow))?;
    #[cfg(target_os = "linux")]
    let done = rustix::fs::utimensat(&file, "", &times, AtFlags::EMPTY_PATH);
    #[cfg(not(target_os = "linux"))]
    let done = rustix::fs::futimens(&file, &times);
    Ok(done?)
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
    // The one call that takes no name for what the descriptor itself is, and so asks it first.
    if length == 0 {
        call.get(fd)?;
    }
    let path = call.path(path, length)?;
    let descriptor = call.get_with(fd, rights::PATH_READLINK)?;
    let directory = descriptor.directory()?;
    let link = fs::read_link(&directory.dir, Path::new(&path))?;
    let text = link.to_str().ok_or(Errno::ILSEQ)?.as_bytes();
    let text = &text[..text.len().min(room as usize)];
    call.memory.locate(result, 4)?;
    call.memory.write(at, text)?;
    Ok(call.memory.write_u32(result, text.len() as u32)?)
}

// ---- Changes ----

/// A descriptor, the right that it takes, and a path below it.
type Place = (u32, u64, u32, u32);

impl<H: Host> Call<'_, H> {
    /// Calls `body` with the directory that the last name of a path is in.
    fn at<R>(&self, place: Place, body: impl FnOnce(&Parent<'_>) -> Result<R>) -> Result<R> {
        let (fd, right, path, length) = place;
        let path = self.path(path, length)?;
        let descriptor = self.get_with(fd, right)?;
        let directory = descriptor.directory()?;
        body(&Parent::of(&directory.dir, &path)?)
    }
}

pub(crate) fn path_create_directory<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    path: u32,
    length: u32,
) -> Result {
    let place = (fd, rights::PATH_CREATE_DIRECTORY, path, length);
    call.at(place, |at| {
        Ok(rustix::fs::mkdirat(at.dir(), at.name, Mode::from(0o777))?)
    })
}

pub(crate) fn path_remove_directory<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    path: u32,
    length: u32,
) -> Result {
    let place = (fd, rights::PATH_REMOVE_DIRECTORY, path, length);
    call.at(place, |at| {
        Ok(rustix::fs::unlinkat(at.dir(), at.name, AtFlags::REMOVEDIR)?)
    })
}

pub(crate) fn path_unlink_file<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    path: u32,
    length: u32,
) -> Result {
    let place = (fd, rights::PATH_UNLINK_FILE, path, length);
    call.at(place, |at| {
        Ok(rustix::fs::unlinkat(at.dir(), at.name, AtFlags::empty())?)
    })
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
    // To the host's other programs it would lead out.
    if target.starts_with('/') {
        return Err(Errno::PERM.into());
    }
    let place = (fd, rights::PATH_SYMLINK, path, length);
    call.at(place, |at| {
        Ok(rustix::fs::symlinkat(&*target, at.dir(), at.name)?)
    })
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
    call.at(from, |from| {
        // What is linked is looked at before the directory of its new name.
        let directory = match from.leads_on() {
            true => Some(from.open()?),
            // Only a name that leads nowhere: the system would follow any other out.
            false => {
                rustix::fs::statat(from.dir(), from.name, AtFlags::SYMLINK_NOFOLLOW)?;
                None
            }
        };
        call.at(to, |to| {
            // A directory has one name: it is the system that says so.
            let (dir, name) = match &directory {
                Some(directory) => (directory.as_fd(), "."),
                None => (from.dir(), from.name),
            };
            Ok(rustix::fs::linkat(
                dir,
                name,
                to.dir(),
                to.name,
                AtFlags::empty(),
            )?)
        })
    })
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
    call.at(from, |from| {
        call.at(to, |to| {
            Ok(rustix::fs::renameat(
                from.dir(),
                from.name,
                to.dir(),
                to.name,
            )?)
        })
    })
}
