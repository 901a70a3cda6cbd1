//! A value for each thread, as a field of an object.
//!
//! | | a value of an ended thread | who visits all |
//! |---|---|---|
//! | [`ThreadLocal`] | stays; the next thread that takes the index takes it over | the owner of the object; others, if `T: Sync` |
//! | [`ThreadBound`] | is dropped in that thread | nobody |
//!
//! Both drop what is left with the object: all of it, if a value panics as it is dropped, too.
//! `ThreadLocal` is the one to start with: what
//! threads have gathered is there when they are joined, and to visit it is what most such
//! objects are for.
//!
//! *Lent, not given*: a thread's value is lent to a closure, as std's `LocalKey` does it. A
//! reference that outlives the call could be kept in a thread-local of std's, the destructor
//! of which runs when the index, and with it the value, may be another thread's already, or
//! the value is gone. Only a `T: Sync` that stays can be given out
//! ([`ThreadLocal::get_or`]).
//!
//! *The fast path* is one read of a thread-local without a destructor (the index of the
//! thread, a small number that is used again when it ends), and a load from a table in the
//! object. Values have cache lines of their own.
//!
//! Sources: the crate `thread_local` for the numbers and the table of doubling rows.

mod bound;
mod table;
mod thread_index;

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

pub use bound::ThreadBound;
use table::{Cursor, Table};

/// A value for each thread that uses this object, all of which the object's owner can
/// visit.
///
/// A value stays when its thread ends: until it is visited, or the object is dropped, or a
/// thread that starts later takes it over. So there are never more values than there were
/// threads at the same time, however many there were in all. For a sum, a cache or a buffer
/// that is just right. If a thread must begin with a fresh value, see [`ThreadBound`].
///
/// # Example
///
/// ```
/// use std::cell::Cell;
/// use threadwork::ThreadLocal;
///
/// let sums = ThreadLocal::<Cell<u64>>::new();
/// std::thread::scope(|scope| {
///     for part in [1..=50, 51..=100] {
///         let sums = &sums;
///         scope.spawn(move || {
///             for n in part {
///                 sums.with_or(Cell::default, |sum| sum.set(sum.get() + n));
///             }
///         });
///     }
/// });
/// assert_eq!(sums.into_iter().map(Cell::into_inner).sum::<u64>(), 5050);
/// ```
pub struct ThreadLocal<T: Send> {
    table: Table<T>,
}

impl<T: Send> ThreadLocal<T> {
    /// No thread has a value.
    #[must_use]
    pub const fn new() -> Self {
        ThreadLocal {
            table: Table::new(),
        }
    }

    /// Calls `body` with the value of the calling thread, if it has one.
    #[inline]
    pub fn with<R>(&self, body: impl FnOnce(Option<&T>) -> R) -> R {
        body(self.lend())
    }

    /// Calls `body` with the value of the calling thread, which `init` makes if it has none.
    ///
    /// If `init` itself makes the value, by calling this, then that value stays, and what
    /// `init` returns is dropped.
    #[inline]
    pub fn with_or<R>(&self, init: impl FnOnce() -> T, body: impl FnOnce(&T) -> R) -> R {
        body(match self.lend() {
            Some(value) => value,
            None => self.make(init()),
        })
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
        Ok(body(match self.lend() {
            Some(value) => value,
            None => self.make(init()?),
        }))
    }

    /// The value of the calling thread, for the time of a call, or for longer if `T: Sync`.
    #[inline]
    fn lend(&self) -> Option<&T> {
        // SAFETY: it is this thread's index. Values are taken by who has `self` for
        // itself, so not while this reference is in use.
        unsafe { self.table.get(thread_index::current()) }
    }

    /// Sets the value of the calling thread, if it still has none, and lends it.
    #[cold]
    fn make(&self, value: T) -> &T {
        let index = thread_index::assign();
        match self.lend() {
            Some(earlier) => earlier,
            // SAFETY: it is this thread's index, and empty. Else as in `lend`.
            None => unsafe { self.table.insert(index, value) },
        }
    }

    /// The value of the calling thread, if it has one.
    #[inline]
    pub fn get(&self) -> Option<&T>
    where
        T: Sync,
    {
        self.lend()
    }

    /// The value of the calling thread, which `init` makes if it has none.
    ///
    /// A value that is not `Sync` is lent by [`with_or`](Self::with_or).
    ///
    /// # Example
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use threadwork::ThreadLocal;
    ///
    /// static HITS: ThreadLocal<AtomicU64> = ThreadLocal::new();
    ///
    /// let own: &'static AtomicU64 = HITS.get_or(AtomicU64::default);
    /// own.fetch_add(1, Ordering::Relaxed);
    /// assert_eq!(HITS.iter().map(|hits| hits.load(Ordering::Relaxed)).sum::<u64>(), 1);
    /// ```
    #[inline]
    pub fn get_or(&self, init: impl FnOnce() -> T) -> &T
    where
        T: Sync,
    {
        match self.lend() {
            Some(value) => value,
            None => self.make(init()),
        }
    }

    /// The calling thread's value, which is its type's default at first.
    ///
    /// # Example
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use threadwork::ThreadLocal;
    ///
    /// let counts = ThreadLocal::<AtomicU64>::new();
    /// counts.get_or_default().fetch_add(1, Ordering::Relaxed);
    /// assert_eq!(counts.get_or_default().load(Ordering::Relaxed), 1);
    /// ```
    pub fn get_or_default(&self) -> &T
    where
        T: Default + Sync,
    {
        self.get_or(T::default)
    }

    /// [`get_or`](Self::get_or), where the value cannot always be made.
    ///
    /// # Errors
    ///
    /// What `init` returns; the thread then has no value.
    #[inline]
    pub fn get_or_try<E>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E>
    where
        T: Sync,
    {
        match self.lend() {
            Some(value) => Ok(value),
            None => Ok(self.make(init()?)),
        }
    }

    /// The values of all threads, of those that have ended, too. Threads that make theirs
    /// meanwhile may be missed.
    pub fn iter(&self) -> Iter<'_, T>
    where
        T: Sync,
    {
        self.into_iter()
    }

    /// The values of all threads, of those that have ended, too.
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        self.into_iter()
    }

    /// Drops the values of all threads.
    ///
    /// # Panics
    ///
    /// As the first value that panics as it is dropped, once all of them are.
    pub fn clear(&mut self) {
        // SAFETY: `self` is borrowed for change, so nobody has a reference to a value.
        unsafe { self.table.clear() };
    }
}

impl<T: Send> Default for ThreadLocal<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + fmt::Debug> fmt::Debug for ThreadLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|own| f.debug_struct("ThreadLocal").field("own", &own).finish())
    }
}

/// The values of a [`ThreadLocal`], by [`ThreadLocal::iter`].
pub struct Iter<'a, T: Send + Sync> {
    table: &'a Table<T>,
    cursor: Cursor,
}

impl<'a, T: Send + Sync> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            let index = self.cursor.next(self.table)?;
            if let Some(value) = self.table.value(index) {
                // SAFETY: values are taken by who has the object for itself, so not during
                // 'a, and what is `Sync` may be looked at from here.
                return Some(unsafe { value.as_ref() });
            }
        }
    }
}

impl<T: Send + Sync> FusedIterator for Iter<'_, T> {}

impl<'a, T: Send + Sync> IntoIterator for &'a ThreadLocal<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        Iter {
            table: &self.table,
            cursor: Cursor::default(),
        }
    }
}

/// The values of a [`ThreadLocal`], by [`ThreadLocal::iter_mut`].
pub struct IterMut<'a, T: Send> {
    table: &'a Table<T>,
    cursor: Cursor,
    borrows: PhantomData<&'a mut T>,
}

impl<'a, T: Send> Iterator for IterMut<'a, T> {
    type Item = &'a mut T;

    fn next(&mut self) -> Option<&'a mut T> {
        loop {
            let index = self.cursor.next(self.table)?;
            if let Some(mut value) = self.table.value(index) {
                // SAFETY: the object is borrowed for change during 'a, and the cursor
                // comes to each index once.
                return Some(unsafe { value.as_mut() });
            }
        }
    }
}

impl<T: Send> FusedIterator for IterMut<'_, T> {}

impl<'a, T: Send> IntoIterator for &'a mut ThreadLocal<T> {
    type Item = &'a mut T;
    type IntoIter = IterMut<'a, T>;

    fn into_iter(self) -> IterMut<'a, T> {
        IterMut {
            table: &self.table,
            cursor: Cursor::default(),
            borrows: PhantomData,
        }
    }
}

/// The values of a [`ThreadLocal`] that is no more.
pub struct IntoIter<T: Send> {
    table: Table<T>,
    cursor: Cursor,
}

impl<T: Send> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            let index = self.cursor.next(&self.table)?;
            // SAFETY: the iterator owns the table, and gives out no references.
            if let Some(value) = unsafe { self.table.take(index) } {
                return Some(value.into_inner());
            }
        }
    }
}

impl<T: Send> FusedIterator for IntoIter<T> {}

impl<T: Send> IntoIterator for ThreadLocal<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter {
            table: self.table,
            cursor: Cursor::default(),
        }
    }
}
