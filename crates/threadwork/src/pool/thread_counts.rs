//! How many threads a pool has, and how many of them may run tasks.
//!
//! | bits | count |
//! |---|---|
//! | 0..16 | threads |
//! | 16..32 | of them blocked: in a wait that they have told of |
//! | 32..48 | of them spare: nothing to do until another blocks |
//!
//! The others are *active*. Invariant: as many are active as the pool is to have workers
//! (its size), unless all threads that it may have are blocked or it ends. Whoever
//! blocks restores that in the same step, with a spare or a new thread; so a chain of
//! waits finds a worker for what it waits for. When a blocked one comes back there is one
//! too many, until the next worker between two tasks makes itself spare. A thread is counted
//! before the system is asked for it; if that refuses, a spare takes its place as well, and only
//! if there is none are fewer active.
//!
//! A spare that leaves is *dismissed*, and counts as blocked from then until it *departs*: until
//! nothing that it does, its hook included, needs the slot, which another may have then. Should
//! others have blocked meanwhile, and found no thread to start, one is started in its place.
//!
//! # No spare sleeps on
//!
//! A spare sleeps for a permit of `calls`. Whoever takes one off the count gives a permit
//! for it, so those that sleep are as many as are counted, plus the permits. One that has
//! slept for long enough takes itself off the count; if it finds nobody counted, a permit
//! is on its way to it. At the pool's end all are recalled, by whoever notices the end.
//! One that makes itself spare at the same time comes after that in the order of the
//! counts, and so notices the end itself, which it asks for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use threadwork_sync::Semaphore;

use crate::primitive::AtomicU64;

const THREAD: u64 = 1;
const BLOCKED: u64 = 1 << 16;
const SPARE: u64 = 1 << 32;
const FIELD: u64 = 0xffff;

pub(crate) struct ThreadCounts {
    counts: AtomicU64,
    /// A permit for each spare that is called.
    calls: Semaphore,
    size: u64,
    most: u64,
}

/// Who takes the place of a worker that blocks.
enum Substitute {
    /// Nobody: enough are active, or there may be no more threads.
    Nobody,
    Spare,
    Thread,
}

/// What becomes of the count of one that departs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// A thread is to be started in its place, which is counted already.
    Replaced,
    /// It is not counted any more.
    Gone {
        /// It was the last.
        last: bool,
    },
}

#[derive(Clone, Copy)]
struct Counts(u64);

impl Counts {
    fn threads(self) -> u64 {
        self.0 & FIELD
    }

    fn spares(self) -> u64 {
        self.0 / SPARE
    }

    fn active(self) -> u64 {
        let blocked = (self.0 / BLOCKED) & FIELD;
        self.threads() - blocked - self.spares()
    }
}

impl ThreadCounts {
    /// Of a pool of `size` workers and at most `most` threads, of which none is there.
    pub(crate) fn new(size: usize, most: usize) -> Self {
        debug_assert!(size <= most && most as u64 <= FIELD);
        ThreadCounts {
            counts: AtomicU64::new(0),
            calls: Semaphore::new(0),
            size: size as u64,
            most: most as u64,
        }
    }

    /// A worker blocks. Returns whether a thread is to be started in its place, which is
    /// counted already.
    pub(crate) fn block(&self) -> bool {
        let mut substitute = Substitute::Nobody;
        self.change(|counts| {
            let blocked = Counts(counts.0 + BLOCKED);
            let (who, change) = if blocked.active() >= self.size {
                (Substitute::Nobody, 0)
            } else if blocked.spares() > 0 {
                (Substitute::Spare, SPARE.wrapping_neg())
            } else if blocked.threads() < self.most {
                (Substitute::Thread, THREAD)
            } else {
                (Substitute::Nobody, 0)
            };
            substitute = who;
            Some(blocked.0.wrapping_add(change))
        });
        if matches!(substitute, Substitute::Spare) {
            self.calls.release(1);
        }
        matches!(substitute, Substitute::Thread)
    }

    /// A worker goes on after it blocked.
    pub(crate) fn unblock(&self) {
        // Ordering: Relaxed here and everywhere but in `change` and `leave`: the counts publish nothing.
        self.counts.fetch_sub(BLOCKED, Ordering::Relaxed);
    }

    /// Whether more are active than should be. Cheap.
    pub(crate) fn is_excessive(&self) -> bool {
        Counts(self.counts.load(Ordering::Relaxed)).active() > self.size
    }

    /// A worker makes itself spare, if there is one too many.
    pub(crate) fn retire(&self) -> bool {
        self.change(|counts| (counts.active() > self.size).then_some(counts.0 + SPARE))
    }

    /// Sleeps, after a worker has made itself spare, until it is called. When that takes
    /// longer than `keep_alive` it asks `leave`, which is
    /// [`dismiss_spare`](Self::dismiss_spare). Returns whether it leaves.
    pub(crate) fn rest(
        &self,
        keep_alive: Duration,
        is_over: impl Fn() -> bool,
        leave: impl Fn() -> bool,
    ) -> bool {
        if is_over() {
            self.recall();
        }
        loop {
            if let Some(call) = self.calls.acquire_timeout(keep_alive) {
                call.forget();
                return false;
            }
            if leave() {
                return true;
            }
        }
    }

    /// A spare is dismissed, unless each one that is there has been called.
    pub(crate) fn dismiss_spare(&self) -> bool {
        self.change(|counts| (counts.spares() > 0).then(|| counts.0 - SPARE + BLOCKED))
    }

    /// One that was dismissed has left its slot.
    pub(crate) fn depart(&self) -> Departure {
        let mut departure = Departure::Replaced;
        self.change(|counts| {
            if counts.active() < self.size {
                departure = Departure::Replaced;
                return Some(counts.0 - BLOCKED);
            }
            let last = counts.threads() == 1;
            departure = Departure::Gone { last };
            Some(counts.0 - BLOCKED - THREAD)
        });
        departure
    }

    /// It is over: all spares are active again.
    pub(crate) fn recall(&self) {
        let mut spares = 0;
        self.change(|counts| {
            spares = counts.spares();
            Some(counts.0 - spares * SPARE)
        });
        self.calls.release(spares as u32);
    }

    /// A thread comes.
    pub(crate) fn add(&self) {
        self.counts.fetch_add(THREAD, Ordering::Relaxed);
    }

    /// A thread that was counted did not come: a spare works in its place, which may have become
    /// one because of that count. Returns whether it was the last.
    pub(crate) fn did_not_come(&self) -> bool {
        let (mut last, mut calls) = (false, false);
        self.change(|counts| {
            let left = Counts(counts.0 - THREAD);
            last = left.threads() == 0;
            calls = left.active() < self.size && left.spares() > 0;
            Some(left.0 - if calls { SPARE } else { 0 })
        });
        if calls {
            self.calls.release(1);
        }
        last
    }

    /// An active thread leaves. Returns whether it was the last: then what
    /// the others did is visible.
    pub(crate) fn leave(&self) -> bool {
        // Ordering: AcqRel; a chain over all that leave.
        Counts(self.counts.fetch_sub(THREAD, Ordering::AcqRel)).threads() == 1
    }

    /// Whether one that blocks now would be substituted for, or need not be.
    pub(crate) fn has_reserves(&self) -> bool {
        let counts = Counts(self.counts.load(Ordering::Relaxed));
        counts.active() > self.size || counts.spares() > 0 || counts.threads() < self.most
    }

    /// Whether there is a thread that may take tasks, or will be in a moment.
    pub(crate) fn has_active(&self) -> bool {
        Counts(self.counts.load(Ordering::Relaxed)).active() > 0
    }

    /// Sets the counts to what `next` makes of them, unless that is nothing.
    fn change(&self, mut next: impl FnMut(Counts) -> Option<u64>) -> bool {
        let mut now = self.counts.load(Ordering::Relaxed);
        while let Some(next) = next(Counts(now)) {
            // Ordering: AcqRel, for `depart`, which is a way to leave, and so that who
            // retires after a recall sees why that was.
            match self
                .counts
                .compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(changed) => now = changed,
            }
        }
        false
    }
}
