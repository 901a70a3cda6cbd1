//! A run of units that is cut into blocks of one class, for one heap.
//!
//! | the slab is | `live` with n blocks in use |
//! |---|---|
//! | what its heap takes blocks from | n + 1 |
//! | queued, since it may have a free block | n |
//! | full: all blocks are in use, and it is not queued | 1 |
//!
//! So whoever counts a block down to 0 has something to do, and nobody else has: the
//! first block of a full slab was freed, or the last one of a queued slab. Blocks in the
//! owner's inbox are in use.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::block::{Block, List};
use crate::class::Class;

/// How many bytes are made into blocks at a time: about a page, so that a slab touches no
/// more memory than it needs.
const BATCH_BYTES: usize = 4096;

/// How many blocks are at most.
const BATCH: usize = 64;

/// What there is to know about a slab. Only its heap uses it, and who takes it or gives it
/// back.
#[repr(C, align(64))]
pub(crate) struct Slab {
    /// Blocks to hand out.
    free: List,
    live: Cell<u32>,
    /// How many blocks it has, used or not.
    capacity: Cell<u32>,
    /// Memory at the end that has never been used, enough for so many blocks.
    fresh: Cell<NonNull<u8>>,
    uncut: Cell<u32>,
    class: Cell<Class>,
    is_full: Cell<bool>,
    pub(crate) previous: Cell<Option<SlabRef>>,
    pub(crate) next: Cell<Option<SlabRef>>,
}

impl Slab {
    /// No slab: it has no blocks, and never gets any.
    pub(crate) const fn new() -> Self {
        Slab {
            free: List::new(),
            live: Cell::new(0),
            capacity: Cell::new(0),
            fresh: Cell::new(NonNull::dangling()),
            uncut: Cell::new(0),
            class: Cell::new(Class::FIRST),
            is_full: Cell::new(false),
            previous: Cell::new(None),
            next: Cell::new(None),
        }
    }

    /// Hands out a block that is ready.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Block> {
        let block = self.free.pop()?;
        self.live.set(self.live.get() + 1);
        Some(block)
    }

    /// Takes a block back. True if `live` is 0 now, and so something is to be done.
    #[inline]
    #[must_use]
    pub(crate) fn push(&self, block: Block) -> bool {
        self.free.push(block);
        let live = self.live.get() - 1;
        self.live.set(live);
        live == 0
    }

    /// Makes some more blocks ready, in the order of their addresses. False if the
    /// memory has been used up.
    pub(crate) fn cut(&self) -> bool {
        let size = self.class.get().size();
        let count = (BATCH_BYTES / size).clamp(1, BATCH);
        let count = count.min(self.uncut.get() as usize);
        let fresh = self.fresh.get();
        for index in (0..count).rev() {
            // SAFETY: the slab's memory has room for `uncut` blocks from here on.
            let address = unsafe { fresh.add(index * size) };
            // SAFETY: this memory has never been a block.
            self.free.push(unsafe { Block::new(address) });
        }
        // SAFETY: as above; the end of the memory at most.
        self.fresh.set(unsafe { fresh.add(count * size) });
        self.uncut.set(self.uncut.get() - count as u32);
        count > 0
    }

    /// Blocks are taken from here from now on.
    pub(crate) fn begin(&self) {
        self.live.set(self.live.get() + 1);
    }

    /// No longer, and none is in use.
    pub(crate) fn end(&self) {
        debug_assert!(self.live.get() == 1);
        self.live.set(0);
    }

    /// No longer, since every block is in use.
    pub(crate) fn fill(&self) {
        debug_assert!(self.live.get() == self.capacity.get() + 1 && self.free.is_empty());
        self.live.set(1);
        self.is_full.set(true);
    }

    /// After `live` came down to 0: whether that was since the slab was full. It is not any
    /// more.
    pub(crate) fn unfill(&self) -> bool {
        let was_full = self.is_full.replace(false);
        if was_full {
            self.live.set(self.capacity.get() - 1);
        }
        was_full
    }

    /// The count of the table above.
    pub(crate) fn live(&self) -> u32 {
        self.live.get()
    }

    /// If the slab is full, how many blocks it has.
    pub(crate) fn full(&self) -> Option<u32> {
        self.is_full.get().then(|| self.capacity.get())
    }

    pub(crate) fn class(&self) -> Class {
        self.class.get()
    }

    pub(crate) fn order(&self) -> u32 {
        self.class.get().order()
    }
}

/// A slab whose segment exists. Whoever has this has a right to it: its heap, who has
/// the lock of the arena, or who has taken it and not given it yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlabRef(NonNull<Slab>);

impl SlabRef {
    /// # Safety
    ///
    /// The slab is there for as long as copies of this are used.
    #[inline]
    pub(crate) const unsafe fn new(slab: NonNull<Slab>) -> Self {
        SlabRef(slab)
    }

    pub(crate) fn addr(self) -> usize {
        self.0.addr().get()
    }

    /// Makes what was taken from a segment a slab of this class, without a block in use.
    /// `memory` tells the slab's memory once it has its class: its first byte, with at least that
    /// alignment, and how many there are.
    pub(crate) fn open(self, class: Class, memory: impl FnOnce(usize) -> (NonNull<u8>, usize)) {
        let size = class.size();
        self.class.set(class);
        // What the alignment of a block may rest on.
        let align = 1 << size.trailing_zeros();
        let (memory, bytes) = memory(align);
        let capacity = (bytes / size) as u32;
        self.fresh.set(memory);
        self.uncut.set(capacity);
        self.capacity.set(capacity);
        self.previous.set(None);
        self.next.set(None);
    }

    /// Forgets all blocks, none of which is in use.
    pub(crate) fn close(self) {
        debug_assert!(self.live.get() == 0 && !self.is_full.get());
        self.free.clear();
        self.uncut.set(0);
    }
}

impl Deref for SlabRef {
    type Target = Slab;

    #[inline]
    fn deref(&self) -> &Slab {
        // SAFETY: it is there, as promised in `new`, and everything in it is in cells.
        unsafe { self.0.as_ref() }
    }
}

impl fmt::Debug for SlabRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slab").field(&self.0).finish()
    }
}
