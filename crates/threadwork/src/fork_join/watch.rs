//! Who sleeps, and who watches meanwhile.
//!
//! Workers without work sleep, and a member that offers a job does not want to wake one each
//! time: that costs it more than most jobs are worth, and rayon's trees of a thousand nodes
//! are slow because of it. So while anybody sleeps, one of those who have nothing to do has
//! *the watch*: it is awake, or naps for a fraction of a millisecond, or was called and is
//! on its way. It looks at the steal queues, and calls others when jobs stay there for as
//! long as it takes to wake somebody. The offers of the others meanwhile cost a look at one
//! word. When nothing happens, the watch falls asleep, too, and the next offer wakes one
//! sleeper, who then has the watch. So no clock runs and nobody is awake when there is
//! nothing to do, and no thread is there only to beat time.
//!
//! # Who is asleep
//!
//! | field | meaning |
//! |---|---|
//! | `held` | somebody has the watch |
//! | `napping` | that one naps |
//! | `asleep` | who sleeps, until called; last in, first out |
//!
//! It changes under a lock that is held for some instructions, by those who go to sleep,
//! wake others, or nap. `summary` has the same in one word for those who only look. A *call*
//! takes a sleeper off the list and writes the reason into its wake word in one step under
//! the lock, so there is one call for each sleep.
//!
//! # No job is overlooked
//!
//! Claim: when a job is offered and some worker sleeps, somebody will look at the steal queue:
//! the watch, or who is called to have it. (The job will be done in any case, by its owner:
//! what is at stake is whether it is done by others meanwhile.) It follows from these, each of
//! which is named at the lines that keep it:
//!
//! 1. *J1, while it is held*: the watch looks at all steal queues before it gives it up.
//! 2. *J2, it is given up* (`leave`, `join_sleepers_last`) by clearing `held`, and then a look at
//!    all steal queues by read-modify-writes, the stamps.
//! 3. *J3, an offer* is a read-modify-write of
//!    the steal queue's word, too, and then a look at `summary`. So it is before the stamp or after.
//!    Before: the stamp
//!    finds the job, or somebody has taken it; if it finds it, it takes the watch back, or
//!    calls another to it. After: the offer reads a word that continues the stamp's, so what
//!    the stamper did before is visible, and the offerer's look finds nobody
//!    watching, and calls a sleeper. A member whose steal queue was not stamped, since it was
//!    not yet there, sees the same by the count of slots, which both change in the same way.
//! 4. *J4, somebody falls asleep* (`join_sleepers`) only in a step that finds it held. If it is
//!    not, it takes the watch itself.
//!
//! A job that nobody may take, since all permits are taken (see [`group`](super::group)), is
//! looked for when a permit is given back:
//!
//! 1. *P1*: by the worker who does that, since it searches then;
//!    or (`permit_is_free`) by a visitor that leaves, or a worker that blocks or does a task instead.
//! 2. *P2*: a watch is given up for that reason with a read-modify-write of the permits after `held`
//!    was cleared, and a permit is given back by one: either the first sees the permit, and looks at
//!    the steal queues, or the second sees that nobody watches, and does. An offer that calls nobody
//!    for that reason is before the second's stamps, and is found; or after, and then it sees the
//!    permit.
//!
//! Loads instead of the stamps are not enough, even sequentially consistent ones, while the
//! offer is not followed by a fence (tokio #1788).
//!
//! # No task is overlooked
//!
//! 1. *T1*: whoever queues a task then changes the count of searchers (by zero).
//! 2. *T2*: whoever ends a search, to sleep, to nap or to do a job, changes it, too, and then asks
//!    whether a task is queued. One comes first. The search's end: whoever queued sees the list of
//!    sleepers as it was by then, and calls one, unless others search. The task: it is seen by the
//!    question.
//! 3. *T3*: one who does a job then calls another for the task; one who goes to sleep leaves the
//!    list again, and one who naps returns.
//!
//! Sources: rayon's RFC 0005 and Go's scheduler for one searcher that wakes the next; the
//! watch is our own.

use std::mem;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(not(loom))]
use threadwork_sync::Mutex;
use threadwork_sync::{CachePadded, Futex, System};

use super::group::Group;
#[cfg(loom)]
use super::model::Mutex;
use super::steal_queue::State;
use crate::primitive::{AtomicU32, AtomicU64};

/// Bits of the summary.
const HELD: u32 = 1;
const NAPPING: u32 = 2;
const SLEEPER: u32 = 4;

/// See the module's documentation.
pub(super) struct Watch {
    summary: CachePadded<AtomicU32>,
    /// Workers that look for jobs and tasks.
    searchers: CachePadded<AtomicU32>,
    sleepers: Mutex<Sleepers>,
}

struct Sleepers {
    held: bool,
    napping: Option<u32>,
    asleep: Vec<u32>,
}

/// Why a sleeper is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// There is a task, or the pool ends.
    Task,
    /// Jobs have been waiting for somebody.
    Search,
    /// A job was offered while nobody watched. Whoever is called has the watch.
    Alarm,
    /// The watch has found something to do. Whoever is called has the watch.
    Relief,
}

/// What a member sleeps on.
pub(super) struct WakeWord {
    /// [`ASLEEP`], or the call that has ended the sleep.
    word: AtomicU32,
    /// What was in the member's steal queue when the watch looked last.
    looked: AtomicU64,
}

const ASLEEP: u32 = 0;
const CALLS: [Call; 4] = [Call::Task, Call::Search, Call::Alarm, Call::Relief];

/// What the watch sees.
pub(super) struct Survey {
    /// So many jobs were there at the last look already.
    pub(super) old: usize,
    /// Nothing is there, and nothing has been since the last look.
    pub(super) quiet: bool,
}

impl Watch {
    pub(super) fn new(slots: usize) -> Self {
        Watch {
            summary: CachePadded::new(AtomicU32::new(0)),
            searchers: CachePadded::new(AtomicU32::new(0)),
            sleepers: Mutex::new(Sleepers {
                held: false,
                napping: None,
                asleep: Vec::with_capacity(slots),
            }),
        }
    }

    /// Something was put in a steal queue: wakes somebody, if nobody watches.
    #[inline]
    pub(super) fn offered(&self, group: &Group) {
        // J3, after the offer; who finds it full leaves the job to P2.
        if self.is_needed() && !group.seems_full() {
            self.call_watch(group, Call::Alarm);
        }
    }

    /// A permit is free, and who has given it back does not search: wakes another for the jobs of others,
    /// if nobody watches.
    pub(super) fn permit_is_free(&self, group: &Group) {
        // P1, after the permit was given back; its stamps are P2's.
        if self.is_needed() && group.has_free_and_taken_permits() && group.stamp_all() {
            self.call_watch(group, Call::Alarm);
        }
    }

    /// Whether some sleep and nobody watches.
    fn is_needed(&self) -> bool {
        // Ordering: Relaxed; if it must be seen, it was written before a stamp that the
        // caller has seen.
        let summary = self.summary.load(Ordering::Relaxed);
        summary >= SLEEPER && summary & HELD == 0
    }

    /// Whether somebody sleeps.
    pub(super) fn has_sleepers(&self) -> bool {
        // Ordering: Relaxed; a hint.
        self.summary.load(Ordering::Relaxed) >= SLEEPER
    }

    /// Takes the watch if nobody has it and some sleep.
    pub(super) fn take_if_needed(&self) -> bool {
        self.is_needed() && self.change(|sleepers| !mem::replace(&mut sleepers.held, true))
    }

    /// Leaves the watch, to do something else.
    pub(super) fn leave(&self, group: &Group) {
        // J2: first `held`, then the stamps. P2: `is_full` is the look at the permits.
        let sleepers = self.change(|sleepers| {
            sleepers.held = false;
            !sleepers.asleep.is_empty()
        });
        if sleepers && !group.is_full() && group.stamp_all() {
            self.call_watch(group, Call::Relief);
        }
    }

    /// Joins the sleepers. False if nobody has the watch: then the caller has it.
    pub(super) fn join_sleepers(&self, group: &Group, slot: u32) -> bool {
        // J4, in one step.
        self.change(|sleepers| {
            let watched = mem::replace(&mut sleepers.held, true);
            if watched {
                sleepers.add(group, slot);
            }
            watched
        })
    }

    /// Leaves the watch and joins the sleepers. False if there is something to do, and the
    /// caller still has the watch.
    pub(super) fn join_sleepers_last(&self, group: &Group, slot: u32) -> bool {
        // J2 and P2, as in `leave`.
        self.change(|sleepers| {
            sleepers.held = false;
            sleepers.add(group, slot);
        });
        let stays_awake = !group.is_full()
            && group.stamp_all()
            && self.change(|sleepers| {
                let stays_awake = !sleepers.held && sleepers.remove(slot);
                sleepers.held |= stays_awake;
                stays_awake
            });
        !stays_awake
    }

    /// Sleeps, after one has joined the sleepers and ended the search, until called.
    pub(super) fn sleep(&self, group: &Group, slot: u32, queued: &dyn Fn() -> bool) -> Call {
        // T2 and T3, after `end_search`.
        if queued() && self.change(|sleepers| sleepers.remove(slot)) {
            return Call::Task;
        }
        let wake = &group.slot(slot).wake;
        loop {
            if let Some(call) = wake.call() {
                return call;
            }
            System.wait(&wake.word, ASLEEP, None);
        }
    }

    /// The watch naps. Returns whether there is a task.
    pub(super) fn nap(
        &self,
        group: &Group,
        slot: u32,
        queued: &dyn Fn() -> bool,
        period: Duration,
    ) -> bool {
        let wake = &group.slot(slot).wake;
        self.change(|sleepers| {
            wake.reset();
            sleepers.napping = Some(slot);
        });
        // T2 and T3.
        self.end_search();
        if !queued() {
            System.wait(&wake.word, ASLEEP, Some(period));
        }
        self.begin_search();
        self.change(|sleepers| sleepers.napping = None);
        wake.call().is_some() || queued()
    }

    /// Looks at all steal queues.
    pub(super) fn survey(&self, group: &Group) -> Survey {
        let mut survey = Survey {
            old: 0,
            quiet: true,
        };
        for slot in group.used_slots() {
            let state = slot.steal_queue.look();
            if slot.wake.looked_before(state) {
                survey.old += state.len();
                survey.quiet &= state.is_empty();
            } else {
                survey.quiet = false;
            }
        }
        survey
    }

    pub(super) fn begin_search(&self) {
        // Ordering: AcqRel, as in `end_search`.
        self.searchers.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn end_search(&self) {
        // T2. Ordering: AcqRel; pairs with `task`, both ways.
        self.searchers.fetch_sub(1, Ordering::AcqRel);
    }

    /// A task was queued: wakes one, unless some search. Returns whether it did.
    pub(super) fn task(&self, group: &Group) -> bool {
        // T1. Ordering: AcqRel; pairs with `end_search`.
        if self.searchers.fetch_add(0, Ordering::AcqRel) > 0 {
            return false;
        }
        // Ordering: Relaxed; what must be seen was written before the search ended.
        if self.summary.load(Ordering::Relaxed) & !HELD == 0 {
            return false;
        }
        self.call(group, Call::Task, Sleepers::anybody)
    }

    /// Wakes all.
    pub(super) fn everybody(&self, group: &Group) {
        while self.call(group, Call::Task, Sleepers::anybody) {}
    }

    /// Wakes so many to help with jobs.
    pub(super) fn call_searchers(&self, group: &Group, count: usize) {
        let mut wanted = 0..count;
        while wanted.next().is_some()
            && self.call(group, Call::Search, |sleepers| sleepers.asleep.pop())
        {}
    }

    /// Wakes one to watch, unless somebody does.
    #[cold]
    fn call_watch(&self, group: &Group, call: Call) {
        self.call(group, call, |sleepers| {
            let called = if sleepers.held {
                None
            } else {
                sleepers.asleep.pop()
            };
            sleepers.held |= called.is_some();
            called
        });
    }

    fn call(
        &self,
        group: &Group,
        call: Call,
        choose: impl FnOnce(&mut Sleepers) -> Option<u32>,
    ) -> bool {
        let called = self.change(|sleepers| {
            let wake = &group.slot(choose(sleepers)?).wake;
            wake.end(call);
            Some(wake)
        });
        if let Some(wake) = called {
            System.notify(&raw const wake.word, 1);
        }
        called.is_some()
    }

    fn change<R>(&self, body: impl FnOnce(&mut Sleepers) -> R) -> R {
        let mut sleepers = self.sleepers.lock();
        let result = body(&mut sleepers);
        // Ordering: Relaxed; what it must be ordered with follows.
        self.summary.store(sleepers.summary(), Ordering::Relaxed);
        result
    }
}

impl Sleepers {
    fn add(&mut self, group: &Group, slot: u32) {
        group.slot(slot).wake.reset();
        self.asleep.push(slot);
    }

    /// False if it was called.
    fn remove(&mut self, slot: u32) -> bool {
        let at = self.asleep.iter().position(|other| *other == slot);
        at.map(|at| self.asleep.remove(at)).is_some()
    }

    fn anybody(&mut self) -> Option<u32> {
        self.asleep.pop().or_else(|| self.napping.take())
    }

    fn summary(&self) -> u32 {
        let held = if self.held { HELD } else { 0 };
        let napping = if self.napping.is_some() { NAPPING } else { 0 };
        held + napping + SLEEPER * self.asleep.len() as u32
    }
}

impl WakeWord {
    pub(super) fn new() -> Self {
        WakeWord {
            word: AtomicU32::new(ASLEEP),
            looked: AtomicU64::new(0),
        }
    }

    /// Under the lock, as `end`.
    fn reset(&self) {
        // Ordering: Relaxed; the lock orders it with `end`, and the sleeper wrote it.
        self.word.store(ASLEEP, Ordering::Relaxed);
    }

    fn end(&self, call: Call) {
        // Ordering: Release; pairs with the acquire in `call`.
        self.word.store(1 + call as u32, Ordering::Release);
    }

    pub(super) fn call(&self) -> Option<Call> {
        // Ordering: Acquire; pairs with the release in `end`: what the caller has seen to be
        // done is seen.
        let word = self.word.load(Ordering::Acquire);
        let index = word.checked_sub(1)?;
        Some(CALLS[index as usize])
    }

    /// Whether the steal queue was in this state at the last look; remembers it for the next.
    fn looked_before(&self, state: State) -> bool {
        // Ordering: Relaxed; only the watch uses it, and it is handed on under the lock.
        let before = self.looked.load(Ordering::Relaxed);
        self.looked.store(state.bits(), Ordering::Relaxed);
        before == state.bits()
    }
}
