//! The `threadwork` command.
//!
//! `threadwork run app.wasm` runs a threaded WebAssembly program on the engine;
//! `threadwork demo` shows the whole project at work on real programs. This file
//! reads the command line and picks the command.
//!
//! From the ground up: a module uses only those of the rows before its own, and no modules
//! use each other in a circle. The crate `floors` holds the program to that.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | data | `options` | text to sizes, durations, directories |
//! | | `exit_codes` | what the exit code says |
//! | | `report` | whatever the user reads on standard error |
//! | | `progress` | how far a long command is |
//! | system | `children` | what ends together with us |
//! | | `signals` | Ctrl-C, SIGTERM, SIGPIPE |
//! | | `engine` | an engine with its cache, and the child that compiles |
//! | | `toolchain` | cargo, rustc, rustup |
//! | | `workshop` | guests of the repository, built |
//! | files | `program` | the file of a program: its bytes, its name |
//! | | `site` | a page, the runtime of the web, a program |
//! | commands | `run` | a program from its file to its exit code, here or under Node |
//! | | `explore` | many schedules of one program, and one again |
//! | | `race` | a run, and what races |
//! | | `cc` | Clang, for C and C++ with threads |
//! | | `new` | a Rust program to begin with |
//! | | `compile` | machine code to ship |
//! | | `image` | a container image |
//! | | `serve` | a site on this machine |
//! | | `bundle` | a site as a folder |
//! | | `demo` | the example programs, compared |
//! | | `manual` | man pages and completions, where the feature asks for them |
//! | | `selftest` | the acceptance tests, wherever they can run |

mod bundle;
mod cc;
mod children;
mod compile;
mod demo;
mod engine;
mod exit_codes;
mod explore;
mod image;
#[cfg(feature = "manual")]
mod manual;
mod new;
mod options;
mod program;
mod progress;
mod race;
mod report;
mod run;
mod selftest;
mod serve;
mod signals;
mod site;
mod toolchain;
mod workshop;

use std::{process, thread};

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rustix::process::{Resource, getrlimit};

/// The command line as a whole.
#[derive(Parser)]
#[command(
    name = "threadwork",
    version,
    long_version = env!("THREADWORK_VERSION"),
    about = "Runs threaded WebAssembly programs, near native speed, safely",
    arg_required_else_help = true,
    after_help = exit_codes::help()
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Also print what lies behind an error
    #[arg(short, long, global = true, display_order = 100)]
    verbose: bool,
}

/// What `threadwork` can do.
#[derive(Subcommand)]
enum Command {
    /// Run a WebAssembly program (.wasm or .wat)
    Run(run::RunArgs),
    /// Run a program, and print where its threads spent their time: the hottest functions, the
    /// waits that lost most with who ended them, and what each thread did
    #[command(override_usage = "threadwork profile [OPTIONS] <FILE> [ARGS]...")]
    Profile(run::RunArgs),
    /// Run a threaded program in many schedules, until one breaks it
    Explore(explore::ExploreArgs),
    /// Repeat a schedule that `explore` has found
    Replay(explore::ReplayArgs),
    /// Run a program and report its data races, uses after free and double frees
    Race(race::RaceArgs),
    /// Begin a Rust program with threads: a folder that `cargo run` builds and runs
    New(new::NewArgs),
    /// Compile and link C with threads: Clang, with all its options
    Cc(cc::CcArgs),
    /// Compile and link C++ with threads: Clang, with all its options
    #[command(name = "c++")]
    Cpp(cc::CcArgs),
    /// Compile a program to machine code for `run --allow-precompiled`
    Compile(compile::CompileArgs),
    /// Make a container image of a program, for containerd and registries
    Image(image::ImageArgs),
    /// Build the example programs and compare WebAssembly with native code
    Demo(demo::DemoArgs),
    /// Run a program in a browser on this machine
    Serve(serve::ServeArgs),
    /// Make a folder that runs a program on any static host
    Bundle(bundle::BundleArgs),
    /// Run the acceptance tests on this machine, natively and as WebAssembly
    Selftest(selftest::SelftestArgs),
    /// Write man pages and shell completions into a folder
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Manual(manual::ManualArgs),
    /// Compile for the process at the other end of standard input, which has started this
    #[command(hide = true, name = engine::COMPILE)]
    CompileChild,
}

/// Bytes of stack of the thread that a command runs on, at least.
const STACK: usize = 8 << 20;

fn main() {
    let prepared = signals::prepare();
    // What the system gives this thread may be less: `ulimit -s`.
    let given = getrlimit(Resource::Stack).current;
    process::exit(match given.is_none_or(|bytes| bytes >= STACK as u64) {
        true => command(prepared),
        false => on_a_thread(move || command(prepared)),
    })
}

/// Runs a command on a thread with stack enough, and returns its exit code.
fn on_a_thread(command: impl FnOnce() -> i32 + Send + 'static) -> i32 {
    let thread = thread::Builder::new().name("main".to_owned());
    match thread.stack_size(STACK).spawn(command) {
        // One that has panicked has told of it.
        Ok(command) => command.join().unwrap_or(exit_codes::CANNOT_RUN),
        Err(error) => {
            let error = report::explain("the system refused a thread", error);
            report::error(&error, false);
            exit_codes::CANNOT_RUN
        }
    }
}

/// The command line, whose commands show the options that hold for them.
fn line() -> clap::Command {
    let line = Cli::command().mut_subcommand("race", race::describe);
    line.mut_subcommand("profile", |command| {
        run::hide(command, &["host", "invoke", "workers"])
    })
}

/// Reads the command line, does what it says, and returns the exit code.
fn command(prepared: anyhow::Result<()>) -> i32 {
    if let Some((language, args)) = cc::given() {
        return code(prepared.and_then(|()| cc::cc(language, &args)), false);
    }
    let parsed = line().try_get_matches();
    let cli = parsed.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = cli.unwrap_or_else(|error| refuse(&error));
    let outcome = prepared.and_then(|()| match &cli.command {
        Command::Run(args) => run::start::run(args),
        Command::Profile(args) => run::start::profile(args),
        Command::Explore(args) => explore::explore(args),
        Command::Replay(args) => explore::replay(args),
        Command::Race(args) => race::race(args),
        Command::New(args) => new::new(args),
        Command::Cc(args) => cc::cc(cc::Language::C, args),
        Command::Cpp(args) => cc::cc(cc::Language::Cpp, args),
        Command::Compile(args) => compile::compile(args),
        Command::Image(args) => image::image(args),
        Command::Demo(args) => demo::demo(args),
        Command::Serve(args) => serve::serve(args),
        Command::Bundle(args) => bundle::bundle(args),
        Command::Selftest(args) => selftest::selftest(args, cli.verbose),
        #[cfg(feature = "manual")]
        Command::Manual(args) => manual::manual(args, line()),
        Command::CompileChild => Ok(engine::compile()),
    });
    code(outcome, cli.verbose)
}

/// The code to exit with. Prints the error, if there is one.
fn code(outcome: anyhow::Result<i32>, verbose: bool) -> i32 {
    outcome.unwrap_or_else(|error| {
        report::error(&error, verbose);
        exit_codes::of_error(&error)
    })
}

/// Prints what is wrong with the command line, or the help, and exits.
///
/// A value that an option does not understand is one line like any other error;
/// clap explains the rest, with the usage.
fn refuse(error: &clap::Error) -> ! {
    if error.kind() == ErrorKind::ValueValidation {
        report::error(&options::explain_bad_value(error), false);
        process::exit(exit_codes::CANNOT_RUN);
    }
    error.exit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        line().debug_assert();
    }
}
