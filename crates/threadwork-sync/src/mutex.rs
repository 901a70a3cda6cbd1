//! [`Mutex`]: data behind a [`RawMutex`].

use core::cell::UnsafeCell;
use core::fmt;
use core::future::Future;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use crate::lock_order::{Access, CallSite, Order};
use crate::primitive::const_fn;
use crate::raw_mutex::RawMutex;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Map, block};

/// A mutual exclusion lock around data.
///
/// Four bytes and the data. Not recursive, and without poisoning: a panic under the
/// lock frees it. Unfair for speed, but within a bound (see
/// [`RawMutex`](crate::RawMutex) for the protocol): a thread that waits is passed by
/// newcomers a few times and no more.
///
/// All zero bytes are an unlocked mutex, if zero bytes are a valid `T`.
///
/// # Example
///
/// ```
/// use threadwork_sync::Mutex;
///
/// static TOTAL: Mutex<u64> = Mutex::new(0);
///
/// std::thread::scope(|scope| {
///     for n in 1..=4 {
///         scope.spawn(move || *TOTAL.lock() += n);
///     }
/// });
/// assert_eq!(*TOTAL.lock(), 10);
/// ```
#[repr(C)]
pub struct Mutex<T: ?Sized> {
    /// Of no size, and first: its address is the lock's.
    order: Order,
    raw: RawMutex,
    data: UnsafeCell<T>,
}

// SAFETY: the mutex hands out the data to one thread at a time, so sharing it only
// ever moves access to the data between threads.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: it owns the data.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    const_fn! {
        /// An unlocked mutex.
        #[must_use]
        pub fn new(data: T) -> Self {
            Mutex { raw: RawMutex::new(), order: Order::new(), data: UnsafeCell::new(data) }
        }
    }

    /// The data.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock. Blocks until it is free; where the thread may not block (a
    /// browser's main thread) it polls, and [`lock_async`](Self::lock_async) is better.
    ///
    /// A thread that locks what it holds already waits for ever.
    ///
    /// In debug builds a deadlock is reported: see [`lock_order`](crate::lock_order).
    #[inline]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.order.wait(
            Access::Exclusive,
            CallSite::here(),
            || self.raw.try_lock(),
            |timeout| match timeout {
                None => {
                    self.raw.lock_with(&System);
                    true
                }
                Some(_) => block(&System, self.raw.acquire(&System), timeout).is_some(),
            },
        );
        MutexGuard { mutex: self }
    }

    /// Takes the lock if it is free. Never blocks.
    #[inline]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let site = CallSite::here();
        self.raw.try_lock().then(|| self.taken(site))
    }

    /// Takes the lock, or gives up after `timeout`.
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    #[doc(alias = "try_lock_for")]
    pub fn lock_timeout(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let site = CallSite::here();
        self.order.is_next(site);
        let taken = self.raw.try_lock()
            || block(&System, self.raw.acquire(&System), Some(timeout)).is_some();
        taken.then(|| self.taken(site))
    }

    /// Takes the lock, or gives up at `deadline`.
    #[cfg(feature = "std")]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    #[doc(alias = "try_lock_until")]
    pub fn lock_deadline(&self, deadline: std::time::Instant) -> Option<MutexGuard<'_, T>> {
        self.lock_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Takes the lock without blocking the thread. The future may be dropped at any
    /// time; see [`Wait`].
    ///
    /// The bound on unfairness is for threads; a future can be passed any number of
    /// times.
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn lock_async(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        let site = CallSite::here();
        let acquire = self.raw.acquire(&System).never_starving();
        Wait::new(Map::new(acquire, move |()| {
            self.order.taken_by_future(Access::Exclusive, site);
            MutexGuard { mutex: self }
        }))
    }

    /// The guard of the lock that was taken here.
    #[inline]
    fn taken(&self, site: CallSite) -> MutexGuard<'_, T> {
        self.order.taken(Access::Exclusive, site);
        MutexGuard { mutex: self }
    }

    /// The data, without locking: nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// Whether somebody holds the lock at this moment.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// The lock without the data: for a [`Futex`](crate::Futex) of one's own.
    pub fn raw(&self) -> &RawMutex {
        &self.raw
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => out.field("data", &&*guard),
            None => out.field("data", &format_args!("<locked>")),
        };
        out.finish()
    }
}

/// Access to the data of a locked [`Mutex`]; unlocks it when dropped.
///
/// It may be dropped on another thread than the one that locked.
#[must_use = "if unused the mutex is unlocked at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

// SAFETY: a shared guard gives `&T`, and the mutex, which wants T to be Send.
unsafe impl<T: ?Sized + Send + Sync> Sync for MutexGuard<'_, T> {}
// Send where `&Mutex<T>` is, that is, where T is: the lock does not care which thread
// unlocks it.

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that this guard holds.
    pub fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and is borrowed for as long as the data.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.order.given_up(Access::Exclusive);
        // SAFETY: the guard holds the lock, and nobody can reach the data through it
        // any more.
        unsafe { self.mutex.raw.unlock_with(&System) };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
