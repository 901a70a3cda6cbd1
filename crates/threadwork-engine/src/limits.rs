//! What a process may use at most, as an embedder says it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Upper bounds for one process; `None` is "no bound of ours". The default has no
/// bounds.
///
/// Threads, memory, open files and bytes of files run out the way they do on any system:
/// the spawn, the `memory.grow`, the `open` or the write fails, and the program may cope. If
/// it traps for that, its [`ExitStatus`](crate::ExitStatus) names the limit;
/// [`LimitExceeded`](crate::LimitExceeded) says when. The two times end the process when
/// they have passed, and a write beyond the limit of output does.
///
/// ```
/// use std::time::Duration;
/// use threadwork_engine::Limits;
///
/// let limits = Limits::default()
///     .threads(8)
///     .memory(64 << 20)
///     .wall_time(Duration::from_secs(10));
/// assert_eq!(limits.threads, Some(8));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Threads that may exist at one time beside the main one.
    pub threads: Option<u32>,
    /// Bytes of memory in sum: linear memories, shared or not, and tables, of all threads'
    /// instances, and what is kept of an [`Output::Buffer`](crate::Output::Buffer) until it
    /// is taken. An element of a table counts for two pointers. A memory grows in pages of
    /// 64 KiB; `memory.grow` and `table.grow` return -1 at the limit, a write into a buffer
    /// fails with ENOSPC.
    pub memory: Option<u64>,
    /// Time from the start of the process.
    pub wall_time: Option<Duration>,
    /// Processor time of all threads together. Needs Linux.
    pub cpu_time: Option<Duration>,
    /// Files and directories that may be open at one time beside standard streams
    /// and preopened directories.
    pub open_files: Option<u32>,
    /// Bytes that may be written to files in all, and that files may be made longer by:
    /// what is overwritten or deleted counts all the same, standard streams do not. A call
    /// beyond it fails with EDQUOT. 0 lets nothing be written.
    pub file_bytes: Option<u64>,
    /// Bytes that may be written to standard output and standard error together, wherever
    /// these lead. Who writes more is ended, after what fits: unlike a file, an output that
    /// is cut short looks like one that is complete.
    pub output: Option<u64>,
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::threads`]
    Threads(u32),
    /// [`Limits::memory`]
    Memory(u64),
    /// [`Limits::wall_time`]
    WallTime(Duration),
    /// [`Limits::cpu_time`]
    CpuTime(Duration),
    /// [`Limits::open_files`]
    OpenFiles(u32),
    /// [`Limits::file_bytes`]
    FileBytes(u64),
    /// [`Limits::output`]
    Output(u64),
}

impl Limits {
    /// Limits for code from strangers, to be lowered or raised by what it is for: 16
    /// threads, 128 MiB of memory, 10 s of time and, on Linux, of processor time, 32 open
    /// files, 64 MiB written to files and as much output. The engine wants settings of its own, too:
    /// [`EngineBuilder::untrusted`](crate::EngineBuilder::untrusted).
    #[must_use]
    pub fn untrusted() -> Self {
        let time = Duration::from_secs(10);
        Self {
            threads: Some(16),
            memory: Some(128 << 20),
            wall_time: Some(time),
            cpu_time: cfg!(target_os = "linux").then_some(time),
            open_files: Some(32),
            file_bytes: Some(64 << 20),
            output: Some(64 << 20),
        }
    }

    /// At most `count` threads at one time beside the main one.
    #[must_use]
    pub fn threads(mut self, count: u32) -> Self {
        self.threads = Some(count);
        self
    }

    /// At most `bytes` of linear memory, tables and kept output.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// At most `time` from start to end.
    #[must_use]
    pub fn wall_time(mut self, time: Duration) -> Self {
        self.wall_time = Some(time);
        self
    }

    /// At most `time` on the processor, all threads together.
    #[must_use]
    pub fn cpu_time(mut self, time: Duration) -> Self {
        self.cpu_time = Some(time);
        self
    }

    /// At most `count` open files at one time.
    #[must_use]
    pub fn open_files(mut self, count: u32) -> Self {
        self.open_files = Some(count);
        self
    }

    /// At most `bytes` written to files.
    #[must_use]
    pub fn file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = Some(bytes);
        self
    }

    /// At most `bytes` of standard output and standard error together.
    #[must_use]
    pub fn output(mut self, bytes: u64) -> Self {
        self.output = Some(bytes);
        self
    }
}

/// A page of linear memory.
pub(crate) const PAGE: u64 = 64 << 10;

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(count) => write!(f, "the limit of {count} threads"),
            Self::Memory(bytes) => write!(f, "the limit of {bytes} bytes of memory"),
            Self::WallTime(time) => write!(f, "the limit of {time:?} of wall-clock time"),
            Self::CpuTime(time) => write!(f, "the limit of {time:?} of CPU time"),
            Self::OpenFiles(count) => write!(f, "the limit of {count} open files"),
            Self::FileBytes(bytes) => write!(f, "the limit of {bytes} bytes written to files"),
            Self::Output(bytes) => write!(f, "the limit of {bytes} bytes of output"),
        }
    }
}
