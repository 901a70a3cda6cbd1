//! Futures that wait for a word: a table from addresses to wakers.
//!
//! The futures of this crate sleep here as threads sleep in a futex: compare and
//! queue in one step, first in, first out, wake by address. A queue node lives in the
//! pinned future itself, so that waiting allocates nothing.
//!
//! # Invariants
//!
//! 1. A node is linked in the list of its word's bucket exactly while its `queued` is
//!    true. Links are only touched under the bucket's lock; the node's own copy of the
//!    word, which says what bucket that is, only by the owner.
//! 2. No wake-up is lost. The waiter adds itself to `waiting`, then compares the word;
//!    the notifier changes the word, then adds nothing to `waiting`. Of two
//!    read-modify-writes of one word one comes first: either the notifier's sees the
//!    waiter, or the waiter's reads from the notifier's and so sees the word changed.
//! 3. A node that was notified says so until its owner takes note, so that a future
//!    that is dropped in between can pass the wake-up on.

use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::Ordering;
use core::task::Waker;

use crate::primitive::{AtomicU32, const_fn};
use crate::raw_mutex::RawMutex;
use crate::system::Threads;

/// A power of two; more of them only lower the odds that two words share a lock.
const BUCKETS: usize = if cfg!(loom) { 1 } else { 16 };

/// Wakers taken for each time that the lock is.
const BATCH: usize = 8;

struct Table {
    /// Futures that wait or are about to.
    waiting: AtomicU32,
    buckets: [Bucket; BUCKETS],
}

struct Bucket {
    lock: RawMutex,
    list: UnsafeCell<List>,
}

/// Oldest first.
struct List {
    head: *mut Links,
    tail: *mut Links,
}

struct Links {
    word: *const AtomicU32,
    previous: *mut Links,
    next: *mut Links,
    waker: Option<Waker>,
    queued: bool,
    notified: bool,
}

// SAFETY: the list and what it links are only touched under the lock (invariant 1).
unsafe impl Sync for Bucket {}

#[cfg(not(loom))]
static TABLE: Table = Table::new();

#[cfg(loom)]
loom::lazy_static! {
    static ref TABLE: Table = Table::new();
}

impl Table {
    const_fn! {
        fn new() -> Self {
            Table {
                waiting: AtomicU32::new(0),
                #[cfg(not(loom))]
                buckets: [const { Bucket::new() }; BUCKETS],
                #[cfg(loom)]
                buckets: [Bucket::new()],
            }
        }
    }

    fn bucket(&self, word: *const AtomicU32) -> &Bucket {
        // Words are four bytes apart; the low bits of the quotient tell neighbours apart.
        &self.buckets[(word.addr() / 4) % BUCKETS]
    }
}

impl Bucket {
    const_fn! {
        fn new() -> Self {
            Bucket {
                lock: RawMutex::new(),
                list: UnsafeCell::new(List {
                    head: ptr::null_mut(),
                    tail: ptr::null_mut(),
                }),
            }
        }
    }

    fn with<T>(&self, body: impl FnOnce(&mut List) -> T) -> T {
        self.lock.lock_with(&Threads);
        // SAFETY: the lock is held, so no other reference to the list exists.
        let result = body(unsafe { &mut *self.list.get() });
        // SAFETY: locked above.
        unsafe { self.lock.unlock_with(&Threads) };
        result
    }
}

impl List {
    /// # Safety
    ///
    /// The lock is held; `node` is valid, not queued, and stays in place until it is
    /// removed.
    unsafe fn push(&mut self, node: *mut Links) {
        // SAFETY: the caller's promise; nobody else uses the node while the lock is held.
        let links = unsafe { &mut *node };
        links.queued = true;
        links.previous = self.tail;
        links.next = ptr::null_mut();
        if self.tail.is_null() {
            self.head = node;
        } else {
            // SAFETY: a member of the list is valid.
            unsafe { (*self.tail).next = node };
        }
        self.tail = node;
    }

    /// # Safety
    ///
    /// The lock is held and `node` is in this list.
    unsafe fn remove(&mut self, node: *mut Links) {
        // SAFETY: a member of the list is valid, and nobody else uses it now.
        let links = unsafe { &mut *node };
        links.queued = false;
        if links.previous.is_null() {
            self.head = links.next;
        } else {
            // SAFETY: a neighbour in the list is valid, and is not this node.
            unsafe { (*links.previous).next = links.next };
        }
        if links.next.is_null() {
            self.tail = links.previous;
        } else {
            // SAFETY: as above.
            unsafe { (*links.next).previous = links.previous };
        }
    }

    /// Takes out the oldest node that waits for `word`, as notified.
    fn take(&mut self, word: *const AtomicU32) -> Option<Waker> {
        let mut node = self.head;
        while !node.is_null() {
            // SAFETY: members of the list are valid while the lock is held, which
            // having `self` shows.
            let links = unsafe { &mut *node };
            if ptr::eq(links.word, word) {
                links.notified = true;
                let waker = links.waker.take();
                // SAFETY: it is in this list.
                unsafe { self.remove(node) };
                return waker;
            }
            node = links.next;
        }
        None
    }
}

/// Wakes up to `count` futures that wait for `word`.
pub(crate) fn notify(word: *const AtomicU32, count: u32) {
    // Ordering: AcqRel, an addition of nothing; pairs with the addition in `queue`
    // (invariant 2).
    if count == 0 || TABLE.waiting.fetch_add(0, Ordering::AcqRel) == 0 {
        return;
    }
    let mut woken = 0;
    while woken < count {
        let mut batch = [const { None }; BATCH];
        let wanted = batch.len().min((count - woken) as usize);
        let mut taken = 0;
        TABLE.bucket(word).with(|list| {
            while taken < wanted
                && let Some(waker) = list.take(word)
            {
                batch[taken] = Some(waker);
                taken += 1;
            }
        });
        // Ordering: Relaxed; leaving needs no order, a notifier that still counts
        // these merely takes the lock for nothing.
        TABLE.waiting.fetch_sub(taken as u32, Ordering::Relaxed);
        // Wakers are foreign code: never under the lock.
        batch.into_iter().flatten().for_each(Waker::wake);
        woken += taken as u32;
        if taken < wanted {
            return;
        }
    }
}

/// A future's place in the table.
pub(crate) struct Node {
    /// Where to find the lock of the links: the owner's, while others may hold the lock
    /// and with it all of the links.
    word: Cell<*const AtomicU32>,
    links: UnsafeCell<Links>,
    _pinned: PhantomPinned,
}

// SAFETY: what other threads may touch is touched under the bucket's lock (invariant 1).
unsafe impl Send for Node {}

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does not wait.
    Free,
    /// It waits.
    Queued,
    /// It was notified; said once.
    Notified,
}

impl Node {
    pub(crate) const fn new() -> Self {
        Node {
            word: Cell::new(ptr::null()),
            links: UnsafeCell::new(Links {
                word: ptr::null(),
                previous: ptr::null_mut(),
                next: ptr::null_mut(),
                waker: None,
                queued: false,
                notified: false,
            }),
            _pinned: PhantomPinned,
        }
    }

    /// Waits for `word`, unless its value is not `expected`: then false.
    pub(crate) fn queue(self: Pin<&Self>, word: &AtomicU32, expected: u32, waker: &Waker) -> bool {
        let waker = waker.clone();
        let node = self.links.get();
        self.word.set(word);
        // Ordering: AcqRel; pairs with the addition in `notify` (invariant 2).
        TABLE.waiting.fetch_add(1, Ordering::AcqRel);
        let refused = TABLE.bucket(word).with(|list| {
            // Ordering: Relaxed; ordered by the addition above.
            if word.load(Ordering::Relaxed) != expected {
                return Some(waker);
            }
            // SAFETY: the lock is held, and the node is not queued.
            unsafe { (*node).word = word };
            // SAFETY: as above.
            let _none = unsafe { (*node).waker.replace(waker) };
            // SAFETY: the node is pinned, and `leave` takes it out before it is gone.
            unsafe { list.push(node) };
            None
        });
        if refused.is_some() {
            // Ordering: Relaxed, as in `notify`.
            TABLE.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        refused.is_none()
    }

    /// How it stands; if it still waits, from now on with this waker.
    pub(crate) fn look(self: Pin<&Self>, waker: &Waker) -> Standing {
        let mut fresh = Some(waker.clone());
        self.with_links(|_, node| {
            // SAFETY: the lock is held.
            let links = unsafe { &mut *node };
            if links.queued {
                core::mem::swap(&mut links.waker, &mut fresh);
                return Standing::Queued;
            }
            if core::mem::take(&mut links.notified) {
                return Standing::Notified;
            }
            Standing::Free
        })
    }

    /// Waits no more. Says how it stood.
    pub(crate) fn leave(self: Pin<&Self>) -> Standing {
        let mut waker = None;
        let standing = self.with_links(|list, node| {
            // SAFETY: the lock is held.
            if unsafe { (*node).queued } {
                // SAFETY: as above.
                waker = unsafe { (*node).waker.take() };
                // SAFETY: it is in this list.
                unsafe { list.remove(node) };
                return Standing::Queued;
            }
            // SAFETY: as above.
            if core::mem::take(unsafe { &mut (*node).notified }) {
                return Standing::Notified;
            }
            Standing::Free
        });
        if standing == Standing::Queued {
            // Ordering: Relaxed, as in `notify`.
            TABLE.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        standing
    }

    fn with_links(
        self: Pin<&Self>,
        body: impl FnOnce(&mut List, *mut Links) -> Standing,
    ) -> Standing {
        let node = self.links.get();
        let word = self.word.get();
        if word.is_null() {
            return Standing::Free;
        }
        TABLE.bucket(word).with(|list| body(list, node))
    }
}
