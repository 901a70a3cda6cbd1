//! Files and directories: `wasmtime-wasi`'s, with one table for the process, behind
//! one lock.
//!
//! Its functions are asynchronous, but with blocking allowed on the calling thread
//! they are done when they are first polled. A FIFO could block there for ever, with
//! the lock held; it is refused (`ENOTSUP`).

use super::streams::Terminals;
use crate::error::Error;
use crate::limits::Limits;
use std::collections::HashSet;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasmtime::Result;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::{Errno, Filetype};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};
use wiggle::{GuestMemory, GuestPtr};

/// What a process is allowed to see.
#[derive(Default)]
pub(crate) struct Grants {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Host directory and the guest's name for it.
    pub(crate) dirs: Vec<(PathBuf, String)>,
}

impl Grants {
    /// Refuses texts that the program would read as others: they end at a NUL there, and the
    /// name of a variable at the first `=`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let args = self.args.iter().map(|arg| ("the argument", arg));
        let names = self.env.iter().map(|(name, _)| ("the variable", name));
        let values = self.env.iter().map(|(_, value)| ("the value", value));
        let dirs = self
            .dirs
            .iter()
            .map(|(_, name)| ("the directory's name", name));
        for (what, text) in args.chain(names.clone()).chain(values).chain(dirs) {
            refuse(text.contains('\0'), what, text, "it has a NUL character")?;
        }
        for (what, name) in names {
            refuse(name.is_empty(), what, name, "a name cannot be empty")?;
            refuse(name.contains('='), what, name, "a name cannot have a `=`")?;
        }
        Ok(())
    }
}

fn refuse(
    is_wrong: bool,
    what: &'static str,
    text: &str,
    reason: &'static str,
) -> Result<(), Error> {
    match is_wrong {
        false => Ok(()),
        true => Err(Error::Given {
            what,
            text: text.to_owned(),
            reason,
        }),
    }
}

/// The files of a process.
pub(super) struct Files {
    pub(super) context: WasiP1Ctx,
    /// Descriptors that the guest opened itself.
    pub(super) opened: HashSet<u32>,
    pub(super) most: Option<u32>,
    /// Bytes that may still be written, and the limit of all.
    pub(super) quota: Option<Quota>,
}

/// How much may be written.
pub(super) struct Quota {
    pub(super) most: u64,
    pub(super) left: u64,
}

impl Files {
    pub(super) fn new(
        grants: &Grants,
        terminals: Terminals,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut builder = WasiCtxBuilder::new();
        builder.allow_blocking_current_thread(true);
        builder.args(&grants.args).envs(&grants.env);
        // The streams are ours; this only makes them terminals in the eyes of isatty.
        if terminals.stdin {
            builder.inherit_stdin();
        }
        if terminals.stdout {
            builder.inherit_stdout();
        }
        if terminals.stderr {
            builder.inherit_stderr();
        }
        for (host, guest) in &grants.dirs {
            builder
                .preopened_dir(host, guest, FsPerms::ReadWrite)
                .map_err(|error| Error::Preopen {
                    path: host.clone(),
                    reason: error.root_cause().to_string(),
                })?;
        }
        let mut context = builder.build_p1();
        // What one call may copy is bounded by the guest's own memory.
        context.set_hostcall_fuel(usize::MAX);
        Ok(Self {
            context,
            opened: HashSet::new(),
            most: limits.open_files,
            quota: limits.file_bytes.map(|most| Quota { most, left: most }),
        })
    }

    /// Whether the path at 0 in `memory`, below `dir`, leads to a FIFO, for which
    /// preview 1 has no name of its own. All other kinds that can be opened have one.
    /// There must be room for a `filestat` at `end`.
    pub(super) fn is_fifo(
        &mut self,
        memory: &mut GuestMemory<'_>,
        dir: i32,
        flags: i32,
        length: i32,
        end: i32,
    ) -> bool {
        let context = &mut self.context;
        let stat = finish(wasi::path_filestat_get(
            context, memory, dir, flags, 0, length, end,
        ));
        let kind = GuestPtr::<Filetype>::new((end + FILETYPE).cast_unsigned());
        matches!(stat, Ok(SUCCESS)) && matches!(memory.read(kind), Ok(Filetype::Unknown))
    }

    /// The size of an open file.
    pub(super) fn size(&mut self, fd: i32) -> Option<u64> {
        let mut scratch = Scratch::with(&[]);
        let mut memory = GuestMemory::Unshared(scratch.bytes());
        let stat = finish(wasi::fd_filestat_get(&mut self.context, &mut memory, fd, 0));
        let size = memory.read(GuestPtr::new(SIZE)).ok();
        size.filter(|_| matches!(stat, Ok(SUCCESS)))
    }

    /// Whether a descriptor that is no standard stream is open.
    pub(super) fn is_open(&mut self, fd: u32) -> bool {
        let mut scratch = Scratch::with(&[]);
        let mut memory = GuestMemory::Unshared(scratch.bytes());
        let stat = wasi::fd_fdstat_get(&mut self.context, &mut memory, fd.cast_signed(), 0);
        matches!(finish(stat), Ok(SUCCESS))
    }
}

/// Size of a `filestat`, and where its type and the file's size stand in it.
pub(super) const FILESTAT: i32 = 64;
const FILETYPE: i32 = 16;
const SIZE: u32 = 32;

pub(super) const SUCCESS: i32 = Errno::Success as i32;

/// Memory of our own for a call of `wasmtime-wasi`, aligned as it wants it: a name,
/// then room for a `filestat`.
pub(super) struct Scratch(Vec<u64>);

impl Scratch {
    pub(super) fn with(name: &[u8]) -> Self {
        let mut scratch = Self(vec![0; name.len().div_ceil(8) + FILESTAT as usize / 8]);
        scratch.bytes()[..name.len()].copy_from_slice(name);
        scratch
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        let length = self.0.len() * size_of::<u64>();
        // SAFETY: the vector's words are that many initialized bytes, and any bytes
        // are valid words.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), length) }
    }
}

/// The result of a function that does not really wait.
pub(super) fn finish(future: impl Future<Output = Result<i32>>) -> Result<i32> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        // Only a stream could get here, and streams are done elsewhere.
        Poll::Pending => Ok(Errno::Notsup as i32),
    }
}
