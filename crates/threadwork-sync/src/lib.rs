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
//! | [`PriorityMutex`], [`RawPriorityMutex`] | 24 | waiters in three classes; tells a scheduler who should inherit |
//! | [`Condvar`] | 8 | a notify that finds nobody is one load |
//! | [`Barrier`] | 16 | any number of phases, one leader in each |
//! | [`Latch`] | 4 | a gate that opens once |
//! | [`WaitGroup`] | 4 | wait until so many are done |
//! | [`Semaphore`] | 8 | so many permits; several at once without starving |
//! | [`Parker`] | 4 | one thread sleeps until it is unparked |
//! | [`Once`], [`OnceLock`], [`LazyLock`] | 4 | initialization that happens once |
//! | [`channel`] | | bounded, many senders, many receivers |
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
//! changes the word answers it ([`Patience`]). A thread remembers whether that has
//! paid lately ([`spin_history`]).
//!
//! *Foreign code.* What a program hands in is called with nothing half done: a closure, a
//! condition or a destructor that panics leaves the primitive as if the call had ended, and a
//! panic of a waker or a [`PriorityHook`] ends where it is called, so that nobody else
//! misses a wake-up.
//!
//! *Checked.* Loom explores each primitive within a bound on preemptions, timeouts and
//! dropped futures included, and a list of seeded bugs shows that the models can fail;
//! the same code runs under Miri, and as WebAssembly under Threadwork's engine; generated
//! programs of each primitive are compared with a sequential model. Debug
//! builds report cycles of locks before they hang ([`lock_order`]).
//!
//! # Features
//!
//! - `std` (default): deadlines as `Instant`, spinning that learns, lock checking.
//! - `alloc`: the channel. `std` has it.
//! - `lock-order`: lock checking in release builds, too.
//! - `lock_api`: the raw locks implement `lock_api`'s traits.

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
pub mod lock_order;
mod mutex;
mod once;
mod once_lock;
mod parker;
mod primitive;
mod priority_mutex;
mod raw_mutex;
mod raw_rwlock;
mod rwlock;
mod semaphore;
#[cfg(not(loom))]
mod spin;
#[cfg(feature = "std")]
pub mod spin_history;
mod system;
mod wait;
mod wait_group;
mod waiter;
mod wakers;

pub use barrier::{Barrier, BarrierWaitResult, BarrierWaiter};
pub use cache_padded::CachePadded;
pub use condvar::{Condvar, CondvarWaiter, WaitTimeoutResult};
pub use futex::{Futex, Patience, WaitResult};
pub use latch::{Latch, LatchWaiter};
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Begin, Completion, Once, Running};
pub use once_lock::OnceLock;
pub use parker::{Parker, ParkerWaiter};
pub use primitive::{AtomicU32, AtomicU64};
pub use priority_mutex::{
    AcquirePriority, Contender, Inherited, Priority, PriorityMutex, PriorityMutexGuard,
    RawPriorityMutex, ThreadToken,
};
#[cfg(feature = "std")]
pub use priority_mutex::{PriorityHook, PriorityHookIsSet, set_priority_hook};
pub use raw_mutex::{Acquire, LOSSES, PATIENCE, RawMutex};
pub use raw_rwlock::{AcquireRead, AcquireWrite, RawRwLock};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Semaphore, SemaphorePermit, SemaphoreWaiter};
pub use system::System;
pub use wait::Wait;
pub use wait_group::{WaitGroup, WaitGroupToken, WaitGroupWaiter};
pub use waiter::{Resumed, Step, Waiter, block};
