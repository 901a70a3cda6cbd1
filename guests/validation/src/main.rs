//! Ten properties and five families of fuzzing: what the tests show on examples, on
//! random cases.
//!
//! ```text
//! validation                              a sample of everything
//! validation --full                       10,000 cases of each (or THREADWORK_FULL=1)
//! validation --property NAME              one of them
//!            --cases N --seed N           so many cases, from this seed
//! validation --list                       names, and the bugs that each must find
//! validation --property NAME --seed-bug BUG
//! ```
//!
//! A case is random in everything that the program decides: how many threads, what they
//! do, in what order, with what pauses. A failure prints the seed of its case, and the
//! same case runs again with it; how the threads meet, no seed decides.
//!
//! Each property has bugs: with one planted, the thing under test is replaced by one that
//! is broken in that way, and the property must fail. So none is a test that cannot.

#[macro_use]
mod case;

mod fuzz;
mod options;
mod properties;

use std::process::ExitCode;
use std::time::Instant;

use case::{Case, Property};
use options::{Command, Options};

/// Everything there is, in the order of the specification.
fn all() -> impl Iterator<Item = &'static Property> {
    properties::ALL.iter().chain(fuzz::ALL)
}

fn main() -> ExitCode {
    match Options::from_args(all) {
        Command::List => list(),
        Command::Run(options) => {
            println!("seed {}", options.seed);
            let chosen = all().filter(|property| options.includes(property.name));
            let failed = chosen.map(|property| holds(property, &options)).filter(|held| !held);
            return ExitCode::from(u8::from(failed.count() > 0));
        }
        Command::Refuse(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn list() {
    for property in all() {
        println!("property {} {}", property.name, property.claim);
        for bug in property.bugs {
            println!("bug {} {bug}", property.name);
        }
    }
}

/// Tries a property on random cases, and prints what came of it.
fn holds(property: &Property, options: &Options) -> bool {
    let start = Instant::now();
    let bug = options.bug.as_deref();
    let failure = (0..options.cases).find_map(|index| {
        let seed = options.seed.wrapping_add(index);
        let mut case = Case::new(seed, bug);
        (property.check)(&mut case).err().map(|reason| (index, seed, reason))
    });
    let (name, seconds) = (property.name, start.elapsed().as_secs_f64());
    match failure {
        None => println!("property {name} ok {seconds:.3}: {} cases", options.cases),
        Some((index, seed, reason)) => {
            println!("property {name} FAILED {seconds:.3}: case {index}: {reason}");
            let planted = bug.map(|bug| format!(" --seed-bug {bug}")).unwrap_or_default();
            println!("again: --property {name}{planted} --cases 1 --seed {seed}");
            return false;
        }
    }
    true
}
