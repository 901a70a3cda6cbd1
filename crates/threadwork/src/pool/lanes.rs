//! Three lists of tasks, first in, first out: any thread adds, one at a time takes.
//!
//! The links are in the tasks themselves, so that to add allocates nothing and is two
//! writes that never wait: a swap of the end, and the link from the task before.
//!
//! # Invariants
//!
//! Of each list:
//!
//! 1. `end` is null, or the task that was added last. Whoever swaps it links the task
//!    that it found there to its own, or if there was none makes its own the `front`.
//! 2. `front` is null, or the oldest task. Null while `end` is not is an addition whose
//!    second write is yet to come.
//! 3. To take the last task sets `front` to null, then `end`, and the latter only if
//!    it is still that task: if not, an addition is on its way that links to it, and the
//!    task cannot be taken yet ([`Taken::Later`]).
//!
//! So a thread that is stopped between its two writes hides its task and those after it,
//! and the one before it if that is alone, until it goes on; nobody waits for it
//! holding anything, and none is lost.
//!
//! Sources: D. Vyukov, "Intrusive MPSC node-based queue"; without its stub, which
//! would have to be a task.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use threadwork_sync::{CachePadded, Priority};

use super::task::{Header, TaskRef};
use crate::primitive::AtomicPtr;

pub(crate) struct Lanes {
    /// Those who add write them all the time.
    ends: [CachePadded<AtomicPtr<Header>>; 3],
    /// Those who take look at all of them.
    fronts: CachePadded<[AtomicPtr<Header>; 3]>,
}

/// What came of taking a task.
pub(crate) enum Taken {
    Task(TaskRef),
    /// There is none.
    Nothing,
    /// There is one, behind an addition that is not complete.
    Later,
}

fn null() -> AtomicPtr<Header> {
    AtomicPtr::new(ptr::null_mut())
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Lanes {
            ends: [null(), null(), null()].map(CachePadded::new),
            fronts: CachePadded::new([null(), null(), null()]),
        }
    }

    /// Adds a task. Never waits.
    pub(crate) fn push(&self, class: Priority, task: TaskRef) {
        let task = task.into_raw().as_ptr();
        // Ordering: Release, so that who links to this task, or takes it, sees all of it;
        // Acquire, for the same of the one before.
        let before = self.ends[class as usize].swap(task, Ordering::AcqRel);
        // Ordering: Release; pairs with the acquires in `pop`.
        match NonNull::new(before) {
            None => self.fronts[class as usize].store(task, Ordering::Release),
            // SAFETY: a task with no link behind it is not taken while `end` is not it
            // (invariant 3).
            Some(before) => unsafe { before.as_ref() }
                .next
                .store(task, Ordering::Release),
        }
    }

    /// Whether there is a task in any, or will be in a moment and `pop` says so.
    pub(crate) fn have_work(&self) -> bool {
        // Ordering: Relaxed; who must not miss a task has an edge from its adder.
        let is_task = |front: &AtomicPtr<Header>| !front.load(Ordering::Relaxed).is_null();
        self.fronts.iter().any(is_task)
    }

    /// The same for one.
    pub(crate) fn has_work(&self, class: Priority) -> bool {
        // Ordering: Relaxed, as above.
        !self.fronts[class as usize]
            .load(Ordering::Relaxed)
            .is_null()
    }

    /// Takes the oldest task.
    ///
    /// # Safety
    ///
    /// Nobody else is in `pop`.
    pub(crate) unsafe fn pop(&self, class: Priority) -> Taken {
        let (front, end) = (&self.fronts[class as usize], &self.ends[class as usize]);
        // Ordering: Acquire, as all loads of links; pairs with the releases in `push`.
        let Some(task) = NonNull::new(front.load(Ordering::Acquire)) else {
            return Taken::Nothing;
        };
        // SAFETY: it is in the list, and only `pop` takes it out.
        let mut next = unsafe { task.as_ref() }.next.load(Ordering::Acquire);
        if next.is_null() {
            // Ordering: Relaxed; the exchange publishes it to who adds next.
            front.store(ptr::null_mut(), Ordering::Relaxed);
            // Ordering: AcqRel; pairs with the swap in `push`, on both sides of it.
            let emptied = end.compare_exchange(
                task.as_ptr(),
                ptr::null_mut(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if emptied.is_err() {
                // SAFETY: as above.
                next = unsafe { task.as_ref() }.next.load(Ordering::Acquire);
                if next.is_null() {
                    // Ordering: Relaxed; only `pop` cares.
                    front.store(task.as_ptr(), Ordering::Relaxed);
                    return Taken::Later;
                }
            }
        }
        if !next.is_null() {
            // Ordering: Relaxed; only `pop` reads what it points to, and has the edge.
            front.store(next, Ordering::Relaxed);
        }
        // SAFETY: `push` made it of a reference, and it is out of the list.
        Taken::Task(unsafe { TaskRef::from_raw(task) })
    }
}
