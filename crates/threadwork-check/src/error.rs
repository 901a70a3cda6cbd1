//! Why a program cannot be explored, or a schedule not be replayed.

use std::time::Duration;

/// What goes wrong that is no failure of the program's own.
///
/// Each message is one line that names the cause and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text format has a mistake.
    #[error("the text does not parse as WebAssembly: {message}")]
    Text {
        /// Where and what.
        message: String,
    },
    /// The module is not one that can be prepared.
    #[error(transparent)]
    Rewrite(#[from] threadwork_rewrite::RewriteError),
    /// Wasmtime refused the module.
    #[error("the module does not compile: {message}")]
    Compile {
        /// What Wasmtime said.
        message: String,
    },
    /// There is nothing to schedule.
    #[error(
        "the module has no shared memory, so it has one thread and one schedule: \
         build it for wasm32-wasip1-threads"
    )]
    NotThreaded,
    /// The module needs more of memories than is supported here.
    #[error("the module has {what}, which cannot be explored: `threadwork run` runs it")]
    Unsupported {
        /// What it has.
        what: &'static str,
    },
    /// Nothing to run.
    #[error("the module exports no function `{name}`: {remedy}")]
    NoEntry {
        /// What is missing.
        name: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A function that cannot be called as it has to be.
    #[error(
        "the function `{name}` has to have {wanted}: build the module for wasm32-wasip1-threads"
    )]
    EntryType {
        /// Its name.
        name: &'static str,
        /// The right type.
        wanted: &'static str,
    },
    /// An import that nobody provides.
    #[error(
        "nothing provides the import {name}: programs are explored with WASI preview 1 and \
         wasi.thread-spawn only"
    )]
    MissingImport {
        /// `module.name` of it.
        name: String,
    },
    /// The machine has no room for the guest.
    #[error("the program cannot be started: {message}")]
    Start {
        /// What Wasmtime said.
        message: String,
    },
    /// A thread computed for long without a scheduling point where a failure was to be repeated.
    #[error(
        "thread {thread} computes for {time:?} without a scheduling point, and no other thread can \
         run meanwhile: give the program less to do, or make its loop use an atomic operation"
    )]
    Stuck {
        /// The thread.
        thread: u32,
        /// For how long.
        time: Duration,
    },
    /// Twice the same schedule, and two results.
    #[error(
        "schedule {schedule} gave two different results when it was run twice, so nothing found \
         here could be replayed: this is a defect of threadwork-check, please report it with the program"
    )]
    NotDeterministic {
        /// Its number.
        schedule: u64,
    },
    /// The text is not a replay file.
    #[error("this is not a replay file of threadwork explore: {reason}")]
    NotAReplay {
        /// What is wrong with it.
        reason: String,
    },
}

/// What Wasmtime says, in one line.
pub(crate) fn line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
