//! Where foreign code is called that must not stop what its caller has begun.
//!
//! A waker is called while others of its batch still wait, and often in a destructor, where a
//! second panic ends the program. It is called by whoever unlocks or sends, who has nothing to
//! do with it. So its panic ends here: the panic hook has reported it, and nothing else is
//! wrong. The same goes for a waker's destructor and for a scheduler's
//! [`PriorityHook`](crate::PriorityHook).
//!
//! What a program calls by itself (the closure of a `Once`, the condition of a wait, the
//! destructor of a message that it drops) is not contained: its panic goes on to the caller,
//! and leaves the primitive as if the call had ended.
//!
//! Without `std` no panic can be stopped. Then it ends the program, rather than lose the
//! wake-ups of others.

/// Calls foreign code, and goes on after its panic.
#[cfg(all(feature = "std", not(loom)))]
pub(crate) fn contain(call: impl FnOnce()) {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    // Nothing of the caller's is seen by `call`, so nothing is left half done.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call))
        // What was thrown is foreign, too.
        && let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        core::mem::forget(payload);
    }
}

/// Loom ends a model by a panic, which must be seen.
#[cfg(all(feature = "std", loom))]
pub(crate) fn contain(call: impl FnOnce()) {
    call();
}

#[cfg(not(feature = "std"))]
pub(crate) fn contain(call: impl FnOnce()) {
    struct End;

    impl Drop for End {
        fn drop(&mut self) {
            // In a panic this is the second one.
            panic!("a waker panicked while others were to be woken: use the feature `std`");
        }
    }

    let end = End;
    call();
    core::mem::forget(end);
}
