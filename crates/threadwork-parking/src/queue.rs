//! The queue of one bucket: an intrusive list of waiters in the order of their
//! arrival.
//!
//! Invariant: a waiter is in a list exactly while its state is [`WAITING`] or
//! [`ASLEEP`] and it has not withdrawn; it enters and leaves only under the lock
//! of the bucket that owns the list, and it lives on the stack of a thread that
//! does not return before it has left.

use crate::core::WakeUp;
use crate::primitive::AtomicU32;
use crate::wake_slot::WakeSlot;
use std::ptr;

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
    /// Links, accessed under the bucket's lock only.
    previous: *mut Waiter,
    next: *mut Waiter,
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
            previous: ptr::null_mut(),
            next: ptr::null_mut(),
        }
    }
}

/// A doubly linked list of waiters, first in first out.
pub(crate) struct Queue {
    first: *mut Waiter,
    last: *mut Waiter,
}

// SAFETY: the pointers lead to waiters that outlive their stay in the list, and
// they are followed only with `&mut Queue` or `&Queue`, which the bucket's lock
// hands to one thread at a time.
unsafe impl Send for Queue {}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            first: ptr::null_mut(),
            last: ptr::null_mut(),
        }
    }

    /// Appends `waiter`.
    ///
    /// # Safety
    ///
    /// `waiter` must be valid, in no list, and stay in place until it has been
    /// removed from this one.
    pub(crate) unsafe fn push(&mut self, waiter: *mut Waiter) {
        // SAFETY: the caller's promise; nobody else touches the links. Only the
        // link fields are written: other threads may be looking at the state.
        unsafe { (*waiter).previous = self.last };
        // SAFETY: as above.
        unsafe { (*waiter).next = ptr::null_mut() };
        match self.last.is_null() {
            true => self.first = waiter,
            // SAFETY: `last` is in the list, so it is valid, and it is not
            // `waiter`, which was in none.
            false => unsafe { (*self.last).next = waiter },
        }
        self.last = waiter;
    }

    /// Removes `waiter`.
    ///
    /// # Safety
    ///
    /// `waiter` must be in this list.
    pub(crate) unsafe fn remove(&mut self, waiter: *mut Waiter) {
        // SAFETY: members of the list are valid.
        let previous = unsafe { (*waiter).previous };
        // SAFETY: as above.
        let next = unsafe { (*waiter).next };
        match previous.is_null() {
            true => self.first = next,
            // SAFETY: as above.
            false => unsafe { (*previous).next = next },
        }
        match next.is_null() {
            true => self.last = previous,
            // SAFETY: as above.
            false => unsafe { (*next).previous = previous },
        }
    }

    /// The members, oldest first. A member may be removed while it is visited.
    pub(crate) fn iter(&self) -> Iter {
        Iter { next: self.first }
    }
}

/// Walks a [`Queue`]; valid while the bucket's lock is held.
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
        // SAFETY: members of the list are valid; the link is read before the
        // caller may remove the member.
        self.next = unsafe { (*current).next };
        Some(current)
    }
}
