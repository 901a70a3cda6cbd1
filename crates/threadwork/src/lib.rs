//! Threads for WebAssembly and native programs: a pool, fork-join, thread-local values, on
//! stable Rust and the same on both.
//!
//! ```
//! use threadwork::{ThreadPool, join, par};
//!
//! // Tasks for a pool.
//! let pool = ThreadPool::new(4)?;
//! let task = pool.execute(|| 6 * 7);
//! assert_eq!(task.wait().unwrap(), 42);
//!
//! // Two halves of one piece of work.
//! let (evens, odds) = join(
//!     || (0..100).step_by(2).sum::<u32>(),
//!     || (1..100).step_by(2).sum::<u32>(),
//! );
//! assert_eq!(evens + odds, 4950);
//! # Ok::<(), threadwork::Error>(())
//! ```
//!
//! # The map
//!
//! | to | use |
//! |---|---|
//! | run tasks, wait for them, cancel them | [`ThreadPool`], [`TaskHandle`]; [`global`] |
//! | end what runs already | [`CancelToken`] |
//! | wait within a task without starving others | [`blocking`] |
//! | divide work and conquer it | [`join`], [`scope`], [`par`]; [`ThreadPool::install`] |
//! | start threads of one's own | [`thread`] |
//! | keep something for each thread | [`ThreadLocal`], [`ThreadBound`] |
//! | allocate on many threads | [`alloc`], which is the crate `threadwork-alloc` |
//! | lock, wait, signal | [`sync`], which is the crate `threadwork-sync` |
//! | have everything from one configuration; count and limit threads; work on words of a memory by offset | the crate `threadwork-runtime`, which stands on this one |
//!
//! # Recipes
//!
//! | to | write |
//! |---|---|
//! | compute on N threads, wherever [`join`] and [`par`] are called | [`build_global`](PoolBuilder::build_global) at the start of `main`, or `THREADWORK_PARALLELISM=N` around the program |
//! | compute one thing on N threads | `ThreadPool::new(N)?`, and [`install`](ThreadPool::install) |
//! | have N threads that block | [`thread::scope`], not [`scope`] |
//! | end what runs, from outside | a [`CancelToken`] that it looks at, in loops and in waits |
//! | wait for the first of two things, or for a time | [`sync::select()`] in [`sync::block_on_timeout`] |
//! | do something for each thread of a pool | [`on_start`](PoolBuilder::on_start), [`on_exit`](PoolBuilder::on_exit), [`ThreadLocal`] |
//!
//! # Hosts
//!
//! Native programs, and `wasm32-wasip1-threads` under Threadwork's engine or any other that
//! has threads. Where threads cannot be started, making a pool is an error, and fork-join
//! runs on the calling thread.
//!
//! # Features
//!
//! - `lock-order-debug` (default): cycles of locks are reported in debug builds;
//!   `lock-order`: in all builds.

#![cfg_attr(loom, allow(dead_code, reason = "loom explores parts of it"))]

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use threadwork_alloc as alloc;
pub use threadwork_sync as sync;

mod boundary;
mod error;
mod fork_join;
mod pool;
mod primitive;

#[cfg(not(loom))]
mod cancel;
#[cfg(not(loom))]
pub mod thread;
#[cfg(not(loom))]
mod thread_local;

pub use error::{Error, TaskError, TaskPanic, WaitError};
pub use fork_join::{
    Chunks, Enumerate, IntoParts, JobHandle, Map, Mapped, Owned, Par, Parts, Scope, Windows, Zip,
    join, par, scope,
};
pub use pool::{TaskId, TaskName};
pub use sync::Priority;
#[cfg(not(loom))]
pub use {
    cancel::{CancelToken, Cancelled},
    pool::{
        PoolBuilder, TaskBuilder, TaskFuture, TaskHandle, ThreadPool, WorkerStatus, blocking,
        current_worker_index, global,
    },
    thread_local::{ThreadBound, ThreadLocal},
};

/// The scheduler without a pool, for other interfaces than this crate's. It changes without
/// notice.
#[cfg(all(feature = "bare", not(loom)))]
#[doc(hidden)]
pub mod bare {
    pub use crate::fork_join::bare::*;
}

/// What `tests/loom` explores.
#[cfg(loom)]
#[doc(hidden)]
#[allow(missing_docs, reason = "models are no interface")]
pub mod model {
    pub use crate::fork_join::model as fork_join;
    pub use crate::pool::model as pool;
}
