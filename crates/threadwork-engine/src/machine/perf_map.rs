//! [`PerfMap`]: tells Linux' `perf`, and what reads the same files, the names of functions
//! that exist in memory only.
//!
//! `perf report` looks into `/tmp/perf-PID.map` for code that is in no file. So there is one
//! map for the whole host program, however many engines it has; and code that is to be found
//! there must not be mapped from a file, such as the cache's.
//!
//! Invariant: the file is one that this program made. Everybody may write to the folder, and
//! who knows the number of our process could have put a link there, to a file of ours.

use crate::lock::lock;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;

/// Whether there is such a tool.
pub(crate) const SUPPORTED: bool = cfg!(target_os = "linux");

/// See the module's documentation.
pub(crate) struct PerfMap(());

/// The file, once there is one.
static FILE: Mutex<Option<File>> = Mutex::new(None);

impl PerfMap {
    /// Makes the file, unless there is one.
    ///
    /// # Errors
    ///
    /// If the system does not let us, with the file's name.
    pub(crate) fn open() -> io::Result<Self> {
        let mut file = lock(&FILE);
        if file.is_none() {
            let path = PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
            let create = || OpenOptions::new().write(true).create_new(true).open(&path);
            let made = create().or_else(|error| match error.kind() {
                // Of a process before us that had our number. Others' the system keeps.
                io::ErrorKind::AlreadyExists => {
                    std::fs::remove_file(&path)?;
                    create()
                }
                _ => Err(error),
            });
            let named = |error| io::Error::other(format!("{}: {error}", path.display()));
            *file = Some(made.map_err(named)?);
        }
        Ok(Self(()))
    }

    /// Adds functions: where they begin, their bytes, and their names.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(crate) fn add(
        &self,
        functions: impl Iterator<Item = (usize, usize, String)>,
    ) -> io::Result<()> {
        let mut lines = String::new();
        for (start, length, name) in functions {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{start:x} {length:x} {name}");
        }
        let mut file = lock(&FILE);
        match &mut *file {
            Some(file) => file.write_all(lines.as_bytes()),
            // `open` has made it.
            None => Ok(()),
        }
    }
}
