//! The host's futex: where every sleeping thread of a WebAssembly process
//! sleeps.
//!
//! A *process* is a group of threads that share linear memories. It owns one
//! [`ParkingLot`]. Each `memory.atomic.wait32`, `wait64` and `notify` of the
//! guest becomes a call of [`ParkingLot::wait`] or [`ParkingLot::notify`] with
//! the host address of the word.
//!
//! What it keeps, to the letter of the threads proposal:
//!
//! * the comparison of the word and the entry into the queue are one step for
//!   every notifier of that word;
//! * waiters of one word leave in the order in which they entered, whatever the
//!   width they compared (wait32 and wait64 on one word share a queue);
//! * [`notify`](ParkingLot::notify) returns exactly the number of waiters that it
//!   woke, and each of them returns [`WaitResult::Woken`]: no spurious wake-ups.
//!
//! And what the proposal does not ask for, but a host that must be able to end
//! its guests does:
//!
//! * [`close`](ParkingLot::close) ends all waits, present and future;
//!   [`cancel`](ParkingLot::cancel) ends those of chosen threads;
//! * the lot knows how many threads live ([`enter`](ParkingLot::enter),
//!   [`leave`](ParkingLot::leave)) and how many of them sleep without a timeout:
//!   when the last one falls asleep the host is asked for somebody who will notify, and
//!   if there is none it is a deadlock, and the lot says so;
//! * memory is bounded by the number of waiters: a queue node lives on the stack
//!   of the thread that waits.
//!
//! # How a wait goes
//!
//! 1. *Spin*: while a core is free (see [`Cores`]) and nobody sleeps there yet, the thread
//!    watches the guest's own word for a short time, if that has paid lately. A word that
//!    changes ends the wait as [`WaitResult::NotEqual`], as if the instruction had been executed a moment
//!    later: nobody queues, nobody is notified, nobody sleeps. This is what makes a
//!    hand-off between two running threads cost a cache line transfer and not a
//!    system call. A thread that waits for the word that it notified last contends for a
//!    lock, most likely: if the word changes all the time it rests for some microseconds
//!    before it returns, so that whoever holds the lock gets on.
//! 2. *Queue*: under the lock of the word's bucket, compare once more and enter
//!    the queue.
//! 3. *Sleep*: announce it in the waiter's state word, then sleep on the bucket's futex
//!    word. Whoever takes the waiter out of the queue decides its result and wakes it only if
//!    it had announced that it sleeps. One system call wakes all that a notify took.
//!
//! Design after Linux' futex, WebKit's `ParkingLot` and `parking_lot_core`; the
//! spin before the queue and the census of sleepers are ours.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use threadwork_parking::{Cores, ParkingLot, WaitResult};
//!
//! let lot = ParkingLot::new(Arc::new(Cores::new(2)));
//! let word = AtomicU32::new(0);
//! let address = word.as_ptr() as usize;
//! std::thread::scope(|scope| {
//!     scope.spawn(|| {
//!         lot.enter();
//!         while word.load(Ordering::SeqCst) == 0 {
//!             lot.wait(1, address, None, 0, || word.load(Ordering::SeqCst).into(), || false);
//!         }
//!         lot.leave(|| false);
//!     });
//!     lot.enter();
//!     word.store(1, Ordering::SeqCst);
//!     lot.notify(address, u32::MAX);
//!     lot.leave(|| false);
//! });
//! ```

#![deny(missing_docs)]
#![cfg_attr(
    loom,
    allow(
        dead_code,
        unused_imports,
        reason = "to spin is to delay, and a model has no time"
    )
)]

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod core;
mod cores;
mod lot;
mod primitive;
mod queue;
mod wake_slot;

pub use core::WakeUp;
pub use cores::Cores;
pub use lot::{Census, Observer, ParkingLot, WaitResult};
