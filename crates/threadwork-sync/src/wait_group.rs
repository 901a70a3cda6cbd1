//! A wait group: threads wait until a number of tasks, which may grow, are done.
//!
//! # Protocol
//!
//! | bits | name | meaning |
//! |---|---|---|
//! | 0 | `WAITED` | somebody may sleep; means nothing while the count is zero |
//! | 1..32 | count | tasks that are not done |
//!
//! `done` is one subtraction. The one that brings the count to zero notifies everybody
//! if `WAITED` was set. It cannot clear the bit any more: a waiter that sees the zero may
//! return and free the group. So the bit stays, and the addition that starts the next
//! round clears it. A waiter watches the word, then sets `WAITED` and sleeps while the
//! word stays what it saw; until the last, a `done` changes the word without notifying,
//! which keeps a waiter from falling asleep at worst once for each task.
//!
//! # No wake-up is lost
//!
//! A thread sleeps on a word that has `WAITED` and a count. Only an addition to a zero
//! count clears the bit, so whoever brings the count to zero sees it, and notifies
//! everybody that sleeps. If the next round has begun when they look, they wait for its
//! end, and set the bit again.
//!
//! # Orderings
//!
//! Each `done` releases, and a waiter acquires the zero. In between there are only
//! read-modify-writes, which continue the release sequences. Additions may be relaxed:
//! whoever adds while others wait holds a task that is not done.
//!
//! Sources: Go's `sync.WaitGroup`.

use core::future::Future;
use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::futex::{Futex, Patience};
use crate::primitive::const_fn;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Resumed, Step, Waiter, block, block_forever};
use crate::wakers::Word;

const WAITED: u32 = 1;
const ONE: u32 = 1 << 1;
const MAX_TASKS: u32 = u32::MAX / ONE;

/// Values of the word that a waiter watches before it sleeps. Tasks that end in quick
/// succession end each other's watches; a long row of tasks is not worth a spin.
const WATCHES: u32 = 16;

/// A count of tasks, and a wait until it is zero.
///
/// Four bytes; all zero is a group without tasks. A waiter may free the group as soon
/// as its wait returns, even if the last [`done`](Self::done) has not.
///
/// # Rules
///
/// - Add a task before the thread that does it may call `done`, and before anybody
///   waits for it: a wait that finds no task returns at once. A task may add more.
/// - The group can be used again. A wait that overlaps with an [`add`](Self::add) to an
///   empty group may take its tasks for the old ones, and wait for them as well.
///
/// # Example
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use threadwork_sync::WaitGroup;
///
/// let group = WaitGroup::new();
/// let sum = AtomicU32::new(0);
/// std::thread::scope(|scope| {
///     for n in 1..=4 {
///         let token = group.token();
///         let sum = &sum;
///         scope.spawn(move || {
///             sum.fetch_add(n, Ordering::Relaxed);
///             drop(token);
///         });
///     }
///     group.wait();
///     assert_eq!(sum.load(Ordering::Relaxed), 10);
/// });
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct WaitGroup {
    word: Word,
}

impl WaitGroup {
    const_fn! {
        /// A group without tasks.
        #[must_use]
        pub fn new() -> Self {
            WaitGroup { word: Word::new(0) }
        }
    }

    /// Adds `tasks` that must be [`done`](Self::done). Never blocks.
    ///
    /// # Panics
    ///
    /// When there would be more than 2^31 - 1 tasks. Then none is added.
    pub fn add(&self, tasks: u32) {
        // Ordering: Relaxed here and below; see the module on additions.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let count = (word / ONE)
                .checked_add(tasks)
                .filter(|count| *count <= MAX_TASKS)
                .unwrap_or_else(|| too_many());
            let waited = if word < ONE { 0 } else { word & WAITED };
            match self.word.compare_exchange_weak(
                word,
                (count * ONE) | waited,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Says that one task is done, and wakes everybody if it was the last. Never blocks.
    ///
    /// # Panics
    ///
    /// When there is no task.
    #[inline]
    pub fn done(&self) {
        self.done_with(&System);
    }

    /// [`done`](Self::done), for those who wait in a futex of one's own.
    ///
    /// # Panics
    ///
    /// When there is no task.
    #[inline]
    pub fn done_with(&self, futex: &impl Futex) {
        let word = self.word.address();
        // Ordering: Release; pairs with the acquire in `count`.
        let before = self.word.fetch_sub(ONE, Ordering::Release);
        // From here on the group may be gone: only its address is used.
        if before == ONE | WAITED {
            futex.notify(word, u32::MAX);
        } else if before < ONE {
            self.too_few();
        }
    }

    #[cold]
    fn too_few(&self) -> ! {
        // Ordering: Relaxed; as if nothing had been.
        self.word.fetch_add(ONE, Ordering::Relaxed);
        panic!("a wait group's task was done that was never added: add each task before it starts");
    }

    /// Adds a task that is done when the token is dropped, by a panic too.
    ///
    /// # Panics
    ///
    /// As [`add`](Self::add).
    pub fn token(&self) -> WaitGroupToken<'_> {
        self.add(1);
        WaitGroupToken { group: self }
    }

    /// The tasks that are not done at this moment. If there are none, what was done
    /// before their end is visible.
    #[inline]
    #[must_use]
    pub fn count(&self) -> u32 {
        // Ordering: Acquire; pairs with the release in `done_with`.
        self.word.load(Ordering::Acquire) / ONE
    }

    /// Waits until there is no task that is not done. Blocks.
    #[inline]
    pub fn wait(&self) {
        self.wait_with(&System);
    }

    /// [`wait`](Self::wait) in a futex of one's own.
    #[inline]
    pub fn wait_with(&self, futex: &impl Futex) {
        if self.count() != 0 {
            self.wait_slowly(futex);
        }
    }

    #[cold]
    fn wait_slowly(&self, futex: &impl Futex) {
        block_forever(futex, self.waiter());
    }

    /// Waits until there is no task, or for `timeout`; returns whether there is none.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork_sync::WaitGroup;
    ///
    /// let group = WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_timeout(Duration::from_millis(1)));
    /// group.done();
    /// assert!(group.wait_timeout(Duration::ZERO));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.count() == 0 || block(&System, self.waiter(), Some(timeout)).is_some()
    }

    /// Waits until there is no task, or until `deadline`; returns whether there is none.
    #[cfg(feature = "std")]
    pub fn wait_deadline(&self, deadline: std::time::Instant) -> bool {
        self.wait_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Waits until there is no task, without blocking the thread.
    pub fn wait_async(&self) -> impl Future<Output = ()> {
        Wait::new(self.waiter())
    }

    /// The wait, for [`block`](crate::block) with a timeout or [`Wait`](crate::Wait).
    pub fn waiter(&self) -> WaitGroupWaiter<'_> {
        WaitGroupWaiter {
            group: self,
            watched: None,
            watches: WATCHES,
        }
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

#[cold]
fn too_many() -> ! {
    panic!("a wait group counts up to {MAX_TASKS} tasks: wait for some before adding more")
}

/// A task of a [`WaitGroup`]: done when this is dropped. A clone is another task.
#[must_use = "if unused the task is done at once"]
#[derive(Debug)]
pub struct WaitGroupToken<'a> {
    group: &'a WaitGroup,
}

impl Clone for WaitGroupToken<'_> {
    fn clone(&self) -> Self {
        self.group.token()
    }
}

impl Drop for WaitGroupToken<'_> {
    fn drop(&mut self) {
        self.group.done();
    }
}

/// A thread or a future that waits for a [`WaitGroup`].
#[derive(Debug)]
pub struct WaitGroupWaiter<'a> {
    group: &'a WaitGroup,
    /// The value that it watched last.
    watched: Option<u32>,
    /// How many more it watches.
    watches: u32,
}

impl<'a> Waiter<'a> for WaitGroupWaiter<'a> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let word = &self.group.word;
        // Ordering: Acquire here and below; pairs with the release in `done_with`.
        let mut state = word.load(Ordering::Acquire);
        loop {
            if state < ONE {
                return Step::Done(());
            }
            if matches!(resumed, Resumed::Started | Resumed::Watched)
                && self.watches > 0
                && self.watched != Some(state)
            {
                self.watched = Some(state);
                self.watches -= 1;
                return Step::Watch(word, state, Patience::Long);
            }
            if state & WAITED != 0 {
                return Step::Sleep(word, state);
            }
            match word.compare_exchange_weak(
                state,
                state | WAITED,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => return Step::Sleep(word, state | WAITED),
                Err(now) => state = now,
            }
        }
    }

    fn cancel(&mut self, _woken: bool) -> Option<()> {
        None
    }
}
