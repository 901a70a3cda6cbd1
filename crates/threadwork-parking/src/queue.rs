//! The queue of one bucket: its waiters by address, those of one address in the order of
//! their arrival. Who waits elsewhere costs a notify next to nothing, however many they are.
//!
//! The first waiter of each address is a node of a binary trie, by the bits of the address's
//! hash: whoever is below a node agrees with it in all bits that lead there, so any node below
//! may take its place. The hash is one to one, so the trie is never deeper than it has bits, also
//! where somebody has chosen the addresses. (It is the tree in which Doug Lea's `malloc` keeps
//! large chunks by their sizes.) Nothing is allocated: all links are in the waiters.
//!
//! Invariant: a waiter is in the queue exactly while its state is [`WAITING`] or
//! [`ASLEEP`] and it has not withdrawn; it enters and leaves only under the lock
//! of the bucket that owns the queue, and it lives on the stack of a thread that
//! does not return before it has left.

use crate::core::WakeUp;
use crate::primitive::AtomicU32;
use crate::wake_slot::WakeSlot;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU64;

/// In the queue, its thread runs (it looks at this word before it sleeps).
pub(crate) const WAITING: u32 = 0;
/// In the queue, its thread sleeps or is about to: whoever takes it out wakes it.
pub(crate) const ASLEEP: u32 = 1;
/// Out of the queue: a notify took it.
pub(crate) const WOKEN: u32 = 2;
/// The same, with others; if it slept, it has been counted as runnable.
pub(crate) const WOKEN_TOGETHER: u32 = 3;
/// Out of the queue: the wait was cancelled; if it slept, it has been counted as runnable.
pub(crate) const CANCELLED: u32 = 4;

/// A thread that waits, on its own stack.
pub(crate) struct Waiter {
    pub(crate) state: AtomicU32,
    /// The host address of the guest's word.
    pub(crate) address: usize,
    /// What the host calls the thread.
    pub(crate) thread: u32,
    /// Without a timeout: it sleeps for ever unless somebody notifies it.
    pub(crate) untimed: bool,
    pub(crate) slot: WakeSlot,
    /// Set before the verdict.
    pub(crate) wake_up: WakeUp,
    /// Of the notify that woke it; set before the verdict if the thread slept.
    pub(crate) mark: AtomicU64,
    /// Accessed under the bucket's lock only.
    links: Links,
}

/// Where a waiter is in its queue.
struct Links {
    /// Of the same address, in the order of arrival. Before the first comes the last.
    previous: *mut Waiter,
    next: *mut Waiter,
    /// Of the first of an address: the nodes below.
    children: [*mut Waiter; 2],
}

impl Waiter {
    pub(crate) fn new(address: usize, thread: u32, untimed: bool, slot: WakeSlot) -> Self {
        Self {
            state: AtomicU32::new(WAITING),
            address,
            thread,
            untimed,
            slot,
            wake_up: WakeUp::new(),
            mark: AtomicU64::new(0),
            links: Links {
                previous: null_mut(),
                next: null_mut(),
                children: [null_mut(); 2],
            },
        }
    }
}

/// The waiters of one bucket.
pub(crate) struct Queue {
    root: *mut Waiter,
}

// SAFETY: the pointers lead to waiters that outlive their stay in the queue, and
// they are followed only with `&mut Queue` or `&Queue`, which the bucket's lock
// hands to one thread at a time.
unsafe impl Send for Queue {}

/// The links of a member. Others may be looking at the rest of it: no reference to the whole is
/// made.
///
/// # Safety
///
/// `waiter` must be a member of a queue, or about to be, whose lock is held, and the reference
/// must be the only one to its links as long as it lives.
unsafe fn links<'a>(waiter: *mut Waiter) -> &'a mut Links {
    // SAFETY: the caller's promise.
    unsafe { &mut (*waiter).links }
}

/// The way to an address in the trie, the first bit on top. Multiplying by an odd number is
/// one to one.
const fn way_to(address: usize) -> u64 {
    (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { root: null_mut() }
    }

    /// The place in the trie of the first waiter of `address`, or where it would be: a null
    /// pointer is there.
    fn place_of(&mut self, address: usize) -> &mut *mut Waiter {
        let mut way = way_to(address);
        let mut place = &raw mut self.root;
        loop {
            // SAFETY: a place is in the queue itself or in the links of a member, which we
            // have under the lock, and which nobody else refers to.
            let node = unsafe { *place };
            // SAFETY: members are valid, and their addresses do not change.
            if node.is_null() || unsafe { (*node).address } == address {
                // SAFETY: as above; it lives as long as the borrow of the queue.
                return unsafe { &mut *place };
            }
            let side = usize::from(way >> 63 != 0);
            way <<= 1;
            // SAFETY: as above.
            place = unsafe { &raw mut (*node).links.children[side] };
        }
    }

    /// Appends `waiter`.
    ///
    /// # Safety
    ///
    /// `waiter` must be valid, in no queue, and stay in place until it has been
    /// removed from this one.
    pub(crate) unsafe fn push(&mut self, waiter: *mut Waiter) {
        // SAFETY: the caller's promise; the address does not change.
        let place = self.place_of(unsafe { (*waiter).address });
        let first = *place;
        if first.is_null() {
            *place = waiter;
        }
        let first = *place;
        // SAFETY: the first is a member by now, and there is one reference at a time.
        let last = std::mem::replace(&mut unsafe { links(first) }.previous, waiter);
        if first != waiter {
            // SAFETY: as above; the last of an address is a member.
            unsafe { links(last) }.next = waiter;
            // SAFETY: the caller's promise.
            unsafe { links(waiter) }.previous = last;
        }
    }

    /// Removes `waiter`.
    ///
    /// # Safety
    ///
    /// `waiter` must be in this queue.
    pub(crate) unsafe fn remove(&mut self, waiter: *mut Waiter) {
        // SAFETY: the caller's promise; members are valid, and there is one reference to the
        // links of each at a time, here and below.
        let Links { previous, next, .. } = *unsafe { links(waiter) };
        // SAFETY: as above; the address does not change.
        let place = self.place_of(unsafe { (*waiter).address });
        let first = *place;
        if first != waiter {
            // SAFETY: the one before a later one is a member.
            unsafe { links(previous) }.next = next;
            let after = if next.is_null() { first } else { next };
            // SAFETY: the next and the first are members.
            unsafe { links(after) }.previous = previous;
            return;
        }
        let heir = if next.is_null() {
            // SAFETY: it is the node at its place.
            unsafe { Self::take_leaf_below(waiter) }
        } else {
            // SAFETY: the next is a member.
            unsafe { links(next) }.previous = if previous == waiter { next } else { previous };
            next
        };
        if !heir.is_null() {
            // The leaf that was taken is not below any more.
            // SAFETY: as above.
            let below = unsafe { links(waiter) }.children;
            // SAFETY: the heir is a member.
            unsafe { links(heir) }.children = below;
        }
        *place = heir;
    }

    /// Takes a node without children out of those below `node`; null if there are none.
    ///
    /// # Safety
    ///
    /// `node` must be a node of a queue whose lock is held.
    unsafe fn take_leaf_below(node: *mut Waiter) -> *mut Waiter {
        let mut place = null_mut::<*mut Waiter>();
        let mut leaf = node;
        loop {
            // SAFETY: it is the caller's node or a child of one: a member.
            let children = unsafe { &raw mut (*leaf).links.children };
            // SAFETY: as above.
            let side = match unsafe { *children } {
                [left, _] if !left.is_null() => 0,
                [_, right] if !right.is_null() => 1,
                _ => break,
            };
            // SAFETY: as above.
            place = unsafe { &raw mut (*children)[side] };
            // SAFETY: as above.
            leaf = unsafe { *place };
        }
        if place.is_null() {
            return null_mut();
        }
        // SAFETY: a place in the links of a member, as above.
        unsafe { *place = null_mut() };
        leaf
    }

    /// The members that wait for `address`, oldest first. A member may be removed while it is
    /// visited.
    pub(crate) fn of(&mut self, address: usize) -> Iter {
        Iter {
            next: *self.place_of(address),
        }
    }

    /// Calls `visit` with each member. It may remove the one that it is given.
    pub(crate) fn each(&mut self, visit: &mut impl FnMut(&mut Self, *mut Waiter)) {
        self.each_below(self.root, visit);
    }

    /// Those below a node, then those of its own address: by then nothing is below that has
    /// not been visited. As deep as the trie.
    fn each_below(&mut self, node: *mut Waiter, visit: &mut impl FnMut(&mut Self, *mut Waiter)) {
        if node.is_null() {
            return;
        }
        for side in 0..2 {
            // SAFETY: nodes are members. What is visited below leaves this one where it is.
            let child = unsafe { links(node) }.children[side];
            self.each_below(child, visit);
        }
        for waiter in (Iter { next: node }) {
            visit(self, waiter);
        }
    }
}

/// Walks those of one address; valid while the bucket's lock is held.
pub(crate) struct Iter {
    next: *mut Waiter,
}

impl Iterator for Iter {
    type Item = *mut Waiter;

    fn next(&mut self) -> Option<*mut Waiter> {
        let current = self.next;
        if current.is_null() {
            return None;
        }
        // SAFETY: members are valid; the link is read before the caller may remove the member.
        self.next = unsafe { (*current).links.next };
        Some(current)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::wake_slot::WakeSlots;

    /// Against a list, which is what a queue was: pushes, removals from anywhere, walks.
    #[test]
    fn it_is_a_list_for_each_address() {
        let slots = WakeSlots::new();
        let steps = if cfg!(miri) { 300 } else { 30_000 };
        for addresses in [1, 2, 5, 40] {
            let mut queue = Queue::new();
            let mut model: Vec<(usize, *mut Waiter)> = Vec::new();
            let mut random = 0x2545_f491_4f6c_dd1d_u64;
            let mut next = |below: usize| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 33) as usize % below
            };
            for step in 0..steps {
                let grows = next(100) < if step / 100 % 2 == 0 { 60 } else { 40 };
                if grows || model.is_empty() {
                    let address = 64 + 4 * next(addresses);
                    let waiter = Waiter::new(address, 0, false, slots.take());
                    let waiter = Box::into_raw(Box::new(waiter));
                    // SAFETY: it is new, and freed after it has been removed.
                    unsafe { queue.push(waiter) };
                    model.push((address, waiter));
                } else {
                    let (_, waiter) = model.remove(next(model.len()));
                    // SAFETY: it is in the queue, until now.
                    unsafe { queue.remove(waiter) };
                    free(&slots, waiter);
                }
                let address = 64 + 4 * next(addresses);
                let here = model.iter().filter(|(other, _)| *other == address);
                let here: Vec<_> = here.map(|(_, waiter)| *waiter).collect();
                assert_eq!(queue.of(address).collect::<Vec<_>>(), here);
                if step % 64 == 0 {
                    let mut all = Vec::new();
                    queue.each(&mut |_, waiter| all.push(waiter));
                    let mut expected: Vec<_> = model.iter().map(|(_, waiter)| *waiter).collect();
                    all.sort_unstable();
                    expected.sort_unstable();
                    assert_eq!(all, expected);
                }
            }
            // Some of them, then the others, while they are visited.
            for kept in [3, 1] {
                let mut left = 0;
                queue.each(&mut |queue, waiter| {
                    left += 1;
                    if kept == 1 || left % kept != 0 {
                        // SAFETY: it is visited, so it is in the queue.
                        unsafe { queue.remove(waiter) };
                        free(&slots, waiter);
                    }
                });
            }
            assert!(queue.root.is_null());
        }
    }

    fn free(slots: &WakeSlots, waiter: *mut Waiter) {
        // SAFETY: it was made by `Box::into_raw`, and is in no queue.
        let waiter = unsafe { Box::from_raw(waiter) };
        slots.free(&waiter.slot);
    }

    /// Whoever chooses addresses cannot make it deeper than a hash has bits.
    #[test]
    fn it_is_shallow_for_any_addresses() {
        let slots = WakeSlots::new();
        let count = if cfg!(miri) { 64 } else { 10_000 };
        for step in [4, 4096, 1 << 20] {
            let mut queue = Queue::new();
            let mut waiters: Vec<_> = (0..count)
                .map(|n| Box::new(Waiter::new(n * step, 0, false, slots.take())))
                .collect();
            for waiter in &mut waiters {
                // SAFETY: it stays in its box, and the queue is gone before it.
                unsafe { queue.push(&raw mut **waiter) };
            }
            let mut deepest = 0;
            for n in 0..count {
                let (mut depth, mut way, mut node) = (0, way_to(n * step), queue.root);
                // SAFETY: members are valid.
                while unsafe { (*node).address } != n * step {
                    // SAFETY: as above.
                    node = unsafe { links(node) }.children[usize::from(way >> 63 != 0)];
                    way <<= 1;
                    depth += 1;
                }
                deepest = deepest.max(depth);
            }
            assert!(deepest <= 64, "{deepest}");
            waiters.iter().for_each(|waiter| slots.free(&waiter.slot));
        }
    }
}
