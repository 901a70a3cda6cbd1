//! The jobs that a thread has and has not begun.
//!
//! ```text
//!  of joins   end ─ oldest ─ offered │ private ─ newest
//!  spawned                           │ oldest ... newest
//!                 in the steal queue │ only this thread knows of them
//! ```
//!
//! A join links its second half into a list, and unlinks it when the first half is done: a
//! few plain accesses to words of this thread, and one load of the steal queue's word, to see
//! whether something is to be done there. What is done there is to put the oldest private
//! jobs in the steal queue, while it has room. The links are in the jobs, so there is no limit
//! to them.
//!
//! Invariants: jobs of joins leave their list from the new end only, by the join that linked
//! them, stolen or not; so all in the list are alive. `offered` is the newest of them that
//! was put in the steal queue, or where the list ended when this member entered. While the
//! steal queue's word is `content`, nothing is to be offered. A spawned job that lies in the
//! steal queue below a half is not of a scope that is newer than the half: so the scope that
//! waits for it finds it on top.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr;

use super::descent::Place;
use super::group::{Group, Member, Slot};
use super::job::{Half, Job};
use super::spawned::{List, Mark};
use super::steal_queue::State;

/// See the head of this file.
pub(super) struct Stack {
    newest: Cell<*const Half>,
    offered: Cell<*const Half>,
    content: Cell<State>,
    /// What was newest when the innermost scope began.
    before_scope: Cell<*const Half>,
    /// Null, as is the group, when the thread is no member of one.
    slot: Cell<*const Slot>,
    group: Cell<*const Group>,
    spawned: List,
    end: Half,
}

// Without a destructor, which would make each access ask whether it has run. Members
// leave nothing behind.
#[cfg(not(loom))]
thread_local! {
    static STACK: ManuallyDrop<Stack> = const { ManuallyDrop::new(Stack::new()) };
}

#[cfg(loom)]
loom::thread_local! {
    static STACK: ManuallyDrop<Stack> = ManuallyDrop::new(Stack::new());
}

/// The jobs of the calling thread.
#[inline(always)]
pub(super) fn current<'a>() -> &'a Stack {
    let stack = STACK.with(|stack| ptr::from_ref::<Stack>(stack));
    // SAFETY: it has no destructor, and so is there as long as the thread, which the
    // reference cannot leave.
    unsafe { &*stack }
}

impl Stack {
    const fn new() -> Self {
        Stack {
            newest: Cell::new(ptr::null()),
            offered: Cell::new(ptr::null()),
            content: Cell::new(State::NONE),
            before_scope: Cell::new(ptr::null()),
            slot: Cell::new(ptr::null()),
            group: Cell::new(ptr::null()),
            spawned: List::new(),
            end: Half::end(),
        }
    }

    /// The thread becomes a member of `group`, without jobs there. Returns what `leave`
    /// must be given back.
    pub(super) fn enter(&self, group: &Group, slot: &Slot) -> Stack {
        // The newest job of the group that it was in ends the list of the new one.
        let newest = self.newest.get();
        let end = if newest.is_null() {
            &raw const self.end
        } else {
            newest
        };
        let before = Stack::new();
        self.swap(&before);
        self.newest.set(end);
        self.offered.set(end);
        self.before_scope.set(end);
        self.slot.set(slot);
        self.group.set(group);
        before
    }

    /// The thread leaves its group, without jobs there.
    pub(super) fn leave(&self, before: &Stack) {
        debug_assert!(ptr::eq(self.newest.get(), self.offered.get()));
        debug_assert!(self.spawned.is_empty());
        self.swap(before);
    }

    /// All but `end`, which stays where it is pointed to.
    fn swap(&self, other: &Stack) {
        self.newest.swap(&other.newest);
        self.offered.swap(&other.offered);
        self.content.swap(&other.content);
        self.before_scope.swap(&other.before_scope);
        self.slot.swap(&other.slot);
        self.group.swap(&other.group);
        self.spawned.swap(&other.spawned);
    }

    /// The group that the thread is a member of, and its slot there.
    #[inline]
    pub(super) fn membership(&self) -> Option<(&Group, &Slot)> {
        // SAFETY: null, or set by the member, which keeps the group until it leaves.
        let group = unsafe { self.group.get().as_ref() };
        // SAFETY: as above; the group has the slots.
        let slot = unsafe { self.slot.get().as_ref() };
        group.zip(slot)
    }

    /// Makes the thread a member of the global pool, until the result is dropped, unless it
    /// is a member of some group, or there is no slot.
    pub(super) fn ensure_member(&self) -> Option<Member> {
        if self.membership().is_some() {
            return None;
        }
        // The models have no pool: each of their threads that forks is a member.
        #[cfg(loom)]
        return None;
        #[cfg(not(loom))]
        crate::pool::global().group().visit()
    }

    /// How many threads there are, this one included, that do each other's jobs.
    pub(super) fn members(&self) -> usize {
        self.membership().map_or(1, |(group, _)| group.members())
    }

    /// Links the second half of a join. Returns what was newest; `None` if the thread is no
    /// member, and nothing was done.
    ///
    /// # Safety
    ///
    /// The job stays where it is until it is unlinked by `pop`, by this thread, after all
    /// that are linked later.
    #[inline(always)]
    pub(super) unsafe fn push(&self, job: *const Half) -> Option<*const Half> {
        // SAFETY: null, or valid as in `membership`.
        let slot = unsafe { self.slot.get().as_ref() }?;
        let older = self.newest.get();
        // SAFETY: jobs in the list are alive, and so is its end.
        unsafe { Half::set_newer(older, job) };
        self.newest.set(job);
        if !slot.steal_queue.is(self.content.get()) {
            self.offer();
        }
        Some(older)
    }

    /// Unlinks a job that `push` has linked. False if it was stolen: then it must be
    /// waited for.
    ///
    /// # Safety
    ///
    /// The job is alive, and `older` is what `push` returned for it.
    #[inline(always)]
    pub(super) unsafe fn pop(&self, job: *const Half, older: *const Half) -> bool {
        debug_assert!(ptr::eq(self.newest.get(), job));
        self.newest.set(older);
        // SAFETY: alive, and this thread's.
        let private = unsafe { Half::is_private(job) };
        private || self.take_back(job, older)
    }

    /// Unlinks a job that was put in the steal queue.
    ///
    /// It runs nothing: before `offered` is set, that is a job in no list any more.
    #[cold]
    fn take_back(&self, job: *const Half, older: *const Half) -> bool {
        let mut mine = false;
        while let Some(newest) = self.unshelve(ptr::null()) {
            mine = ptr::eq(newest, job.cast());
            if mine {
                break;
            }
            // SAFETY: taken back; and it was spawned: jobs of joins that are newer were unlinked.
            unsafe { self.spawned.put_back(newest) };
        }
        self.offered.set(older);
        mine
    }

    /// Takes the newest job back from the steal queue, unless it is `except`.
    fn unshelve(&self, except: *const Job) -> Option<*const Job> {
        let (_, slot) = self.membership()?;
        let (job, state) = slot.steal_queue.take_back(except)?;
        // Filled again when it is empty or something was stolen: if each job that is taken
        // back made room for the next, a third of a small tree would be offered.
        let enough = !state.is_empty() && state.only_taken_back(self.content.get());
        self.content.set(if enough { state } else { State::NONE });
        Some(job)
    }

    /// Keeps a job that was spawned.
    ///
    /// # Safety
    ///
    /// It was made by [`allocate`](super::spawned::allocate), and nobody else knows it.
    pub(super) unsafe fn spawn(&self, job: *const Job) {
        // SAFETY: the caller's promise.
        unsafe { self.spawned.push(job) };
        if self.has_room() {
            self.offer();
        }
    }

    /// Runs the newest job that this thread has spawned since then, unless all were stolen or
    /// run.
    pub(super) fn run_spawned(&self, since: Mark) -> bool {
        let job = self.take_spawned(since);
        if let Some(job) = job {
            // SAFETY: taken.
            unsafe { self.run(job) };
        }
        job.is_some()
    }

    fn take_spawned(&self, since: Mark) -> Option<*const Job> {
        self.take_back_spawned(since);
        self.spawned.pop_newest(since)
    }

    /// Takes that job, the first that this thread has spawned since then, unless somebody else
    /// has it or may.
    pub(super) fn take_that(&self, job: *const Job, since: Mark) -> bool {
        self.take_back_spawned(since);
        self.spawned.take(job, since)
    }

    /// Takes the newest job back from the steal queue, if that may have been spawned since then
    /// and the list is empty.
    fn take_back_spawned(&self, since: Mark) {
        if self.spawned.is_empty()
            && self.spawned.may_have_shelved(since)
            && let Some(shelved) = self.unshelve(self.offered.get().cast())
        {
            // SAFETY: taken back; and it was spawned: the newest in the steal queue was, or is
            // the newest of a join there.
            unsafe { self.spawned.put_back(shelved) };
        }
    }

    /// Runs a job that the thread has taken, and what that spawns and nobody steals: what is
    /// left would be found by nobody before this thread does its next.
    ///
    /// # Safety
    ///
    /// As for [`Job::run`].
    unsafe fn run(&self, job: *const Job) {
        let before = self.now();
        // SAFETY: the caller's promise.
        unsafe { Job::run(job) };
        while let Some(job) = self.take_spawned(before) {
            // SAFETY: taken.
            unsafe { Job::run(job) };
        }
    }

    /// The same for one of another member.
    ///
    /// # Safety
    ///
    /// As for [`Job::run`].
    pub(super) unsafe fn run_stolen(&self, job: *const Job) {
        let Some((_, slot)) = self.membership() else {
            unreachable!("only members steal");
        };
        let has_private = !self.spawned.is_empty() || self.offered != self.newest;
        let first = (!has_private).then(|| slot.steal_queue.look().end());
        let before = slot.stage.begin(first);
        // SAFETY: the caller's promise.
        unsafe { self.run(job) };
        slot.stage.end(before);
    }

    /// Runs a job of this thread, whichever comes first.
    #[cfg(all(feature = "bare", not(loom)))]
    pub(super) fn run_local(&self) -> bool {
        if self.run_spawned(Mark::BEGINNING) {
            return true;
        }
        if self.has_room() {
            self.offer();
        }
        let own = self
            .membership()
            .map(|(group, slot)| (group, group.index(slot)));
        let job = own.and_then(|(group, own)| group.steal_own(own));
        if let Some(job) = job {
            // SAFETY: taken.
            unsafe { self.run_stolen(job) };
        }
        job.is_some()
    }

    /// Whether the thread has a job that nobody has begun.
    #[cfg(all(feature = "bare", not(loom)))]
    pub(super) fn has_local(&self) -> bool {
        !self.spawned.is_empty() || self.offered != self.newest || !self.offers_nothing()
    }

    /// Whether that is the thread's slot.
    pub(super) fn is_in(&self, slot: *const Slot) -> bool {
        ptr::eq(self.slot.get(), slot)
    }

    /// Where this thread runs what it runs.
    pub(super) fn place(&self) -> Place {
        let place =
            |(group, slot): (&Group, &Slot)| Place::new(group.index(slot), slot.stage.number());
        self.membership().map_or(Place::NOWHERE, place)
    }

    /// To run what is spawned from now on.
    pub(super) fn now(&self) -> Mark {
        self.spawned.now()
    }

    /// A scope begins on this thread. Returns what it must be ended with.
    pub(super) fn begin_scope(&self) -> *const Half {
        self.before_scope.replace(self.newest.get())
    }

    pub(super) fn end_scope(&self, before: *const Half) {
        self.before_scope.set(before);
    }

    /// Whether there is nothing of this thread for others to take.
    #[inline]
    pub(super) fn offers_nothing(&self) -> bool {
        self.membership()
            .is_some_and(|(_, slot)| slot.steal_queue.is_empty())
    }

    /// Changes when a job of this thread is stolen.
    #[inline]
    pub(super) fn thefts(&self) -> u16 {
        self.membership()
            .map_or(0, |(_, slot)| slot.steal_queue.thefts())
    }

    /// Whether another job would go to the steal queue at once.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.membership()
            .is_some_and(|(_, slot)| !slot.steal_queue.is(self.content.get()))
    }

    /// Puts the oldest private jobs in the steal queue while there is room.
    #[cold]
    pub(super) fn offer(&self) {
        let Some((group, slot)) = self.membership() else {
            return;
        };
        let mut offered = false;
        loop {
            let state = slot.steal_queue.look();
            if state.is_full() {
                self.content.set(state);
                break;
            }
            let Some(job) = self.oldest_private() else {
                // The next one goes there.
                self.content.set(State::NONE);
                break;
            };
            slot.steal_queue.put(state, job);
            offered = true;
        }
        if offered {
            group.watch.offered(group);
        }
    }

    /// Takes the oldest job that is not in the steal queue, to put it there.
    fn oldest_private(&self) -> Option<*const Job> {
        let (offered, before_scope) = (self.offered.get(), self.before_scope.get());
        // A job of the innermost scope must not lie below halves that are older than the
        // scope: they are still there when that waits for it.
        // SAFETY: in the list, since the scope is not over, and so alive.
        let waits = offered != before_scope && unsafe { Half::is_private(before_scope) };
        if !waits && let Some(spawned) = self.spawned.pop_oldest() {
            return Some(spawned);
        }
        if ptr::eq(offered, self.newest.get()) {
            return None;
        }
        // SAFETY: in the list, and so alive, and not the newest.
        let job = unsafe { Half::newer(offered) };
        self.offered.set(job);
        // SAFETY: in the list, and so alive, and private until now.
        Some(unsafe { Half::prepare(job, self) })
    }
}
