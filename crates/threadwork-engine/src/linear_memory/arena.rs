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
//! - Of any other arena the host lives, and never sleeps, while it has a [`Presence`]. That
//!   all sleep is decided under the lock that a presence begins under: one that began before
//!   prevents it, one that begins afterwards finds the process ending.
//!
//! Invariant: no more of the host's threads are counted as away than were announced. A
//! thread beyond that is counted in when it goes to sleep, so that it hides a deadlock
//! rather than making one up.

use super::allocator::{Free, GRAIN};
use super::totals::Totals;
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
    /// Of the process that these memories are of.
    totals: Arc<Totals>,
    host: Mutex<HostArea>,
    /// Held while a memory grows.
    growing: Mutex<()>,
    /// Threads of the host that were announced, and how many of them are away.
    hosts: u32,
    away: AtomicU32,
    /// How often the host is present.
    presences: Mutex<u32>,
    /// Whose memories these are, if anybody's; told when all sleep.
    owner: OnceLock<Weak<dyn Owner>>,
}

/// The host's own bytes in the first memory.
struct HostArea {
    /// What is free of them.
    free: Free,
    /// Bytes that there are.
    size: u64,
    /// Whether the memory may grow for the host: not where the guest grows it, too. Its
    /// allocator may take what lies between two growths of its own for its own.
    may_grow: bool,
}

/// Why the host has no room in the first memory.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// The memory cannot become larger.
    Full,
    /// Only so many bytes were reserved, and the memory may not grow for the host.
    Reserved(u64),
}

/// Whose memories an arena holds: a process.
pub(crate) trait Owner: Send + Sync {
    /// All that live sleep for ever. True if somebody could be started who may wake
    /// them; else the arena is being closed.
    fn is_relieved(self: Arc<Self>) -> bool;
}

/// Why a memory did not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotGrown {
    /// It would be larger than its module lets it be.
    Maximum,
    /// The process would have more than this limit.
    Limit(u64),
    /// The system has no more.
    System,
}

/// The arena was closed: its process has ended, or is ending.
#[derive(Debug)]
pub(crate) struct Closed;

impl Arena {
    /// Of memories that are reserved in `totals` already.
    pub(crate) fn new(
        memories: Vec<Memory>,
        cores: Arc<Cores>,
        totals: Arc<Totals>,
        hosts: u32,
    ) -> Self {
        let lot = ParkingLot::new(Arc::clone(&cores));
        (0..hosts).for_each(|_| lot.enter());
        Self {
            memories,
            lot,
            cores,
            totals,
            host: Mutex::new(HostArea {
                free: Free::default(),
                size: 0,
                may_grow: true,
            }),
            growing: Mutex::default(),
            hosts,
            away: AtomicU32::new(0),
            presences: Mutex::default(),
            owner: OnceLock::new(),
        }
    }

    /// What stands for an arena that is gone: its one memory has no byte.
    pub(crate) fn gone(cores: &Arc<Cores>) -> Self {
        let memories = vec![Memory::gone()];
        Self::new(memories, Arc::clone(cores), Arc::default(), 0)
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

    /// What the process has of its host's memory.
    pub(crate) fn totals(&self) -> &Arc<Totals> {
        &self.totals
    }

    /// Makes `memory` larger by `pages`; returns the pages that it had before.
    pub(crate) fn grow(&self, memory: &Memory, pages: u64) -> Result<u64, NotGrown> {
        // Two growths must not both find that the module allows them.
        let _growing = lock(&self.growing);
        if !memory.may_grow(pages) {
            return Err(NotGrown::Maximum);
        }
        let bytes = pages.saturating_mul(PAGE);
        self.totals.reserve(bytes).map_err(NotGrown::Limit)?;
        let grown = memory.shared().and_then(|shared| shared.grow(pages).ok());
        grown.ok_or_else(|| {
            self.totals.release(bytes);
            NotGrown::System
        })
    }

    // ---- The host's own pages ----

    /// What the first memory has past `declared` bytes, which is all that its module asks
    /// for, is the host's. It grows for the host only if the guest does not grow it.
    pub(crate) fn own_from(&self, declared: u64, guest_grows: bool) {
        let size = self.memories[0].len() - declared;
        let mut host = lock(&self.host);
        host.free.give(declared, size);
        host.size += size;
        host.may_grow = !guest_grows;
    }

    /// Bytes of the host's own in the first memory, which grows if there are not enough
    /// and if it may.
    pub(crate) fn allocate(&self, size: u64, alignment: u64) -> Result<u64, NoRoom> {
        let alignment = alignment.max(GRAIN);
        let mut host = lock(&self.host);
        if let Some(offset) = host.free.take(size, alignment) {
            return Ok(offset);
        }
        if !host.may_grow {
            return Err(NoRoom::Reserved(host.size));
        }
        // Pages are aligned to their size, and more than that is rare.
        let room = size.checked_add(alignment.saturating_sub(PAGE));
        let pages = room.ok_or(NoRoom::Full)?.div_ceil(PAGE);
        let before = self.grow(&self.memories[0], pages);
        let before = before.map_err(|_| NoRoom::Full)?;
        host.free.give(before * PAGE, pages * PAGE);
        host.size += pages * PAGE;
        host.free.take(size, alignment).ok_or(NoRoom::Full)
    }

    /// Gives back what [`allocate`](Self::allocate) gave.
    pub(crate) fn deallocate(&self, offset: u64, size: u64) {
        lock(&self.host).free.give(offset, size);
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

    /// Calls `verdict` unless the host is present, or begins to be meanwhile.
    pub(crate) fn unless_present<R>(&self, verdict: impl FnOnce() -> R) -> Option<R> {
        let presences = lock(&self.presences);
        (*presences == 0).then(verdict)
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
        let mut presences = lock(&arena.presences);
        *presences += 1;
        arena.lot.enter();
        drop(presences);
        Self(Arc::clone(arena))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        *lock(&self.0.presences) -= 1;
        self.0.leave();
    }
}
