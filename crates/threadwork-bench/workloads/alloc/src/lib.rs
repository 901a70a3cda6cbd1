//! `alloc-workload serve`: reads lines `<workload>/<contestant> <threads>
//! <iterations>`, and answers each with a figure. `alloc-workload list` names them all.
//!
//! There are two kinds of workload. Most call a contestant's `GlobalAlloc` methods, in one
//! program for all of them: statically dispatched, but never inlined, as a program calls
//! its global allocator. Those of [`collections`] use `Box`, `Vec` and `String`, and so the
//! global allocator: std's in `alloc-workload`, Threadwork's in `alloc-workload-global`.

use std::io::Error;
use std::process::ExitCode;

use threadwork_workloads::{Measured, parse_line, serve};

mod collections;
mod footprint;
mod raw;
mod rivals;

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

/// The program, for its `main`. `global` names its global allocator.
pub fn main(global: &'static str) -> ExitCode {
    footprint::start();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve"] => serve(|line| run_line(global, line)),
        ["list"] => {
            entries(global).for_each(|entry| println!("{}/{}", entry.workload, entry.contestant));
            Ok(())
        }
        _ => Err(Error::other("usage: alloc-workload serve | list")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn entries(global: &'static str) -> impl Iterator<Item = Entry> {
    let raw = rivals::WORKLOADS.iter().copied().flatten();
    let collections = collections::WORKLOADS.iter();
    raw.map(|known| entry(known.workload, known.contestant, known.run))
        .chain(collections.map(move |(workload, run)| entry(workload, global, *run)))
}

fn run_line(global: &'static str, line: &str) -> Result<Measured, String> {
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
    let entry = entries(global)
        .find(|entry| entry.workload == workload && entry.contestant == contestant)
        .ok_or_else(|| format!("no {contestant} for {workload} in this program"))?;
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
        for entry in entries("std") {
            let own = (entry.run)(3, 3_000).answer;
            let first = entries("std")
                .find(|other| other.workload == entry.workload)
                .map(|first| (first.run)(3, 3_000).answer);
            assert_eq!(Some(own), first, "{}/{}", entry.workload, entry.contestant);
        }
    }

    #[test]
    fn lines_are_checked() {
        assert!(run_line("std", "pairs/std 1 10").is_ok());
        for line in ["", "pairs 1 1", "pairs/none 1 1", "pairs/std 0 1"] {
            assert!(run_line("std", line).is_err(), "{line}");
        }
    }
}
