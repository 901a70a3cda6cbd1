//! Where tests run.
//!
//! A [`Host`] says of each test whether it passes. Most hosts can do one thing, run the
//! program of the tests, and are a [`Runner`]; [`Guest`] makes a host of that.

use super::endings;
use super::list::Test;
use super::runner::Runner;
use super::verdict::Verdict;

/// A column of the table.
pub(crate) trait Host {
    /// What the user calls it.
    fn name(&self) -> &'static str;

    /// Runs a test.
    fn try_out(&self, test: &Test) -> Verdict;
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
