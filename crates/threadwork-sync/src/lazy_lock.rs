//! [`LazyLock`]: a [`OnceLock`] that knows its initializer.

use core::fmt;
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};

use crate::once_lock::OnceLock;
use crate::primitive::{UnsafeCell, const_fn};

/// Data that is made when it is first used.
///
/// Reading costs one load and a comparison. An initializer that panics is gone, so every
/// later use panics, too: unlike a [`OnceLock`], this one is poisoned, as in std.
///
/// # Example
///
/// ```
/// use threadwork_sync::LazyLock;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (0..10).map(|n| n * n).collect());
///
/// assert_eq!(SQUARES[7], 49);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceLock<T>,
    /// `None` once it was called. Touched only by who runs the cell's initialization.
    init: UnsafeCell<Option<F>>,
}

// SAFETY: as a `OnceLock<T>`; the initializer is moved to the thread that calls it
// (F: Send), and no thread ever has a reference to it that another has.
unsafe impl<T, F: Send> Sync for LazyLock<T, F> where OnceLock<T>: Sync {}
// Send where T and F are: it owns both.

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    const_fn! {
        /// Data that `init` will make.
        #[must_use]
        pub fn new(init: F) -> Self {
            LazyLock { cell: OnceLock::new(), init: UnsafeCell::new(Some(init)) }
        }
    }

    /// The data, made if it is not there yet; what dereferencing does. Blocks while
    /// another thread makes it.
    ///
    /// # Panics
    ///
    /// When the initializer panics, or did before, or uses this data itself (with
    /// feature `std`; without, that waits for ever).
    #[inline]
    pub fn force(this: &Self) -> &T {
        this.cell.get_or_init(|| {
            let init = this.init.with_mut(|init| {
                // SAFETY: the cell runs one initializer at a time, and nobody else looks.
                let init = unsafe { &mut *init };
                init.take()
            });
            match init {
                Some(init) => init(),
                None => panic!(
                    "the initializer of a LazyLock has panicked before: use a OnceLock where \
                     another try may succeed"
                ),
            }
        })
    }

    /// The data, if it is there. Never blocks.
    #[inline]
    pub fn get(this: &Self) -> Option<&T> {
        this.cell.get()
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match self.cell.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninitialized>")),
        };
        out.finish()
    }
}
