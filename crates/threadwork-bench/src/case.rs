//! What is measured.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

/// A row of the table of suites: built only when it is run or listed.
#[derive(Clone, Copy, Debug)]
pub struct SuiteEntry {
    /// The name on the command line, and of the files that are written.
    pub name: &'static str,
    /// One line for `--list`.
    pub about: &'static str,
    /// Builds the suite. Nothing may be started here: that is for the set-up of a
    /// contestant.
    pub build: fn(Effort) -> Suite,
}

/// How much work a sample is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For figures that are published.
    Full,
    /// For a smoke test: a tenth of the operations.
    Quick,
}

impl Effort {
    /// The number of operations to use where `full` are wanted for a real figure.
    pub fn operations(self, full: u64) -> u64 {
        match self {
            Effort::Full => full,
            Effort::Quick => (full / 10).max(1),
        }
    }
}

/// Cases that are run, written and plotted together.
#[derive(Debug)]
pub struct Suite {
    /// The cases, in the order of the table.
    pub cases: Vec<Case>,
}

/// What a sample's value is. Lower is always better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Time for an operation.
    Nanoseconds,
    /// Memory.
    Bytes,
    /// A pure number.
    Ratio,
}

impl Unit {
    /// The value for a reader, with three significant digits: `1.23 us`.
    pub fn format(self, value: f64) -> String {
        let scale: &[(f64, &str)] = match self {
            Unit::Nanoseconds => &[(1.0, " ns"), (1e3, " us"), (1e6, " ms"), (1e9, " s")],
            Unit::Bytes => &[
                (1.0, " B"),
                (1024.0, " KiB"),
                (1_048_576.0, " MiB"),
                (1_073_741_824.0, " GiB"),
            ],
            Unit::Ratio => &[(1.0, "")],
        };
        let (size, name) = scale
            .iter()
            .rev()
            .find(|(size, _)| value >= *size)
            .unwrap_or(&scale[0]);
        format!("{}{name}", three_digits(value / size))
    }

    /// What a lower and a higher value are called.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Unit::Nanoseconds => ("faster", "slower"),
            Unit::Bytes => ("smaller", "larger"),
            Unit::Ratio => ("lower", "higher"),
        }
    }
}

/// A number with three significant digits, and no more than four decimals.
pub(crate) fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// What a contestant measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The cost, in the unit of the case. Must be greater than zero.
    pub value: f64,
    /// What the work computed, where that can be checked.
    pub answer: Option<String>,
}

impl Sample {
    /// A sample whose work has no answer.
    pub fn new(value: f64) -> Self {
        Sample {
            value,
            answer: None,
        }
    }

    /// The same with an answer.
    pub fn answer(self, answer: impl ToString) -> Self {
        Sample {
            answer: Some(answer.to_string()),
            ..self
        }
    }
}

/// One way to do the work of a case. It was set up, and gives samples until it is
/// dropped.
pub trait Contestant {
    /// Does the work once.
    ///
    /// # Errors
    ///
    /// An error fails the whole case.
    fn sample(&mut self) -> Result<Sample>;

    /// The child process that does the work, if it is not this one: its CPU time is
    /// then counted too.
    fn process(&self) -> Option<u32> {
        None
    }
}

impl<F: FnMut() -> Result<Sample>> Contestant for F {
    fn sample(&mut self) -> Result<Sample> {
        self()
    }
}

/// Makes a contestant ready, or says why there is none.
pub(crate) type Setup = Box<dyn FnOnce() -> Result<Box<dyn Contestant>>>;

/// Judges an answer: the error says what is wrong with it.
pub(crate) type Checker = Box<dyn Fn(&str) -> Result<(), String>>;

/// One piece of work, and those who compete at it.
pub struct Case {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) contestants: Vec<(String, Setup)>,
    pub(crate) baseline: Option<String>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) checker: Option<Checker>,
    pub(crate) cpu_time: bool,
}

impl Case {
    /// A case with nobody in it. Cases named `family/threads=1`, `family/threads=2`
    /// and so on are plotted as lines over the number of threads.
    pub fn new(name: impl Into<String>, unit: Unit) -> Self {
        Case {
            name: name.into(),
            unit,
            contestants: Vec::new(),
            baseline: None,
            goals: Vec::new(),
            checker: None,
            cpu_time: false,
        }
    }

    /// Adds a contestant. `setup` runs once, before the first round.
    pub fn contestant(
        mut self,
        name: impl Into<String>,
        setup: impl FnOnce() -> Result<Box<dyn Contestant>> + 'static,
    ) -> Self {
        self.contestants.push((name.into(), Box::new(setup)));
        self
    }

    /// Says against whom the ratios are taken. Without this it is the first one.
    pub fn baseline(mut self, name: impl Into<String>) -> Self {
        self.baseline = Some(name.into());
        self
    }

    /// States a goal.
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    /// Judges each answer by `checker`. Without this, all answers must be equal.
    pub fn check(mut self, checker: impl Fn(&str) -> Result<(), String> + 'static) -> Self {
        self.checker = Some(Box::new(checker));
        self
    }

    /// Keeps the CPU time of each sample: of this process, of the children it has
    /// reaped, and of the contestant's own process.
    pub fn cpu_time(mut self) -> Self {
        self.cpu_time = true;
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the contestants.
    pub fn contestants(&self) -> impl Iterator<Item = &str> {
        self.contestants.iter().map(|(name, _)| name.as_str())
    }

    /// The name of the baseline; empty if nobody competes.
    pub(crate) fn baseline_name(&self) -> String {
        let first = || self.contestants().next().unwrap_or_default().to_string();
        self.baseline.clone().unwrap_or_else(first)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contestants: Vec<_> = self.contestants().collect();
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("contestants", &contestants)
            .finish_non_exhaustive()
    }
}

/// What a contestant is to reach.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// Whose goal it is.
    pub contestant: String,
    /// What it must not exceed.
    #[serde(flatten)]
    pub bound: Bound,
}

/// What a cost must not exceed, in the median of the rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "bound", rename_all = "lowercase")]
pub enum Bound {
    /// So many times the cost of another contestant.
    Ratio {
        /// The factor.
        at_most: f64,
        /// The other.
        against: String,
    },
    /// The cost of another contestant and so much more, in the unit of the case.
    Difference {
        /// How much more.
        at_most: f64,
        /// The other.
        against: String,
    },
    /// A value, in the unit of the case.
    Value {
        /// The value.
        at_most: f64,
    },
}

impl Goal {
    /// No more than `ratio` times the cost of `against`.
    pub fn at_most(contestant: impl Into<String>, ratio: f64, against: impl Into<String>) -> Self {
        Goal {
            contestant: contestant.into(),
            bound: Bound::Ratio {
                at_most: ratio,
                against: against.into(),
            },
        }
    }

    /// At least `times` cheaper than `against`.
    pub fn better(contestant: impl Into<String>, times: f64, against: impl Into<String>) -> Self {
        Goal::at_most(contestant, 1.0 / times, against)
    }

    /// No more than the cost of `against` and `extra`.
    pub fn within(contestant: impl Into<String>, extra: f64, against: impl Into<String>) -> Self {
        Goal {
            contestant: contestant.into(),
            bound: Bound::Difference {
                at_most: extra,
                against: against.into(),
            },
        }
    }

    /// No more than `value`.
    pub fn under(contestant: impl Into<String>, value: f64) -> Self {
        Goal {
            contestant: contestant.into(),
            bound: Bound::Value { at_most: value },
        }
    }

    /// The goal in words, without whose it is.
    pub fn words(&self, unit: Unit) -> String {
        match &self.bound {
            Bound::Ratio { at_most, against } if *at_most < 1.0 => {
                format!(
                    "at least {:.4}x better than {against}",
                    Trimmed(1.0 / at_most)
                )
            }
            Bound::Ratio { at_most, against } => {
                format!("at most {:.4}x {against}", Trimmed(*at_most))
            }
            Bound::Difference { at_most, against } => {
                format!("at most {} more than {against}", unit.format(*at_most))
            }
            Bound::Value { at_most } => format!("at most {}", unit.format(*at_most)),
        }
    }
}

/// A number without the zeros at its end: 10 for 10.0000, 1.03 for 1.0300.
struct Trimmed(f64);

impl fmt::Display for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.*}", f.precision().unwrap_or(2), self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_a_fitting_unit() {
        assert_eq!(Unit::Nanoseconds.format(0.3512), "0.351 ns");
        assert_eq!(Unit::Nanoseconds.format(999.0), "999 ns");
        assert_eq!(Unit::Nanoseconds.format(12_340.0), "12.3 us");
        assert_eq!(Unit::Nanoseconds.format(2.5e9), "2.50 s");
        assert_eq!(Unit::Bytes.format(9_216.0), "9.00 KiB");
        assert_eq!(Unit::Ratio.format(1.0), "1.00");
    }

    #[test]
    fn goals_read_as_sentences() {
        assert_eq!(
            Goal::better("a", 10.0, "native").words(Unit::Nanoseconds),
            "at least 10x better than native"
        );
        assert_eq!(
            Goal::at_most("a", 1.03, "native").words(Unit::Ratio),
            "at most 1.03x native"
        );
        assert_eq!(
            Goal::within("a", 1e7, "native").words(Unit::Nanoseconds),
            "at most 10.0 ms more than native"
        );
        assert_eq!(
            Goal::under("a", 20_480.0).words(Unit::Bytes),
            "at most 20.0 KiB"
        );
    }
}
