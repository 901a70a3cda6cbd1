//! The one place that switches between the real atomics and loom's, so that the
//! code that is model-checked is the code that ships.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicUsize};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicUsize};

/// A cell for what several threads use, at times that something else keeps apart. Loom
/// complains if nothing does.
#[cfg(not(loom))]
pub(crate) struct Checked<T>(core::cell::Cell<T>);

#[cfg(not(loom))]
impl<T: Copy> Checked<T> {
    pub(crate) const fn new(value: T) -> Self {
        Checked(core::cell::Cell::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> T {
        self.0.get()
    }

    pub(crate) fn set(&self, value: T) {
        self.0.set(value);
    }
}

#[cfg(loom)]
pub(crate) struct Checked<T>(loom::cell::UnsafeCell<T>);

#[cfg(loom)]
impl<T: Copy> Checked<T> {
    pub(crate) fn new(value: T) -> Self {
        Checked(loom::cell::UnsafeCell::new(value))
    }

    pub(crate) fn get(&self) -> T {
        // SAFETY: loom checks that nobody writes.
        self.0.with(|value| unsafe { *value })
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: loom checks that nobody else reads or writes.
        self.0.with_mut(|place| unsafe { *place = value });
    }
}

/// Data behind a lock, with loom's interface: loom complains of two uses that are not
/// ordered.
#[cfg(not(loom))]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(data: T) -> Self {
        UnsafeCell(core::cell::UnsafeCell::new(data))
    }

    pub(crate) fn with_mut<R>(&self, body: impl FnOnce(*mut T) -> R) -> R {
        body(self.0.get())
    }
}

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;

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
