//! Finds cycles of locks, in debug builds, before they hang.
//!
//! A build with `debug_assertions` or the feature `lock-order`, and `std`, watches every
//! [`Mutex`](crate::Mutex) and [`RwLock`](crate::RwLock). In other builds nothing of it
//! is there: no field, no code. What it watches costs far more than an uncontended lock.
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

#[cfg(feature = "std")]
use std::{fmt, panic::Location, string::String, vec::Vec};

#[cfg(not(all(
    any(debug_assertions, feature = "lock-order"),
    feature = "std",
    not(loom)
)))]
mod off;
#[cfg(all(
    any(debug_assertions, feature = "lock-order"),
    feature = "std",
    not(loom)
))]
mod on;

#[cfg(not(all(
    any(debug_assertions, feature = "lock-order"),
    feature = "std",
    not(loom)
)))]
pub(crate) use off::{Order, Place};
#[cfg(all(
    any(debug_assertions, feature = "lock-order"),
    feature = "std",
    not(loom)
))]
pub(crate) use on::{Order, Place};

/// How a lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Exclusive,
    Shared,
}

/// Two orders in which locks were taken that do not go together.
#[cfg(feature = "std")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What is done now.
    pub now: Taken,
    /// What was done before: from the lock that is taken now, in one step or several,
    /// to the one that is held.
    pub before: Vec<Taken>,
}

/// A thread took one lock while it held another.
#[cfg(feature = "std")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Taken {
    /// The name of the thread.
    pub thread: String,
    /// The address of the lock that it held.
    pub held: usize,
    /// Where it had taken that.
    pub held_since: &'static Location<'static>,
    /// The address of the lock that it took.
    pub lock: usize,
    /// Where it took that.
    pub at: &'static Location<'static>,
}

#[cfg(feature = "std")]
impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "thread '{}' took lock {:#x} at {} while it held lock {:#x} since {}",
            self.thread, self.lock, self.at, self.held, self.held_since
        )
    }
}

#[cfg(feature = "std")]
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "locks are taken in two orders, which can deadlock:")?;
        for taken in self.before.iter().chain([&self.now]) {
            write!(f, "\n  {taken}")?;
        }
        f.write_str("\n  take them in the same order everywhere")
    }
}

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
    #[cfg(all(any(debug_assertions, feature = "lock-order"), not(loom)))]
    on::set_handler(handler);
    #[cfg(not(all(any(debug_assertions, feature = "lock-order"), not(loom))))]
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
    #[cfg(all(any(debug_assertions, feature = "lock-order"), not(loom)))]
    on::set_deadlock_handler(handler);
    #[cfg(not(all(any(debug_assertions, feature = "lock-order"), not(loom))))]
    let _ = handler;
}
