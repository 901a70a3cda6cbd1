//! Threads: std's, and what std lacks in a guest. Stands in for `std::thread`.
//!
//! `std::thread` works in a guest as it does natively, so most of this module is a
//! re-export, and a program that has `use threadwork::thread` in the place of
//! `use std::thread` compiles as it did. What is added:
//!
//! * [`available_parallelism`] asks the host. std cannot tell in a guest.
//! * A guest's stack lies in its linear memory, between other things, and on most hosts nothing
//!   stops a thread that runs past its end: it overwrites its neighbours in the heap, and the
//!   program goes wrong elsewhere, later. Threadwork's hosts look at each function's entry, and end
//!   the program with a report before anything is overwritten, whoever has started the thread
//!   (in Node and browsers with `stackCheck`). For other hosts, threads that [`spawn`] and
//!   [`Builder`] start have a guard at the end of their stack, which is looked at when the thread
//!   ends and whenever [`check_stack`] is called; what it finds ends the program with a message
//!   that says which thread it was, as far as the overflow has left it what it needs. Threads of a
//!   [`scope`], which is std's, have no guard unless a [`Builder`] starts them.
//!   [`stack_remaining`] tells how much is left. Natively the system's guard pages do better:
//!   nothing is added there. A guest's main thread needs none either, where Rust has linked it:
//!   below its stack the memory ends.
//!
//! A [`scope`] of this module starts a thread for each `spawn`, which may block as it likes;
//! [`threadwork::scope`](crate::scope) has a pool run jobs that compute.

mod builder;
mod limited;
mod parallelism;
mod stack;

pub use std::thread::{
    AccessError, JoinHandle, LocalKey, Result, Scope, ScopedJoinHandle, Thread, ThreadId, current,
    panicking, park, park_timeout, scope, sleep, yield_now,
};

pub use builder::Builder;
/// For `threadwork-runtime`. It changes without notice.
#[doc(hidden)]
pub use limited::LimitedJoin;
pub use parallelism::available_parallelism;
pub use stack::{check_stack, stack_remaining, stack_size};

/// Starts a thread. Dropping the handle leaves it running.
///
/// # Panics
///
/// When the system has no thread left; [`Builder::spawn`] returns an error instead.
///
/// # Example
///
/// ```
/// let answer = threadwork::thread::spawn(|| 6 * 7);
/// assert_eq!(answer.join().unwrap(), 42);
/// ```
pub fn spawn<F, T>(body: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match Builder::new().spawn(body) {
        Ok(handle) => handle,
        Err(error) => {
            panic!("no thread could be started: {error}; use `Builder::spawn` to go on without")
        }
    }
}
