//! [`OnceLock`]: data that is written once, beside a [`Once`].
//!
//! The data is there exactly when the once is complete. Before, only the thread that has
//! the [`Running`] touches it; afterwards nobody writes it, but through `&mut`.

use core::convert::Infallible;
use core::fmt;
use core::mem::MaybeUninit;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use crate::futex::Futex;
use crate::once::{Once, Running};
use crate::primitive::{UnsafeCell, const_fn};
use crate::system::System;
use crate::wait::Wait;

/// A cell that is written once, by any thread, and then read by all.
///
/// Four bytes and the data, in this order. All zero bytes are an empty cell, whatever
/// `T` is. Reading costs one load and a comparison. An initializer that panics or fails
/// leaves the cell empty, and the next caller's is tried.
///
/// # Example
///
/// ```
/// use threadwork_sync::OnceLock;
///
/// static NAME: OnceLock<String> = OnceLock::new();
///
/// assert_eq!(NAME.get(), None);
/// let reader = std::thread::spawn(|| NAME.wait().len());
/// assert_eq!(NAME.get_or_init(|| "Ada".to_string()), "Ada");
/// assert_eq!(NAME.set("Grace".to_string()), Err("Grace".to_string()));
/// assert_eq!(reader.join().unwrap(), 3);
/// ```
#[repr(C)]
pub struct OnceLock<T> {
    once: Once,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: shared, it gives `&T` to many threads (T: Sync), and it takes a T from one
// thread which another may drop or take out (T: Send). For instance: a scoped thread
// sets it, and the thread that owns the cell drops it.
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// Send where T is: it owns the data.

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    const_fn! {
        /// An empty cell.
        #[must_use]
        pub fn new() -> Self {
            OnceLock { once: Once::new(), value: UnsafeCell::new(MaybeUninit::uninit()) }
        }
    }

    /// The data, if it is there. Never blocks.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.once.is_completed() {
            // SAFETY: complete.
            Some(unsafe { self.value() })
        } else {
            None
        }
    }

    /// # Safety
    ///
    /// The once is complete, as this thread has seen.
    #[inline]
    unsafe fn value(&self) -> &T {
        self.value.with(|value| {
            // SAFETY: the data is there, and nobody writes it while `self` is borrowed.
            unsafe { &*value.cast::<T>() }
        })
    }

    /// The data, if it is there.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if self.once.is_completed() {
            // SAFETY: the data is there, and `&mut` says that nobody else has it.
            Some(
                self.value
                    .with_mut(|value| unsafe { &mut *value.cast::<T>() }),
            )
        } else {
            None
        }
    }

    /// The data, which `init` makes if it is not there. Blocks while another thread
    /// makes it.
    ///
    /// # Panics
    ///
    /// When `init` panics: then the cell stays empty. When `init` asks this cell for its
    /// data (with feature `std`; without, that waits for ever).
    #[inline]
    pub fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        match self.get_or_try_init(|| Ok::<T, Infallible>(init())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// [`get_or_init`](Self::get_or_init) with an initializer that may fail.
    ///
    /// # Errors
    ///
    /// Those of `init`. The cell stays empty, and the next caller's initializer is tried.
    ///
    /// # Panics
    ///
    /// As [`get_or_init`](Self::get_or_init).
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_sync::OnceLock;
    ///
    /// let port = OnceLock::new();
    /// assert!(port.get_or_try_init(|| "http".parse::<u16>()).is_err());
    /// assert_eq!(port.get_or_try_init(|| "80".parse::<u16>()), Ok(&80));
    /// ```
    #[inline]
    pub fn get_or_try_init<E>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        match self.get() {
            Some(value) => Ok(value),
            None => self.init_slowly(init),
        }
    }

    #[cold]
    fn init_slowly<E>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(running) = self.once.begin_blocking(&System) {
            self.fill(running, init)?;
        }
        // SAFETY: a run has ended well, ours or another.
        Ok(unsafe { self.value() })
    }

    fn fill<E>(
        &self,
        running: Running<'_, impl Futex>,
        init: impl FnOnce() -> Result<T, E>,
    ) -> Result<(), E> {
        let value = running.run(init)?;
        self.value.with_mut(|place| {
            // SAFETY: the right to run is the right to write.
            unsafe { place.write(MaybeUninit::new(value)) }
        });
        running.complete();
        Ok(())
    }

    /// [`get_or_init`](Self::get_or_init) that awaits another thread's initializer
    /// instead of blocking. `init` itself is run by whoever polls, and does not await.
    pub async fn get_or_init_async(&self, init: impl FnOnce() -> T) -> &T {
        if let Some(running) = Wait::new(self.once.begin(&System)).await {
            match self.fill(running, || Ok::<T, Infallible>(init())) {
                Ok(()) => {}
                Err(never) => match never {},
            }
        }
        // SAFETY: a run has ended well, ours or another.
        unsafe { self.value() }
    }

    /// Writes the data. Blocks while another thread makes it.
    ///
    /// # Errors
    ///
    /// The data given, if there is some already.
    ///
    /// # Panics
    ///
    /// When it is called by this cell's own initializer (with feature `std`).
    pub fn set(&self, value: T) -> Result<(), T> {
        match self.try_insert(value) {
            Ok(_) => Ok(()),
            Err((_, value)) => Err(value),
        }
    }

    /// [`set`](Self::set) that returns the data.
    ///
    /// # Errors
    ///
    /// What there is already, and the data given.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert_eq!(cell.try_insert(1), Ok(&1));
    /// assert_eq!(cell.try_insert(2), Err((&1, 2)));
    /// ```
    pub fn try_insert(&self, value: T) -> Result<&T, (&T, T)> {
        let mut value = Some(value);
        let present = self.get_or_init(|| match value.take() {
            Some(value) => value,
            None => unreachable!("an initializer is called once"),
        });
        match value {
            None => Ok(present),
            Some(value) => Err((present, value)),
        }
    }

    /// The data; blocks until it is there, whoever writes it, and whenever.
    ///
    /// # Panics
    ///
    /// When it is called by this cell's own initializer (with feature `std`).
    #[inline]
    pub fn wait(&self) -> &T {
        self.once.wait();
        // SAFETY: complete.
        unsafe { self.value() }
    }

    /// The data, or `None` if it is not there after `timeout`.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        if self.once.wait_timeout(timeout) {
            self.get()
        } else {
            None
        }
    }

    /// The data, or `None` if it is not there at `deadline`.
    #[cfg(feature = "std")]
    pub fn wait_deadline(&self, deadline: std::time::Instant) -> Option<&T> {
        if self.once.wait_deadline(deadline) {
            self.get()
        } else {
            None
        }
    }

    /// Awaits the data.
    pub async fn wait_async(&self) -> &T {
        self.once.wait_async().await;
        // SAFETY: complete.
        unsafe { self.value() }
    }

    /// Takes the data out and leaves the cell empty.
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_sync::OnceLock;
    ///
    /// let mut cell = OnceLock::from(1);
    /// assert_eq!(cell.take(), Some(1));
    /// assert_eq!(cell.set(2), Ok(()));
    /// ```
    pub fn take(&mut self) -> Option<T> {
        if !self.once.is_completed() {
            return None;
        }
        self.once.reset();
        // SAFETY: the data was there, nobody else has it, and the cell now says that it
        // is empty.
        Some(self.value.with(|value| unsafe { value.cast::<T>().read() }))
    }

    /// The data, if it is there.
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        // A new cell takes any value.
        let _ok = cell.set(value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(Self::new, Self::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<empty>")),
        };
        out.finish()
    }
}
