//! Queues of threads by key, in buckets with a lock each.
//!
//! A thread that parks is a [`Thread`] on its own stack. Invariant: `is_queued` of a thread is
//! true exactly while it is in the queue of the bucket of its key, and both change under the lock
//! of that bucket; a thread returns from `park` only when it is in no queue and was woken or has
//! taken itself out. So what is in a queue is alive.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::fairness::Fairness;
use crate::parking::{ParkToken, UnparkToken};

/// Keys that share a bucket share its lock and nothing else.
const BUCKETS: usize = 256;

static ALL: [Bucket; BUCKETS] = [const { Bucket::new() }; BUCKETS];

/// Of one cache line on most machines, so that locks do not slow each other down.
#[repr(align(64))]
pub(crate) struct Bucket {
    lock: AtomicU32,
    oldest: Cell<*const Thread>,
    newest: Cell<*const Thread>,
    pub(crate) fairness: Fairness,
}

// SAFETY: the cells are used under the lock only.
unsafe impl Sync for Bucket {}

/// A thread that is parked.
pub(crate) struct Thread {
    /// [`PARKED`] until it was woken.
    pub(crate) word: AtomicU32,
    key: AtomicUsize,
    pub(crate) park_token: ParkToken,
    pub(crate) unpark_token: Cell<UnparkToken>,
    is_queued: Cell<bool>,
    next: Cell<*const Thread>,
    previous: Cell<*const Thread>,
}

pub(crate) const PARKED: u32 = 0;
pub(crate) const WOKEN: u32 = 1;

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and somebody may sleep for it.
const AWAITED: u32 = 2;

/// Looks at a lock that is held before one sleeps: it is held for some dozens of instructions.
const LOOKS: u32 = 40;

impl Thread {
    pub(crate) fn new(key: usize, park_token: ParkToken) -> Self {
        Thread {
            word: AtomicU32::new(PARKED),
            key: AtomicUsize::new(key),
            park_token,
            unpark_token: Cell::new(UnparkToken(0)),
            is_queued: Cell::new(false),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
        }
    }

    /// The key that it waits for now. Under the lock of that key's bucket it does not change.
    pub(crate) fn key(&self) -> usize {
        // Ordering: Relaxed; whoever needs it to be right has the lock.
        self.key.load(Ordering::Relaxed)
    }

    /// Under the lock of its bucket.
    pub(crate) fn is_queued(&self) -> bool {
        self.is_queued.get()
    }
}

impl Bucket {
    const fn new() -> Self {
        Bucket {
            lock: AtomicU32::new(FREE),
            oldest: Cell::new(ptr::null()),
            newest: Cell::new(ptr::null()),
            fairness: Fairness::new(),
        }
    }

    fn of(key: usize) -> &'static Bucket {
        // Fibonacci hashing: the upper bits depend on all of the key's.
        let hash = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &ALL[(hash >> 56) as usize % BUCKETS]
    }

    fn lock(&'static self) -> Locked {
        // Ordering: Acquire here and below; pairs with the release of who unlocks.
        for _ in 0..LOOKS {
            if self
                .lock
                .compare_exchange_weak(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                return Locked(self);
            }
            std::hint::spin_loop();
        }
        // From here on others may sleep, too, whom who unlocks would not wake otherwise.
        while self.lock.swap(AWAITED, Ordering::Acquire) != FREE {
            wasm_futex::wait32(&self.lock, AWAITED, None);
        }
        Locked(self)
    }
}

/// The lock of a bucket is held until this is dropped.
pub(crate) struct Locked(&'static Bucket);

impl Drop for Locked {
    fn drop(&mut self) {
        // Ordering: Release; pairs with the acquire in `lock`.
        if self.0.lock.swap(FREE, Ordering::Release) == AWAITED {
            wasm_futex::notify(&self.0.lock, 1);
        }
    }
}

/// Locks the bucket of a key.
pub(crate) fn lock(key: usize) -> Locked {
    Bucket::of(key).lock()
}

/// Locks the bucket of the key that the thread waits for.
pub(crate) fn lock_of(thread: &Thread) -> Locked {
    loop {
        let key = thread.key();
        let locked = lock(key);
        if thread.key() == key {
            return locked;
        }
    }
}

/// Locks the buckets of two keys, which may be the same: then there is no second lock.
pub(crate) fn lock_both(first: usize, second: usize) -> (Locked, Option<Locked>) {
    let (one, other) = (Bucket::of(first), Bucket::of(second));
    if ptr::eq(one, other) {
        return (one.lock(), None);
    }
    // In the order of their addresses, so that two who do this do not wait for each other.
    if ptr::from_ref(one) < ptr::from_ref(other) {
        let locked = one.lock();
        (locked, Some(other.lock()))
    } else {
        let locked = other.lock();
        (one.lock(), Some(locked))
    }
}

impl Locked {
    pub(crate) fn is_fair(&self) -> bool {
        self.0.fairness.is_due()
    }

    /// Appends a thread, which waits for a key of this bucket.
    ///
    /// # Safety
    ///
    /// It is in no queue, and alive until it is removed.
    pub(crate) unsafe fn push(&self, thread: *const Thread, key: usize) {
        // SAFETY: alive.
        let added = unsafe { &*thread };
        // Ordering: Relaxed; see `Thread::key`.
        added.key.store(key, Ordering::Relaxed);
        let newest = self.0.newest.replace(thread);
        added.previous.set(newest);
        added.next.set(ptr::null());
        added.is_queued.set(true);
        // SAFETY: null, or in the queue.
        match unsafe { newest.as_ref() } {
            Some(newest) => newest.next.set(thread),
            None => self.0.oldest.set(thread),
        }
    }

    /// Removes a thread that is in a queue of this bucket.
    pub(crate) fn remove(&self, thread: &Thread) {
        debug_assert!(thread.is_queued.get());
        let (previous, next) = (thread.previous.get(), thread.next.get());
        // SAFETY: null, or in the queue.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.0.oldest.set(next),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(previous),
            None => self.0.newest.set(previous),
        }
        thread.is_queued.set(false);
    }

    /// Those who wait for `key`, the oldest first. One that was returned may be removed.
    pub(crate) fn threads(&self, key: usize) -> impl Iterator<Item = &Thread> {
        let mut at = self.0.oldest.get();
        std::iter::from_fn(move || {
            // SAFETY: null, or in the queue; it is read before the last one is removed.
            while let Some(thread) = unsafe { at.as_ref() } {
                at = thread.next.get();
                if thread.key() == key {
                    return Some(thread);
                }
            }
            None
        })
    }

    /// Whether nobody waits for `key`.
    pub(crate) fn is_empty(&self, key: usize) -> bool {
        self.threads(key).next().is_none()
    }
}

/// Threads that were removed, and are to be woken when the locks are released, or queued again.
pub(crate) struct Removed {
    first: *const Thread,
    last: *const Thread,
    pub(crate) count: usize,
}

impl Removed {
    pub(crate) fn none() -> Self {
        Removed {
            first: ptr::null(),
            last: ptr::null(),
            count: 0,
        }
    }

    /// Removes a thread from the queue, and keeps it for later.
    pub(crate) fn take(&mut self, locked: &Locked, thread: &Thread) {
        locked.remove(thread);
        thread.next.set(ptr::null());
        // SAFETY: null, or one that was removed and not woken, and so is alive.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.next.set(thread),
            None => self.first = thread,
        }
        self.last = thread;
        self.count += 1;
    }

    /// Has them wait for `key`, under the lock of its bucket and of the one that they are of.
    pub(crate) fn queue_again(self, locked: &Locked, key: usize) {
        let mut at = self.first;
        // SAFETY: null, or removed and not woken, and so alive.
        while let Some(thread) = unsafe { at.as_ref() } {
            at = thread.next.get();
            // SAFETY: removed, and as alive as it was in the other queue.
            unsafe { locked.push(thread, key) };
        }
    }

    /// Wakes them.
    pub(crate) fn wake(self, token: UnparkToken) {
        let mut at = self.first;
        // SAFETY: null, or removed and not woken, and so alive.
        while let Some(thread) = unsafe { at.as_ref() } {
            at = thread.next.get();
            thread.unpark_token.set(token);
            let word = &raw const thread.word;
            // Ordering: Release; pairs with the acquire in `park`. The thread may be gone
            // afterwards; a notify needs its address only.
            thread.word.store(WOKEN, Ordering::Release);
            wasm_futex::notify_ptr(word, 1);
        }
    }
}
