//! The command line.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher, Hasher};

use crate::case::Property;

/// Cases of each property, in full and as a sample.
const FULL: u64 = 10_000;
const SAMPLE: u64 = 100;

/// What the command line asks for.
pub(crate) enum Command {
    List,
    Run(Options),
    /// It cannot be understood, for this reason.
    Refuse(String),
}

/// How to run.
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) cases: u64,
    /// One property, if not all.
    property: Option<String>,
    /// The bug that is planted.
    pub(crate) bug: Option<String>,
}

impl Options {
    /// Reads the command line of a program with these properties.
    pub(crate) fn from_args<I: Iterator<Item = &'static Property>>(all: fn() -> I) -> Command {
        Self::parse(env::args().skip(1), all).unwrap_or_else(Command::Refuse)
    }

    fn parse<I: Iterator<Item = &'static Property>>(
        mut args: impl Iterator<Item = String>,
        all: fn() -> I,
    ) -> Result<Command, String> {
        let mut options = Self {
            seed: RandomState::new().build_hasher().finish(),
            cases: SAMPLE,
            property: None,
            bug: None,
        };
        let full = env::var_os("THREADWORK_FULL").is_some_and(|value| !value.is_empty());
        let mut cases = full.then_some(FULL);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--list" => return Ok(Command::List),
                "--full" => cases = Some(FULL),
                "--cases" => cases = Some(number(&name, &value()?)?),
                "--seed" => options.seed = number(&name, &value()?)?,
                "--property" => options.property = Some(value()?),
                "--seed-bug" => options.bug = Some(value()?),
                _ => return Err(format!("unknown option {name}; try --list")),
            }
        }
        // A bug need not show in the first hundred cases.
        options.cases = cases.unwrap_or(if options.bug.is_some() { FULL } else { SAMPLE });
        options.refuse_unknown_names(all)?;
        Ok(Command::Run(options))
    }

    fn refuse_unknown_names<I: Iterator<Item = &'static Property>>(
        &self,
        all: fn() -> I,
    ) -> Result<(), String> {
        let chosen: Vec<_> = all().filter(|property| self.includes(property.name)).collect();
        if chosen.is_empty() {
            return Err("there is no such property; --list prints all".into());
        }
        match &self.bug {
            Some(bug) if chosen.len() != 1 || !chosen[0].bugs.contains(&bug.as_str()) => {
                Err(format!("{bug} is no bug of one --property; --list prints all"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a property is to be run.
    pub(crate) fn includes(&self, property: &str) -> bool {
        self.property.as_ref().is_none_or(|chosen| chosen == property)
    }
}

fn number(option: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{option} needs a whole number, not {text}"))
}
