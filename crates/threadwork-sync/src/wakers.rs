//! Futures that wait for a word: a table from addresses to wakers.
//!
//! The futures of this crate sleep here as threads sleep in a futex: compare and
//! queue in one step, first in, first out, wake by address. A queue node lives in the
//! pinned future itself, so that waiting allocates nothing.
//!
//! Each bucket of the table is a tree of words, and behind each word is the queue of its
//! nodes, the first of which is the one in the tree. The way from the root to a word is that
//! of the bits of its hash, which no two words share: so there is nothing to balance, and a
//! wake-up costs a few steps however many others wait for other words.
//!
//! # Invariants
//!
//! 1. A node is linked in the queue of its word exactly while its `queued` is true. Links
//!    are only touched under the bucket's lock; the node's own copy of the word, which says
//!    what bucket that is, only by the owner.
//! 2. No wake-up is lost. The waiter adds itself to `waiting`, then compares the word;
//!    the notifier changes the word, then adds nothing to `waiting`. Of two
//!    read-modify-writes of one word one comes first: either the notifier's sees the
//!    waiter, or the waiter's reads from the notifier's and so sees the word changed.
//! 3. A node that was notified says so until its owner takes note, so that a future
//!    that is dropped in between can pass the wake-up on.
//! 4. A notify wakes who waited when it began. Nodes are numbered as they come, and it leaves
//!    those that came later: an executor that polls in `wake` and waits again would
//!    otherwise keep it for ever.
//! 5. A waker is foreign code. It is called, cloned and dropped with no lock held, and its
//!    panic ends in [`contain`], so that all others are woken.
//! 6. No node outlives its word: a [`Word`] that is dropped takes out the nodes of futures
//!    that were leaked, which would take the wake-ups of the next object at its address. Where
//!    objects lie in bytes and are not dropped, who has the bytes calls [`look_again`].
//!
//! Sources: Go's `semaRoot` (`runtime/sema.go`) for the tree of queues; E. Coffman and
//! J. Eve, "File structures using hashing functions" (1970), for the digital search tree.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomPinned;
use core::ops::{Deref, Range};
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::Ordering;
use core::task::Waker;

use crate::contain::contain;
use crate::futex::Futex;
use crate::primitive::{AtomicU32, const_fn};
use crate::threads::Threads;

/// A power of two; more of them only lower the odds that two words share a lock.
const BUCKETS: usize = if cfg!(loom) { 1 } else { 16 };

/// How often a future is passed before it is woken besides.
const PASSES: u32 = 8;

/// Wakers taken for each time that the lock is.
const BATCH: usize = 8;

struct Table {
    /// Futures that wait or are about to.
    waiting: AtomicU32,
    buckets: [Bucket; BUCKETS],
}

struct Bucket {
    lock: Lock,
    queues: UnsafeCell<Queues>,
}

/// The lock of a bucket, which is held for a few steps: 0 is free, 1 taken, 2 taken and somebody
/// may sleep. It is not a [`RawMutex`](crate::RawMutex), whose word may be one that futures
/// wait for, and so is built on this table.
///
/// No wake-up is lost: a thread sleeps on 2 only, and the unlock that replaces 2 notifies one,
/// which leaves 2 behind when it takes the lock.
struct Lock(AtomicU32);

impl Lock {
    const_fn! {
        fn new() -> Self {
            Lock(AtomicU32::new(0))
        }
    }

    fn lock(&self) {
        // Ordering: Acquire, here and below; pairs with the release in `unlock`.
        let taken = self
            .0
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            while self.0.swap(2, Ordering::Acquire) != 0 {
                Threads.wait(&self.0, 2, None);
            }
        }
    }

    /// By whoever holds it.
    fn unlock(&self) {
        // Ordering: Release; the next holder sees the queues as they are now.
        if self.0.swap(0, Ordering::Release) == 2 {
            Threads.notify(&raw const self.0, 1);
        }
    }
}

/// The queues of those words that share a bucket.
struct Queues {
    root: *mut Links,
    /// How many nodes have come so far.
    numbers: u64,
}

struct Links {
    word: *const AtomicU32,
    /// The one before; of the first one, the last.
    previous: *mut Links,
    next: *mut Links,
    /// Of the first one of its word: the words below in the tree, by the next bit.
    below: [*mut Links; 2],
    number: u64,
    /// How often it was passed while it was the first one.
    passed: u32,
    waker: Option<Waker>,
    queued: bool,
    notified: bool,
}

// SAFETY: the queues and their nodes are only touched under the lock (invariant 1).
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
                lock: Lock::new(),
                queues: UnsafeCell::new(Queues {
                    root: ptr::null_mut(),
                    numbers: 0,
                }),
            }
        }
    }

    fn with<T>(&self, body: impl FnOnce(&mut Queues) -> T) -> T {
        self.lock.lock();
        // SAFETY: the lock is held, so no other reference to the queues exists.
        let result = body(unsafe { &mut *self.queues.get() });
        self.lock.unlock();
        result
    }
}

/// The way to a word: the bits of a hash, the highest first. The factor is odd, so that no
/// two words have the same.
fn way_to(word: *const AtomicU32) -> usize {
    word.addr().wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize)
}

impl Queues {
    /// Where the first node of a word is linked, or would be.
    fn place_of(&mut self, word: *const AtomicU32) -> *mut *mut Links {
        let mut place = &raw mut self.root;
        let mut way = way_to(word);
        loop {
            // SAFETY: it is the root, or in a member of the tree, which is valid.
            let node = unsafe { *place };
            // SAFETY: a member of the tree is valid.
            if node.is_null() || ptr::eq(unsafe { (*node).word }, word) {
                return place;
            }
            let bit = way >> (usize::BITS - 1);
            way <<= 1;
            // SAFETY: as above.
            place = unsafe { &raw mut (*node).below[bit] };
        }
    }

    /// # Safety
    ///
    /// The lock is held; `node` is valid, has its word, is not queued, and stays in place
    /// until it is removed.
    unsafe fn push(&mut self, node: *mut Links) {
        self.numbers += 1;
        let number = self.numbers;
        // SAFETY: the caller's promise; nobody else uses the node while the lock is held.
        let place = self.place_of(unsafe { (*node).word });
        // SAFETY: a place in the tree is valid.
        let first = unsafe { *place };
        // SAFETY: as for its word; and none of the places is in it, as it is not queued.
        let links = unsafe { &mut *node };
        links.queued = true;
        links.number = number;
        links.passed = 0;
        links.next = ptr::null_mut();
        if first.is_null() {
            links.previous = node;
            links.below = [ptr::null_mut(); 2];
            // SAFETY: a place in the tree is valid.
            unsafe { *place = node };
        } else {
            // SAFETY: members of a queue are valid.
            links.previous = unsafe { (*first).previous };
            // SAFETY: as above.
            unsafe { (*links.previous).next = node };
            // SAFETY: as above.
            unsafe { (*first).previous = node };
        }
    }

    /// # Safety
    ///
    /// The lock is held and `node` is in a queue of this bucket.
    unsafe fn remove(&mut self, node: *mut Links) {
        // SAFETY: the caller's promise, here and below: members of queues are valid.
        let place = self.place_of(unsafe { (*node).word });
        // SAFETY: a place in the tree is valid.
        let first = unsafe { *place };
        // SAFETY: a member of a queue; no other reference to it is in use.
        let links = unsafe { &mut *node };
        links.queued = false;
        let Links {
            previous,
            next,
            below,
            ..
        } = *links;
        if first != node {
            // SAFETY: as above.
            unsafe { (*previous).next = next };
            let after = if next.is_null() { first } else { next };
            // SAFETY: as above.
            unsafe { (*after).previous = previous };
        } else if next.is_null() {
            // SAFETY: it is the place of a node.
            unsafe { Self::prune(place) };
        } else {
            // SAFETY: as above.
            unsafe { (*next).previous = previous };
            // SAFETY: as above.
            unsafe { (*next).below = below };
            // SAFETY: a place in the tree is valid.
            unsafe { *place = next };
        }
    }

    /// Takes a node off the tree. Any leaf below it may be where it was: the way there is
    /// the beginning of the leaf's own.
    ///
    /// # Safety
    ///
    /// It is the place of a node of the tree.
    unsafe fn prune(place: *mut *mut Links) {
        // SAFETY: the caller's promise, here and below: members of the tree are valid.
        let node = unsafe { *place };
        let mut end = place;
        // SAFETY: as above.
        while let Some(below) = unsafe { Self::place_below(end) } {
            end = below;
        }
        // SAFETY: as above.
        let leaf = unsafe { end.replace(ptr::null_mut()) };
        if leaf != node {
            // SAFETY: as above.
            let below = unsafe { (*node).below };
            // SAFETY: as above.
            unsafe { (*leaf).below = below };
            // SAFETY: as above.
            unsafe { *place = leaf };
        }
    }

    /// # Safety
    ///
    /// It is the place of a node of the tree.
    unsafe fn place_below(place: *mut *mut Links) -> Option<*mut *mut Links> {
        // SAFETY: the caller's promise.
        let node = unsafe { *place };
        (0..2)
            // SAFETY: a member of the tree is valid.
            .map(|bit| unsafe { &raw mut (*node).below[bit] })
            // SAFETY: as above.
            .find(|place| !unsafe { **place }.is_null())
    }

    /// Notes that the oldest node that waits for `word` was passed. Whether that is enough.
    fn pass(&mut self, word: *const AtomicU32) -> bool {
        // SAFETY: a place in the tree is valid.
        let node = unsafe { *self.place_of(word) };
        // SAFETY: members of queues are valid while the lock is held, which having `self`
        // shows.
        let Some(links) = (unsafe { node.as_mut() }) else {
            return false;
        };
        links.passed += 1;
        links.passed == PASSES
    }

    /// Takes out the oldest node that waits for `word`, unless it came after `last`. It is told
    /// whether it was notified.
    fn take(&mut self, word: *const AtomicU32, last: u64, notified: bool) -> Option<Waker> {
        // SAFETY: a place in the tree is valid.
        let node = unsafe { *self.place_of(word) };
        // SAFETY: members of queues are valid while the lock is held, which having `self`
        // shows.
        if node.is_null() || unsafe { (*node).number } > last {
            return None;
        }
        // SAFETY: it is in its queue.
        unsafe { self.remove(node) };
        // SAFETY: valid, as above; and nobody else uses it now.
        let links = unsafe { &mut *node };
        links.notified = notified;
        links.waker.take()
    }

    /// A word with one of those addresses that is waited for by a node that did not come after
    /// `last`.
    fn word_in(&self, addresses: &Range<usize>, last: u64) -> Option<*const AtomicU32> {
        /// # Safety
        ///
        /// The lock is held, and `node` is null or in the tree.
        unsafe fn below(
            node: *const Links,
            addresses: &Range<usize>,
            last: u64,
        ) -> Option<*const AtomicU32> {
            // SAFETY: members of the tree are valid.
            let links = unsafe { node.as_ref() }?;
            if addresses.contains(&links.word.addr()) && links.number <= last {
                return Some(links.word);
            }
            // The way to a word ends with its bits, and so does the recursion.
            // SAFETY: below a member of the tree there are others, or none.
            let search = |node: &*mut Links| unsafe { below(*node, addresses, last) };
            links.below.iter().find_map(search)
        }
        // SAFETY: having `self` shows that the lock is held.
        unsafe { below(self.root, addresses, last) }
    }
}

/// Wakes up to `count` futures that wait for `word`.
pub(crate) fn notify(word: *const AtomicU32, count: u32) {
    // Ordering: AcqRel, an addition of nothing; pairs with the addition in `queue`
    // (invariant 2).
    if count == 0 || TABLE.waiting.fetch_add(0, Ordering::AcqRel) == 0 {
        return;
    }
    take_each(word, count, Waker::wake);
}

/// The oldest future that waits for `word` was passed, and is woken if that is the last time:
/// after a notify that has woken enough threads, or a release for which somebody had been
/// notified before.
#[inline]
pub(crate) fn pass(word: *const AtomicU32) {
    // Ordering: Relaxed; no wake-up rests on it.
    if TABLE.waiting.load(Ordering::Relaxed) != 0 {
        pass_slowly(word);
    }
}

/// Wakes the oldest future that waits for `word`, for something that nobody is owed a notify for.
#[cfg(feature = "alloc")]
#[inline]
pub(crate) fn wake_another(word: *const AtomicU32) {
    // Ordering: Relaxed; no wake-up rests on it.
    if TABLE.waiting.load(Ordering::Relaxed) != 0 {
        take_each(word, 1, Waker::wake);
    }
}

#[cold]
fn pass_slowly(word: *const AtomicU32) {
    if TABLE.bucket(word).with(|queues| queues.pass(word)) {
        take_each(word, 1, Waker::wake);
    }
}

/// Takes out up to `count` futures that wait for `word` now, and gives `each` its waker.
#[cold]
fn take_each(word: *const AtomicU32, count: u32, each: fn(Waker)) {
    let bucket = TABLE.bucket(word);
    let mut left = count;
    let mut last = None;
    while left > 0 {
        let mut batch = [const { None }; BATCH];
        let wanted = batch.len().min(left as usize);
        let mut taken = 0;
        bucket.with(|queues| {
            let last = *last.get_or_insert(queues.numbers);
            while taken < wanted
                && let Some(waker) = queues.take(word, last, true)
            {
                batch[taken] = Some(waker);
                taken += 1;
            }
        });
        // Ordering: Relaxed; leaving needs no order, a notifier that still counts
        // these merely takes the lock for nothing.
        TABLE.waiting.fetch_sub(taken as u32, Ordering::Relaxed);
        for waker in batch.into_iter().flatten() {
            contain(|| each(waker));
        }
        left -= taken as u32;
        if taken < wanted {
            return;
        }
    }
}

/// Wakes all futures that wait for words in these bytes, and forgets them: one that is polled looks
/// again at what is there.
///
/// For whoever keeps objects of this crate in bytes of its own, as a shared memory does, and does
/// not drop them: to be called before the bytes are freed, and after other objects were put there.
/// Else a future that was leaked would take the wake-ups of the next object. It blocks for as
/// long as it takes to look at all words that futures wait for; when there are none it is one load.
///
/// # Example
///
/// ```
/// use threadwork_sync::{Semaphore, look_again};
///
/// let semaphore = Semaphore::new(0);
/// look_again((&raw const semaphore).cast(), size_of::<Semaphore>());
/// ```
pub fn look_again(start: *const u8, len: usize) {
    // Ordering: Relaxed; a future had borrowed what was there, and that has ended, which orders
    // its addition before this. Whoever begins to wait meanwhile sees what is there now.
    if TABLE.waiting.load(Ordering::Relaxed) == 0 {
        return;
    }
    let addresses = start.addr()..start.addr().saturating_add(len);
    for bucket in &TABLE.buckets {
        let last = bucket.with(|queues| queues.numbers);
        loop {
            let waker = bucket.with(|queues| {
                let word = queues.word_in(&addresses, last)?;
                queues.take(word, last, false)
            });
            let Some(waker) = waker else {
                break;
            };
            // Ordering: Relaxed, as in `take_each`.
            TABLE.waiting.fetch_sub(1, Ordering::Relaxed);
            contain(|| waker.wake());
        }
    }
}

/// A word that futures of this crate may wait for. It is an atomic, and nothing besides: its
/// end takes out of the table who still waits for it, all of which are leaked.
#[repr(transparent)]
pub(crate) struct Word(AtomicU32);

impl Word {
    const_fn! {
        pub(crate) fn new(value: u32) -> Self {
            Word(AtomicU32::new(value))
        }
    }

    /// For a notify after which the word may be gone.
    #[inline]
    pub(crate) fn address(&self) -> *const AtomicU32 {
        &raw const self.0
    }
}

impl Deref for Word {
    type Target = AtomicU32;

    #[inline]
    fn deref(&self) -> &AtomicU32 {
        &self.0
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Loom's models leak no futures, and the table may be gone before its own locks are.
#[cfg(not(loom))]
impl Drop for Word {
    #[inline]
    fn drop(&mut self) {
        // Ordering: Relaxed; a future had borrowed the word, and that has ended, which
        // orders its addition before this.
        if TABLE.waiting.load(Ordering::Relaxed) != 0 {
            take_each(&raw const self.0, u32::MAX, drop);
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
                below: [ptr::null_mut(); 2],
                number: 0,
                passed: 0,
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
        let refused = TABLE.bucket(word).with(|queues| {
            // Ordering: Relaxed; ordered by the addition above.
            if word.load(Ordering::Relaxed) != expected {
                return Some(waker);
            }
            // SAFETY: the lock is held, and the node is not queued.
            unsafe { (*node).word = word };
            // SAFETY: as above.
            let _none = unsafe { (*node).waker.replace(waker) };
            // SAFETY: the node is pinned, and `leave` takes it out before it is gone.
            unsafe { queues.push(node) };
            None
        });
        let queued = refused.is_none();
        if !queued {
            // Ordering: Relaxed, as in `take_each`.
            TABLE.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        contain(|| drop(refused));
        queued
    }

    /// How it stands; if it still waits, from now on with this waker.
    pub(crate) fn look(self: Pin<&Self>, waker: &Waker) -> Standing {
        let mut other = Some(waker.clone());
        let standing = self.with_links(|_, node| {
            // SAFETY: the lock is held.
            let links = unsafe { &mut *node };
            if links.queued {
                core::mem::swap(&mut links.waker, &mut other);
                return Standing::Queued;
            }
            if core::mem::take(&mut links.notified) {
                return Standing::Notified;
            }
            Standing::Free
        });
        contain(|| drop(other));
        standing
    }

    /// Waits no more. Says how it stood.
    pub(crate) fn leave(self: Pin<&Self>) -> Standing {
        let mut waker = None;
        let standing = self.with_links(|queues, node| {
            // SAFETY: the lock is held.
            if unsafe { (*node).queued } {
                // SAFETY: as above.
                waker = unsafe { (*node).waker.take() };
                // SAFETY: it is in its queue.
                unsafe { queues.remove(node) };
                return Standing::Queued;
            }
            // SAFETY: as above.
            if core::mem::take(unsafe { &mut (*node).notified }) {
                return Standing::Notified;
            }
            Standing::Free
        });
        if standing == Standing::Queued {
            // Ordering: Relaxed, as in `take_each`.
            TABLE.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        contain(|| drop(waker));
        standing
    }

    fn with_links(
        self: Pin<&Self>,
        body: impl FnOnce(&mut Queues, *mut Links) -> Standing,
    ) -> Standing {
        let node = self.links.get();
        let word = self.word.get();
        if word.is_null() {
            return Standing::Free;
        }
        TABLE.bucket(word).with(|queues| body(queues, node))
    }
}
