//! The calls on files and directories: each takes the lock of the files.

use super::files::{FILESTAT, Files, Quota, SUCCESS, Scratch, finish};
use super::host::{Errno, Host, MODULE, on_memory};
use crate::limits::Limit;
use crate::lock::lock;
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::Ciovec;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as wasi;
use wiggle::{GuestMemory, GuestPtr};

/// Bytes that one write of a process with a limit of them copies; the guest calls again for
/// the rest.
const MOST_COPIED: u32 = 1 << 20;

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
        fd_filestat_set_times(fd: i32, accessed: i64, modified: i64, flags: i32);
        fd_pread(fd: i32, bufs: i32, count: i32, offset: i64, result: i32);
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
    linker.func_wrap(MODULE, "fd_pwrite", fd_pwrite::<H>)?;
    linker.func_wrap(MODULE, "fd_filestat_set_size", fd_filestat_set_size::<H>)?;
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
    with_files(&mut caller, |files, memory, host| {
        write(
            files,
            memory,
            host,
            (bufs, count, result),
            |files, memory, (bufs, count, result)| {
                finish(wasi::fd_write(
                    &mut files.context,
                    memory,
                    fd,
                    bufs,
                    count,
                    result,
                ))
            },
        )
    })
}

fn fd_pwrite<H: Host>(
    mut caller: Caller<'_, H>,
    fd: i32,
    bufs: i32,
    count: i32,
    offset: i64,
    result: i32,
) -> Result<i32> {
    with_files(&mut caller, |files, memory, host| {
        write(
            files,
            memory,
            host,
            (bufs, count, result),
            |files, memory, (bufs, count, result)| {
                let context = &mut files.context;
                finish(wasi::fd_pwrite(
                    context, memory, fd, bufs, count, offset, result,
                ))
            },
        )
    })
}

/// Where a write finds its buffers, how many, and where it says how much it wrote.
type Buffers = (i32, i32, i32);

/// Writes with `call`, of what there is as much as the limit allows.
fn write<H: Host>(
    files: &mut Files,
    memory: &mut GuestMemory<'_>,
    host: &H,
    buffers: Buffers,
    call: impl FnOnce(&mut Files, &mut GuestMemory<'_>, Buffers) -> Result<i32>,
) -> Result<i32> {
    let Some(quota) = &files.quota else {
        return call(files, memory, buffers);
    };
    let (bufs, count, result) = buffers;
    let bufs = GuestPtr::<Ciovec>::new(bufs.cast_unsigned()).as_array(count.cast_unsigned());
    let all = first_buffer(memory, bufs)?;
    let most = u64::from(all.len().min(MOST_COPIED)).min(quota.left) as u32;
    if all.len() > 0 && most == 0 {
        return Ok(exceeds_quota(quota, host));
    }
    // A copy, so that no other thread can make it more after it was looked at.
    let bytes = memory.as_cow(GuestPtr::<[u8]>::new((all.offset().0, most)))?;
    let mut scratch = Scratch::with(&bytes);
    drop(bytes);
    let end = scratch.bytes().len() - FILESTAT as usize;
    scratch.bytes()[end + 4..end + 8].copy_from_slice(&most.to_le_bytes());
    let end = end as i32;
    let mut copy = GuestMemory::Unshared(scratch.bytes());
    let errno = call(files, &mut copy, (end, 1, end + 8))?;
    if errno == SUCCESS {
        let written: u32 = copy.read(GuestPtr::new((end + 8).cast_unsigned()))?;
        spend(files, host, written.into());
        memory.write(GuestPtr::new(result.cast_unsigned()), written)?;
    }
    Ok(errno)
}

/// The first buffer that has bytes: what one call writes.
fn first_buffer(memory: &GuestMemory<'_>, bufs: GuestPtr<[Ciovec]>) -> Result<GuestPtr<[u8]>> {
    for buf in bufs.iter() {
        let buf = memory.read(buf?)?;
        if buf.buf_len > 0 {
            return Ok(buf.buf.as_array(buf.buf_len));
        }
    }
    Ok(GuestPtr::new((0, 0)))
}

fn exceeds_quota<H: Host>(quota: &Quota, host: &H) -> i32 {
    host.thread().meet_limit(Limit::FileBytes(quota.most));
    Errno::Dquot as i32
}

/// So many bytes were written.
fn spend<H: Host>(files: &mut Files, host: &H, bytes: u64) {
    if let Some(quota) = &mut files.quota {
        quota.left = quota.left.saturating_sub(bytes);
        host.thread()
            .granted(|limit| matches!(limit, Limit::FileBytes(_)));
    }
}

fn fd_filestat_set_size<H: Host>(mut caller: Caller<'_, H>, fd: i32, size: i64) -> Result<i32> {
    with_files(&mut caller, |files, memory, host| {
        let now = files.quota.is_some().then(|| files.size(fd)).flatten();
        let growth = now.map_or(0, |now| size.cast_unsigned().saturating_sub(now));
        if let Some(quota) = &files.quota
            && growth > quota.left
        {
            return Ok(exceeds_quota(quota, host));
        }
        let context = &mut files.context;
        let errno = finish(wasi::fd_filestat_set_size(context, memory, fd, size))?;
        if errno == SUCCESS {
            spend(files, host, growth);
        }
        Ok(errno)
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
