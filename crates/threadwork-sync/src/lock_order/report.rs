//! What is said of locks.

#[cfg(feature = "std")]
use std::{fmt, panic::Location, string::String, vec::Vec};

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
