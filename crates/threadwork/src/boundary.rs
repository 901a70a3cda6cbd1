//! Where a thread of ours calls code of the user's that nobody else waits for.
//!
//! A closure's panic is told to whoever waits for its result. But a value may panic when it is
//! dropped, a hook when it is called, and so may the payload of any such panic. The rule for all
//! of them: *such a panic has been reported by the panic hook, and ends there*. The thread goes on
//! with what comes next; no worker is lost, nothing that is counted is forgotten. (Wakers are
//! called by `threadwork-sync`, by the same rule.)
//!
//! Invariant: no worker, nor any thread that does another's work, calls such code but by this.

#[cfg(not(loom))]
use std::mem;
#[cfg(not(loom))]
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls it, and goes on after its panic.
#[cfg(not(loom))]
pub(crate) fn call<R>(body: impl FnOnce() -> R) {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => discard(result),
        Err(payload) => discard(payload),
    }
}

/// Drops it, and goes on after its panic.
#[cfg(not(loom))]
pub(crate) fn discard<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value)))
        && let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        // It could go on like this for ever.
        mem::forget(another);
    }
}

/// Loom ends a model by a panic, which must be seen.
#[cfg(loom)]
pub(crate) fn call<R>(body: impl FnOnce() -> R) {
    body();
}

#[cfg(loom)]
pub(crate) fn discard<T>(value: T) {
    drop(value);
}
