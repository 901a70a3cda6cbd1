//! What a thread's operations mean: for its clock, for the bytes it synchronizes by, for the
//! bytes it reaches.
//!
//! This is FastTrack: an access is remembered by its thread's slot and epoch, and meets a later
//! one in order if that thread's clock has reached the epoch. What synchronizes:
//!
//! | operation | before it | after it |
//! |---|---|---|
//! | atomic store | | the bytes' clocks become the thread's; a new epoch |
//! | atomic load, failed exchange | | the thread's clock joins the bytes' |
//! | other atomic | | both join; a new epoch |
//! | notify | the queue's clock joins the thread's; a new epoch | |
//! | wait | as an atomic load, which it is, too | |
//! | wait that was woken | | the thread's clock joins the queue's |
//! | wait that found another value | | as an atomic load |
//! | spawn | a copy of the clock for the thread; a new epoch | |
//!
//! A function of [`Class::Runtime`] synchronizes by plain accesses, too: its loads are atomic
//! loads, and its stores join the bytes' clocks, without any being remembered as an access.
//!
//! Invariant: a thread's own entry of its clock is its epoch, at least 1.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use threadwork_engine::{Backtrace, Class, Site, SiteKind};

use crate::blocks::{Block, Blocks};
use crate::clock::Clock;
use crate::lock;
use crate::report::{self, Act, Event, Report, ReportKind, Started};
use crate::shadow::{Access, Kind, Shadow};
use crate::sync::{Bytes, Held, Words};

/// Reports that are kept.
const MOST_REPORTS: usize = 1000;
/// Stacks that are kept.
const MOST_STACKS: usize = 1 << 17;
/// Stacks that are kept of one site.
const MOST_OF_SITE: usize = 32;
/// Names of stacks that a thread knows to be kept.
const KNOWN: usize = 1 << 10;
/// More slots than there can be threads at one time.
const MOST_SLOTS: usize = u16::MAX as usize;

/// A thread of the program's.
pub(crate) struct Thread {
    pub(crate) id: u32,
    slot: u16,
    clock: Clock,
    /// The epoch of its last access that is remembered.
    last: u32,
    /// Calls of the allocator that it is in.
    depth: u32,
    /// The block that a `realloc` has taken.
    moving: Option<(u64, Block)>,
    held: Option<Held>,
    known: Box<[u32]>,
}

impl Thread {
    fn epoch(&self) -> u32 {
        self.clock.at(self.slot)
    }

    /// Begins another epoch, so that what follows is not taken for what others know of.
    fn next_epoch(&mut self) {
        self.clock.raise(self.slot, self.epoch().saturating_add(1));
    }
}

/// How a thread began.
#[derive(Clone)]
struct Start {
    id: u32,
    /// Who started it, and where.
    by: Option<(u32, Backtrace)>,
}

/// What a thread that was spawned begins with.
struct Pending {
    clock: Clock,
    by: (u32, Backtrace),
}

#[derive(Default)]
struct Slots {
    starts: Vec<Start>,
    /// Slots of threads that have ended, with the epochs of their last accesses and their last
    /// ones, which are later: nobody needs to know of what they did in the end.
    ended: Vec<(u16, u32, u32)>,
}

#[derive(Default)]
struct Stacks {
    by_name: HashMap<u32, Backtrace>,
    /// The name of the first of each site, and how many it has: a recursion has no end of them.
    of_site: HashMap<u32, (u32, usize)>,
}

#[derive(Default)]
struct Reports {
    list: Vec<Report>,
    /// What the first one is of.
    first: Option<(ReportKind, [u32; 2])>,
    seen: HashSet<(ReportKind, u32, u32)>,
}

/// What is known of a process.
pub(crate) struct Detector {
    sites: Arc<[Site]>,
    shadow: Shadow,
    words: Words,
    blocks: Mutex<Blocks>,
    /// By the argument, which several may have at one time.
    pending: Mutex<HashMap<u64, Vec<Pending>>>,
    slots: Mutex<Slots>,
    stacks: Mutex<Stacks>,
    reports: Mutex<Reports>,
}

/// The name of a stack, of the chain of calls and the place.
fn name(context: u32, site: u32) -> u32 {
    let mixed = (context ^ site.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    mixed ^ mixed >> 15
}

impl Detector {
    pub(crate) fn new(sites: Arc<[Site]>) -> Self {
        Self {
            sites,
            shadow: Shadow::new(),
            words: Words::new(),
            blocks: Mutex::default(),
            pending: Mutex::default(),
            slots: Mutex::default(),
            stacks: Mutex::default(),
            reports: Mutex::default(),
        }
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        lock(&self.reports).list.clone()
    }

    /// Which of those with one argument a thread is, nobody knows: so it is taken to be after all.
    fn take_pending(&self, argument: u64) -> Option<Pending> {
        let mut pending = lock(&self.pending);
        let with = pending.get_mut(&argument)?;
        let mut taken = with.pop()?;
        for other in with.iter() {
            taken.clock.join(&other.clock);
        }
        if with.is_empty() {
            pending.remove(&argument);
        }
        Some(taken)
    }

    pub(crate) fn first(&self) -> Option<(ReportKind, [u32; 2])> {
        lock(&self.reports).first
    }

    /// A thread that begins: as the child of whoever spawned it with this argument, or as one
    /// that nobody is known to have spawned.
    pub(crate) fn thread(&self, id: u32, argument: Option<u64>) -> Thread {
        let pending = argument.and_then(|argument| self.take_pending(argument));
        let (mut clock, by) = match pending {
            Some(pending) => (pending.clock, Some(pending.by)),
            None => (Clock::default(), None),
        };
        let start = Start { id, by };
        let mut slots = lock(&self.slots);
        // Its accesses happened before the new thread, and whoever knows of the new knows that.
        let known = |(slot, last, _): &(u16, u32, u32)| clock.at(*slot) >= *last;
        let free = slots.ended.iter().position(known);
        let (slot, epoch) = match free.map(|place| slots.ended.swap_remove(place)) {
            Some((slot, _, epoch)) => {
                if let Some(old) = slots.starts.get_mut(usize::from(slot)) {
                    *old = start;
                }
                (slot, epoch.saturating_add(1))
            }
            None => {
                let slot = slots.starts.len().min(MOST_SLOTS) as u16;
                slots.starts.push(start);
                (slot, 1)
            }
        };
        drop(slots);
        clock.raise(slot, epoch);
        Thread {
            id,
            slot,
            clock,
            last: 0,
            depth: 0,
            moving: None,
            held: None,
            known: vec![0; KNOWN].into(),
        }
    }

    /// A thread has ended, and its slot can be another's.
    pub(crate) fn ended(&self, thread: &Thread) {
        let ended = (thread.slot, thread.last, thread.epoch());
        lock(&self.slots).ended.push(ended);
    }

    fn site(&self, site: u32) -> Option<Site> {
        self.sites.get(site as usize).copied()
    }

    /// The name of the stack of a thread, which is kept when it is met first.
    fn stack(
        &self,
        thread: &mut Thread,
        site: u32,
        context: u32,
        stack: &impl Fn() -> Backtrace,
    ) -> u32 {
        let name = name(context, site);
        if let Some(known) = thread.known.get_mut(name as usize % KNOWN)
            && *known != name
        {
            *known = name;
            let mut stacks = lock(&self.stacks);
            if stacks.by_name.contains_key(&name) {
                return name;
            }
            let has_room = stacks.by_name.len() < MOST_STACKS;
            let (_, count) = stacks.of_site.entry(site).or_insert((name, 0));
            if *count == 0 || has_room && *count < MOST_OF_SITE {
                *count += 1;
                drop(stacks);
                let stack = stack();
                lock(&self.stacks).by_name.insert(name, stack);
            }
        }
        name
    }

    fn kept(&self, site: u32, name: u32) -> Backtrace {
        let stacks = lock(&self.stacks);
        let by_name = stacks.by_name.get(&name);
        let of_site = || stacks.by_name.get(&stacks.of_site.get(&site)?.0);
        by_name.or_else(of_site).cloned().unwrap_or_default()
    }

    fn id(&self, slot: u16) -> u32 {
        let slots = lock(&self.slots);
        slots
            .starts
            .get(usize::from(slot))
            .map_or(0, |start| start.id)
    }

    /// A plain access, or what a wait reads. A long one is given up if the process ends.
    ///
    /// Returns whether as much of these bytes need not be told again in this epoch: it would add
    /// nothing to what is remembered. Who meets that meanwhile without an order reports it, and an
    /// order begins another epoch.
    pub(crate) fn access(
        &self,
        thread: &mut Thread,
        (number, address, length): (u32, u64, Option<u64>),
        context: u32,
        is_ending: &impl Fn() -> bool,
        stack: &impl Fn() -> Backtrace,
    ) -> bool {
        let Some(site) = self.site(number) else {
            return false;
        };
        if thread.depth > 0 || length == Some(0) {
            return false;
        }
        if site.kind == SiteKind::Wait {
            let width = site.width.into();
            // One on an odd address is about to trap.
            if site.class == Class::Ordinary && address.is_multiple_of(width) {
                self.acquire(thread, address, site.width);
                let place = (number, address, width);
                self.note(thread, place, Kind::AtomicRead, context, is_ending, stack);
            }
            return false;
        }
        let writes = site.kind.writes();
        if site.class == Class::Runtime {
            if length.is_none() {
                self.volatile(thread, address, site.width, writes);
            }
            return false;
        }
        let kind = match (writes, site.kind.is_atomic()) {
            (true, _) => Kind::Write,
            (false, true) => Kind::AtomicRead,
            (false, false) => Kind::Read,
        };
        let length = length.unwrap_or(u64::from(site.width));
        let place = (number, address, length);
        self.note(thread, place, kind, context, is_ending, stack);
        // An atomic read does not stand for a plain one.
        kind != Kind::AtomicRead
    }

    fn volatile(&self, thread: &mut Thread, address: u64, width: u8, writes: bool) {
        if writes {
            for bytes in Bytes::of(address, width) {
                self.words.join(bytes, &thread.clock);
            }
            thread.next_epoch();
        } else {
            self.acquire(thread, address, width);
        }
    }

    fn acquire(&self, thread: &mut Thread, address: u64, width: u8) {
        for bytes in Bytes::of(address, width) {
            self.words.read(bytes, &mut thread.clock);
        }
    }

    /// Remembers an access, and reports what it meets.
    fn note(
        &self,
        thread: &mut Thread,
        (site, address, length): (u32, u64, u64),
        kind: Kind,
        context: u32,
        is_ending: &impl Fn() -> bool,
        stack: &impl Fn() -> Backtrace,
    ) {
        let name = self.stack(thread, site, context, stack);
        thread.last = thread.epoch();
        let new = Access::new(kind, thread.slot, thread.last, site, name);
        let clock = &thread.clock;
        let mut met = None;
        let mut note = |at: u64, old| met = met.or(Some((at.max(address), old)));
        let range = (address, length);
        match kind {
            Kind::Free => self.shadow.free(range, new, clock, is_ending, &mut note),
            _ => self.shadow.access(range, new, clock, is_ending, &mut note),
        }
        if let Some((at, old)) = met {
            let what = match old.kind() {
                Kind::Free => ReportKind::UseAfterFree,
                _ => ReportKind::Race,
            };
            let event = Event {
                thread: thread.id,
                act: act(kind),
                width: match kind {
                    Kind::Free => 0,
                    _ => length,
                },
                stack: Backtrace::default(),
            };
            self.report(
                what,
                at,
                (thread.slot, site, event),
                (old.slot, act(old.kind()), old.site, old.context),
                stack,
            );
        }
    }

    fn report(
        &self,
        kind: ReportKind,
        address: u64,
        (own_slot, site, event): (u16, u32, Event),
        (slot, old_act, old_site, old_name): (u16, Act, u32, u32),
        stack: &impl Fn() -> Backtrace,
    ) {
        let pair = (kind, site.min(old_site), site.max(old_site));
        {
            let mut reports = lock(&self.reports);
            if reports.list.len() >= MOST_REPORTS || !reports.seen.insert(pair) {
                return;
            }
            reports.first.get_or_insert((kind, [pair.1, pair.2]));
        }
        let width = self.site(old_site).map_or(0, |site| site.width);
        let event = Event {
            stack: stack(),
            ..event
        };
        let earlier = Event {
            thread: self.id(slot),
            act: old_act,
            width: width.into(),
            stack: self.kept(old_site, old_name),
        };
        let block = lock(&self.blocks).find(address);
        let block = block.map(|(start, block)| report::Block {
            address: start,
            length: block.length,
            thread: self.id(block.slot),
            stack: self.kept(block.site, block.context),
        });
        let mut slots = vec![own_slot, slot];
        slots.dedup();
        let threads = slots.into_iter().filter_map(|slot| self.started(slot));
        let threads = threads.collect();
        lock(&self.reports).list.push(Report {
            kind,
            address,
            event,
            earlier,
            block,
            threads,
        });
    }

    /// How the thread in a slot was started. Ids are used again, as slots are, but not at the
    /// same time.
    fn started(&self, slot: u16) -> Option<Started> {
        let slots = lock(&self.slots);
        let start = slots.starts.get(usize::from(slot))?;
        let (by, stack) = start.by.clone()?;
        Some(Started {
            thread: start.id,
            by,
            stack,
        })
    }

    /// Before an operator on which threads meet.
    pub(crate) fn point(
        &self,
        thread: &mut Thread,
        (number, address): (u32, u64),
        is_ending: impl Fn() -> bool,
        stack: &impl Fn() -> Backtrace,
    ) {
        let Some(site) = self.site(number) else {
            return;
        };
        match site.kind {
            SiteKind::Notify => {
                self.words.join(Bytes::queue(address), &thread.clock);
                thread.next_epoch();
            }
            SiteKind::Spawn => {
                let pending = Pending {
                    clock: thread.clock.clone(),
                    by: (thread.id, stack()),
                };
                lock(&self.pending)
                    .entry(address)
                    .or_default()
                    .push(pending);
                thread.next_epoch();
            }
            // An operator on an odd address is about to trap.
            kind if kind.is_atomic()
                && thread.depth == 0
                && address.is_multiple_of(u64::from(site.width.max(1))) =>
            {
                thread.held = self.words.hold(address, is_ending);
            }
            _ => {}
        }
    }

    /// After it.
    pub(crate) fn done(
        &self,
        thread: &mut Thread,
        (number, address): (u32, u64),
        (wrote, value): (bool, u64),
        context: u32,
        stack: &impl Fn() -> Backtrace,
    ) {
        let Some(site) = self.site(number) else {
            return;
        };
        match site.kind {
            SiteKind::Wait => match value {
                0 => self.words.read(Bytes::queue(address), &mut thread.clock),
                _ => self.acquire(thread, address, site.width),
            },
            SiteKind::Spawn if value as u32 as i32 <= 0 => {
                self.take_pending(address);
            }
            kind if kind.is_atomic() && thread.depth == 0 => {
                for bytes in Bytes::of(address, site.width) {
                    match (kind, wrote) {
                        (SiteKind::AtomicStore, _) => self.words.store(bytes, &thread.clock),
                        (_, false) => self.words.read(bytes, &mut thread.clock),
                        (_, true) => self.words.exchange(bytes, &mut thread.clock),
                    }
                }
                if site.class == Class::Ordinary {
                    let kind = match wrote {
                        true => Kind::AtomicWrite,
                        false => Kind::AtomicRead,
                    };
                    let place = (number, address, u64::from(site.width));
                    self.note(thread, place, kind, context, &|| false, stack);
                }
                // Not before it is noted: whoever comes next may free the word.
                if let Some(held) = thread.held.take() {
                    self.words.release(held);
                }
                if wrote {
                    thread.next_epoch();
                }
            }
            _ => {}
        }
    }

    /// The allocator begins, and takes the block at `old`, if that is not 0. Returns how many
    /// bytes that has.
    pub(crate) fn alloc_begin(
        &self,
        thread: &mut Thread,
        (site, old): (u32, u64),
        context: u32,
        is_ending: &impl Fn() -> bool,
        stack: &impl Fn() -> Backtrace,
    ) -> u64 {
        thread.depth += 1;
        if thread.depth > 1 {
            return 0;
        }
        let name = self.stack(thread, site, context, stack);
        thread.moving = None;
        if old == 0 {
            return 0;
        }
        let freed = (thread.slot, site, name);
        let block = lock(&self.blocks).remove(old, freed);
        match block {
            Some(block) => {
                thread.moving = Some((old, block));
                let place = (site, old, block.length);
                self.note(thread, place, Kind::Free, context, is_ending, stack);
                block.length
            }
            // What was allocated before anybody looked is not known.
            None => {
                let twice = lock(&self.blocks).freed(old).and_then(|block| block.freed);
                if let Some((slot, old_site, old_name)) = twice {
                    let event = Event {
                        thread: thread.id,
                        act: Act::Free,
                        width: 0,
                        stack: Backtrace::default(),
                    };
                    let earlier = (slot, Act::Free, old_site, old_name);
                    self.report(
                        ReportKind::DoubleFree,
                        old,
                        (thread.slot, site, event),
                        earlier,
                        stack,
                    );
                }
                0
            }
        }
    }

    /// The allocator returns, and gives the block at `new`, if that is not 0.
    pub(crate) fn alloc_end(
        &self,
        thread: &mut Thread,
        (number, new, length): (u32, u64, u64),
        context: u32,
    ) {
        thread.depth = thread.depth.saturating_sub(1);
        if thread.depth > 0 {
            return;
        }
        let moved = thread.moving.take();
        let Some(site) = self.site(number) else {
            return;
        };
        if new != 0 {
            // `strlen` reads whole words, which the allocator's blocks have.
            let words = length.max(1).next_multiple_of(4);
            self.shadow.clear(new, words);
            let block = Block {
                length,
                slot: thread.slot,
                site: number,
                context: name(context, number),
                freed: None,
            };
            lock(&self.blocks).add(new, block);
        } else if let (SiteKind::Reallocate, Some((old, block))) = (site.kind, moved)
            && length > 0
        {
            // It had no memory for it, and has left the block where it was.
            self.shadow.clear(old, block.length);
            lock(&self.blocks).add(old, block);
        }
    }
}

fn act(kind: Kind) -> Act {
    match kind {
        Kind::Read => Act::Read,
        Kind::Write => Act::Write,
        Kind::AtomicRead => Act::AtomicRead,
        Kind::AtomicWrite => Act::AtomicWrite,
        Kind::Free => Act::Free,
    }
}
