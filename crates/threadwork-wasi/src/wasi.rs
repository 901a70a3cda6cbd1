//! [`Wasi`], the WASI side of a process, and [`WasiBuilder`], what it is granted.

use crate::abi::nanoseconds;
use crate::channel::Channel;
use crate::descriptor::{Descriptor, Directory, Kind, Listener, Stream};
use crate::ending::Ending;
use crate::limits::{Budget, Limit, Limits, OpenFiles};
use crate::streams::{Bytes, Input, Output};
use crate::table::Table;
use rustix::fs::{Mode, OFlags};
use rustix::time::ClockId;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The WASI side of a process: one for all its threads.
pub struct Wasi {
    table: Table<Descriptor>,
    args: Texts,
    env: Texts,
    open_files: OpenFiles,
    file_bytes: Budget,
    output: Budget,
    ending: Ending,
    /// Of the system's monotonic clock.
    started: u64,
}

/// Texts that end with a NUL each, one after the other, and where each begins.
#[derive(Default)]
pub(crate) struct Texts {
    pub(crate) bytes: Vec<u8>,
    pub(crate) starts: Vec<u32>,
}

/// What a process is granted: nothing, unless said.
///
/// ```
/// use threadwork_wasi::{Output, WasiBuilder};
///
/// # fn main() -> Result<(), threadwork_wasi::BuildError> {
/// let wasi = WasiBuilder::new()
///     .args(["program".to_owned(), "--fast".to_owned()])
///     .preopen_dir(".", "/")
///     .stdout(Output::Inherit)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct WasiBuilder {
    args: Vec<String>,
    env: Vec<(String, String)>,
    dirs: Vec<Grant>,
    listeners: Vec<OwnedFd>,
    stdin: Input,
    stdout: Output,
    stderr: Output,
    limits: Limits,
}

/// A directory.
#[derive(Debug)]
struct Grant {
    host: PathBuf,
    guest: String,
    read_only: bool,
}

/// Why a process cannot have what it was granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A directory cannot be opened.
    #[error("cannot open the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A socket, a stream or a pipe cannot be had.
    #[error("cannot prepare {what}")]
    System {
        /// What.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The arguments or the environment have 4 GiB or more.
    #[error("the arguments or the environment are too large")]
    TooLarge,
}

impl WasiBuilder {
    /// Grants nothing: no arguments, no environment, no files, empty input, forgotten
    /// output, no limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The arguments, from the program's own name on. What follows a NUL in one the program
    /// does not see.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        self.args = args.into_iter().collect();
        self
    }

    /// The environment: names and values.
    #[must_use]
    pub fn env(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env = env.into_iter().collect();
        self
    }

    /// Lets the process read and write the directory `host`, and what is below it, under
    /// the name `guest`. The first is descriptor 3.
    #[must_use]
    pub fn preopen_dir(self, host: impl AsRef<Path>, guest: impl Into<String>) -> Self {
        self.grant_dir(host.as_ref(), guest.into(), false)
    }

    /// As [`preopen_dir`](Self::preopen_dir), for reading: whatever would change something there
    /// is `EROFS`, whoever runs the host program and whatever its files' modes are.
    #[must_use]
    pub fn preopen_dir_read_only(self, host: impl AsRef<Path>, guest: impl Into<String>) -> Self {
        self.grant_dir(host.as_ref(), guest.into(), true)
    }

    fn grant_dir(mut self, host: &Path, guest: String, read_only: bool) -> Self {
        self.dirs.push(Grant {
            host: host.to_owned(),
            guest,
            read_only,
        });
        self
    }

    /// Lets the process accept connections on a socket that listens. The first is the
    /// descriptor after the directories: 3, if there are none.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let wasi = threadwork_wasi::WasiBuilder::new().listener(listener).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn listener(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.listeners.push(socket.into());
        self
    }

    /// Where standard input comes from.
    #[must_use]
    pub fn stdin(mut self, stdin: Input) -> Self {
        self.stdin = stdin;
        self
    }

    /// Where standard output goes.
    #[must_use]
    pub fn stdout(mut self, stdout: Output) -> Self {
        self.stdout = stdout;
        self
    }

    /// Where standard error goes.
    #[must_use]
    pub fn stderr(mut self, stderr: Output) -> Self {
        self.stderr = stderr;
        self
    }

    /// What the process may use at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Gets all descriptors that the process will need for what it is granted and for its
    /// end: a start that takes the last one must not make those fail that run.
    ///
    /// # Errors
    ///
    /// If something cannot be had.
    pub fn build(self) -> Result<Wasi, BuildError> {
        let env = self
            .env
            .into_iter()
            .map(|(name, value)| name + "=" + &value);
        let wasi = Wasi {
            table: Table::default(),
            args: Texts::new(self.args)?,
            env: Texts::new(env)?,
            open_files: OpenFiles::new(self.limits.open_files),
            file_bytes: Budget::new(self.limits.file_bytes, Limit::FileBytes),
            output: Budget::new(self.limits.output, Limit::Output),
            ending: Ending::default(),
            started: clock(ClockId::Monotonic),
        };
        wasi.grant(input(self.stdin)?)?;
        let stdout = output(self.stdout, rustix::stdio::stdout())?;
        wasi.add(Descriptor::standard(stdout, Stream::Output))?;
        let stderr = output(self.stderr, rustix::stdio::stderr())?;
        wasi.add(Descriptor::standard(stderr, Stream::Error))?;
        for Grant {
            host,
            guest,
            read_only,
        } in self.dirs
        {
            let dir = open_directory(&host);
            let dir = dir.map_err(|source| BuildError::Directory { path: host, source })?;
            let dir = Kind::Directory(Directory::new(dir, Some(guest)));
            wasi.add(Descriptor::granted(dir, read_only))?;
        }
        for socket in self.listeners {
            let listener = Listener::new(socket).map_err(system("a listener"))?;
            wasi.grant(Kind::Listener(listener))?;
        }
        Ok(wasi)
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> BuildError {
    move |source| BuildError::System { what, source }
}

/// Opens a directory for being listed, or at least for what is in it.
fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty()) {
        #[cfg(target_os = "linux")]
        Err(rustix::io::Errno::ACCESS) => {
            Ok(rustix::fs::open(path, flags | OFlags::PATH, Mode::empty())?.into())
        }
        dir => Ok(dir?.into()),
    }
}

fn input(input: Input) -> Result<Kind, BuildError> {
    Ok(match input {
        Input::Null => Kind::Bytes(Bytes::default()),
        Input::Bytes(bytes) => Kind::Bytes(Bytes::new(bytes)),
        Input::Inherit => stream(Channel::inherited(rustix::stdio::stdin()), true),
        Input::Fd(fd) => stream(Channel::told(fd).map_err(system("standard input"))?, true),
    })
}

fn output(output: Output, inherited: BorrowedFd<'static>) -> Result<Kind, BuildError> {
    Ok(match output {
        Output::Null => Kind::Null,
        Output::Sink(sink) => Kind::Sink(sink),
        Output::Inherit => stream(Channel::inherited(inherited), false),
        Output::Fd(fd) => stream(Channel::told(fd).map_err(system("standard output"))?, false),
    })
}

fn stream(channel: Channel, is_input: bool) -> Kind {
    Kind::Stream(channel.opened_for(is_input, !is_input, 0))
}

impl Wasi {
    /// Adds what the process has from its start.
    fn grant(&self, kind: Kind) -> Result<(), BuildError> {
        self.add(Descriptor::granted(kind, false))
    }

    fn add(&self, descriptor: Descriptor) -> Result<(), BuildError> {
        if descriptor.can_block() {
            self.ending.prepare().map_err(system("a pipe"))?;
        }
        let full = io::Error::from(rustix::io::Errno::MFILE);
        self.table
            .insert(descriptor)
            .map(drop)
            .map_err(|_| system("a descriptor")(full))
    }

    /// The process is ending: wakes its threads that wait for descriptors. Those that sleep
    /// are for the caller to unpark. [`Host::check_running`](crate::Host::check_running)
    /// must fail already.
    pub fn wake(&self) {
        self.ending.wake();
    }

    /// The process has ended: closes all of its descriptors.
    pub fn close(&self) {
        self.table.clear();
        self.ending.close();
    }

    pub(crate) fn table(&self) -> &Table<Descriptor> {
        &self.table
    }

    pub(crate) fn args(&self) -> &Texts {
        &self.args
    }

    pub(crate) fn env(&self) -> &Texts {
        &self.env
    }

    pub(crate) fn open_files(&self) -> &OpenFiles {
        &self.open_files
    }

    pub(crate) fn file_bytes(&self) -> &Budget {
        &self.file_bytes
    }

    pub(crate) fn output(&self) -> &Budget {
        &self.output
    }

    pub(crate) fn ending(&self) -> &Ending {
        &self.ending
    }

    /// The guest's monotonic clock: nanoseconds since the process started.
    pub(crate) fn monotonic(&self) -> u64 {
        clock(ClockId::Monotonic).saturating_sub(self.started)
    }
}

/// A clock of the system, in nanoseconds; 0 for what is before its beginning.
pub(crate) fn clock(id: ClockId) -> u64 {
    let time = rustix::time::clock_gettime(id);
    nanoseconds(time.tv_sec, time.tv_nsec)
}

impl std::fmt::Debug for Wasi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wasi").finish_non_exhaustive()
    }
}

impl Texts {
    fn new(texts: impl IntoIterator<Item = String>) -> Result<Self, BuildError> {
        let mut all = Self::default();
        for text in texts {
            let start = u32::try_from(all.bytes.len()).map_err(|_| BuildError::TooLarge)?;
            all.starts.push(start);
            all.bytes.extend_from_slice(text.as_bytes());
            all.bytes.push(0);
        }
        match u32::try_from(all.bytes.len()) {
            Ok(_) => Ok(all),
            Err(_) => Err(BuildError::TooLarge),
        }
    }
}
