//! A value with cache lines of its own.

use core::ops::{Deref, DerefMut};

/// Aligned and padded to 128 bytes, so that no two of them share a cache line.
///
/// 128, not 64, on every target: x86-64 fetches lines in pairs, aarch64 has lines of
/// 128 bytes in places, and WebAssembly runs on both.
///
/// # Example
///
/// ```
/// use std::sync::atomic::AtomicU64;
/// use threadwork_sync::CachePadded;
///
/// let counters: [CachePadded<AtomicU64>; 4] = Default::default();
/// assert_eq!(size_of_val(&counters), 4 * 128);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C, align(128))]
pub struct CachePadded<T> {
    value: T,
}

impl<T> CachePadded<T> {
    /// Pads `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        CachePadded { value }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for CachePadded<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> From<T> for CachePadded<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
