//! Runs threaded WebAssembly programs as isolated processes inside a Rust program.
//!
//! A *process* is a module, its linear memory, its threads, its files and its
//! limits. Its threads come from `wasi.thread-spawn`, which is what `std::thread`,
//! `rayon` and pthreads become on `wasm32-wasip1-threads`. However a process ends
//! (return, exit, trap, deadlock, limit, kill), all of its threads are gone
//! afterwards, its files are closed, and the host program goes on.
//!
//! ```
//! use threadwork_engine::{Engine, Module, Output, ProcessBuilder};
//!
//! # fn main() -> Result<(), threadwork_engine::Error> {
//! let engine = Engine::new()?;
//! let module = Module::new(&engine, br#"
//!     (module
//!       (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
//!       (import "env" "memory" (memory 1 1 shared))
//!       (func (export "wasi_thread_start") (param $id i32) (param $word i32)
//!         (i32.atomic.store (local.get $word) (i32.const 1))
//!         (drop (memory.atomic.notify (local.get $word) (i32.const 1))))
//!       (func (export "_start")
//!         (drop (call $spawn (i32.const 64)))
//!         (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1)))))
//! "#)?;
//! let process = ProcessBuilder::new(&module).stdout(Output::Inherit).spawn()?;
//! let status = process.wait();
//! assert!(status.success(), "{status}");
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! From the ground up: a module uses only those of the rows before its own, and no modules
//! use each other in a circle. the crate `floors` of the repository holds it to that.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | data | `lock` | how a mutex is taken |
//! | | `limits` | [`Limits`]: what a process may use |
//! | | `backtrace` | [`Backtrace`]: frames in the terms of the user's file |
//! | | `panic_message` | [`PanicMessage`]: what Rust prints of a panic |
//! | | `exit_status` | [`ExitStatus`]: how a process ended |
//! | | `error` | [`Error`]: what goes wrong before a program runs |
//! | | `compile_limits` | [`CompileLimits`]: what a module may cost to compile |
//! | | `stats` | [`Stats`]: what a process has done |
//! | | `events` | what happens, for the crate `tracing` |
//! | | `processes` | [`ProcessInfo`], [`EngineStats`]: the processes that run, and what became of the others |
//! | memory | `linear_memory` | shared memories, their words, and the arena where all sleep who wait for them |
//! | | `poll_page` | what stops threads that compute |
//! | machine | `machine` | operating-system threads, used again; the watchdog; clocks of CPU time |
//! | threads | `recorder` | what threads of a profiled process do |
//! | | `thread` | one guest thread as the host sees it |
//! | | `wasi` | WASI preview 1, for whatever calls it |
//! | process | `code` | a compiled module as its processes see it |
//! | | `profile` | [`Profile`]: what was recorded, for people and for their tools |
//! | | `process` | what the threads of a process share: their ending, their table, their limits, their instances |
//! | module | `engine` | [`Engine`]: compiler settings, host functions, the machine |
//! | | `cache` | compiled modules on disk |
//! | | `precompiled` | machine code in a file of its own |
//! | | `module` | [`Module`]: checked, rewritten, compiled |
//! | | `module_map` | [`ModuleMap`]: modules by name, each compiled once |
//! | embedder | [`shared_memory`] | [`SharedMemory`]: what the host does with a guest's memory |
//! | | `launch` | [`ProcessBuilder`], [`Process`], and the main thread of a program |
//! | | [`runtime`] | [`ThreadRuntime`]: a pool of workers for a module's exported functions |
//! | tests | `conformance` | a rewritten module means what the module means |
//!
//! Waits and notifies sleep in [`threadwork_parking`]; the module is rewritten to
//! call it by [`threadwork_rewrite`].
//!
//! # Isolation
//!
//! A guest reaches only what its [`ProcessBuilder`] granted. Wasmtime does not count
//! shared memories among what it gives security advice for, so put code that may be
//! hostile behind a second wall, such as a container.
//!
//! [`EngineBuilder::untrusted`] and [`Limits::untrusted`] are settings for code from
//! strangers, and [`CompilerProcess`] bounds what compiling it costs. What they hold and what they do not is said in the repository's
//! `docs/untrusted.md`.

#![deny(missing_docs)]

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod backtrace;
mod cache;
mod code;
mod compile_limits;
#[cfg(test)]
mod conformance;
mod engine;
mod error;
mod events;
mod exit_status;
mod launch;
mod limits;
mod linear_memory;
mod lock;
mod machine;
mod module;
mod module_map;
mod panic_message;
mod poll_page;
mod precompiled;
mod process;
mod processes;
mod profile;
mod recorder;
pub mod runtime;
pub mod shared_memory;
mod stats;
mod thread;
mod wasi;

#[doc(hidden)]
pub use backtrace::Symbols;
pub use backtrace::{Backtrace, Frame};
pub use compile_limits::CompileLimits;
pub use engine::{Engine, EngineBuilder, Stopping};
pub use error::Error;
pub use exit_status::{DeadlockReport, ExitStatus, LimitExceeded, Sleeper, Trap};
pub use launch::{CallError, Exited, Killer, Process, ProcessBuilder};
pub use limits::{Limit, Limits};
pub use linear_memory::{Integer, Number};
pub use machine::CompilerProcess;
#[doc(hidden)]
pub use machine::language;
pub use module::{Module, Sites};
pub use module_map::ModuleMap;
pub use panic_message::PanicMessage;
pub use process::ThreadContext;
pub use processes::{EngineStats, ProcessInfo};
pub use profile::{Profile, Writing};
pub use recorder::ProfileOptions;
pub use runtime::{
    ExecuteError, Priority, Results, RuntimeBuilder, RuntimeConfig, Task, TaskError, TaskHandle,
    TaskId, ThreadRuntime, WorkerStatus,
};
pub use shared_memory::{
    AtomicBatch, BatchResult, CacheAligned, MemoryError, Object, SharedBarrier, SharedCondvar,
    SharedLatch, SharedMemory, SharedMutex, SharedMutexGuard, SharedRwLock, SharedRwLockReadGuard,
    SharedRwLockWriteGuard, SharedSemaphore, SharedSemaphorePermit,
};
pub use stats::Stats;
pub use thread::{Activity, ThreadInfo};
pub use threadwork_rewrite::MAX_MODULE_SIZE;
/// Of the layer that instruments modules: what [`Module::instrumented`] speaks.
pub use threadwork_rewrite::{CHECK_MODULE, Class, Instrument, Site, SiteKind};
/// What passing a [`SharedBarrier`], and a wait on a word, tell.
pub use threadwork_sync::{BarrierWaitResult, WaitResult};
pub use wasi::{Output, OutputCallback, Reader, Stdin};
/// Of the WebAssembly engine underneath: what [`ProcessBuilder::linker`],
/// [`Process::call`] and [`ThreadRuntime::execute`] speak. A `SharedMemory` of Wasmtime's own,
/// which a `Caller` can export, waits and notifies in another queue than guests do:
/// [`ThreadContext::memory`] is the one that meets them.
pub use wasmtime::{Caller, FuncType, Linker, Val, ValType};
