//! A hundred small parallel programs in five families, each with an answer that a plain
//! loop gives, too.
//!
//! ```text
//! programs --list                            family, name, default size, what it does
//! programs --program NAME --threads N --size S
//! programs --check all                       every answer, on 1 to 4 threads, in small
//! programs --check NAME --threads N          that one, on 1 to N threads
//! ```
//!
//! The last line of a run is `result: <answer> seconds: <parallel part> threads: <n>`. The
//! answer depends on the size alone.

#![allow(clippy::needless_range_loop, reason = "what is counted are places in several arrays")]

mod divide_and_conquer;
mod embarrassingly_parallel;
mod memory_bound;
mod options;
mod parallel;
mod pipelines;
mod program;
mod synchronization;

use std::process::ExitCode;

use options::{Command, Options};
use program::{Family, Program};

/// Twenty programs each.
const FAMILIES: [Family; 5] = [
    embarrassingly_parallel::FAMILY,
    divide_and_conquer::FAMILY,
    pipelines::FAMILY,
    synchronization::FAMILY,
    memory_bound::FAMILY,
];

fn programs() -> impl Iterator<Item = &'static Program> {
    FAMILIES.iter().flat_map(|family| family.programs)
}

fn main() -> ExitCode {
    let outcome = Options::from_args().and_then(|options| match options.command {
        Command::List => {
            list();
            Ok(())
        }
        Command::Run(name) => run(&name, options.threads.unwrap_or(1), options.size),
        Command::Check(name) => check(&name, options.threads.unwrap_or(4)),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for family in &FAMILIES {
        for program in family.programs {
            println!("{} {} {} {}", family.name, program.name, program.size, program.about);
        }
    }
}

fn run(name: &str, threads: usize, size: Option<usize>) -> Result<(), String> {
    let program = find(name)?;
    let (answer, time) = program.run_on(threads, size.unwrap_or(program.size))?;
    println!("result: {answer:016x} seconds: {:.6} threads: {threads}", time.as_secs_f64());
    Ok(())
}

/// Compares each answer with that of the plain loop.
fn check(name: &str, most: usize) -> Result<(), String> {
    let chosen = if name == "all" { programs().collect() } else { vec![find(name)?] };
    for program in &chosen {
        let size = program.small();
        let expected = (program.reference)(size);
        for threads in 1..=most {
            let (answer, _) = program.run_on(threads, size)?;
            if answer != expected {
                return Err(format!(
                    "{} on {threads} threads says {answer:016x}, and the plain loop {expected:016x}",
                    program.name
                ));
            }
        }
        println!("ok {}", program.name);
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Program, String> {
    programs()
        .find(|program| program.name == name)
        .ok_or(format!("there is no program {name}; --list prints all"))
}
