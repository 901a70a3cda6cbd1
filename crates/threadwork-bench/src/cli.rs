//! The command line.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::case::{Effort, SuiteEntry};
use crate::cpu;
use crate::engine::hosts;
use crate::json::Document;
use crate::machine::Machine;
use crate::plot;
use crate::run::{self, Options};
use crate::table::{self, Style};

/// Runs the benchmarks of Threadwork.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// The suite to run; all of them without it
    suite: Option<String>,
    /// Only the cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// A smoke test: few rounds, small samples; the figures are not for use
    #[arg(long)]
    quick: bool,
    /// Rounds that count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Where SUITE.json, SUITE.svg and SUITE-FAMILY.svg go
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
    /// Lists the suites, their cases and contestants, and runs nothing
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a program under a host: what the contestants' child processes do.
    #[command(hide = true)]
    Host {
        /// Use only so many cores.
        #[arg(long, value_name = "N")]
        cores: Option<u32>,
        /// A name from the table of hosts.
        host: String,
        /// The program, as built for that host.
        program: PathBuf,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// Exit code: a case failed, or an output could not be written.
const FAILED: u8 = 1;
/// Exit code: what was asked for does not exist, as for clap's own errors.
const USAGE: u8 = 2;

/// Does what the command line says, with these suites.
pub fn main(cli: Cli, suites: &[SuiteEntry]) -> ExitCode {
    if let Some(Command::Host {
        cores,
        host,
        program,
        args,
    }) = &cli.command
    {
        let bound = cores.map_or(Ok(()), cpu::use_cores).map_err(Into::into);
        return match bound.and_then(|()| hosts::run(host, program, args)) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let mut output = std::io::stdout();
    ExitCode::from(
        run(&cli, suites, Style::detect(), &mut output).unwrap_or_else(|error| {
            eprintln!("threadwork-bench: {error:#}");
            FAILED
        }),
    )
}

/// Runs or lists suites, and gives the exit code: 0, 1 if a case failed, 2 if there
/// is no such suite or case.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(cli: &Cli, suites: &[SuiteEntry], style: Style, output: &mut dyn Write) -> Result<u8> {
    let effort = if cli.quick {
        Effort::Quick
    } else {
        Effort::Full
    };
    let mut options = if cli.quick {
        Options::quick()
    } else {
        Options::default()
    };
    options.rounds = cli.rounds.unwrap_or(options.rounds);
    let chosen: Vec<&SuiteEntry> = suites
        .iter()
        .filter(|entry| cli.suite.as_ref().is_none_or(|name| name == entry.name))
        .collect();
    if chosen.is_empty() {
        let known: Vec<_> = suites.iter().map(|entry| entry.name).collect();
        eprintln!(
            "threadwork-bench: no such suite; there are: {}",
            known.join(", ")
        );
        return Ok(USAGE);
    }
    let mut found = false;
    let mut code = 0;
    for entry in chosen {
        let mut suite = (entry.build)(effort);
        suite.cases.retain(|case| {
            cli.filter
                .as_ref()
                .is_none_or(|text| case.name().contains(text))
        });
        if suite.cases.is_empty() {
            continue;
        }
        found = true;
        if cli.list {
            writeln!(output, "{}: {}", entry.name, entry.about)?;
            for case in &suite.cases {
                let contestants: Vec<_> = case.contestants().collect();
                writeln!(output, "  {:24}  {}", case.name(), contestants.join(", "))?;
            }
            continue;
        }
        let machine = Machine::facts();
        let quick = if cli.quick {
            " (quick: figures not for use)"
        } else {
            ""
        };
        let length = format!("{} rounds{quick}", options.rounds);
        let width = suite
            .cases
            .iter()
            .flat_map(|case| case.contestants())
            .map(str::len)
            .max()
            .unwrap_or(0);
        write!(
            output,
            "{}",
            table::header(entry.name, &machine, &length, width, style)
        )?;
        let mut reports = Vec::new();
        for case in suite.cases {
            let name = case.name().to_string();
            let total = options.warm_up + options.rounds;
            let report = run::case(case, &options, &mut |round| {
                progress(&format!("{name}: round {} of {total}", round + 1));
            });
            progress("");
            write!(output, "{}", table::case(&report, width, style))?;
            output.flush()?;
            if report.failure.is_some() {
                code = FAILED;
            }
            reports.push(report);
        }
        let document = Document::new(entry.name, &machine, &options, cli.quick, &reports);
        for path in write_files(cli, &document)? {
            writeln!(output, "wrote {}", path.display())?;
        }
    }
    if !found {
        eprintln!("threadwork-bench: no case has that in its name; --list shows them all");
        return Ok(USAGE);
    }
    Ok(code)
}

/// Writes the archive and the pictures, and gives their paths.
fn write_files(cli: &Cli, document: &Document<'_>) -> Result<Vec<PathBuf>> {
    let write = |name: String, text: &str| -> Result<PathBuf> {
        let path = cli.out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    std::fs::create_dir_all(&cli.out)
        .with_context(|| format!("cannot make {}", cli.out.display()))?;
    let json = cli.out.join(format!("{}.json", document.suite));
    document.write(&json)?;
    let mut written = vec![json];
    if let Some(svg) = plot::bars(document.suite, document.cases) {
        written.push(write(format!("{}.svg", document.suite), &svg)?);
    }
    for (family, svg) in plot::lines(document.suite, document.cases) {
        written.push(write(
            format!("{}-{}.svg", document.suite, family.replace('/', "-")),
            &svg,
        )?);
    }
    Ok(written)
}

/// One line on the terminal that is written over by the next one.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}
