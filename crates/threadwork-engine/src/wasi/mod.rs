//! WASI preview 1, one for all threads of a process: a file that one thread opens
//! can be used by the others.
//!
//! It knows nothing of processes: [`Host`] says what it must know of whoever calls.
//!
//! Files and directories are `wasmtime-wasi`'s, behind one lock ([`file_calls`]). What can
//! block for long or is called often never takes that lock: standard streams
//! ([`stream_calls`]), polling and sleeping ([`poll`]), clocks ([`clock`]) and random
//! numbers are done here. Each of the calls that block ends when the process does.
//!
//! | module | holds |
//! |---|---|
//! | `stdio` | where the standard streams lead |
//! | `streams` | the standard streams of a process, and which descriptors they are |
//! | `files` | its files and directories |
//! | `host` | [`Wasi`], all of these, and [`Host`] |
//! | `clock`, `file_calls`, `poll`, `stream_calls` | the calls |

mod clock;
mod file_calls;
mod files;
mod host;
mod poll;
mod stdio;
mod stream_calls;
mod streams;

pub(crate) use files::Grants;
pub(crate) use host::{Host, Wasi};
pub(crate) use stdio::{HostEnds, InputStream, Kept, OutputStream};
pub use stdio::{Output, Stdin};

use crate::thread::ProcExit;
use host::{Errno, MODULE, with_memory};
use wasmtime::{Caller, Linker, Result};
use wiggle::GuestPtr;

/// Defines the functions of WASI preview 1.
pub(crate) fn add_to_linker<H: Host>(linker: &mut Linker<H>) -> Result<()> {
    file_calls::add_to_linker(linker)?;
    stream_calls::add_to_linker(linker)?;
    poll::add_to_linker(linker)?;
    clock::add_to_linker(linker)?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> Result<()> {
        Err(wasmtime::Error::new(ProcExit(code)))
    })?;
    linker.func_wrap(MODULE, "sched_yield", |caller: Caller<'_, H>| {
        caller.data().check_running()?;
        std::thread::yield_now();
        Ok(Errno::Success as i32)
    })?;
    linker.func_wrap(MODULE, "random_get", random_get::<H>)?;
    Ok(())
}

fn random_get<H: Host>(mut caller: Caller<'_, H>, at: i32, length: i32) -> Result<i32> {
    let mut chunk = [0; 256];
    with_memory(&mut caller, |host, memory| {
        let (mut at, end) = (
            at.cast_unsigned(),
            at.cast_unsigned().checked_add(length.cast_unsigned()),
        );
        let Some(end) = end else {
            return Ok(Err(Errno::Fault));
        };
        while at < end {
            host.check_running()?;
            let part = &mut chunk[..((end - at) as usize).min(256)];
            if getrandom::fill(part).is_err() {
                return Ok(Err(Errno::Io));
            }
            let length = part.len() as u32;
            memory.copy_from_slice(part, GuestPtr::<[u8]>::new((at, length)))?;
            at += length;
        }
        Ok(Ok(()))
    })
}
