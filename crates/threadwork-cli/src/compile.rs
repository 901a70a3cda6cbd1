//! `threadwork compile`: machine code, to be shipped and run without a compiler.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use threadwork_engine::Module;

use crate::{engine, options, report, run};

/// The command line of `threadwork compile`.
#[derive(Args)]
#[command(after_help = "\
The code is for this version of threadwork, and for processors that have what this one has: \
threadwork run --allow-precompiled FILE")]
pub(crate) struct CompileArgs {
    /// Where to put the machine code
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Longest time to compile
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration)]
    max_compile: Option<Duration>,

    /// The program, .wasm or .wat
    #[arg(value_name = "FILE")]
    program: PathBuf,
}

/// Compiles, and returns the code to exit with.
pub(crate) fn compile(args: &CompileArgs) -> anyhow::Result<i32> {
    let file = &args.program;
    let cannot = |error| run::cannot_compile("compile", file, error);
    let wasm = run::read(file)?;
    let engine = engine::build_with(false, None, args.max_compile).map_err(cannot)?;
    let code = Module::precompile(&engine, &wasm).map_err(cannot)?;
    // Whole or not at all, also if somebody runs what is there now.
    let place = args.output.with_added_extension("unfinished");
    let written = fs::write(&place, code).and_then(|()| fs::rename(&place, &args.output));
    written.map_err(|error| {
        let _ = fs::remove_file(&place);
        report::explain(
            format_args!("cannot write {}", args.output.display()),
            error,
        )
    })?;
    Ok(0)
}
