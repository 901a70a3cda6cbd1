//! The one place that switches between the real primitives and loom's, so that
//! the code that is model-checked is the code that ships.

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, fence},
    },
    thread::{Thread, current, park, park_timeout},
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, fence},
    },
    thread::{Thread, current, park},
};

/// Loom has no clock: a timed park is a yield, after which the caller's
/// deadline is taken as passed.
#[cfg(loom)]
pub(crate) fn park_timeout(_: std::time::Duration) {
    loom::thread::yield_now();
}
