//! A mutual exclusion lock in one word, without the data.
//!
//! # Protocol
//!
//! | bit | name | meaning |
//! |---|---|---|
//! | 0 | `LOCKED` | somebody holds the lock |
//! | 1 | `WAITERS` | somebody may sleep: the unlock must notify |
//! | 2 | `STARVING` | a waiter lost too often: who has not slept may not take the lock |
//!
//! The other bits are zero. The fast paths are `0 -> LOCKED` and `LOCKED -> 0`, one
//! compare-and-swap each.
//!
//! *To lock*, a thread takes the word when `LOCKED` is clear. If it is set, it
//! watches for about a critical section, unless others wait already, then sets
//! `WAITERS` and sleeps while the word stays what it saw. Whoever has slept takes the
//! lock with `WAITERS` set, since others may sleep behind it.
//!
//! *To unlock*, the holder clears `LOCKED` and `WAITERS` together, and notifies one
//! sleeper if `WAITERS` was set. The lock is free at once, and whoever comes may take
//! it before the woken thread is there (*barging*): handing it to a thread that is not
//! running yet would keep everybody waiting for a wake-up.
//!
//! *Bounded unfairness*: a waiter that was woken [`LOSSES`] times in vain, or once in
//! vain after it has waited for [`STARVING_AFTER`], or for so long without getting to sleep,
//! since the word changed each time, sets `STARVING` before it sleeps again.
//! While it is set, only threads that were woken, and those that set it, may take the
//! lock; all others queue behind. So the lock goes down the futex'
//! first-in-first-out queue and comes to the starving waiter after those before it. It
//! clears the bit when it has the lock. And whoever wakes a thread gives way to it
//! ([`Futex::give_way`]): a system that puts the woken thread on the very core of the
//! thread that hogs the lock may let it wait there for milliseconds.
//!
//! # No wake-up is lost
//!
//! Claim: if the lock is free and a thread sleeps, then a thread is awake that will
//! take the lock or pass the wake-up on. A thread sleeps only on a value with
//! `WAITERS` set, and the futex compares in the same step. So the unlock that cleared
//! that bit came after the sleep began, and notified. If the sleeper was not the one
//! to wake, another was, which sets `WAITERS` again when it takes the lock, or before
//! it sleeps again, or when it gives up (`cancel`), or else notifies the next. The
//! claim holds with `STARVING` set, too: a thread that finds a free lock which it may
//! not take sleeps on a word that only changes when a thread that was woken, or the
//! starving one, comes: the one that the last unlock woke, or the starving thread
//! itself if nobody slept. A starving thread that gives up clears the bit and notifies.
//!
//! # Orderings
//!
//! The acquire compare-and-swap that sets `LOCKED` reads from the release that cleared
//! it (or from a read-modify-write after it, which is in its release sequence): that
//! is the edge from one critical section to the next. Everything else may be relaxed:
//! the futex orders its comparison against a notify, and the announcements carry no
//! data.
//!
//! Sources: U. Drepper, "Futexes are tricky" (mutex 3); Rust's std; nsync's `mu.c` for
//! the count of losses, Go's `sync.Mutex` for the time.

use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::futex::{Futex, Patience};
use crate::primitive::const_fn;
use crate::waiter::{Resumed, Step, Waiter, block_forever};
use crate::wakers::Word;

const LOCKED: u32 = 1;
const WAITERS: u32 = 1 << 1;
const STARVING: u32 = 1 << 2;

/// After how many wake-ups in vain a waiter may no longer be passed by newcomers. A loss
/// costs the loser a sleep and a wake-up; a forced hand-over costs everybody one.
#[doc(hidden)]
pub const LOSSES: u32 = if cfg!(loom) { 1 } else { 8 };

/// After what time a waiter that was woken in vain may no longer be passed.
#[doc(hidden)]
pub const STARVING_AFTER: Duration = Duration::from_millis(1);

/// A lock in four bytes: all zero is unlocked.
///
/// This is the lock for those who bring their own data and their own
/// [`Futex`]: a host that locks what a guest locks, an allocator, other languages'
/// objects. Rust data belongs into a [`Mutex`](crate::Mutex).
#[repr(transparent)]
#[derive(Debug)]
pub struct RawMutex {
    word: Word,
}

impl RawMutex {
    const_fn! {
        /// An unlocked lock.
        #[must_use]
        pub fn new() -> Self {
            RawMutex { word: Word::new(0) }
        }
    }

    /// Takes the lock if it is free and nobody is starving for it. Never blocks.
    #[inline]
    #[must_use]
    pub fn try_lock(&self) -> bool {
        // Ordering: Acquire; pairs with the release in `unlock_with`.
        self.word
            .compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the lock. Blocks in `futex`.
    #[inline]
    pub fn lock_with(&self, futex: &impl Futex) {
        if !self.try_lock() {
            self.lock_slowly(futex);
        }
    }

    #[cold]
    fn lock_slowly(&self, futex: &impl Futex) {
        block_forever(futex, self.acquire(futex));
    }

    /// The wait for the lock, for [`block`](crate::block) with a timeout or
    /// [`Wait`](crate::Wait). Whoever gets its output holds the lock.
    pub fn acquire<'a, F: Futex>(&'a self, futex: &'a F) -> Acquire<'a, F> {
        Acquire {
            mutex: self,
            futex,
            slept: false,
            entitled: false,
            starving: false,
            losses: 0,
            refusals: 0,
            since: None,
            is_future: false,
        }
    }

    /// Frees the lock, and wakes one thread if one may wait.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and gives up whatever it protects. It need not be
    /// the thread that took it.
    ///
    /// # Panics
    ///
    /// When nobody holds the lock.
    #[inline]
    pub unsafe fn unlock_with(&self, futex: &impl Futex) {
        // Ordering: Release; pairs with the acquires in `try_lock` and `step`.
        let address = self.word.address();
        match self
            .word
            .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)
        {
            // The lock may be gone: only its address is used.
            Ok(_) => futex.note_release(address),
            Err(_) => self.unlock_slowly(futex),
        }
    }

    #[cold]
    fn unlock_slowly(&self, futex: &impl Futex) {
        let word = self.word.address();
        // Ordering: Release, as in `unlock_with`.
        let before = self.word.fetch_and(STARVING, Ordering::Release);
        assert!(
            before & LOCKED != 0,
            "a mutex was unlocked that nobody holds: unlock once for each lock"
        );
        // From here on the lock may be gone: only its address is used.
        futex.notify(word, 1);
        futex.give_way();
    }

    /// Whether somebody holds the lock at this moment.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        // Ordering: Relaxed; the answer may be old when it arrives.
        self.word.load(Ordering::Relaxed) & LOCKED != 0
    }
}

impl Default for RawMutex {
    fn default() -> Self {
        Self::new()
    }
}

/// A thread or a future that waits for a [`RawMutex`].
#[derive(Debug)]
pub struct Acquire<'a, F: Futex> {
    mutex: &'a RawMutex,
    futex: &'a F,
    /// It has queued, so that others may be queued behind it.
    slept: bool,
    /// It was woken and has not slept since, or is the one that starves.
    entitled: bool,
    /// It has set `STARVING`.
    starving: bool,
    /// How often it was woken and came too late.
    losses: u32,
    /// How often the word changed before it slept.
    refusals: u32,
    /// When it went to sleep first, if there is a clock.
    since: Option<Duration>,
    is_future: bool,
}

impl<F: Futex> Acquire<'_, F> {
    /// Never sets `STARVING`. For futures: nobody knows when, or whether, one that is
    /// woken is polled, and until then the lock would be free and yet nobody's.
    pub(crate) fn never_starving(mut self) -> Self {
        self.is_future = true;
        self
    }

    /// Whether it has waited for long enough to hold others back.
    fn is_late(&self) -> bool {
        // The clock costs as much as a short critical section.
        if self.is_future || (self.losses == 0 && self.refusals < LOSSES) {
            return false;
        }
        let waited = self.since.zip(self.futex.now());
        self.losses >= LOSSES
            || waited.is_some_and(|(since, now)| now.saturating_sub(since) >= STARVING_AFTER)
    }

    fn may_take(&self, state: u32) -> bool {
        state & LOCKED == 0 && (state & STARVING == 0 || self.entitled)
    }

    /// The word once this waiter has the lock.
    fn taken(&self, state: u32) -> u32 {
        let others = if self.slept { WAITERS } else { 0 };
        let kept = if self.starving {
            state & !STARVING
        } else {
            state
        };
        kept | LOCKED | others
    }
}

impl<'a, F: Futex> Waiter<'a> for Acquire<'a, F> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let word = &self.mutex.word;
        match resumed {
            Resumed::Woken => {
                self.losses += 1;
                self.entitled = true;
            }
            Resumed::Changed => self.refusals += 1,
            _ => {}
        }
        let starving = self.starving || self.is_late();
        // Ordering: Relaxed here and below, but for taking the lock.
        let mut state = word.load(Ordering::Relaxed);
        loop {
            let next = if self.may_take(state) {
                self.taken(state)
            } else if state == LOCKED && resumed != Resumed::Watched {
                return Step::Watch(word, state, Patience::Brief);
            } else {
                state | WAITERS | if starving { STARVING } else { 0 }
            };
            // Ordering: Acquire; pairs with the release in `unlock_with`.
            if let Err(now) =
                word.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed)
            {
                state = now;
                continue;
            }
            if self.may_take(state) {
                return Step::Done(());
            }
            if !self.slept {
                self.slept = true;
                self.since = self.futex.now();
            }
            self.starving = starving;
            self.entitled = starving;
            return Step::Sleep(word, next);
        }
    }

    fn cancel(&mut self, woken: bool) -> Option<()> {
        if !woken && !self.starving {
            return None;
        }
        let word = &self.mutex.word;
        // Ordering: Relaxed; nothing is taken and nothing given.
        let mut state = word.load(Ordering::Relaxed);
        loop {
            let kept = if self.starving {
                state & !STARVING
            } else {
                state
            };
            let free = state & LOCKED == 0;
            let next = if free {
                kept & !WAITERS
            } else {
                kept | WAITERS
            };
            match word.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) if free => {
                    self.futex.notify(word.address(), 1);
                    return None;
                }
                Ok(_) => return None,
                Err(now) => state = now,
            }
        }
    }
}
