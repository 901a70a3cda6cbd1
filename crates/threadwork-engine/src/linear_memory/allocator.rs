//! An allocator for the host's objects, in pages of a guest's memory that the guest's own
//! allocator never touches.
//!
//! Allocators of guests get their pages by `memory.grow`, and take what they did not get
//! from it for somebody else's; but what lies between two growths of their own they may
//! take for theirs: wasi-libc's does. So the host's pages are there before the guest's
//! first instruction: what it made the memory larger than the module declares. It grows
//! the memory later only where the guest has no way to. (A module by hand must leave alone
//! what it neither declares nor grows.)
//!
//! What is free and what is used is kept here and not in the memory, so that no guest
//! can damage it. The smallest free block that fits is taken, and free neighbours become
//! one.
//!
//! Invariant: free blocks and allocated ones do not overlap, all lie in pages that are
//! the host's, and no two free blocks touch.

use std::collections::{BTreeMap, BTreeSet};

/// The smallest unit: what the primitives are aligned to.
pub(crate) const GRAIN: u64 = 16;

/// What is free; see the module's documentation.
#[derive(Default)]
pub(super) struct Free {
    /// Sizes by offset.
    blocks: BTreeMap<u64, u64>,
    /// The same as (size, offset).
    by_size: BTreeSet<(u64, u64)>,
}

impl Free {
    /// Takes the smallest block that has room for it.
    pub(super) fn take(&mut self, size: u64, alignment: u64) -> Option<u64> {
        let mut candidates = self.by_size.range((size, 0)..);
        let (block, offset, start) = candidates.find_map(|&(block, offset)| {
            let start = offset.next_multiple_of(alignment);
            (start + size <= offset + block).then_some((block, offset, start))
        })?;
        self.remove(offset, block);
        self.insert(offset, start - offset);
        self.insert(start + size, offset + block - start - size);
        Some(start)
    }

    /// Gives a block back.
    pub(super) fn give(&mut self, mut offset: u64, mut size: u64) {
        let before = self.blocks.range(..offset).next_back();
        if let Some((&start, &length)) =
            before.filter(|(start, length)| **start + **length == offset)
        {
            self.remove(start, length);
            offset = start;
            size += length;
        }
        if let Some(&length) = self.blocks.get(&(offset + size)) {
            self.remove(offset + size, length);
            size += length;
        }
        self.insert(offset, size);
    }

    fn insert(&mut self, offset: u64, size: u64) {
        if size > 0 {
            self.blocks.insert(offset, size);
            self.by_size.insert((size, offset));
        }
    }

    fn remove(&mut self, offset: u64, size: u64) {
        self.blocks.remove(&offset);
        self.by_size.remove(&(size, offset));
    }
}
