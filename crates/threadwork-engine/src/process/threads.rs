//! The threads of a process and the workers that wait for more of them.
//!
//! Invariant: once [`Threads::close`] has run, no thread is added and no worker
//! offers itself, so whoever closes sees all there will ever be.

use crate::thread::ThreadState;
use crate::worker::{Job, Worker, withdraw};
use std::collections::HashMap;
use std::sync::Arc;

/// Ids are in [1, 2^29), so that libc can use the other bits.
const ID_END: u32 = 1 << 29;

/// The main thread's id.
const MAIN: u32 = 0;

/// Under one lock in [`State`](super::State).
pub(crate) struct Threads {
    live: HashMap<u32, Arc<ThreadState>>,
    /// Workers with a seat and no thread; the one that came last is taken first,
    /// because it may still be spinning.
    seats: Vec<Arc<Worker>>,
    next_id: u32,
    closed: bool,
    pub(crate) peak: u32,
    pub(crate) started: u64,
}

impl Threads {
    pub(crate) fn new() -> Self {
        Self {
            live: HashMap::new(),
            seats: Vec::new(),
            next_id: 1,
            closed: false,
            peak: 0,
            started: 0,
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.live.len() as u32
    }

    pub(crate) fn count_beside_main(&self) -> u32 {
        self.count() - u32::from(self.live.contains_key(&MAIN))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<ThreadState>> {
        self.live.values()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds the main thread.
    pub(crate) fn add_main(&mut self) -> Arc<ThreadState> {
        self.add(MAIN)
    }

    /// Adds a thread with an id of its own, unless closed or out of ids.
    pub(crate) fn add_next(&mut self) -> Option<Arc<ThreadState>> {
        if self.closed || self.count() >= ID_END - 1 {
            return None;
        }
        while self.live.contains_key(&self.next_id) {
            self.next_id = following(self.next_id);
        }
        let id = self.next_id;
        self.next_id = following(id);
        Some(self.add(id))
    }

    fn add(&mut self, id: u32) -> Arc<ThreadState> {
        let thread = Arc::new(ThreadState::new(id));
        self.live.insert(id, Arc::clone(&thread));
        self.peak = self.peak.max(self.count());
        self.started += 1;
        thread
    }

    pub(crate) fn remove(&mut self, id: u32) {
        self.live.remove(&id);
    }

    /// A thread that could not be started was never there.
    pub(crate) fn take_back(&mut self, id: u32) {
        self.live.remove(&id);
        self.started -= 1;
    }

    pub(crate) fn take_seat(&mut self) -> Option<Arc<Worker>> {
        self.seats.pop()
    }

    /// False if the process is ending: the worker must leave.
    pub(crate) fn offer(&mut self, worker: &Arc<Worker>) -> bool {
        if !self.closed {
            self.seats.push(Arc::clone(worker));
        }
        !self.closed
    }

    /// False if somebody took the worker just now.
    pub(crate) fn withdraw(&mut self, worker: &Arc<Worker>) -> bool {
        withdraw(&mut self.seats, worker)
    }

    /// Lets nobody in any more, sends the idle workers away and wakes the threads
    /// that sleep in host calls.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for worker in self.seats.drain(..) {
            worker.give(Job::Leave);
        }
        for thread in self.live.values() {
            thread.unpark();
        }
    }
}

fn following(id: u32) -> u32 {
    match id + 1 {
        ID_END => 1,
        next => next,
    }
}
