//! What the chapters share.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use threadwork_alloc::Allocator;

pub(crate) static ALLOCATOR: Allocator = Allocator::new();

/// How often something repeats: by default, and with `THREADWORK_FULL`; less
/// without optimization, and hardly under Miri, which is a thousand times slower.
pub(crate) fn rounds(sample: usize, full: usize) -> usize {
    if cfg!(miri) {
        sample.div_ceil(500)
    } else if cfg!(debug_assertions) {
        sample.div_ceil(20)
    } else if std::env::var_os("THREADWORK_FULL").is_some() {
        full
    } else {
        sample
    }
}

/// Numbers that look random and are the same each time (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: usize) -> Self {
        Random((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound as u64) as usize
    }

    /// A size from 1 on: each power of two is as likely as the others, and the sizes near
    /// one are more likely than those between.
    pub(crate) fn size(&mut self, bits: u32) -> usize {
        let top = 1_usize << self.below(bits as usize);
        match self.below(4) {
            0 => top - self.below(2).min(top - 1),
            1 => top + 1,
            _ => top + self.below(top),
        }
    }

    pub(crate) fn layout(&mut self, bits: u32) -> Layout {
        let align = match self.below(8) {
            0..6 => 1 << self.below(5),
            6 => 1 << self.below(10),
            _ => 1 << self.below(17),
        };
        Layout::from_size_align(self.size(bits), align).unwrap()
    }
}

pub(crate) fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// A block that is in use, filled with a pattern of its own.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) block: NonNull<u8>,
    pub(crate) layout: Layout,
    seed: u8,
}

// SAFETY: whoever has it may use the block.
unsafe impl Send for Held {}

/// Where a block of this size is written and read: everywhere, if it is not too large.
fn places(size: usize) -> impl Iterator<Item = usize> {
    let (all, parts) = if cfg!(miri) { (8, 2) } else { (4096, 64) };
    let step = if size <= all { 1 } else { size / parts };
    let ends = (0..8).chain(size.saturating_sub(8)..size);
    (0..size)
        .step_by(step)
        .chain(ends.filter(move |at| *at < size))
}

impl Held {
    /// `None` if there is no memory.
    pub(crate) fn take(from: &impl GlobalAlloc, layout: Layout, seed: usize) -> Option<Held> {
        // SAFETY: no test asks for nothing.
        let block = NonNull::new(unsafe { from.alloc(layout) })?;
        Some(Held::filled(block, layout, seed))
    }

    /// The same, after looking whether it is zeroes.
    pub(crate) fn take_zeroed(
        from: &impl GlobalAlloc,
        layout: Layout,
        seed: usize,
    ) -> Option<Held> {
        // SAFETY: no test asks for nothing.
        let block = NonNull::new(unsafe { from.alloc_zeroed(layout) })?;
        for at in places(layout.size()) {
            // SAFETY: within the block.
            let place = unsafe { block.add(at) };
            // SAFETY: the block is initialized.
            assert_eq!(unsafe { place.read() }, 0, "at {at} of {layout:?}");
        }
        Some(Held::filled(block, layout, seed))
    }

    fn filled(block: NonNull<u8>, layout: Layout, seed: usize) -> Held {
        assert_eq!(block.addr().get() % layout.align(), 0, "{layout:?}");
        let held = Held {
            block,
            layout,
            seed: seed as u8,
        };
        held.fill(0);
        held
    }

    fn byte(&self, at: usize) -> u8 {
        self.seed.wrapping_add((at as u8).wrapping_mul(31))
    }

    fn fill(&self, from: usize) {
        for at in places(self.layout.size()).filter(|at| *at >= from) {
            // SAFETY: within the block.
            let place = unsafe { self.block.add(at) };
            // SAFETY: as above.
            unsafe { place.write(self.byte(at)) };
        }
    }

    /// Looks whether the block is still as it was filled.
    pub(crate) fn check(&self) {
        self.check_where(places(self.layout.size()));
    }

    fn check_where(&self, places: impl Iterator<Item = usize>) {
        for at in places {
            // SAFETY: within the block.
            let place = unsafe { self.block.add(at) };
            // SAFETY: `fill` wrote it.
            let byte = unsafe { place.read() };
            assert_eq!(byte, self.byte(at), "at {at} of {:?}", self.layout);
        }
    }

    /// False, and nothing has changed, if there is no memory.
    pub(crate) fn resize(&mut self, from: &impl GlobalAlloc, size: usize) -> bool {
        self.check();
        // SAFETY: the block is in use, with this layout, and no test makes it nothing.
        let block = unsafe { from.realloc(self.block.as_ptr(), self.layout, size) };
        let Some(block) = NonNull::new(block) else {
            self.check();
            return false;
        };
        let before = self.layout.size();
        self.block = block;
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        assert_eq!(
            block.addr().get() % self.layout.align(),
            0,
            "{:?}",
            self.layout
        );
        self.check_where(places(before).filter(|at| *at < size));
        // All places, since they are others for another size.
        self.fill(0);
        true
    }

    pub(crate) fn give(self, to: &impl GlobalAlloc) {
        self.check();
        // SAFETY: the block is in use, with this layout, and goes no further.
        unsafe { to.dealloc(self.block.as_ptr(), self.layout) };
    }

    pub(crate) fn address(&self) -> usize {
        self.block.addr().get()
    }
}

/// All blocks in use, by address: no two may overlap.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    ends: Mutex<BTreeMap<usize, usize>>,
}

impl Ledger {
    pub(crate) fn add(&self, held: &Held) {
        let (start, end) = (held.address(), held.address() + held.layout.size());
        let mut ends = self.ends.lock().unwrap();
        if let Some((other, other_end)) = ends.range(..end).next_back() {
            assert!(
                *other_end <= start,
                "{start:x}..{end:x} in {other:x}..{other_end:x}"
            );
        }
        ends.insert(start, end);
    }

    pub(crate) fn remove(&self, held: &Held) {
        self.ends.lock().unwrap().remove(&held.address()).unwrap();
    }
}

/// Std's allocator, as far as a budget goes. Counts what it has given and not got back, and
/// looks whether anybody has written behind it.
#[derive(Debug)]
pub(crate) struct Limited {
    limit: usize,
    given: AtomicUsize,
    calls: AtomicUsize,
}

/// Bytes behind each piece, and what is in them.
const FENCE: usize = 64;
const FENCE_BYTE: u8 = 0xfe;

impl Limited {
    pub(crate) const fn new(limit: usize) -> Self {
        Limited {
            limit,
            given: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
        }
    }

    /// How many bytes are given.
    pub(crate) fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }

    /// How often somebody has asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn with_fence(layout: Layout) -> Option<Layout> {
        Layout::from_size_align(layout.size() + FENCE, layout.align()).ok()
    }
}

// SAFETY: as the system's, but for a part of each piece.
unsafe impl GlobalAlloc for &Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Some(fenced) = Limited::with_fence(layout) else {
            return std::ptr::null_mut();
        };
        if self.given.fetch_add(layout.size(), Ordering::Relaxed) + layout.size() > self.limit {
            self.given.fetch_sub(layout.size(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        let piece = unsafe { System.alloc(fenced) };
        assert!(!piece.is_null());
        // SAFETY: within the piece.
        let fence = unsafe { piece.add(layout.size()) };
        // SAFETY: as above.
        unsafe { fence.write_bytes(FENCE_BYTE, FENCE) };
        piece
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        self.given.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: within the piece.
        let fence = unsafe { piece.add(layout.size()) };
        // SAFETY: `alloc` wrote it.
        let fence = unsafe { std::slice::from_raw_parts(fence, FENCE) };
        assert_eq!(
            fence, [FENCE_BYTE; FENCE],
            "somebody wrote behind {layout:?}"
        );
        // SAFETY: the caller's promise; `alloc` got it with this layout.
        unsafe { System.dealloc(piece, Limited::with_fence(layout).unwrap()) };
    }
}
