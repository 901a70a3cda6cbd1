//! [`RwLock`]: data behind a [`RawRwLock`].

use core::cell::UnsafeCell;
use core::fmt;
use core::future::Future;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use crate::lock_order::{Access, CallSite, Order};
use crate::primitive::const_fn;
use crate::raw_rwlock::RawRwLock;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Map, block};

/// A reader-writer lock around data: any number of readers, or one writer.
///
/// Sixteen bytes and the data. Phase-fair: a writer that unlocks makes way for the readers
/// that wait, a writer that waits stops new readers, and whoever is too slow to wake up is
/// passed a bounded number of times: a reader by one writer if others wait, anybody else
/// eight times. So neither side starves under a stream of the other
/// (see [`RawRwLock`](crate::RawRwLock) for the protocol). Not recursive, and without poisoning: a panic under the lock frees it.
///
/// All zero bytes are an unlocked lock, if zero bytes are a valid `T`.
///
/// # Example
///
/// ```
/// use threadwork_sync::RwLock;
///
/// static PRICES: RwLock<[u32; 2]> = RwLock::new([3, 4]);
///
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let prices = PRICES.read();
///             assert_eq!(prices[0] + 1, prices[1]);
///         });
///     }
///     PRICES.write().iter_mut().for_each(|price| *price += 1);
/// });
/// assert_eq!(*PRICES.read(), [4, 5]);
/// ```
#[repr(C)]
pub struct RwLock<T: ?Sized> {
    /// Of no size, and first: its address is the lock's.
    order: Order,
    raw: RawRwLock,
    data: UnsafeCell<T>,
}

// SAFETY: the lock lends the data to several threads (Sync), and hands it to one at a
// time (Send).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: it owns the data.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

impl<T> RwLock<T> {
    const_fn! {
        /// An unlocked lock.
        #[must_use]
        pub fn new(data: T) -> Self {
            RwLock { raw: RawRwLock::new(), order: Order::new(), data: UnsafeCell::new(data) }
        }
    }

    /// The data.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading. Blocks while a writer holds it or waits for it; where
    /// the thread may not block (a browser's main thread) it polls, and
    /// [`read_async`](Self::read_async) is better.
    ///
    /// A thread must not read again while it reads: if a writer came in between, both
    /// wait for ever. In debug builds that is reported: see
    /// [`lock_order`](crate::lock_order).
    ///
    /// # Panics
    ///
    /// When more than half a million readers hold or await the lock.
    #[inline]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.order.wait(
            Access::Shared,
            CallSite::here(),
            || self.raw.try_read(),
            |timeout| match timeout {
                None => {
                    self.raw.read_with(&System);
                    true
                }
                Some(_) => block(&System, self.raw.acquire_read(&System), timeout).is_some(),
            },
        );
        RwLockReadGuard { lock: self }
    }

    /// Takes the lock for writing. Blocks while anybody holds it; as
    /// [`read`](Self::read), it polls where the thread may not block, and a deadlock is
    /// reported.
    ///
    /// # Panics
    ///
    /// When more than a quarter of a million writers wait.
    #[inline]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.order.wait(
            Access::Exclusive,
            CallSite::here(),
            || self.raw.try_write(),
            |timeout| match timeout {
                None => {
                    self.raw.write_with(&System);
                    true
                }
                Some(_) => block(&System, self.raw.acquire_write(&System), timeout).is_some(),
            },
        );
        RwLockWriteGuard { lock: self }
    }

    /// Takes the lock for reading if no writer holds it or waits. Never blocks.
    #[inline]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let site = CallSite::here();
        self.raw.try_read().then(|| self.taken_to_read(site))
    }

    /// Takes the lock for writing if nobody holds it or waits. Never blocks.
    #[inline]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        let site = CallSite::here();
        self.raw.try_write().then(|| self.taken_to_write(site))
    }

    /// Takes the lock for reading, or gives up after `timeout`.
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    #[doc(alias = "try_read_for")]
    pub fn read_timeout(&self, timeout: Duration) -> Option<RwLockReadGuard<'_, T>> {
        let site = CallSite::here();
        self.order.is_next(site);
        let taken = self.raw.try_read()
            || block(&System, self.raw.acquire_read(&System), Some(timeout)).is_some();
        taken.then(|| self.taken_to_read(site))
    }

    /// Takes the lock for writing, or gives up after `timeout`.
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    #[doc(alias = "try_write_for")]
    pub fn write_timeout(&self, timeout: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        let site = CallSite::here();
        self.order.is_next(site);
        let taken = self.raw.try_write()
            || block(&System, self.raw.acquire_write(&System), Some(timeout)).is_some();
        taken.then(|| self.taken_to_write(site))
    }

    /// Takes the lock for reading, or gives up at `deadline`.
    #[cfg(feature = "std")]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    #[doc(alias = "try_read_until")]
    pub fn read_deadline(&self, deadline: std::time::Instant) -> Option<RwLockReadGuard<'_, T>> {
        self.read_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Takes the lock for writing, or gives up at `deadline`.
    #[cfg(feature = "std")]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    #[doc(alias = "try_write_until")]
    pub fn write_deadline(&self, deadline: std::time::Instant) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Takes the lock for reading without blocking the thread. The future may be
    /// dropped at any time; see [`Wait`].
    ///
    /// A writer that goes hands the lock to all readers that wait, futures among them:
    /// one that is woken holds the lock until it is polled and its guard dropped, or
    /// until it is dropped itself.
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn read_async(&self) -> impl Future<Output = RwLockReadGuard<'_, T>> {
        let site = CallSite::here();
        let acquire = self.raw.acquire_read(&System);
        Wait::new(Map::new(acquire, move |()| {
            self.order.taken_by_future(Access::Shared, site);
            RwLockReadGuard { lock: self }
        }))
    }

    /// Takes the lock for writing without blocking the thread. The future may be
    /// dropped at any time; see [`Wait`].
    ///
    /// While it waits, new readers do, too. The bound on how often other writers pass
    /// is for threads; a future can be passed any number of times.
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn write_async(&self) -> impl Future<Output = RwLockWriteGuard<'_, T>> {
        let site = CallSite::here();
        let acquire = self.raw.acquire_write(&System).never_starving();
        Wait::new(Map::new(acquire, move |()| {
            self.order.taken_by_future(Access::Exclusive, site);
            RwLockWriteGuard { lock: self }
        }))
    }

    /// The guard of the lock that was taken here.
    #[inline]
    fn taken_to_read(&self, site: CallSite) -> RwLockReadGuard<'_, T> {
        self.order.taken(Access::Shared, site);
        RwLockReadGuard { lock: self }
    }

    /// As above.
    #[inline]
    fn taken_to_write(&self, site: CallSite) -> RwLockWriteGuard<'_, T> {
        self.order.taken(Access::Exclusive, site);
        RwLockWriteGuard { lock: self }
    }

    /// The data, without locking: nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// Whether anybody holds the lock at this moment.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// Whether a writer holds the lock at this moment.
    #[must_use]
    pub fn is_write_locked(&self) -> bool {
        self.raw.is_write_locked()
    }

    /// The lock without the data: for a [`Futex`](crate::Futex) of one's own.
    pub fn raw(&self) -> &RawRwLock {
        &self.raw
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Some(guard) => out.field("data", &&*guard),
            None => out.field("data", &format_args!("<locked>")),
        };
        out.finish()
    }
}

/// Read access to the data of an [`RwLock`]; gives it up when dropped.
///
/// It may be dropped on another thread than the one that locked.
// Send and Sync where `&RwLock<T>` is, that is, where T is both. Less would not do: the
// guard lends its lock.
#[must_use = "if unused the lock is given up at once"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// The lock that this guard holds.
    pub fn rwlock(guard: &Self) -> &'a RwLock<T> {
        guard.lock
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock for reading, so nobody writes.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.order.given_up(Access::Shared);
        // SAFETY: the guard holds the lock for reading, and nobody can reach the data
        // through it any more.
        unsafe { self.lock.raw.unlock_read_with(&System) };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Write access to the data of an [`RwLock`]; gives it up when dropped.
///
/// It may be dropped on another thread than the one that locked.
// Send and Sync as the read guard.
#[must_use = "if unused the lock is given up at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// The lock that this guard holds.
    pub fn rwlock(guard: &Self) -> &'a RwLock<T> {
        guard.lock
    }

    /// Goes on as a reader, with no writer in between, and lets in the readers that
    /// wait.
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.write();
    /// *writer += 1;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!((*reader, *lock.read()), (2, 2));
    /// ```
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let lock = guard.lock;
        mem::forget(guard);
        lock.order.downgraded();
        // SAFETY: the guard held the lock for writing, and is gone.
        unsafe { lock.raw.downgrade_with(&System) };
        RwLockReadGuard { lock }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock for writing.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock for writing, and is borrowed for as long as
        // the data.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.order.given_up(Access::Exclusive);
        // SAFETY: the guard holds the lock for writing, and nobody can reach the data
        // through it any more.
        unsafe { self.lock.raw.unlock_write_with(&System) };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
