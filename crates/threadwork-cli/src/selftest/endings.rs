//! Tests of how a whole process ends, which only its host can see.
//!
//! In WebAssembly a panic ends the process, and a host that knows all threads sees when
//! none can go on. The program of the tests ends itself that way when it is asked to
//! (`--end NAME`), and the host must say what happened, where, and in whose words.

use super::runner::{End, Runner};

/// A way to end that belongs to a test.
pub(crate) struct Ending {
    /// The test that it is a part of.
    test: &'static str,
    /// What the program calls it.
    name: &'static str,
    outcome: Outcome,
    /// What the report, or the program's own last words, must contain.
    mentions: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Trap,
    Deadlock,
}

const ENDINGS: [Ending; 4] = [
    Ending {
        test: "cleanup_on_error",
        name: "panic-in-a-thread",
        outcome: Outcome::Trap,
        mentions: &["doomed-thread", "this thread fails on purpose"],
    },
    Ending {
        test: "cleanup_on_error",
        name: "panic-in-a-task",
        outcome: Outcome::Trap,
        mentions: &["doomed-task", "this task fails on purpose"],
    },
    Ending {
        test: "deadlock_detection",
        name: "cycle-of-locks",
        outcome: Outcome::Trap,
        mentions: &["left philosopher", "right philosopher"],
    },
    Ending {
        test: "deadlock_detection",
        name: "all-threads-wait",
        outcome: Outcome::Deadlock,
        mentions: &["wait_for_the_right_one", "wait_for_the_left_one"],
    },
];

/// The endings that belong to a test.
pub(crate) fn of(test: &str) -> impl Iterator<Item = &'static Ending> {
    ENDINGS.iter().filter(move |ending| ending.test == test)
}

impl Ending {
    /// Has the program end this way. The error says what is wrong with the end.
    pub(crate) fn check(&self, runner: &impl Runner) -> Result<(), String> {
        let run = runner
            .run(&["--end", self.name])
            .map_err(|error| format!("--end {}: it did not start: {error:#}", self.name))?;
        let is_right = match self.outcome {
            Outcome::Trap => matches!(run.end, End::Trapped(_)),
            Outcome::Deadlock => matches!(run.end, End::Deadlock(_)),
        };
        let report = format!("{}\n{}", run.end, run.stderr);
        if !is_right {
            return Err(format!(
                "--end {}: a {:?} was expected, but {report}",
                self.name, self.outcome
            ));
        }
        match self.mentions.iter().find(|text| !report.contains(*text)) {
            Some(text) => Err(format!(
                "--end {}: nothing says '{text}' in: {report}",
                self.name
            )),
            None => Ok(()),
        }
    }
}
