//! What runs the program of the tests, and what comes of a run.

use std::fmt;
use std::time::Duration;

/// The package of the tests, and its program.
pub(crate) const GUEST: &str = "acceptance";

/// After this time a test counts as hanging. The longest take seconds on a free machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// What can run a program to its end.
pub(crate) trait Runner {
    /// What the user calls it.
    fn name(&self) -> &'static str;

    /// Whether the program runs as WebAssembly. Then a panic ends it, and the host tells
    /// how it ended.
    fn is_webassembly(&self) -> bool;

    /// Runs the program once. An error means that it could not even start.
    fn run(&self, args: &[&str]) -> anyhow::Result<Run>;
}

/// A run of a program that is over.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) end: End,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How a program ended, with what its host says of it.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Exited(i32),
    Trapped(String),
    Deadlock(String),
    /// By a limit or a signal.
    Ended(String),
    /// It was ended after [`PATIENCE`].
    TimedOut,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "it exited with code {code}"),
            Self::Trapped(report) | Self::Deadlock(report) | Self::Ended(report) => {
                f.write_str(report)
            }
            Self::TimedOut => write!(f, "it still ran after {PATIENCE:?}"),
        }
    }
}
