//! [`Owned`]: a vector that a loop takes apart.
//!
//! The elements stay where they are; each part owns a run of them, and the last one to go frees
//! the memory.
//!
//! Invariant: the runs of all parts are disjoint, and what is in them is initialized. An element
//! is moved out by shortening the run first, so it is owned once, also when a panic comes.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

/// The elements of a vector, by value: see [`par`](crate::par). Also the iterator over them.
pub struct Owned<T> {
    first: NonNull<T>,
    length: usize,
    /// Where they are. Nobody uses it but to free it.
    memory: Arc<Memory<T>>,
}

/// A vector whose elements belong to others.
struct Memory<T>(Vec<T>);

// SAFETY: an `Owned` has its elements alone, as a vector would; the shared memory is not used
// but to free it, by the last one.
unsafe impl<T: Send> Send for Owned<T> {}
// SAFETY: shared, it gives nothing away but its length.
unsafe impl<T: Sync> Sync for Owned<T> {}

impl<T> Owned<T> {
    pub(super) fn new(mut vector: Vec<T>) -> Self {
        let length = vector.len();
        // SAFETY: fewer elements; from here on they belong to the part.
        unsafe { vector.set_len(0) };
        Owned {
            first: NonNull::new(vector.as_mut_ptr()).unwrap_or(NonNull::dangling()),
            length,
            memory: Arc::new(Memory(vector)),
        }
    }
}

impl<T: Send> super::Parts for Owned<T> {
    type Item = T;
    type Items = Self;

    fn size(&self) -> usize {
        self.length
    }

    fn divide(mut self, at: usize) -> (Self, Self) {
        let at = at.min(self.length);
        let right = Owned {
            // SAFETY: inside the run, or at its end.
            first: unsafe { self.first.add(at) },
            length: self.length - at,
            memory: self.memory.clone(),
        };
        self.length = at;
        (self, right)
    }

    fn items(self) -> Self {
        self
    }
}

impl<T> Iterator for Owned<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.length = self.length.checked_sub(1)?;
        let next = self.first;
        // SAFETY: inside the run, or at its end.
        self.first = unsafe { next.add(1) };
        // SAFETY: it was in the run, and is not any more.
        Some(unsafe { next.read() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.length, Some(self.length))
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        let rest = NonNull::slice_from_raw_parts(self.first, self.length);
        // SAFETY: the run belongs to this part, which is over.
        unsafe { rest.drop_in_place() };
    }
}

impl<T> fmt::Debug for Owned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owned").field("len", &self.length).finish()
    }
}

impl<T> fmt::Debug for Memory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("capacity", &self.0.capacity())
            .finish()
    }
}
