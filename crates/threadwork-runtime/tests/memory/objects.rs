//! Primitives at offsets.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};

use threadwork::sync::{
    Barrier, Condvar, Latch, Once, Parker, RawMutex, RawPriorityMutex, RawRwLock, Semaphore,
    System, WaitGroup,
};
use threadwork_runtime::{MemoryError, SharedMemory};

use crate::support::{rounds, together};

#[test]
fn a_lock_at_an_offset_excludes() {
    let memory = SharedMemory::new(1, 2).unwrap();
    memory.grow(1).unwrap();
    let lock = 2 * SharedMemory::PAGE - 4;
    let each = rounds(5_000);
    together(4, |_| {
        for _ in 0..each {
            let mutex = memory.mutex(lock).unwrap();
            mutex.lock_with(&System);
            let seen: u64 = memory.read(64).unwrap();
            memory.write(64, seen + 1).unwrap();
            // SAFETY: this thread has locked it.
            unsafe { mutex.unlock_with(&System) };
        }
    });
    assert_eq!(memory.read::<u64>(64), Ok(u64::from(4 * each)));
}

#[test]
fn a_placed_barrier_has_one_leader_in_each_phase() {
    let memory = SharedMemory::new(1, 1).unwrap();
    memory.place(128, Barrier::new(3)).unwrap();
    let phases = rounds(500);
    let leaders = together(3, |_| {
        let barrier = memory.barrier(128).unwrap();
        (0..phases).filter(|_| barrier.wait().is_leader()).count() as u32
    });
    assert_eq!(leaders.iter().sum::<u32>(), phases);
}

/// Bytes of zero are a new one of each, which works.
#[test]
fn zeros_are_new_ones() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let rwlock = memory.rwlock(0).unwrap();
    assert!(rwlock.try_read() && rwlock.try_read() && !rwlock.try_write());
    let priority = memory.priority_mutex(32).unwrap();
    assert!(!priority.is_locked());
    memory.condvar(64).unwrap().notify_all();
    assert!(memory.barrier(80).unwrap().wait().is_leader());
    assert!(memory.semaphore(96).unwrap().try_acquire().is_none());
    let latch = memory.latch(104).unwrap();
    assert!(!latch.is_open());
    latch.open();
    assert_ne!(memory.load::<u32>(104), Ok(0), "it is in the memory");
    memory.wait_group(108).unwrap().wait();
    let parker = memory.parker(112).unwrap();
    parker.unpark();
    parker.park();
    let mut ran = false;
    memory.once(116).unwrap().call_once(|| ran = true);
    assert!(ran && memory.once(116).unwrap().is_completed());
}

#[test]
#[cfg_attr(miri, ignore = "mixed widths: -Zmiri-disable-weak-memory-emulation")]
fn placing_makes_it_new() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let semaphore = memory.place(8, Semaphore::new(2)).unwrap();
    assert_eq!(semaphore.available(), 2);
    assert!(std::ptr::eq(semaphore, memory.semaphore(8).unwrap()));
    memory.write_bytes(64, &[0xff; 64]).unwrap();
    assert!(memory.place(64, RawMutex::new()).unwrap().try_lock());
    assert!(memory.place(80, RawRwLock::new()).unwrap().try_write());
    assert!(!memory.place(96, Latch::new()).unwrap().is_open());
    memory.place(100, WaitGroup::new()).unwrap().wait();
    memory.place(104, Condvar::new()).unwrap().notify_one();
    memory.place(112, Parker::new()).unwrap().unpark();
    assert!(!memory.place(116, Once::new()).unwrap().is_completed());
    let unaligned = memory.place(4, Barrier::new(2)).unwrap_err();
    assert_eq!(
        unaligned,
        MemoryError::Unaligned {
            offset: 4,
            align: 16
        }
    );
}

/// An object that could cross a page, and so a segment, is refused by its alignment.
#[test]
fn none_crosses_a_page() {
    let memory = SharedMemory::new(1, 2).unwrap();
    memory.grow(1).unwrap();
    let page = SharedMemory::PAGE;
    assert!(size_of::<RawPriorityMutex>() == 24 && size_of::<RawRwLock>() == 16);
    assert_eq!(
        memory.priority_mutex(page - 16).unwrap_err(),
        MemoryError::Unaligned {
            offset: page - 16,
            align: 32
        }
    );
    assert!(memory.rwlock(page - 8).is_err());
    assert!(memory.rwlock(page - 16).is_ok());
    let outside = memory.latch(2 * page).unwrap_err();
    assert!(matches!(outside, MemoryError::OutOfBounds { .. }));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_ready(future: Pin<&mut impl Future>, bell: &Arc<Bell>) -> bool {
    let waker = Waker::from(Arc::clone(bell));
    future.poll(&mut Context::from_waker(&waker)).is_ready()
}

/// Begins to wait for the semaphores there, with futures that nobody polls or drops. Returns what
/// their wakers share.
fn leak(memory: &SharedMemory, offsets: impl Iterator<Item = usize>) -> Arc<Bell> {
    let lost = Arc::new(Bell::default());
    for offset in offsets {
        let semaphore = memory.semaphore(offset).unwrap();
        let mut future = Box::pin(semaphore.acquire_async());
        assert!(!is_ready(future.as_mut(), &lost));
        std::mem::forget(future);
    }
    lost
}

/// A future of an object that is no more has no part in what happens to the next one there.
#[test]
#[cfg_attr(miri, ignore = "it leaks")]
fn a_leaked_future_goes_with_its_memory() {
    let memory = SharedMemory::new(1, 8).unwrap();
    memory.grow(4).unwrap();
    // In all segments, and several at one place.
    let offsets = (0..memory.size()).step_by(4096);
    let lost = leak(&memory, offsets.clone().chain(offsets));
    // Another memory's waits go on.
    let other = SharedMemory::new(1, 1).unwrap();
    let bell = Arc::new(Bell::default());
    let semaphore = other.semaphore(8).unwrap();
    let mut future = pin!(semaphore.acquire_async());
    assert!(!is_ready(future.as_mut(), &bell));
    let clone = memory.clone();
    drop(memory);
    assert_eq!(Arc::strong_count(&lost), 161, "the memory is still there");
    drop(clone);
    assert_eq!(Arc::strong_count(&lost), 1, "the wakers go with the memory");
    semaphore.release(1);
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    assert!(is_ready(future.as_mut(), &bell));
}

/// The same where another object is placed; who waits there, and is polled, sees that one.
#[test]
#[cfg_attr(miri, ignore = "it leaks")]
fn a_leaked_future_leaves_its_place_to_the_next_object() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let lost = leak(&memory, [8, 8, 24].into_iter());
    let (before, after) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    let mut first = pin!(memory.semaphore(8).unwrap().acquire_async());
    assert!(!is_ready(first.as_mut(), &before));
    let semaphore = memory.place(8, Semaphore::new(1)).unwrap();
    assert_eq!(Arc::strong_count(&lost), 2, "the one beside it still waits");
    assert_eq!(before.0.load(Ordering::Relaxed), 1);
    assert!(is_ready(first.as_mut(), &before));
    let mut second = pin!(semaphore.acquire_many_async(2));
    assert!(!is_ready(second.as_mut(), &after));
    semaphore.release(2);
    assert_eq!(after.0.load(Ordering::Relaxed), 1);
    assert!(is_ready(second.as_mut(), &after));
}
