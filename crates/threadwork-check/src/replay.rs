//! Replay files: a schedule, and all that a program has to be given so that it is repeated.
//!
//! Invariant: writing and parsing are inverse, and nothing in a file depends on the machine.

use std::fmt::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use crate::choices::Choices;
use crate::error::Error;
use crate::execution::Inputs;
use crate::explore::{Explorer, Report, StrategyKind};
use crate::failure::{Failure, FailureKind};
use crate::program::Program;

/// The first line of a file.
const HEADER: &str = "threadwork schedule 1";

/// What stands for a strategy where a failure takes none.
pub(crate) const NO_STRATEGY: &str = "none";

/// How long [`Replay::run`] searches.
const TIME: Duration = Duration::from_secs(30);

/// A schedule that can be repeated, as the text of a replay file: [`ToString`] writes it,
/// [`FromStr`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub(crate) module: blake3::Hash,
    /// Where the module is.
    pub(crate) program: Option<String>,
    pub(crate) inputs: Inputs,
    pub(crate) expected: Option<Vec<u8>>,
    /// The strategies that took turns.
    pub(crate) strategies: Vec<StrategyKind>,
    /// The one that found it.
    pub(crate) strategy: String,
    pub(crate) schedule: u64,
    pub(crate) failure: String,
    pub(crate) choices: Choices,
    /// Of the memory and the output at the end.
    pub(crate) result: blake3::Hash,
}

/// What repeating a schedule has shown.
#[derive(Debug)]
#[non_exhaustive]
pub enum Replayed {
    /// The failure, bit for bit.
    Same(Failure),
    /// The module is another one than was recorded, or the schedule led elsewhere. The search
    /// was repeated from its seed up to the schedule that had failed, and this is what it found.
    Searched {
        /// Whether the module is the one that was recorded.
        is_same_module: bool,
        /// The failure, if there still is one.
        failure: Option<Failure>,
    },
}

impl Replay {
    /// The module's file, if the file says it.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    /// The same with the name of the module's file, for whoever replays it.
    #[must_use]
    pub fn with_program(mut self, file: impl Into<String>) -> Self {
        self.program = Some(file.into());
        self
    }

    /// The number of the schedule that failed: how many were tried before it.
    #[must_use]
    pub fn schedule(&self) -> u64 {
        self.schedule
    }

    /// Whether its failure is a race, which only a program [with
    /// races](Program::with_races) repeats.
    #[must_use]
    pub fn is_of_race(&self) -> bool {
        self.failure == FailureKind::RACE
    }

    /// Repeats the schedule on a program, which should be the one that it was recorded of; if it
    /// is not, or the schedule leads elsewhere, [`search`](Self::search)es for half a minute.
    ///
    /// # Errors
    ///
    /// As [`Explorer::run`].
    pub fn run(&self, program: &Program) -> Result<Replayed, Error> {
        if let Some(failure) = self.repeat(program, TIME)? {
            return Ok(Replayed::Same(failure));
        }
        Ok(Replayed::Searched {
            is_same_module: self.is_of(program),
            failure: self.search(program, TIME)?.failure,
        })
    }

    /// Whether the program is the one that it was recorded of.
    #[must_use]
    pub fn is_of(&self, program: &Program) -> bool {
        program.hash() == self.module
    }

    /// Repeats the schedule: `None` if the program is another one, or if it does not come to the
    /// same failure, bit for bit, within `time`.
    ///
    /// # Errors
    ///
    /// As [`Explorer::run`].
    pub fn repeat(&self, program: &Program, time: Duration) -> Result<Option<Failure>, Error> {
        match self.is_of(program) {
            true => Explorer::of(program, self).time(time).repeat(self),
            false => Ok(None),
        }
    }

    /// Searches from the seed up to the schedule that had failed, for at most `time`.
    ///
    /// # Errors
    ///
    /// As [`Explorer::run`].
    pub fn search(&self, program: &Program, time: Duration) -> Result<Report, Error> {
        Explorer::of(program, self).time(time).run()
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(program) = &self.program {
            writeln!(f, "program {}", escape(program.as_bytes()))?;
        }
        writeln!(f, "module {}", self.module)?;
        for arg in &self.inputs.args {
            writeln!(f, "arg {}", escape(arg.as_bytes()))?;
        }
        for (name, value) in &self.inputs.env {
            writeln!(
                f,
                "env {}={}",
                escape(name.as_bytes()),
                escape(value.as_bytes())
            )?;
        }
        if !self.inputs.stdin.is_empty() {
            writeln!(f, "stdin {}", escape(&self.inputs.stdin))?;
        }
        if let Some(expected) = &self.expected {
            writeln!(f, "expect {}", escape(expected))?;
        }
        writeln!(f, "seed {}", self.inputs.seed)?;
        writeln!(f, "steps {}", self.inputs.most_steps)?;
        let strategies = self.strategies.iter().map(|kind| kind.name());
        writeln!(f, "strategies {}", strategies.collect::<Vec<_>>().join(" "))?;
        writeln!(f, "strategy {}", self.strategy)?;
        writeln!(f, "schedule {}", self.schedule)?;
        writeln!(f, "failure {}", self.failure)?;
        writeln!(f, "choices {}", self.choices)?;
        writeln!(f, "result {}", self.result)
    }
}

impl FromStr for Replay {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::NotAReplay { reason };
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(refuse(format!("its first line is not `{HEADER}`")));
        }
        let zero = blake3::Hash::from_bytes([0; 32]);
        let mut replay = Self {
            module: zero,
            program: None,
            inputs: Inputs::default(),
            expected: None,
            strategies: Vec::new(),
            strategy: String::new(),
            schedule: 0,
            failure: String::new(),
            choices: Choices::default(),
            result: zero,
        };
        let mut has_choices = false;
        for line in lines.filter(|line| !line.is_empty()) {
            let bad = || refuse(format!("the line `{}` is wrong", cut(line)));
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let text = |value| String::from_utf8(unescape(value)?).ok();
            match key {
                "program" => replay.program = Some(text(value).ok_or_else(bad)?),
                "module" => replay.module = value.parse().map_err(|_| bad())?,
                "arg" => replay.inputs.args.push(text(value).ok_or_else(bad)?),
                "env" => {
                    let (name, value) = value.split_once('=').ok_or_else(bad)?;
                    let (name, value) = (text(name), text(value));
                    let pair = name.zip(value).ok_or_else(bad)?;
                    replay.inputs.env.push(pair);
                }
                "stdin" => replay.inputs.stdin = unescape(value).ok_or_else(bad)?,
                "expect" => replay.expected = Some(unescape(value).ok_or_else(bad)?),
                "seed" => replay.inputs.seed = value.parse().map_err(|_| bad())?,
                "steps" => {
                    let steps = value.parse().ok().filter(|steps| *steps > 0);
                    replay.inputs.most_steps = steps.ok_or_else(bad)?;
                }
                "strategies" => {
                    let kinds = value.split_whitespace().map(StrategyKind::named);
                    replay.strategies = kinds.collect::<Option<_>>().ok_or_else(bad)?;
                }
                "strategy" if value != NO_STRATEGY && StrategyKind::named(value).is_none() => {
                    return Err(bad());
                }
                "strategy" => replay.strategy = value.to_owned(),
                "failure" if !FailureKind::NAMES.contains(&value) => return Err(bad()),
                "schedule" => replay.schedule = value.parse().map_err(|_| bad())?,
                "failure" => replay.failure = value.to_owned(),
                "choices" => {
                    replay.choices = value.parse().map_err(|_| bad())?;
                    has_choices = true;
                }
                "result" => replay.result = value.parse().map_err(|_| bad())?,
                _ => return Err(bad()),
            }
        }
        match has_choices && replay.result != zero {
            true => Ok(replay),
            false => Err(refuse("it has no choices, or ends too early".to_owned())),
        }
    }
}

/// The beginning of a line.
fn cut(line: &str) -> String {
    line.chars().take(40).collect()
}

/// Bytes as text on one line.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'%' | b'=' | 0..=31 | 127.. => {
                // Writing to a string does not fail.
                let _ = write!(text, "%{byte:02x}");
            }
            _ => text.push(char::from(*byte)),
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Replay {
        Replay {
            module: blake3::hash(b"module"),
            program: Some("a dir/äpp.wasm".to_owned()),
            inputs: Inputs {
                args: vec!["app".to_owned(), "a=b\nc%".to_owned(), String::new()],
                env: vec![("A=".to_owned(), "=1".to_owned())],
                stdin: vec![0, 255, b' '],
                seed: u64::MAX,
                most_steps: 5,
            },
            expected: Some(Vec::new()),
            strategies: vec![StrategyKind::Pct, StrategyKind::Bounded],
            strategy: "pct".to_owned(),
            schedule: 7,
            failure: "deadlock".to_owned(),
            choices: "0*14 2*3 !timeout(1) 0*1".parse().unwrap(),
            result: blake3::hash(b"result"),
        }
    }

    #[test]
    fn text_and_replay_are_inverse() {
        assert_eq!(sample().to_string().parse::<Replay>().unwrap(), sample());
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_or_read_without_panic() {
        let text = sample().to_string();
        for length in 0..text.len() {
            assert!(text[..length].parse::<Replay>().is_err() || length > text.len() - 2);
            let mut bytes = text.clone().into_bytes();
            bytes[length] ^= 1;
            let _ = String::from_utf8_lossy(&bytes).parse::<Replay>();
        }
    }
}
