//! [`Object`]: bytes of the host's own in a guest's memory, in pages that the guest's
//! allocator never touches.

use super::memory::{MemoryError, SharedMemory};
use crate::limits::PAGE;
use crate::linear_memory::{GRAIN, Integer, NoRoom, Rmw};
use std::alloc::Layout;
use std::marker::PhantomData;
use std::sync::Arc;
use threadwork_sync::CachePadded;

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
        self.memory.arena().deallocate(self.offset, self.size);
    }
}

impl SharedMemory {
    /// Bytes of the host's own, all zero, in pages that the guest's allocator never
    /// touches: of those that were reserved before the program's first instruction
    /// ([`ProcessBuilder::host_memory`](crate::ProcessBuilder::host_memory),
    /// [`RuntimeConfig::memory_size`](crate::RuntimeConfig::memory_size)). When there are
    /// none left, the memory grows, unless the program itself can grow it: its allocator
    /// may take pages that appear between two of its own for its own.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Reserved`] if the memory cannot grow for the host,
    /// [`MemoryError::Full`] if it cannot grow.
    pub fn allocate(&self, layout: Layout) -> Result<Object, MemoryError> {
        let size = (layout.size() as u64).max(1).next_multiple_of(GRAIN);
        let offset = self.arena().allocate(size, layout.align() as u64);
        let offset = offset.map_err(|error| match error {
            NoRoom::Full => MemoryError::Full {
                size: self.size(),
                pages: size.div_ceil(PAGE),
            },
            NoRoom::Reserved(reserved) => MemoryError::Reserved { size, reserved },
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
    /// As [`allocate`](Self::allocate).
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
