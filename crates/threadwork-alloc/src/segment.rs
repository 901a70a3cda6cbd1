//! Large pieces of the backend's memory, which slabs are cut from.
//!
//! A segment is aligned to its size, so that the address of a block tells its segment. It
//! is divided into units; a slab is a run of `2^order` of them, aligned to its own size.
//! The segment begins with what there is to know about it and its slabs, and the slab
//! that has the first unit is so much smaller.
//!
//! ```text
//!  unit 0            1        2        3        4   ...                       31
//!  ┌────────┬───────┬────────┬────────┬────────┬────────┬────────┬────────┬────────┐
//!  │ header ┆ slab  │ slab   │ free   │ free   │ slab of order 2                   │
//!  └────────┴───────┴────────┴────────┴────────┴────────┴────────┴────────┴────────┘
//! ```
//!
//! # Who may touch what
//!
//! - `free` and the links: whoever has the lock of the [arena](crate::arena).
//! - A slab: the heap that has it, from when it is taken until it is given.
//! - `owners` and `heads`: written under the lock when a slab is taken, and read by whoever
//!   has a block of it. That block was handed out later, and the slab is only given
//!   back after all of its blocks. They are apart from the slabs, so that a thread
//!   that frees the blocks of others does not share cache lines with the owner's work.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use crate::block::Block;
use crate::primitive::Checked;
use crate::slab::{Slab, SlabRef};
use crate::units::{SEGMENT, UNIT, UNITS, WHOLE, locate};

/// What a segment leaves to the backend, which puts a header of its own before each
/// piece: without this, pieces that are aligned to their size would not fit side by side.
const TAIL: usize = 64;

/// What is asked from the backend.
const LAYOUT: Layout = match Layout::from_size_align(SEGMENT - TAIL, SEGMENT) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// The beginning of a segment.
#[repr(C)]
pub(crate) struct Segment {
    header: Header,
    /// Each at the place of its first unit.
    slabs: [Slab; UNITS],
}

/// What there is to know about the units.
pub(crate) struct Header {
    /// Whose the slab is that has the unit, once it has been in one.
    owners: [Checked<Option<Owner>>; UNITS],
    /// The first unit of that slab.
    heads: [Checked<u8>; UNITS],
    /// The units that are in no slab, one bit each.
    free: Cell<u32>,
    pub(crate) previous: Cell<Option<SegmentRef>>,
    pub(crate) next: Cell<Option<SegmentRef>>,
}

/// Whose a slab is: a pointer that is kept for the owner, and not followed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) NonNull<()>);

/// The bytes at the beginning of a segment that no slab has.
pub(crate) const METADATA: usize = size_of::<Segment>();

const _: () = assert!(METADATA < UNIT && UNITS == u32::BITS as usize);

/// A segment that the backend has given and not got back. Who has this sees to it.
///
/// The pointer is good for the whole segment, and exposed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentRef(NonNull<Segment>);

impl SegmentRef {
    /// A new segment, all of it free. `None` if the backend has no memory.
    pub(crate) fn allocate(backend: &impl GlobalAlloc) -> Option<Self> {
        // SAFETY: the size is not zero.
        let segment: NonNull<Segment> = NonNull::new(unsafe { backend.alloc(LAYOUT) })?.cast();
        // So that `at` may find it.
        segment.as_ptr().expose_provenance();
        let beginning = Segment {
            header: Header {
                owners: core::array::from_fn(|_| Checked::new(None)),
                heads: core::array::from_fn(|_| Checked::new(0)),
                free: Cell::new(u32::MAX),
                previous: Cell::new(None),
                next: Cell::new(None),
            },
            slabs: [const { Slab::new() }; UNITS],
        };
        // SAFETY: it is large enough, aligned to much more, and ours.
        unsafe { segment.write(beginning) };
        Some(SegmentRef(segment))
    }

    /// Gives the segment back.
    ///
    /// # Safety
    ///
    /// It came from this backend, and nobody has or makes a reference to it, to a slab or
    /// a block of it.
    pub(crate) unsafe fn deallocate(self, backend: &impl GlobalAlloc) {
        // SAFETY: `allocate` got it with this layout; the caller's promise.
        unsafe { backend.dealloc(self.0.as_ptr().cast(), LAYOUT) };
    }

    /// The segment that begins at this address.
    ///
    /// Goes through the pointer that was exposed in `allocate`, and not the one that the
    /// address is from. That may be a `Box`' pointer, which the compiler takes to lead to
    /// the contents of the `Box` alone.
    ///
    /// # Safety
    ///
    /// There is one.
    #[inline]
    unsafe fn at(address: usize) -> Self {
        let segment = ptr::with_exposed_provenance_mut(address);
        // SAFETY: no segment is at address zero.
        SegmentRef(unsafe { NonNull::new_unchecked(segment) })
    }

    /// Where a block is: its segment, and its unit there.
    ///
    /// # Safety
    ///
    /// The address is that of a block of a slab.
    #[inline]
    pub(crate) unsafe fn locate(block: usize) -> (Self, usize) {
        let (segment, unit) = locate(block);
        // SAFETY: slabs are in segments.
        (unsafe { Self::at(segment) }, unit)
    }

    /// Where an unused block is.
    #[inline]
    pub(crate) fn of_block(block: &Block) -> (Self, usize) {
        // SAFETY: that is what a block is.
        unsafe { Self::locate(block.addr()) }
    }

    /// The segment of a slab.
    pub(crate) fn of_slab(slab: SlabRef) -> Self {
        // SAFETY: slabs are in segments.
        unsafe { Self::at(locate(slab.addr()).0) }
    }

    /// Whose the slab is that has this unit.
    #[inline]
    pub(crate) fn owner(self, unit: usize) -> Option<Owner> {
        self.owners[unit % UNITS].get()
    }

    /// The slab that has this unit.
    #[inline]
    pub(crate) fn slab_at(self, unit: usize) -> SlabRef {
        self.slab(usize::from(self.heads[unit % UNITS].get()))
    }

    #[inline]
    fn slab(self, unit: usize) -> SlabRef {
        // SAFETY: the segment is there. No reference is made.
        let slabs = unsafe { &raw mut (*self.0.as_ptr()).slabs };
        // SAFETY: within the array.
        let slab = unsafe { slabs.cast::<Slab>().add(unit % UNITS) };
        // SAFETY: a part of a segment is not at address zero.
        let slab = unsafe { NonNull::new_unchecked(slab) };
        // SAFETY: it is there as long as the segment.
        unsafe { SlabRef::new(slab) }
    }

    fn unit_of(self, slab: SlabRef) -> usize {
        (slab.addr() - self.slab(0).addr()) / size_of::<Slab>()
    }

    /// Takes a free run of `2^order` units for somebody. `None` if there is none.
    pub(crate) fn take(self, order: u32, owner: Owner) -> Option<SlabRef> {
        let run = runs(self.free.get(), order);
        if run == 0 {
            return None;
        }
        let head = run.trailing_zeros();
        self.free.set(self.free.get() & !units(head, order));
        for unit in head..head + (1 << order) {
            self.heads[unit as usize].set(head as u8);
            self.owners[unit as usize].set(Some(owner));
        }
        Some(self.slab(head as usize))
    }

    /// Makes the units of a slab free.
    pub(crate) fn give(self, slab: SlabRef) {
        let head = self.unit_of(slab) as u32;
        self.free.set(self.free.get() | units(head, slab.order()));
    }

    /// The order of the largest slab that could be taken; `None` if none could.
    pub(crate) fn largest(self) -> Option<u32> {
        (0..=WHOLE)
            .rev()
            .find(|order| runs(self.free.get(), *order) != 0)
    }

    /// How many units are free.
    pub(crate) fn free_units(self) -> usize {
        self.free.get().count_ones() as usize
    }

    /// The slabs that are taken: with the number of their units, and with their owners.
    pub(crate) fn slabs(self) -> impl Iterator<Item = (SlabRef, usize, Owner)> {
        let has = move |unit: usize, head: usize| {
            self.free.get() & (1 << unit) == 0 && usize::from(self.heads[unit].get()) == head
        };
        let heads = (0..UNITS).filter(move |head| has(*head, *head));
        heads.filter_map(move |head| {
            let units = (head..UNITS).take_while(|unit| has(*unit, head)).count();
            Some((self.slab(head), units, self.owners[head].get()?))
        })
    }

    /// The memory of a slab: its first byte, which is a multiple of `align`, and how many
    /// there are.
    pub(crate) fn memory(self, slab: SlabRef, align: usize) -> (NonNull<u8>, usize) {
        let unit = self.unit_of(slab);
        let start = (unit * UNIT).max(METADATA.next_multiple_of(align));
        let end = (unit + (1 << slab.order())) * UNIT;
        // SAFETY: within the segment, for which the pointer is good.
        let first = unsafe { self.0.cast::<u8>().add(start) };
        (first, end.min(SEGMENT - TAIL) - start)
    }
}

/// Where runs of `2^order` free units begin that are aligned to their size.
fn runs(free: u32, order: u32) -> u32 {
    const EVERY: [u32; WHOLE as usize + 1] =
        [!0, 0x5555_5555, 0x1111_1111, 0x0101_0101, 0x0001_0001, 1];
    let runs = (0..order).fold(free, |runs, step| runs & (runs >> (1 << step)));
    runs & EVERY[order as usize]
}

/// The bits of `2^order` units from `first` on.
fn units(first: u32, order: u32) -> u32 {
    (u32::MAX >> (u32::BITS - (1 << order))) << first
}

impl Deref for SegmentRef {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: it was written in `allocate`, is there as long as its references are
        // used, and everything in it is in cells.
        unsafe { &(*self.0.as_ptr()).header }
    }
}

impl fmt::Debug for SegmentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Segment").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_aligned_and_free() {
        let frees = [0, 1, 0x8000_0000, 0xffff_0000, 0x00ff_ff00, !0, 0xdead_beef];
        for (free, order) in frees
            .into_iter()
            .flat_map(|f| (0..=WHOLE).map(move |o| (f, o)))
        {
            for first in 0..UNITS as u32 {
                let fits =
                    first % (1 << order) == 0 && free & units(first, order) == units(first, order);
                assert_eq!(
                    runs(free, order) & (1 << first) != 0,
                    fits,
                    "{free:x} {order} {first}"
                );
            }
        }
    }
}
