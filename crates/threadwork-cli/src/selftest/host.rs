//! Where tests run.
//!
//! A [`Host`] says of each test whether it passes. Most hosts can do one thing, run the
//! program of the tests, and are a [`Runner`]; [`Guest`] makes a host of that.

use std::fmt;
use std::time::Duration;

use super::endings;
use super::list::Test;
use super::verdict::Verdict;

/// After this time a test counts as hanging. The longest take seconds on a free machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A column of the table.
pub(crate) trait Host {
    /// What the user calls it.
    fn name(&self) -> &'static str;

    /// Runs a test.
    fn try_out(&self, test: &Test) -> Verdict;
}

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

/// The program of the tests on a runner.
pub(crate) struct Guest<R>(R);

impl<R: Runner> Guest<R> {
    pub(crate) fn new(runner: R) -> Self {
        Self(runner)
    }
}

impl<R: Runner> Host for Guest<R> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn try_out(&self, test: &Test) -> Verdict {
        let verdict = match self.0.run(&[&test.name]) {
            Ok(run) => Verdict::of(&run, &test.name),
            Err(error) => Verdict::Failed(format!("it did not start: {error:#}")),
        };
        if !self.0.is_webassembly() {
            return verdict;
        }
        endings::of(&test.name)
            .filter_map(|ending| ending.check(&self.0).err())
            .fold(verdict, Verdict::and_failure)
    }
}
