//! A condition variable: to sleep until somebody says that a condition may hold.
//!
//! # Protocol
//!
//! | offset | word | meaning |
//! |---|---|---|
//! | 0 | `sequence: u32` | changes with every notify that finds somebody waiting |
//! | 4 | `waiters: u32` | threads and futures that wait, or have not left yet |
//!
//! *To wait*, a thread that holds the mutex counts itself, reads the sequence, unlocks
//! the mutex, and sleeps while the sequence is what it read. It leaves when it was
//! woken or the sequence has changed: both mean that it was notified, and it counts
//! itself out before it locks the mutex again.
//!
//! *To notify*, a thread looks whether anybody waits, which is all if nobody does;
//! else it changes the sequence and notifies it.
//!
//! # No wake-up is lost
//!
//! The condition is changed under the mutex. If the waiter locked the mutex after
//! that, it sees the condition and does not wait. If it unlocked before that, then so
//! did it count itself and read the sequence, and the notify comes later: it sees the
//! count and changes the sequence. So the waiter sleeps by then and is found, or does
//! not go to sleep.
//!
//! A notify of one wakes the thread that slept longest, and each waiter that had
//! counted itself but was not asleep yet: more than one may leave, never none. Who was
//! woken and gives up (a future that is dropped) notifies the next; who runs out of time
//! when the sequence has changed counts as notified.
//!
//! A waiter can miss its notify if exactly 2^32 of them (or a multiple) fall between its
//! reading the sequence under the mutex and its going to sleep.
//!
//! # Orderings
//!
//! All relaxed: the mutex orders the count and the sequence as said above, and the futex
//! its comparison against a notify.
//!
//! # Notifying all
//!
//! All leave at once and queue at the mutex. The alternative without a requeue in the
//! port, that each who leaves wakes the next, adds up the latencies of all wake-ups.
//!
//! Sources: M. Bos, "Rust Atomics and Locks", chapter 9, for the count of waiters;
//! musl, for what wraps.

use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::futex::{Futex, Patience};
use crate::mutex::MutexGuard;
use crate::primitive::{AtomicU32, const_fn};
use crate::raw_mutex::RawMutex;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Resumed, Step, Waiter, block, block_forever};
use crate::wakers::Word;

/// A condition variable, for threads and futures that hold a
/// [`Mutex`](crate::Mutex).
///
/// Eight bytes; all zero is ready to use. A wait may end without a notify, so the
/// condition is checked again: [`wait_while`](Self::wait_while) does it. To notify costs
/// one load when nobody waits. It may be done with the mutex locked or unlocked; unlocked
/// is faster. What makes the condition true must happen under the mutex.
///
/// It is not bound to one mutex, but those who wait at the same time should use the
/// same.
///
/// # Example
///
/// ```
/// use threadwork_sync::{Condvar, Mutex};
///
/// static JOBS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
/// static CHANGED: Condvar = Condvar::new();
///
/// std::thread::scope(|scope| {
///     let worker = scope.spawn(|| {
///         let mut jobs = CHANGED.wait_while(JOBS.lock(), |jobs| jobs.is_empty());
///         jobs.pop()
///     });
///     JOBS.lock().push(7);
///     CHANGED.notify_one();
///     assert_eq!(worker.join().unwrap(), Some(7));
/// });
/// ```
#[repr(C)]
#[derive(Debug)]
pub struct Condvar {
    sequence: Word,
    waiters: AtomicU32,
}

/// How a wait with a timeout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult {
    timed_out: bool,
}

impl WaitTimeoutResult {
    /// Whether the time passed without a notify, or, of
    /// [`wait_timeout_while`](Condvar::wait_timeout_while), without the condition.
    #[must_use]
    pub fn timed_out(self) -> bool {
        self.timed_out
    }
}

impl Condvar {
    const_fn! {
        /// A condition variable that nobody waits for.
        #[must_use]
        pub fn new() -> Self {
            Condvar {
                sequence: Word::new(0),
                waiters: AtomicU32::new(0),
            }
        }
    }

    /// Wakes one of those that wait, if there are any. Never blocks.
    #[inline]
    pub fn notify_one(&self) {
        self.notify_one_with(&System);
    }

    /// Wakes all that wait. Never blocks.
    #[inline]
    pub fn notify_all(&self) {
        self.notify_all_with(&System);
    }

    /// As [`notify_one`](Self::notify_one), of those that wait in `futex`.
    #[inline]
    pub fn notify_one_with(&self, futex: &impl Futex) {
        self.notify(futex, 1);
    }

    /// As [`notify_all`](Self::notify_all), of those that wait in `futex`.
    #[inline]
    pub fn notify_all_with(&self, futex: &impl Futex) {
        self.notify(futex, u32::MAX);
    }

    #[inline]
    fn notify(&self, futex: &impl Futex, count: u32) {
        // Ordering: Relaxed; whoever must be seen counted itself before it unlocked
        // the mutex that the caller has had since.
        if self.waiters.load(Ordering::Relaxed) != 0 {
            self.notify_slowly(futex, count);
        }
    }

    #[cold]
    fn notify_slowly(&self, futex: &impl Futex, count: u32) {
        let word = self.sequence.address();
        // Ordering: Relaxed; the futex orders it against the sleepers' comparison.
        self.sequence.fetch_add(1, Ordering::Relaxed);
        // From here on the condition variable may be gone: only its address is used.
        futex.notify(word, count);
    }

    /// Unlocks the mutex, sleeps until notified, and locks it again. Blocks.
    ///
    /// It may also return without a notify: prefer [`wait_while`](Self::wait_while).
    ///
    /// # Panics
    ///
    /// When 2^32 - 1 wait already.
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex = MutexGuard::mutex(&guard);
        let waiter = self.waiter(&System);
        drop(guard);
        block_forever(&System, waiter);
        mutex.lock()
    }

    /// Waits until `condition` is false.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait), and when `condition` does.
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// Waits until notified, or for `timeout`. It may also return early without a
    /// notify. The time to lock the mutex again is not part of the timeout.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let mutex = MutexGuard::mutex(&guard);
        let waiter = self.waiter(&System);
        drop(guard);
        let timed_out = block(&System, waiter, Some(timeout)).is_none();
        (mutex.lock(), WaitTimeoutResult { timed_out })
    }

    /// Waits until `condition` is false, or for `timeout` in all. It has timed out if
    /// the condition was still true at the end.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork_sync::{Condvar, Mutex};
    ///
    /// let ready = Mutex::new(false);
    /// let changed = Condvar::new();
    /// let patience = Duration::from_millis(1);
    /// let (_, result) = changed.wait_timeout_while(ready.lock(), patience, |ready| !*ready);
    /// assert!(result.timed_out());
    /// ```
    ///
    /// # Panics
    ///
    /// As [`wait_while`](Self::wait_while).
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let end = System.now().and_then(|now| now.checked_add(timeout));
        let mut left = timeout;
        loop {
            if !condition(&mut guard) {
                return (guard, WaitTimeoutResult { timed_out: false });
            }
            if left.is_zero() {
                return (guard, WaitTimeoutResult { timed_out: true });
            }
            let result;
            (guard, result) = self.wait_timeout(guard, left);
            left = match (result.timed_out, end, System.now()) {
                (true, ..) => Duration::ZERO,
                (false, Some(end), Some(now)) => end.saturating_sub(now),
                // No clock, or no end in sight.
                (false, ..) => timeout,
            };
        }
    }

    /// Waits until notified, or until `deadline`; as
    /// [`wait_timeout`](Self::wait_timeout).
    #[cfg(feature = "std")]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn wait_deadline<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: std::time::Instant,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let timeout = deadline.saturating_duration_since(std::time::Instant::now());
        self.wait_timeout(guard, timeout)
    }

    /// Waits until `condition` is false, or until `deadline`; as
    /// [`wait_timeout_while`](Self::wait_timeout_while).
    #[cfg(feature = "std")]
    #[cfg_attr(
        any(
            all(debug_assertions, feature = "lock-order-debug"),
            feature = "lock-order"
        ),
        track_caller
    )]
    pub fn wait_deadline_while<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: std::time::Instant,
        condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let timeout = deadline.saturating_duration_since(std::time::Instant::now());
        self.wait_timeout_while(guard, timeout, condition)
    }

    /// Unlocks the mutex when it is first polled, waits until notified, and locks it
    /// again, without blocking the thread.
    ///
    /// The future may be dropped at any time: the mutex is then unlocked, and a notify
    /// that it had got goes to another. It may be ready without a notify: prefer
    /// [`wait_while_async`](Self::wait_while_async).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub async fn wait_async<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex = MutexGuard::mutex(&guard);
        let waiter = self.waiter(&System);
        drop(guard);
        Wait::new(waiter).await;
        let notified = Notified { condvar: self };
        let guard = mutex.lock_async().await;
        core::mem::forget(notified);
        guard
    }

    /// Waits until `condition` is false, without blocking the thread; as
    /// [`wait_async`](Self::wait_async).
    ///
    /// # Example
    ///
    /// ```
    /// # use std::future::Future;
    /// # use std::pin::pin;
    /// # use std::task::{Context, Poll, Waker};
    /// use threadwork_sync::{Condvar, Mutex};
    ///
    /// let (ready, changed) = (Mutex::new(false), Condvar::new());
    /// let mut wait = pin!(async {
    ///     *changed.wait_while_async(ready.lock_async().await, |ready| !*ready).await
    /// });
    /// # let mut context = Context::from_waker(Waker::noop());
    /// assert_eq!(wait.as_mut().poll(&mut context), Poll::Pending);
    /// *ready.lock() = true;
    /// changed.notify_one();
    /// assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(true));
    /// ```
    ///
    /// # Panics
    ///
    /// As [`wait_while`](Self::wait_while).
    pub async fn wait_while_async<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait_async(guard).await;
        }
        guard
    }

    /// Unlocks `mutex`, sleeps in `futex` until notified, and locks it again.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and whatever it protects may be others' meanwhile.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub unsafe fn wait_with(&self, futex: &impl Futex, mutex: &RawMutex) {
        let waiter = self.waiter(futex);
        // SAFETY: the caller's promise.
        unsafe { mutex.unlock_with(futex) };
        block_forever(futex, waiter);
        mutex.lock_with(futex);
    }

    /// As [`wait_with`](Self::wait_with), for at most `timeout`. Whether it was notified.
    ///
    /// # Safety
    ///
    /// As [`wait_with`](Self::wait_with).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub unsafe fn wait_timeout_with(
        &self,
        futex: &impl Futex,
        mutex: &RawMutex,
        timeout: Duration,
    ) -> bool {
        let waiter = self.waiter(futex);
        // SAFETY: the caller's promise.
        unsafe { mutex.unlock_with(futex) };
        let notified = block(futex, waiter, Some(timeout)).is_some();
        mutex.lock_with(futex);
        notified
    }

    /// Starts to wait: the first part of every wait above, for those with a lock or a
    /// loop of their own. The caller holds the lock that the condition is changed
    /// under, and unlocks it before it waits, with [`block`](crate::block) or
    /// [`Wait`](crate::Wait).
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork_sync::{Condvar, RwLock, System, block};
    ///
    /// let price = RwLock::new(3);
    /// let changed = Condvar::new();
    ///
    /// let old = price.read();
    /// let waiter = changed.waiter(&System);
    /// drop(old);
    /// *price.write() = 4;
    /// changed.notify_all();
    /// assert!(block(&System, waiter, Some(Duration::ZERO)).is_some());
    /// ```
    ///
    /// # Panics
    ///
    /// When 2^32 - 1 wait already.
    pub fn waiter<'a, F: Futex>(&'a self, futex: &'a F) -> CondvarWaiter<'a, F> {
        // Ordering: Relaxed, both; see `notify`.
        if self
            .waiters
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiters| {
                waiters.checked_add(1)
            })
            .is_err()
        {
            too_many();
        }
        CondvarWaiter {
            condvar: self,
            futex,
            // Ordering: Relaxed; the lock orders it before every notify to come.
            sequence: self.sequence.load(Ordering::Relaxed),
            counted: true,
        }
    }

    /// The wake-up that somebody got and cannot use goes to the next.
    fn pass_on(&self, futex: &impl Futex) {
        futex.notify(self.sequence.address(), 1);
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

#[cold]
fn too_many() -> ! {
    panic!(
        "more than {} wait for one condition variable: look for waits that are forgotten \
         instead of dropped",
        u32::MAX
    );
}

/// Keeps the wake-up of a future that does not have its mutex again yet; dropped with
/// the future, it passes the wake-up on.
struct Notified<'a> {
    condvar: &'a Condvar,
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        self.condvar.pass_on(&System);
    }
}

/// A thread or a future that waits for a [`Condvar`] to be notified.
#[derive(Debug)]
pub struct CondvarWaiter<'a, F: Futex> {
    condvar: &'a Condvar,
    futex: &'a F,
    sequence: u32,
    /// It is among the waiters.
    counted: bool,
}

impl<F: Futex> CondvarWaiter<'_, F> {
    fn has_changed(&self) -> bool {
        // Ordering: Relaxed; what changed besides is read under the mutex.
        self.condvar.sequence.load(Ordering::Relaxed) != self.sequence
    }

    fn leave(&mut self) {
        if core::mem::take(&mut self.counted) {
            // Ordering: Relaxed; who still counts it notifies for nothing.
            self.condvar.waiters.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<'a, F: Futex> Waiter<'a> for CondvarWaiter<'a, F> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        let word = &self.condvar.sequence;
        if resumed == Resumed::Woken || self.has_changed() {
            self.leave();
            return Step::Done(());
        }
        if resumed == Resumed::Started {
            return Step::Watch(word, self.sequence, Patience::Long);
        }
        Step::Sleep(word, self.sequence)
    }

    fn cancel(&mut self, woken: bool) -> Option<()> {
        self.leave();
        if woken {
            self.condvar.pass_on(self.futex);
            return None;
        }
        self.has_changed().then_some(())
    }
}

impl<F: Futex> Drop for CondvarWaiter<'_, F> {
    fn drop(&mut self) {
        self.leave();
    }
}
