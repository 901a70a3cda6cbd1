//! `fork-join-workload serve`: reads lines `<workload>/<contestant> <threads>
//! <iterations>`, and answers each with a figure. `fork-join-workload list` names them all.
//!
//! The work is written once, over what the contestants have in common, and called through
//! static dispatch, so that what is compared is what a program would compile to. Each keeps
//! its pool from one line to the next, and the clock runs inside of the pool: a warm one is
//! measured, without the way into it. `sequential` is the same work with nobody who helps.

use std::process::ExitCode;

use threadwork_workloads::{Measured, parse_line, serve};

mod contestants;
mod loops;
mod trees;

/// A workload for one contestant: threads and iterations in, a measurement out.
type Workload = fn(u32, u64) -> Measured;

/// A workload by the name of what is done, and the name of who does it.
struct Entry {
    workload: &'static str,
    contestant: &'static str,
    run: Workload,
}

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
        _ => Err(std::io::Error::other(
            "usage: fork-join-workload serve | list",
        )),
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
    let trees = trees::WORKLOADS.as_flattened().iter();
    trees.chain(loops::WORKLOADS.as_flattened())
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
            let own = (entry.run)(2, 50).answer;
            let first = entries()
                .find(|other| other.workload == entry.workload)
                .map(|first| (first.run)(2, 50).answer);
            assert_eq!(Some(own), first, "{}/{}", entry.workload, entry.contestant);
        }
    }

    #[test]
    fn lines_are_checked() {
        assert!(run_line("scope/threadwork 1 10").is_ok());
        for line in ["", "scope 1 1", "scope/chili 1 1", "scope/rayon 0 1"] {
            assert!(run_line(line).is_err(), "{line}");
        }
    }
}
