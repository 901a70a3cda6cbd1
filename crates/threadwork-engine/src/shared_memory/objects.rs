//! An allocator for the host's objects, in pages of a guest's memory that the guest's own
//! allocator never touches.
//!
//! Allocators of guests get their pages by `memory.grow`, and take what they did not get
//! from it for somebody else's. So the host grows the memory itself, and what it gets is
//! its own, as is what it made larger in the beginning than the module declares. (A module
//! by hand must leave alone what it neither declares nor grows.)
//!
//! What is free and what is used is kept here and not in the memory, so that no guest
//! can damage it. The smallest free block that fits is taken, and free neighbours become
//! one.
//!
//! Invariant: free blocks and allocated ones do not overlap, all lie in pages that this
//! allocator grew, and no two free blocks touch.

use super::{MemoryError, SharedMemory};
use crate::arena::Arena;
use crate::limits::PAGE;
use crate::memory::{Integer, Rmw};
use crate::worker::lock;
use std::alloc::Layout;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use threadwork_sync::CachePadded;

/// The smallest unit: what the primitives are aligned to.
const GRAIN: u64 = 16;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Objects(Mutex<Free>);

#[derive(Default)]
struct Free {
    /// Sizes by offset.
    blocks: BTreeMap<u64, u64>,
    /// The same as (size, offset).
    by_size: BTreeSet<(u64, u64)>,
}

impl Free {
    /// Takes the smallest block that has room for it.
    fn take(&mut self, size: u64, alignment: u64) -> Option<u64> {
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
    fn give(&mut self, mut offset: u64, mut size: u64) {
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

impl Arena {
    /// What the first memory has past `declared` bytes, which is all that its module asks
    /// for, is the host's.
    pub(crate) fn own_from(&self, declared: u64) {
        let end = self.memories()[0].len();
        lock(&self.objects().0).give(declared, end - declared);
    }

    /// Bytes of the host's own in the first memory, which grows if there are not enough.
    pub(crate) fn allocate(&self, size: u64, alignment: u64) -> Option<u64> {
        let alignment = alignment.max(GRAIN);
        let mut free = lock(&self.objects().0);
        free.take(size, alignment).or_else(|| {
            // Pages are aligned to their size, and more than that is rare.
            let room = size.checked_add(alignment.saturating_sub(PAGE))?;
            let pages = room.div_ceil(PAGE);
            let before = self.grow(&self.memories()[0], pages)?;
            free.give(before * PAGE, pages * PAGE);
            free.take(size, alignment)
        })
    }
}

/// Bytes in a [`SharedMemory`] that belong to the host, until it is dropped. Guests are
/// told the offset, and must not use them afterwards.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// use std::alloc::Layout;
///
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 16)?;
/// let table = memory.allocate(Layout::new::<[u32; 100]>())?;
/// memory.store(table.offset() + 4 * 99, 7_u32)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Object {
    memory: SharedMemory,
    offset: u64,
    /// What the allocator gave: at least what was asked for.
    size: u64,
}

impl Object {
    /// Where it is.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The memory that it is in.
    #[must_use]
    pub fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// Never frees it, so that guests may use it for ever; returns where it is.
    pub fn leak(self) -> u64 {
        let offset = self.offset;
        std::mem::forget(self);
        offset
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        lock(&self.memory.arena.objects().0).give(self.offset, self.size);
    }
}

impl SharedMemory {
    /// Bytes of the host's own, all zero, in pages that the guest's allocator never
    /// touches. The memory grows when there are none left.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`].
    pub fn allocate(&self, layout: Layout) -> Result<Object, MemoryError> {
        let size = (layout.size() as u64).max(1).next_multiple_of(GRAIN);
        let offset = self.arena.allocate(size, layout.align() as u64);
        let offset = offset.ok_or_else(|| MemoryError::Full {
            size: self.size(),
            pages: size.div_ceil(PAGE),
        })?;
        let object = Object {
            memory: self.clone(),
            offset,
            size,
        };
        self.fill(offset, size, 0)?;
        Ok(object)
    }

    /// An integer with cache lines of its own, which no other thread's words are on: 128
    /// bytes, aligned to as many.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Full`].
    pub fn cache_aligned<T: Integer>(&self, value: T) -> Result<CacheAligned<T>, MemoryError> {
        let object = self.allocate(Layout::new::<CachePadded<T>>())?;
        self.store(object.offset, value)?;
        Ok(CacheAligned {
            object: Arc::new(object),
            _integer: PhantomData,
        })
    }
}

/// An atomic integer in a [`SharedMemory`] on cache lines of its own. Cheap to clone: a
/// handle; the last one frees it.
///
/// ```
/// # use threadwork_engine::{Engine, SharedMemory};
/// # fn main() -> anyhow::Result<()> {
/// # let memory = SharedMemory::new(&Engine::new()?, 1, 16)?;
/// let counter = memory.cache_aligned(0_u64)?;
/// assert_eq!(counter.offset() % 128, 0);
/// assert_eq!(counter.add(2), 0);
/// assert_eq!(counter.load(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CacheAligned<T> {
    object: Arc<Object>,
    _integer: PhantomData<T>,
}

impl<T> Clone for CacheAligned<T> {
    fn clone(&self) -> Self {
        Self {
            object: Arc::clone(&self.object),
            _integer: PhantomData,
        }
    }
}

impl<T: Integer> CacheAligned<T> {
    /// Where it is, for guests.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.object.offset
    }

    /// Reads it.
    #[must_use]
    pub fn load(&self) -> T {
        T::atomic_load(self.word())
    }

    /// Writes it.
    pub fn store(&self, value: T) {
        T::atomic_store(self.word(), value);
    }

    /// Adds to it, wrapping; returns what it was.
    pub fn add(&self, value: T) -> T {
        T::atomic_rmw(self.word(), Rmw::Add, value)
    }

    /// Subtracts from it, wrapping; returns what it was.
    pub fn sub(&self, value: T) -> T {
        T::atomic_rmw(self.word(), Rmw::Sub, value)
    }

    /// Keeps the bits that `value` has, too; returns what it was.
    pub fn and(&self, value: T) -> T {
        T::atomic_rmw(self.word(), Rmw::And, value)
    }

    /// Sets the bits that `value` has; returns what it was.
    pub fn or(&self, value: T) -> T {
        T::atomic_rmw(self.word(), Rmw::Or, value)
    }

    /// Flips the bits that `value` has; returns what it was.
    pub fn xor(&self, value: T) -> T {
        T::atomic_rmw(self.word(), Rmw::Xor, value)
    }

    /// Replaces it; returns what it was.
    pub fn exchange(&self, value: T) -> T {
        T::atomic_rmw(self.word(), Rmw::Exchange, value)
    }

    /// Replaces it by `new` if it is `current`; returns what it was, as `Ok` if it was
    /// replaced.
    ///
    /// # Errors
    ///
    /// What it was, if that is not `current`.
    pub fn compare_exchange(&self, current: T, new: T) -> Result<T, T> {
        T::atomic_compare_exchange(self.word(), current, new)
    }

    fn word(&self) -> &T::Atomic {
        let word = self.object.memory.word::<T>(self.object.offset);
        word.unwrap_or_else(|_| unreachable!("an object is aligned, and a memory never shrinks"))
    }
}
