//! The bytes: where they lie, how they grow without moving, and how they are copied.
//!
//! The pages to begin with are one piece. Those that come later lie in segments of 1, 2,
//! 4, ... pages, made when the first page of each is needed. So a page never moves, the
//! segment of an offset is found by counting zeros, and no more than half of what was
//! added lies idle.
//!
//! Invariant: every page below `size` has its segment, which lives, and is accessed by
//! atomics alone, until the value is dropped. `size` is a multiple of a page and never
//! shrinks.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use threadwork_sync::Mutex;

use super::error::MemoryError;

/// The unit of growth, in bytes.
pub(super) const PAGE: usize = 64 * 1024;

/// 4 GiB.
pub(super) const MAX_PAGES: u32 = 1 << 16;

/// Segments of 2^0 to 2^16 pages hold all that there can be.
const SEGMENTS: usize = 17;

/// A cache line (see [`CachePadded`](threadwork_sync::CachePadded)): what is aligned in
/// the memory is aligned in fact.
const ALIGN: usize = 128;

pub(super) struct Segments {
    /// The pages to begin with.
    first: *mut u8,
    first_len: usize,
    /// Bytes now.
    size: AtomicUsize,
    /// The segments after the first; null until one is needed.
    grown: [AtomicPtr<u8>; SEGMENTS],
    max_pages: u32,
    /// Whoever grows has it. What is freed in the end.
    pieces: Mutex<Vec<Piece>>,
}

// SAFETY: the pointers are to memory that the value owns, whose bytes are accessed by
// atomics alone.
unsafe impl Send for Segments {}
// SAFETY: as above.
unsafe impl Sync for Segments {}

impl Segments {
    pub(super) fn new(min_pages: u32, max_pages: u32) -> Result<Self, MemoryError> {
        if min_pages > max_pages || max_pages > MAX_PAGES {
            return Err(MemoryError::Limits {
                min_pages,
                max_pages,
            });
        }
        let first_len = bytes(min_pages)?;
        let first = Piece::new(first_len)?;
        Ok(Segments {
            first: first.start,
            first_len,
            size: AtomicUsize::new(first_len),
            grown: Default::default(),
            max_pages,
            pieces: Mutex::new(vec![first]),
        })
    }

    pub(super) fn size(&self) -> usize {
        // Ordering: Acquire; pairs with the release in `grow`: whoever sees the size sees
        // the segments, and the zeros in them.
        self.size.load(Ordering::Acquire)
    }

    pub(super) fn max_pages(&self) -> u32 {
        self.max_pages
    }

    pub(super) fn grow(&self, delta: u32) -> Result<u32, MemoryError> {
        let mut pieces = self.pieces.lock();
        let pages = (self.size() / PAGE) as u32;
        let Some(grown) = pages
            .checked_add(delta)
            .filter(|grown| *grown <= self.max_pages)
        else {
            return Err(MemoryError::Maximum {
                pages,
                delta,
                max_pages: self.max_pages,
            });
        };
        let size = bytes(grown)?;
        if let Some(last) = (size - self.first_len).checked_sub(1) {
            for segment in 0..=Place::of(last).segment {
                self.provide(segment, &mut pieces)?;
            }
        }
        // Ordering: Release; pairs with the acquire in `size`.
        self.size.store(size, Ordering::Release);
        Ok(pages)
    }

    /// Makes a segment, if it is not there.
    fn provide(&self, segment: usize, pieces: &mut Vec<Piece>) -> Result<(), MemoryError> {
        let slot = &self.grown[segment];
        // Ordering: Relaxed; it was written under the lock that the caller has.
        if slot.load(Ordering::Relaxed).is_null() {
            let before = Place::start(segment) / PAGE + self.first_len / PAGE;
            let pages = (self.max_pages - before as u32).min(1 << segment);
            let piece = Piece::new(bytes(pages)?)?;
            // Ordering: Relaxed; the size that is stored afterwards publishes it.
            slot.store(piece.start, Ordering::Relaxed);
            pieces.push(piece);
        }
        Ok(())
    }

    /// Checks that all of the `len` bytes at `offset` are there. They stay.
    pub(super) fn check(&self, offset: usize, len: usize) -> Result<(), MemoryError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size() => Ok(()),
            _ => Err(self.outside(offset, len)),
        }
    }

    #[cold]
    fn outside(&self, offset: usize, len: usize) -> MemoryError {
        let size = self.size();
        MemoryError::OutOfBounds { offset, size, len }
    }

    /// The first of `len` bytes, all of which are there, and in one piece if they cross no
    /// page.
    #[inline]
    pub(super) fn at(&self, offset: usize, len: usize) -> Result<*mut u8, MemoryError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.first_len => Ok(self.first.wrapping_add(offset)),
            _ => match self.at_grown(offset, len) {
                Some(at) => Ok(at.as_ptr()),
                None => Err(self.outside(offset, len)),
            },
        }
    }

    #[inline(never)]
    fn at_grown(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        self.check(offset, len).ok()?;
        let (at, _) = self.locate(offset);
        // Of nothing, at the very end, there is no first.
        Some(NonNull::new(at).unwrap_or(NonNull::dangling()))
    }

    /// Where the byte at `offset`, which is there, lies, and how many follow it in one
    /// piece (or would, if the memory were large enough).
    #[inline]
    pub(super) fn locate(&self, offset: usize) -> (*mut u8, usize) {
        if offset < self.first_len {
            return (self.first.wrapping_add(offset), self.first_len - offset);
        }
        let place = Place::of(offset - self.first_len);
        // Ordering: Relaxed; whoever knows that the byte is there has seen the size, which
        // was stored afterwards.
        let start = self.grown[place.segment].load(Ordering::Relaxed);
        (start.wrapping_add(place.within), place.left)
    }

    /// Copies bytes out of the memory. `offset` and what follows was checked.
    pub(super) fn copy_out(&self, mut offset: usize, mut to: &mut [u8]) {
        while !to.is_empty() {
            let (from, run) = self.locate(offset);
            let (now, later) = to.split_at_mut(run.min(to.len()));
            load(from, now);
            offset += now.len();
            to = later;
        }
    }

    /// Copies bytes into the memory. `offset` and what follows was checked.
    pub(super) fn copy_in(&self, mut offset: usize, mut from: &[u8]) {
        while !from.is_empty() {
            let (to, run) = self.locate(offset);
            let (now, later) = from.split_at(run.min(from.len()));
            store(to, now);
            offset += now.len();
            from = later;
        }
    }
}

/// Where a byte after the first piece lies.
struct Place {
    segment: usize,
    within: usize,
    /// From it to the end of its segment.
    left: usize,
}

impl Place {
    #[inline]
    fn of(offset: usize) -> Self {
        let segment = (offset / PAGE + 1).ilog2() as usize;
        let within = offset - Self::start(segment);
        Place {
            segment,
            within,
            left: (PAGE << segment) - within,
        }
    }

    /// How many bytes lie in the segments before.
    #[inline]
    fn start(segment: usize) -> usize {
        ((1 << segment) - 1) * PAGE
    }
}

fn bytes(pages: u32) -> Result<usize, MemoryError> {
    let bytes = (pages as usize).checked_mul(PAGE);
    bytes.ok_or(MemoryError::OutOfMemory { bytes: usize::MAX })
}

/// Zeroed bytes of the allocator.
struct Piece {
    allocated: NonNull<u8>,
    layout: Layout,
    /// The first aligned one.
    start: *mut u8,
}

// SAFETY: it owns the allocation.
unsafe impl Send for Piece {}

impl Piece {
    /// The alignment is made by hand: an allocator that is asked for more than its own
    /// writes the zeros itself, and so touches all pages.
    fn new(len: usize) -> Result<Self, MemoryError> {
        let out_of_memory = MemoryError::OutOfMemory { bytes: len };
        let layout = len
            .checked_add(ALIGN)
            .and_then(|size| Layout::from_size_align(size, align_of::<u64>()).ok())
            .ok_or(out_of_memory)?;
        // SAFETY: the size is not zero.
        let allocated = unsafe { alloc_zeroed(layout) };
        let allocated = NonNull::new(allocated).ok_or(out_of_memory)?;
        let padding = allocated.addr().get().wrapping_neg() % ALIGN;
        Ok(Piece {
            allocated,
            layout,
            start: allocated.as_ptr().wrapping_add(padding),
        })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // The objects in it are not dropped, and so have leaked futures in the table of wakers.
        threadwork_sync::look_again(self.allocated.as_ptr(), self.layout.size());
        // SAFETY: it was allocated with this layout, and is freed once.
        unsafe { dealloc(self.allocated.as_ptr(), self.layout) };
    }
}

/// Reads a number: 1, 2, 4 or 8 bytes, aligned, at once.
///
/// `from` and what follows lies in one segment and was checked.
#[inline]
pub(super) fn load_word(from: *mut u8, to: &mut [u8]) {
    match to.len() {
        1 => to[0] = load8(from),
        2 => to.copy_from_slice(&load16(from).to_ne_bytes()),
        4 => to.copy_from_slice(&load32(from).to_ne_bytes()),
        _ => to.copy_from_slice(&load64(from).to_ne_bytes()),
    }
}

/// Writes a number, otherwise as [`load_word`].
#[inline]
pub(super) fn store_word(to: *mut u8, from: &[u8]) {
    match *from {
        [byte] => store8(to, byte),
        [a, b] => store16(to, u16::from_ne_bytes([a, b])),
        [a, b, c, d] => store32(to, u32::from_ne_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => store64(to, u64::from_ne_bytes([a, b, c, d, e, f, g, h])),
        _ => unreachable!("a number has 1, 2, 4 or 8 bytes"),
    }
}

/// Fills `to` from `from`, by loads of single words or bytes: whoever writes there
/// meanwhile is raced with, but not undefined.
///
/// `from` and what follows lies in one segment and was checked.
fn load(from: *mut u8, to: &mut [u8]) {
    let (head, body) = to.split_at_mut(before_words(from, to.len()));
    let mut next = from;
    for byte in head {
        *byte = load8(next);
        next = next.wrapping_add(1);
    }
    let (words, tail) = body.as_chunks_mut::<8>();
    for word in words {
        *word = load64(next).to_ne_bytes();
        next = next.wrapping_add(8);
    }
    for byte in tail {
        *byte = load8(next);
        next = next.wrapping_add(1);
    }
}

/// Writes `from` to `to`, otherwise as [`load`].
fn store(to: *mut u8, from: &[u8]) {
    let (head, body) = from.split_at(before_words(to, from.len()));
    let mut next = to;
    for byte in head {
        store8(next, *byte);
        next = next.wrapping_add(1);
    }
    let (words, tail) = body.as_chunks::<8>();
    for word in words {
        store64(next, u64::from_ne_bytes(*word));
        next = next.wrapping_add(8);
    }
    for byte in tail {
        store8(next, *byte);
        next = next.wrapping_add(1);
    }
}

/// How many of `len` bytes come before the first aligned word.
fn before_words(start: *mut u8, len: usize) -> usize {
    (start.addr().wrapping_neg() % 8).min(len)
}

macro_rules! relaxed {
    ($($load:ident $store:ident $type:ty, $atomic:ty;)*) => {$(
        #[inline]
        fn $load(from: *mut u8) -> $type {
            // SAFETY: the callers give aligned addresses of bytes that were checked, which
            // live as long as the `Segments` that they have a reference to, and which are
            // accessed by atomics alone.
            let word = unsafe { <$atomic>::from_ptr(from.cast()) };
            // Ordering: Relaxed; plain accesses promise no order.
            word.load(Ordering::Relaxed)
        }

        #[inline]
        fn $store(to: *mut u8, value: $type) {
            // SAFETY: as for the load.
            let word = unsafe { <$atomic>::from_ptr(to.cast()) };
            // Ordering: Relaxed, as for the load.
            word.store(value, Ordering::Relaxed);
        }
    )*};
}

relaxed! {
    load8 store8 u8, AtomicU8;
    load16 store16 u16, AtomicU16;
    load32 store32 u32, AtomicU32;
    load64 store64 u64, AtomicU64;
}

impl std::fmt::Debug for Segments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMemory")
            .field("size", &self.size())
            .field("max_pages", &self.max_pages)
            .finish_non_exhaustive()
    }
}
