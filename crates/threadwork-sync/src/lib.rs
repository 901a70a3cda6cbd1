//! Synchronization primitives over a futex: small, fair within bounds, and the same in
//! a native program, in WebAssembly built with stable Rust, and at an offset of a
//! linear memory that a host shares with its guests.
//!
//! ```
//! use threadwork_sync::{Barrier, Mutex};
//!
//! let total = Mutex::new(0);
//! let barrier = Barrier::new(4);
//! std::thread::scope(|scope| {
//!     for n in 1..=4 {
//!         let (total, barrier) = (&total, &barrier);
//!         scope.spawn(move || {
//!             *total.lock() += n;
//!             // Nobody reads before all have written.
//!             barrier.wait();
//!             assert_eq!(*total.lock(), 10);
//!         });
//!     }
//! });
//! ```
//!
//! # The primitives
//!
//! | type | bytes | what it is |
//! |---|---|---|
//! | [`Mutex`], [`RawMutex`] | 4 | exclusion; unfair for speed, within a bound |
//! | [`RwLock`], [`RawRwLock`] | 16 | phase-fair: readers and writers take turns, nobody starves |
//! | `PriorityMutex`, `RawPriorityMutex` | 24 | waiters in three classes; tells a scheduler who should inherit (feature `priority-mutex`) |
//! | [`Condvar`] | 8 | a notify that finds nobody is one load |
//! | [`Barrier`] | 16 | any number of phases, one leader in each |
//! | [`Latch`] | 4 | a gate that opens once |
//! | [`WaitGroup`] | 4 | wait until so many are done |
//! | [`Semaphore`] | 8 | so many permits; several at once without starving |
//! | [`Parker`] | 4 | one thread sleeps until it is unparked |
//! | [`Once`], [`OnceLock`], [`LazyLock`] | 4 | initialization that happens once |
//! | [`channel`] | | bounded or unbounded, many senders, many receivers |
//! | [`block_on`], [`block_on_timeout`], [`select`] | | a thread waits for a future, or for the first of two |
//! | [`CachePadded`] | 128 | a value with cache lines of its own |
//!
//! The bytes are without the data. Each is `#[repr(C)]`, has a `const fn new`, and is
//! valid when all its bytes are zero; the page of each has its words, its transitions,
//! and why no wake-up is lost. Nothing is poisoned by a panic, but a
//! [`LazyLock`], whose initializer is gone then.
//!
//! Whatever blocks comes in five forms: `lock()`, `try_lock()`, `lock_timeout(duration)`,
//! `lock_deadline(instant)`, and `lock_async()`, a future for any executor and for
//! threads that may not block.
//!
//! # What to take from where
//!
//! What others do well is not done again here. All of it works in guests, too
//! (`wasm32-wasip1-threads`, stable Rust).
//!
//! | for | take |
//! |---|---|
//! | two channels and a timer | [`select`] in [`block_on_timeout`] |
//! | one message, once (`oneshot`) | [`channel::bounded`]`(1)` |
//! | a rendezvous (capacity 0), `after`, `tick` | `crossbeam-channel` |
//! | the latest value (`watch`), `broadcast`, `Notify` | `tokio::sync`: it needs no runtime |
//! | a semaphore that can be closed | `tokio::sync`; or a [`Latch`] beside it, and [`select`] |
//! | guards of a part (`map`), guards that own an `Arc`, a reentrant mutex | `lock_api` over [`RawMutex`] and [`RawRwLock`] (feature `lock_api`) |
//! | a read that may become a write | a [`Mutex`] beside the [`RwLock`], which all who may write take first: reads go on meanwhile |
//! | a lock that a panic poisons | `std::sync` |
//! | `Stream` and `Sink` of a channel | `futures::stream::unfold` over `recv_async`, `sink::unfold` over `send_async` |
//! | joining futures, more than two at once | `futures`: any executor will do |
//! | cells for one thread, lazily made values of std's | `std::cell` |
//!
//! Under `lock_api` a lock is `lock_api::Mutex<threadwork_sync::RawMutex, T>`, a reentrant one
//! `lock_api::ReentrantMutex<threadwork_sync::RawMutex, G, T>` with a `GetThreadId` of one's own
//! (an address of a thread-local will do), and `lock_arc` comes with `lock_api`'s feature
//! `arc_lock`. These locks are not checked by [`lock_order`].
//!
//! Other crates' names lead here in the documentation's search: `try_lock_for` is
//! [`lock_timeout`](Mutex::lock_timeout), `try_lock_until` [`lock_deadline`](Mutex::lock_deadline).
//!
//! # Executors
//!
//! The futures need none in particular. Tried in a guest (`wasm32-wasip1-threads`, under
//! `threadwork run`), with messages from another thread: [`block_on`], `pollster`,
//! `futures::executor`, `async-executor`, and `tokio`'s `current_thread`, all of which take some
//! 20 us for one.
//!
//! `tokio` with `enable_time` needs to be told that the target has threads, which stable Rust does
//! not say; else it sleeps on a timer with its own lock held, and whoever would wake it waits
//! until the timer has run down:
//!
//! ```toml
//! # .cargo/config.toml
//! [target.wasm32-wasip1-threads]
//! rustflags = ["--cfg", 'target_feature="atomics"', "-A", "explicit_builtin_cfgs_in_flags"]
//! ```
//!
//! # How it is made
//!
//! *One port.* Everything sleeps in a [`Futex`]. [`System`] is the one of the thread
//! that runs: the operating system's, or WebAssembly's `memory.atomic.wait32`. A host
//! that works on an object inside a guest's memory brings its own, and calls the
//! `_with` forms.
//!
//! *One algorithm.* The slow path of each primitive is a [`Waiter`], a state machine that
//! says what it waits for. [`block`] runs it on a thread, with or without a timeout;
//! [`Wait`] is the same as a future. What is model-checked is what all forms run.
//!
//! *Little spinning.* A waiter watches the word before it sleeps, for about a critical
//! section where others may take what it wants, and for about a wake-up where whoever
//! changes the word answers it. A thread remembers whether that has paid lately.
//!
//! *Foreign code.* What a program hands in is called with nothing half done: a closure, a
//! condition or a destructor that panics leaves the primitive as if the call had ended, and a
//! panic of a waker or a `PriorityHook` ends where it is called, so that nobody else
//! misses a wake-up.
//!
//! *Checked.* Loom explores each primitive within a bound on preemptions, timeouts and
//! dropped futures included, and a list of seeded bugs shows that the models can fail;
//! the same code runs under Miri, and as WebAssembly under Threadwork's engine; generated
//! programs of each primitive are compared with a sequential model. Debug
//! builds report cycles of locks before they hang ([`lock_order`]).
//!
//! # The map
//!
//! A module uses only those above it in this table, and none use each other in a circle:
//! the crate `floors` of the repository holds it to that.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | data | `primitive` | atomics and cells, loom's or the real ones |
//! | | `cache_padded` | [`CachePadded`] |
//! | | `contain` | the boundary to wakers and hooks, whose panics end there |
//! | | `lock_order` | who holds which lock, in builds that check it |
//! | | `spin_history` | whether spinning has paid lately |
//! | port | `futex` | [`Futex`]: where anything sleeps |
//! | | `spin` | a watch over a word |
//! | | `threads` | the futex of threads alone |
//! | | `wakers` | the table in which futures sleep; words that futures may wait for; [`look_again`] |
//! | | `system` | [`System`]: threads, then futures |
//! | drivers | `waiter` | [`Waiter`]: a slow path; [`block`] |
//! | | `wait` | [`Wait`]: the same as a future |
//! | primitives | `raw_mutex` | [`RawMutex`]: four bytes, without data |
//! | | `raw_rwlock` | [`RawRwLock`] |
//! | | `mutex` | [`Mutex`] |
//! | | `rwlock` | [`RwLock`] |
//! | | `lock_api_traits` | lock_api's traits for the raw locks |
//! | | `priority_mutex` | `PriorityMutex` |
//! | | `condvar` | [`Condvar`] |
//! | | `barrier` | [`Barrier`] |
//! | | `latch` | [`Latch`] |
//! | | `wait_group` | [`WaitGroup`] |
//! | | `semaphore` | [`Semaphore`] |
//! | | `parker` | [`Parker`] |
//! | | `once` | [`Once`] |
//! | | `once_lock` | [`OnceLock`] |
//! | | `lazy_lock` | [`LazyLock`] |
//! | above | `channel` | [`channel`]s: a ring, or a queue |
//! | | `select` | [`block_on`], [`select()`](select) |
//!
//! # Features
//!
//! - `std` (default): deadlines as `Instant`, spinning that learns.
//! - `alloc`: channels, [`block_on`], [`select`], owned permits. `std` has it.
//! - `lock-order-debug` (default): lock checking in debug builds; `lock-order`: in all builds.
//! - `priority-mutex`: `PriorityMutex`.
//! - `lock_api`: the raw locks implement `lock_api`'s traits.
//!
//! # Stability
//!
//! What this documentation shows keeps its meaning until the next version that says otherwise.
//! What is hidden from it ([`Step`], how long anybody spins) is for Threadwork's own crates and
//! changes whenever that helps. [`Futex`] may get more methods that have a default.

#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

/// The examples of the README, as tests.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod barrier;
mod cache_padded;
#[cfg(feature = "alloc")]
pub mod channel;
mod condvar;
mod contain;
pub mod futex;
mod latch;
mod lazy_lock;
#[cfg(all(feature = "lock_api", not(loom)))]
mod lock_api_traits;
pub mod lock_order;
mod mutex;
mod once;
mod once_lock;
mod parker;
mod primitive;
#[cfg(feature = "priority-mutex")]
mod priority_mutex;
mod raw_mutex;
mod raw_rwlock;
mod rwlock;
#[cfg(feature = "alloc")]
mod select;
mod semaphore;
#[cfg(not(loom))]
mod spin;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod spin_history;
mod system;
mod threads;
mod wait;
mod wait_group;
mod waiter;
mod wakers;

pub use barrier::{Barrier, BarrierWaitResult, BarrierWaiter};
pub use cache_padded::CachePadded;
pub use condvar::{Condvar, CondvarWaiter, WaitTimeoutResult};
#[doc(hidden)]
pub use futex::Patience;
pub use futex::{Futex, WaitResult};
pub use latch::{Latch, LatchWaiter};
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Begin, Completion, Once, Running};
pub use once_lock::OnceLock;
pub use parker::{Parker, ParkerWaiter};
pub use primitive::{AtomicU32, AtomicU64};
#[cfg(feature = "priority-mutex")]
pub use priority_mutex::{
    AcquirePriority, Contender, Inherited, Priority, PriorityMutex, PriorityMutexGuard,
    RawPriorityMutex, ThreadToken,
};
#[cfg(all(feature = "std", feature = "priority-mutex"))]
pub use priority_mutex::{PriorityHook, PriorityHookIsSet, set_priority_hook};
pub use raw_mutex::{Acquire, RawMutex};
#[doc(hidden)]
pub use raw_mutex::{LOSSES, STARVING_AFTER};
pub use raw_rwlock::{AcquireRead, AcquireWrite, RawRwLock};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(feature = "alloc")]
pub use select::{Either, block_on, block_on_timeout, select};
#[cfg(feature = "alloc")]
pub use semaphore::OwnedSemaphorePermit;
pub use semaphore::{Semaphore, SemaphorePermit, SemaphoreWaiter};
pub use system::System;
pub use wait::Wait;
pub use wait_group::{WaitGroup, WaitGroupToken, WaitGroupWaiter};
#[doc(hidden)]
pub use waiter::{Resumed, Step};
pub use waiter::{Waiter, block};
pub use wakers::look_again;
