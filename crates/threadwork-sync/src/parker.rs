//! A parker: one thread sleeps until another lets it go on.
//!
//! # Protocol
//!
//! | word | name | meaning |
//! |---|---|---|
//! | 0 | `EMPTY` | no token |
//! | 1 | `NOTIFIED` | a token: the next park returns at once |
//! | 2 | `PARKED` | no token, and the thread sleeps or is about to |
//!
//! `park` is `NOTIFIED -> EMPTY`, or else `EMPTY -> PARKED` and a sleep while it stays.
//! `unpark` replaces whatever there is by `NOTIFIED`, and notifies if that was `PARKED`.
//! It writes even if there is a token already: the thread that takes the token must see
//! what each `unpark` before it did, which only a write can promise.
//!
//! *Giving up* is `PARKED -> EMPTY`. If a token came meanwhile it stays for the next
//! park, so that a future that is dropped loses none.
//!
//! # One thread
//!
//! Only one thread may park at a time. A second one finds `PARKED` without having set
//! it, and panics. If it gets at a token that was meant for the first one before the
//! first has woken, the first finds the word changed to `EMPTY` under it, and panics.
//! For this, and only this, an unpark notifies all.
//!
//! # No wake-up is lost
//!
//! The thread sleeps on `PARKED` only. The exchange of an `unpark` comes before the
//! futex compares, and the thread does not sleep, or after, and it replaced `PARKED`
//! and notifies.
//!
//! # Orderings
//!
//! The exchange in `unpark` releases, and taking the token acquires. Exchanges follow
//! each other in a release sequence, so all unparks before are seen.
//!
//! Sources: Rust's std, `thread_parking/futex.rs`.

use core::future::Future;
use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::futex::{Futex, Patience};
use crate::primitive::const_fn;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Resumed, Step, Waiter, block, block_forever};
use crate::wakers::Word;

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = 2;

/// A place for one thread to sleep until it is called.
///
/// [`unpark`](Self::unpark) leaves a token, [`park`](Self::park) takes it, and waits for
/// it if there is none. So a call that comes before the park is not lost. There is at
/// most one token.
///
/// Any thread may park, but only one at a time. Four bytes; all zero is without a token.
/// The parked thread may free the parker as soon as `park` returns, even if `unpark`
/// has not.
///
/// # Example
///
/// ```
/// use threadwork_sync::Parker;
///
/// let parker = Parker::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| parker.unpark());
///     parker.park();
/// });
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct Parker {
    word: Word,
}

impl Parker {
    const_fn! {
        /// A parker without a token.
        #[must_use]
        pub fn new() -> Self {
            Parker { word: Word::new(EMPTY) }
        }
    }

    /// Leaves a token, and wakes the thread that is parked. Never blocks.
    ///
    /// Whoever takes the token sees what was done before.
    #[inline]
    pub fn unpark(&self) {
        self.unpark_with(&System);
    }

    /// [`unpark`](Self::unpark), for a thread that parks in a futex of one's own.
    #[inline]
    pub fn unpark_with(&self, futex: &impl Futex) {
        let word = self.word.address();
        // Ordering: Release; pairs with the acquire in `try_park`.
        let before = self.word.swap(NOTIFIED, Ordering::Release);
        // From here on the parker may be gone: only its address is used.
        if before == PARKED {
            futex.notify(word, u32::MAX);
        }
    }

    /// Takes the token if there is one. Never blocks.
    #[inline]
    #[must_use]
    pub fn try_park(&self) -> bool {
        self.take().is_ok()
    }

    /// Takes the token; waits for it if there is none. Blocks.
    ///
    /// # Panics
    ///
    /// When another thread is parked here.
    #[inline]
    pub fn park(&self) {
        self.park_with(&System);
    }

    /// [`park`](Self::park) in a futex of one's own.
    ///
    /// # Panics
    ///
    /// When another thread is parked here.
    #[inline]
    pub fn park_with(&self, futex: &impl Futex) {
        if !self.try_park() {
            self.park_slowly(futex);
        }
    }

    #[cold]
    fn park_slowly(&self, futex: &impl Futex) {
        block_forever(futex, self.waiter());
    }

    /// Takes the token, and waits up to `timeout` for it; returns whether it got it.
    ///
    /// # Panics
    ///
    /// When another thread is parked here.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork_sync::Parker;
    ///
    /// let parker = Parker::new();
    /// assert!(!parker.park_timeout(Duration::from_millis(1)));
    /// parker.unpark();
    /// parker.unpark();
    /// assert!(parker.park_timeout(Duration::ZERO));
    /// assert!(!parker.park_timeout(Duration::ZERO), "there is at most one token");
    /// ```
    pub fn park_timeout(&self, timeout: Duration) -> bool {
        // A token that came as it gave up is taken, not left.
        self.try_park() || block(&System, self.waiter(), Some(timeout)).is_some() || self.try_park()
    }

    /// Takes the token, and waits until `deadline` for it; returns whether it got it.
    ///
    /// # Panics
    ///
    /// When another thread is parked here.
    #[cfg(feature = "std")]
    pub fn park_deadline(&self, deadline: std::time::Instant) -> bool {
        self.park_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Takes the token; waits for it without blocking the thread. A future that is
    /// dropped before it is ready leaves the token, if one came.
    ///
    /// # Panics
    ///
    /// Polling it panics when another thread or future is parked here.
    pub fn park_async(&self) -> impl Future<Output = ()> {
        Wait::new(self.waiter())
    }

    /// The wait, for [`block`](crate::block) with a timeout or [`Wait`](crate::Wait). Its
    /// steps panic when another thread is parked here.
    pub fn waiter(&self) -> ParkerWaiter<'_> {
        ParkerWaiter {
            parker: self,
            parked: false,
        }
    }

    /// Takes the token, or says what is there instead.
    #[inline]
    fn take(&self) -> Result<u32, u32> {
        // Ordering: Acquire; pairs with the release in `unpark_with`.
        self.word
            .compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed)
    }
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

/// The thread or the future that is parked at a [`Parker`].
#[derive(Debug)]
pub struct ParkerWaiter<'a> {
    parker: &'a Parker,
    /// It has set `PARKED`.
    parked: bool,
}

impl<'a> Waiter<'a> for ParkerWaiter<'a> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let word = &self.parker.word;
        loop {
            match self.parker.take() {
                Ok(_) => return Step::Done(()),
                Err(PARKED) if self.parked => return Step::Sleep(word, PARKED),
                Err(EMPTY) if self.parked => two_at_once(),
                Err(EMPTY) if resumed == Resumed::Started => {
                    return Step::Watch(word, EMPTY, Patience::Long);
                }
                Err(EMPTY) => {
                    // Ordering: Relaxed; it carries no data.
                    self.parked = word
                        .compare_exchange(EMPTY, PARKED, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok();
                    if self.parked {
                        return Step::Sleep(word, PARKED);
                    }
                }
                Err(_) => two_at_once(),
            }
        }
    }

    fn cancel(&mut self, _woken: bool) -> Option<()> {
        if self.parked {
            // Fails only if there is a token, which stays.
            // Ordering: Relaxed; it carries no data.
            let _ = self.parker.word.compare_exchange(
                PARKED,
                EMPTY,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
        None
    }
}

#[cold]
fn two_at_once() -> ! {
    panic!("two threads park at one Parker at the same time: give each a Parker of its own")
}
