//! A table of values, one for each index.
//!
//! The slots of the first indices are in the object. Those of later ones are in rows of 16,
//! 32, 64, ... slots, which are made when an index in them is first used, and never move. A
//! slot points to a value on cache lines of its own, where the thread that made it
//! allocated it.
//!
//! Invariant: a slot is set by the thread that has its index, and emptied by whoever then
//! owns the value.

use std::any::Any;
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use threadwork_sync::CachePadded;

use super::thread_index::NONE;
use crate::boundary;

/// How many slots are in the object, and in the first row.
const NEAR: usize = 16;

const ROWS: usize = (usize::BITS - NEAR.ilog2()) as usize;

type Slot<T> = AtomicPtr<CachePadded<T>>;

pub(super) struct Table<T> {
    near: [Slot<T>; NEAR],
    /// Row `n` is for the `NEAR << n` indices from `NEAR << n` on.
    far: [AtomicPtr<Slot<T>>; ROWS],
    owns: PhantomData<Cell<T>>,
}

// SAFETY: a value is reached by the thread that has its index alone, or by whoever has the
// table for itself. For the others (`value`) there is a bound of its own.
unsafe impl<T: Send> Sync for Table<T> {}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Table {
            near: [const { AtomicPtr::new(ptr::null_mut()) }; NEAR],
            far: [const { AtomicPtr::new(ptr::null_mut()) }; ROWS],
            owns: PhantomData,
        }
    }

    /// The slot of an index, if its row was made. `NONE` would be in the last row, which
    /// is never made.
    #[inline]
    fn slot(&self, index: usize) -> Option<&Slot<T>> {
        match self.near.get(index) {
            None => self.far_slot(index),
            near => near,
        }
    }

    #[inline(never)]
    fn far_slot(&self, index: usize) -> Option<&Slot<T>> {
        let row = row(index);
        // Ordering: Acquire; pairs with the release in `make_row`.
        let slots = self.far[row].load(Ordering::Acquire);
        if slots.is_null() {
            return None;
        }
        // SAFETY: the row has a slot for each of its indices.
        let slot = unsafe { slots.add(index - length(row)) };
        // SAFETY: rows live as long as the table.
        Some(unsafe { &*slot })
    }

    /// The value of the calling thread.
    ///
    /// # Safety
    ///
    /// The calling thread has the index, or it is `NONE`. The value is not taken while
    /// the reference is in use.
    #[inline]
    pub(super) unsafe fn get(&self, index: usize) -> Option<&T> {
        let slot = self.slot(index)?.as_ptr();
        // Not an atomic load, which in WebAssembly is dearer and is never left out.
        // SAFETY: nobody else writes to the slot: this thread has set it, or one before that
        // had its index, and freeing and taking an index makes the edge.
        let value = unsafe { slot.read() };
        // SAFETY: a slot is null, or points to a value that lives until it is taken.
        let value = unsafe { value.as_ref() }?;
        Some(value)
    }

    /// Sets the value of the calling thread.
    ///
    /// # Safety
    ///
    /// The calling thread has the index, which has no value. The value is not taken while
    /// the reference is in use.
    pub(super) unsafe fn insert(&self, index: usize, value: T) -> &T {
        let slot = match self.slot(index) {
            Some(slot) => slot,
            None => self.make_row(index),
        };
        let value = Box::into_raw(Box::new(CachePadded::new(value)));
        // Ordering: Release; pairs with the acquires in `iter` and `take`.
        slot.store(value, Ordering::Release);
        // SAFETY: it lives until it is taken.
        unsafe { &*value }
    }

    #[cold]
    fn make_row(&self, index: usize) -> &Slot<T> {
        let number = row(index);
        let slots: Box<[Slot<T>]> = (0..length(number)).map(|_| Slot::default()).collect();
        let slots = Box::into_raw(slots);
        // Ordering: Release, so that whoever sees the row sees its empty slots. A failure
        // means that another thread was quicker.
        let made = self.far[number].compare_exchange(
            ptr::null_mut(),
            slots.cast(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if made.is_err() {
            // SAFETY: it comes from the `into_raw` above, and nobody else has it.
            drop(unsafe { Box::from_raw(slots) });
        }
        match self.far_slot(index) {
            Some(slot) => slot,
            None => unreachable!("the row was made, by this thread or another"),
        }
    }

    /// Takes the value of an index out.
    ///
    /// # Safety
    ///
    /// Nobody uses a reference to it.
    pub(super) unsafe fn take(&self, index: usize) -> Option<Box<CachePadded<T>>> {
        // Ordering: AcqRel; Acquire pairs with the release in `insert`, and with that of
        // whoever else took a value from here.
        let value = self.slot(index)?.swap(ptr::null_mut(), Ordering::AcqRel);
        if value.is_null() {
            return None;
        }
        // SAFETY: it comes from `Box::into_raw`, and whoever empties the slot owns it.
        Some(unsafe { Box::from_raw(value) })
    }

    /// The value of an index, as whoever visits all of them finds it.
    ///
    /// The type is `repr(C)`, so that what is padded begins where its padding does.
    pub(super) fn value(&self, index: usize) -> Option<NonNull<T>> {
        // Ordering: Acquire; pairs with the release in `insert`.
        let value = self.slot(index)?.load(Ordering::Acquire);
        NonNull::new(value.cast())
    }

    /// Drops all values. Should some of them panic, the first panic goes on when all are dropped.
    ///
    /// # Safety
    ///
    /// As for [`take`](Self::take), but that others may take values at the same time.
    pub(super) unsafe fn clear(&self) {
        // SAFETY: the caller's promise.
        if let Some(panic) = unsafe { self.empty() } {
            resume_unwind(panic);
        }
    }

    /// Drops all values, and returns the first panic.
    ///
    /// # Safety
    ///
    /// As for [`clear`](Self::clear).
    unsafe fn empty(&self) -> Option<Box<dyn Any + Send>> {
        let mut first = None;
        let mut cursor = Cursor::default();
        while let Some(index) = cursor.next(self) {
            // SAFETY: the caller's promise.
            let value = unsafe { self.take(index) };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                match first {
                    None => first = Some(panic),
                    Some(_) => boundary::discard(panic),
                }
            }
        }
        first
    }
}

/// Walks over the indices of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    next: usize,
}

impl Cursor {
    pub(super) fn next<T>(&mut self, table: &Table<T>) -> Option<usize> {
        while self.next != NONE {
            let index = self.next;
            if table.slot(index).is_some() {
                self.next += 1;
                return Some(index);
            }
            // There is no such row: on to the next one.
            self.next = length(row(index)).checked_mul(2).unwrap_or(NONE);
        }
        None
    }
}

/// The row of an index that is not near.
fn row(index: usize) -> usize {
    (index / NEAR).ilog2() as usize
}

/// How many slots a row has, which is also its first index.
fn length(row: usize) -> usize {
    NEAR << row
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference into a table that is dropped.
        let panic = unsafe { self.empty() };
        for (number, row) in self.far.iter_mut().enumerate() {
            let row = *row.get_mut();
            if !row.is_null() {
                let row = ptr::slice_from_raw_parts_mut(row, length(number));
                // SAFETY: `make_row` made it of a box of this length.
                drop(unsafe { Box::from_raw(row) });
            }
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}
