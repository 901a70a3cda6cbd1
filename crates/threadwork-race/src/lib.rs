//! Finds data races, uses after free and double frees in threaded WebAssembly programs, as they
//! are: in any language, with or without debug information.
//!
//! [`load`] prepares a program, [`Race::watch`] has a process tell a [`Race`] what its threads
//! do, and [`Race::reports`] are what was found so far.
//!
//! ```
//! use threadwork_engine::{Engine, ProcessBuilder};
//!
//! # fn main() -> Result<(), threadwork_engine::Error> {
//! let engine = Engine::new()?;
//! // Two threads count without a lock.
//! let (module, race) = threadwork_race::load(&engine, br#"
//!     (module
//!       (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
//!       (import "env" "memory" (memory 1 1 shared))
//!       (func $count (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1))))
//!       (func (export "wasi_thread_start") (param i32 i32)
//!         (call $count)
//!         (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
//!         (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
//!       (func (export "_start")
//!         (drop (call $spawn (i32.const 0)))
//!         (call $count)
//!         (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))
//! "#)?;
//! let process = race.watch(ProcessBuilder::new(&module));
//! assert!(process.run()?.success());
//! let reports = race.reports();
//! assert_eq!(reports[0].address, 64);
//! println!("{}", reports[0]);
//! # Ok(())
//! # }
//! ```
//!
//! # What is found, and what is not
//!
//! An access races with another one to the same byte, by another thread, if one of them writes,
//! one of them is not atomic, and no chain of atomic operations, waits, spawns and joins orders
//! them: then nothing says which comes first. That is decided by what happened, not by which came
//! first by chance, so one run finds races that would show in one of a million; but only of code
//! that the run has reached. Every atomic operation of WebAssembly is sequentially consistent: an
//! ordering that is too weak in the source has become a strong one in the module, and is not
//! found. Loom and Miri look for those.
//!
//! # Map
//!
//! | module | holds |
//! |---|---|
//! | `clock` | vector clocks |
//! | `shadow` | what is remembered of each byte |
//! | `sync` | what the bytes by which threads synchronize say happened before |
//! | `blocks` | what the allocator has given and taken |
//! | `detector` | what a thread's operations mean for all of these |
//! | `report` | what was found, in words |
//! | `hooks` | the module's calls |
//! | `turns` | the same for threads that somebody else schedules |
//! | `suppressions` | what is not to be reported |

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod blocks;
mod clock;
mod detector;
mod hooks;
mod report;
mod shadow;
mod suppressions;
mod sync;
mod turns;

pub use hooks::{INSTRUMENT, Race, load};
pub use report::{Act, Block, Event, Report, ReportKind, Started};
pub use suppressions::{BadSuppression, Suppressions};
pub use turns::{Sites, Turns};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; what a thread has done that panicked meanwhile is whole enough for a report.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
