//! Which tests there are: what the program of the tests says itself.

use anyhow::{Context, bail};

use super::runner::{End, Runner};

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// What it is about, as a heading.
    pub(crate) group: String,
}

/// Asks the program for its tests, and keeps those with `filter` in their name.
pub(crate) fn read(program: &impl Runner, filter: &str) -> anyhow::Result<Vec<Test>> {
    let run = program.run(&["--list"])?;
    if run.end != End::Exited(0) {
        bail!("the tests cannot be listed: {}; {}", run.end, run.stderr);
    }
    let mut tests = run
        .stdout
        .lines()
        .map(parse)
        .collect::<anyhow::Result<Vec<_>>>()?;
    tests.retain(|test| test.name.contains(filter));
    if tests.is_empty() {
        bail!("no test has '{filter}' in its name; leave --filter out to see all");
    }
    Ok(tests)
}

/// Reads `7 fence Shared memory`.
fn parse(line: &str) -> anyhow::Result<Test> {
    let read = || {
        let mut words = line.splitn(3, ' ');
        Some(Test {
            number: words.next()?.parse().ok()?,
            name: words.next()?.to_owned(),
            group: words.next()?.to_owned(),
        })
    };
    read().with_context(|| format!("the list of tests has a strange line: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_number_name_and_group() {
        let fence = Test {
            number: 7,
            name: "fence".into(),
            group: "Shared memory".into(),
        };
        assert_eq!(parse("7 fence Shared memory").unwrap(), fence);
        for line in ["", "7", "7 fence", "seven fence Shared memory"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
