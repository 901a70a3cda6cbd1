//! [`Wasi`], the WASI side of a process, and [`Host`], what its calls must know of the rest.

use super::files::{Files, Grants};
use super::stdio::{self, InputStream, OutputStream};
use super::streams::{self, Closable, Open, Stream, Streams};
use crate::error::Error;
use crate::limits::Limits;
use crate::linear_memory::Memory;
use crate::lock::lock;
use crate::thread::ThreadState;
use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use threadwork_parking::Cores;
use threadwork_rewrite::MEMORY;
use wasmtime::{Caller, Result};
pub(super) use wasmtime_wasi::p1::types::Errno;
use wiggle::GuestMemory;

pub(super) const MODULE: &str = "wasi_snapshot_preview1";

/// Buffers or subscriptions that one call may have, as on other systems: what the
/// host allocates and walks for a call is bounded.
pub(super) const MOST_VECTORS: u32 = 1024;

/// The data of the stores whose guests call: what WASI must know of the caller.
pub(crate) trait Host: 'static {
    /// The WASI side of the caller's process.
    fn wasi(&self) -> &Wasi;

    /// The calling thread.
    fn thread(&self) -> &ThreadState;

    /// The cores that the caller's threads run on.
    fn cores(&self) -> &Cores;

    /// Fails if the caller is to end. Looked at by each call, and where one is about to
    /// block or has been woken.
    fn check_running(&self) -> Result<()>;

    /// The memory that WASI works on if that is a shared one; else it is the instance's.
    fn shared_memory(&self) -> Option<&Memory>;

    /// Processor time of all threads of the process.
    fn process_cpu_time(&self) -> Duration;
}

/// The WASI side of a process.
pub(crate) struct Wasi {
    /// `None` once the process has ended.
    files: Mutex<Option<Files>>,
    streams: Streams,
    stdin: streams::Input,
    stdout: streams::Output,
    stderr: streams::Output,
    /// Wakes threads that poll file descriptors. Nobody does if no stream can block.
    cancel: Option<Closable<Cancel>>,
    started: Instant,
}

/// A pipe that becomes readable when the process ends, and stays so.
pub(super) struct Cancel {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Cancel {
    fn new() -> Result<Self, Error> {
        let (reader, writer) = stdio::pipe()?;
        Ok(Self { reader, writer })
    }

    /// Readable once the process ends.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Wasi {
    /// Gets all descriptors that the process will ever need for its standard streams and
    /// its end: a start that takes the last one must not make those fail that run.
    pub(crate) fn new(
        grants: &Grants,
        stdin: InputStream,
        stdout: OutputStream,
        stderr: OutputStream,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let terminals = streams::terminals(&stdin, &stdout, &stderr);
        let files = Files::new(grants, terminals, limits)?;
        let stdin = streams::Input::new(stdin);
        let [stdout, stderr] = [stdout, stderr].map(streams::Output::new);
        let can_block = stdin.can_block() || stdout.can_block() || stderr.can_block();
        let cancel = can_block.then(Cancel::new).transpose()?;
        Ok(Self {
            files: Mutex::new(Some(files)),
            streams: Streams::default(),
            stdin,
            stdout,
            stderr,
            cancel: cancel.map(|cancel| Closable::with(cancel, false)),
            started: Instant::now(),
        })
    }

    /// Wakes the threads that poll file descriptors. Those that sleep are unparked
    /// by the process.
    pub(crate) fn wake(&self) {
        if let Some(cancel) = self.cancel().0 {
            // One byte, which nobody reads, into an empty pipe.
            let _ = (&cancel.writer).write(&[0]);
        }
    }

    /// What to poll besides a stream that can block; `None` once the process has ended.
    pub(super) fn cancel(&self) -> Open<Cancel> {
        self.cancel.as_ref().map_or(Open(None), Closable::open)
    }

    /// The process has ended: closes its files and its ends of pipes.
    pub(crate) fn close(&self) {
        *lock(&self.files) = None;
        self.stdin.close();
        self.stdout.close();
        self.stderr.close();
        self.cancel.iter().for_each(Closable::close);
    }

    pub(super) fn files(&self) -> &Mutex<Option<Files>> {
        &self.files
    }

    /// Whether a descriptor that is no standard stream is open.
    pub(super) fn is_open(&self, fd: u32) -> bool {
        let mut files = lock(&self.files);
        files.as_mut().is_some_and(|files| files.is_open(fd))
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    pub(super) fn stdin(&self) -> &streams::Input {
        &self.stdin
    }

    pub(super) fn output(&self, stream: Stream) -> &streams::Output {
        match stream {
            Stream::Err => &self.stderr,
            Stream::Out | Stream::In => &self.stdout,
        }
    }

    /// The guest's monotonic clock: time since the process started.
    pub(super) fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Runs `body` on the guest's memory, unless the process is ending: a guest that
/// only ever calls WASI ends here, even if nothing interrupts it.
pub(super) fn on_memory<H: Host, R>(
    caller: &mut Caller<'_, H>,
    body: impl FnOnce(&H, &mut GuestMemory<'_>) -> Result<R>,
) -> Result<R> {
    caller.data().check_running()?;
    let host = caller.data();
    if let Some(memory) = host.shared_memory() {
        return body(host, &mut memory.bytes());
    }
    let memory = caller
        .get_export(MEMORY)
        .and_then(wasmtime::Extern::into_memory)
        .ok_or_else(|| wasmtime::Error::msg("a module without a memory called WASI"))?;
    let (bytes, host) = memory.data_and_store_mut(&mut *caller);
    body(host, &mut GuestMemory::Unshared(bytes))
}

/// Like [`on_memory`], for functions of our own: an [`Errno`] is what the guest's call
/// returns, an error is a trap.
pub(super) fn with_memory<H: Host>(
    caller: &mut Caller<'_, H>,
    body: impl FnOnce(&H, &mut GuestMemory<'_>) -> Result<Result<(), Errno>>,
) -> Result<i32> {
    let result = on_memory(caller, body)?;
    Ok(result.err().unwrap_or(Errno::Success) as i32)
}

/// What WASI calls an error of the system.
pub(super) fn errno(error: std::io::Error) -> Errno {
    use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
    ErrorCode::from(error).into()
}
