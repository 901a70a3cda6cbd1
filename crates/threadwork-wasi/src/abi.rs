//! Numbers and records of preview 1, as its documents lay them out.

use crate::errno::Errno;

/// Sets of flags: constants of an integer, and which there are.
macro_rules! flags {
    ($($(#[$meta:meta])* $name:ident: $ty:ty { $($flag:ident = $bit:literal;)* })*) => {$(
        $(#[$meta])*
        pub(crate) mod $name {
            $(pub(crate) const $flag: $ty = 1 << $bit;)*
            pub(crate) const ALL: $ty = $($flag)|*;
        }
    )*};
}

flags! {
    rights: u64 {
        FD_DATASYNC = 0; FD_READ = 1; FD_SEEK = 2; FD_FDSTAT_SET_FLAGS = 3; FD_SYNC = 4;
        FD_TELL = 5; FD_WRITE = 6; FD_ADVISE = 7; FD_ALLOCATE = 8; PATH_CREATE_DIRECTORY = 9;
        PATH_CREATE_FILE = 10; PATH_LINK_SOURCE = 11; PATH_LINK_TARGET = 12; PATH_OPEN = 13;
        FD_READDIR = 14; PATH_READLINK = 15; PATH_RENAME_SOURCE = 16; PATH_RENAME_TARGET = 17;
        PATH_FILESTAT_GET = 18; PATH_FILESTAT_SET_SIZE = 19; PATH_FILESTAT_SET_TIMES = 20;
        FD_FILESTAT_GET = 21; FD_FILESTAT_SET_SIZE = 22; FD_FILESTAT_SET_TIMES = 23;
        PATH_SYMLINK = 24; PATH_REMOVE_DIRECTORY = 25; PATH_UNLINK_FILE = 26;
        POLL_FD_READWRITE = 27; SOCK_SHUTDOWN = 28; SOCK_ACCEPT = 29;
    }
    fdflags: u16 { APPEND = 0; DSYNC = 1; NONBLOCK = 2; RSYNC = 3; SYNC = 4; }
    oflags: u16 { CREAT = 0; DIRECTORY = 1; EXCL = 2; TRUNC = 3; }
    lookupflags: u32 { SYMLINK_FOLLOW = 0; }
    fstflags: u16 { ATIM = 0; ATIM_NOW = 1; MTIM = 2; MTIM_NOW = 3; }
    subclockflags: u16 { ABSTIME = 0; }
    riflags: u16 { PEEK = 0; WAITALL = 1; }
    sdflags: u8 { RD = 0; WR = 1; }
}

/// In what a poll tells: nobody is at the other end any more.
pub(crate) const HANGUP: u16 = 1;

/// In what a receive tells: there was more in the message.
pub(crate) const DATA_TRUNCATED: u16 = 1;

/// Flags that a guest gives, of which there are no others than `all`.
pub(crate) fn checked<T: TryFrom<u32> + Into<u32> + Copy>(flags: u32, all: T) -> Result<T, Errno> {
    if flags & !all.into() != 0 {
        return Err(Errno::INVAL);
    }
    T::try_from(flags).map_err(|_| Errno::INVAL)
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filetype {
    /// Or none of those that preview 1 knows: a FIFO.
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    // 5 is a socket of datagrams, which nothing gives a guest.
    SocketStream = 6,
    SymbolicLink = 7,
}

impl From<rustix::fs::FileType> for Filetype {
    fn from(kind: rustix::fs::FileType) -> Self {
        use rustix::fs::FileType;
        match kind {
            FileType::RegularFile => Self::RegularFile,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::SymbolicLink,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Socket => Self::SocketStream,
            _ => Self::Unknown,
        }
    }
}

/// What `fd_fdstat_get` tells.
pub(crate) struct Fdstat {
    pub(crate) filetype: Filetype,
    pub(crate) flags: u16,
    pub(crate) base: u64,
    pub(crate) inheriting: u64,
}

impl Fdstat {
    pub(crate) fn to_bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[0] = self.filetype as u8;
        bytes[2..4].copy_from_slice(&self.flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.base.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.inheriting.to_le_bytes());
        bytes
    }
}

/// What `fd_filestat_get` and `path_filestat_get` tell; times in nanoseconds since 1970.
pub(crate) struct Filestat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) filetype: Filetype,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) accessed: u64,
    pub(crate) modified: u64,
    pub(crate) changed: u64,
}

impl Filestat {
    /// Of what has no file behind it.
    pub(crate) fn none() -> Self {
        Self {
            device: 0,
            inode: 0,
            filetype: Filetype::Unknown,
            links: 0,
            size: 0,
            accessed: 0,
            modified: 0,
            changed: 0,
        }
    }

    pub(crate) fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let words = [
            self.device,
            self.inode,
            self.filetype as u64,
            self.links,
            self.size,
            self.accessed,
            self.modified,
            self.changed,
        ];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

// The fields of the system's record differ in width from machine to machine.
#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    clippy::cast_lossless
)]
impl From<rustix::fs::Stat> for Filestat {
    fn from(stat: rustix::fs::Stat) -> Self {
        let mode = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            filetype: mode.into(),
            links: stat.st_nlink as u64,
            size: stat.st_size as u64,
            accessed: nanoseconds(stat.st_atime as i64, stat.st_atime_nsec as i64),
            modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

impl From<cap_primitives::fs::Metadata> for Filestat {
    fn from(data: cap_primitives::fs::Metadata) -> Self {
        use cap_primitives::fs::MetadataExt;
        // All of `st_mode`, of which the type takes what it needs.
        let kind = rustix::fs::FileType::from_raw_mode(data.mode() as rustix::fs::RawMode);
        Self {
            device: data.dev(),
            inode: data.ino(),
            filetype: kind.into(),
            links: data.nlink(),
            size: data.size(),
            accessed: nanoseconds(data.atime(), data.atime_nsec()),
            modified: nanoseconds(data.mtime(), data.mtime_nsec()),
            changed: nanoseconds(data.ctime(), data.ctime_nsec()),
        }
    }
}

/// Nanoseconds since 1970; 0 for what was before.
pub(crate) fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let rest = u64::try_from(nanoseconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Size of the head of an entry of a directory; its name follows.
pub(crate) const DIRENT: usize = 24;

/// The head of an entry of a directory.
pub(crate) fn dirent(next: u64, inode: u64, name: usize, filetype: Filetype) -> [u8; DIRENT] {
    let mut bytes = [0; DIRENT];
    bytes[0..8].copy_from_slice(&next.to_le_bytes());
    bytes[8..16].copy_from_slice(&inode.to_le_bytes());
    // The system's names are shorter than 256 bytes.
    bytes[16..20].copy_from_slice(&(name as u32).to_le_bytes());
    bytes[20] = filetype as u8;
    bytes
}
