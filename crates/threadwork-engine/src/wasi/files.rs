//! Files and directories: `wasmtime-wasi`'s, with one table for the process, behind
//! one lock.
//!
//! Its functions are asynchronous, but with blocking allowed on the calling thread
//! they are done when they are first polled. A FIFO could block there for ever, with
//! the lock held; it is refused (`ENOTSUP`).

use super::streams::Terminals;
use super::{Errno, Grants, MODULE, Wasi, on_memory};
use crate::thread::ThreadContext;
use crate::worker::lock;
use crate::{Error, Limit};
use std::collections::HashSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::Filetype;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};
use wiggle::{GuestMemory, GuestPtr};

/// The files of a process.
pub(super) struct Files {
    context: WasiP1Ctx,
    /// Descriptors that the guest opened itself.
    opened: HashSet<u32>,
    most: Option<u32>,
}

impl Files {
    pub(super) fn new(
        grants: &Grants,
        terminals: Terminals,
        most: Option<u32>,
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
            most,
        })
    }

    /// Whether the path at 0 in `memory`, below `dir`, leads to a FIFO, for which
    /// preview 1 has no name of its own. All other kinds that can be opened have one.
    /// There must be room for a `filestat` at `end`.
    fn is_fifo(
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
}

/// Size of a `filestat`, and where its type stands in it.
const FILESTAT: i32 = 64;
const FILETYPE: i32 = 16;

const SUCCESS: i32 = Errno::Success as i32;

/// Memory of our own for a call of `wasmtime-wasi`, aligned as it wants it: a name,
/// then room for a `filestat`.
struct Scratch(Vec<u64>);

impl Scratch {
    fn with(name: &[u8]) -> Self {
        let mut scratch = Self(vec![0; name.len().div_ceil(8) + FILESTAT as usize / 8]);
        scratch.bytes()[..name.len()].copy_from_slice(name);
        scratch
    }

    fn bytes(&mut self) -> &mut [u8] {
        let length = self.0.len() * size_of::<u64>();
        // SAFETY: the vector's words are that many initialized bytes, and any bytes
        // are valid words.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), length) }
    }
}

impl Wasi {
    /// Whether a descriptor that is no standard stream is open.
    pub(super) fn is_open(&self, fd: u32) -> bool {
        let mut scratch = Scratch::with(&[]);
        let mut memory = GuestMemory::Unshared(scratch.bytes());
        lock(&self.files).as_mut().is_some_and(|files| {
            let stat = wasi::fd_fdstat_get(&mut files.context, &mut memory, fd.cast_signed(), 0);
            matches!(finish(stat), Ok(SUCCESS))
        })
    }
}

/// Runs `body` on the process's files.
fn with_files(
    caller: &mut Caller<'_, ThreadContext>,
    body: impl FnOnce(&mut Files, &mut GuestMemory<'_>, &ThreadContext) -> Result<i32>,
) -> Result<i32> {
    on_memory(caller, |context, memory| {
        match &mut *lock(&context.process.wasi().files) {
            Some(files) => body(files, memory, context),
            // The process has ended.
            None => Ok(Errno::Badf as i32),
        }
    })
}

/// The result of a function that does not really wait.
fn finish(future: impl Future<Output = Result<i32>>) -> Result<i32> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        // Only a stream could get here, and streams are done elsewhere.
        Poll::Pending => Ok(Errno::Notsup as i32),
    }
}

/// Defines functions that `wasmtime-wasi` does as they are.
macro_rules! forward {
    ($linker:ident, $wrap:expr, $($name:ident($($argument:ident: $ty:ty),*);)*) => {
        $($linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, ThreadContext>, $($argument: $ty),*| {
                with_files(&mut caller, |files, memory, _| {
                    $wrap(wasi::$name(&mut files.context, memory, $($argument),*))
                })
            },
        )?;)*
    };
}

pub(super) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> Result<()> {
    forward! { linker, std::convert::identity,
        args_get(argv: i32, buf: i32);
        args_sizes_get(count: i32, size: i32);
        environ_get(environ: i32, buf: i32);
        environ_sizes_get(count: i32, size: i32);
        fd_allocate(fd: i32, offset: i64, length: i64);
        fd_fdstat_set_flags(fd: i32, flags: i32);
        fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64);
        fd_prestat_get(fd: i32, result: i32);
        fd_prestat_dir_name(fd: i32, path: i32, length: i32);
        fd_tell(fd: i32, result: i32);
        proc_raise(signal: i32);
        sock_accept(fd: i32, flags: i32, result: i32);
        sock_recv(fd: i32, data: i32, count: i32, flags: i32, size: i32, out_flags: i32);
        sock_send(fd: i32, data: i32, count: i32, flags: i32, size: i32);
        sock_shutdown(fd: i32, how: i32);
    }
    forward! { linker, finish,
        fd_advise(fd: i32, offset: i64, length: i64, advice: i32);
        fd_datasync(fd: i32);
        fd_fdstat_get(fd: i32, result: i32);
        fd_filestat_get(fd: i32, result: i32);
        fd_filestat_set_size(fd: i32, size: i64);
        fd_filestat_set_times(fd: i32, accessed: i64, modified: i64, flags: i32);
        fd_pread(fd: i32, bufs: i32, count: i32, offset: i64, result: i32);
        fd_pwrite(fd: i32, bufs: i32, count: i32, offset: i64, result: i32);
        fd_readdir(fd: i32, buf: i32, length: i32, cookie: i64, result: i32);
        fd_seek(fd: i32, offset: i64, whence: i32, result: i32);
        fd_sync(fd: i32);
        path_create_directory(fd: i32, path: i32, length: i32);
        path_filestat_get(fd: i32, flags: i32, path: i32, length: i32, result: i32);
        path_filestat_set_times(
            fd: i32, flags: i32, path: i32, length: i32, accessed: i64, modified: i64, set: i32
        );
        path_link(
            fd: i32, flags: i32, path: i32, length: i32, new_fd: i32, new_path: i32, new_length: i32
        );
        path_readlink(fd: i32, path: i32, length: i32, buf: i32, buf_length: i32, result: i32);
        path_remove_directory(fd: i32, path: i32, length: i32);
        path_rename(
            fd: i32, path: i32, length: i32, new_fd: i32, new_path: i32, new_length: i32
        );
        path_symlink(target: i32, target_length: i32, fd: i32, path: i32, length: i32);
        path_unlink_file(fd: i32, path: i32, length: i32);
    }
    linker.func_wrap(MODULE, "path_open", path_open)?;
    linker.func_wrap(MODULE, "fd_close", fd_close)?;
    linker.func_wrap(MODULE, "fd_renumber", fd_renumber)?;
    Ok(())
}

/// `fd_write` of a descriptor that is no standard stream.
pub(super) fn fd_write(
    mut caller: Caller<'_, ThreadContext>,
    fd: i32,
    bufs: i32,
    count: i32,
    result: i32,
) -> Result<i32> {
    with_files(&mut caller, |files, memory, _| {
        finish(wasi::fd_write(
            &mut files.context,
            memory,
            fd,
            bufs,
            count,
            result,
        ))
    })
}

/// `fd_read` of a descriptor that is no standard stream.
pub(super) fn fd_read(
    mut caller: Caller<'_, ThreadContext>,
    fd: i32,
    bufs: i32,
    count: i32,
    result: i32,
) -> Result<i32> {
    with_files(&mut caller, |files, memory, _| {
        finish(wasi::fd_read(
            &mut files.context,
            memory,
            fd,
            bufs,
            count,
            result,
        ))
    })
}

#[expect(clippy::too_many_arguments, reason = "WASI has as many")]
fn path_open(
    mut caller: Caller<'_, ThreadContext>,
    dir: i32,
    dir_flags: i32,
    path: i32,
    length: i32,
    open_flags: i32,
    base: i64,
    inheriting: i64,
    flags: i32,
    result: i32,
) -> Result<i32> {
    with_files(&mut caller, |files, memory, context| {
        if let Some(most) = files.most
            && files.opened.len() >= most as usize
        {
            context.meet_limit(Limit::OpenFiles(most));
            return Ok(Errno::Mfile as i32);
        }
        // A copy, so that no other thread can change the name after it was looked at,
        // or the descriptor before it is counted.
        let name = GuestPtr::<[u8]>::new((path.cast_unsigned(), length.cast_unsigned()));
        let mut scratch = Scratch::with(&memory.as_cow(name)?);
        let end = scratch.bytes().len() as i32 - FILESTAT;
        let mut copy = GuestMemory::Unshared(scratch.bytes());
        if files.is_fifo(&mut copy, dir, dir_flags, length, end) {
            return Ok(Errno::Notsup as i32);
        }
        let errno = finish(wasi::path_open(
            &mut files.context,
            &mut copy,
            dir,
            dir_flags,
            0,
            length,
            open_flags,
            base,
            inheriting,
            flags,
            end,
        ))?;
        if errno == SUCCESS {
            let fd: u32 = copy.read(GuestPtr::new(end.cast_unsigned()))?;
            files.opened.insert(fd);
            memory.write(GuestPtr::new(result.cast_unsigned()), fd)?;
        }
        Ok(errno)
    })
}

fn fd_close(mut caller: Caller<'_, ThreadContext>, fd: i32) -> Result<i32> {
    with_files(&mut caller, |files, memory, context| {
        let errno = finish(wasi::fd_close(&mut files.context, memory, fd))?;
        if errno == SUCCESS {
            files.opened.remove(&fd.cast_unsigned());
            context.process.wasi().forget_stream(fd.cast_unsigned());
        }
        Ok(errno)
    })
}

fn fd_renumber(mut caller: Caller<'_, ThreadContext>, from: i32, to: i32) -> Result<i32> {
    with_files(&mut caller, |files, memory, context| {
        let errno = finish(wasi::fd_renumber(&mut files.context, memory, from, to))?;
        let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
        if errno == SUCCESS && from != to {
            files.opened.remove(&to);
            if files.opened.remove(&from) {
                files.opened.insert(to);
            }
            context.process.wasi().move_stream(from, to);
        }
        Ok(errno)
    })
}
