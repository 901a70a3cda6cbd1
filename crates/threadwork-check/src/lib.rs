//! Finds the schedule that breaks a threaded WebAssembly program, and replays it.
//!
//! A program with threads has as many behaviours as there are orders in which its threads can
//! take turns, and a run shows one of them. [`Explorer`] runs a program, which is any
//! `.wasm` for `wasm32-wasip1-threads`, in thousands of orders, all threads on the calling one, and stops
//! at the first that fails: by a trap, a panic, an exit code, a deadlock, a livelock, or
//! an output that is not the expected one. The [`Failure`] says which thread had to be interrupted
//! where, and its [`Replay`] does it again.
//!
//! ```
//! use threadwork_check::{Explorer, Program};
//!
//! // Two threads add 1 to a word, each with a load and a store: the second may load too early.
//! let program = Program::new(br#"
//!     (module
//!       (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
//!       (import "env" "memory" (memory 1 1 shared))
//!       (func $add
//!         (i32.atomic.store (i32.const 0)
//!           (i32.add (i32.atomic.load (i32.const 0)) (i32.const 1))))
//!       (func (export "wasi_thread_start") (param i32 i32)
//!         (call $add)
//!         (i32.atomic.store (i32.const 4) (i32.const 1))
//!         (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))
//!       (func (export "_start")
//!         (drop (call $spawn (i32.const 0)))
//!         (call $add)
//!         (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))
//!         (if (i32.ne (i32.atomic.load (i32.const 0)) (i32.const 2)) (then unreachable))))
//! "#)?;
//! let report = Explorer::new(&program).schedules(1_000).run()?;
//! let failure = report.failure.expect("one add is lost");
//! assert_eq!(failure.preemptions(), 1);
//! println!("{failure}");
//! # Ok::<(), threadwork_check::Error>(())
//! ```
//!
//! # What a schedule is
//!
//! Threads take turns at *scheduling points*: atomic operations, waits, notifies, spawns and calls of
//! WASI. What is between two of them happens at once, as it does for race-free programs.
//! Memory is sequentially consistent, as it is for all atomics of WebAssembly. The memory allocator
//! and the internals of libc have no points.
//!
//! Everything else that could differ between two runs is fixed: the clock advances with each
//! step, and jumps when all threads sleep; a timed wait may end early, as if the others had been
//! slow; random numbers have a seed; there are no files; standard output is kept.
//!
//! # Modules
//!
//! | module | holds |
//! |---|---|
//! | `program` | a module, ready to be explored |
//! | `imports`, `races`, `wasi` | what it may call |
//! | `execution` | its threads as fibers, from beginning to end |
//! | `world` | the scheduler: who can run, who waits, what time it is |
//! | `strategy` | who goes on |
//! | `explore` | one schedule after the other |
//! | `minimize` | the preemptions that a failure needs |
//! | `failure` | what it looks like |
//! | `replay` | its file |
//! | `operation`, `choices`, `random`, `trace`, `guest_memory`, `error` | what these speak of |

#![deny(missing_docs)]

mod choices;
mod error;
mod execution;
mod explore;
mod failure;
mod guest_memory;
mod imports;
mod minimize;
mod operation;
mod program;
mod races;
mod random;
mod replay;
mod strategy;
mod trace;
mod wasi;
mod world;

pub use error::Error;
pub use explore::{Explorer, Report, StrategyKind};
pub use failure::{Failure, FailureKind};
pub use program::Program;
pub use replay::{Replay, Replayed};
pub use threadwork_race::ReportKind;
