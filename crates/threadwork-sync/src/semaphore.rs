//! A semaphore: a number of permits, and threads that take some and give them back.
//!
//! # Protocol
//!
//! | offset | word | bits | meaning |
//! |---|---|---|---|
//! | 0 | `word` | 0 | `WAITERS`: somebody may sleep, the next release must notify |
//! | | | 1 | `STARVING`: a waiter lost too often, who has not slept may not take |
//! | | | 2..32 | permits that are free |
//! | 4 | `turn` | 0 | `TAKEN`: somebody collects several permits |
//! | | | 1 | `HURRY`: a thread lost the turn too often, who has not waited may not take it |
//! | | | 2..32 | how many wait for their turn to do so |
//!
//! The fast paths are one compare-and-swap of `word` each.
//!
//! *To acquire one*, a thread takes it if there is one. If not, it watches briefly,
//! then sets `WAITERS` and sleeps while the word stays what it saw.
//!
//! *To acquire several*, a thread takes them at once if all are free. If not, it takes
//! the `turn`, then what is free and what gets free, as one waiter among those who want
//! one, until it has enough. It keeps what it has meanwhile. Only one thread collects, so
//! two that have half each cannot stop each other, and it comes to its end whatever
//! the others want: small requests pass a big one, but cannot starve it. A free turn goes
//! to whoever comes first, since the one that was woken for it may be a future that nobody
//! polls; a thread that came too late [`LOSSES`] times sets `HURRY`, and then big requests
//! are served in the order of the futex.
//!
//! *To release*, a thread adds permits, clears `WAITERS`, and notifies **one** sleeper
//! if a bit was set. The woken thread is *responsible*: if it leaves permits behind it
//! notifies the next one, and so on down the queue. If it leaves none it sets `WAITERS`
//! again. Waking as many as there are permits would not do: it wakes threads for permits
//! that others take on the way, and those lose their place in the queue.
//!
//! *Unfairness is bounded*: free permits may be taken by whoever comes first, since
//! keeping them for a thread that has yet to wake up would make everybody wait for
//! wake-ups. A waiter that came up empty [`LOSSES`] times in a row sets `STARVING`, which
//! keeps newcomers out until it has what it wants: whoever has not slept queues, so the
//! permits go down the futex' first-in-first-out queue.
//!
//! # No wake-up is lost
//!
//! If a permit is free and somebody sleeps who may take it, then a responsible waiter is awake,
//! which will take one or pass the wake-up on. Each claim has its number at the lines that
//! keep it.
//!
//! 1. *Who sleeps has said so*: waiters sleep on values with `WAITERS` only.
//! 2. *Who clears `WAITERS` notifies one.* Until that one acts, releases need not notify again.
//! 3. *Who was notified acts*: it takes and leaves permits, then it notifies the next one; it
//!    takes and leaves none, or sleeps again, then it sets `WAITERS`; or it gives up and does
//!    one or the other.
//! 4. *`STARVING` wakes, too*: who may not take for it sleeps, and while it is set every
//!    release notifies. The starving waiter is responsible when it clears it.
//! 5. *A free turn is somebody's*: if the `turn` is free and somebody is counted, one of them is
//!    awake, or is a future that was woken. Whoever frees it notifies one that sleeps, a thread
//!    if there is one; if none does, all that are counted are awake, and look again. One that
//!    leaves a free turn with others counted notifies one of them.
//! 6. *`HURRY` is a thread's*: while it is set a thread is counted, so that the one who is awake
//!    by claim 5 is a thread, and newcomers wait for no future.
//! 7. *A future that was woken and is not polled* is responsible and does nothing. Threads do not
//!    wait for it: it was woken since none slept, and one that sleeps later has set `WAITERS`
//!    again. The futures behind it do, and so a release that owes nobody a notify says so
//!    ([`Futex::note_release`]): after eight of them the oldest that still waits is woken, too.
//!
//! # Orderings
//!
//! A release is a release and a take an acquire. Everything in between is a
//! read-modify-write and continues the release sequence, so whoever takes a permit
//! sees what was done before any release that made it free. The `turn` guards no data:
//! all its operations are relaxed.
//!
//! Sources: U. Drepper, "Futexes are tricky" (mutex 3) for the bit of the waiters,
//! nsync's `mu.c` for the count of losses; the collecting is our own.

use core::future::Future;
use core::sync::atomic::Ordering;
use core::time::Duration;

#[cfg(feature = "alloc")]
use alloc::sync::Arc;

use crate::futex::{Futex, Patience};
use crate::primitive::const_fn;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Map, Resumed, Step, Waiter, block, block_forever};
use crate::wakers::Word;

const WAITERS: u32 = 1;
const STARVING: u32 = 1 << 1;
const ONE: u32 = 1 << 2;
const MAX_PERMITS: u32 = u32::MAX / ONE;

const TAKEN: u32 = 1;
const HURRY: u32 = 1 << 1;
const WAITER: u32 = 1 << 2;

/// Wake-ups in vain after which a waiter may no longer be passed by newcomers. One costs
/// the loser a sleep and a wake-up; a forced hand-over costs everybody one.
const LOSSES: u32 = if cfg!(loom) { 1 } else { 8 };

/// A number of permits that threads take and give back: a limit on how many do
/// something at once.
///
/// Eight bytes; all zero is a semaphore without permits. Requests for one permit are
/// served in order, but for newcomers that find a free one, and those pass a waiter a
/// few times and no more. A request for several collects them one after the other, in
/// line with the others, and only one such request collects at a time: it is never
/// starved, and permits that it has collected are idle until it has all.
///
/// # Example
///
/// ```
/// use threadwork_sync::Semaphore;
///
/// let semaphore = Semaphore::new(3);
/// let one = semaphore.acquire();
/// let two = semaphore.acquire_many(2);
/// assert!(semaphore.try_acquire().is_none());
/// drop(two);
/// assert_eq!(semaphore.available(), 2);
/// # drop(one);
/// ```
#[repr(C)]
#[derive(Debug)]
pub struct Semaphore {
    word: Word,
    turn: Word,
}

impl Semaphore {
    /// The most permits that can be free at once: 2^30 - 1.
    pub const MAX_PERMITS: u32 = MAX_PERMITS;

    const_fn! {
        /// A semaphore with so many free permits.
        ///
        /// # Panics
        ///
        /// When there are more than [`MAX_PERMITS`](Self::MAX_PERMITS).
        #[must_use]
        pub fn new(permits: u32) -> Self {
            assert!(
                permits <= MAX_PERMITS,
                "a semaphore has at most Semaphore::MAX_PERMITS permits: start it with fewer"
            );
            Semaphore { word: Word::new(permits * ONE), turn: Word::new(0) }
        }
    }

    /// Takes a permit. Blocks until one is free.
    #[inline]
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Takes `permits`. Blocks until they are free.
    ///
    /// # Panics
    ///
    /// When `permits` is more than [`MAX_PERMITS`](Self::MAX_PERMITS). More than the
    /// semaphore will ever have is a wait without end.
    #[inline]
    pub fn acquire_many(&self, permits: u32) -> SemaphorePermit<'_> {
        self.acquire_with(permits, &System);
        self.permit(permits)
    }

    /// Takes `permits`, waiting in a futex of one's own. They are given back by
    /// [`release_with`](Self::release_with).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    #[inline]
    pub fn acquire_with(&self, permits: u32, futex: &impl Futex) {
        if !self.try_take(permits) {
            self.acquire_slowly(permits, futex);
        }
    }

    #[cold]
    fn acquire_slowly(&self, permits: u32, futex: &impl Futex) {
        block_forever(futex, self.waiter(permits, futex));
    }

    /// Takes a permit if one is free and nobody is starving. Never blocks.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` if so many are free and nobody is starving. Never blocks.
    #[inline]
    pub fn try_acquire_many(&self, permits: u32) -> Option<SemaphorePermit<'_>> {
        self.try_take(permits).then(|| self.permit(permits))
    }

    /// Takes a permit, or gives up after `timeout`.
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        self.acquire_many_timeout(1, timeout)
    }

    /// Takes `permits`, or gives up after `timeout` and takes none.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork_sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// assert!(semaphore.acquire_many_timeout(2, Duration::from_millis(1)).is_none());
    /// assert_eq!(semaphore.available(), 1);
    /// ```
    pub fn acquire_many_timeout(
        &self,
        permits: u32,
        timeout: Duration,
    ) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(permits).or_else(|| {
            block(&System, self.waiter(permits, &System), Some(timeout))
                .map(|()| self.permit(permits))
        })
    }

    /// Takes a permit, or gives up at `deadline`.
    #[cfg(feature = "std")]
    pub fn acquire_deadline(&self, deadline: std::time::Instant) -> Option<SemaphorePermit<'_>> {
        self.acquire_many_deadline(1, deadline)
    }

    /// Takes `permits`, or gives up at `deadline` and takes none.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    #[cfg(feature = "std")]
    pub fn acquire_many_deadline(
        &self,
        permits: u32,
        deadline: std::time::Instant,
    ) -> Option<SemaphorePermit<'_>> {
        self.acquire_many_timeout(
            permits,
            deadline.saturating_duration_since(std::time::Instant::now()),
        )
    }

    /// Takes a permit without blocking the thread; as
    /// [`acquire_many_async`](Self::acquire_many_async).
    pub fn acquire_async(&self) -> impl Future<Output = SemaphorePermit<'_>> {
        self.acquire_many_async(1)
    }

    /// Takes `permits` without blocking the thread. The future may be dropped at any
    /// time: it gives back what it has collected.
    ///
    /// The bound on unfairness is for threads; a future can be passed any number of
    /// times. One that was woken is the one that wakes the next: until it is polled or
    /// dropped, the futures behind it wait, even for permits that are free, until eight
    /// more releases have passed each of them. Threads never wait for it, unless it holds
    /// permits: one that wants several may have collected some.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_many_async(&self, permits: u32) -> impl Future<Output = SemaphorePermit<'_>> {
        let waiter = self.waiter(permits, &System).never_starving();
        Wait::new(Map::new(waiter, move |()| self.permit(permits)))
    }

    /// Takes a permit that keeps its semaphore alive, for a task that outlives this call.
    /// Blocks until one is free.
    ///
    /// # Example
    ///
    /// ```
    /// use std::sync::Arc;
    /// use threadwork_sync::Semaphore;
    ///
    /// let semaphore = Arc::new(Semaphore::new(2));
    /// let threads: Vec<_> = (0..8)
    ///     .map(|n| {
    ///         // No more than two at a time.
    ///         let permit = Semaphore::acquire_owned(&semaphore);
    ///         std::thread::spawn(move || {
    ///             drop(permit);
    ///             n
    ///         })
    ///     })
    ///     .collect();
    /// assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>(), 28);
    /// ```
    #[cfg(feature = "alloc")]
    pub fn acquire_owned(self: &Arc<Self>) -> OwnedSemaphorePermit {
        self.acquire().own(self)
    }

    /// Takes a permit that keeps its semaphore alive, if one is free and nobody is starving. Never
    /// blocks.
    #[cfg(feature = "alloc")]
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        Some(self.try_acquire()?.own(self))
    }

    /// Takes a permit that keeps its semaphore alive, without blocking the thread; as
    /// [`acquire_async`](Self::acquire_async).
    #[cfg(feature = "alloc")]
    pub async fn acquire_owned_async(self: Arc<Self>) -> OwnedSemaphorePermit {
        self.acquire_async().await.own(&self)
    }

    /// The wait for `permits`, for [`block`](crate::block) with a timeout or
    /// [`Wait`](crate::Wait). Whoever gets its output has the permits, and gives them
    /// back by [`release_with`](Self::release_with).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn waiter<'a, F: Futex>(&'a self, permits: u32, futex: &'a F) -> SemaphoreWaiter<'a, F> {
        assert!(
            permits <= MAX_PERMITS,
            "no semaphore has {permits} permits: acquire at most Semaphore::MAX_PERMITS"
        );
        SemaphoreWaiter {
            semaphore: self,
            futex,
            turn: if permits > 1 {
                Turn::Wanted
            } else {
                Turn::Unwanted
            },
            wanted: permits,
            missing: permits,
            woken: false,
            starving: false,
            losses: 0,
            turns_lost: 0,
            hurries: false,
            limit: LOSSES,
        }
    }

    /// Makes `permits` more free: some that were [forgotten](SemaphorePermit::forget),
    /// or new ones. Wakes those who wait for them. Never blocks.
    ///
    /// # Panics
    ///
    /// When more than [`MAX_PERMITS`](Self::MAX_PERMITS) would be free. Then nothing
    /// changes.
    #[inline]
    #[doc(alias = "add_permits")]
    pub fn release(&self, permits: u32) {
        self.release_with(permits, &System);
    }

    /// [`release`](Self::release), for those who wait in a futex of one's own.
    ///
    /// # Panics
    ///
    /// As [`release`](Self::release).
    #[inline]
    pub fn release_with(&self, permits: u32, futex: &impl Futex) {
        let (address, turn) = (self.word.address(), self.turn.address());
        // Ordering: Relaxed; the exchange finds out if it is old.
        let mut word = self.word.load(Ordering::Relaxed);
        // Ordering: Release; pairs with the acquires in `try_take` and `collect`.
        while let Err(now) = self.word.compare_exchange_weak(
            word,
            (more(word, permits) * ONE) | (word & STARVING),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            word = now;
        }
        // From here on the semaphore may be gone: only its addresses are used.
        if word & (WAITERS | STARVING) != 0 {
            // Claims 2 and 4.
            futex.notify(address, 1);
        } else {
            // Claim 7, here and below.
            futex.note_release(address);
        }
        futex.note_release(turn);
    }

    /// The permits that are free at this moment.
    #[must_use]
    pub fn available(&self) -> u32 {
        // Ordering: Relaxed; the answer may be old when it arrives.
        self.word.load(Ordering::Relaxed) / ONE
    }

    #[inline]
    fn try_take(&self, permits: u32) -> bool {
        // Ordering: Relaxed; the exchange finds out if it is old.
        let mut word = self.word.load(Ordering::Relaxed);
        while word & STARVING == 0 && word / ONE >= permits {
            // Ordering: Acquire; pairs with the release in `release_with`.
            match self.word.compare_exchange_weak(
                word,
                word - permits * ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    fn permit(&self, permits: u32) -> SemaphorePermit<'_> {
        SemaphorePermit {
            semaphore: self,
            permits,
        }
    }
}

/// The free permits when `permits` are added.
#[inline]
fn more(word: u32, permits: u32) -> u32 {
    match (word / ONE).checked_add(permits) {
        Some(sum) if sum <= MAX_PERMITS => sum,
        _ => too_many(),
    }
}

#[cold]
fn too_many() -> ! {
    panic!("a semaphore has at most {MAX_PERMITS} permits: release only what was acquired")
}

/// Permits of a [`Semaphore`]; gives them back when dropped.
///
/// It may be dropped on another thread than the one that took it.
#[must_use = "if unused the permits are given back at once"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: u32,
}

impl SemaphorePermit<'_> {
    /// How many these are.
    #[must_use]
    pub fn permits(&self) -> u32 {
        self.permits
    }

    /// Does not give them back: the semaphore has so many fewer from now on, until
    /// somebody [releases](Semaphore::release) them.
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

#[cfg(feature = "alloc")]
impl SemaphorePermit<'_> {
    /// The same of the semaphore that this permit is of.
    fn own(self, semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        let permits = self.permits;
        self.forget();
        OwnedSemaphorePermit {
            semaphore: Arc::clone(semaphore),
            permits,
        }
    }
}

/// Permits of a [`Semaphore`] that they keep alive; gives them back when dropped.
///
/// It may be dropped on another thread than the one that took it.
#[cfg(feature = "alloc")]
#[must_use = "if unused the permits are given back at once"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: u32,
}

#[cfg(feature = "alloc")]
impl OwnedSemaphorePermit {
    /// How many these are.
    #[must_use]
    pub fn permits(&self) -> u32 {
        self.permits
    }

    /// The semaphore that they are of.
    #[must_use]
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

#[cfg(feature = "alloc")]
impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}

/// A thread or a future that waits for permits of a [`Semaphore`].
#[derive(Debug)]
pub struct SemaphoreWaiter<'a, F: Futex> {
    semaphore: &'a Semaphore,
    futex: &'a F,
    turn: Turn,
    wanted: u32,
    missing: u32,
    /// It was woken and has not slept since: it is responsible.
    woken: bool,
    /// It has set `STARVING`.
    starving: bool,
    losses: u32,
    /// How often it looked for a free turn in vain.
    turns_lost: u32,
    /// It has set `HURRY`.
    hurries: bool,
    limit: u32,
}

/// How a waiter stands to the turn to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It wants no more than one permit.
    Unwanted,
    Wanted,
    /// It is counted as waiting for it.
    Counted,
    Had,
}

impl<'a, F: Futex> SemaphoreWaiter<'a, F> {
    /// Never sets `STARVING` or `HURRY`. For futures: nobody knows when, or whether, one that
    /// is woken is polled, and until then the permits would be free and yet nobody's.
    fn never_starving(mut self) -> Self {
        self.limit = u32::MAX;
        self
    }

    /// Takes the turn, or says on which value of it to sleep.
    fn queue(&mut self) -> Result<(), u32> {
        let turn = &self.semaphore.turn;
        let counted = self.turn == Turn::Counted;
        let hurries = self.hurries || self.turns_lost >= self.limit;
        self.turns_lost += u32::from(counted);
        // Ordering: Relaxed for all operations on the turn; it guards no data.
        let mut state = turn.load(Ordering::Relaxed);
        loop {
            let takes = state & TAKEN == 0 && (counted || state & HURRY == 0);
            let next = match (takes, counted) {
                (true, true) => (self.without_hurry(state) - WAITER) | TAKEN,
                (true, false) => state | TAKEN,
                (false, true) if hurries => state | HURRY,
                (false, true) => state,
                (false, false) => state.checked_add(WAITER).unwrap_or_else(|| crowded()),
            };
            match turn.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) if takes => {
                    self.turn = Turn::Had;
                    return Ok(());
                }
                Ok(_) => {
                    // If the turn is free it is a newcomer's, who sleeps by claim 6.
                    self.hurries = counted && hurries;
                    self.turn = Turn::Counted;
                    return Err(next);
                }
                Err(now) => state = now,
            }
        }
    }

    /// The turn without this waiter's hurry.
    fn without_hurry(&self, state: u32) -> u32 {
        if self.hurries { state & !HURRY } else { state }
    }

    /// Waits for the turn no more.
    fn unqueue(&self) {
        let turn = &self.semaphore.turn;
        let mut state = turn.load(Ordering::Relaxed);
        loop {
            let next = self.without_hurry(state) - WAITER;
            match turn.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                // Claim 5: a wake-up may have been meant for this one.
                Ok(_) if next & TAKEN == 0 && next >= WAITER => {
                    self.futex.notify(turn.address(), 1);
                    return;
                }
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }

    /// Lets the next one collect.
    fn end_turn(&self) {
        let turn = &self.semaphore.turn;
        // Claim 5.
        if turn.fetch_sub(TAKEN, Ordering::Relaxed) >= WAITER {
            self.futex.notify(turn.address(), 1);
        }
    }

    /// Waits for the missing permits, having the turn if it wants several.
    fn collect(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let place = &self.semaphore.word;
        match resumed {
            Resumed::Started | Resumed::Watched => {}
            Resumed::Changed => self.losses += 1,
            Resumed::Woken => {
                self.losses += 1;
                self.woken = true;
            }
        }
        // Ordering: Relaxed here and below, but for taking permits.
        let mut word = place.load(Ordering::Relaxed);
        loop {
            if word == 0 && resumed != Resumed::Watched && self.missing > 0 {
                return Step::Watch(place, word, Patience::Brief);
            }
            let responsible = self.woken || self.starving;
            let may_take = word & STARVING == 0 || responsible;
            let taken = if may_take {
                self.missing.min(word / ONE)
            } else {
                0
            };
            let left = word / ONE - taken;
            let done = taken == self.missing;
            let starves = self.losses >= self.limit;
            // Claim 3, and claims 1 and 4 where it is to sleep.
            let flags = match (done, responsible) {
                (true, true) if left > 0 => self.kept(word) & !WAITERS,
                (true, true) => self.kept(word) | WAITERS,
                (true, false) => word & (WAITERS | STARVING),
                (false, _) if starves => WAITERS | STARVING,
                (false, _) => (word & STARVING) | WAITERS,
            };
            let next = (left * ONE) | flags;
            // Ordering: Acquire; pairs with the release in `release_with`.
            if let Err(now) =
                place.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed)
            {
                word = now;
                continue;
            }
            self.missing -= taken;
            if done {
                // Claims 2 and 3.
                if responsible && left > 0 {
                    self.futex.notify(place.address(), 1);
                }
                return Step::Done(());
            }
            self.starving |= starves;
            self.woken = false;
            if taken > 0 {
                self.losses = 0;
            }
            return Step::Sleep(place, next);
        }
    }

    /// The bits without this waiter.
    fn kept(&self, word: u32) -> u32 {
        let flags = word & (WAITERS | STARVING);
        if self.starving {
            flags & !STARVING
        } else {
            flags
        }
    }

    /// Gives back what it has collected, and its wake-up (claim 3).
    fn give_up(&self, woken: bool) {
        let place = &self.semaphore.word;
        let collected = self.wanted - self.missing;
        if !woken && !self.starving && collected == 0 {
            return;
        }
        // Ordering: Relaxed here and below; nothing was done with the permits, and it
        // continues the release sequence of those who released them.
        let mut word = place.load(Ordering::Relaxed);
        loop {
            let permits = more(word, collected);
            let flags = if permits > 0 {
                self.kept(word) & !WAITERS
            } else {
                self.kept(word) | WAITERS
            };
            match place.compare_exchange_weak(
                word,
                (permits * ONE) | flags,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    if permits > 0 {
                        self.futex.notify(place.address(), 1);
                    }
                    return;
                }
                Err(now) => word = now,
            }
        }
    }
}

#[cold]
fn crowded() -> ! {
    panic!("more than 2^30 - 1 threads and futures wait for several permits of one semaphore")
}

impl<'a, F: Futex> Waiter<'a> for SemaphoreWaiter<'a, F> {
    type Output = ();

    fn step(&mut self, mut resumed: Resumed) -> Step<'a, ()> {
        if matches!(self.turn, Turn::Wanted | Turn::Counted) {
            if let Err(state) = self.queue() {
                return Step::Sleep(&self.semaphore.turn, state);
            }
            resumed = Resumed::Started;
        }
        let step = self.collect(resumed);
        if self.turn == Turn::Had && matches!(step, Step::Done(())) {
            self.end_turn();
        }
        step
    }

    fn cancel(&mut self, woken: bool) -> Option<()> {
        if self.turn == Turn::Counted {
            self.unqueue();
            return None;
        }
        self.give_up(woken);
        if self.turn == Turn::Had {
            self.end_turn();
        }
        None
    }
}
