//! [`Arena`]: the shared memories of one process, and the place where everybody sleeps
//! who waits for a word in them: its guest threads, and threads of the host program.
//!
//! # Who lives
//!
//! A deadlock is when everybody who lives sleeps for ever; the parking lot counts. Guest
//! threads enter and leave it themselves. What a thread of the host will do nobody
//! knows, so it is settled beforehand:
//!
//! - A runtime is told how many threads of the host use it. They live from the start.
//!   One that waits without a timeout, for a word or for a task, is *away*.
//! - Of any other arena the host lives, and never sleeps, while it has a [`Presence`].
//!
//! Invariant: no more of the host's threads are counted as away than were announced. A
//! thread beyond that is counted in when it goes to sleep, so that it hides a deadlock
//! rather than making one up.

use super::allocator::{Free, GRAIN};
use super::words::Memory;
use crate::limits::PAGE;
use crate::lock::lock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};
use threadwork_parking::{Cores, ParkingLot, WaitResult};

/// What the lot calls threads of the host: no guest thread has this id.
const HOST: u32 = u32::MAX;

/// See the module's documentation.
pub(crate) struct Arena {
    memories: Vec<Memory>,
    lot: ParkingLot,
    cores: Arc<Cores>,
    /// Bytes of all memories together.
    limit: Option<u64>,
    /// What is free of the host's own pages in the first memory.
    free: Mutex<Free>,
    /// Held while a memory grows.
    growing: Mutex<()>,
    /// Threads of the host that were announced, and how many of them are away.
    hosts: u32,
    away: AtomicU32,
    /// Whose memories these are, if anybody's; told when all sleep.
    owner: OnceLock<Weak<dyn Owner>>,
}

/// Whose memories an arena holds: a process.
pub(crate) trait Owner: Send + Sync {
    /// All that live sleep for ever. True if somebody could be started who may wake
    /// them; else the arena is being closed.
    fn is_relieved(self: Arc<Self>) -> bool;
}

/// The arena was closed: its process has ended, or is ending.
#[derive(Debug)]
pub(crate) struct Closed;

impl Arena {
    pub(crate) fn new(
        memories: Vec<Memory>,
        cores: Arc<Cores>,
        limit: Option<u64>,
        hosts: u32,
    ) -> Self {
        let lot = ParkingLot::new(Arc::clone(&cores));
        (0..hosts).for_each(|_| lot.enter());
        Self {
            memories,
            lot,
            cores,
            limit,
            free: Mutex::default(),
            growing: Mutex::default(),
            hosts,
            away: AtomicU32::new(0),
            owner: OnceLock::new(),
        }
    }

    /// Says whose it is, once.
    pub(crate) fn belongs_to<O: Owner + 'static>(&self, owner: &Arc<O>) {
        let owner: Weak<O> = Arc::downgrade(owner);
        let _ = self.owner.set(owner);
    }

    pub(crate) fn memories(&self) -> &[Memory] {
        &self.memories
    }

    pub(crate) fn lot(&self) -> &ParkingLot {
        &self.lot
    }

    /// Bytes of all memories.
    pub(crate) fn len(&self) -> u64 {
        self.memories.iter().map(Memory::len).sum()
    }

    /// Makes `memory` larger by `pages`; returns the pages that it had before.
    pub(crate) fn grow(&self, memory: &Memory, pages: u64) -> Option<u64> {
        // Two memories must not both take what is left.
        let _growing = lock(&self.growing);
        let wants = pages.saturating_mul(PAGE).saturating_add(self.len());
        let fits = self.limit.is_none_or(|most| wants <= most);
        fits.then(|| memory.shared().grow(pages).ok()).flatten()
    }

    // ---- The host's own pages ----

    /// What the first memory has past `declared` bytes, which is all that its module asks
    /// for, is the host's.
    pub(crate) fn own_from(&self, declared: u64) {
        let end = self.memories[0].len();
        lock(&self.free).give(declared, end - declared);
    }

    /// Bytes of the host's own in the first memory, which grows if there are not enough.
    pub(crate) fn allocate(&self, size: u64, alignment: u64) -> Option<u64> {
        let alignment = alignment.max(GRAIN);
        let mut free = lock(&self.free);
        free.take(size, alignment).or_else(|| {
            // Pages are aligned to their size, and more than that is rare.
            let room = size.checked_add(alignment.saturating_sub(PAGE))?;
            let pages = room.div_ceil(PAGE);
            let before = self.grow(&self.memories[0], pages)?;
            free.give(before * PAGE, pages * PAGE);
            free.take(size, alignment)
        })
    }

    /// Gives back what [`allocate`](Self::allocate) gave.
    pub(crate) fn deallocate(&self, offset: u64, size: u64) {
        lock(&self.free).give(offset, size);
    }

    // ---- Threads of the host ----

    /// Sleeps on the word with this key, as a thread of the host.
    pub(crate) fn wait(
        &self,
        key: usize,
        timeout: Option<Duration>,
        expected: u64,
        load: impl Fn() -> u64,
    ) -> Result<WaitResult, Closed> {
        // One past the end of time is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let counted = deadline.is_none().then(|| self.claim());
        if counted == Some(false) {
            self.lot.enter();
        }
        self.cores.acquire();
        let is_relieved = || self.is_relieved();
        let result = self
            .lot
            .wait(HOST, key, deadline, expected, load, is_relieved);
        self.cores.release();
        match counted {
            None => {}
            Some(true) => self.give_back(1),
            Some(false) => self.leave(),
        }
        match result {
            WaitResult::Deadlock | WaitResult::Cancelled => Err(Closed),
            result => Ok(result),
        }
    }

    pub(crate) fn notify(&self, key: usize, count: u32) -> u32 {
        self.lot.notify(key, count)
    }

    /// A thread of the host is about to be away. False if as many as were announced are.
    pub(crate) fn claim(&self) -> bool {
        // Ordering: Relaxed here and below; a count, and the lot orders what depends on
        // it.
        let one_more = |away| (away < self.hosts).then_some(away + 1);
        self.away
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    /// Takes back so many claims.
    pub(crate) fn give_back(&self, claims: u32) {
        self.away.fetch_sub(claims, Ordering::Relaxed);
    }

    /// Somebody lives no more.
    pub(crate) fn leave(&self) {
        self.lot.leave(|| self.is_relieved());
    }

    /// Everybody sleeps for ever. True if somebody could be found who does not.
    fn is_relieved(&self) -> bool {
        let owner = self.owner.get().and_then(Weak::upgrade);
        owner.is_some_and(|owner| owner.is_relieved())
    }
}

/// While it exists, the host lives and does not sleep.
pub(crate) struct Presence(Arc<Arena>);

impl Presence {
    pub(crate) fn new(arena: &Arc<Arena>) -> Self {
        arena.lot.enter();
        Self(Arc::clone(arena))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.leave();
    }
}
