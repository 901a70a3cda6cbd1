//! What the tasks of a slot depend on: those that they have spawned, and those that they
//! wait for. A raise is passed on to them.
//!
//! Children are spawned often and raises are rare, so to add a child takes no lock: it is
//! linked by its `sibling` in front of the others, by the worker of the slot alone. Who
//! reads the list, and the worker when it takes children out, has the lock.
//!
//! # No raise is lost
//!
//! The worker adds a child by a swap of `youngest`, and then looks at what it inherits. Who
//! raises has changed that, and then reads `youngest` by a read-modify-write. One of the
//! two comes first: the child is found by the raise, or the raise by the worker.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use threadwork_sync::Mutex;

use super::task::{Header, TaskRef};
use crate::boundary::discard;

#[derive(Default)]
pub(super) struct Dependencies {
    youngest: AtomicPtr<Header>,
    /// The tasks that are waited for, innermost last. Its lock is that of the list, too.
    awaited: Mutex<Vec<TaskRef>>,
}

/// Children that were taken out of the list.
pub(super) struct Children(*mut Header);

impl Dependencies {
    /// # Safety
    ///
    /// Only the worker in this slot calls it, with a task that nobody else knows yet.
    pub(super) unsafe fn add_child(&self, child: &TaskRef) {
        let child = child.adopt().into_raw();
        // Ordering: Relaxed; only this thread writes it.
        let elder = self.youngest.load(Ordering::Relaxed);
        // SAFETY: the list has a reference to it.
        let sibling = &unsafe { child.as_ref() }.sibling;
        // Ordering: Relaxed; published by the swap.
        sibling.store(elder, Ordering::Relaxed);
        // Ordering: AcqRel; pairs with `all`, on both sides of it.
        self.youngest.swap(child.as_ptr(), Ordering::AcqRel);
    }

    /// Takes children out: `all`, or those that are over. Also returns how many are left.
    ///
    /// # Safety
    ///
    /// Only the worker in this slot calls it.
    pub(super) unsafe fn forget_children(&self, all: bool) -> (Children, usize) {
        let _lock = self.awaited.lock();
        let (mut gone, mut left) = (ptr::null_mut(), 0);
        let mut link = &self.youngest;
        // Ordering: Relaxed for all links; only this thread writes them, under the lock.
        while let Some(child) = NonNull::new(link.load(Ordering::Relaxed)) {
            // SAFETY: the list has a reference to it.
            let header = unsafe { child.as_ref() };
            if all || header.is_done() {
                link.store(header.sibling.load(Ordering::Relaxed), Ordering::Relaxed);
                header.sibling.store(gone, Ordering::Relaxed);
                gone = child.as_ptr();
            } else {
                left += 1;
                link = &header.sibling;
            }
        }
        (Children(gone), left)
    }

    /// A task is waited for.
    pub(super) fn await_one(&self, task: &TaskRef) {
        self.awaited.lock().push(task.clone());
    }

    /// The wait that began last is over.
    pub(super) fn awaited_one(&self) {
        let task = self.awaited.lock().pop();
        task.into_iter().for_each(discard);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<TaskRef> {
        let awaited = self.awaited.lock();
        let mut all = awaited.clone();
        // Ordering: AcqRel; pairs with the swap in `add_child`, on both sides of it.
        let mut child = self.youngest.fetch_byte_add(0, Ordering::AcqRel);
        while let Some(header) = NonNull::new(child) {
            // SAFETY: the list has a reference to it, until somebody takes the lock.
            let task = unsafe { TaskRef::of(header) };
            // Ordering: Relaxed; published by the swap of a younger one.
            child = task.sibling.load(Ordering::Relaxed);
            all.push(task);
        }
        all
    }
}

impl Iterator for Children {
    type Item = TaskRef;

    fn next(&mut self) -> Option<TaskRef> {
        let child = NonNull::new(self.0)?;
        // SAFETY: it came from `into_raw` in `add_child`, and has left the list.
        let task = unsafe { TaskRef::from_raw(child) };
        // Ordering: Relaxed; nobody else has this list.
        self.0 = task.sibling.load(Ordering::Relaxed);
        Some(task)
    }
}
