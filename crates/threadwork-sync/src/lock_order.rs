//! Finds cycles of locks, in debug builds, before they hang.
//!
//! A build with `debug_assertions` watches every [`Mutex`](crate::Mutex) and
//! [`RwLock`](crate::RwLock), unless the feature `lock-order-debug` is off, which is a default;
//! with the feature `lock-order` every build does. In other builds nothing of it is there: no
//! field, no code. What it watches costs far more than an uncontended lock.
//!
//! *Deadlocks*: a thread that waits for a lock whose holder waits, directly or over
//! others, for a lock that this thread has, says so, to standard error or to the handler
//! that was [set](set_deadlock_handler), and waits on. The message names each thread, what
//! it waits for and where, and who has that since where. That includes locking a mutex
//! twice, and reading what one reads already while a writer waits. It comes when the cycle
//! has stood for half a second, once for each wait. A wait with a timeout ends, and is no
//! part of a deadlock.
//!
//! It is a report and no panic, because it may be wrong: a guard may have been sent to another
//! thread, which frees the lock later, and nobody can tell before it does. A program that
//! sends no guards sets a handler that panics, and so ends where it would hang.
//!
//! *Order*: when one thread takes B while it holds A, and another took A while it held
//! B, at whatever time, they can deadlock on a bad day. Each such pair is reported once,
//! to standard error or to the handler that was [set](set_handler), also if it took
//! several locks from B to A. `try_lock` takes in any order, since it does not wait; what
//! is taken while its guard is held counts. A third lock that is always held around both
//! orders makes them harmless, and they are reported nevertheless.
//!
//! A lock is known by its address. What is known of it is forgotten when it is dropped;
//! of a lock that is moved when nobody holds it, or leaked, it is not. So an order is
//! never a panic.
//!
//! A lock that a future took is held by no thread, and so in no cycle. Once a guard was
//! dropped on another thread than the one that locked, who has that lock is anybody's
//! guess, and from then on the lock is in no cycle either.
//!
//! The watching allocates. So a global allocator locks a [`RawMutex`](crate::RawMutex),
//! which is not watched, and not a `Mutex`.

#[cfg(not(all(
    any(
        all(debug_assertions, feature = "lock-order-debug"),
        feature = "lock-order"
    ),
    feature = "std",
    not(loom)
)))]
mod off;
#[cfg(all(
    any(
        all(debug_assertions, feature = "lock-order-debug"),
        feature = "lock-order"
    ),
    feature = "std",
    not(loom)
))]
mod on;

#[cfg(not(all(
    any(
        all(debug_assertions, feature = "lock-order-debug"),
        feature = "lock-order"
    ),
    feature = "std",
    not(loom)
)))]
pub(crate) use off::{CallSite, Order};
#[cfg(all(
    any(
        all(debug_assertions, feature = "lock-order-debug"),
        feature = "lock-order"
    ),
    feature = "std",
    not(loom)
))]
pub(crate) use on::{CallSite, Order};

mod report;

pub(crate) use report::Access;
#[cfg(feature = "std")]
pub use report::{Report, Taken};

/// From now on each [`Report`] goes to `handler`, and not to standard error. Where the
/// checks are off it is never called.
///
/// It is called in the thread that takes the lock, before it does. The locks that it
/// takes itself are not checked.
///
/// # Example
///
/// ```
/// use threadwork_sync::{Mutex, lock_order};
///
/// lock_order::set_handler(|report| println!("{}", report.now.at));
///
/// let accounts = Mutex::new(());
/// let journal = Mutex::new(());
/// {
///     let _accounts = accounts.lock();
///     let _journal = journal.lock();
/// }
/// let _journal = journal.lock();
/// // In a debug build, this line is printed.
/// let _accounts = accounts.lock();
/// ```
#[cfg(feature = "std")]
pub fn set_handler(handler: fn(&Report)) {
    #[cfg(all(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        not(loom)
    ))]
    on::set_handler(handler);
    #[cfg(not(all(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        not(loom)
    )))]
    let _ = handler;
}

/// From now on what is said of a deadlock goes to `handler`, and not to standard error. Where
/// the checks are off it is never called.
///
/// It is called in a thread that waits. If it returns, the thread waits on; if it panics, so
/// does the call that waits. The locks that it takes itself are not checked. A thread that
/// is panicking already prints the message.
///
/// # Example
///
/// A program that never sends a guard to another thread ends instead of hanging:
///
/// ```
/// threadwork_sync::lock_order::set_deadlock_handler(|message| panic!("{message}"));
/// ```
#[cfg(feature = "std")]
pub fn set_deadlock_handler(handler: fn(&str)) {
    #[cfg(all(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        not(loom)
    ))]
    on::set_deadlock_handler(handler);
    #[cfg(not(all(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        not(loom)
    )))]
    let _ = handler;
}
