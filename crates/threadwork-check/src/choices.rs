//! What a scheduler has chosen, as a text: `0*14 2*3 !timeout(1) 0*2`.
//!
//! At each scheduling point a thread is chosen, and `0*14` is thread 0 fourteen times in a row;
//! `!timeout(1)` means that the timed wait of thread 1 ended before the choice that follows.
//!
//! Invariant: writing and parsing are inverse, and runs are as long as they can be.

use std::fmt;
use std::str::FromStr;

/// The number of a guest's thread: 0 is the main one, the others count from 1 in the order in
/// which they were spawned.
pub(crate) type Tid = u32;

/// One choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Choice {
    /// This thread goes on.
    Run(Tid),
    /// The timed wait, or the sleep, of this thread ends now.
    Timeout(Tid),
}

/// A sequence of choices, in runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choices(Vec<(Choice, u64)>);

impl Choices {
    pub(crate) fn push(&mut self, choice: Choice) {
        match (self.0.last_mut(), choice) {
            (Some((Choice::Run(last), count)), Choice::Run(tid)) if *last == tid => *count += 1,
            _ => self.0.push((choice, 1)),
        }
    }

    pub(crate) fn runs(&self) -> &[(Choice, u64)] {
        &self.0
    }
}

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (choice, count)) in self.0.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            match choice {
                Choice::Run(tid) => write!(f, "{space}{tid}*{count}")?,
                Choice::Timeout(tid) => write!(f, "{space}!timeout({tid})")?,
            }
        }
        Ok(())
    }
}

/// The text is not a sequence of choices.
#[derive(Debug)]
pub(crate) struct NotChoices;

impl FromStr for Choices {
    type Err = NotChoices;

    fn from_str(text: &str) -> Result<Self, NotChoices> {
        let mut choices = Self::default();
        for word in text.split_whitespace() {
            let run = match word.strip_prefix("!timeout(") {
                Some(rest) => {
                    let tid = rest.strip_suffix(')').ok_or(NotChoices)?;
                    (Choice::Timeout(number(tid)?), 1)
                }
                None => {
                    let (tid, count) = word.split_once('*').ok_or(NotChoices)?;
                    (Choice::Run(number(tid)?), number(count)?)
                }
            };
            choices.0.push(run);
        }
        Ok(choices)
    }
}

fn number<N: FromStr>(text: &str) -> Result<N, NotChoices> {
    text.parse().map_err(|_| NotChoices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_choices_are_inverse() {
        let mut choices = Choices::default();
        for choice in [
            Choice::Run(0),
            Choice::Run(0),
            Choice::Run(2),
            Choice::Timeout(1),
            Choice::Timeout(1),
            Choice::Run(2),
        ] {
            choices.push(choice);
        }
        let text = choices.to_string();
        assert_eq!(text, "0*2 2*1 !timeout(1) !timeout(1) 2*1");
        assert_eq!(text.parse::<Choices>().unwrap(), choices);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "0",
            "0*",
            "*3",
            "-1*2",
            "!timeout(1",
            "!timeout()",
            "0*99999999999999999999",
        ] {
            assert!(text.parse::<Choices>().is_err(), "{text}");
        }
    }
}
