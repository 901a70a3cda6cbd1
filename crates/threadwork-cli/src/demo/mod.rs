//! `threadwork demo`: the project's main job, on real programs.
//!
//! Builds the example guests for WebAssembly and for this machine, runs each on
//! a growing number of threads both ways, and one with the standard library's threads,
//! with rayon and with the library `threadwork` side by side; checks that every answer is
//! the same, and draws the times.

mod guests;
mod table;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::{iter, thread};

use clap::Args;
use threadwork_engine::Module;

use crate::progress::{self, Progress};
use crate::workshop::Workshop;
use crate::{engine, exit_codes, options};
use guests::{GUESTS, Guest, Kind, LIBRARIES, RIVALRY};
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
    progress::colour_terminals_only();
    let workshop = Workshop::open()?;
    build(&workshop)?;
    let (sections, rivalry) = measure(&workshop, args)?;
    show(&sections, &rivalry, &workshop)?;
    let agreed = sections.iter().chain([&rivalry]).all(Section::agreed);
    Ok(if agreed { 0 } else { exit_codes::WRONG_ANSWER })
}

fn build(workshop: &Workshop) -> anyhow::Result<()> {
    let progress = Progress::without_end("looking for the toolchain");
    workshop.ensure_wasm_target(|target| {
        progress.milestone(&format!("adding the target {target} with rustup"));
    })?;
    progress.milestone("building the examples, for WebAssembly and natively");
    let guests = GUESTS.iter().chain([&RIVALRY]);
    workshop.build(guests.map(|guest| guest.name), |status| {
        progress.detail(status);
    })
}

/// Runs every example as often as the options ask for: both acts.
fn measure(workshop: &Workshop, args: &DemoArgs) -> anyhow::Result<(Vec<Section>, Section)> {
    let plan = Plan::new(args);
    let scaling: Vec<Run> = plan.scaling().collect();
    let rivalry: Vec<Run> = plan.rivalry().collect();
    let progress = Progress::with_steps(GUESTS.len() * scaling.len() + rivalry.len());
    let engine = engine::build(true)?;
    let measure = |guest: &Guest, runs: &[Run]| {
        progress.milestone(&format!("{}: compiling to machine code", guest.name));
        let module = Module::from_file(&engine, workshop.wasm(guest.name))?;
        let mut section = Section::new(guest.name, guest.about);
        for run in runs {
            let (label, kind) = (run.label(), run.kind);
            progress.detail(&format!("{}: {kind}, {label}", guest.name));
            let answer = guest.run(
                kind,
                workshop,
                &module,
                run.threads,
                run.library,
                plan.quick,
            )?;
            section.add(&label, kind, &answer);
            progress.step();
        }
        Ok(section)
    };
    let sections = GUESTS.iter().map(|guest| measure(guest, &scaling));
    let sections: anyhow::Result<_> = sections.collect();
    Ok((sections?, measure(&RIVALRY, &rivalry)?))
}

fn show(sections: &[Section], rivalry: &Section, workshop: &Workshop) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{}", table::render(sections, rivalry, table_width()))?;
    for picture in guests::pictures(workshop) {
        writeln!(out, "Picture: {}", picture.display())?;
    }
    writeln!(out, "{}", table::summary(sections, rivalry))
}

/// One run of an example.
#[derive(Clone, Copy)]
struct Run {
    threads: usize,
    library: Option<&'static str>,
    kind: Kind,
}

impl Run {
    fn label(&self) -> String {
        let threads = || guests::threads(self.threads);
        self.library.map_or_else(threads, ToOwned::to_owned)
    }
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

    /// All runs of an example of the first act.
    fn scaling(&self) -> impl Iterator<Item = Run> {
        self.runs(self.threads.iter().map(|&threads| (threads, None)))
    }

    /// All runs of the second act.
    fn rivalry(&self) -> impl Iterator<Item = Run> {
        let most = self.threads.last().copied().unwrap_or(1);
        self.runs(LIBRARIES.iter().map(move |&library| (most, Some(library))))
    }

    /// Both kinds take turns, so that a change of the machine's speed hits both.
    fn runs(
        &self,
        rows: impl Iterator<Item = (usize, Option<&'static str>)> + Clone,
    ) -> impl Iterator<Item = Run> {
        let both = |(threads, library)| {
            [Kind::Wasm, Kind::Native].map(|kind| Run {
                threads,
                library,
                kind,
            })
        };
        (0..self.repeats).flat_map(move |_| rows.clone().flat_map(both))
    }
}

/// The powers of two up to `most`, and `most` itself.
fn thread_counts(most: usize) -> Vec<usize> {
    let powers = iter::successors(Some(1), |n| Some(2 * n));
    let mut counts: Vec<usize> = powers.take_while(|n| *n < most).collect();
    counts.push(most);
    counts
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
        let kinds: Vec<Kind> = plan.scaling().map(|run| run.kind).collect();
        assert_eq!(kinds, [Kind::Wasm, Kind::Native].repeat(4));
    }
}
