//! The four operations of an allocator, for whoever can tell the calling thread's heap.
//!
//! A layout says by itself where its block is from: from a slab, or, if it is too large for
//! one, from the backend. So no block has a header.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use crate::arena::Arena;
use crate::block::Block;
use crate::class::Class;
use crate::heap::{HeapRef, free, room};

/// Who knows the calling thread's heap.
pub(crate) trait Front {
    /// Where the memory is from.
    type Backend: GlobalAlloc;

    /// Where the heap is from.
    fn arena(&self) -> &Arena<Self::Backend>;

    /// The heap, or one that nobody has and that has nothing.
    fn heap(&self) -> HeapRef;

    /// A block where the heap has none ready. `None` if there is no memory.
    fn pop_slowly(&self, class: Class) -> Option<Block>;
}

/// A slab's block, by a pointer that is good for all of it: the one whose segment was exposed. A
/// block comes back by its user's, which may be a `Box`', good for its contents alone; whoever has
/// it next may want more.
#[inline]
fn whole(block: *mut u8) -> *mut u8 {
    ptr::with_exposed_provenance_mut(block.addr())
}

/// # Safety
///
/// As for `GlobalAlloc::alloc`.
#[inline]
pub(crate) unsafe fn alloc(front: &impl Front, layout: Layout) -> *mut u8 {
    match Class::of(layout) {
        Some(class) => {
            let ready = front.heap().pop(class);
            let block = ready.or_else(|| front.pop_slowly(class));
            block.map_or(ptr::null_mut(), |block| whole(block.address().as_ptr()))
        }
        // SAFETY: the caller's promise.
        None => unsafe { front.arena().allocate_large(layout) },
    }
}

/// # Safety
///
/// As for `GlobalAlloc::dealloc`.
#[inline]
pub(crate) unsafe fn dealloc(front: &impl Front, block: *mut u8, layout: Layout) {
    if Class::of(layout).is_some() {
        // SAFETY: a block is not null.
        let address = unsafe { NonNull::new_unchecked(block) };
        // SAFETY: `alloc` took it from a slab, since it had this layout; and the caller's
        // promise.
        unsafe { free(front.arena(), front.heap(), address) };
    } else {
        // SAFETY: `alloc` got it there; and the caller's promise.
        unsafe { front.arena().deallocate_large(block, layout) };
    }
}

/// # Safety
///
/// As for `GlobalAlloc::alloc_zeroed`.
#[inline]
pub(crate) unsafe fn alloc_zeroed(front: &impl Front, layout: Layout) -> *mut u8 {
    if Class::of(layout).is_none() {
        // The backend may know that its memory is fresh.
        // SAFETY: the caller's promise.
        return unsafe { front.arena().allocate_large_zeroed(layout) };
    }
    // SAFETY: the caller's promise.
    let block = unsafe { alloc(front, layout) };
    if !block.is_null() {
        // SAFETY: the block is that large.
        unsafe { block.write_bytes(0, layout.size()) };
    }
    block
}

/// In place if both sizes are large and the backend can, and if the block has room for the new
/// size, but not twice as much, unless there is no memory for another: to need less is no
/// reason to fail.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`.
pub(crate) unsafe fn realloc(
    front: &impl Front,
    block: *mut u8,
    layout: Layout,
    size: usize,
) -> *mut u8 {
    // SAFETY: the caller's promise.
    let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
    let mut fallback = ptr::null_mut();
    match (Class::of(layout), Class::of(wanted)) {
        (Some(_), Some(_)) => {
            // SAFETY: a block is not null.
            let address = unsafe { NonNull::new_unchecked(block) };
            // SAFETY: `alloc` took it from a slab; and the caller's promise.
            let room = unsafe { room(address) };
            if size <= room && size > room / 2 {
                return whole(block);
            }
            if size <= room {
                fallback = whole(block);
            }
        }
        // SAFETY: `alloc` got it there; and the caller's promise.
        (None, None) => return unsafe { front.arena().reallocate_large(block, layout, size) },
        _ => {}
    }
    // SAFETY: the caller's promise.
    let other = unsafe { alloc(front, wanted) };
    if other.is_null() {
        return fallback;
    }
    let common = layout.size().min(size);
    // SAFETY: both are that large, and a new block is apart from all others.
    unsafe { other.copy_from_nonoverlapping(block, common) };
    // SAFETY: the caller's promise.
    unsafe { dealloc(front, block, layout) };
    other
}
