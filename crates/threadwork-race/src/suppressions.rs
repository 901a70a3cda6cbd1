//! What is not to be reported: races that are known, and meant.
//!
//! A file of suppressions has one on each line, `race:`, `use-after-free:`, `double-free:` or
//! `all:` and a pattern: a report is suppressed if the pattern is part of the name of a function
//! or of a source file in one of its stacks. `*` stands for any text. Empty lines, and what
//! begins with `#`, say nothing.

use std::fmt;

use crate::report::{Report, ReportKind};

/// Suppressions, with those that are built in.
#[derive(Clone, Debug)]
pub struct Suppressions {
    list: Vec<Suppression>,
}

#[derive(Clone, Debug)]
struct Suppression {
    kind: Option<ReportKind>,
    pattern: String,
}

/// What is suppressed always: the reason, and the pattern.
///
/// Every entry is of a published crate that reads what another thread may be writing, and then
/// finds out by an atomic operation whether that has happened, before it uses what it has read.
pub(crate) const BUILT_IN: [(&str, &str); 2] = [
    (
        "a reader copies a value and then looks at a stamp, which says whether a writer was \
         there meanwhile; then the copy is forgotten",
        "crossbeam-utils*atomic_cell.rs",
    ),
    (
        "a thief copies an element that its owner may be writing, and then tries to own it; a copy \
         of what was not its is forgotten",
        "crossbeam-deque*deque.rs",
    ),
];

/// A line of a file of suppressions that says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSuppression {
    /// Which line, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl fmt::Display for BadSuppression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {} is no suppression: `{}`; write race:, use-after-free:, double-free: or all:, \
             and a part of the name of a function or a source file",
            self.line, self.text
        )
    }
}

impl std::error::Error for BadSuppression {}

impl Default for Suppressions {
    fn default() -> Self {
        let list = BUILT_IN.iter().map(|(_, pattern)| Suppression {
            kind: Some(ReportKind::Race),
            pattern: (*pattern).to_owned(),
        });
        Self {
            list: list.collect(),
        }
    }
}

impl Suppressions {
    /// Adds those of a file.
    ///
    /// # Errors
    ///
    /// If a line is none; the others are not added either.
    ///
    /// ```
    /// let mut suppressions = threadwork_race::Suppressions::default();
    /// suppressions.add("# known since March\nrace: legacy::Counter::bump\n").unwrap();
    /// assert_eq!(suppressions.add("\nlegacy").unwrap_err().line, 2);
    /// ```
    pub fn add(&mut self, text: &str) -> Result<(), BadSuppression> {
        let mut list = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || BadSuppression {
                line: number,
                text: line.to_owned(),
            };
            let (kind, pattern) = line.split_once(':').ok_or_else(bad)?;
            let kind = match kind.trim() {
                "race" => Some(ReportKind::Race),
                "use-after-free" => Some(ReportKind::UseAfterFree),
                "double-free" => Some(ReportKind::DoubleFree),
                "all" => None,
                _ => return Err(bad()),
            };
            let pattern = pattern.trim().to_owned();
            if pattern.is_empty() {
                return Err(bad());
            }
            list.push(Suppression { kind, pattern });
        }
        self.list.append(&mut list);
        Ok(())
    }

    /// Whether a report is not to be shown.
    #[must_use]
    pub fn suppress(&self, report: &Report) -> bool {
        let frames: Vec<_> = report.frames().collect();
        self.list.iter().any(|suppression| {
            let of_kind = suppression.kind.is_none_or(|kind| kind == report.kind);
            of_kind
                && frames.iter().any(|frame| {
                    let texts = [frame.function.as_deref(), frame.file.as_deref()];
                    let mut texts = texts.into_iter().flatten();
                    texts.any(|text| has(text, &suppression.pattern))
                })
        })
    }
}

/// Whether the parts of a pattern stand in a text, in their order.
fn has(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(has("a::b::c", "b"));
        assert!(has("a::b::c", "a*c"));
        assert!(!has("a::b::c", "c*a"));
        assert!(!has("a::b::c", "d"));
    }

    #[test]
    fn lines() {
        let mut list = Suppressions::default();
        let built_in = list.list.len();
        list.add("# a\n\n race: x \nall:y\n").unwrap();
        assert_eq!(list.list.len(), built_in + 2);
        for (text, line) in [("race:", 1), ("\nfoo: bar", 2), ("foo", 1)] {
            assert_eq!(list.add(text).unwrap_err().line, line, "{text}");
        }
    }
}
