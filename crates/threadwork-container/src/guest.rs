//! The guest in a container: from the request to the code of its end.
//!
//! It runs when the container stands: within its namespaces and control groups, as its user,
//! with its capabilities and its root directory. What fails here is said on the container's
//! standard error, where its logs come from.
//!
//! Invariant: whatever happens, the process ends with a code of the table that `threadwork run
//! --help` prints. As the first of its namespace it takes no signal that it does not handle;
//! so it handles those that end.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::num::NonZero;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::available_parallelism;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::low_level;
use threadwork_engine::{
    Engine, ExitStatus, Limit, Limits, Module, Output, Process, ProcessBuilder, Stdin,
};

use crate::request::Request;

/// Names addresses that the program may accept connections at, separated by commas.
const LISTEN: &str = "THREADWORK_TCPLISTEN";

/// Says how a program that is asked to end is told: `stdin`, by the end of its standard input.
const STOP: &str = "THREADWORK_STOP";

/// Runs the guest and returns the code to exit with.
pub(crate) fn run(request: &Request) -> anyhow::Result<i32> {
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2] {
        // SAFETY: the handler only calls `_exit`, which one may call anywhere.
        unsafe { low_level::register(signal, move || end(signal)) }.context(CANNOT_HANDLE)?;
    }
    let stdin = match variable(request, STOP) {
        None => {
            // SAFETY: as above.
            unsafe { low_level::register(SIGTERM, || end(SIGTERM)) }.context(CANNOT_HANDLE)?;
            Stdin::Inherit
        }
        Some("stdin") => until_asked_to_end()?,
        Some(other) => anyhow::bail!("{STOP} can be `stdin`, not `{other}`"),
    };
    let status = start(request, stdin)?.wait();
    ending(&status);
    Ok(status.code())
}

const CANNOT_HANDLE: &str = "cannot handle signals";

fn end(signal: i32) {
    low_level::exit(128 + signal);
}

fn variable<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut variables = request.env.iter().filter_map(|it| it.split_once('='));
    variables.find_map(|(own, value)| (own == name).then_some(value))
}

/// A standard input that has nothing, and ends with the first SIGTERM. The second ends the
/// program.
fn until_asked_to_end() -> anyhow::Result<Stdin> {
    const NONE: i32 = -1;
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let writer = AtomicI32::new(writer.into_raw_fd());
    let asked = move || {
        // Relaxed: the number is all there is, and whoever takes it has taken it.
        match writer.swap(NONE, Ordering::Relaxed) {
            NONE => end(SIGTERM),
            // SAFETY: nobody else has the number any more.
            writer => drop(unsafe { OwnedFd::from_raw_fd(writer) }),
        }
    };
    // SAFETY: the handler only calls `close` and `_exit`, which one may call anywhere.
    unsafe { low_level::register(SIGTERM, asked) }.context(CANNOT_HANDLE)?;
    Ok(Stdin::Fd(reader.into()))
}

fn start(request: &Request, stdin: Stdin) -> anyhow::Result<Process> {
    let path = &request.program;
    let cannot_run = || format!("cannot run {}", path.display());
    let mut engine = Engine::builder().cache_dir(request.code.clone());
    if let Some(cores) = request.parallelism {
        let seen = available_parallelism().ok();
        let seen = seen.and_then(|seen| NonZero::<u32>::try_from(seen).ok());
        engine = engine.parallelism(seen.map_or(cores, |seen| cores.min(seen)));
    }
    if let Some(threads) = request.threads {
        engine = engine.max_workers(threads.saturating_add(1));
    }
    let engine = engine.build().with_context(cannot_run)?;
    let module = Module::from_file(&engine, path).with_context(cannot_run)?;
    let mut limits = Limits::default();
    limits.memory = request.memory;
    limits.threads = request.threads;
    let file = path.file_name().unwrap_or(path.as_os_str());
    let mut builder = ProcessBuilder::new(&module)
        .arg0(file.to_string_lossy())
        .args(&request.args)
        .stdin(stdin)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .limits(limits);
    for (dir, guest) in directories(&request.cwd) {
        builder = builder.preopen_dir(dir, guest);
    }
    for variable in &request.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        if ![LISTEN, STOP].contains(&name) {
            builder = builder.env(name, value);
        }
    }
    let addresses = variable(request, LISTEN).map(|addresses| addresses.split(','));
    for address in addresses.into_iter().flatten() {
        let listener = TcpListener::bind(address);
        let listener = listener.with_context(|| format!("{LISTEN}: {address}"))?;
        builder = builder.preopen_listener(listener);
    }
    builder.spawn().with_context(cannot_run)
}

/// The directories that the guest gets, each with its name there: the root, if that is the
/// working directory, too. Otherwise paths that do not begin with `/` are looked for in the
/// one called `.`, which wasi-libc does not tell from the root; so all that lies in the root goes
/// by its own name.
fn directories(cwd: &Path) -> Vec<(PathBuf, String)> {
    let root = Path::new("/");
    if cwd == root {
        return vec![(root.to_owned(), "/".to_owned())];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    // What the container's user may not open is not granted.
    let mut dirs: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| fs::read_dir(path).is_ok())
        .map(|path| (path.clone(), path.to_string_lossy().into_owned()))
        .collect();
    dirs.sort();
    dirs.push((cwd.to_owned(), ".".to_owned()));
    dirs
}

/// Says how a program ended, unless it ended itself.
fn ending(status: &ExitStatus) {
    let code = status.code();
    match status {
        ExitStatus::Exited(own) if *own != code => say(format_args!(
            "threadwork: the program {status}, which does not fit into 0 to 255: this is {code}"
        )),
        ExitStatus::Exited(_) => {}
        ExitStatus::LimitExceeded(exceeded) => {
            say(format_args!("threadwork: {status}"));
            let source = match exceeded.limit {
                Limit::Threads(_) => "the container's pids limit",
                Limit::Memory(_) => "the container's memory limit",
                _ => "a limit of the container",
            };
            say(format_args!("threadwork: {source} sets this limit"));
        }
        _ => say(format_args!("threadwork: {status}")),
    }
}

/// Says why a program could not be run.
pub(crate) fn say_error(error: &anyhow::Error) {
    let text = one_line(&format!("{error:#}"));
    say(format_args!("threadwork: error: {text}"));
}

/// The same text without its line breaks.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes a line to the container's standard error, without what a terminal would act on.
fn say(text: impl Display) {
    let acts = |character: char| character.is_control() && character != '\n';
    let text = text.to_string().replace(acts, "\u{fffd}");
    // There is nowhere left to say that this failed.
    let _ = writeln!(io::stderr(), "{text}");
}
