//! The benchmark harness of Threadwork: every figure that the project publishes
//! comes from here.
//!
//! # The idea
//!
//! A machine is noisy: its clock, its neighbours and its caches change from second
//! to second. So a figure is never compared with a figure of another run, or of
//! another minute. In each *round* every contestant gives one sample, and the ratio
//! to the baseline is taken inside the round; the result is the median of those
//! ratios. The order inside a round changes from round to round, by a fixed seed,
//! so that nobody always runs behind the same one.
//!
//! ```text
//!  Suite  engine
//!  └─ Case  spawn-join                       a goal: threadwork at least 10 times faster than native
//!     ├─ contestant  native                  baseline     ┐ round 1: native, threadwork, wasmtime
//!     ├─ contestant  threadwork                           │ round 2: threadwork, wasmtime, native
//!     └─ contestant  wasmtime                             ┘ ...
//! ```
//!
//! # The rules
//!
//! - A sample is a *cost*: time for an operation, bytes for a thread. Lower is
//!   better, everywhere. A throughput is stated as its inverse.
//! - A contestant that cannot be set up is a row that says why. It is no failure:
//!   not every machine has every runtime.
//! - A contestant that was set up and then gives an error, or an answer that differs
//!   from the others', makes the case fail: no figures, a loud line, exit code 1. A
//!   fast wrong answer is not a result.
//! - A goal that is missed is said so. It is no failure: the figure is the news.
//!
//! # The map
//!
//! From the ground up: a module uses only those of the rows before its own, and no modules use
//! each other in a circle. The crate `floors` of the repository holds it to that.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | data | [`statistics`] | median, p10, p90, ratios |
//! | | `case` | what is measured: [`Suite`], [`Case`], [`Contestant`], [`Goal`] |
//! | system | `cpu` | CPU time and cores |
//! | | `child` | a child process that speaks lines |
//! | | `machine` | what the machine is |
//! | rounds | `run` | how it is measured: the rounds, their order, the check of the answers |
//! | outputs | `table` | for the terminal |
//! | | `json` | for the archive |
//! | | `plot` | for the documentation |
//! | suites | `engine` | the engine suite: the families, and the table of [`engine::hosts`] |
//! | | `fork_join` | joins, loops, sorts and their rivals |
//! | | `memory` | thread-local storage, shared memory, threads and their rivals |
//! | | `pool` | the thread pool and its rivals |
//! | | `alloc` | the allocator and its rivals |
//! | | `sync` | the primitives and their rivals |
//! | front | `cli` | the command line |
//!
//! The programs that are measured live in `workloads/`, a workspace of its own, so that
//! one source is built for the machine and for wasm. Those of the engine suite have no
//! dependencies; those of the sync suite have the rivals.
//!
//! # To add
//!
//! - a runtime to the engine suite: one row in [`engine::hosts::HOSTS`]; every
//!   family then has it as a contestant.
//! - a workload: one function in `workloads/src`, one row in its table, one line in
//!   the family's file under `src/engine/`.
//! - a suite: a function that returns a [`Suite`], one row in [`SUITES`].
//!
//! # Example
//!
//! ```
//! use threadwork_bench::{Case, Goal, Options, Sample, Unit, run};
//!
//! let case = Case::new("increment", Unit::Nanoseconds)
//!     .contestant("native", || Ok(Box::new(|| Ok(Sample::new(2.0).answer(42)))))
//!     .contestant("wasm", || Ok(Box::new(|| Ok(Sample::new(3.0).answer(42)))))
//!     .goal(Goal::at_most("wasm", 2.0, "native"));
//! let report = run::case(case, &Options::default(), &mut |_| ());
//! assert_eq!(report.failure, None);
//! assert_eq!(report.goals[0].reached, Some(true));
//! ```

pub mod alloc;
pub mod case;
pub mod child;
pub mod cli;
pub mod cpu;
pub mod engine;
pub mod fork_join;
pub mod json;
pub mod machine;
pub mod memory;
pub mod plot;
pub mod pool;
pub mod run;
pub mod statistics;
pub mod sync;
pub mod table;

pub use case::{Bound, Case, Contestant, Effort, Goal, Sample, Suite, SuiteEntry, Unit};
pub use run::Options;

/// All suites of the project.
pub const SUITES: &[SuiteEntry] = &[
    SuiteEntry {
        name: "engine",
        about: "threads, sleeping and waking, computing, memory, starting, killing: against native code",
        build: engine::suite,
    },
    SuiteEntry {
        name: "sync",
        about: "the primitives of threadwork-sync against std's and the best crates', natively and as wasm",
        build: sync::suite,
    },
    SuiteEntry {
        name: "memory",
        about: "thread-local storage, shared memory and threads of the library, against std's and the best crate's",
        build: memory::suite,
    },
    SuiteEntry {
        name: "alloc",
        about: "the allocator against std's and the best ones, natively and as wasm",
        build: alloc::suite,
    },
    SuiteEntry {
        name: "pool",
        about: "the thread pool against the best crates', natively and as wasm",
        build: pool::suite,
    },
    SuiteEntry {
        name: "fork_join",
        about: "joins, parallel loops and sorts against rayon's and chili's, natively and as wasm",
        build: fork_join::suite,
    },
];
