//! Everything that can go wrong before a program runs.
//!
//! What goes wrong while it runs is not an error of the host but the
//! [`ExitStatus`](crate::ExitStatus) of the process.

use crate::exit_status::ExitStatus;
use crate::limits::Limit;
use std::path::PathBuf;
use std::time::Duration;

/// Why the engine, a module or a process could not be made.
///
/// Each message is one line that names the cause and, where there is one, the
/// remedy; the chain of sources has the details.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Wasmtime refused the configuration.
    #[error("the engine cannot be configured")]
    Configuration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process cannot be profiled.
    #[error("there is no profile: {reason}")]
    NoProfile {
        /// Why, and where it could.
        reason: String,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The text format has a mistake.
    #[error("the text does not parse as WebAssembly: {message}")]
    Text {
        /// Where and what.
        message: String,
    },
    /// The module is not one that can run here.
    #[error(transparent)]
    Rewrite(#[from] threadwork_rewrite::RewriteError),
    /// Cranelift refused the module.
    #[error("the module does not compile: {message}")]
    Compile {
        /// What Wasmtime said.
        message: String,
    },
    /// The module may cost more to compile than the engine allows.
    #[error(
        "{whose} has {found} {of}, more than the {limit} that this engine compiles \
         (CompileLimits::{name}): raise the limit, or make it smaller (optimize, strip, split)"
    )]
    CompileLimit {
        /// The module, or which of its parts.
        whose: String,
        /// How many it has.
        found: u64,
        /// Of what.
        of: &'static str,
        /// The limit.
        limit: u64,
        /// The field of [`CompileLimits`](crate::CompileLimits).
        name: &'static str,
    },
    /// Compiling the module took too long, and was ended.
    #[error(
        "compiling the module takes longer than the {limit:?} that it may take \
         (CompilerProcess::time): raise that, or make it smaller (optimize, strip, split)"
    )]
    CompileTime {
        /// How long it may take.
        limit: Duration,
    },
    /// Compiling the module took too much memory, and was ended.
    #[error(
        "compiling the module takes more than the {limit} bytes of memory that it may take \
         (CompilerProcess::memory): raise that, or make it smaller (optimize, strip, split)"
    )]
    CompileMemory {
        /// How many bytes it may take.
        limit: u64,
    },
    /// The engine's [`CompilerProcess`](crate::CompilerProcess) did not do its work.
    #[error(
        "the module cannot be compiled by {}: {reason}",
        program.display()
    )]
    CompilerProcess {
        /// The program.
        program: PathBuf,
        /// What happened, and what to do.
        reason: String,
    },
    /// [`Module::deserialize`](crate::Module::deserialize) was given something else.
    #[error(
        "this is not machine code as Module::precompile makes it (threadwork compile): {reason}"
    )]
    NotPrecompiled {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Machine code for another engine.
    #[error(
        "the machine code was made by another version, with other settings or for another \
         processor: precompile the module again, where it is to run"
    )]
    PrecompiledElsewhere,
    /// The module spawns threads, but its memory cannot be shared with them.
    #[error(
        "the module imports wasi.thread-spawn, but it has no shared memory: \
         link it with --shared-memory --import-memory --max-memory=BYTES"
    )]
    MemoryNotShared,
    /// The module spawns threads, but has no entry for them.
    #[error(
        "the module imports wasi.thread-spawn, but does not export \
         wasi_thread_start (param i32 i32): link it for wasm32-wasip1-threads"
    )]
    NoThreadStart,
    /// Nothing to run.
    #[error("the module exports no function `{name}`: {remedy}")]
    NoEntry {
        /// The function that was looked for.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The entry cannot be called as such.
    #[error("the exported function `{name}` has the type {found}, not {expected}")]
    EntryType {
        /// The function.
        name: String,
        /// Its type.
        found: String,
        /// The type it must have.
        expected: &'static str,
    },
    /// Imports that nobody provides.
    #[error("nothing provides the import{} {}: {remedy}", if names.len() == 1 { "" } else { "s" }, list(names))]
    MissingImports {
        /// `module.name` of each.
        names: Vec<String>,
        /// The likely remedy.
        remedy: &'static str,
    },
    /// An import has another type than what is provided.
    #[error("an import does not fit: {message}")]
    ImportType {
        /// What Wasmtime said.
        message: String,
    },
    /// The memory does not fit into the limit, or into the machine.
    #[error("the module's memory of at least {minimum} bytes cannot be had: {reason}")]
    Memory {
        /// What the module asks for at start.
        minimum: u64,
        /// Why not.
        reason: String,
    },
    /// The module was refused when its first instance was made.
    #[error("the module cannot be instantiated: {message}")]
    Instantiate {
        /// What Wasmtime said.
        message: String,
    },
    /// A limit under which nothing could run.
    #[error("{limit} lets nothing run: give at least {}", least(limit))]
    ZeroLimit {
        /// The limit.
        limit: Limit,
    },
    /// An argument, a variable of the environment or the name of a directory is none that a
    /// program can be given: it would get another one.
    #[error("{what} {text:?} cannot be given to the program: {reason}")]
    Given {
        /// Which of them.
        what: &'static str,
        /// As it was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A directory cannot be handed to the guest.
    #[error("cannot open the directory {} for the guest: {reason}", path.display())]
    Preopen {
        /// The directory on the host.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A standard stream cannot be set up, or a thread cannot be started.
    #[error("the system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A runtime has nothing that its workers could share.
    #[error(
        "the module has no shared memory for the workers: declare it (`memory 1 16 shared`), \
         or link with --shared-memory --import-memory --max-memory=BYTES"
    )]
    NoSharedMemory,
    /// A runtime cannot give each worker what it must have for itself.
    #[error(
        "the module has {what}, which each worker must have for itself, but does not export \
         `{name}`: link it with --export={name}"
    )]
    Unexported {
        /// The export that is missing.
        name: &'static str,
        /// What it is for.
        what: &'static str,
    },
    /// Sizes of a runtime with which nothing could run.
    #[error("the runtime cannot be made: {what}")]
    RuntimeConfig {
        /// What is wrong, and what to do.
        what: &'static str,
    },
    /// The module's start function or `_initialize` ended a runtime that was about to begin.
    #[error("the module ended when it was started: {status}")]
    Start {
        /// How.
        status: Box<ExitStatus>,
    },
    /// An embedder's function in [`ProcessBuilder::linker`](crate::ProcessBuilder::linker) failed.
    #[error("the host functions cannot be defined: {message}")]
    Linker {
        /// What it said.
        message: String,
    },
    /// Not available on this system.
    #[error("{what} is not available on this system: {remedy}")]
    Unsupported {
        /// The feature.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(String::as_str);
    let mut list = shown.collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        list.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    list
}

fn least(limit: &Limit) -> &'static str {
    match limit {
        Limit::Threads(_) => "one thread",
        Limit::Memory(_) => "one page (65536 bytes)",
        Limit::FileBytes(_) | Limit::Output(_) => "one byte",
        Limit::WallTime(_) | Limit::CpuTime(_) => "one nanosecond",
        Limit::OpenFiles(_) => "one file",
    }
}

/// Why an instance could not be made for a thread that met this limit meanwhile.
pub(crate) fn no_instance(error: &wasmtime::Error, limit: Option<Limit>) -> String {
    let mut message = one_line(error);
    if let Some(limit) = limit {
        message.push_str(&format!(": {limit} was reached: raise it"));
    }
    message
}

/// Why the system has no memory, and what can be done where it is the address space that is short:
/// of that a memory of any size takes some gigabytes.
pub(crate) fn no_memory(error: &wasmtime::Error) -> String {
    let is_full = |cause: &rustix::io::Errno| *cause == rustix::io::Errno::NOMEM;
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    let remedy = match causes.any(is_full) {
        true => "; each memory takes 4 GiB of address space: raise the limit on it (ulimit -v)",
        false => "",
    };
    one_line(error) + remedy
}

/// Wasmtime's errors print their chain on several lines; ours are one line.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
