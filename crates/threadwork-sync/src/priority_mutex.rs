//! [`PriorityMutex`]: a lock that is given to its waiters in the order of their
//! priority, and tells a scheduler whose holder is waited for.
//!
//! # Protocol
//!
//! | offset | word | |
//! |---|---|---|
//! | 0 | `state`, 64 bits | who holds the lock, and how many wait in each class |
//! | 8, 12, 16 | `gates`, 32 bits each | where `Low`, `Normal`, `High` wait |
//!
//! 24 bytes, aligned to 8; the last four are not used.
//!
//! | bits of `state` | meaning |
//! |---|---|
//! | 0..24 | the holder: 0 nobody, a [`ThreadToken`], `0xff_fffe` `GRANTED`, `0xff_ffff` somebody without a token |
//! | 24..37, 37..50, 50..63 | how many wait at `Low`, `Normal`, `High` |
//! | 63 | zero |
//!
//! | bits of a gate | meaning |
//! |---|---|
//! | 0 | `TOKEN`: who takes this bit away has the lock |
//! | 1 | `GONE`: the waiter that was chosen gave up before it got the token |
//! | 2 | `REVOKED`: somebody of a higher class came before the token |
//! | 3..32 | the number of tokens that were given out here, which wraps |
//!
//! Nobody waits for a free lock, so *free* is `state == 0`, and the fast paths are
//! `0 -> holder` and `holder -> 0`, one compare-and-swap each.
//!
//! *To lock* a held lock, a waiter counts itself in its class and waits at the gate of
//! its class for the token.
//!
//! *To unlock* while somebody waits, the holder hands the lock over. It chooses the
//! highest class that waits, and in one step takes one off its count and puts
//! `GRANTED` in its own place (the *claim*). Then it puts `TOKEN` in that gate, under a
//! new number, and notifies one. The lock is never free in between, so nobody slips in.
//! Who takes the token puts itself in the place of `GRANTED`.
//!
//! *No barging within a class*: a waiter that finds a token in its gate when it comes
//! leaves it, unless it is woken for it, to those that came before it. Order within
//! the class is that of the futex, first in, first out; only a thread that had counted
//! itself and was still on its way to sleep can get ahead of one that slept.
//!
//! *A higher class takes precedence over a grant*: a token that nobody has taken yet
//! belongs to a thread that does not run yet, which nobody could raise. So who comes
//! while the lock is `GRANTED` takes the token out of a lower gate (*robs* it) and
//! counts the robbed waiter back in. If the token is not there yet it sets `REVOKED`,
//! on which the unlocker counts the chosen one back in and chooses anew. A `REVOKED`
//! that comes too late only makes a later unlock choose twice.
//!
//! *To give up*, a waiter takes one off the count of its class. Counts have no names,
//! so it gives its place to another one of the class: if a token is there, the giver
//! up puts it under a new number and notifies. If the count is zero, the claim was for
//! this waiter: it takes the token, and has the lock after all, or sets `GONE`, on
//! which the unlocker chooses anew.
//!
//! # No wake-up is lost
//!
//! Invariant: in each class, those who wait are as many as its count, plus one if a
//! claim for it is open (from the claim until the token is taken, or counted back in),
//! less one if `GONE` is set. There is at most one open claim, since whoever makes it
//! has the lock.
//!
//! Claim: while a token is in a gate, some thread is awake that will take it or give it
//! a new number. A waiter sleeps at a gate only on a value without `TOKEN`, or on the
//! very value that it found when it came. The first kind is woken by the notify that
//! comes after the token, or sees the value changed. There is one of that kind, or
//! one awake, for each token: the claim counted one who had come before it. If that
//! one gives up, it gives the token a new number and notifies again, so that those who
//! came later may take it. A waiter that is woken may take any token, and gives
//! a token a new number if it gives up.
//!
//! While there is no token and no open claim, a thread holds the lock. Its unlock sees
//! every count, because both are in one word.
//!
//! # Orderings
//!
//! Critical sections follow each other over `state` (release on the way to 0, acquire
//! from 0) or over a gate (release with the token, acquire when it is taken; giving it
//! a new number continues the release sequence). A waiter reads its gate, then counts
//! itself with release; the claim acquires, so that the token that follows is not the
//! value that the waiter found when it came. Who gives up takes itself off with
//! acquire, so as to see the tokens that those who count on it have seen.
//!
//! # Priority inheritance
//!
//! Each change of `state` says whether its holder is waited for at `Normal` and at
//! `High`: the [`PriorityHook`] is told of each such fact once when it begins (`raise`)
//! and once when it ends (`restore`). The facts about one holder, over all the locks
//! that it has, are a multiset; what it should run at is the highest in it. So nested
//! locks need no stack, and may be unlocked in any order and on any thread.
//!
//! The lock does not carry a raise further: a waiter's class is what it was when it
//! began to wait, also if the waiter holds another lock and is raised while it waits.
//!
//! Sources: L. Sha, R. Rajkumar and J. Lehoczky, "Priority inheritance protocols"
//! (1990); the hand-over is that of Linux' `rt_mutex`, whose top waiter may also be
//! robbed of the lock before it runs.

use core::cell::UnsafeCell;
use core::fmt;
use core::future::Future;
use core::num::NonZeroU32;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering;
use core::time::Duration;

#[cfg(feature = "std")]
use crate::contain::contain;
use crate::futex::{Futex, Patience};
use crate::primitive::{AtomicU32, AtomicU64, const_fn};
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Map, Resumed, Step, Waiter, block, block_forever};
use crate::wakers::Word;

const HOLDER_BITS: u32 = 24;
const HOLDER: u64 = (1 << HOLDER_BITS) - 1;
/// A holder without a token.
const ANONYMOUS: u64 = HOLDER;
/// The lock is on its way to a waiter.
const GRANTED: u64 = HOLDER - 1;

const COUNT_BITS: u32 = 13;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
/// One less than fit, so that a claimed waiter can always be counted back in.
const MOST_WAITERS: u64 = COUNT - 1;

const TOKEN: u32 = 1;
const GONE: u32 = 1 << 1;
const REVOKED: u32 = 1 << 2;
/// The lowest bit of the number of a token.
const NUMBER: u32 = 1 << 3;

/// How urgent it is that somebody gets a [`PriorityMutex`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// Whenever nobody else wants it.
    Low = 0,
    /// What everybody has who says nothing.
    #[default]
    Normal = 1,
    /// Before all others.
    High = 2,
}

impl Priority {
    const HIGHEST_FIRST: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    /// The lowest bit of this class' count.
    const fn one(self) -> u64 {
        1 << (HOLDER_BITS + COUNT_BITS * self as u32)
    }

    const fn count(self, state: u64) -> u64 {
        (state / self.one()) & COUNT
    }

    /// Whether anybody waits in this class or a higher one.
    const fn or_higher_waits(self, state: u64) -> bool {
        state >= self.one()
    }
}

/// Who holds a lock, in the numbers of a scheduler: a thread, or a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadToken(NonZeroU32);

impl ThreadToken {
    /// The highest number that a token can have.
    pub const MAX: u32 = (GRANTED - 1) as u32;

    /// The token with this number, if that is in `1..=`[`MAX`](Self::MAX).
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(valid) if number <= Self::MAX => Some(ThreadToken(valid)),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The token in a state, if its holder has one.
    #[cfg(feature = "std")]
    fn of_holder(state: u64) -> Option<Self> {
        Self::new((state & HOLDER) as u32)
    }
}

/// Somebody who wants a [`PriorityMutex`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Contender {
    /// Where it queues.
    pub priority: Priority,
    /// Whom the [`PriorityHook`] is to raise while others wait for this one. Without
    /// a token nobody is raised.
    pub token: Option<ThreadToken>,
}

impl Contender {
    /// Whom this thread locks for: what [`make_current`](Self::make_current) said
    /// last, or `Normal` without a token.
    #[cfg(feature = "std")]
    #[inline]
    #[must_use]
    pub fn current() -> Self {
        current::get()
    }

    #[cfg(not(feature = "std"))]
    fn current() -> Self {
        Self::default()
    }

    /// From now on this thread locks for this contender. Returns the one before. A
    /// scheduler calls it around each task.
    ///
    /// ```
    /// use threadwork_sync::{Contender, Priority, ThreadToken};
    ///
    /// let task = Contender { priority: Priority::High, token: ThreadToken::new(7) };
    /// let before = task.make_current();
    /// assert_eq!(Contender::current(), task);
    /// before.make_current();
    /// ```
    #[cfg(feature = "std")]
    pub fn make_current(self) -> Contender {
        current::replace(self)
    }

    #[inline]
    fn as_holder(self) -> u64 {
        self.token.map_or(ANONYMOUS, |token| u64::from(token.get()))
    }
}

#[cfg(all(feature = "std", not(loom)))]
mod current {
    use std::cell::Cell;

    use super::{Contender, Priority};

    std::thread_local! {
        static CURRENT: Cell<Contender> = const {
            Cell::new(Contender { priority: Priority::Normal, token: None })
        };
    }

    #[inline]
    pub(super) fn get() -> Contender {
        CURRENT.get()
    }

    pub(super) fn replace(contender: Contender) -> Contender {
        CURRENT.replace(contender)
    }
}

/// Loom's threads share the thread-locals of the thread that they run on.
#[cfg(all(feature = "std", loom))]
mod current {
    use super::Contender;

    pub(super) fn get() -> Contender {
        Contender::default()
    }

    pub(super) fn replace(_: Contender) -> Contender {
        Contender::default()
    }
}

/// A scheduler that can run the holder of a lock sooner.
///
/// For as long as somebody waits at `to` for a lock that `holder` has, there is one
/// `raise(holder, to)` without its `restore(holder, to)`; one for each such lock.
/// So a holder should run at the highest `to` that it has been raised to more often
/// than it has been restored from, or at its own priority if that is higher:
/// [`Inherited`] keeps count. The calls come from different threads, and a `restore`
/// may overtake its `raise`, so a scheduler must not act on the last call alone. Nobody
/// is raised to `Low`.
///
/// The calls come from within lock and unlock operations that had to wait, or were
/// waited for; they should be short, and must not use the lock concerned. A panic of theirs
/// ends here, for the lock is not theirs to keep (without `std` it ends the program).
///
/// # Example
///
/// ```
/// use threadwork_sync::{
///     Contender, Inherited, Priority, PriorityHook, PriorityMutex, ThreadToken,
///     set_priority_hook,
/// };
///
/// /// What a scheduler knows of its tasks.
/// static TASKS: [Inherited; 8] = [const { Inherited::new() }; 8];
///
/// struct Scheduler;
///
/// impl PriorityHook for Scheduler {
///     fn raise(&self, holder: ThreadToken, to: Priority) {
///         TASKS[holder.get() as usize].raise(to);
///         // Here it would move the task to the queue of its new priority.
///     }
///
///     fn restore(&self, holder: ThreadToken, to: Priority) {
///         TASKS[holder.get() as usize].restore(to);
///     }
/// }
///
/// set_priority_hook(&Scheduler).expect("nobody else has set it");
/// static LOCK: PriorityMutex<()> = PriorityMutex::new(());
///
/// Contender { priority: Priority::Low, token: ThreadToken::new(3) }.make_current();
/// let guard = LOCK.lock();
/// assert_eq!(TASKS[3].priority(Priority::Low), Priority::Low);
/// std::thread::scope(|scope| {
///     scope.spawn(|| drop(LOCK.lock_as(Priority::High)));
///     while TASKS[3].priority(Priority::Low) != Priority::High {
///         std::thread::yield_now();
///     }
///     drop(guard);
/// });
/// assert_eq!(TASKS[3].priority(Priority::Low), Priority::Low);
/// ```
#[cfg(feature = "std")]
pub trait PriorityHook: Sync {
    /// Somebody waits at `to` for a lock that `holder` has.
    fn raise(&self, holder: ThreadToken, to: Priority);

    /// Nobody waits at `to` for that lock any more, or `holder` has unlocked it.
    fn restore(&self, holder: ThreadToken, to: Priority);
}

/// The program has a [`PriorityHook`] already.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorityHookIsSet;

#[cfg(feature = "std")]
impl fmt::Display for PriorityHookIsSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the priority hook is set once for a program, and was set before")
    }
}

#[cfg(feature = "std")]
impl core::error::Error for PriorityHookIsSet {}

#[cfg(feature = "std")]
static HOOK: std::sync::OnceLock<&'static dyn PriorityHook> = std::sync::OnceLock::new();

/// Sets the hook of this program, for good. Before the first lock that it is to hear
/// of: it may be told that a wait has ended that it was not told of.
///
/// # Errors
///
/// When there is one already.
#[cfg(feature = "std")]
pub fn set_priority_hook(hook: &'static dyn PriorityHook) -> Result<(), PriorityHookIsSet> {
    HOOK.set(hook).map_err(|_| PriorityHookIsSet)
}

/// What the hook hears.
#[derive(Clone, Copy, Debug)]
enum News {
    Raise,
    Restore,
}

/// Tells the hook of the holder in `state` and one class.
#[cfg(feature = "std")]
fn tell_one(news: News, state: u64, class: Priority) {
    if class > Priority::Low
        && let (Some(hook), Some(holder)) = (HOOK.get(), ThreadToken::of_holder(state))
    {
        contain(|| match news {
            News::Raise => hook.raise(holder, class),
            News::Restore => hook.restore(holder, class),
        });
    }
}

#[cfg(not(feature = "std"))]
fn tell_one(_: News, _: u64, _: Priority) {}

/// Tells the hook of the holder in `state` and each class that waits in it.
fn tell_all(news: News, state: u64) {
    for class in Priority::HIGHEST_FIRST {
        if class.count(state) > 0 {
            tell_one(news, state, class);
        }
    }
}

/// What one holder inherits: keeps count for a [`PriorityHook`].
#[derive(Debug, Default)]
pub struct Inherited {
    /// Raises less restores. Below zero for a moment if a restore came first.
    normal: AtomicU32,
    high: AtomicU32,
}

impl Inherited {
    const_fn! {
        /// Nothing.
        #[must_use]
        pub fn new() -> Self {
            Inherited { normal: AtomicU32::new(0), high: AtomicU32::new(0) }
        }
    }

    /// Counts a [`PriorityHook::raise`].
    pub fn raise(&self, to: Priority) {
        self.add(to, 1);
    }

    /// Counts a [`PriorityHook::restore`].
    pub fn restore(&self, to: Priority) {
        self.add(to, 1_u32.wrapping_neg());
    }

    /// What somebody should run at whose own priority is `own`.
    #[must_use]
    pub fn priority(&self, own: Priority) -> Priority {
        // Ordering: Relaxed; the answer may be old when it arrives.
        let positive = |count: &AtomicU32| count.load(Ordering::Relaxed).cast_signed() > 0;
        if positive(&self.high) {
            Priority::High
        } else if positive(&self.normal) {
            own.max(Priority::Normal)
        } else {
            own
        }
    }

    fn add(&self, to: Priority, change: u32) {
        let count = match to {
            Priority::Low => return,
            Priority::Normal => &self.normal,
            Priority::High => &self.high,
        };
        // Ordering: Relaxed; only the sums matter.
        count.fetch_add(change, Ordering::Relaxed);
    }
}

/// A priority lock in 24 bytes, without the data: all zero is unlocked.
///
/// For those who bring their own data and their own [`Futex`]. Rust data belongs into
/// a [`PriorityMutex`].
#[repr(C)]
#[derive(Debug)]
pub struct RawPriorityMutex {
    state: AtomicU64,
    gates: [Word; 3],
    /// No padding: unlike an atomic, that would have to stay there until an `unlock` has
    /// returned, while whoever locks next may free the lock.
    unused: AtomicU32,
}

impl RawPriorityMutex {
    const_fn! {
        /// An unlocked lock.
        #[must_use]
        pub fn new() -> Self {
            RawPriorityMutex {
                state: AtomicU64::new(0),
                gates: [Word::new(0), Word::new(0), Word::new(0)],
                unused: AtomicU32::new(0),
            }
        }
    }

    /// Takes the lock for `contender` if it is free, which it is not on its way to a
    /// waiter. Never blocks.
    #[inline]
    #[must_use]
    pub fn try_lock(&self, contender: Contender) -> bool {
        // Ordering: Acquire; pairs with the releases to zero in `unlock_with` and
        // `unlock_slowly`.
        self.state
            .compare_exchange(
                0,
                contender.as_holder(),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Takes the lock for `contender`. Blocks in `futex`.
    ///
    /// # Panics
    ///
    /// When more than 8190 wait in one class.
    #[inline]
    pub fn lock_with(&self, futex: &impl Futex, contender: Contender) {
        if !self.try_lock(contender) {
            self.lock_slowly(futex, contender);
        }
    }

    #[cold]
    fn lock_slowly(&self, futex: &impl Futex, contender: Contender) {
        block_forever(futex, self.acquire(futex, contender));
    }

    /// The wait for the lock, for [`block`](crate::block) with a timeout or
    /// [`Wait`](crate::Wait). Whoever gets its output holds the lock.
    pub fn acquire<'a, F: Futex>(
        &'a self,
        futex: &'a F,
        contender: Contender,
    ) -> AcquirePriority<'a, F> {
        AcquirePriority {
            mutex: self,
            futex,
            contender,
            waits: false,
            found: 0,
        }
    }

    /// Frees the lock, or hands it to the first of the highest class that waits.
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
        // Ordering: Relaxed; checked by the exchange.
        let state = self.state.load(Ordering::Relaxed);
        let nobody_waits = state != 0 && state <= HOLDER && state != GRANTED;
        // Ordering: Release; pairs with the acquire from zero in `try_lock`.
        if !nobody_waits
            || self
                .state
                .compare_exchange(state, 0, Ordering::Release, Ordering::Relaxed)
                .is_err()
        {
            self.unlock_slowly(futex);
        }
    }

    #[cold]
    fn unlock_slowly(&self, futex: &impl Futex) {
        // Ordering: Relaxed; checked by the exchange.
        let mut state = self.state.load(Ordering::Relaxed);
        let holder = state & HOLDER;
        assert!(
            holder != 0 && holder != GRANTED,
            "a priority mutex was unlocked that nobody holds: unlock once for each lock"
        );
        let mut left = None;
        loop {
            let chosen = Priority::HIGHEST_FIRST
                .into_iter()
                .find(|class| class.count(state) > 0);
            let next = match chosen {
                None => 0,
                Some(class) => ((state & !HOLDER) | GRANTED) - class.one(),
            };
            // Ordering: Release pairs with the acquire from zero; Acquire with the
            // release in `come`, so that a token comes after the value found there.
            if let Err(now) =
                self.state
                    .compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                state = now;
                continue;
            }
            left.get_or_insert(state);
            match chosen {
                // From here on the lock may be gone.
                None => break,
                Some(class) if self.grant(futex, class) => break,
                // Ordering: Relaxed, as above.
                Some(_) => state = self.state.load(Ordering::Relaxed),
            }
        }
        if let Some(left) = left {
            tell_all(News::Restore, left);
        }
    }

    /// Puts the token for a claimed waiter in its gate. False if the claim came to
    /// nothing: then the lock is still the caller's.
    fn grant(&self, futex: &impl Futex, class: Priority) -> bool {
        let gate = &self.gates[class as usize];
        let address = gate.address();
        // Ordering: Acquire, here and on failure; pairs with the release in `rob`, so
        // that the next choice sees who revoked this one.
        let mut value = gate.load(Ordering::Acquire);
        loop {
            let refused = value & (GONE | REVOKED) != 0;
            let next = if refused {
                value & !(GONE | REVOKED)
            } else {
                value.wrapping_add(NUMBER) | TOKEN
            };
            // Ordering: Release; pairs with the acquires where the token is taken.
            if let Err(now) =
                gate.compare_exchange_weak(value, next, Ordering::Release, Ordering::Acquire)
            {
                value = now;
                continue;
            }
            if !refused {
                // The lock may be gone: only its address is used.
                futex.notify(address, 1);
            } else if value & GONE == 0 {
                // Ordering: Relaxed; the claim is undone, nothing else.
                self.state.fetch_add(class.one(), Ordering::Relaxed);
            }
            return !refused;
        }
    }

    /// Whether somebody holds the lock, or is about to, at this moment.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        // Ordering: Relaxed; the answer may be old when it arrives.
        self.state.load(Ordering::Relaxed) != 0
    }

    /// How many wait at `priority` at this moment.
    #[must_use]
    pub fn waiting(&self, priority: Priority) -> u32 {
        // Ordering: Relaxed; the answer may be old when it arrives.
        priority.count(self.state.load(Ordering::Relaxed)) as u32
    }
}

impl Default for RawPriorityMutex {
    fn default() -> Self {
        Self::new()
    }
}

/// A thread or a future that waits for a [`RawPriorityMutex`].
#[derive(Debug)]
pub struct AcquirePriority<'a, F: Futex> {
    mutex: &'a RawPriorityMutex,
    futex: &'a F,
    contender: Contender,
    /// It is counted.
    waits: bool,
    /// The gate when it came. A token with this number is for those before it.
    found: u32,
}

/// How coming to the lock went.
enum Arrival {
    HasLock,
    /// It waits, and is the next.
    Next,
    /// It waits behind others.
    Behind,
}

impl<'a, F: Futex> AcquirePriority<'a, F> {
    fn gate(&self) -> &'a AtomicU32 {
        &self.mutex.gates[self.contender.priority as usize]
    }

    /// Takes the free lock, or counts itself among those who wait.
    fn come(&mut self) -> Arrival {
        let class = self.contender.priority;
        let word = &self.mutex.state;
        // Ordering: Relaxed; checked by the exchanges.
        let mut state = word.load(Ordering::Relaxed);
        loop {
            if state == 0 {
                if self.mutex.try_lock(self.contender) {
                    return Arrival::HasLock;
                }
                // Ordering: Relaxed, as above.
                state = word.load(Ordering::Relaxed);
                continue;
            }
            assert!(
                class.count(state) < MOST_WAITERS,
                "more than {MOST_WAITERS} wait for a priority mutex in one class: \
                 let fewer contend for it at once, with a semaphore or a pool"
            );
            // Ordering: Relaxed; the exchange below keeps it before the claim.
            self.found = self.gate().load(Ordering::Relaxed);
            // Ordering: Release; pairs with the acquire of the claim in `unlock_slowly`
            // and of the exchange in `cancel`.
            match word.compare_exchange_weak(
                state,
                state + class.one(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        self.waits = true;
        if state & HOLDER == GRANTED {
            if self.rob() {
                return Arrival::HasLock;
            }
        } else if class.count(state) == 0 {
            tell_one(News::Raise, state, class);
        }
        if class.or_higher_waits(state) {
            Arrival::Behind
        } else {
            Arrival::Next
        }
    }

    /// Takes the lock away from a waiter of a lower class that has been chosen and
    /// does not have it yet. True if it has it now.
    fn rob(&self) -> bool {
        let own = self.contender.priority;
        Priority::HIGHEST_FIRST
            .into_iter()
            .filter(|&class| class < own)
            .any(|class| {
                let robbed = self.rob_gate(&self.mutex.gates[class as usize]);
                if robbed {
                    let change = self.contender.as_holder().wrapping_sub(GRANTED);
                    let change = change.wrapping_add(class.one()).wrapping_sub(own.one());
                    // Ordering: Relaxed; the lock came with the token.
                    let before = self.mutex.state.fetch_add(change, Ordering::Relaxed);
                    tell_all(News::Raise, before.wrapping_add(change));
                }
                robbed
            })
    }

    fn rob_gate(&self, gate: &AtomicU32) -> bool {
        // Ordering: Relaxed; checked by the exchange.
        let mut value = gate.load(Ordering::Relaxed);
        loop {
            let there = value & TOKEN != 0;
            let next = if there {
                value & !TOKEN
            } else {
                value | REVOKED
            };
            // Ordering: Acquire pairs with the release of the token in `grant`; Release
            // with the acquire there, which then sees that this waiter is counted.
            match gate.compare_exchange_weak(value, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return there,
                Err(now) => value = now,
            }
        }
    }

    /// After it has taken the token: the lock is its own.
    fn enter(&self) {
        let own = self.contender.as_holder();
        // Ordering: Relaxed; the lock came with the token.
        let before = self.mutex.state.fetch_xor(GRANTED ^ own, Ordering::Relaxed);
        tell_all(News::Raise, (before & !HOLDER) | own);
    }
}

impl<'a, F: Futex> Waiter<'a> for AcquirePriority<'a, F> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let gate = self.gate();
        if !self.waits {
            match self.come() {
                Arrival::HasLock => return Step::Done(()),
                Arrival::Next => return Step::Watch(gate, self.found, Patience::Long),
                Arrival::Behind => {}
            }
        }
        // Ordering: Relaxed; checked by the exchange, or by the futex.
        let mut value = gate.load(Ordering::Relaxed);
        while value & TOKEN != 0 && (value != self.found || resumed == Resumed::Woken) {
            // Ordering: Acquire; pairs with the release of the token in `grant`.
            match gate.compare_exchange_weak(
                value,
                value & !TOKEN,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.enter();
                    return Step::Done(());
                }
                Err(now) => value = now,
            }
        }
        Step::Sleep(gate, value)
    }

    /// `woken` makes no difference: a token that is there is passed on in any case.
    fn cancel(&mut self, _woken: bool) -> Option<()> {
        if !self.waits {
            return None;
        }
        let class = self.contender.priority;
        loop {
            // Ordering: Acquire; pairs with the release in `come`: a token that others
            // found is seen below. An addition of nothing, for the newest value.
            let state = self.mutex.state.fetch_add(0, Ordering::Acquire);
            if class.count(state) == 0 {
                if let Some(outcome) = self.refuse() {
                    return outcome;
                }
            } else if self.leave(state) {
                self.renew_token();
                return None;
            }
        }
    }
}

impl<F: Futex> AcquirePriority<'_, F> {
    /// Takes itself off the count, unless the state has changed.
    fn leave(&self, state: u64) -> bool {
        let class = self.contender.priority;
        // Ordering: Acquire, as in `cancel`.
        let left = self
            .mutex
            .state
            .compare_exchange(
                state,
                state - class.one(),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok();
        if left && class.count(state) == 1 {
            tell_one(News::Restore, state, class);
        }
        left
    }

    /// A token may be there that was this waiter's, and that those who are left have
    /// found when they came: gives it a new number, so that they may take it.
    fn renew_token(&self) {
        let gate = self.gate();
        // Ordering: Relaxed; after the acquire in `leave`.
        let mut value = gate.load(Ordering::Relaxed);
        while value & TOKEN != 0 {
            // Ordering: Relaxed; continues the release sequence of the token.
            match gate.compare_exchange_weak(
                value,
                value.wrapping_add(NUMBER),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.futex.notify(gate, 1);
                    return;
                }
                Err(now) => value = now,
            }
        }
    }

    /// All who were counted are claimed, so this waiter is: takes the token, or says
    /// that nobody will. `None` if neither could be done at this moment.
    fn refuse(&self) -> Option<Option<()>> {
        let gate = self.gate();
        // Ordering: Relaxed; checked by the exchange.
        let value = gate.load(Ordering::Relaxed);
        if value & GONE != 0 {
            // Somebody else's refusal: so the count is no longer zero.
            return None;
        }
        let there = value & TOKEN != 0;
        let next = if there { value & !TOKEN } else { value | GONE };
        // Ordering: Acquire; pairs with the release of the token in `grant`.
        gate.compare_exchange(value, next, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some(there.then(|| self.enter()))
    }
}

/// A mutual exclusion lock that its waiters get in the order of their [`Priority`].
///
/// Opt-in: where all are equal a [`Mutex`](crate::Mutex) is smaller, and faster under
/// contention, since this one is handed to a waiter on each unlock. In return nobody
/// ever gets it before a waiter of a higher class, whoever comes, and nobody passes
/// the waiters of its own class (within the order of the futex). Lower classes can
/// starve.
///
/// With a [`PriorityHook`], the scheduler hears which of its tasks holds up a more
/// urgent one, to run it first.
///
/// Not recursive, and without poisoning: a panic under the lock frees it. All zero
/// bytes are an unlocked lock, if zero bytes are a valid `T`.
///
/// # Example
///
/// ```
/// use threadwork_sync::{Priority, PriorityMutex};
///
/// let log = PriorityMutex::new(Vec::new());
/// let guard = log.lock();
/// std::thread::scope(|scope| {
///     for (index, priority) in [Priority::Low, Priority::High].into_iter().enumerate() {
///         let log = &log;
///         scope.spawn(move || log.lock_as(priority).push(priority));
///         // Until it waits.
///         while log.raw().waiting(priority) == 0 {
///             std::thread::yield_now();
///         }
///     }
///     drop(guard);
/// });
/// assert_eq!(log.into_inner(), [Priority::High, Priority::Low]);
/// ```
#[repr(C)]
pub struct PriorityMutex<T: ?Sized> {
    raw: RawPriorityMutex,
    data: UnsafeCell<T>,
}

// SAFETY: the mutex hands out the data to one thread at a time, so sharing it only
// ever moves access to the data between threads.
unsafe impl<T: ?Sized + Send> Sync for PriorityMutex<T> {}
// SAFETY: it owns the data.
unsafe impl<T: ?Sized + Send> Send for PriorityMutex<T> {}

impl<T> PriorityMutex<T> {
    const_fn! {
        /// An unlocked mutex.
        #[must_use]
        pub fn new(data: T) -> Self {
            PriorityMutex { raw: RawPriorityMutex::new(), data: UnsafeCell::new(data) }
        }
    }

    /// The data.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

/// Each form exists for the current [`Contender`], and, with `_as`, for the current
/// token at another priority.
impl<T: ?Sized> PriorityMutex<T> {
    /// Takes the lock at the priority of the current [`Contender`]. Blocks until it
    /// is its turn.
    ///
    /// # Panics
    ///
    /// This and all other forms that wait: when more than 8190 wait in one class.
    #[inline]
    pub fn lock(&self) -> PriorityMutexGuard<'_, T> {
        self.raw.lock_with(&System, Contender::current());
        PriorityMutexGuard { mutex: self }
    }

    /// Takes the lock at this priority. Blocks until it is its turn.
    #[inline]
    pub fn lock_as(&self, priority: Priority) -> PriorityMutexGuard<'_, T> {
        self.raw.lock_with(&System, at(priority));
        PriorityMutexGuard { mutex: self }
    }

    /// Takes the lock if it is free, which it is not on its way to a waiter. Never
    /// blocks.
    #[inline]
    pub fn try_lock(&self) -> Option<PriorityMutexGuard<'_, T>> {
        self.raw
            .try_lock(Contender::current())
            .then(|| PriorityMutexGuard { mutex: self })
    }

    /// Takes the lock, or gives up after `timeout`.
    #[doc(alias = "try_lock_for")]
    pub fn lock_timeout(&self, timeout: Duration) -> Option<PriorityMutexGuard<'_, T>> {
        self.lock_timeout_as(Contender::current().priority, timeout)
    }

    /// Takes the lock at this priority, or gives up after `timeout`.
    pub fn lock_timeout_as(
        &self,
        priority: Priority,
        timeout: Duration,
    ) -> Option<PriorityMutexGuard<'_, T>> {
        block(
            &System,
            self.raw.acquire(&System, at(priority)),
            Some(timeout),
        )
        .map(|()| PriorityMutexGuard { mutex: self })
    }

    /// Takes the lock, or gives up at `deadline`.
    #[cfg(feature = "std")]
    #[doc(alias = "try_lock_until")]
    pub fn lock_deadline(&self, deadline: std::time::Instant) -> Option<PriorityMutexGuard<'_, T>> {
        self.lock_deadline_as(Contender::current().priority, deadline)
    }

    /// Takes the lock at this priority, or gives up at `deadline`.
    #[cfg(feature = "std")]
    pub fn lock_deadline_as(
        &self,
        priority: Priority,
        deadline: std::time::Instant,
    ) -> Option<PriorityMutexGuard<'_, T>> {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        self.lock_timeout_as(priority, left)
    }

    /// Takes the lock without blocking the thread, for the contender that is current
    /// now. The future may be dropped at any time; see [`Wait`].
    ///
    /// It is given the lock when it is notified, and nobody of its class or below can
    /// have it until the future is polled or dropped. So one that is leaked keeps
    /// the lock.
    pub fn lock_async(&self) -> impl Future<Output = PriorityMutexGuard<'_, T>> {
        self.lock_async_as(Contender::current().priority)
    }

    /// [`lock_async`](Self::lock_async) at this priority.
    pub fn lock_async_as(
        &self,
        priority: Priority,
    ) -> impl Future<Output = PriorityMutexGuard<'_, T>> {
        let acquire = self.raw.acquire(&System, at(priority));
        Wait::new(Map::new(acquire, move |()| PriorityMutexGuard {
            mutex: self,
        }))
    }

    /// The data, without locking: nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// Whether somebody holds the lock, or is about to, at this moment.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// The lock without the data: for a [`Futex`](crate::Futex) of one's own.
    pub fn raw(&self) -> &RawPriorityMutex {
        &self.raw
    }
}

/// The current contender at another priority.
#[inline]
fn at(priority: Priority) -> Contender {
    Contender {
        priority,
        ..Contender::current()
    }
}

impl<T: Default> Default for PriorityMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for PriorityMutex<T> {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for PriorityMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PriorityMutex");
        match self.try_lock() {
            Some(guard) => out.field("data", &&*guard),
            None => out.field("data", &format_args!("<locked>")),
        };
        out.finish()
    }
}

/// Access to the data of a locked [`PriorityMutex`]; unlocks it when dropped.
///
/// It may be dropped on another thread than the one that locked.
///
/// A shared guard gives out the mutex, so it is shared only if the mutex may be:
///
/// ```compile_fail,E0277
/// use std::sync::MutexGuard;
/// use threadwork_sync::PriorityMutexGuard;
///
/// fn share<T: Sync>() {}
/// share::<PriorityMutexGuard<'static, MutexGuard<'static, ()>>>();
/// ```
#[must_use = "if unused the mutex is unlocked at once"]
pub struct PriorityMutexGuard<'a, T: ?Sized> {
    mutex: &'a PriorityMutex<T>,
}

// SAFETY: a shared guard gives `&T`, and the mutex, which wants T to be Send.
unsafe impl<T: ?Sized + Send + Sync> Sync for PriorityMutexGuard<'_, T> {}
// Send where `&PriorityMutex<T>` is, that is, where T is: the lock does not care which
// thread unlocks it.

impl<'a, T: ?Sized> PriorityMutexGuard<'a, T> {
    /// The mutex that this guard holds.
    pub fn mutex(guard: &Self) -> &'a PriorityMutex<T> {
        guard.mutex
    }
}

impl<T: ?Sized> Deref for PriorityMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for PriorityMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and is borrowed for as long as the data.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized> Drop for PriorityMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard holds the lock, and nobody can reach the data through it
        // any more.
        unsafe { self.mutex.raw.unlock_with(&System) };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for PriorityMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for PriorityMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
