//! `threadwork run`: one program, from its file to its exit code.

mod invoke;
pub(crate) mod node;

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use threadwork_engine::{
    Engine, Error, ExitStatus, Limits, MAX_MODULE_SIZE, Module, Output, Process, ProcessBuilder,
    Stdin,
};

use crate::options::{self, DirMapping, EnvVar};
use crate::{engine, report, signals};

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

    /// Neither read nor write the cache of compiled modules
    #[arg(long)]
    no_cache: bool,

    /// The program, .wasm or .wat, and its arguments: all that follows is its own
    #[arg(value_names = ["FILE", "ARGS"], required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// Runs the program and returns the code to exit with.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<i32> {
    if args.compile_time().is_some() {
        report::hurry();
    }
    if args.host == Host::Node {
        return node::run(args);
    }
    if let Some(entry) = &args.invoke {
        return invoke::run(args, entry);
    }
    let interrupt = signals::Interrupt::new()?;
    let process = start(args)?;
    interrupt.ends(process.killer());
    let status = process.wait();
    report::ending(&status);
    if args.stats {
        report::stats(&process.stats());
    }
    Ok(status.code())
}

/// Runs the program as a tool has it: `load` makes its module, `watch` has the last word about
/// its process. Returns how it ended.
pub(crate) fn run_for_tool(
    args: &RunArgs,
    tool: &str,
    load: impl FnOnce(&Engine, &[u8]) -> Result<Module, Error>,
    watch: impl FnOnce(ProcessBuilder) -> ProcessBuilder,
) -> anyhow::Result<ExitStatus> {
    if args.host == Host::Node || args.invoke.is_some() || args.allow_precompiled {
        bail!(
            "{tool} runs a program's `_start`, from its .wasm or .wat file, on the engine: leave \
             out --host, --invoke and --allow-precompiled"
        );
    }
    let interrupt = signals::Interrupt::new()?;
    let (file, guest_args) = args.program()?;
    let builder = watch(prepare_with(args, file, load)?.args(guest_args));
    let process = builder.spawn().map_err(|error| cannot_run(file, error))?;
    interrupt.ends(process.killer());
    let status = process.wait();
    report::ending(&status);
    if args.stats {
        report::stats(&process.stats());
    }
    Ok(status)
}

fn start(args: &RunArgs) -> anyhow::Result<Process> {
    let (file, guest_args) = args.program()?;
    let process = prepare(args, file)?.args(guest_args).spawn();
    process.map_err(|error| cannot_run(file, error))
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
    let code = read(file)?;
    let cannot_run = |error| cannot_run(file, error);
    let time = args.compile_time();
    let engine = engine::build_with(!args.no_cache, args.stack, time).map_err(cannot_run)?;
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
        .arg0(program_name(file))
        .stdin(Stdin::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .limits(limits(args));
    let builder = args.variables.iter().try_fold(builder, give_variable)?;
    let builder = args.directories().into_iter().try_fold(builder, give_dir)?;
    let listeners = args.listeners()?.into_iter();
    Ok(listeners.fold(builder, ProcessBuilder::preopen_listener))
}

/// Why the file could not be run, or compiled.
pub(crate) fn cannot_compile(what: &str, file: &Path, error: Error) -> anyhow::Error {
    let file = file.display();
    match error {
        Error::CompileTime { limit } => anyhow::Error::new(error).context(format!(
            "cannot {what} {file}: compiling it takes longer than {limit:?}: raise --max-compile, \
             or make the program smaller (optimize, strip, split)"
        )),
        error => report::explain(format_args!("cannot {what} {file}"), error),
    }
}

fn cannot_run(file: &Path, error: Error) -> anyhow::Error {
    cannot_compile("run", file, error)
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

/// Bytes of the largest module.
const LARGEST: u64 = MAX_MODULE_SIZE as u64;

pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let name = file.display();
    if file.is_dir() {
        bail!("{name} is a directory: give the .wasm or .wat file in it");
    }
    let mut code = Vec::new();
    // A device may have no end.
    File::open(file)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut code))
        .map_err(|error| report::explain(format_args!("cannot read {name}"), error))?;
    if code.len() as u64 > LARGEST {
        bail!("{name} has more than {LARGEST} bytes, as no WebAssembly module may have");
    }
    if code.is_empty() {
        bail!("{name} is empty: did the build that writes it fail?");
    }
    Ok(code)
}

/// What the program sees as its own name: not where on the host it lies.
fn program_name(file: &Path) -> String {
    file.file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy()
        .into_owned()
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
