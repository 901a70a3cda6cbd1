//! A phase-fair reader-writer lock in 16 bytes, without the data.
//!
//! Phases of readers and of writers alternate while both want the lock: a writer that
//! unlocks opens it to the readers that wait, and one that waits closes it to new ones. A
//! reader that is too slow to use its phase is passed by writers, within a bound: then it
//! is let in by the next one that unlocks.
//!
//! # Protocol
//!
//! | offset | word | meaning |
//! |---|---|---|
//! | 0 | `state: u64` | the lock, below |
//! | 8 | `readers: u32` | the readers' gate: turned (+1) before waiting readers are let in |
//! | 12 | `writers: u32` | the writers' gate: turned before the lock gets free for a writer |
//!
//! | bits of `state` | name | meaning |
//! |---|---|---|
//! | 0 | `PHASE` | flips each time that the waiting readers are let in |
//! | 1..20 | active readers | they hold the lock |
//! | 20 | `LOCKED` | a writer holds the lock |
//! | 21 | `STARVING` | a writer lost too often: newcomers among the writers may not pass |
//! | 22 | `READERS_STARVE` | a reader lost too often: who unlocks lets all that wait in |
//! | 23 | `READERS_TURN` | once the lock is free, it is the readers' turn: waiting writers do not stop them |
//! | 24 | `READERS_LOOK` | a waiting reader looks at its gate: turn it |
//! | 25 | `READERS_SLEEP` | one sleeps there: notify it, too |
//! | 26, 27 | `WRITERS_LOOK`, `WRITERS_SLEEP` | the same for writers |
//! | 28..46 | waiting readers | they are told, all together, when a writer goes |
//! | 46..64 | waiting writers | while there are any, new readers wait |
//!
//! `LOCKED` and active readers exclude each other. The fast paths are one
//! compare-and-swap each: `0 -> LOCKED` and back, and one more or less active reader
//! while nothing above their count is set, which is one comparison.
//!
//! *Before it queues*, a thread looks at the state for about a critical section, and
//! takes the lock if it sees it open. A writer that counts itself waiting stops all new
//! readers, and whoever lets it in has a gate to turn: most waits are over before that
//! is worth it. What is said of phases and bounds holds from the moment that a thread
//! counts itself waiting. Futures and waits with a timeout queue without that look.
//!
//! *A reader* goes in while there is neither a writer nor one waiting, or in the readers'
//! turn. Else it counts itself waiting. *An unlocking writer* with readers waiting turns
//! their gate and frees the lock, and if writers wait as well, it says that it is the
//! readers' turn, in which they stay where they are. The turn ends when the last of those
//! readers has gone in or given up. A newcomer among the writers may take the free lock
//! before they are there.
//!
//! That is barging, and deliberate: to let readers in while they sleep means that
//! everybody waits until each of them has run. Once more threads want the lock than there
//! are cores, all queue behind wake-ups for good: it was up to ten times slower. But a
//! writer that finds the readers' turn begun when it unlocks has passed them, and *counts
//! all waiting readers active in the step that frees the lock*; so does one that finds
//! `READERS_STARVE`, which a reader sets that found the lock taken again [`LOSSES`] times.
//! The first bound is for readers that do not get to run, and so cannot lose: a writer
//! passed them for as long as the scheduler let it, milliseconds. The second is for locks
//! that no writer waits for, which have no turn: with one there, mixed reads and writes
//! took 1.2 to 2.7 times as long. Readers note `PHASE` when they begin to wait, and are in
//! when it has flipped. One bit is enough: a second flip takes a writer, and none gets in
//! while the reader, which is counted active, has not gone. So when no reader is active
//! and none waits, nobody remembers a phase, and it starts anew from 0: that is what lets
//! a writer expect the state to be 0. (The fast unlock of a reader leaves `PHASE` as it
//! is; the next writer clears it.)
//!
//! *A writer* goes in when nobody is in and it may pass (`STARVING`), and if it has waited,
//! not in the readers' turn. Else it counts
//! itself waiting, which stops new readers. The last reader, or an unlocking writer
//! whom no reader waits for, frees the lock and notifies one writer.
//!
//! *Who gets a lock that is freed for writers* is the first writer to come, not
//! necessarily the one that was woken, for the same reason. Writers pass each other [`LOSSES`] times; then the loser sets `STARVING`, as in
//! [`RawMutex`](crate::RawMutex), and the lock goes down the futex' queue to it.
//!
//! # No wake-up is lost, and nothing is touched too late
//!
//! Whoever lets others in may not touch the lock afterwards, for they may free it. So
//! it turns the gate *before*, which alone would be too early: a waiter could read the
//! turned gate, find the lock still held, and sleep after the notify. Hence:
//!
//! - a waiter reads its gate, then sets its `LOOK` bit or sees it set while the lock is
//!   held, then watches the gate, or sleeps if it is still what it read;
//! - who lets in clears the bits, then turns the gate, then frees the lock with a
//!   compare-and-swap that expects the bits clear, then notifies by address.
//!
//! Say a waiter read the gate after the turn. Then it sees the bit clear, and sets it;
//! so the compare-and-swap fails, and the gate is turned once more. Otherwise it read
//! the gate before the turn: it does not go to sleep after the turn, or slept before
//! it and is found by the notify. The compare-and-swap cannot take one state for
//! another (clear, set, clear): only who is about to free the lock clears the bits, and
//! that is the one writer, or the one active reader.
//!
//! For writers the rest is the claim of [`RawMutex`](crate::RawMutex): a free lock that
//! a sleeping writer waits for has a writer awake that takes it or passes it on. One
//! that has slept sets the bits when it takes the lock, since others may sleep behind
//! it. A writer that gives up passes its wake-up on. If it was the last that waited, and
//! the lock is open to readers by that, it turns their gate and wakes them (it may touch
//! the lock: it holds a reference and lets nobody free it).
//!
//! In the readers' turn a free lock may have writers asleep and none awake. Then readers
//! that wait were told, and each goes in or gives up; the last to do so ends the turn.
//! Nobody begins to wait as a reader meanwhile, for the lock is open to readers. So
//! somebody is the last, and either is active, and wakes a writer when the last active
//! reader goes, or has given up, and wakes one itself if the lock is free.
//!
//! # Orderings
//!
//! An acquire in taking the lock reads from the release in freeing it, or from a
//! read-modify-write after that: every change of `state` is one, so all of them are in
//! its release sequence, and the readers' releases stay visible to the writer through
//! those of the readers after them. A reader that was let in reads `PHASE` with acquire.
//! A gate is turned with release and read with acquire, so that who sees it turned sees
//! the bits cleared. The futex orders its comparison against a notify.
//!
//! # Left out
//!
//! An upgradable read lock: it would be a third kind of holder, in every state above,
//! and its upgrade a writer that waits inside a readers' phase, ahead of all. Take the
//! write lock and [downgrade](RawRwLock::downgrade_with) instead.
//!
//! Sources: B. Brandenburg and J. Anderson, "Spin-based reader-writer synchronization
//! for multiprocessor real-time systems" (2010), for phase-fairness; nsync `mu.c` for
//! the count of losses.

use core::sync::atomic::Ordering;

use crate::futex::{Futex, Patience};
use crate::primitive::{AtomicU64, const_fn, spin_loop};
use crate::raw_mutex::LOSSES;
use crate::waiter::{Resumed, Step, Waiter, block_forever};
use crate::wakers::Word;

const PHASE: u64 = 1;
const LOCKED: u64 = 1 << 20;
const STARVING: u64 = 1 << 21;
const READERS_STARVE: u64 = 1 << 22;
const READERS_TURN: u64 = 1 << 23;
const READERS_LOOK: u64 = 1 << 24;
const READERS_SLEEP: u64 = 1 << 25;
const WRITERS_LOOK: u64 = 1 << 26;
const WRITERS_SLEEP: u64 = 1 << 27;
const AT_READERS_GATE: u64 = READERS_LOOK | READERS_SLEEP;
const AT_WRITERS_GATE: u64 = WRITERS_LOOK | WRITERS_SLEEP;

/// One active reader, one waiting reader, one waiting writer.
const ACTIVE: u64 = 1 << 1;
const WAITING_READER: u64 = 1 << 28;
const WAITING_WRITER: u64 = 1 << 46;

/// All of them. There is room for more active readers than for waiting ones, which
/// become active without another check.
const ALL_ACTIVE: u64 = LOCKED - ACTIVE;
const ALL_WAITING_READERS: u64 = WAITING_WRITER - WAITING_READER;
const ALL_WAITING_WRITERS: u64 = u64::MAX - (WAITING_WRITER - 1);

/// Looks at the state before a thread queues: a critical section or two, far less than a
/// sleep costs.
const LOOKS: u32 = if cfg!(loom) { 1 } else { 100 };

fn is_open_to_readers(state: u64) -> bool {
    state & LOCKED == 0 && (state & ALL_WAITING_WRITERS == 0 || state & READERS_TURN != 0)
}

fn is_free(state: u64) -> bool {
    state & (LOCKED | ALL_ACTIVE) == 0
}

/// Whether a writer may take the lock that has not come to the gate.
fn is_open_to_writers(state: u64) -> bool {
    state & (LOCKED | STARVING | ALL_ACTIVE) == 0
}

/// Without the bits of those who are not there.
fn tidy(mut state: u64) -> u64 {
    if state & ALL_WAITING_READERS == 0 {
        state &= !(AT_READERS_GATE | READERS_STARVE | READERS_TURN);
        if state & ALL_ACTIVE == 0 {
            state &= !PHASE;
        }
    }
    if state & ALL_WAITING_WRITERS == 0 {
        state &= !(AT_WRITERS_GATE | STARVING | READERS_TURN);
    }
    state
}

/// The state with one more of `one`, which has all the bits of `all`.
fn one_more(state: u64, one: u64, all: u64) -> u64 {
    if state & all == all {
        too_many(all / one);
    }
    state + one
}

#[cold]
fn too_many(limit: u64) -> ! {
    panic!(
        "more than {limit} hold or await one reader-writer lock: \
         look for guards that are forgotten instead of dropped"
    );
}

#[cold]
fn not_held() -> ! {
    panic!("a reader-writer lock was unlocked that is not held so: unlock once for each lock");
}

/// What the holder gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    Read,
    Write,
    /// From writer to reader.
    Downgrade,
}

/// A phase-fair reader-writer lock in 16 bytes: all zero is unlocked.
///
/// This is the lock for those who bring their own data and their own [`Futex`]. Rust
/// data belongs into a [`RwLock`](crate::RwLock).
///
/// At most 524,287 readers at a time, of which half may have waited, and 262,143
/// waiting writers; more panic.
///
/// # Example
///
/// ```
/// use threadwork_sync::{RawRwLock, System};
///
/// let lock = RawRwLock::new();
/// lock.write_with(&System);
/// assert!(!lock.try_read());
/// // SAFETY: locked above.
/// unsafe { lock.downgrade_with(&System) };
/// assert!(lock.try_read());
/// // SAFETY: downgraded above.
/// unsafe { lock.unlock_read_with(&System) };
/// // SAFETY: the other read lock.
/// unsafe { lock.unlock_read_with(&System) };
/// ```
#[repr(C)]
#[derive(Debug)]
pub struct RawRwLock {
    state: AtomicU64,
    readers: Word,
    writers: Word,
}

impl RawRwLock {
    const_fn! {
        /// An unlocked lock.
        #[must_use]
        pub fn new() -> Self {
            RawRwLock {
                state: AtomicU64::new(0),
                readers: Word::new(0),
                writers: Word::new(0),
            }
        }
    }

    /// Takes the lock for reading if no writer holds it or waits. Never blocks.
    ///
    /// # Panics
    ///
    /// When 524,287 readers hold the lock.
    #[inline]
    #[must_use]
    pub fn try_read(&self) -> bool {
        self.enter() || self.try_read_slowly()
    }

    /// The whole of an uncontended lock.
    #[inline]
    fn enter(&self) -> bool {
        // Ordering: Relaxed; the compare-and-swap checks it.
        let state = self.state.load(Ordering::Relaxed);
        // Nobody but readers, and not too many.
        state < ALL_ACTIVE
            // Ordering: Acquire; pairs with the release of a writer.
            && self
                .state
                .compare_exchange(state, state + ACTIVE, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    #[cold]
    fn try_read_slowly(&self) -> bool {
        loop {
            // Ordering: Relaxed; the compare-and-swap checks it.
            let state = self.state.load(Ordering::Relaxed);
            if !is_open_to_readers(state) {
                return false;
            }
            if self.enter_from(state) {
                return true;
            }
        }
    }

    /// Whether it got in, from a state that is open to readers.
    fn enter_from(&self, state: u64) -> bool {
        let next = one_more(state, ACTIVE, ALL_ACTIVE);
        // Ordering: Acquire; pairs with the release of a writer.
        self.state
            .compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the lock for writing if nobody holds it or waits. Never blocks.
    #[inline]
    #[must_use]
    pub fn try_write(&self) -> bool {
        self.seize() || self.try_write_slowly()
    }

    /// The whole of an uncontended lock.
    #[inline]
    fn seize(&self) -> bool {
        // Ordering: Acquire; pairs with the releases of readers and writers.
        self.state
            .compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    fn try_write_slowly(&self) -> bool {
        // Ordering: Relaxed; the compare-and-swap checks it.
        let state = self.state.load(Ordering::Relaxed);
        state & !PHASE == 0 && self.seize_from(state)
    }

    /// Whether it got the lock, from a state that is open to writers.
    fn seize_from(&self, state: u64) -> bool {
        let next = tidy(state) | LOCKED;
        // Ordering: Acquire; pairs with the releases of readers and writers.
        self.state
            .compare_exchange(state, next, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Looks at the state for about a critical section, in the hope that it is `open`
    /// and can be taken by `take` before anybody has to queue.
    fn look(&self, open: impl Fn(u64) -> bool, take: impl Fn(u64) -> bool) -> bool {
        (0..LOOKS).any(|look| {
            // Not after the last one: to loom a pause means that others go first, and
            // no model would see anybody queue early.
            if look > 0 {
                spin_loop();
            }
            // Ordering: Relaxed; the compare-and-swap checks it.
            let state = self.state.load(Ordering::Relaxed);
            open(state) && take(state)
        })
    }

    /// Takes the lock for reading. Blocks in `futex` while a writer holds the lock or
    /// waits for it.
    ///
    /// So a thread that reads already and reads again waits for ever if a writer came
    /// in between.
    ///
    /// # Panics
    ///
    /// When 524,287 readers hold the lock, or 262,143 wait for it.
    #[inline]
    pub fn read_with(&self, futex: &impl Futex) {
        if !self.enter() {
            self.read_slowly(futex);
        }
    }

    #[cold]
    fn read_slowly(&self, futex: &impl Futex) {
        if !self.look(is_open_to_readers, |state| self.enter_from(state)) {
            block_forever(futex, self.acquire_read(futex));
        }
    }

    /// Takes the lock for writing. Blocks in `futex` while anybody holds it.
    ///
    /// # Panics
    ///
    /// When 262,143 writers wait.
    #[inline]
    pub fn write_with(&self, futex: &impl Futex) {
        if !self.seize() {
            self.write_slowly(futex);
        }
    }

    #[cold]
    fn write_slowly(&self, futex: &impl Futex) {
        if !self.look(is_open_to_writers, |state| self.seize_from(state)) {
            block_forever(futex, self.acquire_write(futex));
        }
    }

    /// The wait for reading, for [`block`](crate::block) with a timeout or
    /// [`Wait`](crate::Wait). Whoever gets its output holds the lock. One that gives up
    /// notifies others through `futex`.
    pub fn acquire_read<'a, F: Futex>(&'a self, futex: &'a F) -> AcquireRead<'a, F> {
        AcquireRead {
            lock: self,
            futex,
            phase: None,
            losses: 0,
        }
    }

    /// The wait for writing; as [`acquire_read`](Self::acquire_read).
    pub fn acquire_write<'a, F: Futex>(&'a self, futex: &'a F) -> AcquireWrite<'a, F> {
        AcquireWrite {
            lock: self,
            futex,
            counted: false,
            slept: false,
            entitled: false,
            starving: false,
            losses: 0,
            limit: LOSSES,
        }
    }

    /// Gives up a read lock. The last reader wakes one writer if one may sleep.
    ///
    /// # Safety
    ///
    /// The caller holds the lock for reading, and reads no more of what it protects. It
    /// need not be the thread that took it.
    ///
    /// # Panics
    ///
    /// When nobody holds the lock for reading.
    #[inline]
    pub unsafe fn unlock_read_with(&self, futex: &impl Futex) {
        // Not a mere subtraction: the last reader has to turn the gate before it goes.
        // Ordering: Relaxed; the compare-and-swap checks it.
        let state = self.state.load(Ordering::Relaxed);
        // Nobody but readers, and not none.
        let plain = (ACTIVE..LOCKED).contains(&state);
        // Ordering: Release; pairs with the acquire of the next writer.
        if !plain
            || self
                .state
                .compare_exchange(state, state - ACTIVE, Ordering::Release, Ordering::Relaxed)
                .is_err()
        {
            self.release_slowly(futex, Release::Read);
        }
    }

    /// Gives up the write lock: lets in all readers that wait, or else wakes one writer
    /// if one may sleep.
    ///
    /// # Safety
    ///
    /// The caller holds the lock for writing, and gives up whatever it protects. It
    /// need not be the thread that took it.
    ///
    /// # Panics
    ///
    /// When nobody holds the lock for writing.
    #[inline]
    pub unsafe fn unlock_write_with(&self, futex: &impl Futex) {
        // Ordering: Release; pairs with the acquire of the next reader or writer.
        if self
            .state
            .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.release_slowly(futex, Release::Write);
        }
    }

    /// Turns the write lock into a read lock, with no writer in between, and lets in all
    /// readers that wait.
    ///
    /// # Safety
    ///
    /// The caller holds the lock for writing, and writes no more.
    ///
    /// # Panics
    ///
    /// When nobody holds the lock for writing.
    pub unsafe fn downgrade_with(&self, futex: &impl Futex) {
        self.release_slowly(futex, Release::Downgrade);
    }

    #[cold]
    fn release_slowly(&self, futex: &impl Futex, release: Release) {
        let mut cleared = 0;
        loop {
            // Ordering: Relaxed; the compare-and-swaps check it.
            let state = self.state.load(Ordering::Relaxed);
            let readers = state & ALL_WAITING_READERS;
            let held = match release {
                Release::Read => ALL_ACTIVE,
                Release::Write | Release::Downgrade => LOCKED,
            };
            if state & held == 0 {
                not_held();
            }
            // Whom this lets in, and the state after it.
            let (gate, next, count) = match release {
                Release::Read if state & (ALL_ACTIVE | READERS_TURN) == ACTIVE => {
                    (AT_WRITERS_GATE, state - ACTIVE, 1)
                }
                Release::Read => (0, state - ACTIVE, 0),
                Release::Write if readers == 0 => (AT_WRITERS_GATE, state - LOCKED, 1),
                Release::Downgrade if readers == 0 => (0, state - LOCKED + ACTIVE, 0),
                Release::Write | Release::Downgrade => {
                    let stays = u64::from(release == Release::Downgrade) * ACTIVE;
                    let freed = state - LOCKED + stays;
                    let entering = readers / WAITING_READER * ACTIVE;
                    let next = match state & (READERS_TURN | READERS_STARVE) {
                        0 => freed | READERS_TURN,
                        _ => (freed - readers + entering) ^ PHASE,
                    };
                    (AT_READERS_GATE, next, u32::MAX)
                }
            };
            let word = if gate == AT_READERS_GATE {
                &self.readers
            } else {
                &self.writers
            };
            if state & gate != 0 {
                // Ordering: Relaxed; the turn publishes it.
                if self
                    .state
                    .compare_exchange_weak(
                        state,
                        state & !gate,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    )
                    .is_ok()
                {
                    cleared |= state & gate;
                    // Ordering: Release; pairs with the acquire in the waiters' steps.
                    word.fetch_add(1, Ordering::Release);
                }
                continue;
            }
            let word = word.address();
            // Who is not let in after all keeps its bits.
            let next = tidy(next | (cleared & !gate));
            // Ordering: Release; pairs with the acquire of those who come next.
            if self
                .state
                .compare_exchange_weak(state, next, Ordering::Release, Ordering::Relaxed)
                .is_ok()
            {
                // From here on the lock may be gone: only the address is used.
                if cleared & gate & (READERS_SLEEP | WRITERS_SLEEP) != 0 {
                    futex.notify(word, count);
                    futex.give_way();
                }
                return;
            }
        }
    }

    /// Whether anybody holds the lock at this moment.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        // Ordering: Relaxed; the answer may be old when it arrives.
        !is_free(self.state.load(Ordering::Relaxed))
    }

    /// Whether a writer holds the lock at this moment.
    #[must_use]
    pub fn is_write_locked(&self) -> bool {
        // Ordering: Relaxed; the answer may be old when it arrives.
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }
}

impl Default for RawRwLock {
    fn default() -> Self {
        Self::new()
    }
}

/// A thread or a future that waits to read under a [`RawRwLock`].
#[derive(Debug)]
pub struct AcquireRead<'a, F: Futex> {
    lock: &'a RawRwLock,
    futex: &'a F,
    /// Since it counts as waiting: `PHASE` then.
    phase: Option<u64>,
    /// Turns that were over when it came.
    losses: u32,
}

impl<F: Futex> AcquireRead<'_, F> {
    /// Whether it was counted active by an unlocking writer.
    fn is_in(&self, state: u64) -> bool {
        self.phase.is_some_and(|phase| state & PHASE != phase)
    }
}

impl<'a, F: Futex> Waiter<'a> for AcquireRead<'a, F> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let lock = self.lock;
        let first = resumed == Resumed::Started;
        if let Resumed::Changed | Resumed::Woken = resumed {
            self.losses += 1;
        }
        let starving = self.losses >= LOSSES;
        loop {
            // Before the state, always: see "nothing is touched too late".
            // Ordering: Acquire; pairs with the turn in `release_slowly`.
            let gate = lock.readers.load(Ordering::Acquire);
            // Ordering: Acquire; pairs with the release of the writer that let it in.
            let state = lock.state.load(Ordering::Acquire);
            if self.is_in(state) {
                return Step::Done(());
            }
            let open = is_open_to_readers(state);
            let next = if open {
                let waited = self.phase.map_or(0, |_| WAITING_READER);
                tidy(one_more(state, ACTIVE, ALL_ACTIVE) - waited)
            } else {
                let counted = match self.phase {
                    Some(_) => state,
                    None => one_more(state, WAITING_READER, ALL_WAITING_READERS),
                };
                let sleep = if first { 0 } else { READERS_SLEEP };
                let starved = if starving { READERS_STARVE } else { 0 };
                counted | READERS_LOOK | sleep | starved
            };
            // Ordering: Acquire; pairs with the release of a writer.
            if next != state
                && lock
                    .state
                    .compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            if open {
                return Step::Done(());
            }
            self.phase = Some(state & PHASE);
            if first {
                return Step::Watch(&lock.readers, gate, Patience::Long);
            }
            return Step::Sleep(&lock.readers, gate);
        }
    }

    /// All that sleep at the gate are woken at once, so there is nothing to pass on to
    /// other readers; but the writers let these go first.
    fn cancel(&mut self, _woken: bool) -> Option<()> {
        self.phase?;
        let RawRwLock {
            state: word,
            writers,
            ..
        } = self.lock;
        loop {
            // Ordering: Acquire; pairs with the release of the writer that let it in.
            let state = word.load(Ordering::Acquire);
            if self.is_in(state) {
                return Some(());
            }
            let next = tidy(state - WAITING_READER);
            // Ordering: Relaxed; nothing is taken and nothing given.
            if word
                .compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            let ends_turn = (state & !next) & READERS_TURN != 0;
            if ends_turn && is_free(next) {
                // Ordering: Release; pairs with the acquire in the writers' steps.
                writers.fetch_add(1, Ordering::Release);
                self.futex.notify(writers.address(), 1);
            }
            return None;
        }
    }
}

/// A thread or a future that waits to write under a [`RawRwLock`].
#[derive(Debug)]
pub struct AcquireWrite<'a, F: Futex> {
    lock: &'a RawRwLock,
    futex: &'a F,
    /// It counts as waiting.
    counted: bool,
    /// It has queued, so that others may be queued behind it.
    slept: bool,
    /// It was woken and has not slept since, or is the one that starves.
    entitled: bool,
    /// It has set `STARVING`.
    starving: bool,
    losses: u32,
    limit: u32,
}

impl<F: Futex> AcquireWrite<'_, F> {
    /// Never sets `STARVING`; for futures, as in
    /// [`Acquire::never_starving`](crate::Acquire).
    pub(crate) fn never_starving(mut self) -> Self {
        self.limit = u32::MAX;
        self
    }

    /// The state without this waiter among the waiting.
    fn withdrawn(&self, state: u64) -> u64 {
        let others = if self.counted {
            state - WAITING_WRITER
        } else {
            state
        };
        let starving = if self.starving { STARVING } else { 0 };
        tidy(others & !starving)
    }
}

impl<'a, F: Futex> Waiter<'a> for AcquireWrite<'a, F> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let lock = self.lock;
        let first = resumed == Resumed::Started;
        if let Resumed::Changed | Resumed::Woken = resumed {
            self.losses += 1;
            self.entitled |= resumed == Resumed::Woken;
        }
        let starving = self.losses >= self.limit;
        loop {
            // Before the state, always: see "nothing is touched too late".
            // Ordering: Acquire; pairs with the turn in `release_slowly`.
            let gate = lock.writers.load(Ordering::Acquire);
            // Ordering: Relaxed; the compare-and-swap checks it.
            let state = lock.state.load(Ordering::Relaxed);
            let take = is_free(state)
                && state & READERS_TURN == 0
                && (state & STARVING == 0 || self.entitled);
            let next = if take {
                let behind = if self.slept { AT_WRITERS_GATE } else { 0 };
                tidy(self.withdrawn(state) | behind) | LOCKED
            } else {
                let counted = if self.counted {
                    state
                } else {
                    one_more(state, WAITING_WRITER, ALL_WAITING_WRITERS)
                };
                let sleep = if first { 0 } else { WRITERS_SLEEP };
                let starved = if starving { STARVING } else { 0 };
                counted | WRITERS_LOOK | sleep | starved
            };
            // Ordering: Acquire; pairs with the releases of readers and writers.
            if next != state
                && lock
                    .state
                    .compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            if take {
                return Step::Done(());
            }
            self.counted = true;
            if first {
                return Step::Watch(&lock.writers, gate, Patience::Brief);
            }
            self.slept = true;
            self.starving = starving;
            self.entitled = starving;
            return Step::Sleep(&lock.writers, gate);
        }
    }

    fn cancel(&mut self, woken: bool) -> Option<()> {
        if !self.counted {
            return None;
        }
        let RawRwLock {
            state: word,
            readers,
            writers,
        } = self.lock;
        loop {
            // Ordering: Relaxed here and below; nothing is taken and nothing given.
            let state = word.load(Ordering::Relaxed);
            let mut next = self.withdrawn(state);
            let pass_on = (woken || self.starving) && next & ALL_WAITING_WRITERS != 0;
            if pass_on && !is_free(state) {
                next |= AT_WRITERS_GATE;
            }
            if word
                .compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            // Ordering: Release in the turns; pairs with the acquire in the steps, so
            // that who sees a gate turned sees that this waiter is gone.
            if pass_on && is_free(state) {
                writers.fetch_add(1, Ordering::Release);
                self.futex.notify(writers.address(), 1);
            }
            if is_open_to_readers(next) && next & ALL_WAITING_READERS != 0 {
                readers.fetch_add(1, Ordering::Release);
                self.futex.notify(readers.address(), u32::MAX);
            }
            return None;
        }
    }
}
