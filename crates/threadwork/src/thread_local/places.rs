//! The places of threads: small numbers, used again, by which tables of values are indexed.
//!
//! A thread takes the lowest free place when it first makes a value, and frees it when it
//! ends. So a table is as long as there were threads at once, not as there ever were.
//!
//! Invariant: no two threads have one place at the same time, and what a thread did
//! before it freed a place happens before what the next owner does.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Weak;

use threadwork_sync::Mutex;

/// The number of a thread that has no place. It is never taken.
pub(super) const NOWHERE: usize = usize::MAX;

/// What wants to know that a thread has ended.
pub(super) trait Ends {
    /// The thread that has this place, and calls this, ends.
    fn end(&self, place: usize);
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

/// A thread's stay in its place, which ends with the thread.
struct Stay {
    number: Cell<Option<usize>>,
    ends: RefCell<Vec<Weak<dyn Ends>>>,
}

impl Drop for Stay {
    fn drop(&mut self) {
        let Some(number) = self.number.take() else {
            return;
        };
        for end in self.ends.take() {
            if let Some(end) = end.upgrade() {
                end.end(number);
            }
        }
        PLACE.set(NOWHERE);
        FREE.lock().numbers.push(Reverse(number));
    }
}

thread_local! {
    /// Without a destructor, so that reading it is a load and nothing else.
    static PLACE: Cell<usize> = const { Cell::new(NOWHERE) };
    static STAY: Stay = const {
        Stay { number: Cell::new(None), ends: RefCell::new(Vec::new()) }
    };
}

/// The calling thread's place, or `NOWHERE`.
#[inline]
pub(super) fn current() -> usize {
    PLACE.get()
}

/// The calling thread's place, which it takes if it has none.
///
/// A thread that has none because its thread-locals are being destroyed takes one that is
/// never freed: nobody tells when that thread is over.
#[cold]
pub(super) fn settle() -> usize {
    if PLACE.get() == NOWHERE {
        let number = take();
        // An error: the destructor has run. Then nobody else notes the number.
        let _ = STAY.try_with(|stay| stay.number.set(Some(number)));
        PLACE.set(number);
    }
    PLACE.get()
}

/// Has `end` called when the calling thread, which has settled, ends. Returns whether it
/// will be: not if the thread's thread-locals are being destroyed already.
pub(super) fn at_end(end: Weak<dyn Ends>) -> bool {
    let noted = STAY.try_with(|stay| {
        let mut ends = stay.ends.borrow_mut();
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
