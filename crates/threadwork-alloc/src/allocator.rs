//! The global allocator: one arena for the program, and a heap for each thread.
//!
//! # The life of a thread
//!
//! A thread has no heap until it allocates: until then it uses [`NOBODY`], which never has
//! a block ready and owns none. Then it takes a heap from the arena, and asks std
//! to drop its [`Guard`] when it ends, which takes the heap back. What the thread allocates
//! after that, in the destructors of other thread-locals, it takes from a heap that
//! it borrows each time; what it frees goes to the owners' inboxes, as anybody's does.
//!
//! Nothing rests on the guard being dropped but that the heap is used again: a thread
//! that ends without it (a C thread where std does not notice) leaves a heap behind, whose
//! blocks are as good as before.
//!
//! Registering the guard may allocate. The thread has its heap by then, so this ends.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::NonNull;
use std::alloc::System;
use std::thread_local;

use crate::arena::Arena;
use crate::block::Block;
use crate::class::Class;
use crate::heap::{Heap, HeapRef};
use crate::operations::{self, Front};
use crate::stats::Stats;

static ARENA: Arena<System> = Arena::new(System);

/// What stands for the heap of a thread that has none yet.
static NOBODY: NoHeap = NoHeap(Heap::new());

/// What stands for the heap of a thread that has left it.
static ENDED: NoHeap = NoHeap(Heap::new());

struct NoHeap(Heap);

// SAFETY: nobody changes it: it is only asked for blocks that are ready, and has none.
unsafe impl Sync for NoHeap {}

impl NoHeap {
    const fn heap(&'static self) -> HeapRef {
        // SAFETY: it is there for ever.
        unsafe { HeapRef::new(NonNull::from_ref(&self.0)) }
    }
}

thread_local! {
    static HEAP: Cell<HeapRef> = const { Cell::new(NOBODY.heap()) };
    static GUARD: Guard = const { Guard };
}

/// A process that forks has one thread in the child. If another one had the arena's lock at
/// that moment, nobody would ever free it there. So who forks takes the lock before, and
/// parent and child free it afterwards, as the system's own allocator does it.
#[cfg(unix)]
mod fork {
    use core::sync::atomic::{AtomicBool, Ordering};

    use super::ARENA;

    static IS_PREPARED: AtomicBool = AtomicBool::new(false);

    /// Asks the system to be called at each fork. Before the first thread has a heap, and so
    /// before another one can hold the lock.
    pub(super) fn prepare() {
        // Ordering: Relaxed; only to ask once.
        if !IS_PREPARED.load(Ordering::Relaxed) && !IS_PREPARED.swap(true, Ordering::Relaxed) {
            // SAFETY: the functions may be called at any time, in this order. It fails only
            // without memory; then forks are as dangerous as without it.
            unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        }
    }

    extern "C" fn before() {
        ARENA.pause();
    }

    extern "C" fn in_parent() {
        // SAFETY: `before` has paused it.
        unsafe { ARENA.resume() };
    }

    extern "C" fn in_child() {
        // SAFETY: the child has one thread, the copy of the one in which `before` ran.
        unsafe { ARENA.resume_alone() };
    }
}

/// Dropped when the thread ends.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        let heap = HEAP.replace(ENDED.heap());
        heap.tidy(&ARENA);
        ARENA.leave(heap);
    }
}

/// The global allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: threadwork_alloc::Allocator = threadwork_alloc::Allocator::new();
///
/// # fn main() {
/// let numbers: Vec<u64> = (0..1000).collect();
/// assert_eq!(numbers.iter().sum::<u64>(), 499_500);
/// # }
/// ```
///
/// It has no state of its own: any two of them are the same allocator. Blocks of up to
/// 32 KiB come from the calling thread's heap, without a lock or an atomic operation; larger
/// ones from std's [`System`]. Any thread may free any block.
///
/// Without memory it returns null, and so `try_reserve` an error. (The memory of one class
/// is not made into another's while a block of it is in use, so this may come when
/// there is still some.)
///
/// Needs `std`, for thread-local storage. On wasm32-wasip1-threads and on all native hosts.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Allocator;

impl Allocator {
    /// The allocator.
    #[must_use]
    pub const fn new() -> Self {
        Allocator
    }

    /// What the allocator weighs; the calling thread's part of it exactly. Waits for a
    /// lock, but never for long.
    #[must_use]
    pub fn stats(&self) -> Stats {
        ARENA.stats(Some(HEAP.get()))
    }
}

impl Front for Allocator {
    type Backend = System;

    #[inline]
    fn arena(&self) -> &Arena<System> {
        &ARENA
    }

    #[inline]
    fn heap(&self) -> HeapRef {
        HEAP.get()
    }

    #[cold]
    fn pop_slowly(&self, class: Class) -> Option<Block> {
        let mut heap = HEAP.get();
        if heap == ENDED.heap() {
            let borrowed = ARENA.adopt()?;
            let block = borrowed.pop(class);
            let block = block.or_else(|| borrowed.pop_slowly(&ARENA, class));
            ARENA.leave(borrowed);
            return block;
        }
        if heap == NOBODY.heap() {
            #[cfg(unix)]
            fork::prepare();
            heap = ARENA.adopt()?;
            HEAP.set(heap);
            // An error would say that the guard has been dropped; then the heap would be
            // `ENDED`.
            let _ = GUARD.try_with(|_| ());
            if let Some(block) = heap.pop(class) {
                return Some(block);
            }
        }
        heap.pop_slowly(&ARENA, class)
    }
}

// SAFETY: a block is nobody else's until it is given back, has at least the size and the
// alignment of its layout, and nothing unwinds.
unsafe impl GlobalAlloc for Allocator {
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
