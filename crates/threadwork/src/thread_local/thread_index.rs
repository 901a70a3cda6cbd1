//! The indices of threads: small numbers, used again, by which tables of values are indexed.
//!
//! A thread takes the lowest free index when it first makes a value, and frees it when it
//! ends. So a table is as long as there were threads at once, not as there ever were.
//!
//! Invariant: no two threads have one index at the same time, and what a thread did
//! before it freed an index happens before what the next owner does.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Weak;

use threadwork_sync::Mutex;

use crate::boundary;

/// The number of a thread that has no index. It is never taken.
pub(super) const NONE: usize = usize::MAX;

/// What wants to know that a thread has ended.
pub(super) trait Ends {
    /// The thread that has this index, and calls this, ends.
    fn end(&self, index: usize);
}

/// The numbers that no thread has.
struct Free {
    numbers: BinaryHeap<Reverse<usize>>,
    /// The first that was never taken.
    next: usize,
}

static FREE: Mutex<Free> = Mutex::new(Free {
    numbers: BinaryHeap::new(),
    next: 0,
});

fn take() -> usize {
    let mut free = FREE.lock();
    if let Some(Reverse(number)) = free.numbers.pop() {
        return number;
    }
    free.next += 1;
    free.next - 1
}

/// That a thread has an index, until it ends.
struct Registration {
    number: Cell<Option<usize>>,
    ends: RefCell<Vec<Weak<dyn Ends>>>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(number) = self.number.take() else {
            return;
        };
        for end in self.ends.take() {
            if let Some(end) = end.upgrade() {
                boundary::call(move || end.end(number));
            }
        }
        INDEX.set(NONE);
        FREE.lock().numbers.push(Reverse(number));
    }
}

thread_local! {
    /// Without a destructor, so that reading it is a load and nothing else.
    static INDEX: Cell<usize> = const { Cell::new(NONE) };
    static REGISTRATION: Registration = const {
        Registration { number: Cell::new(None), ends: RefCell::new(Vec::new()) }
    };
}

/// The calling thread's index, or `NONE`.
#[inline]
pub(super) fn current() -> usize {
    INDEX.get()
}

/// The calling thread's index, which it takes if it has none.
///
/// A thread that has none because its thread-locals are being destroyed takes one that is
/// never freed: nobody tells when that thread is over.
#[cold]
pub(super) fn assign() -> usize {
    if INDEX.get() == NONE {
        let number = take();
        // An error: the destructor has run. Then nobody else notes the number.
        let _ = REGISTRATION.try_with(|registration| registration.number.set(Some(number)));
        INDEX.set(number);
    }
    INDEX.get()
}

/// Has `end` called when the calling thread, which has an index, ends. Returns whether it
/// will be: not if the thread's thread-locals are being destroyed already.
pub(super) fn at_end(end: Weak<dyn Ends>) -> bool {
    let noted = REGISTRATION.try_with(|registration| {
        let mut ends = registration.ends.borrow_mut();
        // Those that are gone leave when the list would have to be moved anyway.
        if ends.len() == ends.capacity() {
            ends.retain(|end| end.strong_count() > 0);
            let live = ends.len();
            ends.reserve(live + 1);
        }
        ends.push(end);
    });
    noted.is_ok()
}
