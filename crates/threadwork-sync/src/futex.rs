//! The port: where every primitive of this crate sleeps, and nowhere else.
//!
//! A futex compares and sleeps in one step, and wakes by address. That is all that
//! the primitives ask for, so one implementation of each serves a guest thread and a
//! native thread ([`System`](crate::System)), and a host thread that works on an
//! object inside a guest's linear memory (a port of the host's).

use core::time::Duration;

pub use wasm_futex::WaitResult;

use crate::primitive::AtomicU32;

/// For how long to watch a word before going to sleep on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Patience {
    /// A critical section or two: far less than a sleep costs. Somebody else may
    /// take what the word stands for, so a long look is a waste.
    Brief,
    /// About what a sleep and a wake-up cost: whoever changes the word answers the
    /// watcher, and nobody else.
    Long,
}

/// Where threads sleep.
///
/// The primitives stay sound over any implementation: exclusion rests on their own
/// atomics alone. What a wrong one breaks is progress. The rules:
///
/// - the comparison in [`wait`](Self::wait) and the start of the sleep are one step
///   for every [`notify`](Self::notify) of that word;
/// - a notify wakes waiters that there are: a count of one wakes a waiter if there is
///   one. The order should be first in, first out: bounds on waiting rest on it;
/// - a notify that woke a waiter must not be lost to a timeout of that waiter: it
///   returns `Woken`, or the notify wakes another.
///
/// A wait may return [`WaitResult::Woken`] without a notify: the primitives look again.
/// One without a timeout may return [`WaitResult::TimedOut`] if nobody is left who could
/// notify, as when a guest has ended: [`block`](crate::block) gives up then, and what
/// blocks without [`block`](crate::block) panics.
/// A notify may say that it woke more or fewer than it did: nothing hangs by that.
pub trait Futex {
    /// Sleeps while `word` has the value `expected`, until notified or for `timeout`;
    /// `None` is for ever.
    ///
    /// Blocks. Where the calling thread may not sleep (a browser's main thread), an
    /// implementation polls the word instead.
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult;

    /// Wakes up to `count` threads that sleep on `word`, and returns how many threads
    /// it woke. (Futures may be woken, too; they are not threads.)
    ///
    /// `word` is an address and is not read: the object that it was part of may be
    /// gone by now, and another may live there.
    fn notify(&self, word: *const AtomicU32, count: u32) -> u32;

    /// What `word` stands for was freed, and nobody is notified, since somebody was before who
    /// has yet to act. Only a hint: [`System`](crate::System) wakes another future if the one
    /// that it had woken is not polled.
    #[doc(hidden)]
    #[inline]
    fn note_release(&self, word: *const AtomicU32) {
        let _ = word;
    }

    /// The time since some fixed moment, never going back; `None` where there is no
    /// clock. Then a wait with a timeout that is interrupted starts its timeout anew.
    fn now(&self) -> Option<Duration>;

    /// Watches `word` until it differs from `expected` or `patience` is over, without
    /// sleeping. Only a hint: to return at once is correct.
    fn watch(&self, word: &AtomicU32, expected: u32, patience: Patience);

    /// Lets a thread run that was just woken, should it have been put on the core of
    /// the caller. Only a hint: to return at once is correct.
    fn give_way(&self) {}
}

impl<F: Futex + ?Sized> Futex for &F {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
        (**self).wait(word, expected, timeout)
    }

    fn notify(&self, word: *const AtomicU32, count: u32) -> u32 {
        (**self).notify(word, count)
    }

    fn note_release(&self, word: *const AtomicU32) {
        (**self).note_release(word);
    }

    fn now(&self) -> Option<Duration> {
        (**self).now()
    }

    fn watch(&self, word: &AtomicU32, expected: u32, patience: Patience) {
        (**self).watch(word, expected, patience);
    }

    fn give_way(&self) {
        (**self).give_way();
    }
}
