//! Where the standard streams of a process lead.

use crate::error::Error;
use crate::linear_memory::Totals;
use crate::lock::lock;
use crate::machine::spawn_apart;
use std::fmt;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use threadwork_wasi::Sink;

/// Bytes of stack of a thread that copies a [`Reader`].
const STACK: usize = 256 << 10;

/// Bytes that it copies at a time.
const COPIED: usize = 16 << 10;

/// Standard input of a process.
///
/// A file, the reading end of a pipe, a socket, or anything else that has a descriptor of the
/// system becomes one by `into`:
///
/// ```no_run
/// use std::fs::File;
/// use threadwork_engine::{Module, ProcessBuilder};
///
/// # fn sort(module: &Module) -> Result<(), Box<dyn std::error::Error>> {
/// ProcessBuilder::new(module)
///     .stdin(File::open("words.txt")?)
///     .stdout(File::create("sorted.txt")?)
///     .run()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
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
    /// This descriptor of the system. It is the process's from now on: it may be made
    /// non-blocking, and is closed when the process has ended.
    Fd(OwnedFd),
    /// Whatever this reads, by a thread of its own that is as far ahead of the program as a
    /// pipe is long. That thread ends when the reader does, or returns for the first time
    /// after the process has ended.
    Reader(Reader),
}

/// What a [`Stdin::Reader`] reads.
pub struct Reader(Box<dyn Read + Send>);

impl Stdin {
    /// A [`Stdin::Reader`].
    ///
    /// ```
    /// use threadwork_engine::Stdin;
    ///
    /// let numbers = (0..1000).map(|n| format!("{n}\n")).collect::<String>();
    /// let stdin = Stdin::reader(std::io::Cursor::new(numbers));
    /// # drop(stdin);
    /// ```
    #[must_use]
    pub fn reader(reader: impl Read + Send + 'static) -> Self {
        Self::Reader(Reader(Box::new(reader)))
    }
}

impl<T: Into<OwnedFd>> From<T> for Stdin {
    fn from(fd: T) -> Self {
        Self::Fd(fd.into())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Standard output or error of a process. A file, the writing end of a pipe, or anything
/// else that has a descriptor of the system becomes one by `into`.
///
/// However much a program writes, the host keeps no more of it than the kind says;
/// [`Limits::output`](crate::Limits::output) ends a program that writes too much.
#[derive(Debug, Default)]
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
    /// This descriptor of the system. It is the process's from now on: it may be made
    /// non-blocking, and is closed when the process has ended.
    Fd(OwnedFd),
    /// A function of the embedder's.
    Callback(OutputCallback),
}

/// What an [`Output::Callback`] calls.
pub struct OutputCallback(Box<Take>);

/// Takes what a program writes.
type Take = dyn FnMut(&[u8]) + Send;

impl Output {
    /// Gives what the program writes to `take`, as it is written: no lines, perhaps half a
    /// character. It is called by the thread of the program that writes, which waits
    /// meanwhile, as all do that write to this stream: nothing is kept, and a slow `take`
    /// makes a slow program. The process ends only after it has returned; if it panics, the
    /// thread that wrote traps.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use threadwork_engine::{Engine, Module, Output, ProcessBuilder};
    ///
    /// # fn main() -> Result<(), threadwork_engine::Error> {
    /// # let engine = Engine::new()?;
    /// let module = Module::new(&engine, br#"(module
    ///     (import "wasi_snapshot_preview1" "fd_write"
    ///       (func $fd_write (param i32 i32 i32 i32) (result i32)))
    ///     (memory (export "memory") 1)
    ///     (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
    ///     (func (export "_start")
    ///       (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))
    /// "#)?;
    /// let (sender, texts) = channel();
    /// let stdout = Output::callback(move |text| drop(sender.send(text.to_vec())));
    /// assert!(ProcessBuilder::new(&module).stdout(stdout).run()?.success());
    /// assert_eq!(texts.recv().as_deref(), Ok(&b"hello\n"[..]));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn callback(take: impl FnMut(&[u8]) + Send + 'static) -> Self {
        Self::Callback(OutputCallback(Box::new(take)))
    }
}

impl<T: Into<OwnedFd>> From<T> for Output {
    fn from(fd: T) -> Self {
        Self::Fd(fd.into())
    }
}

impl fmt::Debug for OutputCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputCallback").finish_non_exhaustive()
    }
}

/// A callback as WASI sees it.
struct CallbackSink(Mutex<OutputCallback>);

impl Sink for CallbackSink {
    fn write(&self, bytes: &[u8]) -> Result<usize, u64> {
        (lock(&self.0).0)(bytes);
        Ok(bytes.len())
    }
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
        Stdin::Fd(fd) => Input::Fd(fd),
        Stdin::Reader(reader) => {
            let (guest, host) = pipe()?;
            let copied = spawn_apart("threadwork-input", STACK, move || copy(reader, host));
            copied.map_err(|source| Error::System {
                what: "a thread",
                source,
            })?;
            Input::Fd(guest.into())
        }
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
        Output::Fd(fd) => Guest::Fd(fd),
        Output::Callback(callback) => Guest::Sink(Arc::new(CallbackSink(Mutex::new(callback)))),
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

/// Copies until one of the two ends. An error of the reader is its end: a program cannot
/// be told.
fn copy(Reader(mut reader): Reader, mut pipe: PipeWriter) {
    let mut buffer = [0; COPIED];
    loop {
        let written = match reader.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => return,
            // A reader that says more than it can have read is at its end as well.
            Ok(length) => buffer.get(..length).map(|bytes| pipe.write_all(bytes)),
        };
        if !matches!(written, Some(Ok(()))) {
            return;
        }
    }
}

fn pipe() -> Result<(PipeReader, PipeWriter), Error> {
    std::io::pipe().map_err(|source| Error::System {
        what: "a pipe",
        source,
    })
}
