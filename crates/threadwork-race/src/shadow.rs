//! What is remembered of each byte of the program's memory: the accesses with which a later one
//! could race.
//!
//! Memory is divided into *granules* of eight bytes. A granule has two accesses in place, and
//! more of them in a list of its page when several threads read it, or reach different bytes
//! of it. An access is forgotten when a later one stands for it: whatever would race with the
//! first, and happens after the second, would race with the second too, or is ordered after
//! both.
//!
//! Invariant: no two accesses of a granule by one thread have the same kind and share a byte.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use crate::clock::Clock;
use crate::lock;

/// Bytes of a granule.
const GRANULE: u64 = 8;
/// Bytes of the program's memory that a page is about.
pub(crate) const PAGE: u64 = 4096;
const GRANULES: usize = (PAGE / GRANULE) as usize;
/// Pages of a folder.
const FOLDER: u64 = 1024;
/// Folders: all of 4 GiB.
const FOLDERS: u64 = (1 << 32) / PAGE / FOLDER;
/// Accesses that are remembered of one granule besides two: as many readers there may be.
const MOST_MORE: usize = 1024;

/// An access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// The bytes of the granule; none if there is no access here.
    mask: u8,
    flags: u8,
    /// Whose it was.
    pub(crate) slot: u16,
    /// When that was.
    pub(crate) epoch: u32,
    /// Where.
    pub(crate) site: u32,
    /// The name of its stack.
    pub(crate) context: u32,
}

const WRITE: u8 = 1;
const ATOMIC: u8 = 2;
const FREE: u8 = 4;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    AtomicRead,
    AtomicWrite,
    /// The bytes are given back to the allocator.
    Free,
}

impl Kind {
    fn flags(self) -> u8 {
        match self {
            Self::Read => 0,
            Self::Write => WRITE,
            Self::AtomicRead => ATOMIC,
            Self::AtomicWrite => ATOMIC | WRITE,
            Self::Free => WRITE | FREE,
        }
    }
}

impl Access {
    pub(crate) fn new(kind: Kind, slot: u16, epoch: u32, site: u32, context: u32) -> Self {
        Self {
            mask: 0,
            flags: kind.flags(),
            slot,
            epoch,
            site,
            context,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match (self.flags & FREE, self.flags & ATOMIC, self.flags & WRITE) {
            (0, 0, 0) => Kind::Read,
            (0, 0, _) => Kind::Write,
            (0, _, 0) => Kind::AtomicRead,
            (0, _, _) => Kind::AtomicWrite,
            _ => Kind::Free,
        }
    }

    fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether whoever races with `other`, and not with this, happened before this.
    fn stands_for(&self, other: &Self) -> bool {
        (self.is(WRITE) || !other.is(WRITE)) && (!self.is(ATOMIC) || other.is(ATOMIC))
    }

    /// Whether the two may not happen at the same time.
    fn conflicts(&self, other: &Self) -> bool {
        (self.is(WRITE) || other.is(WRITE)) && !(self.is(ATOMIC) && other.is(ATOMIC))
    }

    fn is_like(&self, other: &Self) -> bool {
        Self { mask: 0, ..*self } == Self { mask: 0, ..*other }
    }
}

/// The granules of a page.
struct Page {
    cells: Box<[[Access; 2]]>,
    more: HashMap<u16, Vec<Access>>,
}

impl Page {
    fn new() -> Self {
        Self {
            cells: vec![[Access::default(); 2]; GRANULES].into(),
            more: HashMap::new(),
        }
    }

    /// Notes an access to one granule; what it must not meet, it returns.
    fn access(&mut self, granule: usize, new: Access, clock: &Clock) -> Option<Access> {
        let cell = self.cells.get_mut(granule)?;
        for old in cell.iter() {
            if old.mask & new.mask == new.mask
                && old.epoch == new.epoch
                && old.slot == new.slot
                && old.stands_for(&new)
                && !old.is(FREE)
            {
                return None;
            }
        }
        let mut met = None;
        let mut meet = |old: &mut Access| {
            if old.mask & new.mask == 0 {
                return;
            }
            let freed = old.is(FREE);
            let ordered = old.slot == new.slot || old.epoch <= clock.at(old.slot);
            if freed || !ordered && new.conflicts(old) {
                met = met.or(Some(*old));
            }
            // What was reported once is enough.
            if freed || new.stands_for(old) && (ordered || new.is(WRITE)) {
                old.mask &= !new.mask;
            }
        };
        cell.iter_mut().for_each(&mut meet);
        let key = granule as u16;
        let more = match self.more.is_empty() {
            true => None,
            false => self.more.get_mut(&key),
        };
        if let Some(more) = more {
            more.iter_mut().for_each(&mut meet);
            more.retain(|access| access.mask != 0);
            if more.is_empty() {
                self.more.remove(&key);
            }
        }
        let mut places = cell.iter_mut();
        if let Some(same) = places.find(|old| old.is_like(&new) && old.mask != 0) {
            same.mask |= new.mask;
        } else if let Some(empty) = cell.iter_mut().find(|old| old.mask == 0) {
            *empty = new;
        } else {
            let more = self.more.entry(key).or_default();
            let count = more.len();
            match more.iter_mut().find(|old| old.is_like(&new)) {
                Some(same) => same.mask |= new.mask,
                None if count < MOST_MORE => more.push(new),
                None => {}
            }
        }
        met
    }

    fn clear(&mut self, granule: usize, mask: u8) {
        if let Some(cell) = self.cells.get_mut(granule) {
            cell.iter_mut().for_each(|old| old.mask &= !mask);
        }
        if !self.more.is_empty()
            && let Some(more) = self.more.get_mut(&(granule as u16))
        {
            more.iter_mut().for_each(|old| old.mask &= !mask);
        }
    }
}

type Folder = Box<[OnceLock<Mutex<Page>>]>;

/// The shadow of a memory of up to 4 GiB.
pub(crate) struct Shadow {
    folders: Box<[OnceLock<Folder>]>,
}

impl Shadow {
    pub(crate) fn new() -> Self {
        Self {
            folders: (0..FOLDERS).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The page with an address, if it is one of the memory.
    fn page(&self, address: u64, make: bool) -> Option<&Mutex<Page>> {
        let number = address / PAGE;
        let folder = self.folders.get(usize::try_from(number / FOLDER).ok()?)?;
        let folder = match make {
            true => folder.get_or_init(|| (0..FOLDER).map(|_| OnceLock::new()).collect()),
            false => folder.get()?,
        };
        let page = folder.get((number % FOLDER) as usize)?;
        Some(match make {
            true => page.get_or_init(|| Mutex::new(Page::new())),
            false => page.get()?,
        })
    }

    /// Notes an access to `length` bytes; `met` is told what it must not meet, and the address
    /// of the granule. It stops at the end of a page if the process ends.
    pub(crate) fn access(
        &self,
        (address, length): (u64, u64),
        new: Access,
        clock: &Clock,
        is_ending: impl Fn() -> bool,
        mut met: impl FnMut(u64, Access),
    ) {
        self.each(
            (address, length),
            true,
            is_ending,
            |page, granule, mask, at| {
                let new = Access { mask, ..new };
                if let Some(old) = page.access(granule, new, clock) {
                    met(at, old);
                }
            },
        );
    }

    /// Forgets what is known of `length` bytes.
    pub(crate) fn clear(&self, address: u64, length: u64) {
        self.each(
            (address, length),
            false,
            || false,
            |page, granule, mask, _| {
                page.clear(granule, mask);
            },
        );
    }

    /// Notes that `length` bytes were freed. Of a large block, only where it was ever used.
    pub(crate) fn free(
        &self,
        (address, length): (u64, u64),
        new: Access,
        clock: &Clock,
        is_ending: impl Fn() -> bool,
        mut met: impl FnMut(u64, Access),
    ) {
        const LARGE: u64 = 1 << 16;
        self.each(
            (address, length),
            length <= LARGE,
            is_ending,
            |page, granule, mask, at| {
                let new = Access { mask, ..new };
                if let Some(old) = page.access(granule, new, clock) {
                    met(at, old);
                }
            },
        );
    }

    /// Calls `then` for each granule of some bytes, with the bytes of it, in pages that there are
    /// or, with `make`, in all, until `is_ending`.
    fn each(
        &self,
        (address, length): (u64, u64),
        make: bool,
        is_ending: impl Fn() -> bool,
        mut then: impl FnMut(&mut Page, usize, u8, u64),
    ) {
        let end = address.saturating_add(length).min(1 << 32);
        let mut at = address;
        while at < end {
            let page_end = end.min((at / PAGE + 1) * PAGE);
            if let Some(page) = self.page(at, make) {
                let mut page = lock(page);
                while at < page_end {
                    let next = page_end.min((at / GRANULE + 1) * GRANULE);
                    let (first, bytes) = (at % GRANULE, next - at);
                    let mask = (((1u16 << bytes) - 1) << first) as u8;
                    then(&mut page, (at % PAGE / GRANULE) as usize, mask, at);
                    at = next;
                }
            }
            at = page_end;
            if at < end && is_ending() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two threads that know nothing of each other but what is raised.
    fn clocks() -> [Clock; 2] {
        let mut clocks = [Clock::default(), Clock::default()];
        for (slot, clock) in (0..).zip(&mut clocks) {
            clock.raise(slot, 1);
        }
        clocks
    }

    fn races(
        shadow: &Shadow,
        clocks: &[Clock; 2],
        accesses: &[(u16, Kind, u64, u64)],
    ) -> Vec<(u64, Kind)> {
        let mut found = Vec::new();
        for &(slot, kind, address, length) in accesses {
            let clock = &clocks[usize::from(slot)];
            let new = Access::new(kind, slot, clock.at(slot), 0, 0);
            shadow.access(
                (address, length),
                new,
                clock,
                || false,
                |at, old| {
                    found.push((at, old.kind()));
                },
            );
        }
        found
    }

    #[test]
    fn what_conflicts_races() {
        use Kind::{AtomicRead, AtomicWrite, Read, Write};
        for (one, two, expected) in [
            (Read, Read, false),
            (Read, Write, true),
            (Write, Read, true),
            (Write, Write, true),
            (AtomicWrite, AtomicRead, false),
            (AtomicWrite, AtomicWrite, false),
            (AtomicWrite, Read, true),
            (Read, AtomicWrite, true),
            (AtomicRead, Read, false),
            (AtomicRead, Write, true),
        ] {
            let shadow = Shadow::new();
            let found = races(&shadow, &clocks(), &[(0, one, 64, 4), (1, two, 64, 4)]);
            assert_eq!(!found.is_empty(), expected, "{one:?} {two:?}");
            let ordered = Shadow::new();
            let mut clocks = clocks();
            clocks[1].raise(0, 1);
            let found = races(&ordered, &clocks, &[(0, one, 64, 4), (1, two, 64, 4)]);
            assert_eq!(found, [], "{one:?} {two:?}");
        }
    }

    #[test]
    fn neighbours_do_not_race() {
        use Kind::Write;
        let shadow = Shadow::new();
        let bytes: Vec<_> = (0..64).map(|at| (at as u16 % 2, Write, at, 1)).collect();
        assert_eq!(races(&shadow, &clocks(), &bytes), []);
        // A wide one meets each of them.
        let found = races(&shadow, &clocks(), &[(1, Write, 0, 64)]);
        assert_eq!(found.len(), 8);
    }

    #[test]
    fn wide_accesses_are_seen_over_the_edges_of_granules_and_pages() {
        use Kind::{Read, Write};
        for start in [1, 7, PAGE - 3, PAGE * FOLDER - 8] {
            let shadow = Shadow::new();
            let last = start + 15;
            let accesses = [(0, Write, start, 16), (1, Read, last, 1)];
            assert_eq!(races(&shadow, &clocks(), &accesses).len(), 1, "{start}");
            let accesses = [(0, Write, start, 16), (1, Read, last + 1, 1)];
            let shadow = Shadow::new();
            assert_eq!(races(&shadow, &clocks(), &accesses), [], "{start}");
        }
        let shadow = Shadow::new();
        let beyond = [(0, Write, u64::MAX - 3, 16), (1, Write, (1 << 32) - 2, 16)];
        assert_eq!(races(&shadow, &clocks(), &beyond), []);
    }

    #[test]
    fn a_long_access_is_given_up_when_the_process_ends() {
        let shadow = Shadow::new();
        let clocks = clocks();
        let new = Access::new(Kind::Write, 0, 1, 0, 0);
        let asked = std::cell::Cell::new(0);
        let is_ending = || asked.replace(asked.get() + 1) == 1;
        let all = (PAGE - 8, 1 << 31);
        shadow.access(all, new, &clocks[0], is_ending, |_, _| {});
        let later = [(1, Kind::Read, PAGE, 8), (1, Kind::Read, PAGE * 2, 8)];
        assert_eq!(races(&shadow, &clocks, &later), [(PAGE, Kind::Write)]);
    }

    #[test]
    fn many_readers_are_remembered() {
        let shadow = Shadow::new();
        let mut clock = Clock::default();
        for slot in 0..40 {
            let mut own = Clock::default();
            own.raise(slot, 1);
            let new = Access::new(Kind::Read, slot, 1, u32::from(slot), 0);
            shadow.access((8, 8), new, &own, || false, |_, _| panic!("reads race"));
            if slot != 17 {
                clock.raise(slot, 1);
            }
        }
        let mut met = Vec::new();
        let new = Access::new(Kind::Write, 50, 1, 0, 0);
        shadow.access((8, 8), new, &clock, || false, |_, old| met.push(old.slot));
        assert_eq!(met, [17]);
    }

    #[test]
    fn freed_bytes_are_found_even_in_order_until_they_are_cleared() {
        use Kind::{Free, Read, Write};
        let shadow = Shadow::new();
        let mut clocks = clocks();
        clocks[1].raise(0, 1);
        let used = [(0, Write, 16, 8), (0, Free, 16, 24), (1, Read, 32, 4)];
        assert_eq!(races(&shadow, &clocks, &used), [(32, Free)]);
        shadow.clear(16, 24);
        assert_eq!(races(&shadow, &clocks, &[(1, Write, 24, 4)]), []);
    }
}
