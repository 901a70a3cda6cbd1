//! Heaps for those who bring their own threads and their own memory.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;

use crate::arena::Arena;
use crate::block::Block;
use crate::class::Class;
use crate::heap::HeapRef;
use crate::operations::{self, Front};
use crate::primitive::const_fn;
use crate::stats::Stats;

/// An allocator without thread-local storage: each thread has a [`LocalHeap`] of it.
///
/// This is [`Allocator`](crate::Allocator) for those who cannot have that one: programs
/// without `std`, with several allocators, or with memory of their own. The memory comes
/// from a backend, which any `GlobalAlloc` can be. It is asked for half a mebibyte at a
/// time, aligned to that, for all blocks of up to 32 KiB, and for each larger block.
///
/// When a pool is dropped, all its memory goes back to the backend: what is still in a
/// block is gone.
///
/// # Example
///
/// ```
/// use std::alloc::{GlobalAlloc, Layout, System};
/// use threadwork_alloc::Pool;
///
/// let pool = Pool::new(System);
/// let layout = Layout::new::<u64>();
/// let heap = pool.heap().expect("there is memory");
/// let block = unsafe { heap.alloc(layout) };
/// assert!(!block.is_null());
/// std::thread::scope(|scope| {
///     let heap = pool.heap().expect("there is memory");
///     let address = block.expose_provenance();
///     // Any heap of the pool takes it back.
///     scope.spawn(move || unsafe { heap.dealloc(std::ptr::with_exposed_provenance_mut(address), layout) });
/// });
/// ```
pub struct Pool<B: GlobalAlloc> {
    arena: Arena<B>,
}

impl<B: GlobalAlloc> Pool<B> {
    const_fn! {
        /// A pool that has no memory yet.
        #[must_use]
        pub fn new(backend: B) -> Self {
            Pool { arena: Arena::new(backend) }
        }
    }

    /// A heap for one thread: that of a thread that has ended, with its slabs, or a new
    /// one. `None` if the backend has no memory. Waits for a lock, but never for long.
    pub fn heap(&self) -> Option<LocalHeap<'_, B>> {
        Some(LocalHeap {
            arena: &self.arena,
            heap: self.arena.adopt()?,
        })
    }

    /// What the pool weighs. Waits for a lock, but never for long.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.arena.stats(None)
    }
}

impl<B: GlobalAlloc> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("stats", &self.stats())
            .finish()
    }
}

/// What one thread allocates from. Its blocks may be given back to any heap of the pool, and
/// outlive it.
///
/// Dropping it makes room for another thread, which gets the same heap.
///
/// It may be sent to another thread, but is one thread's at a time:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>() {}
/// share::<threadwork_alloc::LocalHeap<'static, std::alloc::System>>();
/// ```
pub struct LocalHeap<'p, B: GlobalAlloc> {
    arena: &'p Arena<B>,
    heap: HeapRef,
}

// SAFETY: a heap is not bound to a thread. Two must not use it at a time, and this is not
// `Sync`.
unsafe impl<B: GlobalAlloc + Sync> Send for LocalHeap<'_, B> {}

impl<B: GlobalAlloc> LocalHeap<'_, B> {
    /// What the pool weighs; this heap's part of it exactly. Waits for a lock, but never for
    /// long.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.arena.stats(Some(self.heap))
    }
}

impl<B: GlobalAlloc> Front for LocalHeap<'_, B> {
    type Backend = B;

    #[inline]
    fn arena(&self) -> &Arena<B> {
        self.arena
    }

    #[inline]
    fn heap(&self) -> HeapRef {
        self.heap
    }

    fn pop_slowly(&self, class: Class) -> Option<Block> {
        self.heap.pop_slowly(self.arena, class)
    }
}

// SAFETY: a block is nobody else's until it is given back, has at least the size and the
// alignment of its layout, and nothing unwinds.
unsafe impl<B: GlobalAlloc> GlobalAlloc for LocalHeap<'_, B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { operations::alloc(self, layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { operations::dealloc(self, block, layout) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { operations::alloc_zeroed(self, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { operations::realloc(self, block, layout, size) }
    }
}

impl<B: GlobalAlloc> Drop for LocalHeap<'_, B> {
    fn drop(&mut self) {
        self.heap.tidy(self.arena);
        self.arena.leave(self.heap);
    }
}

impl<B: GlobalAlloc> fmt::Debug for LocalHeap<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHeap").finish_non_exhaustive()
    }
}
