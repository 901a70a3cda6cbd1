//! A barrier: threads wait for each other, phase after phase.
//!
//! # Protocol
//!
//! | offset | word | bits | meaning |
//! |---|---|---|---|
//! | 0 | `state` (u64) | 0..32 | threads that have arrived in this phase |
//! | | | 32..64 | the phase, from 0, wrapping |
//! | 8 | `gate` (u32) | 0 | `SLEEPERS`: somebody may sleep on this word |
//! | | | 1..32 | phases that are over, wrapping |
//! | 12 | `others` (u32) | | the parties, less one; never changes |
//!
//! All zero is a barrier of one. The 16 bytes lie in one cache line.
//!
//! *To arrive* is one addition to `state`. What it returns is both the position and
//! the phase, so nobody can take the phase of the one for that of the other: the
//! classical mistake is to read the phase after the arrival, when it may be the next
//! one, which this thread would then wait for.
//!
//! *The last* of a phase is its leader. It resets `state` to the next phase, then
//! counts the phase in `gate`, and notifies everybody if `SLEEPERS` was set, which the
//! same exchange clears. All others watch the gate, and set `SLEEPERS` before they
//! sleep. They are through when the gate has counted their phase.
//!
//! *To withdraw*, a thread that gives up takes its arrival off `state`, if its phase is
//! still there and the last has not come. One compare-and-swap decides between it and
//! the last: the phase, in the same word, keeps a late withdrawal out of the next
//! phase. A thread that is too late is through like the others. It waits for the gate
//! all the same, a few instructions of the last: once it returns, the barrier may be
//! freed, and the last still has to write to it.
//!
//! *More threads than parties* may use a barrier: each phase lets as many through as
//! there are parties. A thread that comes between the last of a phase and the reset
//! reads a position past the last: it belongs to the next phase, or, with very many
//! threads, to one after that. The reset subtracts, so that these arrivals stay. A
//! whole phase of others may also run between one phase's reset and its gate; so the
//! gate is counted up, never set, and to be through is an order of numbers, not a
//! difference.
//!
//! # No wake-up is lost
//!
//! A thread sleeps on a value of the gate that has `SLEEPERS` and on which it is not
//! through. The exchange that lets it through changes that value: before the futex
//! compares, and it does not sleep, or after, and the exchange saw the bit and notifies
//! all that sleep. Nobody clears the bit without notifying.
//!
//! # Orderings
//!
//! The additions to `state` release what each thread did before it arrived, and the
//! last acquires it all, since read-modify-writes continue a release sequence. The
//! exchange of the gate releases that to those who acquire the gate. It also orders
//! the reset before the gate, so that nobody who is through arrives in the old phase.
//! The gate may be moved past a phase by the last of the next one: that thread has
//! acquired the first phase, too, since the reset continues the release sequence.
//!
//! Sources: J. Mellor-Crummey and M. Scott 1991, the centralized barrier; the phase
//! and the count in one word are our own.

use core::future::Future;
use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::futex::{Futex, Patience};
use crate::primitive::{AtomicU32, AtomicU64, const_fn};
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Resumed, Step, Waiter, block, block_forever};
use crate::wakers::Word;

const SLEEPERS: u32 = 1;
/// One phase, in the gate.
const PHASE: u32 = 1 << 1;

/// A point that threads pass together: each waits until all have come.
///
/// It can be used again at once, any number of times. In each phase exactly one
/// thread, the last to arrive, is told that it is the leader. More threads than
/// parties may use it: then each phase is passed by as many as there are parties.
///
/// 16 bytes. All zero bytes are a barrier of one, which never waits.
///
/// # Example
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use threadwork_sync::Barrier;
///
/// let barrier = Barrier::new(4);
/// let arrived = AtomicU32::new(0);
/// let leaders = AtomicU32::new(0);
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             arrived.fetch_add(1, Ordering::Relaxed);
///             if barrier.wait().is_leader() {
///                 leaders.fetch_add(1, Ordering::Relaxed);
///             }
///             assert_eq!(arrived.load(Ordering::Relaxed), 4);
///         });
///     }
/// });
/// assert_eq!(leaders.into_inner(), 1);
/// ```
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Barrier {
    state: AtomicU64,
    gate: Word,
    // An atomic only so that the whole object may be freed while the last still has a
    // reference to it.
    others: AtomicU32,
}

/// What a thread learns when it passes a [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    leader: bool,
}

impl BarrierWaitResult {
    /// Whether this thread is the one leader of its phase.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

const LEADER: BarrierWaitResult = BarrierWaitResult { leader: true };
const FOLLOWER: BarrierWaitResult = BarrierWaitResult { leader: false };

impl Barrier {
    const_fn! {
        /// A barrier that opens whenever so many threads have come.
        ///
        /// # Panics
        ///
        /// When `parties` is zero.
        #[must_use]
        pub fn new(parties: u32) -> Self {
            assert!(
                parties != 0,
                "a barrier of zero threads would never open: pass the number of threads that wait at it"
            );
            Barrier {
                state: AtomicU64::new(0),
                gate: Word::new(0),
                others: AtomicU32::new(parties - 1),
            }
        }
    }

    /// How many threads pass together.
    #[must_use]
    pub fn parties(&self) -> u32 {
        self.others() + 1
    }

    /// Arrives, and waits for the others. Blocks, unless it is the last.
    #[inline]
    pub fn wait(&self) -> BarrierWaitResult {
        self.wait_with(&System)
    }

    /// [`wait`](Self::wait) in a futex of one's own.
    #[inline]
    pub fn wait_with(&self, futex: &impl Futex) -> BarrierWaitResult {
        block_forever(futex, self.waiter(futex))
    }

    /// Arrives, and waits for the others, or gives up after `timeout`: then its arrival
    /// is withdrawn, and the phase needs another one. If the last came before the
    /// withdrawal, this thread passes.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork_sync::Barrier;
    ///
    /// let barrier = Barrier::new(2);
    /// assert!(barrier.wait_timeout(Duration::from_millis(1)).is_none());
    /// // Nobody has arrived now: it takes two again.
    /// assert!(barrier.wait_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Option<BarrierWaitResult> {
        block(&System, self.waiter(&System), Some(timeout))
    }

    /// As [`wait_timeout`](Self::wait_timeout), until `deadline`.
    #[cfg(feature = "std")]
    pub fn wait_deadline(&self, deadline: std::time::Instant) -> Option<BarrierWaitResult> {
        self.wait_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Arrives when first polled, and waits for the others without blocking the thread.
    /// A future that is dropped before it is ready withdraws its arrival.
    pub fn wait_async(&self) -> impl Future<Output = BarrierWaitResult> {
        Wait::new(self.waiter(&System))
    }

    /// The wait, for [`block`](crate::block) with a timeout or [`Wait`](crate::Wait). It
    /// arrives with its first step.
    #[inline]
    pub fn waiter<'a, F: Futex>(&'a self, futex: &'a F) -> BarrierWaiter<'a, F> {
        BarrierWaiter {
            barrier: self,
            futex,
            phase: None,
            watched: None,
        }
    }

    fn others(&self) -> u32 {
        // Ordering: Relaxed; it never changes.
        self.others.load(Ordering::Relaxed)
    }

    /// Arrives. Returns in which phase, and whether as its last.
    #[inline]
    fn enter(&self) -> (u32, bool) {
        // Ordering: AcqRel; each arrival releases to the last, which acquires them all.
        let (phase, position) = split(self.state.fetch_add(1, Ordering::AcqRel));
        let others = self.others();
        if position <= others {
            (phase, position == others)
        } else {
            self.enter_early(phase, position)
        }
    }

    /// Arrives before the reset of a phase that is complete.
    #[cold]
    fn enter_early(&self, phase: u32, position: u32) -> (u32, bool) {
        let ahead = position / self.parties();
        let position = position % self.parties();
        (phase.wrapping_add(ahead), position == self.others())
    }

    /// Ends a phase; its last arrival does.
    #[inline]
    fn complete(&self, futex: &impl Futex) {
        let gate = self.gate.address();
        let reset = (1 << 32) - u64::from(self.parties());
        // Ordering: Relaxed; the exchange below releases it.
        self.state.fetch_add(reset, Ordering::Relaxed);
        // Ordering: Relaxed; the exchange finds out if it is old.
        let mut seen = self.gate.load(Ordering::Relaxed);
        // Ordering: Release; pairs with the acquires in `step`.
        while let Err(now) = self.gate.compare_exchange_weak(
            seen,
            (seen & !SLEEPERS).wrapping_add(PHASE),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            seen = now;
        }
        // From here on the barrier may be gone: only an address is used.
        if seen & SLEEPERS != 0 {
            futex.notify(gate, u32::MAX);
        }
    }

    /// Takes an arrival back, unless its phase is complete: then false.
    fn withdraw(&self, phase: u32) -> bool {
        // Ordering: Relaxed here and below; it adds nothing that others read, and
        // continues the release sequence of the arrivals.
        let mut state = self.state.load(Ordering::Relaxed);
        while !self.is_complete(state, phase) {
            match self.state.compare_exchange_weak(
                state,
                state - 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Whether all of `phase` have arrived.
    fn is_complete(&self, state: u64, phase: u32) -> bool {
        let (current, arrived) = split(state);
        let ahead = phase.wrapping_sub(current).cast_signed();
        u32::try_from(ahead).map_or(true, |ahead| {
            u64::from(arrived) >= (u64::from(ahead) + 1) * u64::from(self.parties())
        })
    }
}

/// The phase, and the threads that have arrived in it.
fn split(state: u64) -> (u32, u32) {
    ((state >> 32) as u32, state as u32)
}

/// Whether this value of the gate lets the threads of `phase` through.
fn is_past(gate: u32, phase: u32) -> bool {
    let over = (gate & !SLEEPERS).wrapping_sub(phase.wrapping_mul(PHASE));
    over.cast_signed() > 0
}

/// A thread or a future that waits at a [`Barrier`].
#[derive(Debug)]
pub struct BarrierWaiter<'a, F: Futex> {
    barrier: &'a Barrier,
    futex: &'a F,
    /// The phase in which it has arrived.
    phase: Option<u32>,
    /// The value of the gate that it has watched. Others setting `SLEEPERS` end its
    /// watch, but are no reason to sleep.
    watched: Option<u32>,
}

impl<'a, F: Futex> Waiter<'a> for BarrierWaiter<'a, F> {
    type Output = BarrierWaitResult;

    #[inline]
    fn step(&mut self, resumed: Resumed) -> Step<'a, BarrierWaitResult> {
        let word = &self.barrier.gate;
        let phase = match self.phase {
            Some(phase) => phase,
            None => match self.barrier.enter() {
                (_, true) => {
                    self.barrier.complete(self.futex);
                    return Step::Done(LEADER);
                }
                (phase, false) => *self.phase.insert(phase),
            },
        };
        // Ordering: Acquire here and below; pairs with the release in `complete`.
        let mut gate = word.load(Ordering::Acquire);
        loop {
            if is_past(gate, phase) {
                return Step::Done(FOLLOWER);
            } else if matches!(resumed, Resumed::Started | Resumed::Watched)
                && self.watched != Some(gate)
            {
                self.watched = Some(gate);
                return Step::Watch(word, gate, Patience::Long);
            } else if gate & SLEEPERS != 0 {
                return Step::Sleep(word, gate);
            } else {
                let next = gate | SLEEPERS;
                match word.compare_exchange(gate, next, Ordering::Relaxed, Ordering::Acquire) {
                    Ok(_) => return Step::Sleep(word, next),
                    Err(now) => gate = now,
                }
            }
        }
    }

    /// Blocks for as long as the last of the phase takes to open the gate, if it has come.
    fn cancel(&mut self, _woken: bool) -> Option<BarrierWaitResult> {
        if self.barrier.withdraw(self.phase?) {
            return None;
        }
        let late = BarrierWaiter { ..*self };
        block(self.futex, Late(late), None)
    }
}

/// A thread that passes, as soon as the gate is open. It gives up only with its port.
struct Late<'a, F: Futex>(BarrierWaiter<'a, F>);

impl<'a, F: Futex> Waiter<'a> for Late<'a, F> {
    type Output = BarrierWaitResult;

    fn step(&mut self, resumed: Resumed) -> Step<'a, BarrierWaitResult> {
        self.0.step(resumed)
    }

    fn cancel(&mut self, _woken: bool) -> Option<BarrierWaitResult> {
        None
    }
}
