//! What one thread allocates from: its slabs, and an inbox for what others free.
//!
//! A heap belongs to one thread at a time, which uses everything in it but the inbox
//! without any synchronization. When the thread ends, the heap waits, with all its slabs,
//! for another thread to go on with it. Blocks find it all the time: a heap is never
//! given back to the backend before all of its blocks are.
//!
//! For each class a [`Bin`] has the slab that blocks are taken from, until none is left, and
//! a queue of others that may have some. A slab that is full is in neither. When a
//! block of it is freed, it queues at the back: so it will have more of them when its
//! turn comes.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use threadwork_sync::CachePadded;

use crate::block::{Block, Inbox};
use crate::class::{CLASSES, Class};
use crate::primitive::const_fn;
use crate::segment::{Owner, SegmentRef};
use crate::slab::{Slab, SlabRef};

/// Where a heap takes its slabs from, and leaves those that it does not need.
pub(crate) trait Slabs {
    /// A run of `2^order` units. `None` if there is no memory.
    fn take(&self, order: u32, owner: Owner) -> Option<SlabRef>;

    /// Takes a slab back, whose blocks are all unused.
    fn give(&self, slab: SlabRef);
}

/// The heap of one thread.
#[repr(C)]
pub(crate) struct Heap {
    bins: [Bin; CLASSES],
    /// For the arena, under its lock.
    pub(crate) listed: Listed,
    /// What others have freed: the only thing that they touch.
    inbox: CachePadded<Inbox>,
}

/// A heap's place in the lists of the arena.
pub(crate) struct Listed {
    /// The next one of all.
    pub(crate) next: Cell<Option<HeapRef>>,
    /// The next one that waits for a thread.
    pub(crate) next_idle: Cell<Option<HeapRef>>,
    pub(crate) is_idle: Cell<bool>,
}

/// The slabs of one class, but for those that are full.
struct Bin {
    /// What blocks are taken from; [`NONE`] if there is nothing.
    current: Cell<SlabRef>,
    /// The queue of the others.
    first: Cell<Option<SlabRef>>,
    last: Cell<Option<SlabRef>>,
}

/// What a bin without slabs takes blocks from. It has none, as any slab that is used up, so
/// that taking a block needs no check of its own for this.
static NONE: Nothing = Nothing(Slab::new());

const fn none() -> SlabRef {
    // SAFETY: it is there for ever.
    unsafe { SlabRef::new(NonNull::from_ref(&NONE.0)) }
}

struct Nothing(Slab);

// SAFETY: nobody changes it: blocks are only taken from it, in vain.
unsafe impl Sync for Nothing {}

impl Heap {
    const_fn! {
        pub(crate) fn new() -> Self {
            Heap {
                bins: [const { Bin::new() }; CLASSES],
                listed: Listed {
                    next: Cell::new(None),
                    next_idle: Cell::new(None),
                    is_idle: Cell::new(false),
                },
                inbox: CachePadded::new(Inbox::new()),
            }
        }
    }

    #[inline]
    fn bin(&self, class: Class) -> &Bin {
        // SAFETY: a class' index is below `CLASSES`.
        unsafe { self.bins.get_unchecked(class.index()) }
    }

    /// Takes a block that is ready.
    #[inline]
    pub(crate) fn pop(&self, class: Class) -> Option<Block> {
        self.bin(class).current.get().pop()
    }
}

impl Bin {
    const fn new() -> Self {
        Bin {
            current: Cell::new(none()),
            first: Cell::new(None),
            last: Cell::new(None),
        }
    }

    /// Takes blocks from this slab from now on.
    fn begin(&self, slab: SlabRef) {
        slab.begin();
        self.current.set(slab);
    }

    /// The slab that blocks are taken from, if there is one.
    fn current(&self) -> Option<SlabRef> {
        let current = self.current.get();
        (current != none()).then_some(current)
    }

    fn push(&self, slab: SlabRef) {
        let last = self.last.replace(Some(slab));
        slab.previous.set(last);
        slab.next.set(None);
        match last {
            Some(last) => last.next.set(Some(slab)),
            None => self.first.set(Some(slab)),
        }
    }

    fn remove(&self, slab: SlabRef) {
        let (previous, next) = (slab.previous.get(), slab.next.get());
        match previous {
            Some(previous) => previous.next.set(next),
            None => self.first.set(next),
        }
        match next {
            Some(next) => next.previous.set(previous),
            None => self.last.set(previous),
        }
    }

    fn pop(&self) -> Option<SlabRef> {
        let slab = self.first.get()?;
        self.remove(slab);
        Some(slab)
    }
}

/// A heap that an arena has made. It is there for as long as the arena, or any block that
/// came from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeapRef(NonNull<Heap>);

impl HeapRef {
    /// # Safety
    ///
    /// The heap is there for as long as copies of this are used.
    pub(crate) const unsafe fn new(heap: NonNull<Heap>) -> Self {
        HeapRef(heap)
    }

    pub(crate) fn as_ptr(self) -> *mut Heap {
        self.0.as_ptr()
    }

    /// What a segment knows this heap by.
    #[inline]
    fn owner(self) -> Owner {
        Owner(self.0.cast())
    }

    /// The heap that has a slab.
    ///
    /// # Safety
    ///
    /// The owner is that of a slab which a heap has taken and not given back.
    #[inline]
    pub(crate) unsafe fn of(owner: Owner) -> Self {
        HeapRef(owner.0.cast())
    }

    /// Takes a block where none is ready: collects what others have freed, goes on to
    /// memory that was not used yet, or to the next slab. `None` if there is no memory.
    #[cold]
    pub(crate) fn pop_slowly(self, arena: &impl Slabs, class: Class) -> Option<Block> {
        let bin = self.bin(class);
        loop {
            self.collect(arena);
            let Some(current) = bin.current() else {
                let next = bin.pop().or_else(|| self.open(arena, class))?;
                bin.begin(next);
                continue;
            };
            if let Some(block) = current.pop() {
                return Some(block);
            }
            if !current.cut() {
                bin.current.set(none());
                current.fill();
            }
        }
    }

    /// A new slab. Before it gives up, it gives back what it does not need, which may be
    /// what is missing.
    fn open(self, arena: &impl Slabs, class: Class) -> Option<SlabRef> {
        let slab = arena.take(class.order(), self.owner()).or_else(|| {
            self.tidy(arena);
            arena.take(class.order(), self.owner())
        })?;
        let segment = SegmentRef::of_slab(slab);
        slab.open(class, |align| segment.memory(slab, align));
        Some(slab)
    }

    /// Whether others have freed something.
    pub(crate) fn has_remote_frees(self) -> bool {
        !self.inbox.is_empty()
    }

    /// Takes home what others have freed.
    pub(crate) fn collect(self, arena: &impl Slabs) {
        if !self.has_remote_frees() {
            return;
        }
        let blocks = self.inbox.take();
        while let Some(block) = blocks.pop() {
            let (segment, unit) = SegmentRef::of_block(&block);
            let slab = segment.slab_at(unit);
            if slab.push(block) {
                self.settle(arena, slab);
            }
        }
    }

    /// What is to be done when a slab has counted down to 0.
    #[cold]
    pub(crate) fn settle(self, arena: &impl Slabs, slab: SlabRef) {
        let bin = self.bin(slab.class());
        if slab.unfill() {
            bin.push(slab);
            return;
        }
        bin.remove(slab);
        // One empty slab stays, at the end of the queue, lest a program that needs one block
        // more and one less in turn takes a slab and gives it back each time.
        if bin.last.get().is_some_and(|last| last.live() == 0) {
            give(arena, slab);
        } else {
            bin.push(slab);
        }
    }

    /// Gives back all slabs that have no block in use.
    pub(crate) fn tidy(self, arena: &impl Slabs) {
        self.collect(arena);
        for class in Class::all() {
            let bin = self.bin(class);
            if let Some(current) = bin.current().filter(|slab| slab.live() == 1) {
                bin.current.set(none());
                current.end();
                give(arena, current);
            }
            let mut next = bin.first.get();
            while let Some(slab) = next {
                next = slab.next.get();
                if slab.live() == 0 {
                    bin.remove(slab);
                    give(arena, slab);
                }
            }
        }
    }

    /// How many blocks of a slab of this heap are in use.
    pub(crate) fn live(self, slab: SlabRef) -> usize {
        let is_current = self.bin(slab.class()).current() == Some(slab);
        slab.full()
            .unwrap_or_else(|| slab.live() - u32::from(is_current)) as usize
    }
}

fn give(arena: &impl Slabs, slab: SlabRef) {
    slab.close();
    arena.give(slab);
}

/// Gives a block back to the heap that has it. `own` is the calling thread's heap.
///
/// # Safety
///
/// The address is that of a block of a slab that is in use, and is used no more; it came
/// from this arena.
#[inline]
pub(crate) unsafe fn free(arena: &impl Slabs, own: HeapRef, address: NonNull<u8>) {
    // SAFETY: the caller's promise.
    let block = unsafe { Block::new(address) };
    let (segment, unit) = SegmentRef::of_block(&block);
    let owner = segment.owner(unit);
    if owner == Some(own.owner()) {
        let slab = segment.slab_at(unit);
        if slab.push(block) {
            own.settle(arena, slab);
        }
    } else if let Some(owner) = owner {
        // SAFETY: the block is in use, so its slab is a heap's: only heaps take slabs.
        let owner = unsafe { HeapRef::of(owner) };
        owner.inbox.push(block);
    } else {
        unreachable!("a block that is in use has an owner");
    }
}

/// The size of a block.
///
/// # Safety
///
/// The address is that of a block of a slab that is in use.
pub(crate) unsafe fn room(address: NonNull<u8>) -> usize {
    // SAFETY: the caller's promise.
    let (segment, unit) = unsafe { SegmentRef::locate(address.addr().get()) };
    // The class was set before the block was handed out.
    segment.slab_at(unit).class().size()
}

impl Deref for HeapRef {
    type Target = Heap;

    #[inline]
    fn deref(&self) -> &Heap {
        // SAFETY: it is there, as promised in `new`, and all that changes is in cells and
        // atomics.
        unsafe { self.0.as_ref() }
    }
}

impl fmt::Debug for HeapRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Heap").field(&self.0).finish()
    }
}
