//! What the models of `tests/loom` see of the scheduler, which is private otherwise.

#![allow(missing_docs, reason = "for the models only")]

use std::ptr;
use std::sync::Arc;

use super::job::Job;
use super::{group, idle, latch, steal_queue};

pub struct Group(Arc<group::Group>);

pub struct Member(group::Member);

impl Group {
    #[allow(clippy::new_without_default, reason = "models are no interface")]
    pub fn new(workers: usize) -> Self {
        Group(group::Group::new(workers, 0))
    }

    /// One that has so many permits, all of which are taken.
    pub fn full(workers: usize, permits: usize) -> Self {
        let group = group::Group::for_visitors(workers, permits);
        (0..permits).for_each(|_| group.take_permit());
        Group(group)
    }

    /// A visitor leaves.
    pub fn give_permit_back(&self) {
        self.0.release_permit();
    }

    /// A worker has done a job, and does a task next.
    pub fn do_a_task(&self) {
        self.0.return_permit();
        self.0.leave_jobs();
    }

    pub fn enter(&self) -> Member {
        let member = self.0.enter();
        Member(member.unwrap_or_else(|| unreachable!("a model has as many slots as threads")))
    }

    pub fn wake_one(&self) -> bool {
        self.0.wake_one()
    }

    pub fn wake_all(&self) {
        self.0.wake_all();
    }

    /// False if the slot has the watch now, since nobody had.
    pub fn join_sleepers(&self, slot: u32) -> bool {
        self.0.watch.join_sleepers(&self.0, slot)
    }

    /// False if the slot still has the watch, since there is something to do.
    pub fn join_sleepers_last(&self, slot: u32) -> bool {
        self.0.watch.join_sleepers_last(&self.0, slot)
    }

    pub fn leave_the_watch(&self) {
        self.0.watch.leave(&self.0);
    }

    /// Puts a job in a steal queue, which nobody is to run.
    pub fn offer(&self, slot: u32) {
        let steal_queue = &self.0.slot(slot).steal_queue;
        steal_queue.put(steal_queue.look(), job(1));
        self.0.watch.offered(&self.0);
    }

    /// Takes it back, if nobody has taken it.
    pub fn withdraw(&self, slot: u32) {
        self.0.slot(slot).steal_queue.take_back(ptr::null());
    }

    /// Whether the sleep of the member in this slot has been ended.
    pub fn is_called(&self, slot: u32) -> bool {
        self.0.slot(slot).wake.call().is_some()
    }
}

impl Member {
    pub fn help(&self) -> bool {
        self.0.help()
    }

    pub fn idle(&self, queued: &dyn Fn() -> bool) {
        self.0.idle(queued);
    }

    /// Whether a job was found first.
    pub fn finds_a_job(&self, queued: &dyn Fn() -> bool) -> bool {
        matches!(self.0.find(queued), idle::Found::Job(_))
    }
}

/// A steal queue of numbers.
pub struct StealQueue(steal_queue::StealQueue);

#[derive(Clone, Copy)]
pub struct State(steal_queue::State);

fn job(number: usize) -> *const Job {
    ptr::without_provenance(number)
}

impl StealQueue {
    #[allow(clippy::new_without_default, reason = "models are no interface")]
    pub fn new() -> Self {
        StealQueue(steal_queue::StealQueue::new())
    }

    pub fn look(&self) -> State {
        State(self.0.look())
    }

    pub fn put(&self, state: State, number: usize) {
        self.0.put(state.0, job(number));
    }

    pub fn take_back(&self) -> Option<usize> {
        self.0.take_back(ptr::null()).map(|taken| taken.0.addr())
    }

    pub fn steal(&self, state: State) -> Option<usize> {
        self.0.steal(state.0).map(<*const Job>::addr)
    }
}

impl State {
    pub fn is_full(self) -> bool {
        self.0.is_full()
    }
}

pub struct CountLatch(latch::CountLatch);

impl CountLatch {
    pub fn new(count: u32) -> Self {
        CountLatch(latch::CountLatch::new(count))
    }

    pub fn done(&self) {
        // SAFETY: valid; the models call it as often as the count says.
        unsafe { latch::CountLatch::done(&self.0) };
    }

    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    pub fn sleep(&self) {
        self.0.sleep(None);
    }
}

/// Loom's mutex in the place of the real one, which has models of its own and would make
/// those here a hundred times larger.
pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(super) fn new(data: T) -> Self {
        Mutex(loom::sync::Mutex::new(data))
    }

    pub(super) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(|_| unreachable!("nobody panics under this lock"))
    }
}
