//! A contest: contestants that do the same work, in a program that runs them by name.
//!
//! `<program> serve` reads lines `<workload>/<contestant> <threads> <iterations>`, and
//! answers each with a figure; `<program> list` names them all. The work is called through
//! static dispatch, so that what is compared is what a program would compile to.

use std::io::Error;
use std::process::ExitCode;

use crate::{Measured, Workload, parse_line, serve};

/// A workload by the name of what is done, and the name of who does it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    workload: &'static str,
    contestant: &'static str,
    run: Workload,
}

/// What is done, who does it, and how.
pub const fn entry(workload: &'static str, contestant: &'static str, run: Workload) -> Entry {
    Entry {
        workload,
        contestant,
        run,
    }
}

/// All workloads of a program.
#[derive(Clone, Debug)]
pub struct Contest(Vec<Entry>);

impl<'a> FromIterator<&'a Entry> for Contest {
    fn from_iter<I: IntoIterator<Item = &'a Entry>>(entries: I) -> Self {
        Contest(entries.into_iter().copied().collect())
    }
}

impl Contest {
    /// Adds a workload.
    pub fn push(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    /// The program, for its `main`.
    pub fn main(&self) -> ExitCode {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let result = match args[..] {
            ["serve"] => serve(|line| self.run_line(line)),
            ["list"] => {
                for entry in &self.0 {
                    println!("{}/{}", entry.workload, entry.contestant);
                }
                Ok(())
            }
            _ => Err(Error::other("usage: serve | list")),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    /// Runs a line.
    ///
    /// # Errors
    ///
    /// If it is not of that form, if nobody of that name does that, or a number is zero.
    pub fn run_line(&self, line: &str) -> Result<Measured, String> {
        let (name, threads, iterations) = parse_line(line)?;
        if name == "hello" {
            return Ok(Measured {
                ns_per_op: 0.0,
                answer: 0,
            });
        }
        let (workload, contestant) = name
            .rsplit_once('/')
            .ok_or_else(|| format!("want `<workload>/<contestant>`, got `{name}`"))?;
        let mut entries = self.0.iter();
        let entry = entries
            .find(|entry| entry.workload == workload && entry.contestant == contestant)
            .ok_or_else(|| format!("no {contestant} for {workload} in this program"))?;
        if threads == 0 || iterations == 0 {
            return Err("threads and iterations must not be zero".to_string());
        }
        Ok((entry.run)(threads, iterations))
    }

    /// The test of a program: all contestants of a workload compute the same, and lines that
    /// make no sense are refused.
    ///
    /// # Panics
    ///
    /// If not.
    pub fn check(&self, threads: u32, iterations: u64) {
        assert!(!self.0.is_empty(), "there are no workloads");
        for entry in &self.0 {
            let mut others = self.0.iter();
            let first = others.find(|other| other.workload == entry.workload);
            let expected = first.map(|first| (first.run)(threads, iterations).answer);
            let answer = (entry.run)(threads, iterations).answer;
            let name = format!("{}/{}", entry.workload, entry.contestant);
            assert_eq!(Some(answer), expected, "{name}");
            for line in [
                format!("{} 1 1", entry.workload),
                format!("{}/nobody 1 1", entry.workload),
                format!("{name} 0 1"),
                format!("{name} 1 0"),
                name,
            ] {
                assert!(self.run_line(&line).is_err(), "{line}");
            }
        }
        assert!(self.run_line("hello 1 1").is_ok());
    }
}
