//! The places of a loop's results, and those that are filled.
//!
//! These are pointers into the memory of one vector, and not references to parts of it: what has
//! been filled next to each other is dropped as one slice, for which the reference to one part is
//! no leave; and it may be dropped where the references to all are still arguments of a caller.
//!
//! Invariant: the places of all parts are disjoint, and a value in one belongs to one [`Filled`].

use std::mem;
use std::ptr;

use super::parts::Parts;

/// Places to be filled. Also the iterator over them.
pub(super) struct Places<T> {
    first: *mut T,
    length: usize,
}

// SAFETY: it has its places alone, as a mutable slice would.
unsafe impl<T: Send> Send for Places<T> {}

impl<T> Places<T> {
    /// The first ones of an empty vector that has room for so many.
    ///
    /// # Safety
    ///
    /// It has that room, and is not used until this, and what was filled of it, is gone or forgotten.
    pub(super) unsafe fn of(vector: &mut Vec<T>, count: usize) -> Self {
        debug_assert!(vector.is_empty() && count <= vector.capacity());
        Places {
            first: vector.as_mut_ptr(),
            length: count,
        }
    }
}

impl<T: Send> Parts for Places<T> {
    type Item = *mut T;
    type Items = Self;

    fn size(&self) -> usize {
        self.length
    }

    fn divide(self, at: usize) -> (Self, Self) {
        let at = at.min(self.length);
        let right = Places {
            first: self.first.wrapping_add(at),
            length: self.length - at,
        };
        (Places { length: at, ..self }, right)
    }

    fn items(self) -> Self {
        self
    }
}

impl<T> Iterator for Places<T> {
    type Item = *mut T;

    fn next(&mut self) -> Option<*mut T> {
        self.length = self.length.checked_sub(1)?;
        let place = self.first;
        self.first = place.wrapping_add(1);
        Some(place)
    }
}

/// Results in their places, which are dropped unless they are forgotten.
pub(super) struct Filled<T> {
    first: *mut T,
    pub(super) count: usize,
}

// SAFETY: it owns values of T.
unsafe impl<T: Send> Send for Filled<T> {}

impl<T> Default for Filled<T> {
    fn default() -> Self {
        Filled {
            first: ptr::null_mut(),
            count: 0,
        }
    }
}

impl<T> Filled<T> {
    /// Fills places which, if it has some already, are the next ones.
    pub(super) fn fill(&mut self, places: Places<T>, items: impl Iterator<Item = T>) {
        let mut more = Filled {
            first: places.first,
            count: 0,
        };
        for (place, item) in places.zip(items) {
            // SAFETY: a place of this part alone, which is empty.
            unsafe { place.write(item) };
            more.count += 1;
        }
        let before = mem::take(self);
        *self = before.followed_by(more);
    }

    /// Both, if there is no gap between; else only the first.
    pub(super) fn followed_by(mut self, next: Self) -> Self {
        if self.count == 0 {
            return next;
        }
        if ptr::eq(self.first.wrapping_add(self.count), next.first) {
            self.count += next.count;
            mem::forget(next);
        }
        self
    }
}

impl<T> Drop for Filled<T> {
    fn drop(&mut self) {
        if self.count > 0 {
            // SAFETY: so many were written there, and nobody else owns them.
            unsafe { ptr::slice_from_raw_parts_mut(self.first, self.count).drop_in_place() };
        }
    }
}
