//! The futex of WebAssembly, `memory.atomic.wait32`, `memory.atomic.wait64` and
//! `memory.atomic.notify`, on **stable** Rust, and the same calls natively.
//!
//! A thread that waits sleeps until somebody notifies the word that it waits for, unless
//! the word has changed already. That is all that locks, channels and thread pools need
//! from below.
//!
//! | call | what it does |
//! |---|---|
//! | [`wait32`], [`wait64`] | sleep while a word has an expected value |
//! | [`notify`], [`notify64`] | wake sleepers and say how many |
//! | [`notify_ptr`], [`notify64_ptr`] | the same for a word that may be gone |
//! | [`can_block`], [`set_can_block`] | whether this thread sleeps or polls |
//! | [`now`] | a monotonic clock |
//!
//! # Example
//!
//! A gate that opens once:
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! static GATE: AtomicU32 = AtomicU32::new(0);
//!
//! let guest = std::thread::spawn(|| {
//!     while GATE.load(Ordering::Acquire) == 0 {
//!         wasm_futex::wait32(&GATE, 0, None);
//!     }
//! });
//! GATE.store(1, Ordering::Release);
//! wasm_futex::notify(&GATE, u32::MAX);
//! guest.join().unwrap();
//! ```
//!
//! # What is promised
//!
//! * The comparison and the falling asleep are one step: whoever changes the word first
//!   and notifies then misses nobody who saw the old value.
//! * The count that a notify returns is honest: as many waits end with
//!   [`WaitResult::Woken`] because of it.
//! * A wait does not time out early, but for the approximation of a thread that polls
//!   without a clock (see [`set_can_block`]).
//!
//! What is not promised: memory ordering (load the word with the ordering that you need,
//! as in the example), the order in which waiters wake (WebAssembly has one, first in
//! first out; native systems do not), and that a word is used for one purpose. Memory is
//! used again: a notify that comes late, by pointer, may wake a waiter of the word's
//! successor. So wait in a loop.
//!
//! `wait32` and `wait64` on the same address share a queue on WebAssembly, where `notify`
//! and `notify64` are one instruction. Natively they have separate queues. Notify a word
//! with the width with which it is waited for.
//!
//! # Targets
//!
//! | target | a wait | a notify |
//! |---|---|---|
//! | `wasm32-wasip1-threads` | the instruction | the instruction |
//! | `wasm32-unknown-unknown` with atomics | the instruction; in a thread that may not block, a poll | the instruction |
//! | WebAssembly without threads | compares; then sleeps for the timeout, or panics if there is none | 0 |
//! | Linux, Android (64 bits) | `wait32`: the system call `futex`; `wait64`: a queue in the process | a system call, even for nobody; `notify64`: the queue |
//! | everything else | a queue in the process | the queue |
//!
//! `wasm32-unknown-unknown` with atomics needs a nightly compiler for its standard library:
//! `-Z build-std=std,panic_abort` with `-C target-feature=+atomics`. Its flags must be in
//! `RUSTFLAGS` or a Cargo configuration, where build scripts see them. Memories of 64-bit
//! addresses are refused. The queues in the process are `parking_lot_core`'s: other systems
//! have futexes too, but do not tell how many threads they woke.
//!
//! The main thread of a browser's page may not block: the instruction traps there. With the
//! feature `wasm-bindgen` this crate asks JavaScript; without it, somebody who knows calls
//! [`set_can_block`]`(false)` on that thread. Its waits then watch the word. That holds up
//! the page: it is for waits that are known to be short.
//!
//! # How it is linked
//!
//! The intrinsics in `core::arch::wasm32` and inline assembly for WebAssembly are unstable.
//! Therefore the build script writes a relocatable object file with a function for each
//! instruction, and rustc links it as a static library. Nothing needs to be installed, the
//! program gets no imports, and each call becomes a call of a function that contains its
//! instruction and nothing else.
//!
//! That function is opaque, so that no optimizer of Rust's inlines it: the baseline compiler
//! of V8 11.3 (Node 20) overwrites a local variable across a wait whose address and expected
//! value are constants. If you process the program with `wasm-opt`, which may inline it,
//! and care for Node 20, pass `--no-inline=__wasm_futex*`, or run Node with `--no-liftoff`.
//!
//! # Features
//!
//! * `std` (default). Without it the crate is `no_std` on WebAssembly: every thread counts
//!   as one that may block, and [`set_can_block`] does not exist. Natively the standard
//!   library is always used.
//! * `wasm-bindgen`: on `wasm32-unknown-unknown`, ask JavaScript whether a thread may block,
//!   and for the time.

#![no_std]

#[cfg(any(feature = "std", not(target_family = "wasm")))]
extern crate std;

#[cfg(target_arch = "wasm64")]
compile_error!("wasm-futex supports memories of 32-bit addresses only: build for wasm32");

#[cfg(not(target_has_atomic = "64"))]
compile_error!("wasm-futex needs 64-bit atomics, which this target does not have");

mod clock;
#[cfg(all(
    target_family = "wasm",
    target_os = "unknown",
    feature = "wasm-bindgen"
))]
mod javascript;
mod permission;
mod poll;
mod sys;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

pub use clock::now;

/// How a wait ended.
///
/// # Example
///
/// ```
/// use std::{sync::atomic::AtomicU32, time::Duration};
/// use wasm_futex::{WaitResult, wait32};
///
/// let word = AtomicU32::new(1);
/// assert_eq!(wait32(&word, 0, None), WaitResult::NotEqual);
/// assert_eq!(wait32(&word, 1, Some(Duration::ZERO)), WaitResult::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitResult {
    /// A notify woke this thread and counted it.
    Woken,
    /// The word did not have the expected value, or, in a thread that polls, has it no
    /// longer.
    NotEqual,
    /// The timeout has passed.
    TimedOut,
}

/// Blocks while `word` has the value `expected`, until it is notified or `timeout` has
/// passed.
///
/// Without a timeout it may block for ever, and so it does with one that is too long for the
/// system's clock, as [`Duration::MAX`] is. On WebAssembly that is anything over 292 years.
/// A timeout of zero never sleeps for long: it is a way to compare.
///
/// A thread that may not block ([`can_block`]) polls instead. It is never
/// [`Woken`](WaitResult::Woken).
///
/// # Panics
///
/// If the wait could never end because the program was built for WebAssembly without
/// threads: the word has the expected value, nobody can change it, and there is no timeout.
/// Build for `wasm32-wasip1-threads`.
///
/// # Traps
///
/// On WebAssembly if the memory is not shared, and in a browser if the thread may not block
/// but is thought to (see [`set_can_block`]).
///
/// # Example
///
/// ```
/// use std::{sync::atomic::AtomicU32, time::Duration};
/// use wasm_futex::{WaitResult, wait32};
///
/// let word = AtomicU32::new(7);
/// let result = wait32(&word, 7, Some(Duration::from_millis(1)));
/// assert_eq!(result, WaitResult::TimedOut);
/// ```
pub fn wait32(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
    if sys::THREADS && !can_block() {
        // Ordering: none is promised.
        return poll::wait(|| word.load(Ordering::Relaxed) != expected, timeout);
    }
    sys::wait32(word, expected, timeout)
}

/// [`wait32`] for a word of 64 bits.
///
/// All 64 bits are compared. Whoever changes the word calls [`notify64`]. Timeouts, panics
/// and traps are those of [`wait32`].
///
/// # Example
///
/// ```
/// use std::sync::atomic::AtomicU64;
/// use wasm_futex::{WaitResult, wait64};
///
/// let word = AtomicU64::new(1 << 32);
/// assert_eq!(wait64(&word, 0, None), WaitResult::NotEqual);
/// ```
pub fn wait64(word: &AtomicU64, expected: u64, timeout: Option<Duration>) -> WaitResult {
    if sys::THREADS && !can_block() {
        // Ordering: none is promised.
        return poll::wait(|| word.load(Ordering::Relaxed) != expected, timeout);
    }
    sys::wait64(word, expected, timeout)
}

/// Wakes up to `count` threads that wait for `word` with [`wait32`], and returns how many it
/// woke.
///
/// It never blocks. Threads that poll are not counted: they see that the word has changed.
///
/// A notify of nobody is not free: a system call on Linux (some hundred nanoseconds), a lock
/// that all words share in V8 (some ten). Keep in the word whether anybody waits.
///
/// # Example
///
/// ```
/// use std::{sync::atomic::AtomicU32, thread};
/// use wasm_futex::{WaitResult, notify, wait32};
///
/// static WORD: AtomicU32 = AtomicU32::new(0);
///
/// let waiter = thread::spawn(|| wait32(&WORD, 0, None));
/// while notify(&WORD, 1) == 0 {
///     thread::yield_now(); // It does not sleep yet.
/// }
/// assert_eq!(waiter.join().unwrap(), WaitResult::Woken);
/// ```
pub fn notify(word: &AtomicU32, count: u32) -> u32 {
    notify_ptr(word, count)
}

/// [`notify`] for waiters of [`wait64`].
///
/// # Example
///
/// ```
/// use std::sync::atomic::AtomicU64;
///
/// let word = AtomicU64::new(0);
/// assert_eq!(wasm_futex::notify64(&word, u32::MAX), 0, "nobody waits");
/// ```
pub fn notify64(word: &AtomicU64, count: u32) -> u32 {
    notify64_ptr(word, count)
}

/// [`notify`] for a word that may be gone.
///
/// Whoever stores the value that a waiter hopes for may be overtaken: the waiter sees it,
/// goes on and frees the word before the notify. A notify needs only the address. If other
/// memory is there by now, it may wake a thread that waits for a word in it, which sees that
/// nothing has changed and, as it must, waits again.
///
/// # Traps
///
/// On WebAssembly if the pointer is not aligned or outside the memory. A pointer to a word
/// that existed is neither, as memories do not shrink. Natively nobody waits at such an
/// address.
///
/// # Example
///
/// ```
/// use std::sync::atomic::AtomicU32;
///
/// let word = Box::new(AtomicU32::new(0));
/// let address: *const AtomicU32 = &*word;
/// drop(word);
/// wasm_futex::notify_ptr(address, 1);
/// ```
pub fn notify_ptr(word: *const AtomicU32, count: u32) -> u32 {
    sys::notify32(word, count)
}

/// [`notify64`] for a word that may be gone, as [`notify_ptr`] describes.
///
/// # Example
///
/// ```
/// use std::sync::atomic::AtomicU64;
///
/// let word = Box::new(AtomicU64::new(0));
/// let address: *const AtomicU64 = &*word;
/// drop(word);
/// wasm_futex::notify64_ptr(address, 1);
/// ```
pub fn notify64_ptr(word: *const AtomicU64, count: u32) -> u32 {
    sys::notify64(word, count)
}

/// Whether the calling thread may block. If not, its waits poll.
///
/// On `wasm32-unknown-unknown` with the feature `wasm-bindgen` the first call of a thread
/// asks JavaScript. Everywhere else the answer is yes, unless [`set_can_block`] said no.
///
/// # Example
///
/// ```
/// assert!(wasm_futex::can_block());
/// ```
#[must_use]
pub fn can_block() -> bool {
    permission::get()
}

/// Says for the calling thread whether it may block, from now on.
///
/// A host or a program calls it that knows better than [`can_block`] can: without the
/// feature `wasm-bindgen`, the main thread of a page.
///
/// A thread that may not block polls: it watches the word until it changes
/// ([`NotEqual`](WaitResult::NotEqual)) or the timeout has passed. It does not see a notify
/// that leaves the word as it was, and no notify counts it. Where there is no [`now`], its
/// timeout is approximated by a number of polls, chosen such that it is rather late than
/// early. It pauses between polls for less than a microsecond; natively it yields to other
/// threads.
///
/// It does not exist on WebAssembly without the feature `std`, because it needs thread-local
/// storage. On WebAssembly without threads it has no effect.
///
/// # Example
///
/// ```
/// use std::{sync::atomic::AtomicU32, time::Duration};
/// use wasm_futex::{WaitResult, set_can_block, wait32};
///
/// set_can_block(false);
/// let word = AtomicU32::new(0);
/// let result = wait32(&word, 0, Some(Duration::from_millis(1)));
/// assert_eq!(result, WaitResult::TimedOut);
/// set_can_block(true);
/// ```
#[cfg(any(feature = "std", not(target_family = "wasm")))]
pub fn set_can_block(can_block: bool) {
    permission::set(can_block);
}

/// Tests the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
