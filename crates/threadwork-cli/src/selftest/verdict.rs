//! What came of a test on a host.

use super::runner::{End, Run};

/// The result of one test on one host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Passed {
        seconds: f64,
        /// What a benchmark has measured.
        figure: Option<String>,
    },
    /// And why.
    Failed(String),
    /// The test says nothing about this host.
    NotHere,
}

impl Verdict {
    /// Reads what the program has said of a test.
    ///
    /// Its line is `test NAME ok SECONDS[: FIGURE]` or `test NAME FAILED SECONDS: REASON`.
    pub(crate) fn of(run: &Run, name: &str) -> Self {
        let line = run
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_prefix(name));
        let verdict = line.filter_map(Self::parse).next();
        match verdict {
            Some(Self::Passed { .. }) if run.end != End::Exited(0) => {
                Self::Failed(format!("it passed, but then {}", crash(run)))
            }
            Some(verdict) => verdict,
            None => Self::Failed(crash(run)),
        }
    }

    fn parse(rest: &str) -> Option<Self> {
        let (head, text) = match rest.split_once(": ") {
            Some((head, text)) => (head, Some(text.to_owned())),
            None => (rest, None),
        };
        let mut words = head.split_whitespace();
        let (word, seconds) = (words.next()?, words.next()?.parse().ok()?);
        match word {
            "ok" => Some(Self::Passed {
                seconds,
                figure: text,
            }),
            "FAILED" => Some(Self::Failed(text?)),
            _ => None,
        }
    }

    /// The same, unless there is a failure to be added.
    pub(crate) fn and_failure(self, reason: String) -> Self {
        match self {
            Self::Failed(first) => Self::Failed(format!("{first}; {reason}")),
            _ => Self::Failed(reason),
        }
    }
}

/// Why there is no word of a test.
fn crash(run: &Run) -> String {
    let stderr = run.stderr.trim_end();
    if stderr.is_empty() {
        return run.end.to_string();
    }
    format!("{}\n{stderr}", run.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(end: End, stdout: &str) -> Run {
        Run {
            end,
            stdout: stdout.into(),
            stderr: "stderr\n".into(),
        }
    }

    #[test]
    fn a_line_for_each_outcome() {
        let of = |line: &str| Verdict::of(&run(End::Exited(0), line), "fence");
        assert_eq!(
            of("test fence ok 0.25"),
            Verdict::Passed {
                seconds: 0.25,
                figure: None
            }
        );
        assert_eq!(
            of("noise\ntest fence ok 0.25: 5 ns: each\nnoise\n"),
            Verdict::Passed {
                seconds: 0.25,
                figure: Some("5 ns: each".into())
            }
        );
        assert_eq!(
            of("test fence FAILED 1: old: 5"),
            Verdict::Failed("old: 5".into())
        );
    }

    #[test]
    fn no_line_is_a_failure() {
        for line in ["", "test fences ok 1", "test fence", "test fence ok"] {
            let verdict = Verdict::of(&run(End::TimedOut, line), "fence");
            assert_eq!(
                verdict,
                Verdict::Failed("it still ran after 300s\nstderr".into())
            );
        }
    }

    #[test]
    fn a_crash_after_success_is_a_failure() {
        let verdict = Verdict::of(&run(End::Exited(3), "test fence ok 0"), "fence");
        assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
    }

    #[test]
    fn failures_add_up() {
        let passed = Verdict::Passed {
            seconds: 0.0,
            figure: None,
        };
        let verdict = passed.and_failure("a".into()).and_failure("b".into());
        assert_eq!(verdict, Verdict::Failed("a; b".into()));
    }
}
