//! What the shim tells the library, as JSON. Both sides have this file.

use std::num::NonZero;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The number of this interface, to be raised when it changes.
pub(crate) const VERSION: u32 = 1;

/// A program to run, in the terms of the container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The module's file.
    pub(crate) program: PathBuf,
    /// A folder with its machine code.
    pub(crate) code: Option<PathBuf>,
    /// Arguments after the program's name.
    pub(crate) args: Vec<String>,
    /// Variables, as `NAME=VALUE`.
    pub(crate) env: Vec<String>,
    /// The working directory.
    pub(crate) cwd: PathBuf,
    /// Threads that can run at the same time; `None` is what the system says.
    pub(crate) parallelism: Option<NonZero<u32>>,
    /// The most bytes of linear memory.
    pub(crate) memory: Option<u64>,
    /// The most threads beside the main one.
    pub(crate) threads: Option<u32>,
}
