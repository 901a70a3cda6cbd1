//! A latch: a gate that opens once.
//!
//! # Protocol
//!
//! | word | name | meaning |
//! |---|---|---|
//! | 0 | `CLOSED` | nobody sleeps |
//! | 1 | `WAITED` | closed, and somebody may sleep |
//! | 2 | `OPEN` | for ever |
//!
//! To open is one exchange, which notifies everybody if it replaced `WAITED`. A waiter
//! watches the word, then replaces `CLOSED` by `WAITED` and sleeps while it stays.
//!
//! # No wake-up is lost
//!
//! A thread sleeps on `WAITED` only. The exchange that opens comes before the futex
//! compares, and the thread does not sleep, or after, and it replaced `WAITED` and
//! notifies everybody.
//!
//! # The latch may be gone
//!
//! A waiter that sees `OPEN` may return and free the latch (it is often on its stack)
//! while the opener is still inside `open`. So the exchange is the opener's last access;
//! the notify needs only the address, taken before. Rayon's latches had this bug
//! (rayon #739, #740).
//!
//! # Orderings
//!
//! The exchange releases what the opener did before; whoever sees `OPEN` acquires it.
//!
//! Sources: rayon-core `latch.rs` for the hazard.

use core::future::Future;
use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::futex::{Futex, Patience};
use crate::primitive::const_fn;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Resumed, Step, Waiter, block, block_forever};
use crate::wakers::Word;

const CLOSED: u32 = 0;
const WAITED: u32 = 1;
const OPEN: u32 = 2;

/// A gate that opens once, and stays open: one thread says that something is done,
/// any number wait for it.
///
/// Four bytes; all zero is closed. A waiter may free the latch as soon as its wait
/// returns, even if [`open`](Self::open) has not.
///
/// # Example
///
/// ```
/// use threadwork_sync::Latch;
///
/// let ready = Latch::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| ready.open());
///     ready.wait();
/// });
/// assert!(ready.is_open());
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct Latch {
    word: Word,
}

impl Latch {
    const_fn! {
        /// A closed latch.
        #[must_use]
        pub fn new() -> Self {
            Latch { word: Word::new(CLOSED) }
        }
    }

    /// Opens the latch for ever, and wakes everybody who waits. Never blocks.
    ///
    /// To open it again does nothing.
    #[inline]
    pub fn open(&self) {
        self.open_with(&System);
    }

    /// [`open`](Self::open), for those who wait in a futex of one's own.
    #[inline]
    pub fn open_with(&self, futex: &impl Futex) {
        let word = self.word.address();
        // Ordering: Release; pairs with the acquire in `is_open`.
        let before = self.word.swap(OPEN, Ordering::Release);
        // From here on the latch may be gone: only its address is used.
        if before == WAITED {
            futex.notify(word, u32::MAX);
        }
    }

    /// Whether it is open. If so, what was done before it was opened is visible.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        // Ordering: Acquire; pairs with the release in `open_with`.
        self.word.load(Ordering::Acquire) == OPEN
    }

    /// Waits until the latch is open. Blocks.
    #[inline]
    pub fn wait(&self) {
        self.wait_with(&System);
    }

    /// [`wait`](Self::wait) in a futex of one's own.
    #[inline]
    pub fn wait_with(&self, futex: &impl Futex) {
        if !self.is_open() {
            self.wait_slowly(futex);
        }
    }

    #[cold]
    fn wait_slowly(&self, futex: &impl Futex) {
        block_forever(futex, self.waiter());
    }

    /// Waits until the latch is open, or for `timeout`; returns whether it is open.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork_sync::Latch;
    ///
    /// let latch = Latch::new();
    /// assert!(!latch.wait_timeout(Duration::from_millis(1)));
    /// latch.open();
    /// assert!(latch.wait_timeout(Duration::ZERO));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_open() || block(&System, self.waiter(), Some(timeout)).is_some()
    }

    /// Waits until the latch is open, or until `deadline`; returns whether it is open.
    #[cfg(feature = "std")]
    pub fn wait_deadline(&self, deadline: std::time::Instant) -> bool {
        self.wait_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Waits until the latch is open, without blocking the thread.
    pub fn wait_async(&self) -> impl Future<Output = ()> {
        Wait::new(self.waiter())
    }

    /// The wait, for [`block`](crate::block) with a timeout or [`Wait`](crate::Wait).
    pub fn waiter(&self) -> LatchWaiter<'_> {
        LatchWaiter {
            latch: self,
            watched: None,
        }
    }
}

impl Default for Latch {
    fn default() -> Self {
        Self::new()
    }
}

/// A thread or a future that waits for a [`Latch`].
#[derive(Debug)]
pub struct LatchWaiter<'a> {
    latch: &'a Latch,
    /// The value that it has watched. Others going to sleep end its watch, but are no
    /// reason to sleep.
    watched: Option<u32>,
}

impl<'a> Waiter<'a> for LatchWaiter<'a> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let word = &self.latch.word;
        // Ordering: Acquire; pairs with the release in `open_with`.
        let mut state = word.load(Ordering::Acquire);
        loop {
            if state == OPEN {
                return Step::Done(());
            }
            if matches!(resumed, Resumed::Started | Resumed::Watched) && self.watched != Some(state)
            {
                self.watched = Some(state);
                return Step::Watch(word, state, Patience::Long);
            }
            // `WAITED`, or nonsense that another program has written there.
            if state != CLOSED {
                return Step::Sleep(word, state);
            }
            // Ordering: Relaxed if it succeeds, it carries no data; Acquire if not, as
            // above.
            match word.compare_exchange(CLOSED, WAITED, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return Step::Sleep(word, WAITED),
                Err(now) => state = now,
            }
        }
    }

    fn cancel(&mut self, _woken: bool) -> Option<()> {
        None
    }
}
