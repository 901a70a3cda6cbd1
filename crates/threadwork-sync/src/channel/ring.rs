//! The ring of slots under a channel, and how its two ends wait for each other.
//!
//! # The ring
//!
//! Vyukov's bounded queue. `tail` is the position where the next message is sent, `head`
//! where the next is received. A position is 64 bits:
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | `WAITING`: somebody of the *other* end sleeps until this position moves |
//! | 1 | `CLOSED`: one of the ends is gone |
//! | 2.. (as many as an index needs) | the index of a slot |
//! | the rest | the lap: how often this end has gone round |
//!
//! Each slot has a stamp of 32 bits, which says for whom it is:
//!
//! | stamp | meaning |
//! |---|---|
//! | `2 * lap` | free for the sender of this lap |
//! | `2 * lap + 1` | full for the receiver of this lap |
//!
//! So both ends do the same. With its position at a slot, each wants a certain stamp
//! (`2 * lap` or `2 * lap + 1`), claims the slot by moving its position, uses it, and adds
//! one to the stamp. One less than the wanted stamp means that the other end has yet to
//! come: the ring is full, or empty. Free of one lap and full of the lap before are two
//! stamps also if there is only one slot.
//!
//! Stamps wrap around; that is no ABA problem, as positions do not (not in a century): a
//! claim succeeds only if the position has not moved since before the stamp was read,
//! and while the position stands, its slot's stamp takes no other values than the wanted
//! one and the one before.
//!
//! # Waiting
//!
//! Each end has a word `sequence` on which its members sleep, and a count of those that
//! may sleep there. Take a receiver; a sender is its mirror image.
//!
//! *To wait*, a receiver counts itself, reads `sequence`, and then sets `WAITING` in `tail`
//! by a compare-and-swap that succeeds only if the ring is still empty. Then it sleeps
//! while `sequence` is what it was.
//!
//! *To wake*, a sender needs no look at anything: the compare-and-swap by which it
//! claims its slot shows it `WAITING`, and takes it away. If it was set, then after the
//! message is in the slot it adds one to `sequence` and notifies one.
//!
//! So the question whether anybody waits costs nothing: no fence and no second word, as
//! announcing and claiming are read-modify-writes of one word. (The usual eventcount
//! stores the stamp and then loads a count, which needs a fence in between on x86.)
//!
//! *To pass on*: whoever was counted and waits no more, whatever the reason, looks whether
//! others are. If so, it notifies one if the ring has something for it, or sets
//! `WAITING` if not.
//!
//! A slot that is claimed but not yet stamped is neither here nor there: who needs it
//! looks until it is stamped. The claimer has nothing left to do but to move the message.
//!
//! # No wake-up is lost
//!
//! Claim: if a receiver sleeps, then `WAITING` is set in `tail` and the ring is empty, or
//! a thread is awake that will notify a receiver or pass on.
//!
//! 1. *One receiver, one sender.* The announcement A and the sender's claim C are
//!    read-modify-writes of `tail`. If C comes first, A fails: the ring is not empty. If A
//!    comes first, C sees `WAITING`, so that the sender will add one to `sequence` and
//!    notify. The receiver read `sequence` before A, with an acquire; had it read what
//!    the sender adds after C (a release), C would come before A. So it sleeps on an
//!    older value: the futex refuses, or it sleeps before the notify and is woken.
//! 2. *Several receivers, one notify.* Receiver R is woken by sender S; let R' sleep since
//!    before S's claim, so that S took away the `WAITING` of R', too. R' counted itself
//!    before it announced, which S's claim saw; S notified R; so R, which uncounts
//!    itself later, sees R' counted, and passes on. If R finds the ring empty because
//!    somebody was faster, it announces anew, which serves R' as well.
//! 3. *Passing on.* R notifies one, which is then in R's place, or finds the ring
//!    empty and sets `WAITING` by a compare-and-swap that says so, or finds it set: by
//!    a receiver that came after S's claim, which R has seen. Then the next sender
//!    takes it from there.
//! 4. *A woken receiver that does nothing* is a future that nobody polls. No thread waits behind
//!    it: threads are woken first, and one that sleeps later has announced itself. For the
//!    futures behind it, who fills a slot and owes no notify wakes one (`wake_future`).
//! 5. *The end.* Who closes sets `CLOSED` in both positions and then wakes all that are
//!    counted. An announcement before that is seen, with its count; one after that fails.
//!
//! # Orderings
//!
//! The message is handed over by the stamp: release when it is written, acquire when it
//! is read. The positions alone are `SeqCst`: it costs nothing on x86 and WebAssembly,
//! next to nothing on ARM, and with it "empty" and "full" are true at a point in the
//! order of all such operations, so that others can build on them (crossbeam has a
//! fence here). The proof above needs only their acquire and release.
//!
//! Sources: D. Vyukov, "Bounded MPMC queue"; crossbeam-channel `flavors/array.rs` for laps
//! and waiting for a slot that is not stamped yet.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;

use alloc::boxed::Box;

use crate::cache_padded::CachePadded;
use crate::futex::Futex;
use crate::primitive::{AtomicU32, AtomicU64, UnsafeCell, spin_loop};
use crate::system::System;
use crate::wakers::{self, Word};

const WAITING: u64 = 1;
const CLOSED: u64 = 1 << 1;
const FLAGS: u64 = WAITING | CLOSED;
/// From one index to the next.
const STEP: u64 = 1 << 2;

/// The largest capacity: leaves 2^29 laps at least, each of so many messages.
const MAX_CAPACITY: usize = 1 << 30;

pub(super) struct Ring<T> {
    head: CachePadded<AtomicU64>,
    tail: CachePadded<AtomicU64>,
    senders: CachePadded<Waiters>,
    receivers: CachePadded<Waiters>,
    slots: Box<[Slot<T>]>,
    /// From one lap to the next.
    lap: u64,
    /// The lap's first bit.
    lap_shift: u32,
}

struct Slot<T> {
    stamp: AtomicU32,
    message: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the stamps give each message to one thread at a time, and move it from thread
// to thread.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: it owns the messages.
unsafe impl<T: Send> Send for Ring<T> {}

/// Those of one end that wait.
struct Waiters {
    sequence: Word,
    counted: AtomicU32,
}

/// One end of a ring, as its members see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Sender,
    Receiver,
}

/// A slot that its holder alone may use, and has to stamp.
pub(super) struct Claim<'a, T> {
    slot: &'a Slot<T>,
    stamp: u32,
    /// Somebody of the other end waits for this.
    wake: bool,
}

/// Why there is no slot.
pub(super) enum Refusal<'a> {
    Blocked(Blocked<'a>),
    Closed,
}

/// The ring was full, or empty.
pub(super) struct Blocked<'a> {
    /// What the other end changes next.
    pub(super) stamp: &'a AtomicU32,
    pub(super) value: u32,
    /// Where the other end was.
    across: u64,
}

impl<T> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        assert!(
            capacity > 0,
            "a channel of capacity 0 would be a rendezvous, which this is not: use capacity 1"
        );
        assert!(
            capacity <= MAX_CAPACITY,
            "a channel holds at most 2^30 messages: use a smaller capacity"
        );
        let lap = (capacity as u64).next_power_of_two() * STEP;
        Ring {
            head: CachePadded::new(AtomicU64::new(0)),
            tail: CachePadded::new(AtomicU64::new(0)),
            senders: CachePadded::new(Waiters::new()),
            receivers: CachePadded::new(Waiters::new()),
            slots: (0..capacity)
                .map(|_| Slot {
                    stamp: AtomicU32::new(0),
                    message: UnsafeCell::new(MaybeUninit::uninit()),
                })
                .collect(),
            lap,
            lap_shift: lap.trailing_zeros(),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    fn position(&self, end: End) -> &AtomicU64 {
        match end {
            End::Sender => &self.tail,
            End::Receiver => &self.head,
        }
    }

    fn waiters(&self, end: End) -> &Waiters {
        match end {
            End::Sender => &self.senders,
            End::Receiver => &self.receivers,
        }
    }

    /// The other end's position when this one, at `position`, can go no further.
    fn limit(&self, end: End, position: u64) -> u64 {
        match end {
            End::Sender => (position & !FLAGS).wrapping_sub(self.lap),
            End::Receiver => position & !FLAGS,
        }
    }

    #[inline(always)]
    fn claim(&self, end: End) -> Result<Claim<'_, T>, Refusal<'_>> {
        let mut backoff = Backoff::new();
        // Ordering: Relaxed here and below; an old position does no harm, as the
        // compare-and-swap fails.
        let mut position = self.position(end).load(Ordering::Relaxed);
        loop {
            if end == End::Sender && position & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            let index = ((position & (self.lap - 1)) / STEP) as usize;
            let slot = &self.slots[index];
            let lap = (position >> self.lap_shift) as u32;
            let wanted = lap.wrapping_mul(2).wrapping_add(end as u32);
            // Ordering: Acquire; pairs with the release in `stamp`.
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp == wanted {
                let here = position & !WAITING;
                let next = if index + 1 < self.slots.len() {
                    here + STEP
                } else {
                    (here & !(self.lap - 1 - CLOSED)) + self.lap
                };
                // Ordering: SeqCst, see above; acquire and release of the other end's
                // announcement.
                match self.position(end).compare_exchange_weak(
                    position,
                    next,
                    Ordering::SeqCst,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        return Ok(Claim {
                            slot,
                            stamp: wanted.wrapping_add(1),
                            wake: position & WAITING != 0,
                        });
                    }
                    Err(now) => {
                        position = now;
                        backoff.spin();
                        continue;
                    }
                }
            }
            if stamp == wanted.wrapping_sub(1) {
                // Ordering: SeqCst, see above.
                let across = self.position(end.other()).load(Ordering::SeqCst);
                if across & !FLAGS == self.limit(end, position) {
                    if across & CLOSED != 0 {
                        return Err(Refusal::Closed);
                    }
                    return Err(Refusal::Blocked(Blocked {
                        stamp: &slot.stamp,
                        value: stamp,
                        across,
                    }));
                }
            }
            // Somebody has claimed the slot and not stamped it yet, or the position is old.
            backoff.snooze();
            position = self.position(end).load(Ordering::Relaxed);
        }
    }

    /// Where the next message goes.
    #[inline]
    pub(super) fn claim_free(&self) -> Result<Claim<'_, T>, Refusal<'_>> {
        self.claim(End::Sender)
    }

    /// Where the next message comes from.
    #[inline]
    pub(super) fn claim_full(&self) -> Result<Claim<'_, T>, Refusal<'_>> {
        self.claim(End::Receiver)
    }

    /// Sends a message to a slot from `claim_free`.
    #[inline]
    pub(super) fn put(&self, claim: Claim<'_, T>, message: T) {
        claim.slot.message.with_mut(|place| {
            // SAFETY: the claim is of a free slot, and only one was given.
            unsafe { place.write(MaybeUninit::new(message)) }
        });
        self.stamp(End::Sender, claim);
    }

    /// Receives the message of a slot from `claim_full`.
    #[inline]
    pub(super) fn take(&self, claim: Claim<'_, T>) -> T {
        let message = claim.slot.message.with_mut(|place| {
            // SAFETY: the claim is of a full slot, only one was given, and the stamp will
            // say that the message is gone.
            unsafe { place.cast::<T>().read() }
        });
        self.stamp(End::Receiver, claim);
        message
    }

    #[inline]
    fn stamp(&self, end: End, claim: Claim<'_, T>) {
        // Ordering: Release; pairs with the acquire in `claim`.
        claim.slot.stamp.store(claim.stamp, Ordering::Release);
        let waiters = self.waiters(end.other());
        if claim.wake {
            waiters.wake(1);
        } else {
            waiters.wake_future();
        }
    }

    /// Counts the caller among those of `end` that may sleep.
    pub(super) fn count(&self, end: End) {
        // Ordering: AcqRel; pairs with the subtraction in `uncount`.
        let before = self.waiters(end).counted.fetch_add(1, Ordering::AcqRel);
        assert!(
            before < u32::MAX / 2,
            "more than 2^31 wait for one channel: use several"
        );
    }

    /// Announces that a counted member of `end` is going to sleep. Returns on which word
    /// and value, or nothing if the ring is not as it was found.
    pub(super) fn announce(&self, end: End, blocked: &Blocked<'_>) -> Option<(&AtomicU32, u32)> {
        let sequence: &AtomicU32 = &self.waiters(end).sequence;
        // Ordering: Acquire; pairs with the addition in `wake` (proof, 1).
        let value = sequence.load(Ordering::Acquire);
        // Ordering: Release; pairs with the other end's claim, and with `close`. It is
        // also made when the bit is set already: it says that it is set now.
        self.position(end.other())
            .compare_exchange(
                blocked.across,
                blocked.across | WAITING,
                Ordering::Release,
                Ordering::Relaxed,
            )
            .ok()
            .map(|_| (sequence, value))
    }

    /// The caller, who was counted, waits no more. Passes on what it may have got.
    #[cold]
    pub(super) fn uncount(&self, end: End) {
        let waiters = self.waiters(end);
        // Ordering: AcqRel; pairs with the addition in `count` (proof, 2).
        if waiters.counted.fetch_sub(1, Ordering::AcqRel) == 1 {
            return;
        }
        let other = self.position(end.other());
        // Ordering: Acquire; what the last wake-up was about, is seen.
        let mut across = other.load(Ordering::Acquire);
        while across & FLAGS == 0 {
            // Ordering: Relaxed; if old, it merely wakes somebody for nothing.
            let position = self.position(end).load(Ordering::Relaxed);
            if across != self.limit(end, position) {
                waiters.wake(1);
                return;
            }
            // Ordering: Release; as in `announce`.
            match other.compare_exchange(
                across,
                across | WAITING,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(now) => across = now,
            }
        }
    }

    /// Lets nobody send any more, and tells everybody who waits. Whether it was open.
    pub(super) fn close(&self) -> bool {
        let before = [End::Sender, End::Receiver].map(|end| {
            // Ordering: AcqRel; pairs with the announcements (proof, 5).
            self.position(end).fetch_or(CLOSED, Ordering::AcqRel)
        });
        for end in [End::Sender, End::Receiver] {
            let waiters = self.waiters(end);
            // Ordering: Relaxed; ordered by the above.
            if waiters.counted.load(Ordering::Relaxed) != 0 {
                waiters.wake(u32::MAX);
            }
        }
        before[0] & CLOSED == 0
    }

    pub(super) fn is_closed(&self) -> bool {
        // Ordering: Relaxed; the answer may be old when it arrives.
        self.tail.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// The number of messages inside.
    pub(super) fn len(&self) -> usize {
        loop {
            // Ordering: SeqCst, all; if the tail has not moved, both were so at one time.
            let tail = self.tail.load(Ordering::SeqCst);
            let head = self.head.load(Ordering::SeqCst);
            if self.tail.load(Ordering::SeqCst) == tail {
                return (self.ordinal(tail) - self.ordinal(head)) as usize;
            }
        }
    }

    /// How many slots were claimed before this position.
    fn ordinal(&self, position: u64) -> u64 {
        let laps = position >> self.lap_shift;
        laps * self.slots.len() as u64 + (position & (self.lap - 1)) / STEP
    }
}

impl End {
    fn other(self) -> End {
        match self {
            End::Sender => End::Receiver,
            End::Receiver => End::Sender,
        }
    }
}

impl Waiters {
    fn new() -> Self {
        Waiters {
            sequence: Word::new(0),
            counted: AtomicU32::new(0),
        }
    }

    #[cold]
    fn wake(&self, count: u32) {
        // Ordering: Release; pairs with the load in `announce` (proof, 1). To lose a
        // wake-up to wrapping around, a thread would have to stand still between
        // that load and its sleep for exactly 2^32 of these.
        self.sequence.fetch_add(1, Ordering::Release);
        System.notify(self.sequence.address(), count);
    }

    /// One was woken before, who has yet to act. It passes on, but if it is a future that nobody
    /// polls: so each slot has a future that was woken for it.
    #[inline]
    fn wake_future(&self) {
        wakers::wake_another(self.sequence.address());
    }
}

/// Pauses that grow while others are faster.
struct Backoff {
    step: u32,
}

impl Backoff {
    /// From here on the processor is left to other threads, if the system can do that.
    const PATIENT: u32 = 6;

    fn new() -> Self {
        Backoff { step: 0 }
    }

    /// After somebody else was faster: the operation can be tried again at once.
    fn spin(&mut self) {
        (0..1u32 << self.step.min(Self::PATIENT)).for_each(|_| spin_loop());
        self.step += 1;
    }

    /// Until somebody else has finished what it is doing.
    fn snooze(&mut self) {
        if self.step <= Self::PATIENT {
            self.spin();
        } else {
            #[cfg(all(feature = "std", not(loom)))]
            std::thread::yield_now();
            #[cfg(not(all(feature = "std", not(loom))))]
            spin_loop();
        }
    }
}
