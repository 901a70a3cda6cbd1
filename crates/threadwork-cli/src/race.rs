//! `threadwork race`: one program, and what its threads do to each other.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use threadwork_race::{Race, Suppressions};

use crate::run::{self, RunArgs};
use crate::{exit_codes, report};

/// Said under the options of `threadwork race --help`.
const HELP: &str = "\
As Cargo's runner, for `cargo run` and `cargo test` with the target \
wasm32-wasip1-threads:
  export CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER=\"threadwork race --dir .\"
With debug information (`-g`, or `debug = true` in Cargo's profile) reports have source lines.
If anything was found the exit code is 119, else it is that of `threadwork run`.";

/// The command line of `threadwork race`.
#[derive(Args)]
pub(crate) struct RaceArgs {
    /// A file with what not to report, on each line `race:` and a part of the name of a
    /// function or a source file
    #[arg(long, value_name = "FILE")]
    suppressions: Vec<PathBuf>,

    #[command(flatten)]
    run: RunArgs,
}

/// Options of `run` that do not hold.
const REFUSED: [&str; 6] = [
    "host",
    "invoke",
    "workers",
    "allow_precompiled",
    "profile",
    "perf_map",
];
/// Bytes of a file of suppressions that are read.
const MOST_SUPPRESSIONS: u64 = 16 << 20;

/// The help of the command is its own, and not that of `run`, whose options it has.
pub(crate) fn describe(command: clap::Command) -> clap::Command {
    run::hide(command, &REFUSED)
        .override_usage("threadwork race [OPTIONS] <FILE> [ARGS]...")
        .after_help(HELP)
}

/// Runs the program, says what was found, and returns the code to exit with.
pub(crate) fn race(args: &RaceArgs) -> anyhow::Result<i32> {
    let suppressions = suppressions(args)?;
    let race: RefCell<Option<Race>> = RefCell::new(None);
    let status = run::start::run_for_tool(
        &args.run,
        "threadwork race",
        |engine, code| {
            let (module, loaded) = threadwork_race::load(engine, code)?;
            race.replace(Some(loaded));
            Ok(module)
        },
        |builder| match &*race.borrow() {
            Some(race) => race.watch(builder),
            None => builder,
        },
    )?;
    let race = race.into_inner().context("the program was not loaded")?;
    Ok(match tell(&race, &suppressions) {
        0 => status.code(),
        _ => exit_codes::RACES,
    })
}

fn suppressions(args: &RaceArgs) -> anyhow::Result<Suppressions> {
    let mut suppressions = Suppressions::default();
    for path in &args.suppressions {
        let option = format!("--suppressions {}", path.display());
        let text = read(path).map_err(|error| report::explain(&option, error))?;
        let added = suppressions.add(&text);
        added.map_err(|error| report::explain(&option, error))?;
    }
    Ok(suppressions)
}

/// A file of suppressions, which may be a device without an end.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(MOST_SUPPRESSIONS + 1);
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_SUPPRESSIONS {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text"))
}

/// Prints what was found; returns how much that was.
fn tell(race: &Race, suppressions: &Suppressions) -> usize {
    // What follows is read in its light.
    if !race.has_names() {
        report::tell(
            "the module has no names of functions, so what the C library does for itself may be \
             reported, and uses after free are not found: build without stripping symbols",
        );
    }
    let (mut shown, mut suppressed) = (HashSet::new(), 0);
    for found in race.reports() {
        if suppressions.suppress(&found) {
            suppressed += 1;
        } else if shown.insert(found.fingerprint()) {
            report::tell(&found);
        }
    }
    let hidden = match suppressed {
        0 => String::new(),
        count => format!(", {count} suppressed"),
    };
    match shown.len() {
        0 => {}
        1 => report::tell(format_args!("1 report{hidden}")),
        count => report::tell(format_args!("{count} reports{hidden}")),
    }
    shown.len()
}
