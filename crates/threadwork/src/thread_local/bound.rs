//! Values that end with their threads.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use super::table::Table;
use super::thread_index::{self, Ends};

/// A value for each thread that uses this object, dropped when its thread ends, or when the
/// object does.
///
/// It is std's `thread_local!` for each object: for what a thread must not leave behind,
/// such as a file or a connection. To keep the values for whoever asks at the end, see
/// [`ThreadLocal`](super::ThreadLocal).
///
/// The destructor runs in the thread that ends, among those of its other thread-locals: after
/// its function has returned, which may be after a [`scope`](std::thread::scope) has let it
/// go. To join the thread itself waits for it.
///
/// # Example
///
/// ```
/// use std::cell::Cell;
/// use threadwork::ThreadBound;
///
/// let calls = ThreadBound::new();
/// let count = || calls.with_or(|| Cell::new(0), |calls| calls.replace(calls.get() + 1));
/// assert_eq!((count(), count()), (0, 1));
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert_eq!(count(), 0, "each thread has its own"));
/// });
/// ```
pub struct ThreadBound<T: Send + 'static> {
    table: Arc<Table<T>>,
}

impl<T: Send> Ends for Table<T> {
    fn end(&self, index: usize) {
        // SAFETY: the thread that has the index has no reference to the value: they are
        // lent for calls of `with_or` alone, and it is not inside one while it ends.
        drop(unsafe { self.take(index) });
    }
}

impl<T: Send + 'static> ThreadBound<T> {
    /// No thread has a value.
    #[must_use]
    pub fn new() -> Self {
        ThreadBound {
            table: Arc::new(Table::new()),
        }
    }

    /// Calls `body` with the value of the calling thread, if it has one.
    pub fn with<R>(&self, body: impl FnOnce(Option<&T>) -> R) -> R {
        // SAFETY: it is this thread's index. Its value is taken when the thread ends, or
        // when `self` is dropped, so not during this call.
        body(unsafe { self.table.get(thread_index::current()) })
    }

    /// Calls `body` with the value of the calling thread, which `init` makes if it has none.
    ///
    /// If the destructor of a thread-local calls it, the value may be gone already. Then
    /// `init` makes another, for this call alone.
    #[inline]
    pub fn with_or<R>(&self, init: impl FnOnce() -> T, body: impl FnOnce(&T) -> R) -> R {
        match self.with_or_try(|| Ok::<T, Infallible>(init()), body) {
            Ok(result) => result,
            Err(never) => match never {},
        }
    }

    /// [`with_or`](Self::with_or), where the value cannot always be made.
    ///
    /// # Errors
    ///
    /// What `init` returns; the thread then has no value.
    #[inline]
    pub fn with_or_try<R, E>(
        &self,
        init: impl FnOnce() -> Result<T, E>,
        body: impl FnOnce(&T) -> R,
    ) -> Result<R, E> {
        // SAFETY: as in `with`.
        match unsafe { self.table.get(thread_index::current()) } {
            Some(value) => Ok(body(value)),
            None => Ok(self.with_new(init()?, body)),
        }
    }

    #[cold]
    fn with_new<R>(&self, value: T, body: impl FnOnce(&T) -> R) -> R {
        let index = thread_index::assign();
        // SAFETY: as in `with`.
        if let Some(earlier) = unsafe { self.table.get(index) } {
            // `init` has made one by calling this, too. It stays.
            return body(earlier);
        }
        let table: Arc<dyn Ends> = self.table.clone();
        if !thread_index::at_end(Arc::downgrade(&table)) {
            return body(&value);
        }
        // SAFETY: it is this thread's index, and empty. Else as in `with`.
        body(unsafe { self.table.insert(index, value) })
    }
}

impl<T: Send + 'static> Default for ThreadBound<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> Drop for ThreadBound<T> {
    fn drop(&mut self) {
        // A thread that ends may have a handle to the table just now: then dropping ours
        // would not drop the values.
        // SAFETY: references are lent for calls, which borrow `self`. A thread that ends
        // takes its own value at the same time, or we do.
        unsafe { self.table.clear() };
    }
}

impl<T: Send + fmt::Debug + 'static> fmt::Debug for ThreadBound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|own| f.debug_struct("ThreadBound").field("own", &own).finish())
    }
}
