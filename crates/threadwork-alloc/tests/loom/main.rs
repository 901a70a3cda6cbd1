//! The heaps under loom: every interleaving with a bounded number of preemptions.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p threadwork-alloc --test loom`.
//! Each model is seen to fail by the seeded bugs of `tests/seeded_bugs`.
//!
//! A [`Witness`] has a cell of loom's for each block: who takes a block, writes there, and
//! who gives it back, reads. If two threads have a block at one time, or one after the other
//! without an edge between them, loom complains.

#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "loom checks what they promise"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use threadwork_alloc::{LocalHeap, Pool};

/// The largest blocks of a slab.
const SIZE: usize = 32 * 1024;

/// How many a slab has, of which a segment has two.
const COUNT: usize = 7;

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 50_000;
    model.check(body);
}

/// A pool of so much memory, and who had its blocks.
struct Shared {
    pool: Pool<Budget>,
    witness: Witness,
}

fn shared(segments: usize) -> Arc<Shared> {
    Arc::new(Shared {
        pool: Pool::new(Budget(AtomicUsize::new(segments))),
        witness: Witness::default(),
    })
}

/// Std's allocator, for so many segments, and as many heaps as anybody likes. What it counts
/// with is not loom's: the model is of the pool.
struct Budget(AtomicUsize);

unsafe impl GlobalAlloc for Budget {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let is_segment = layout.align() > 4096;
        let left = self.0.load(Ordering::Relaxed);
        if is_segment && left == 0 {
            return std::ptr::null_mut();
        }
        self.0
            .store(left - usize::from(is_segment), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let left = self.0.load(Ordering::Relaxed);
        self.0
            .store(left + usize::from(layout.align() > 4096), Ordering::Relaxed);
        unsafe { System.dealloc(block, layout) };
    }
}

#[derive(Default)]
struct Witness {
    cells: Mutex<BTreeMap<usize, std::sync::Arc<UnsafeCell<bool>>>>,
}

impl Witness {
    fn cell(&self, address: usize) -> std::sync::Arc<UnsafeCell<bool>> {
        let mut cells = self.cells.lock().unwrap();
        cells
            .entry(address)
            .or_insert_with(|| std::sync::Arc::new(UnsafeCell::new(false)))
            .clone()
    }
}

/// The address of a block that is in use.
struct Block(*mut u8, usize);

unsafe impl Send for Block {}

impl Shared {
    fn heap(&self) -> LocalHeap<'_, Budget> {
        self.pool.heap().unwrap()
    }

    fn try_take(&self, heap: &LocalHeap<'_, Budget>, size: usize) -> Option<Block> {
        let block = unsafe { heap.alloc(layout(size)) };
        (!block.is_null()).then(|| {
            self.witness.cell(block.addr()).with_mut(|used| unsafe {
                assert!(!*used, "two have a block");
                *used = true;
            });
            Block(block, size)
        })
    }

    fn take(&self, heap: &LocalHeap<'_, Budget>) -> Block {
        self.try_take(heap, SIZE).unwrap()
    }

    fn give(&self, heap: &LocalHeap<'_, Budget>, block: Block) {
        self.witness.cell(block.0.addr()).with_mut(|used| unsafe {
            assert!(*used);
            *used = false;
        });
        unsafe { heap.dealloc(block.0, layout(block.1)) };
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// Blocks come home through the inbox, and are used again.
#[test]
fn what_another_frees_is_used_again() {
    model(3, || {
        let shared = shared(1);
        let heap = shared.heap();
        // All of the first slab.
        let mut blocks: Vec<Block> = (0..COUNT).map(|_| shared.take(&heap)).collect();
        let given = [blocks.pop().unwrap(), blocks.pop().unwrap()];
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let heap = shared.heap();
                given
                    .into_iter()
                    .for_each(|block| shared.give(&heap, block));
            })
        };
        // Loom takes a load for one that nothing depends on if the other thread loads, too,
        // before it stores: it would never let the other one begin here.
        thread::yield_now();
        // As many as fit in all, if what was given is not here yet.
        let more: Vec<Block> = (0..COUNT).map(|_| shared.take(&heap)).collect();
        other.join().unwrap();
        let last = [shared.take(&heap), shared.take(&heap)];
        assert!(shared.try_take(&heap, SIZE).is_none());
        let all = blocks.into_iter().chain(more).chain(last);
        all.for_each(|block| shared.give(&heap, block));
    });
}

/// Two threads use one inbox at a time, and nothing is lost.
#[test]
fn two_threads_free_for_a_third() {
    model(3, || {
        let shared = shared(1);
        let heap = shared.heap();
        let blocks = [shared.take(&heap), shared.take(&heap)];
        let others = blocks.map(|block| {
            let shared = shared.clone();
            thread::spawn(move || {
                let heap = shared.heap();
                shared.give(&heap, block);
            })
        });
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(heap.stats().used, 0);
    });
}

/// A thread ends, another goes on with its heap, and a third one frees a block of it.
#[test]
fn a_heap_goes_from_thread_to_thread() {
    model(3, || {
        let shared = shared(1);
        let (one, two) = {
            let heap = shared.heap();
            (shared.take(&heap), shared.take(&heap))
        };
        let next = {
            let shared = shared.clone();
            thread::spawn(move || {
                let heap = shared.heap();
                let block = shared.take(&heap);
                shared.give(&heap, one);
                let other = shared.take(&heap);
                shared.give(&heap, block);
                shared.give(&heap, other);
            })
        };
        let heap = shared.heap();
        shared.give(&heap, two);
        let block = shared.take(&heap);
        shared.give(&heap, block);
        next.join().unwrap();
    });
}

/// Two heaps get slabs of their own, and give them back for the other one to take.
#[test]
fn slabs_go_from_heap_to_heap() {
    model(2, || {
        // Two may ask for a segment at a time.
        let shared = shared(2);
        let once = |shared: &Shared, size| {
            let heap = shared.heap();
            let block = shared.try_take(&heap, size).unwrap();
            shared.give(&heap, block);
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                once(&shared, SIZE);
                once(&shared, 1024);
            })
        };
        once(&shared, SIZE);
        other.join().unwrap();
        let heap = shared.heap();
        assert_eq!((heap.stats().used, heap.stats().others), (0, 0));
    });
}

/// Two threads are short of memory that is in the inbox of a heap without a thread. (One
/// looks after it, and the other may come too late.)
#[test]
fn the_dead_are_looked_after() {
    model(2, || {
        let shared = shared(1);
        let heap = shared.heap();
        let spare = shared.heap();
        let blocks: Vec<Block> = {
            let owner = shared.heap();
            std::iter::from_fn(|| shared.try_take(&owner, SIZE)).collect()
        };
        assert_eq!(blocks.len(), 2 * COUNT);
        // The next one to begin gets this one, and not the owner.
        drop(spare);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let heap = shared.heap();
                let block = shared.try_take(&heap, 64);
                block.map(|block| shared.give(&heap, block)).is_some()
            })
        };
        blocks
            .into_iter()
            .for_each(|block| shared.give(&heap, block));
        let block = shared.try_take(&heap, 128);
        let is_mine = block.map(|block| shared.give(&heap, block)).is_some();
        assert!(other.join().unwrap() | is_mine);
        let stats = heap.stats();
        assert_eq!((stats.heaps, stats.idle, stats.used), (3, 2, 0));
    });
}

/// A segment goes back to the backend while others free in it, and is not missed.
#[test]
fn segments_come_and_go() {
    model(2, || {
        let shared = shared(2);
        let heap = shared.heap();
        // More than one segment.
        let mut blocks: Vec<Block> = (0..2 * COUNT + 1).map(|_| shared.take(&heap)).collect();
        let last = blocks.pop().unwrap();
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let heap = shared.heap();
                shared.give(&heap, last);
                let block = shared.try_take(&heap, 1024);
                block
                    .into_iter()
                    .for_each(|block| shared.give(&heap, block));
            })
        };
        blocks
            .into_iter()
            .for_each(|block| shared.give(&heap, block));
        other.join().unwrap();
    });
}
