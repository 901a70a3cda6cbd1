//! Where the standard streams of a process lead.

use crate::error::Error;
use crate::linear_memory::Totals;
use crate::lock::lock;
use std::io::{PipeReader, PipeWriter};
use std::sync::{Arc, Mutex};
use threadwork_wasi::Sink;

/// Standard input of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stdin {
    /// At its end from the start.
    #[default]
    Null,
    /// That of the host program.
    Inherit,
    /// A pipe, whose other end is [`Process::take_stdin`](crate::Process::take_stdin).
    Pipe,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Standard output or error of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Forgotten.
    #[default]
    Null,
    /// That of the host program.
    Inherit,
    /// A pipe, whose other end is [`Process::take_stdout`](crate::Process::take_stdout)
    /// or `take_stderr`. A guest that writes faster than it is read waits.
    Pipe,
    /// Kept in memory, for [`Process::stdout_buffer`](crate::Process::stdout_buffer)
    /// or `stderr_buffer`. Until it is taken it counts for
    /// [`Limits::memory`](crate::Limits::memory); a write for which there is no room fails
    /// with ENOSPC.
    Buffer,
}

/// The embedder's ends.
#[derive(Default)]
pub(crate) struct HostEnds {
    pub(crate) stdin: Option<PipeWriter>,
    pub(crate) stdout: Option<PipeReader>,
    pub(crate) stderr: Option<PipeReader>,
    pub(crate) stdout_buffer: Option<Arc<Kept>>,
    pub(crate) stderr_buffer: Option<Arc<Kept>>,
}

/// What a guest has written and the embedder has not taken yet. It counts as memory of the
/// process.
pub(crate) struct Kept {
    bytes: Mutex<Vec<u8>>,
    totals: Arc<Totals>,
}

impl Kept {
    fn new(totals: &Arc<Totals>) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::default(),
            totals: Arc::clone(totals),
        })
    }

    /// Keeps as much as there is room for; says how much.
    ///
    /// # Errors
    ///
    /// The limit of memory, if there is no room at all.
    fn keep(&self, bytes: &[u8]) -> Result<usize, u64> {
        // At most as many as there are.
        let fit = self.totals.reserve_part(bytes.len() as u64)? as usize;
        lock(&self.bytes).extend_from_slice(&bytes[..fit]);
        Ok(fit)
    }

    /// Gives all of it to the embedder.
    pub(crate) fn take(&self) -> Vec<u8> {
        let bytes = std::mem::take(&mut *lock(&self.bytes));
        self.totals.release(bytes.len() as u64);
        bytes
    }
}

impl Sink for Kept {
    fn write(&self, bytes: &[u8]) -> Result<usize, u64> {
        self.keep(bytes)
    }
}

/// The guest's ends.
pub(crate) struct Streams {
    pub(super) stdin: threadwork_wasi::Input,
    pub(super) stdout: threadwork_wasi::Output,
    pub(super) stderr: threadwork_wasi::Output,
}

impl Streams {
    pub(crate) fn open(
        stdin: Stdin,
        stdout: Output,
        stderr: Output,
        totals: &Arc<Totals>,
    ) -> Result<(Self, HostEnds), Error> {
        let mut ends = HostEnds::default();
        let stdin = input(stdin, &mut ends.stdin)?;
        let stdout = output(stdout, &mut ends.stdout, &mut ends.stdout_buffer, totals)?;
        let stderr = output(stderr, &mut ends.stderr, &mut ends.stderr_buffer, totals)?;
        let streams = Self {
            stdin,
            stdout,
            stderr,
        };
        Ok((streams, ends))
    }
}

fn input(stdin: Stdin, writer: &mut Option<PipeWriter>) -> Result<threadwork_wasi::Input, Error> {
    use threadwork_wasi::Input;
    Ok(match stdin {
        Stdin::Null => Input::Null,
        Stdin::Inherit => Input::Inherit,
        Stdin::Bytes(bytes) => Input::Bytes(bytes),
        Stdin::Pipe => {
            let (guest, host) = pipe()?;
            *writer = Some(host);
            Input::Fd(guest.into())
        }
    })
}

fn output(
    output: Output,
    reader: &mut Option<PipeReader>,
    buffer: &mut Option<Arc<Kept>>,
    totals: &Arc<Totals>,
) -> Result<threadwork_wasi::Output, Error> {
    use threadwork_wasi::Output as Guest;
    Ok(match output {
        Output::Null => Guest::Null,
        Output::Inherit => Guest::Inherit,
        Output::Buffer => {
            let kept = Arc::clone(buffer.insert(Kept::new(totals)));
            Guest::Sink(kept)
        }
        Output::Pipe => {
            let (host, guest) = pipe()?;
            *reader = Some(host);
            Guest::Fd(guest.into())
        }
    })
}

fn pipe() -> Result<(PipeReader, PipeWriter), Error> {
    std::io::pipe().map_err(|source| Error::System {
        what: "a pipe",
        source,
    })
}
