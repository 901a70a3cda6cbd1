//! `threadwork run`: one program, from its file to its exit code.
//!
//! Its options are here, and what becomes of them; [`start`] picks what runs the program.

mod invoke;
pub(crate) mod node;
pub(crate) mod start;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Command, ValueEnum};
use threadwork_engine::{Engine, Error, Limits, Module, Output, ProcessBuilder, Stdin};

use crate::options::{self, DirMapping, EnvVar};
use crate::program::{self, cannot_compile};
use crate::{engine, report};

/// Said under the options of `threadwork run --help`.
const CARGO_HELP: &str = "\
As Cargo's runner, for `cargo run` and `cargo test` with the target \
wasm32-wasip1-threads:
  export CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER=\"threadwork run --dir .\"
Without `--dir .` the program sees no files at all.";

/// What runs a program.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Host {
    /// This program's own engine
    Engine,
    /// Node, with the runtime of web pages
    Node,
}

/// The command line of `threadwork run`.
#[derive(Args)]
#[command(
    override_usage = "threadwork run [OPTIONS] <FILE> [ARGS]...",
    after_help = format!("{CARGO_HELP}\n\n{}", crate::exit_codes::help())
)]
pub(crate) struct RunArgs {
    /// What to run it on
    #[arg(long, value_enum, value_name = "HOST", default_value_t = Host::Engine)]
    host: Host,

    /// Call this exported function with ARGS, instead of running `_start`, and print what
    /// it returns; any module with a shared memory will do
    #[arg(long, value_name = "NAME")]
    invoke: Option<String>,

    /// Call it once on each of so many workers, with the worker's number, from 0, in front
    /// of ARGS; a line is printed for each
    #[arg(long, value_name = "N", requires = "invoke", value_parser = options::parse_workers)]
    workers: Option<u32>,

    /// Let the program use a directory, under its own name or as GUEST; paths that do not
    /// begin with `/` are looked for in the one called `.` or `/`, the last given of the two.
    /// With `:ro` at the end the program may only read there
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]", value_parser = options::parse_grant)]
    dirs: Vec<DirMapping>,

    /// Let the program accept connections to an address: a socket that listens there is its
    /// descriptor after those of the directories, 3 if there are none
    #[arg(long = "tcplisten", value_name = "ADDRESS")]
    listen: Vec<String>,

    /// Set an environment variable; without a value, pass on the one set here
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = options::parse_env)]
    variables: Vec<EnvVar>,

    /// Most threads at one time, besides the main one
    #[arg(long, value_name = "N", value_parser = options::parse_count)]
    threads: Option<u32>,

    /// Most linear memory and tables in sum, for example 64KiB, 16M or 1G
    #[arg(long, value_name = "SIZE", value_parser = options::parse_size)]
    max_memory: Option<u64>,

    /// Native stack for the calls of each thread: 16M unless set; on --host engine
    #[arg(long, value_name = "SIZE", value_parser = options::parse_stack)]
    stack: Option<usize>,

    /// Longest time to run, for example 500ms, 10s or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration)]
    timeout: Option<Duration>,

    /// Most CPU time, of all threads together
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration)]
    max_cpu: Option<Duration>,

    /// Longest time to compile: 10s unless set if there is a --timeout or --max-cpu, else none
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration)]
    max_compile: Option<Duration>,

    /// Most files and directories open at one time
    #[arg(long, value_name = "N", value_parser = options::parse_count)]
    max_open_files: Option<u32>,

    /// Most bytes written to files in all, for example 64KiB, 16M or 1G
    #[arg(long, value_name = "SIZE", value_parser = options::parse_size)]
    max_file_bytes: Option<u64>,

    /// Most bytes of standard output and standard error together: a program that writes more
    /// is ended
    #[arg(long, value_name = "SIZE", value_parser = options::parse_size)]
    max_output: Option<u64>,

    /// Let FILE be machine code that `threadwork compile` has made: nothing checks what it does
    #[arg(long)]
    allow_precompiled: bool,

    /// Print at the end what the program used
    #[arg(long)]
    stats: bool,

    /// Record what its threads do, and write the profile to this directory when it ends,
    /// however it does: a summary, folded stacks of processor time and of waits, samples for
    /// Firefox' profiler, and a timeline for Perfetto; on --host engine
    #[arg(long, value_name = "OUT", conflicts_with = "invoke")]
    profile: Option<PathBuf>,

    /// Tell Linux' `perf` the names of the program's functions (/tmp/perf-PID.map); on --host
    /// engine
    #[arg(long)]
    perf_map: bool,

    /// Neither read nor write the cache of compiled modules
    #[arg(long)]
    no_cache: bool,

    /// The program, .wasm or .wat, and its arguments: all that follows is its own
    #[arg(value_names = ["FILE", "ARGS"], required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// Options of `run` that another command refuses are not in its help.
pub(crate) fn hide(command: Command, options: &[&str]) -> Command {
    let hide = |command: Command, option: &&str| command.mut_arg(*option, |arg| arg.hide(true));
    options.iter().fold(command, hide)
}

/// The program's process, with everything but its arguments.
fn prepare(args: &RunArgs, file: &Path) -> anyhow::Result<ProcessBuilder> {
    prepare_with(args, file, Module::new)
}

/// The same, with what makes a module of code that is not compiled yet.
fn prepare_with(
    args: &RunArgs,
    file: &Path,
    load: impl FnOnce(&Engine, &[u8]) -> Result<Module, Error>,
) -> anyhow::Result<ProcessBuilder> {
    let code = program::read(file)?;
    let cannot_run = |error| program::cannot_run(file, error);
    let time = args.compile_time();
    let settings = engine::Settings {
        stack: args.stack,
        compile_time: time,
        perf_map: args.perf_map,
    };
    let engine = engine::build_with(!args.no_cache, &settings).map_err(cannot_run)?;
    let module = match Module::is_precompiled(&code) {
        false => load(&engine, &code),
        // SAFETY: the user has said that it may run as it is.
        true if args.allow_precompiled => unsafe { Module::deserialize(&engine, &code) },
        true => bail!(
            "{} is machine code, which could do whatever you can: run it with \
             --allow-precompiled if you trust where it comes from",
            file.display()
        ),
    };
    let module = module.map_err(|error| cannot_compile("run", file, error))?;
    let builder = ProcessBuilder::new(&module)
        .arg0(program::name(file))
        .stdin(Stdin::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .limits(limits(args));
    let builder = args.variables.iter().try_fold(builder, give_variable)?;
    let builder = args.directories().into_iter().try_fold(builder, give_dir)?;
    let listeners = args.listeners()?.into_iter();
    Ok(listeners.fold(builder, ProcessBuilder::preopen_listener))
}

impl RunArgs {
    /// How long compiling may take. Programs that are to end by a time are not to be kept
    /// from it by their compiler; but they may run for less than it takes to compile them.
    fn compile_time(&self) -> Option<Duration> {
        const UNLESS_SET: Duration = Duration::from_secs(10);
        let is_limited = self.timeout.or(self.max_cpu).is_some();
        self.max_compile.or(is_limited.then_some(UNLESS_SET))
    }

    /// The file, and what follows it.
    fn program(&self) -> anyhow::Result<(&Path, &[String])> {
        let (file, rest) = self.command.split_first().context("no file given")?;
        Ok((Path::new(file), rest))
    }

    /// The directories that the program gets: of those under one name the last.
    fn directories(&self) -> Vec<&DirMapping> {
        let is_last = |(place, dir): &(usize, &DirMapping)| {
            let mut later = self.dirs[place + 1..].iter();
            !later.any(|other| other.guest == dir.guest)
        };
        let dirs = self.dirs.iter().enumerate().filter(is_last);
        dirs.map(|(_, dir)| dir).collect()
    }

    /// The sockets that listen for the program.
    fn listeners(&self) -> anyhow::Result<Vec<TcpListener>> {
        let listen = |address: &String| {
            let listener = TcpListener::bind(address);
            listener.map_err(|error| report::explain(format_args!("--tcplisten {address}"), error))
        };
        self.listen.iter().map(listen).collect()
    }
}

fn limits(args: &RunArgs) -> Limits {
    let mut limits = Limits::default();
    limits.threads = args.threads;
    limits.memory = args.max_memory;
    limits.wall_time = args.timeout;
    limits.cpu_time = args.max_cpu;
    limits.open_files = args.max_open_files;
    limits.file_bytes = args.max_file_bytes;
    limits.output = args.max_output;
    limits
}

fn give_variable(builder: ProcessBuilder, var: &EnvVar) -> anyhow::Result<ProcessBuilder> {
    Ok(match var.resolve()? {
        Some(value) => builder.env(&var.name, value),
        None => builder,
    })
}

fn give_dir(builder: ProcessBuilder, dir: &DirMapping) -> anyhow::Result<ProcessBuilder> {
    if !dir.host.is_dir() {
        bail!("--dir {}: there is no such directory", dir.host.display());
    }
    Ok(match dir.read_only {
        true => builder.preopen_dir_read_only(&dir.host, &dir.guest),
        false => builder.preopen_dir(&dir.host, &dir.guest),
    })
}
