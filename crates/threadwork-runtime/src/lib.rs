//! One object that owns what a program with threads needs, and each of its parts by itself, on
//! stable Rust, natively and as WebAssembly.
//!
//! ```
//! use threadwork_runtime::ThreadRuntime;
//!
//! let runtime = ThreadRuntime::builder().pool_size(2).build()?;
//! let memory = runtime.memory().clone();
//! let task = runtime.pool().execute(move || memory.add(0, 7_u32));
//! task.wait().unwrap()?;
//! assert_eq!(runtime.memory().load::<u32>(0)?, 7);
//! # Ok::<(), threadwork_runtime::Error>(())
//! ```
//!
//! # The map
//!
//! | to | use |
//! |---|---|
//! | have everything from one configuration | [`ThreadRuntime`], [`RuntimeConfig`] |
//! | count, name, limit and join threads | [`ThreadManager`] |
//! | work on words of a memory by offset | [`SharedMemory`], [`AtomicBatch`] |
//! | keep bytes for each thread, by number | [`ThreadLocalStorage`] |
//! | keep counters from slowing each other down | [`CacheAligned`] |
//!
//! Tasks, fork-join, values for each thread and the inheritance of priorities are the crate
//! [`threadwork`]'s, on which this one stands; so are hosts: see there. The primitives are
//! [`threadwork::sync`]'s.
//!
//! # Features
//!
//! - `lock-order-debug` (default): cycles of locks are reported in debug builds;
//!   `lock-order`: in all builds.

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod atomic_batch;
mod cache_aligned;
mod config;
mod error;
mod runtime;
mod shared_memory;
mod slots;
mod threads;

pub use atomic_batch::AtomicBatch;
pub use cache_aligned::CacheAligned;
pub use config::{RuntimeBuilder, RuntimeConfig};
pub use error::Error;
pub use runtime::ThreadRuntime;
pub use shared_memory::{AtomicWord, MemoryError, Object, Plain, SharedMemory};
pub use slots::{SlotError, ThreadLocalStorage};
pub use threads::{
    JoinError, SpawnError, ThreadHandle, ThreadId, ThreadInfo, ThreadManager, ThreadPanic,
    ThreadStatus,
};
