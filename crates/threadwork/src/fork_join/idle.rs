//! What a member does that has nothing of its own to do.
//!
//! A worker *searches* for a while, as long as its spin history allows; then it *sleeps*,
//! or, if nobody else does, *watches* (see [`watch`](super::watch)). A thread that waits in
//! a join or at the end of a scope does parts of what it waits for (see
//! [`descent`](super::descent)), and naps in between. It does not watch, nor does it do
//! tasks of the pool: the one that it waits for must not end up under another that waits for
//! it. But if it waits for long, and tasks are queued, another thread works in its place.

use std::ptr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use threadwork_sync::{Futex, System, spin_history};

use super::descent::Thief;
use super::group::{Group, Member};
use super::job::Job;
use super::latch::CountLatch;
use super::spawned::Mark;
use super::stack::Stack;
use super::watch::Call;

/// The naps of the watch: from about what it costs to wake a thread, to what is still
/// soon for work that is worth sharing.
const SHORT_NAP: Duration = Duration::from_micros(50 * SLOWNESS);
const LONG_NAP: Duration = Duration::from_micros(400 * SLOWNESS);

/// The longest nap of a thread that waits: it is woken when it can go on, but not
/// when there is something else to do meanwhile.
const LONGEST_NAP: Duration = Duration::from_millis(10 * SLOWNESS);

/// Miri takes so much longer for the same: who naps there would do nothing but wake up.
const SLOWNESS: u64 = if cfg!(miri) { 40 } else { 1 };

/// What was found. A job is taken.
pub(super) enum Found {
    Job(*const Job),
    Task,
}

enum Duty {
    Search,
    Watch,
    Sleep,
}

impl Member {
    /// Waits for something to do, and does it if it is a job: searches for a while, then
    /// sleeps. Returns as soon as `queued` is true, which must be followed by a
    /// [`wake_one`](super::Group::wake_one) whenever it becomes true.
    pub(crate) fn idle(&self, queued: &dyn Fn() -> bool) {
        if let Found::Job(job) = self.find(queued) {
            // SAFETY: taken.
            unsafe { self.run_stolen(job) };
        }
    }

    pub(super) fn find(&self, queued: &dyn Fn() -> bool) -> Found {
        let group = self.group();
        let watch = &group.watch;
        watch.begin_search();
        let mut watching = watch.take_if_needed();
        let found = self.seek(queued, &mut watching);
        watch.end_search();
        if watching {
            watch.leave(group);
        }
        // T3: others may have counted on this search.
        if matches!(found, Found::Job(_)) && queued() {
            group.wake_one();
        }
        found
    }

    fn seek(&self, queued: &dyn Fn() -> bool, watching: &mut bool) -> Found {
        let (watch, group, slot) = (&self.group().watch, self.group(), self.slot());
        let mut duty = Duty::Search;
        let mut nap = SHORT_NAP;
        loop {
            duty = match duty {
                Duty::Search => {
                    if let Some(found) = self.search(queued) {
                        return found;
                    }
                    if !*watching && watch.join_sleepers(group, slot) {
                        Duty::Sleep
                    } else {
                        *watching = true;
                        Duty::Watch
                    }
                }
                // Nobody may take what is there.
                Duty::Watch if group.seems_full() => {
                    if watch.join_sleepers_last(group, slot) {
                        *watching = false;
                        Duty::Sleep
                    } else {
                        Duty::Watch
                    }
                }
                // J1: it looks at all steal queues between its naps.
                Duty::Watch => {
                    let survey = watch.survey(group);
                    if survey.old > 0 {
                        watch.call_searchers(group, (survey.old - 1).min(group.free_permits()));
                        Duty::Search
                    } else if survey.quiet && watch.join_sleepers_last(group, slot) {
                        *watching = false;
                        Duty::Sleep
                    } else if watch.nap(group, slot, queued, nap) {
                        return Found::Task;
                    } else {
                        nap = (nap * 2).min(LONG_NAP);
                        // Whoever leaves others asleep must wake one: see `leave`.
                        if watch.has_sleepers() {
                            Duty::Watch
                        } else {
                            Duty::Search
                        }
                    }
                }
                Duty::Sleep => {
                    watch.end_search();
                    let call = watch.sleep(group, slot, queued);
                    watch.begin_search();
                    nap = SHORT_NAP;
                    *watching = matches!(call, Call::Alarm | Call::Relief);
                    match call {
                        Call::Task => return Found::Task,
                        Call::Search | Call::Alarm => Duty::Search,
                        Call::Relief => Duty::Watch,
                    }
                }
            };
        }
    }

    /// Looks around as long as the spin history allows.
    fn search(&self, queued: &dyn Fn() -> bool) -> Option<Found> {
        let mut search = Search::begin();
        loop {
            let found = if queued() {
                Some(Found::Task)
            } else {
                self.group().steal(self.slot()).map(Found::Job)
            };
            if found.is_none() && self.group().seems_full() {
                // That says nothing about the next search.
                return None;
            }
            if found.is_some() || !search.goes_on() {
                search.end(found.is_some());
                return found;
            }
        }
    }
}

/// Waits until the latch opens. Meanwhile it runs what this thread has spawned since then, and
/// parts of what `thieves` have stolen; in a group with an `elsewhere`, anything.
#[cold]
#[inline(never)]
pub(super) fn wait(stack: &Stack, latch: &CountLatch, thieves: &[Thief], since: Mark) {
    let Some((group, slot)) = stack.membership() else {
        // A scope without a slot: its jobs are here, or with other threads that have its reference.
        while !latch.is_open() {
            if !stack.run_spawned(since) {
                latch.sleep(None);
            }
        }
        return;
    };
    let own = group.index(slot);
    let since = group.elsewhere.map_or(since, |_| Mark::BEGINNING);
    let waits_for = &slot.stage.waits_for;
    let before = waits_for.get();
    let mut nap = SHORT_NAP;
    let mut search = Search::begin();
    #[cfg(not(loom))]
    let mut replaced = None;
    while !latch.is_open() {
        let busy = stack.run_spawned(since)
            || steal_part_and_run(stack, group, thieves, own)
            || do_anything(stack, group, own);
        if busy || !search.goes_on() {
            search.end(busy);
            if busy {
                nap = SHORT_NAP;
            } else {
                if let Some(thief) = thieves.iter().map(Thief::get).find(|thief| thief.is_one()) {
                    waits_for.set(thief);
                }
                if stack.has_room() {
                    stack.offer();
                }
                #[cfg(not(loom))]
                if nap > LONG_NAP && replaced.is_none() {
                    replaced = crate::pool::leave_tasks_to_others();
                }
                if group.elsewhere.is_some() {
                    // Ordering: Relaxed; a hint.
                    slot.sleeps_on.store(latch.word(), Ordering::Relaxed);
                }
                // Loom has no time; there, a wake-up that is lost shows.
                latch.sleep((!cfg!(loom)).then_some(nap));
                if group.elsewhere.is_some() {
                    // Ordering: Relaxed; a hint.
                    slot.sleeps_on.store(ptr::null_mut(), Ordering::Relaxed);
                }
                // What it misses is in proportion to what it has waited for already.
                nap = (nap + nap / 8).min(LONGEST_NAP);
            }
            search = Search::begin();
        }
    }
    search.end(true);
    waits_for.set(before);
}

/// Steals a part of what the thread waits for, and runs it.
fn steal_part_and_run(stack: &Stack, group: &Group, thieves: &[Thief], own: u32) -> bool {
    let job = group.steal_part(thieves, own);
    if let Some(job) = job {
        // SAFETY: taken.
        unsafe { stack.run_stolen(job) };
    }
    job.is_some()
}

/// Does one thing of the group, whatever it is, if its members do that while they wait. Also what
/// the thread offers itself: nobody else may have the time.
fn do_anything(stack: &Stack, group: &Group, own: u32) -> bool {
    let Some(elsewhere) = group.elsewhere else {
        return false;
    };
    if elsewhere(true) {
        return true;
    }
    let Some(job) = group.steal(own).or_else(|| group.steal_own(own)) else {
        return elsewhere(false);
    };
    // SAFETY: taken.
    unsafe { stack.run_stolen(job) };
    true
}

/// How long a thread looks around in vain.
struct Search {
    /// When it began, and how long it may last; `None` is one look.
    budget: Option<(Duration, Duration)>,
    looks: u32,
}

/// A look at the clock costs more than one at the steal queues.
const LOOKS: u32 = 16;

impl Search {
    fn begin() -> Self {
        // Loom has no time.
        let budget = if cfg!(loom) {
            None
        } else {
            spin_history::budget()
        };
        Search {
            budget: budget.and_then(|budget| Some((System.now()?, budget))),
            looks: 0,
        }
    }

    /// Pauses, and says whether to look again.
    fn goes_on(&mut self) -> bool {
        let Some((start, budget)) = self.budget else {
            return false;
        };
        self.looks += 1;
        if !self.looks.is_multiple_of(LOOKS) {
            pause();
            return true;
        }
        // Where there are more threads than cores, this may be the one that the others
        // wait for.
        thread::yield_now();
        System
            .now()
            .is_some_and(|now| now.saturating_sub(start) < budget)
    }

    /// Remembers whether it was worth it.
    fn end(&self, found: bool) {
        if self.budget.is_some() {
            spin_history::record(found);
        }
    }
}

/// About a tenth of a microsecond.
pub(super) fn pause() {
    #[cfg(not(any(loom, target_family = "wasm")))]
    for _ in 0..4 {
        std::hint::spin_loop();
    }
    // Where there is no pause, a fence takes about as long.
    #[cfg(all(not(loom), target_family = "wasm"))]
    for _ in 0..4 {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }
    #[cfg(loom)]
    loom::thread::yield_now();
}
