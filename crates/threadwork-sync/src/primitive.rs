//! The one place that switches between the real atomics and loom's, so that the
//! code that is model-checked is the code that ships.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64};

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;

#[cfg(not(any(loom, target_family = "wasm")))]
pub(crate) use core::hint::spin_loop;

/// WebAssembly has no pause: `core`'s hint is nothing there. A fence takes about as long
/// as a pause does natively, and so leaves the cache line that is watched to others.
#[cfg(all(not(loom), target_family = "wasm"))]
pub(crate) fn spin_loop() {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

/// Data behind a primitive, with loom's interface: loom complains of two accesses that
/// are not ordered, unless both read.
#[cfg(not(loom))]
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(data: T) -> Self {
        UnsafeCell(core::cell::UnsafeCell::new(data))
    }

    #[inline]
    pub(crate) fn with<R>(&self, body: impl FnOnce(*const T) -> R) -> R {
        body(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, body: impl FnOnce(*mut T) -> R) -> R {
        body(self.0.get())
    }
}

/// Makes a function `const`, but under loom, whose atomics cannot be made at
/// compile time.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])* $visibility const fn $($rest)*
        #[cfg(loom)]
        $(#[$attribute])* $visibility fn $($rest)*
    };
}
pub(crate) use const_fn;
