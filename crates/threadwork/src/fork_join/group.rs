//! Members that do each other's jobs.
//!
//! A thread takes a *slot* of a group, and is a member until it gives it back. Workers of a
//! pool are members of its group as long as they live, and other threads while they are
//! inside of a `join` or a `scope`.
//!
//! A job is stolen when it has been in the steal queue for a moment: about as long as the
//! theft costs its owner, who has to wait then. So work that is too small to be shared
//! is left alone, without anybody measuring it.
//!
//! # Permits
//!
//! A thread of the program's own that comes to a pool, a *visitor*, computes itself. So that no
//! more threads do than the pool has workers, there are as many *permits*. A visitor takes one
//! when it comes, also when none is free; a worker takes one for each job that it steals, if one
//! is free, and else sleeps as if there was no job. While that blocks, it has given its permit back.
//! Tasks, and jobs of those who wait, need none.
//! A group that nobody visits has no permits, and pays nothing for them.

use std::cell::Cell;
use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use threadwork_sync::CachePadded;
#[cfg(all(feature = "bare", not(loom)))]
use threadwork_sync::{Futex, System};

use super::descent::{Stage, Thief};
use super::idle::pause;
use super::job::Job;
use super::spawned::Mark;
use super::stack::{self, Stack};
use super::steal_queue::StealQueue;
use super::watch::{WakeWord, Watch};
use crate::primitive::{AtomicPtr, AtomicU32};

/// Threads that do each other's jobs.
pub(crate) struct Group {
    /// Those of workers, and then [`VISITORS`] more.
    slots: Box<[Slot]>,
    /// How many are taken.
    members: CachePadded<AtomicU32>,
    /// How many workers there are, or will be in a moment.
    expected: usize,
    /// No slot from here on has ever been taken.
    reach: AtomicU32,
    pub(super) permits: Option<CachePadded<Permits>>,
    pub(super) watch: Watch,
    /// If there is one, members that wait do anything, as rayon's do: see
    /// [`bare`](crate::bare).
    pub(super) elsewhere: Option<Elsewhere>,
}

/// Does one thing for the calling member that is in no steal queue; false if there was none. Is
/// asked with true before the steal queues, and with false after them.
pub(crate) type Elsewhere = fn(bool) -> bool;

/// What the others need to know of a member.
pub(super) struct Slot {
    pub(super) steal_queue: CachePadded<StealQueue>,
    pub(super) wake: CachePadded<WakeWord>,
    pub(super) stage: CachePadded<Stage>,
    taken: AtomicU32,
    /// The slot of the last one who stole from here.
    thief: AtomicU32,
    /// The word that the member sleeps on while it waits; null if it does not. Only its address
    /// is used.
    pub(super) sleeps_on: AtomicPtr<AtomicU32>,
}

/// How many may do jobs at once, and how many do: see the head of this file.
pub(super) struct Permits {
    most: u32,
    taken: AtomicU32,
}

const FREE: u32 = 0;
const TAKEN: u32 = 1;

/// Threads that are not workers and may be members at once. A thread that comes later does
/// its work alone.
const VISITORS: usize = if cfg!(loom) { 0 } else { 64 };

/// How far a thread that waits goes from thief to thief.
const HOPS: usize = 4;

/// A thread's slot in a [`Group`]. Stays on the thread that took it.
pub(crate) struct Member {
    group: Arc<Group>,
    slot: u32,
    /// It has a permit: a visitor always, a worker for a job.
    has_permit: Cell<bool>,
    /// What the thread was before.
    before: Stack,
}

impl Group {
    /// A group for so many workers, of which some are expected at once.
    pub(crate) fn new(workers: usize, expected: usize) -> Arc<Self> {
        Self::with(workers, expected, None, None)
    }

    /// The same, whose members do anything while they wait, and `elsewhere` besides.
    #[cfg(all(feature = "bare", not(loom)))]
    pub(crate) fn eager(workers: usize, elsewhere: Elsewhere) -> Arc<Self> {
        Self::with(workers, workers, None, Some(elsewhere))
    }

    /// The same, to which visitors come: so many threads do jobs at once.
    pub(crate) fn for_visitors(workers: usize, expected: usize) -> Arc<Self> {
        Self::with(workers, expected, Some(Permits::new(expected)), None)
    }

    fn with(
        workers: usize,
        expected: usize,
        permits: Option<Permits>,
        elsewhere: Option<Elsewhere>,
    ) -> Arc<Self> {
        Arc::new(Group {
            slots: (0..workers + VISITORS).map(|_| Slot::new()).collect(),
            members: CachePadded::new(AtomicU32::new(0)),
            expected,
            reach: AtomicU32::new(0),
            permits: permits.map(CachePadded::new),
            watch: Watch::new(workers),
            elsewhere,
        })
    }

    /// Makes the calling thread a member, who works here, until the result is dropped; then
    /// it is again what it was before. `None` if all slots of workers are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Member> {
        self.take_slot(0..self.slots.len() - VISITORS)
    }

    /// The same in the slot of that index.
    #[cfg(all(feature = "bare", not(loom)))]
    pub(crate) fn enter_at(self: &Arc<Self>, slot: usize) -> Option<Member> {
        (slot < self.slots.len() - VISITORS).then_some(())?;
        self.take_slot(slot..slot + 1)
    }

    /// Wakes the member of that slot if it sleeps within a wait, so that it does what there is
    /// elsewhere. It may miss one that is about to fall asleep: that is a nap.
    #[cfg(all(feature = "bare", not(loom)))]
    pub(crate) fn rouse(&self, slot: usize) -> bool {
        // Ordering: Relaxed; a hint.
        let word = self.slots[slot].sleeps_on.load(Ordering::Relaxed);
        !word.is_null() && System.notify(word, 1) > 0
    }

    /// The same for a thread that does not call [`idle`](Member::idle). `None` if there are
    /// too many.
    pub(super) fn visit(self: &Arc<Self>) -> Option<Member> {
        let visitor = self.take_slot(self.slots.len() - VISITORS..self.slots.len())?;
        self.take_permit();
        visitor.has_permit.set(true);
        Some(visitor)
    }

    fn take_slot(self: &Arc<Self>, among: Range<usize>) -> Option<Member> {
        let first = among.start;
        let index = first + self.slots[among].iter().position(Slot::take)?;
        // J3. Ordering: AcqRel; pairs with `stamp_all`, both ways.
        self.reach.fetch_max(index as u32 + 1, Ordering::AcqRel);
        // Ordering: Relaxed; a hint.
        self.members.fetch_add(1, Ordering::Relaxed);
        Some(Member {
            group: self.clone(),
            slot: index as u32,
            has_permit: Cell::new(false),
            before: stack::current().enter(self, &self.slots[index]),
        })
    }

    /// How many members there are, asleep or awake or on their way; or, if that is less, how
    /// many of them do jobs at once.
    pub(super) fn members(&self) -> usize {
        if let Some(permits) = &self.permits {
            return permits.most as usize;
        }
        // Ordering: Relaxed; a hint.
        let members = self.members.load(Ordering::Relaxed) as usize;
        members.max(self.expected)
    }

    /// A task was queued: wakes a worker that sleeps, unless one searches, who will
    /// see the task. Returns whether it woke one.
    ///
    /// Whoever takes one of several tasks off the queue calls this for the next.
    pub(crate) fn wake_one(&self) -> bool {
        self.watch.task(self)
    }

    /// Wakes all workers that sleep.
    pub(crate) fn wake_all(&self) {
        self.watch.everybody(self);
    }

    pub(super) fn slot(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    /// The index of one of the group's slots.
    pub(super) fn index(&self, slot: &Slot) -> u32 {
        let offset = ptr::from_ref(slot).addr() - self.slots.as_ptr().addr();
        (offset / size_of::<Slot>()) as u32
    }

    /// Whether there is a job in any steal queue. Whoever puts one there later sees what the
    /// caller did before.
    pub(super) fn stamp_all(&self) -> bool {
        // J3. Ordering: AcqRel; a member is seen here, or sees what the caller did before it
        // puts its first job in a steal queue that is not stamped.
        let reach = self.reach.fetch_max(0, Ordering::AcqRel) as usize;
        let slots = self.slots[..reach].iter();
        slots.fold(false, |some, slot| {
            some | !slot.steal_queue.stamp().is_empty()
        })
    }

    /// The slots that may have something.
    pub(super) fn used_slots(&self) -> &[Slot] {
        // Ordering: Relaxed; who misses one finds its jobs at the next look.
        &self.slots[..self.reach.load(Ordering::Relaxed) as usize]
    }

    /// Takes the oldest job that the member itself offers, to run it like one that it stole.
    pub(super) fn steal_own(&self, own: u32) -> Option<*const Job> {
        let queue = &self.slot(own).steal_queue;
        queue.steal(queue.look())
    }

    /// Takes a job from somebody's steal queue, preferably of who has stolen from `own` last, and
    /// a permit to do it.
    pub(super) fn steal(&self, own: u32) -> Option<*const Job> {
        let slots = self.used_slots();
        // Ordering: Relaxed; a hint.
        let first = self.slot(own).thief.load(Ordering::Relaxed) as usize;
        let (before, after) = slots.split_at(first.min(slots.len()));
        after.iter().chain(before).find_map(|victim| {
            let state = victim.steal_queue.look();
            if state.is_empty() || ptr::eq(victim, self.slot(own)) {
                return None;
            }
            pause();
            if self
                .permits
                .as_ref()
                .is_some_and(|permits| !permits.try_take())
            {
                return None;
            }
            let Some(job) = victim.steal_queue.steal(state) else {
                self.return_permit();
                return None;
            };
            // Ordering: Relaxed; a hint.
            victim.thief.store(own, Ordering::Relaxed);
            Some(job)
        })
    }

    /// Somebody computes who is not asked whether there is room.
    pub(super) fn take_permit(&self) {
        if let Some(permits) = &self.permits {
            // Ordering: Relaxed; nothing is published by who takes one.
            permits.taken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody leaves who will not look for another job.
    pub(super) fn release_permit(&self) {
        self.return_permit();
        self.watch.permit_is_free(self);
    }

    /// A worker that has done a job does a task now, or rests: has another look for the next job, if
    /// there is a permit for that.
    pub(crate) fn leave_jobs(&self) {
        self.watch.permit_is_free(self);
    }

    /// A job that `steal` took is done.
    pub(super) fn return_permit(&self) {
        if let Some(permits) = &self.permits {
            permits.give_back();
        }
    }

    /// Whether all permits are taken. `false` may be wrong in a moment, and so may `true`, but that
    /// who gives a permit back sees what the caller did before.
    pub(super) fn is_full(&self) -> bool {
        self.permits.as_ref().is_some_and(|permits| {
            // P2. Ordering: AcqRel; pairs with `give_back`, both ways.
            permits.taken.fetch_add(0, Ordering::AcqRel) >= permits.most
        })
    }

    /// The same, when it need not be so.
    pub(super) fn seems_full(&self) -> bool {
        self.free_permits() == 0
    }

    /// How many permits are free.
    pub(super) fn free_permits(&self) -> usize {
        self.permits.as_ref().map_or(usize::MAX, |permits| {
            // Ordering: Relaxed; who must see one that was given back has seen more of that
            // thread.
            permits
                .most
                .saturating_sub(permits.taken.load(Ordering::Relaxed)) as usize
        })
    }

    /// Whether some permits are free and some taken: who has taken one may have jobs for others.
    pub(super) fn has_free_and_taken_permits(&self) -> bool {
        let most = self
            .permits
            .as_ref()
            .map_or(0, |permits| permits.most as usize);
        (1..most).contains(&self.free_permits())
    }

    /// Takes a job that descends from what one of `thieves` has stolen: from that one, or
    /// from whom it waits for.
    pub(super) fn steal_part(&self, thieves: &[Thief], own: u32) -> Option<*const Job> {
        thieves.iter().find_map(|thief| {
            let mut place = thief.get();
            for _ in 0..HOPS {
                let victim = self.slot(place.slot().filter(|slot| *slot != own)?);
                let state = victim.steal_queue.look();
                let first = victim.stage.first(place.stage())?;
                if state.begins_at(first) {
                    pause();
                    if let Some(job) = victim.steal_queue.steal(state) {
                        return Some(job);
                    }
                }
                let next = victim.stage.waits_for.get();
                victim.stage.first(place.stage())?;
                place = next;
            }
            None
        })
    }
}

impl Permits {
    fn new(most: usize) -> Self {
        Permits {
            most: most as u32,
            taken: AtomicU32::new(0),
        }
    }

    fn try_take(&self) -> bool {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        // Ordering: Relaxed; nothing is published by who takes one.
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn give_back(&self) {
        // P2. Ordering: AcqRel; pairs with `is_full`, both ways.
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Slot {
    fn new() -> Self {
        Slot {
            steal_queue: CachePadded::new(StealQueue::new()),
            wake: CachePadded::new(WakeWord::new()),
            stage: CachePadded::new(Stage::new()),
            taken: AtomicU32::new(FREE),
            thief: AtomicU32::new(0),
            sleeps_on: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn take(&self) -> bool {
        // Ordering: Relaxed; only to spare others the write.
        self.taken.load(Ordering::Relaxed) == FREE
            // Ordering: Acquire; pairs with the release in the drop of a member.
            && self
                .taken
                .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }
}

impl Member {
    /// To run what is spawned from now on.
    pub(crate) fn now(&self) -> Mark {
        stack::current().now()
    }

    /// Runs what this thread has spawned since then and nobody has stolen.
    pub(crate) fn run_spawned(&self, since: Mark) {
        while stack::current().run_spawned(since) {}
    }

    /// Runs a job of another member; false if there was none.
    pub(crate) fn help(&self) -> bool {
        let job = self.group.steal(self.slot);
        if let Some(job) = job {
            // SAFETY: taken.
            unsafe { self.run_stolen(job) };
        }
        job.is_some()
    }

    /// Runs a job that [`steal`](Group::steal) took, with the permit that it took.
    ///
    /// # Safety
    ///
    /// As for [`Job::run`].
    pub(super) unsafe fn run_stolen(&self, job: *const Job) {
        self.has_permit.set(true);
        // SAFETY: the caller's promise.
        unsafe { stack::current().run_stolen(job) };
        self.has_permit.set(false);
        self.group.return_permit();
    }

    /// A worker blocks: while it does, another may have its permit. Returns whether it had one.
    pub(crate) fn release_permit(&self) -> bool {
        let has_permit = self.has_permit.replace(false);
        if has_permit {
            self.group.release_permit();
        }
        has_permit
    }

    /// A worker that had given its permit back goes on, also if none is free.
    pub(crate) fn take_permit_again(&self) {
        self.group.take_permit();
        self.has_permit.set(true);
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.run_spawned(Mark::BEGINNING);
        stack::current().leave(&self.before);
        // Ordering: Relaxed; a hint.
        self.group.members.fetch_sub(1, Ordering::Relaxed);
        let slot = self.group.slot(self.slot);
        // Ordering: Release; pairs with the acquire in `take`.
        slot.taken.store(FREE, Ordering::Release);
        if self.has_permit.get() {
            self.group.release_permit();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The first loop of a pool is divided for workers that have not sat down yet.
    #[test]
    fn workers_count_before_they_are_there() {
        let group = Group::new(8, 4);
        let members: Vec<_> = (0..5)
            .map(|taken| {
                assert_eq!(group.members(), taken.max(4));
                group.enter()
            })
            .collect();
        assert_eq!(group.members(), 5);
        members.into_iter().rev().for_each(drop);
    }

    /// Visitors have permits in any case, and leave to the workers what is left.
    #[test]
    fn there_are_as_many_permits_as_workers() {
        let group = Group::for_visitors(8, 2);
        let free = |count| {
            assert_eq!(group.free_permits(), count);
            assert_eq!(group.is_full(), count == 0);
            assert_eq!(group.members(), 2);
        };
        let worker = group.enter();
        free(2);
        let visitors: Vec<_> = (0..3)
            .map(|taken: usize| {
                free(2_usize.saturating_sub(taken));
                group.visit()
            })
            .collect();
        free(0);
        visitors.into_iter().rev().for_each(drop);
        free(2);
        drop(worker);
    }
}
