//! [`add_to_linker`]: the functions under their names, with the types that guests import
//! them with.

use crate::calls::{Call, basic, dirs, files, paths, poll, sockets};
use crate::errno::{Failure, Result};
use crate::host::Host;
use crate::memory::GuestMemory;
use wasmtime::{Caller, Extern, Linker, SharedMemory};

const MODULE: &str = "wasi_snapshot_preview1";

/// Defines functions as what `$module` has under the same names.
macro_rules! define {
    ($linker:ident, $($module:ident: { $($name:ident($($argument:ident: $ty:ty),*);)* })*) => {
        $($($linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, H>, $($argument: $ty),*| -> wasmtime::Result<i32> {
                with_call(&mut caller, |call| $module::$name(call, $($argument),*))
            },
        )?;)*)*
    };
}

/// Defines all functions of WASI preview 1, of the module `wasi_snapshot_preview1`.
///
/// # Errors
///
/// If the linker has one of them already.
pub fn add_to_linker<H: Host>(linker: &mut Linker<H>) -> wasmtime::Result<()> {
    define! { linker,
        basic: {
            args_get(pointers: u32, bytes: u32);
            args_sizes_get(count: u32, size: u32);
            environ_get(pointers: u32, bytes: u32);
            environ_sizes_get(count: u32, size: u32);
            clock_res_get(id: u32, result: u32);
            clock_time_get(id: u32, precision: u64, result: u32);
            random_get(at: u32, length: u32);
            sched_yield();
            proc_raise(signal: u32);
        }
        files: {
            fd_advise(fd: u32, offset: u64, length: u64, advice: u32);
            fd_allocate(fd: u32, offset: u64, length: u64);
            fd_close(fd: u32);
            fd_datasync(fd: u32);
            fd_fdstat_get(fd: u32, result: u32);
            fd_fdstat_set_flags(fd: u32, flags: u32);
            fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
            fd_filestat_get(fd: u32, result: u32);
            fd_filestat_set_size(fd: u32, size: u64);
            fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32);
            fd_pread(fd: u32, vectors: u32, count: u32, offset: u64, result: u32);
            fd_pwrite(fd: u32, vectors: u32, count: u32, offset: u64, result: u32);
            fd_read(fd: u32, vectors: u32, count: u32, result: u32);
            fd_renumber(from: u32, to: u32);
            fd_seek(fd: u32, offset: i64, whence: u32, result: u32);
            fd_sync(fd: u32);
            fd_tell(fd: u32, result: u32);
            fd_write(fd: u32, vectors: u32, count: u32, result: u32);
        }
        dirs: {
            fd_prestat_get(fd: u32, result: u32);
            fd_prestat_dir_name(fd: u32, at: u32, length: u32);
            fd_readdir(fd: u32, at: u32, length: u32, cookie: u64, result: u32);
        }
        paths: {
            path_create_directory(fd: u32, path: u32, length: u32);
            path_filestat_get(fd: u32, flags: u32, path: u32, length: u32, result: u32);
            path_filestat_set_times(
                fd: u32, flags: u32, path: u32, length: u32, accessed: u64, modified: u64,
                set: u32
            );
            path_link(
                fd: u32, flags: u32, path: u32, length: u32, new_fd: u32, new_path: u32,
                new_length: u32
            );
            path_open(
                fd: u32, lookup: u32, path: u32, length: u32, flags: u32, base: u64,
                inheriting: u64, descriptor_flags: u32, result: u32
            );
            path_readlink(fd: u32, path: u32, length: u32, at: u32, room: u32, result: u32);
            path_remove_directory(fd: u32, path: u32, length: u32);
            path_rename(
                fd: u32, path: u32, length: u32, new_fd: u32, new_path: u32, new_length: u32
            );
            path_symlink(target: u32, target_length: u32, fd: u32, path: u32, length: u32);
            path_unlink_file(fd: u32, path: u32, length: u32);
        }
        poll: {
            poll_oneoff(subscriptions: u32, events: u32, count: u32, result: u32);
        }
        sockets: {
            sock_accept(fd: u32, flags: u32, result: u32);
            sock_recv(
                fd: u32, vectors: u32, count: u32, flags: u32, result: u32, result_flags: u32
            );
            sock_send(fd: u32, vectors: u32, count: u32, flags: u32, result: u32);
            sock_shutdown(fd: u32, how: u32);
        }
    }
    linker.func_wrap(
        MODULE,
        "proc_exit",
        |caller: Caller<'_, H>, code: i32| -> wasmtime::Result<()> {
            Err(caller.data().exit(code))
        },
    )?;
    Ok(())
}

/// Makes a call, unless the process is ending: a guest that only ever calls WASI ends here,
/// even if nothing interrupts it.
fn with_call<H: Host>(
    caller: &mut Caller<'_, H>,
    body: impl FnOnce(&Call<'_, H>) -> Result,
) -> wasmtime::Result<i32> {
    caller.data().check_running()?;
    let found = match caller.data().shared_memory() {
        Some(memory) => Some(bytes(memory)),
        None => exported(caller),
    };
    let memory = match found {
        // SAFETY: a shared memory never moves and is never shorter than it was. One that is not
        // shared changes only by its instance's code, which waits for this call, or by whoever
        // has its store, which `caller` has. Nobody makes references to it meanwhile.
        Some((base, length)) => unsafe { GuestMemory::new(base, length) },
        None => GuestMemory::none(),
    };
    reply(body(&Call::new(caller.data(), memory)))
}

/// Where a memory is, and how long.
///
/// Always inlined: a result that comes back in memory is stored as two words and loaded as one of twice
/// the size, which waits until both are in the cache. That was an eighth of a call that asks for the time.
#[inline(always)]
fn bytes(memory: &SharedMemory) -> (*mut u8, usize) {
    let bytes = memory.data();
    (bytes.as_ptr().cast_mut().cast(), bytes.len())
}

/// The same of the memory that the caller exports.
#[cold]
fn exported<H: Host>(caller: &mut Caller<'_, H>) -> Option<(*mut u8, usize)> {
    let name = caller.data().memory_name();
    match caller.get_export(name)? {
        Extern::Memory(memory) => Some((memory.data_ptr(&*caller), memory.data_size(&*caller))),
        Extern::SharedMemory(memory) => Some(bytes(&memory)),
        _ => None,
    }
}

fn reply(result: Result) -> wasmtime::Result<i32> {
    match result {
        Ok(()) => Ok(0),
        Err(Failure::Errno(errno)) => Ok(errno.0.into()),
        Err(Failure::Stop(error)) => Err(error),
    }
}
