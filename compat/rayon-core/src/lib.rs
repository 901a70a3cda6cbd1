//! The interface of `rayon-core`, over Threadwork's scheduler.
//!
//! A program takes it by a patch, and stays as it is:
//!
//! ```toml
//! [patch.crates-io]
//! rayon-core = { path = "../threadwork/compat/rayon-core" }
//! ```
//!
//! It does what rayon documents. What it does differently, and where the edges are, is in
//! `docs/drop-in.md` of the repository.
//!
//! # How it is built
//!
//! | module | holds |
//! |---|---|
//! | `registry` | a pool: its threads' seats, and what was queued from outside |
//! | `worker` | a thread of one: what it does from beginning to end, and while it waits |
//! | `task` | closures that borrow, and who is told of their panics |
//! | `join`, `scope`, `broadcast`, `spawn` | what runs on it |
//! | `builder`, `thread_pool` | how a pool is made and held |
//!
//! Halves of joins and spawned jobs are the scheduler's, `threadwork::bare`: they lie with the
//! thread that made them until another takes them. A thread that waits does whatever there is to
//! do in its pool, as rayon's do, unlike those of `threadwork` itself.

mod broadcast;
mod builder;
mod join;
mod registry;
mod scope;
mod spawn;
mod task;
mod thread_pool;
mod worker;

pub use broadcast::{BroadcastContext, broadcast, spawn_broadcast};
#[allow(deprecated, reason = "of the interface")]
pub use builder::{Configuration, initialize};
pub use builder::{ThreadBuilder, ThreadPoolBuildError, ThreadPoolBuilder};
pub use join::{FnContext, join, join_context};
pub use scope::{Scope, ScopeFifo, in_place_scope, in_place_scope_fifo, scope, scope_fifo};
pub use spawn::{spawn, spawn_fifo};
pub use thread_pool::{
    ThreadPool, Yield, current_num_threads, current_thread_index, max_num_threads, yield_local,
    yield_now,
};
