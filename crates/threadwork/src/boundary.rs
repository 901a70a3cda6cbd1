//! Where a thread of ours calls code of the user's that nobody else waits for.
//!
//! A closure's panic is told to whoever waits for its result. But a value may panic when it is
//! dropped, a waker when it is called, a hook too, and so may the payload of any such panic. The
//! rule for all of them: *such a panic has been reported by the panic hook, and ends there*. The
//! thread goes on with what comes next; no worker is lost, nothing that is counted is forgotten.
//!
//! Invariant: no worker, nor any thread that does another's work, calls such code but by this.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls it; nothing if it panics.
pub(crate) fn call<R>(body: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => Some(result),
        Err(payload) => {
            discard(payload);
            None
        }
    }
}

/// Drops it.
pub(crate) fn discard<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value)))
        && let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        // It could go on like this for ever.
        mem::forget(another);
    }
}
