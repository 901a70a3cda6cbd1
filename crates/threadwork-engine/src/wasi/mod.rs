//! WASI preview 1, one for all threads of a process: a file that one thread opens
//! can be used by the others.
//!
//! Files and directories are `wasmtime-wasi`'s, behind one lock ([`files`]). What can
//! block for long or is called often never takes that lock: standard streams
//! ([`streams`]), polling and sleeping ([`poll`]), clocks ([`clock`]) and random
//! numbers are done here. Each of the calls that block ends when the process does.

mod clock;
mod files;
mod poll;
mod streams;

use crate::Error;
use crate::process::{InputStream, OutputStream, ProcExit};
use crate::thread::ThreadContext;
use crate::worker::lock;
use files::Files;
use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, RwLock};
use std::time::Instant;
use streams::Streams;
use threadwork_rewrite::MEMORY;
use wasmtime::{Caller, Linker, Result};
pub(crate) use wasmtime_wasi::p1::types::Errno;
use wiggle::{GuestMemory, GuestPtr};

const MODULE: &str = "wasi_snapshot_preview1";

/// Buffers or subscriptions that one call may have, as on other systems: what the
/// host allocates and walks for a call is bounded.
const MOST_VECTORS: u32 = 1024;

/// What a process is allowed to see.
#[derive(Default)]
pub(crate) struct Grants {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Host directory and the guest's name for it.
    pub(crate) dirs: Vec<(PathBuf, String)>,
}

/// The WASI side of a process.
pub(crate) struct Wasi {
    /// `None` once the process has ended.
    files: Mutex<Option<Files>>,
    /// Which file descriptors are standard streams; all three, unless the guest
    /// closes or renumbers them.
    streams: RwLock<Streams>,
    stdin: streams::Input,
    stdout: streams::Output,
    stderr: streams::Output,
    /// Wakes threads that poll file descriptors. Made when the first one does.
    cancel: Mutex<Option<Cancel>>,
    started: Instant,
}

/// A pipe that becomes readable when the process ends, and stays so.
struct Cancel {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Wasi {
    pub(crate) fn new(
        grants: &Grants,
        stdin: InputStream,
        stdout: OutputStream,
        stderr: OutputStream,
        open_files: Option<u32>,
    ) -> Result<Self, Error> {
        let terminals = streams::terminals(&stdin, &stdout, &stderr);
        Ok(Self {
            files: Mutex::new(Some(Files::new(grants, terminals, open_files)?)),
            streams: RwLock::default(),
            stdin: streams::Input::new(stdin),
            stdout: streams::Output::new(stdout),
            stderr: streams::Output::new(stderr),
            cancel: Mutex::new(None),
            started: Instant::now(),
        })
    }

    /// Wakes the threads that poll file descriptors. Those that sleep are unparked
    /// by the process.
    pub(crate) fn cancel(&self) {
        if let Some(cancel) = &mut *lock(&self.cancel) {
            // One byte, which nobody reads, into an empty pipe.
            let _ = cancel.writer.write(&[0]);
        }
    }

    /// A descriptor that is readable once the process ends. The caller must look at
    /// [`State::check_running`](crate::process::State::check_running) between this
    /// call and the poll: an end that came before has not written.
    fn cancel_fd(&self) -> std::io::Result<OwnedFd> {
        let mut cancel = lock(&self.cancel);
        if cancel.is_none() {
            let (reader, writer) = std::io::pipe()?;
            *cancel = Some(Cancel { reader, writer });
        }
        match &*cancel {
            Some(cancel) => Ok(cancel.reader.try_clone()?.into()),
            None => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    /// The process has ended: closes its files and its ends of pipes.
    pub(crate) fn close(&self) {
        *lock(&self.files) = None;
        self.stdin.close();
        self.stdout.close();
        self.stderr.close();
        *lock(&self.cancel) = None;
    }
}

/// Defines the functions of WASI preview 1.
pub(crate) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> Result<()> {
    files::add_to_linker(linker)?;
    streams::add_to_linker(linker)?;
    poll::add_to_linker(linker)?;
    clock::add_to_linker(linker)?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> Result<()> {
        Err(wasmtime::Error::new(ProcExit(code)))
    })?;
    linker.func_wrap(
        MODULE,
        "sched_yield",
        |caller: Caller<'_, ThreadContext>| {
            caller.data().check_running()?;
            std::thread::yield_now();
            Ok(Errno::Success as i32)
        },
    )?;
    linker.func_wrap(MODULE, "random_get", random_get)?;
    Ok(())
}

fn random_get(mut caller: Caller<'_, ThreadContext>, at: i32, length: i32) -> Result<i32> {
    let mut chunk = [0; 256];
    with_memory(&mut caller, |context, memory| {
        let (mut at, end) = (
            at.cast_unsigned(),
            at.cast_unsigned().checked_add(length.cast_unsigned()),
        );
        let Some(end) = end else {
            return Ok(Err(Errno::Fault));
        };
        while at < end {
            context.check_running()?;
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

/// Runs `body` on the guest's memory, unless the process is ending: a guest that
/// only ever calls WASI ends here, even if nothing interrupts it.
fn on_memory<R>(
    caller: &mut Caller<'_, ThreadContext>,
    body: impl FnOnce(&ThreadContext, &mut GuestMemory<'_>) -> Result<R>,
) -> Result<R> {
    caller.data().check_running()?;
    // WASI's memory is the first.
    let memories = caller.data().process.module().memories();
    if memories.first().is_some_and(|import| import.index == 0) {
        let context = caller.data();
        return body(context, &mut context.process.memories()[0].bytes());
    }
    let memory = caller
        .get_export(MEMORY)
        .and_then(wasmtime::Extern::into_memory)
        .ok_or_else(|| wasmtime::Error::msg("a module without a memory called WASI"))?;
    let (bytes, context) = memory.data_and_store_mut(&mut *caller);
    body(context, &mut GuestMemory::Unshared(bytes))
}

/// Like [`on_memory`], for functions of our own: an [`Errno`] is what the guest's call
/// returns, an error is a trap.
fn with_memory(
    caller: &mut Caller<'_, ThreadContext>,
    body: impl FnOnce(&ThreadContext, &mut GuestMemory<'_>) -> Result<Result<(), Errno>>,
) -> Result<i32> {
    let result = on_memory(caller, body)?;
    Ok(result.err().unwrap_or(Errno::Success) as i32)
}

/// What WASI calls an error of the system.
fn errno(error: std::io::Error) -> Errno {
    use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
    ErrorCode::from(error).into()
}
