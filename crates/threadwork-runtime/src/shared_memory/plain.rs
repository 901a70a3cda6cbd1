//! Types that are nothing but their bytes.

/// A type any bytes of which are a value, and every byte of which is initialized: the
/// integers, the floats, and arrays of them.
///
/// # Safety
///
/// All bit patterns are valid values, there is no padding, and nothing inside can be
/// changed through a shared reference.
///
/// # Example
///
/// ```
/// use threadwork_runtime::{Plain, SharedMemory};
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// #[repr(C)]
/// struct Point {
///     x: f32,
///     y: f32,
/// }
/// // SAFETY: two floats, without padding.
/// unsafe impl Plain for Point {}
///
/// let memory = SharedMemory::new(1, 1)?;
/// memory.write(8, Point { x: 1.0, y: 2.0 })?;
/// assert_eq!(memory.read::<Point>(8)?.y, 2.0);
/// # Ok::<(), threadwork_runtime::MemoryError>(())
/// ```
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

macro_rules! plain {
    ($($type:ty)*) => {$(
        // SAFETY: a number: each bit pattern is one, and it has no padding.
        unsafe impl Plain for $type {}
    )*};
}

plain!(i8 u8 i16 u16 i32 u32 i64 u64 i128 u128 isize usize f32 f64);

// SAFETY: elements follow each other without padding.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// The bytes of `value`.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    let start = std::ptr::from_ref(value).cast();
    // SAFETY: all bytes of a `Plain` type are initialized, and it does not change
    // while it is borrowed.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }
}

/// The bytes of `value`, to write to.
pub(crate) fn bytes_of_mut<T: Plain>(value: &mut T) -> &mut [u8] {
    let start = std::ptr::from_mut(value).cast();
    // SAFETY: as in `bytes_of`; whatever is written makes a value.
    unsafe { std::slice::from_raw_parts_mut(start, size_of::<T>()) }
}

/// The value whose bytes are zero.
pub(crate) fn zero<T: Plain>() -> T {
    // SAFETY: all bit patterns of a `Plain` type are values.
    unsafe { std::mem::zeroed() }
}
