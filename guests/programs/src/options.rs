//! The command line.

use std::env;
use std::num::NonZeroUsize;

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) command: Command,
    pub(crate) threads: Option<usize>,
    pub(crate) size: Option<usize>,
}

pub(crate) enum Command {
    List,
    /// The program of this name.
    Run(String),
    /// The program of this name, or all.
    Check(String),
}

impl Options {
    pub(crate) fn from_args() -> Result<Self, String> {
        let mut options = Self { command: Command::List, threads: None, size: None };
        let mut args = env::args().skip(1);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--list" => options.command = Command::List,
                "--program" => options.command = Command::Run(value()?),
                "--check" => options.command = Command::Check(value()?),
                "--threads" => options.threads = Some(count(&name, &value()?)?),
                "--size" => options.size = Some(count(&name, &value()?)?),
                _ => return Err(format!("unknown option {name}; try --list")),
            }
        }
        Ok(options)
    }
}

fn count(option: &str, text: &str) -> Result<usize, String> {
    let number: Result<NonZeroUsize, _> = text.parse();
    number
        .map(NonZeroUsize::get)
        .map_err(|_| format!("{option} needs a whole number above 0, not {text}"))
}
