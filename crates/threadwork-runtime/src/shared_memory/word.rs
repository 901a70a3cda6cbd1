//! The words that atomics work on.

use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering,
};

use super::plain::Plain;

/// An integer that a memory can change atomically: 8 to 64 bits, with or without a sign.
///
/// The trait is sealed: WebAssembly has these widths and no others.
pub trait AtomicWord: Plain + sealed::Operations {}

pub(crate) mod sealed {
    use super::Ordering;

    /// The operations, all of them sequentially consistent, as WebAssembly's are. What
    /// changes the word returns the old value. Named so that they clash with nothing of a
    /// user's who bounds a type by `AtomicWord`.
    pub trait Operations: Copy + Sized {
        /// The atomic type of this width.
        type Atomic: Sync;

        /// # Safety
        ///
        /// `word` is aligned, and points to a word of this width that lives for `'a` and
        /// that is meanwhile accessed by atomics alone.
        unsafe fn atomic_at<'a>(word: *mut u8) -> &'a Self::Atomic;
        fn atomic_load(word: &Self::Atomic) -> Self;
        fn atomic_store(word: &Self::Atomic, value: Self);
        fn atomic_add(word: &Self::Atomic, value: Self) -> Self;
        fn atomic_sub(word: &Self::Atomic, value: Self) -> Self;
        fn atomic_and(word: &Self::Atomic, value: Self) -> Self;
        fn atomic_or(word: &Self::Atomic, value: Self) -> Self;
        fn atomic_xor(word: &Self::Atomic, value: Self) -> Self;
        fn atomic_exchange(word: &Self::Atomic, value: Self) -> Self;
        fn atomic_compare_exchange(word: &Self::Atomic, expected: Self, new: Self) -> Self;
        /// Its bits, extended by the sign if it has one.
        fn into_word_bits(self) -> i64;
        /// The lowest bits.
        fn from_word_bits(bits: i64) -> Self;
    }

    // Ordering: SeqCst, each of them: the one order of all threads that WebAssembly
    // promises.
    pub(super) const ORDER: Ordering = Ordering::SeqCst;
}

macro_rules! words {
    ($($type:ty, $atomic:ty;)*) => {$(
        impl AtomicWord for $type {}

        impl sealed::Operations for $type {
            type Atomic = $atomic;

            #[inline]
            unsafe fn atomic_at<'a>(word: *mut u8) -> &'a $atomic {
                // SAFETY: the caller's promise is that of `from_ptr`.
                unsafe { <$atomic>::from_ptr(word.cast()) }
            }

            #[inline]
            fn atomic_load(word: &$atomic) -> $type {
                word.load(sealed::ORDER)
            }

            #[inline]
            fn atomic_store(word: &$atomic, value: $type) {
                word.store(value, sealed::ORDER);
            }

            #[inline]
            fn atomic_add(word: &$atomic, value: $type) -> $type {
                word.fetch_add(value, sealed::ORDER)
            }

            #[inline]
            fn atomic_sub(word: &$atomic, value: $type) -> $type {
                word.fetch_sub(value, sealed::ORDER)
            }

            #[inline]
            fn atomic_and(word: &$atomic, value: $type) -> $type {
                word.fetch_and(value, sealed::ORDER)
            }

            #[inline]
            fn atomic_or(word: &$atomic, value: $type) -> $type {
                word.fetch_or(value, sealed::ORDER)
            }

            #[inline]
            fn atomic_xor(word: &$atomic, value: $type) -> $type {
                word.fetch_xor(value, sealed::ORDER)
            }

            #[inline]
            fn atomic_exchange(word: &$atomic, value: $type) -> $type {
                word.swap(value, sealed::ORDER)
            }

            #[inline]
            fn atomic_compare_exchange(word: &$atomic, expected: $type, new: $type) -> $type {
                match word.compare_exchange(expected, new, sealed::ORDER, sealed::ORDER) {
                    Ok(old) | Err(old) => old,
                }
            }

            #[inline]
            fn into_word_bits(self) -> i64 {
                self as i64
            }

            #[inline]
            fn from_word_bits(bits: i64) -> $type {
                bits as $type
            }
        }
    )*};
}

words! {
    i8, AtomicI8;
    u8, AtomicU8;
    i16, AtomicI16;
    u16, AtomicU16;
    i32, AtomicI32;
    u32, AtomicU32;
    i64, AtomicI64;
    u64, AtomicU64;
}
