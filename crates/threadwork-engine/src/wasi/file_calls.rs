//! The calls on files and directories: each takes the lock of the files.

use super::files::{FILESTAT, Files, SUCCESS, Scratch, finish};
use super::host::{Errno, Host, MODULE, on_memory};
use crate::limits::Limit;
use crate::lock::lock;
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as wasi;
use wiggle::{GuestMemory, GuestPtr};

/// Runs `body` on the process's files.
fn with_files<H: Host>(
    caller: &mut Caller<'_, H>,
    body: impl FnOnce(&mut Files, &mut GuestMemory<'_>, &H) -> Result<i32>,
) -> Result<i32> {
    on_memory(caller, |host, memory| {
        match &mut *lock(host.wasi().files()) {
            Some(files) => body(files, memory, host),
            // The process has ended.
            None => Ok(Errno::Badf as i32),
        }
    })
}

/// Defines functions that `wasmtime-wasi` does as they are.
macro_rules! forward {
    ($linker:ident, $wrap:expr, $($name:ident($($argument:ident: $ty:ty),*);)*) => {
        $($linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, H>, $($argument: $ty),*| {
                with_files(&mut caller, |files, memory, _| {
                    $wrap(wasi::$name(&mut files.context, memory, $($argument),*))
                })
            },
        )?;)*
    };
}

pub(super) fn add_to_linker<H: Host>(linker: &mut Linker<H>) -> Result<()> {
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
    linker.func_wrap(MODULE, "path_open", path_open::<H>)?;
    linker.func_wrap(MODULE, "fd_close", fd_close::<H>)?;
    linker.func_wrap(MODULE, "fd_renumber", fd_renumber::<H>)?;
    Ok(())
}

/// `fd_write` of a descriptor that is no standard stream.
pub(super) fn fd_write<H: Host>(
    mut caller: Caller<'_, H>,
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
pub(super) fn fd_read<H: Host>(
    mut caller: Caller<'_, H>,
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
fn path_open<H: Host>(
    mut caller: Caller<'_, H>,
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
    with_files(&mut caller, |files, memory, host| {
        if let Some(most) = files.most
            && files.opened.len() >= most as usize
        {
            host.thread().meet_limit(Limit::OpenFiles(most));
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
            host.thread()
                .granted(|limit| matches!(limit, Limit::OpenFiles(_)));
            memory.write(GuestPtr::new(result.cast_unsigned()), fd)?;
        }
        Ok(errno)
    })
}

fn fd_close<H: Host>(mut caller: Caller<'_, H>, fd: i32) -> Result<i32> {
    with_files(&mut caller, |files, memory, host| {
        let errno = finish(wasi::fd_close(&mut files.context, memory, fd))?;
        if errno == SUCCESS {
            files.opened.remove(&fd.cast_unsigned());
            host.wasi().streams().forget(fd.cast_unsigned());
        }
        Ok(errno)
    })
}

fn fd_renumber<H: Host>(mut caller: Caller<'_, H>, from: i32, to: i32) -> Result<i32> {
    with_files(&mut caller, |files, memory, host| {
        let errno = finish(wasi::fd_renumber(&mut files.context, memory, from, to))?;
        let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
        if errno == SUCCESS && from != to {
            files.opened.remove(&to);
            if files.opened.remove(&from) {
                files.opened.insert(to);
            }
            host.wasi().streams().renumber(from, to);
        }
        Ok(errno)
    })
}
