//! Random programs of calls on files and directories, through libc.
//!
//! ```text
//! file-programs SEED..END                  runs these, each in a folder that is named after it
//!               --steps N                  each with so many calls (60)
//!               --only N,N,...             of the calls only these, to find which matter
//!               --tree                     then prints what is in each folder, and what it is
//! file-programs --together SEED..END       runs programs of several threads
//! file-programs --explain < OUTPUT         natively: finds an order of the calls for each
//!                                          of them, or says for which there is none
//!               --no-allocate              with either: for hosts whose system has no
//!                                          `fallocate`
//! file-programs --wrong SEED..END          as WebAssembly: calls of WASI themselves, several of
//!                                          whose arguments may be wrong
//! file-programs --tree                     prints only what is in each folder
//! ```
//!
//! A program is decided by its seed alone: what its calls return changes nothing of what
//! comes next. So the same seed, run on two systems in empty folders, must print the same
//! lines and leave the same files. Numbers of errors and of flags differ between systems,
//! so both are printed by name; numbers of descriptors are printed from the lowest free one.
//!
//! No path leads out of the folder, even natively: the targets of links have no `..`, and in
//! paths a `..` follows a name.

mod calls;
mod errno;
#[cfg(not(target_family = "wasm"))]
mod order;
mod program;
mod random;
mod together;
mod tree;
#[cfg(target_family = "wasm")]
mod wrong;

use std::process::ExitCode;

use calls::Calls;
use program::Call;

const STEPS: usize = 60;

/// What the command line asks for.
enum Command {
    Run { seeds: std::ops::Range<u64>, steps: usize, only: Option<Vec<usize>>, tree: bool },
    Wrong { seeds: std::ops::Range<u64>, steps: usize },
    Together { seeds: std::ops::Range<u64>, allocates: bool },
    Explain { allocates: bool },
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Command::Together { seeds, allocates }) => {
            seeds.for_each(|seed| together::run(seed, allocates));
        }
        Ok(Command::Wrong { seeds, steps }) => return call_wrongly(seeds, steps),
        Ok(Command::Explain { allocates }) => return explain(allocates),
        Ok(Command::Run { seeds, steps, only, tree }) => {
            for seed in seeds {
                run(seed, steps, only.as_deref());
            }
            if tree {
                for line in tree::of(".".as_ref()) {
                    println!("{line}");
                }
            }
        }
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn run(seed: u64, steps: usize, only: Option<&[usize]>) {
    // One write for all of it: each is a call.
    let mut text = format!("program {seed}\n");
    let mut calls = Calls::in_folder(&seed.to_string());
    for (number, call) in program::of_seed(seed, steps).into_iter().enumerate() {
        if only.is_none_or(|only| only.contains(&number)) {
            let outcome = calls.make(&call);
            text += &format!("{number} {} -> {outcome}\n", show(&call));
        }
    }
    calls.end();
    print!("{text}");
}

/// Looks for an order of the calls of each program whose output is on standard input.
#[cfg(not(target_family = "wasm"))]
fn explain(allocates: bool) -> ExitCode {
    let text = std::io::read_to_string(std::io::stdin()).expect("the output can be read");
    let mut is_explained = true;
    for output in text.split("program ").filter(|output| !output.is_empty()) {
        let mut lines = output.lines();
        let seed = lines.next().and_then(|seed| seed.parse().ok());
        let record = together::Record::parse(&lines.collect::<Vec<_>>());
        let (Some(seed), Some(record)) = (seed, record) else {
            println!("this is no output of a program: {output}");
            return ExitCode::from(2);
        };
        let program = together::of_seed(seed, allocates);
        if let Err(why) = order::explain(&program, &record) {
            println!("program {seed}: {why}\n{}", program.with(&record));
            is_explained = false;
        }
    }
    ExitCode::from(u8::from(!is_explained))
}

#[cfg(target_family = "wasm")]
fn explain(_: bool) -> ExitCode {
    eprintln!("error: only the system itself explains what it does: run this natively");
    ExitCode::from(2)
}

#[cfg(target_family = "wasm")]
fn call_wrongly(seeds: std::ops::Range<u64>, steps: usize) -> ExitCode {
    seeds.for_each(|seed| wrong::run(seed, steps));
    ExitCode::SUCCESS
}

#[cfg(not(target_family = "wasm"))]
fn call_wrongly(_: std::ops::Range<u64>, _: usize) -> ExitCode {
    eprintln!("error: only hosts of WebAssembly have these calls");
    ExitCode::from(2)
}

/// A call in one line; long names in short.
fn show(call: &Call) -> String {
    let text = format!("{call:?}");
    match text.len() {
        0..300 => text,
        length => format!("{}... ({length} characters)", &text[..60]),
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
    let (mut seeds, mut steps, mut only) = (None, STEPS, None);
    let (mut tree, mut together, mut explain, mut allocates) = (false, false, false, true);
    let mut wrong = false;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--tree" => tree = true,
            "--explain" => explain = true,
            "--no-allocate" => allocates = false,
            "--together" => together = true,
            "--wrong" => wrong = true,
            "--steps" => steps = number(&value()?)?,
            "--only" => {
                let list = value()?;
                let list = list.split(',').filter(|text| !text.is_empty());
                only = Some(list.map(number).collect::<Result<_, _>>()?);
            }
            range => {
                let (from, to) = range.split_once("..").ok_or(format!("what is {range}?"))?;
                seeds = Some(number(from)?..number(to)?);
            }
        }
    }
    let seeds = match seeds {
        None if tree || explain => 0..0,
        seeds => seeds.ok_or("which seeds? for example 0..10")?,
    };
    Ok(match (explain, together) {
        (true, _) => Command::Explain { allocates },
        _ if wrong => Command::Wrong { seeds, steps },
        (_, true) => Command::Together { seeds, allocates },
        _ => Command::Run { seeds, steps, only, tree },
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no whole number"))
}
