//! `threadwork-bench [SUITE]`: runs the benchmarks. See the library for the idea.

use std::process::ExitCode;

use clap::Parser;
use threadwork_bench::{SUITES, cli};

fn main() -> ExitCode {
    cli::main(cli::Cli::parse(), SUITES)
}
