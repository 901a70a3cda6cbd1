//! The runtimes that compete in the engine suite.
//!
//! A contestant is a child process: this binary, as `threadwork-bench host NAME
//! PROGRAM ARGS...`, which runs the program under that host with its own standard
//! streams, and may use the folder of the workloads. So each runtime has a process of its own, with its own memory to be
//! weighed and its own CPU time to be counted, a crash or a hang of one of them is
//! a line in the table, and every family is written once for all of them.
//!
//! # To add a runtime
//!
//! One row in [`HOSTS`], and its function: it runs the wasm program with the given
//! arguments and the standard streams inherited, and returns its exit code.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use threadwork_engine::{Engine, ExitStatus, Module, Output, ProcessBuilder, Stdin, Stopping};

use super::place::cache_folder;
use super::raw_wasmtime;

/// For which target a host wants its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A binary for this machine.
    Native,
    /// A threaded WebAssembly module: `wasi.thread-spawn`, WASI preview 1.
    Wasm,
}

/// A runtime.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// The name of the contestant.
    pub name: &'static str,
    /// What it runs.
    pub target: Target,
    /// Runs the program to its end, and returns its exit code.
    pub run: fn(&Path, &[String]) -> Result<u8>,
}

/// All runtimes. The first one is the baseline of every case.
pub const HOSTS: &[Host] = &[
    Host {
        name: "native",
        target: Target::Native,
        run: native,
    },
    Host {
        name: "threadwork",
        target: Target::Wasm,
        run: |program, args| threadwork(program, args, Stopping::default()),
    },
    Host {
        name: "wasmtime",
        target: Target::Wasm,
        run: raw_wasmtime::run,
    },
];

/// Threadwork's engine for guests that never have to be stopped while they compute.
/// It competes in the family `interruption` only.
pub const UNINTERRUPTIBLE: Host = Host {
    name: "uninterruptible",
    target: Target::Wasm,
    run: |program, args| threadwork(program, args, Stopping::Never),
};

/// Runs a program under the host of that name: the child's side.
///
/// # Errors
///
/// If there is no such host, or it cannot run the program.
pub fn run(name: &str, program: &Path, args: &[String]) -> Result<u8> {
    let mut hosts = HOSTS.iter().chain([&UNINTERRUPTIBLE]);
    let host = hosts.find(|host| host.name == name);
    (host.with_context(|| format!("no host {name}"))?.run)(program, args)
}

/// The machine itself. On unix this process becomes the program, so that its number,
/// its memory and its clock are the program's.
fn native(program: &Path, args: &[String]) -> Result<u8> {
    let mut command = std::process::Command::new(program);
    command.args(args);
    #[cfg(unix)]
    let result = Err(std::os::unix::process::CommandExt::exec(&mut command));
    #[cfg(not(unix))]
    let result = command.status();
    let status: std::process::ExitStatus =
        result.with_context(|| format!("cannot run {}", program.display()))?;
    Ok(status
        .code()
        .and_then(|code| code.try_into().ok())
        .unwrap_or(1))
}

/// Threadwork's engine.
fn threadwork(program: &Path, args: &[String], stopping: Stopping) -> Result<u8> {
    let engine = Engine::builder()
        .cache_dir(Some(cache_folder()))
        .stopping(stopping)
        .build()?;
    let module = Module::from_file(&engine, program)?;
    let status = ProcessBuilder::new(&module)
        .args(args)
        .preopen_dir(".", "/")
        .stdin(Stdin::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .run()?;
    match status {
        ExitStatus::Exited(code) => Ok(code.try_into().unwrap_or(1)),
        status => Err(anyhow!("{status}")),
    }
}
