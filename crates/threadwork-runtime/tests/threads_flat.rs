//! Threads that come and go leave nothing behind: not in the heap, not in a guest's linear
//! memory, no handles. Alone in its process, so that it can count.
//!
//! 1,000 threads one after another, or 10,000 with `THREADWORK_FULL=1`.

#![cfg(not(miri))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use threadwork::{ThreadBound, ThreadLocal};
use threadwork_runtime::{SharedMemory, ThreadLocalStorage, ThreadManager};

/// Counts the bytes and the blocks that are in use.
struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);
static BLOCKS: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        BLOCKS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        BLOCKS.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Debug)]
struct Usage {
    bytes: isize,
    blocks: isize,
    /// Pages of the linear memory, or file descriptors and threads.
    system: (usize, usize),
}

fn usage() -> Usage {
    Usage {
        bytes: BYTES.fetch_add(0, Ordering::SeqCst),
        blocks: BLOCKS.fetch_add(0, Ordering::SeqCst),
        system: system(),
    }
}

#[cfg(target_family = "wasm")]
fn system() -> (usize, usize) {
    (std::arch::wasm32::memory_size(0), 0)
}

#[cfg(target_os = "linux")]
fn system() -> (usize, usize) {
    let count = |folder| std::fs::read_dir(folder).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

#[cfg(not(any(target_family = "wasm", target_os = "linux")))]
fn system() -> (usize, usize) {
    (0, 0)
}

#[test]
fn thousands_of_threads_one_after_another() {
    let full = std::env::var("THREADWORK_FULL").is_ok_and(|value| value == "1");
    let threads = if full { 10_000 } else { 1_000 };
    let manager = ThreadManager::with_max_threads(1);
    let memory = SharedMemory::new(1, 1).unwrap();
    let kept = Arc::new(ThreadLocal::<Cell<u64>>::new());
    let bound = Arc::new(ThreadBound::<Vec<u8>>::new());
    let slots = Arc::new(ThreadLocalStorage::new(1024));
    let run = |count: u64| {
        for _ in 0..count {
            let (memory, kept) = (memory.clone(), kept.clone());
            let (bound, slots) = (bound.clone(), slots.clone());
            let thread = manager.spawn(move || {
                kept.with_or(Cell::default, |own| own.set(own.get() + 1));
                bound.with_or(|| vec![1; 1000], |own| assert_eq!(own.len(), 1000));
                slots.set(100, &7_u64).unwrap();
                memory.add(0, 1_u64).unwrap();
            });
            thread.unwrap().join().unwrap();
        }
    };
    run(100);
    let before = usage();
    run(threads);
    let after = usage();
    let ((kept_before, tasks_before), (kept_after, tasks_after)) = (before.system, after.system);
    assert_eq!(kept_after, kept_before, "{before:?}, then {after:?}");
    // The system lists a thread for a moment after it can be joined.
    assert!(
        tasks_after.abs_diff(tasks_before) <= 1,
        "{before:?}, then {after:?}"
    );
    assert!(
        after.blocks - before.blocks <= 4,
        "{before:?}, then {after:?}"
    );
    assert!(
        after.bytes - before.bytes <= 1024,
        "{before:?}, then {after:?}"
    );

    assert_eq!(memory.load::<u64>(0), Ok(threads + 100));
    let sum: u64 = Arc::into_inner(kept)
        .unwrap()
        .into_iter()
        .map(Cell::into_inner)
        .sum();
    assert_eq!(sum, threads + 100);
    assert_eq!(manager.list(), []);
}
