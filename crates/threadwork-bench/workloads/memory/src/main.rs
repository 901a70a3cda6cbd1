//! `memory-workload serve`: reads lines `<workload>/<contestant> <threads>
//! <iterations>`, and answers each with a figure. `memory-workload list` names them all.
//!
//! Each module holds the contestants of one thing and what they do. They are called through
//! static dispatch, so that what is compared is what a program would compile to.

use std::process::ExitCode;

use threadwork_workloads::{Measured, parse_line, serve};

mod access;
mod batch;
mod counters;
mod local;
mod threads;

/// A workload for one contestant: threads and iterations in, a measurement out.
type Workload = fn(u32, u64) -> Measured;

/// A workload by the name of what is done, and the name of who does it.
struct Entry {
    workload: &'static str,
    contestant: &'static str,
    run: Workload,
}

const TABLES: &[&[Entry]] = &[
    local::WORKLOADS,
    counters::WORKLOADS,
    access::WORKLOADS,
    batch::WORKLOADS,
    threads::WORKLOADS,
];

const fn entry(workload: &'static str, contestant: &'static str, run: Workload) -> Entry {
    Entry {
        workload,
        contestant,
        run,
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve"] => serve(run_line),
        ["list"] => {
            entries().for_each(|entry| println!("{}/{}", entry.workload, entry.contestant));
            Ok(())
        }
        _ => Err(std::io::Error::other("usage: memory-workload serve | list")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().copied().flatten()
}

fn run_line(line: &str) -> Result<Measured, String> {
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
    let entry = entries()
        .find(|entry| entry.workload == workload && entry.contestant == contestant)
        .ok_or_else(|| format!("no {contestant} for {workload} on this target"))?;
    if threads == 0 || iterations == 0 {
        return Err("threads and iterations must not be zero".to_string());
    }
    Ok((entry.run)(threads, iterations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contestants_agree_about_the_answers() {
        for entry in entries() {
            let own = (entry.run)(4, 400).answer;
            let first = entries()
                .find(|other| other.workload == entry.workload)
                .map(|first| (first.run)(4, 400).answer);
            assert_eq!(Some(own), first, "{}/{}", entry.workload, entry.contestant);
        }
    }

    #[test]
    fn lines_are_checked() {
        assert!(run_line("local/std 1 10").is_ok());
        for line in ["", "local 1 1", "local/none 1 1", "local/std 0 1"] {
            assert!(run_line(line).is_err(), "{line}");
        }
    }
}
