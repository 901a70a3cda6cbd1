//! `threadwork compile`: machine code, to be shipped and run without a compiler.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use clap::Args;
use threadwork_engine::Module;

use crate::{engine, options, program, report};

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
    let cannot = |error| program::cannot_compile("compile", file, error);
    let wasm = program::read(file)?;
    let settings = engine::Settings {
        compile_time: args.max_compile,
        ..Default::default()
    };
    let engine = engine::build_with(false, &settings).map_err(cannot)?;
    let code = Module::precompile(&engine, &wasm).map_err(cannot)?;
    write(&args.output, &code).map_err(|error| {
        report::explain(
            format_args!("cannot write {}", args.output.display()),
            error,
        )
    })?;
    Ok(0)
}

/// Writes a file whole or not at all, also if somebody runs what is there now. What is there
/// and is no file, such as a device, is written to.
pub(crate) fn write(output: &Path, code: &[u8]) -> io::Result<()> {
    // What a link leads to, and not the link.
    let output = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
    if fs::metadata(&output).is_ok_and(|found| !found.is_file()) {
        return fs::write(&output, code);
    }
    let place = output.with_added_extension("unfinished");
    let written = fs::write(&place, code).and_then(|()| fs::rename(&place, &output));
    if written.is_err() {
        let _ = fs::remove_file(&place);
    }
    written
}
