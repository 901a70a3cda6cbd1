//! What the heaps share: the segments, and the heaps that wait for a thread.
//!
//! One lock guards it. A heap comes here for a slab, which is some hundred blocks, and
//! with one that is empty; a thread when it begins and ends. Nothing is called under the
//! lock but the lists' own code: neither the backend nor a heap.
//!
//! # Memory is used again before more is taken
//!
//! The inbox of a heap without a thread may have blocks that were the last of their slabs.
//! Before the arena asks the backend for a segment, it looks after such heaps, one
//! at a time. Each is out of reach meanwhile, and a thread that begins may need a
//! new heap instead. So there are never more heaps than twice as many as there were
//! threads at one time.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use threadwork_sync::RawMutex;

use crate::heap::{Heap, HeapRef, Slabs};
use crate::port::Port;
use crate::primitive::{AtomicUsize, UnsafeCell, const_fn};
use crate::segment::{METADATA, Owner, SegmentRef};
use crate::slab::SlabRef;
use crate::stats::Stats;
use crate::units::{SEGMENT, UNIT, WHOLE};

/// Segments by the largest slab that could be taken: none, or one of an order up to
/// `WHOLE`.
const LISTS: usize = WHOLE as usize + 2;

/// What all heaps of one backend share.
pub(crate) struct Arena<B: GlobalAlloc> {
    backend: B,
    lock: RawMutex,
    shared: UnsafeCell<Shared>,
    /// Bytes in blocks that came from the backend itself.
    large: AtomicUsize,
}

// SAFETY: `shared` is only used under the lock, and what it leads to is not bound to a
// thread.
unsafe impl<B: GlobalAlloc + Sync> Sync for Arena<B> {}
// SAFETY: as above.
unsafe impl<B: GlobalAlloc + Send> Send for Arena<B> {}

/// What the lock guards.
struct Shared {
    segments: [Cell<Option<SegmentRef>>; LISTS],
    /// All heaps.
    heaps: Cell<Option<HeapRef>>,
    /// Those without a thread, the last one first.
    idle: Cell<Option<HeapRef>>,
}

impl<B: GlobalAlloc> Arena<B> {
    const_fn! {
        pub(crate) fn new(backend: B) -> Self {
            Arena {
                backend,
                lock: RawMutex::new(),
                shared: UnsafeCell::new(Shared {
                    segments: [const { Cell::new(None) }; LISTS],
                    heaps: Cell::new(None),
                    idle: Cell::new(None),
                }),
                large: AtomicUsize::new(0),
            }
        }
    }

    fn with<T>(&self, body: impl FnOnce(&Shared) -> T) -> T {
        self.lock.lock_with(&Port);
        // SAFETY: the lock is held, so nobody else uses it.
        let result = self.shared.with_mut(|shared| body(unsafe { &*shared }));
        // SAFETY: locked above.
        unsafe { self.lock.unlock_with(&Port) };
        result
    }

    /// Keeps all other threads out until [`resume`](Self::resume): in a process that forks
    /// now, nobody has the lock who is not there.
    #[cfg(all(unix, feature = "std", not(loom)))]
    pub(crate) fn pause(&self) {
        self.lock.lock_with(&Port);
    }

    /// # Safety
    ///
    /// The caller has paused it.
    #[cfg(all(unix, feature = "std", not(loom)))]
    pub(crate) unsafe fn resume(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock_with(&Port) };
    }

    /// Frees the lock in the child, and forgets who waits for it in the parent: one that is
    /// starving there would keep everybody out for ever.
    ///
    /// # Safety
    ///
    /// The caller is the only thread, and was forked by the thread that had paused it.
    #[cfg(all(unix, feature = "std", not(loom)))]
    pub(crate) unsafe fn resume_alone(&self) {
        let lock = (&raw const self.lock).cast_mut();
        // SAFETY: nobody else uses the lock, which is an atomic and so may be written
        // through a shared reference.
        unsafe { lock.write(RawMutex::new()) };
    }

    /// A slab of a new segment.
    fn take_new(&self, order: u32, owner: Owner) -> Option<SlabRef> {
        let segment = SegmentRef::allocate(&self.backend)?;
        self.with(|shared| {
            shared.insert(segment);
            shared.take(order, owner)
        })
    }

    /// Takes home what was freed for a heap without a thread. False if there is no such heap.
    fn collect_idle_heap(&self) -> bool {
        let heap = self.with(|shared| shared.adopt_if(HeapRef::has_remote_frees));
        if let Some(heap) = heap {
            heap.tidy(self);
            self.leave(heap);
        }
        heap.is_some()
    }

    /// A heap for a thread: one that waits, or a new one. `None` if there is no memory.
    pub(crate) fn adopt(&self) -> Option<HeapRef> {
        if let Some(heap) = self.with(|shared| shared.adopt_if(|_| true)) {
            return Some(heap);
        }
        let layout = Layout::new::<Heap>();
        // SAFETY: a heap has a size.
        let memory = NonNull::new(unsafe { self.backend.alloc(layout) })?.cast::<Heap>();
        // SAFETY: it is large enough, aligned, and ours.
        unsafe { memory.write(Heap::new()) };
        // SAFETY: heaps go back to the backend when the arena is dropped.
        let heap = unsafe { HeapRef::new(memory) };
        self.with(|shared| {
            heap.listed.next.set(shared.heaps.replace(Some(heap)));
        });
        Some(heap)
    }

    /// Takes a heap back whose thread does not need it any more.
    pub(crate) fn leave(&self, heap: HeapRef) {
        self.with(|shared| shared.leave(heap));
    }

    /// Counts everything. What `own` and the heaps without a thread have in use is known
    /// exactly; of the others only the slabs are.
    pub(crate) fn stats(&self, own: Option<HeapRef>) -> Stats {
        if let Some(own) = own {
            own.collect(self);
        }
        while self.collect_idle_heap() {}
        // Ordering: Relaxed; the answer may be old when it arrives.
        let large = self.large.load(Ordering::Relaxed);
        self.with(|shared| {
            let mut stats = Stats {
                large,
                ..Stats::default()
            };
            for segment in shared.all_segments() {
                stats.reserved += SEGMENT;
                stats.metadata += METADATA;
                stats.unused += segment.free_units() * UNIT;
                for (slab, units, owner) in segment.slabs() {
                    // SAFETY: these are taken, under the lock, which only heaps do.
                    let owner = unsafe { HeapRef::of(owner) };
                    if Some(owner) == own || owner.listed.is_idle.get() {
                        stats.used += owner.live(slab) * slab.class().size();
                    } else {
                        stats.others += units * UNIT;
                    }
                }
            }
            for heap in shared.all_heaps() {
                stats.reserved += size_of::<Heap>();
                stats.metadata += size_of::<Heap>();
                stats.heaps += 1;
                stats.idle += usize::from(heap.listed.is_idle.get());
            }
            stats
        })
    }

    /// A block from the backend itself. Null if there is no memory.
    ///
    /// # Safety
    ///
    /// The size is not zero.
    pub(crate) unsafe fn allocate_large(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.backend.alloc(layout) };
        self.count_large(block, layout.size());
        block
    }

    /// The same, of zeroes.
    ///
    /// # Safety
    ///
    /// As for `allocate_large`.
    pub(crate) unsafe fn allocate_large_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.backend.alloc_zeroed(layout) };
        self.count_large(block, layout.size());
        block
    }

    /// Gives it back.
    ///
    /// # Safety
    ///
    /// The block came from here, with this layout, and is used no more.
    pub(crate) unsafe fn deallocate_large(&self, block: *mut u8, layout: Layout) {
        // Ordering: Relaxed; only a count.
        self.large.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { self.backend.dealloc(block, layout) };
    }

    /// Changes its size, in place if the backend can. Null, and no change, if there is no
    /// memory.
    ///
    /// # Safety
    ///
    /// As for `deallocate_large` if this succeeds; the new size is not zero, and not too
    /// large for a layout.
    pub(crate) unsafe fn reallocate_large(
        &self,
        block: *mut u8,
        layout: Layout,
        size: usize,
    ) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.backend.realloc(block, layout, size) };
        if !block.is_null() {
            // Ordering: Relaxed; only a count.
            self.large.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        self.count_large(block, size);
        block
    }

    fn count_large(&self, block: *mut u8, size: usize) {
        if !block.is_null() {
            // Ordering: Relaxed; only a count.
            self.large.fetch_add(size, Ordering::Relaxed);
        }
    }
}

impl<B: GlobalAlloc> Slabs for Arena<B> {
    fn take(&self, order: u32, owner: Owner) -> Option<SlabRef> {
        loop {
            let slab = self.with(|shared| shared.take(order, owner));
            if slab.is_some() || !self.collect_idle_heap() {
                return slab.or_else(|| self.take_new(order, owner));
            }
        }
    }

    /// A segment that is whole goes back to the backend if there is another one.
    fn give(&self, slab: SlabRef) {
        if let Some(segment) = self.with(|shared| shared.give(slab)) {
            // SAFETY: it came from there, has no slab in use, and is in no list any more.
            unsafe { segment.deallocate(&self.backend) };
        }
    }
}

impl<B: GlobalAlloc> Drop for Arena<B> {
    /// Gives everything back. Nobody has a heap or a block any more: heaps borrow the
    /// arena, and blocks are no better than their allocator.
    fn drop(&mut self) {
        while let Some(segment) = self.with(Shared::forget_segment) {
            // SAFETY: it came from there, and nobody has anything of it.
            unsafe { segment.deallocate(&self.backend) };
        }
        while let Some(heap) = self.with(Shared::forget_heap) {
            let heap = heap.as_ptr();
            // SAFETY: `adopt` wrote it, and nobody has it.
            unsafe { heap.drop_in_place() };
            // SAFETY: `adopt` got it from there, with this layout.
            unsafe { self.backend.dealloc(heap.cast(), Layout::new::<Heap>()) };
        }
    }
}

impl Shared {
    fn take(&self, order: u32, owner: Owner) -> Option<SlabRef> {
        // The fullest segments first, so that the others may become whole.
        let lists = &self.segments[order as usize + 1..];
        let segment = lists.iter().find_map(Cell::get)?;
        self.change(segment, || segment.take(order, owner))
    }

    /// A segment that is not needed, if this makes one.
    fn give(&self, slab: SlabRef) -> Option<SegmentRef> {
        let segment = SegmentRef::of_slab(slab);
        self.change(segment, || segment.give(slab));
        let whole = &self.segments[LISTS - 1];
        let is_spare = whole.get() == Some(segment) && segment.next.get().is_some();
        is_spare.then(|| {
            self.remove(segment);
            segment
        })
    }

    /// Changes what is free of a segment.
    fn change<T>(&self, segment: SegmentRef, change: impl FnOnce() -> T) -> T {
        self.remove(segment);
        let result = change();
        self.insert(segment);
        result
    }

    fn list(&self, segment: SegmentRef) -> &Cell<Option<SegmentRef>> {
        &self.segments[segment.largest().map_or(0, |order| order as usize + 1)]
    }

    fn insert(&self, segment: SegmentRef) {
        let list = self.list(segment);
        let next = list.replace(Some(segment));
        segment.previous.set(None);
        segment.next.set(next);
        if let Some(next) = next {
            next.previous.set(Some(segment));
        }
    }

    fn remove(&self, segment: SegmentRef) {
        let (previous, next) = (segment.previous.get(), segment.next.get());
        match previous {
            Some(previous) => previous.next.set(next),
            None => self.list(segment).set(next),
        }
        if let Some(next) = next {
            next.previous.set(previous);
        }
    }

    /// A heap that waits.
    fn adopt_if(&self, fits: impl Fn(HeapRef) -> bool) -> Option<HeapRef> {
        let mut previous = None;
        let mut heap = self.idle.get()?;
        while !fits(heap) {
            previous = Some(heap);
            heap = heap.listed.next_idle.get()?;
        }
        let next = heap.listed.next_idle.take();
        match previous {
            Some(previous) => previous.listed.next_idle.set(next),
            None => self.idle.set(next),
        }
        heap.listed.is_idle.set(false);
        Some(heap)
    }

    fn leave(&self, heap: HeapRef) {
        heap.listed.is_idle.set(true);
        heap.listed.next_idle.set(self.idle.replace(Some(heap)));
    }

    fn forget_segment(&self) -> Option<SegmentRef> {
        let segment = self.all_segments().next()?;
        self.remove(segment);
        Some(segment)
    }

    fn forget_heap(&self) -> Option<HeapRef> {
        let heap = self.heaps.get()?;
        self.heaps.set(heap.listed.next.get());
        Some(heap)
    }

    fn all_heaps(&self) -> impl Iterator<Item = HeapRef> {
        core::iter::successors(self.heaps.get(), |heap| heap.listed.next.get())
    }

    fn all_segments(&self) -> impl Iterator<Item = SegmentRef> {
        let lists = self.segments.iter();
        lists.flat_map(|list| core::iter::successors(list.get(), |segment| segment.next.get()))
    }
}
