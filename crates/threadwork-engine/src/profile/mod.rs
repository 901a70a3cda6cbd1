//! [`Profile`]: what was recorded of a process, for people and for their tools.
//!
//! | module | holds |
//! |---|---|
//! | `resolve` | addresses to functions and source lines |
//! | `view` | what is written, as the writers have it in front of them |
//! | `place` | what of a stack is worth a line of text |
//! | `summary` | the report for a terminal |
//! | `folded` | stacks as lines, for flame graphs |
//! | `firefox` | samples for Firefox' profiler |
//! | `perfetto` | the timeline for Perfetto's viewer |
//! | `protobuf` | the few rules that Perfetto's format is written by |
//!
//! Invariant: names and lines are looked up here, when somebody reads, and each address once.

mod firefox;
mod folded;
mod perfetto;
mod place;
mod protobuf;
mod resolve;
mod summary;
mod view;

use crate::code::Code;
use crate::lock::lock;
use crate::recorder::Recorder;
use resolve::Resolver;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use view::View;

/// What the threads of a process have done: made by
/// [`ProcessBuilder::profile`](crate::ProcessBuilder::profile), read with
/// [`Process::profile`](crate::Process::profile). Cheap to clone. It keeps the module's code,
/// for the names of its functions.
///
/// While the process runs, each method tells what there is so far; threads that begin or end
/// meanwhile wait until it has returned.
///
/// Memory is bounded: counts and sums are exact, but of the samples' times the newest two
/// million are kept, and of the timeline the newest million events.
#[derive(Clone)]
pub struct Profile(Arc<Inner>);

struct Inner {
    recorder: Arc<Recorder>,
    code: Arc<Code>,
    name: String,
    resolver: Mutex<Option<Resolver>>,
}

/// A file of a profile that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
#[non_exhaustive]
pub struct Writing {
    /// The file, or the directory that could not be made.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Profile {
    pub(crate) fn new(recorder: Arc<Recorder>, code: Arc<Code>, name: String) -> Self {
        Self(Arc::new(Inner {
            recorder,
            code,
            name,
            resolver: Mutex::new(None),
        }))
    }

    fn view<R>(&self, read: impl FnOnce(&mut View<'_>) -> R) -> R {
        let mut resolver = lock(&self.0.resolver);
        let resolver = resolver.get_or_insert_with(|| Resolver::new(Arc::clone(&self.0.code)));
        self.0.recorder.read(|collected, stacks| {
            read(&mut View {
                collected,
                stacks,
                resolver,
                options: self.0.recorder.options(),
                name: &self.0.name,
                began: self.0.recorder.began(),
                until: collected.ended.unwrap_or_else(crate::machine::now),
            })
        })
    }

    /// A report for a terminal, of some dozens of lines: the functions that used most of the
    /// processors' time, the waits that lost most time with who ended them, and where each
    /// thread's time went.
    #[must_use]
    pub fn summary(&self) -> String {
        self.view(summary::write)
    }

    /// Processor time as folded stacks: a line for each, `outermost;...;innermost N`, with `N`
    /// in microseconds. What flame graphs are drawn from.
    #[must_use]
    pub fn cpu_folded(&self) -> String {
        self.view(folded::cpu)
    }

    /// Time asleep as folded stacks, as [`cpu_folded`](Self::cpu_folded): of waits that slept,
    /// and of host calls that can take long.
    #[must_use]
    pub fn waits_folded(&self) -> String {
        self.view(folded::waits)
    }

    /// Samples of processor time as JSON, for <https://profiler.firefox.com>.
    #[must_use]
    pub fn cpu_firefox(&self) -> String {
        self.view(firefox::write)
    }

    /// The timeline, for <https://ui.perfetto.dev>: for each thread when it ran, hovered,
    /// slept, was in host calls and made a memory larger, and arrows from who starts or wakes
    /// a thread to that thread.
    #[must_use]
    pub fn timeline(&self) -> Vec<u8> {
        self.view(perfetto::write)
    }

    /// The files that [`write_to`](Self::write_to) writes.
    pub const FILES: [&'static str; 5] = [
        "summary.txt",
        "cpu.folded",
        "waits.folded",
        "cpu.firefox.json",
        "timeline.perfetto-trace",
    ];

    /// Makes the directory and the [files](Self::FILES), empty, to find out before a program
    /// runs whether its profile could be written.
    ///
    /// # Errors
    ///
    /// If one of them cannot be made.
    pub fn prepare(directory: impl AsRef<Path>) -> Result<(), Writing> {
        let directory = directory.as_ref();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Writing { path, source }
        };
        std::fs::create_dir_all(directory).map_err(failed(directory))?;
        for name in Self::FILES {
            let path = directory.join(name);
            File::create(&path).map_err(failed(&path))?;
        }
        Ok(())
    }

    /// Writes all that there is into a directory, which is made if it is not there:
    /// [`FILES`](Self::FILES).
    ///
    /// # Errors
    ///
    /// If one of them cannot be written, such as when the disk is full.
    pub fn write_to(&self, directory: impl AsRef<Path>) -> Result<(), Writing> {
        let directory = directory.as_ref();
        Self::prepare(directory)?;
        let write = |name: &str, contents: Vec<u8>| {
            let path = directory.join(name);
            let written = File::create(&path).and_then(|file| {
                let mut file = BufWriter::new(file);
                file.write_all(&contents)?;
                file.flush()
            });
            written.map_err(|source| Writing { path, source })
        };
        let [summary, cpu, waits, firefox, timeline] = Self::FILES;
        write(summary, self.summary().into_bytes())?;
        write(cpu, self.cpu_folded().into_bytes())?;
        write(waits, self.waits_folded().into_bytes())?;
        write(firefox, self.cpu_firefox().into_bytes())?;
        write(timeline, self.timeline())
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("name", &self.0.name)
            .field("options", &self.0.recorder.options())
            .finish_non_exhaustive()
    }
}
