//! `threadwork demo`: the project's main job, on real programs.
//!
//! Builds the example guests for WebAssembly and for this machine, runs each on
//! a growing number of threads both ways, checks that every answer is the same,
//! and draws the times.

mod guests;
mod progress;
mod table;
mod toolchain;

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::{env, iter, thread};

use clap::Args;
use threadwork_engine::Module;

use crate::{engine, exit_codes, options};
use guests::{GUESTS, Guest, Kind, Workshop};
use progress::Progress;
use table::Section;

/// The command line of `threadwork demo`.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Less work, and each program only once instead of three times
    #[arg(long)]
    quick: bool,
    /// Most threads for a program [default: the number of cores, at least 2]
    #[arg(long, value_name = "N", value_parser = options::parse_count)]
    threads: Option<u32>,
}

/// Runs the demo and returns the code to exit with.
pub(crate) fn demo(args: &DemoArgs) -> anyhow::Result<i32> {
    console::set_colors_enabled(wants_colour());
    let workshop = Workshop::new(guests::find_folder()?)?;
    build(&workshop)?;
    let sections = measure(&workshop, args)?;
    show(&sections, &workshop)?;
    let agreed = sections.iter().all(Section::agreed);
    Ok(if agreed { 0 } else { exit_codes::WRONG_ANSWER })
}

fn build(workshop: &Workshop) -> anyhow::Result<()> {
    let progress = Progress::without_end("looking for the toolchain");
    workshop.ensure_wasm_target(|target| {
        progress.milestone(&format!("adding the target {target} with rustup"));
    })?;
    progress.milestone("building the examples, for WebAssembly and natively");
    workshop.build(|status| progress.detail(status))
}

/// Runs every example as often as the options ask for.
fn measure(workshop: &Workshop, args: &DemoArgs) -> anyhow::Result<Vec<Section>> {
    let plan = Plan::new(args);
    let progress = Progress::with_steps(GUESTS.len() * plan.runs().count());
    let engine = engine::build(true)?;
    let measure = |guest: &Guest| {
        progress.milestone(&format!("{}: compiling to machine code", guest.name));
        let module = workshop.load(&engine, guest)?;
        measure_guest(workshop, &plan, guest, &module, &progress)
    };
    GUESTS.iter().map(measure).collect()
}

fn measure_guest(
    workshop: &Workshop,
    plan: &Plan,
    guest: &Guest,
    module: &Module,
    progress: &Progress,
) -> anyhow::Result<Section> {
    let mut section = Section::new(guest.name, guest.about);
    for (threads, kind) in plan.runs() {
        progress.detail(&format!(
            "{}: {kind} on {}",
            guest.name,
            table::threads(threads)
        ));
        let answer = workshop.run(kind, guest, module, threads, plan.quick)?;
        section.add(threads, kind, &answer);
        progress.step();
    }
    Ok(section)
}

fn show(sections: &[Section], workshop: &Workshop) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{}", table::render(sections, table_width()))?;
    for picture in workshop.pictures() {
        writeln!(out, "Picture: {}", picture.display())?;
    }
    writeln!(out, "{}", table::summary(sections))
}

/// Which runs an example goes through.
struct Plan {
    threads: Vec<usize>,
    repeats: usize,
    quick: bool,
}

impl Plan {
    /// A full run takes the best of this many.
    const REPEATS: usize = 3;

    fn new(args: &DemoArgs) -> Self {
        let cores = || {
            thread::available_parallelism()
                .map_or(1, NonZeroUsize::get)
                .max(2)
        };
        let most = args.threads.map_or_else(cores, |threads| threads as usize);
        let repeats = if args.quick { 1 } else { Self::REPEATS };
        Self {
            threads: thread_counts(most),
            repeats,
            quick: args.quick,
        }
    }

    /// All runs of one example. Both kinds take turns, so that a change of the
    /// machine's speed hits both.
    fn runs(&self) -> impl Iterator<Item = (usize, Kind)> {
        let both = |&threads: &usize| [(threads, Kind::Wasm), (threads, Kind::Native)];
        (0..self.repeats).flat_map(move |_| self.threads.iter().flat_map(both))
    }
}

/// The powers of two up to `most`, and `most` itself.
fn thread_counts(most: usize) -> Vec<usize> {
    let powers = iter::successors(Some(1), |n| Some(2 * n));
    let mut counts: Vec<usize> = powers.take_while(|n| *n < most).collect();
    counts.push(most);
    counts
}

fn wants_colour() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused
}

fn table_width() -> usize {
    const WITHOUT_TERMINAL: usize = 88;
    let columns = console::Term::stdout()
        .size_checked()
        .map(|(_, columns)| columns.into());
    columns.unwrap_or(WITHOUT_TERMINAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_go_up_in_powers_of_two() {
        assert_eq!(thread_counts(1), [1]);
        assert_eq!(thread_counts(2), [1, 2]);
        assert_eq!(thread_counts(6), [1, 2, 4, 6]);
        assert_eq!(thread_counts(8), [1, 2, 4, 8]);
    }

    #[test]
    fn kinds_take_turns() {
        let plan = Plan {
            threads: vec![1, 2],
            repeats: 2,
            quick: false,
        };
        let kinds: Vec<Kind> = plan.runs().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, [Kind::Wasm, Kind::Native].repeat(4));
    }
}
