//! [`Once`]: something that is done once, and whoever needs it waits until it is done.
//!
//! # Protocol
//!
//! | word | name | meaning |
//! |---|---|---|
//! | 0 | `NEW` | not done, and nobody is at it |
//! | 1 | `RUNNING` | somebody is at it |
//! | 2 | `COMPLETE` | it is done; the word never changes again |
//! | + 4 | `QUEUED` | with `NEW` and `RUNNING`: somebody may sleep |
//!
//! Zero is `NEW`, so that zeroed memory is ready for use. `COMPLETE` has no other bits:
//! the check whether it is done is one load and one comparison.
//!
//! *To run*, a thread turns `NEW` into `RUNNING`, keeps `QUEUED`, and has a [`Running`].
//! At its end that swaps `COMPLETE` into the word, or `NEW` if the run failed, and wakes
//! all if `QUEUED` was set. Of those woken after a failure one runs next.
//!
//! *To wait*, a thread sets `QUEUED` and sleeps on the word. Who only waits for the end
//! ([`Completion`]) may do so before anybody runs.
//!
//! # No wake-up is lost
//!
//! A thread sleeps only on a value with `QUEUED` set, and the futex compares in the same
//! step. Only the swap at the end of a run takes the bit away, and whoever takes it away
//! wakes all. So there is nothing to pass on: who gives up just leaves.
//!
//! # Orderings
//!
//! The swap at the end is a release; it pairs with the acquire of whoever sees
//! `COMPLETE`, which so sees what the run wrote. After a failure it pairs with the
//! acquire that turns `NEW` into `RUNNING`: the next run sees what the failed one left.
//! Setting `QUEUED` is a read-modify-write and so does not end that release sequence.
//!
//! Sources: Rust's std, `once/futex.rs` (where zero is complete).

use core::future::Future;
use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::futex::{Futex, Patience};
use crate::primitive::const_fn;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Resumed, Step, Waiter, block, block_forever};
use crate::wakers::Word;

const NEW: u32 = 0;
const RUNNING: u32 = 1;
const COMPLETE: u32 = 2;
const QUEUED: u32 = 1 << 2;

/// Runs something once, in four bytes: all zero is not run yet.
///
/// A run that panics counts for nothing: the next caller runs its own. There is no
/// poisoning.
///
/// # Example
///
/// ```
/// use threadwork_sync::Once;
///
/// static LOGGING: Once = Once::new();
///
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             LOGGING.call_once(|| println!("one line only"));
///             assert!(LOGGING.is_completed());
///         });
///     }
/// });
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct Once {
    word: Word,
}

impl Once {
    const_fn! {
        /// One that has not run.
        #[must_use]
        pub fn new() -> Self {
            Once { word: Word::new(NEW) }
        }
    }

    /// Whether a run has ended well. Then all that it did is visible to the caller.
    #[inline]
    #[must_use]
    pub fn is_completed(&self) -> bool {
        // Ordering: Acquire; pairs with the swap at the end of a run.
        self.word.load(Ordering::Acquire) == COMPLETE
    }

    /// Runs `body`, unless a run has ended well before. Blocks while another thread runs.
    ///
    /// When it returns, one run has ended well, and what it did is visible.
    ///
    /// # Panics
    ///
    /// When `body` panics: then the next caller's is run. When it is called from within
    /// the run itself (with feature `std`; without, that waits for ever).
    #[inline]
    pub fn call_once(&self, body: impl FnOnce()) {
        self.call_once_with(&System, body);
    }

    /// [`call_once`](Self::call_once) in a [`Futex`] of one's own.
    #[inline]
    pub fn call_once_with(&self, futex: &impl Futex, body: impl FnOnce()) {
        if !self.is_completed() {
            self.call_slowly(futex, body);
        }
    }

    #[cold]
    fn call_slowly(&self, futex: &impl Futex, body: impl FnOnce()) {
        if let Some(running) = self.begin_blocking(futex) {
            running.run(body);
            running.complete();
        }
    }

    /// Runs `body`, unless a run has ended well before, and awaits another's run instead
    /// of blocking. `body` itself is run by whoever polls, and does not await anything.
    ///
    /// # Example
    ///
    /// ```
    /// # use std::{pin::pin, task::{Context, Poll, Waker}};
    /// use threadwork_sync::Once;
    ///
    /// let once = Once::new();
    /// let mut calls = 0;
    /// let mut future = pin!(once.call_once_async(|| calls += 1));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(()));
    /// assert!(once.is_completed());
    /// ```
    pub async fn call_once_async(&self, body: impl FnOnce()) {
        if let Some(running) = Wait::new(self.begin(&System)).await {
            running.run(body);
            running.complete();
        }
    }

    /// Blocks until a run has ended well, whoever runs, and whenever.
    ///
    /// # Panics
    ///
    /// When it is called from within the run itself (with feature `std`).
    #[inline]
    pub fn wait(&self) {
        self.wait_with(&System);
    }

    /// [`wait`](Self::wait) in a [`Futex`] of one's own.
    #[inline]
    pub fn wait_with(&self, futex: &impl Futex) {
        if !self.is_completed() {
            self.refuse_recursion();
            block_forever(futex, self.completion());
        }
    }

    /// Blocks until a run has ended well, or until `timeout` has passed: then false.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        block(&System, self.completion(), Some(timeout)).is_some()
    }

    /// Blocks until a run has ended well, or until `deadline`: then false.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn wait_deadline(&self, deadline: std::time::Instant) -> bool {
        self.wait_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Awaits that a run has ended well.
    pub fn wait_async(&self) -> impl Future<Output = ()> {
        Wait::new(self.completion())
    }

    /// The wait for the end of a run, for [`block`](crate::block) or
    /// [`Wait`](crate::Wait).
    pub fn completion(&self) -> Completion<'_> {
        Completion { once: self }
    }

    /// The wait for the right to run, for [`block`](crate::block) or
    /// [`Wait`](crate::Wait). Its output is `None` when a run has ended well, and a
    /// [`Running`] when it is the caller's turn.
    ///
    /// # Example
    ///
    /// A run that is not a closure:
    ///
    /// ```
    /// use threadwork_sync::{Once, System, block};
    ///
    /// let once = Once::new();
    /// if let Some(Some(running)) = block(&System, once.begin(&System), None) {
    ///     assert!(!once.is_completed());
    ///     running.complete();
    /// }
    /// assert!(once.is_completed());
    /// ```
    pub fn begin<'a, F: Futex>(&'a self, futex: &'a F) -> Begin<'a, F> {
        Begin { once: self, futex }
    }

    /// The right to run, or `None` when a run has ended well.
    pub(crate) fn begin_blocking<'a, F: Futex>(&'a self, futex: &'a F) -> Option<Running<'a, F>> {
        self.refuse_recursion();
        block_forever(futex, self.begin(futex))
    }

    /// As if nobody had ever run.
    pub(crate) fn reset(&mut self) {
        // Ordering: Relaxed; nobody else can have it.
        self.word.store(NEW, Ordering::Relaxed);
    }

    fn refuse_recursion(&self) {
        #[cfg(all(feature = "std", not(loom)))]
        assert!(
            !recursion::is_inside(self.word.address()),
            "an initialization waits for itself: it calls what it initializes"
        );
    }

    /// Waits for a change of `state`, in which somebody may be at it.
    fn sit_out<T>(&self, state: &mut u32, resumed: Resumed) -> Option<Step<'_, T>> {
        if *state & QUEUED == 0 {
            if resumed != Resumed::Watched {
                return Some(Step::Watch(&self.word, *state, Patience::Long));
            }
            // Ordering: Relaxed if it succeeds; a failure may show the end of a run and
            // is an Acquire, as in `is_completed`.
            if let Err(now) = self.word.compare_exchange_weak(
                *state,
                *state | QUEUED,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                *state = now;
                return None;
            }
        }
        Some(Step::Sleep(&self.word, *state | QUEUED))
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

/// A thread or a future that waits for the end of a [`Once`]'s run.
#[derive(Debug)]
pub struct Completion<'a> {
    once: &'a Once,
}

impl<'a> Waiter<'a> for Completion<'a> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        // Ordering: Acquire, as in `is_completed`.
        let mut state = self.once.word.load(Ordering::Acquire);
        while state != COMPLETE {
            if let Some(step) = self.once.sit_out(&mut state, resumed) {
                return step;
            }
        }
        Step::Done(())
    }

    fn cancel(&mut self, _woken: bool) -> Option<()> {
        None
    }
}

/// A thread or a future that wants to run a [`Once`].
#[derive(Debug)]
pub struct Begin<'a, F: Futex> {
    once: &'a Once,
    futex: &'a F,
}

impl<'a, F: Futex> Waiter<'a> for Begin<'a, F> {
    type Output = Option<Running<'a, F>>;

    fn step(&mut self, resumed: Resumed) -> Step<'a, Self::Output> {
        let word = &self.once.word;
        // Ordering: Acquire, as in `is_completed`.
        let mut state = word.load(Ordering::Acquire);
        loop {
            if state == COMPLETE {
                return Step::Done(None);
            }
            if state & RUNNING != 0 {
                match self.once.sit_out(&mut state, resumed) {
                    Some(step) => return step,
                    None => continue,
                }
            }
            // Ordering: Acquire; pairs with the swap at the end of a run that failed, or,
            // if it does not succeed, of one that ended well.
            match word.compare_exchange_weak(
                state,
                state | RUNNING,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    return Step::Done(Some(Running {
                        once: self.once,
                        futex: self.futex,
                        outcome: NEW,
                    }));
                }
                Err(now) => state = now,
            }
        }
    }

    fn cancel(&mut self, _woken: bool) -> Option<Self::Output> {
        None
    }
}

/// The right to do what a [`Once`] is for, and the duty to say when it is done.
///
/// Dropped without [`complete`](Self::complete), as by a panic, it is a run that failed,
/// and the next one gets its turn. One that is leaked is a run that never ends.
#[must_use = "if unused the run has failed at once"]
#[derive(Debug)]
pub struct Running<'a, F: Futex> {
    once: &'a Once,
    futex: &'a F,
    /// The word from the end of this run on.
    outcome: u32,
}

impl<F: Futex> Running<'_, F> {
    /// The run has ended well: everybody sees what it did.
    pub fn complete(mut self) {
        self.outcome = COMPLETE;
    }

    /// Runs `body` such that what waits in it for this run is told.
    pub(crate) fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        #[cfg(all(feature = "std", not(loom)))]
        return recursion::inside(self.once.word.address(), body);
        #[cfg(not(all(feature = "std", not(loom))))]
        body()
    }
}

impl<F: Futex> Drop for Running<'_, F> {
    fn drop(&mut self) {
        let word = self.once.word.address();
        // Ordering: Release; pairs with the acquires in `is_completed`, of the waiters,
        // and of the next run.
        let before = self.once.word.swap(self.outcome, Ordering::Release);
        // From here on the object may be gone: only its address is used.
        if before & QUEUED != 0 {
            self.futex.notify(word, u32::MAX);
        }
    }
}

/// Which runs the calling thread is inside of.
#[cfg(all(feature = "std", not(loom)))]
mod recursion {
    use core::ptr;
    use std::cell::Cell;

    use crate::primitive::AtomicU32;

    /// A run, on the stack of the thread that runs.
    struct Frame {
        word: *const AtomicU32,
        outer: *const Frame,
    }

    std::thread_local! {
        static INNERMOST: Cell<*const Frame> = const { Cell::new(ptr::null()) };
    }

    /// Leaves the frame that it has, also in a panic.
    struct Leave(*const Frame);

    impl Drop for Leave {
        fn drop(&mut self) {
            INNERMOST.set(self.0);
        }
    }

    pub(super) fn inside<T>(word: *const AtomicU32, body: impl FnOnce() -> T) -> T {
        let frame = Frame {
            word,
            outer: INNERMOST.get(),
        };
        let _leave = Leave(frame.outer);
        INNERMOST.set(&raw const frame);
        body()
    }

    pub(super) fn is_inside(word: *const AtomicU32) -> bool {
        let mut next = INNERMOST.get();
        while !next.is_null() {
            // SAFETY: a frame that can be reached from this thread's innermost one is on
            // its stack: `inside` takes it off the list before it returns or unwinds.
            let frame = unsafe { &*next };
            if ptr::eq(frame.word, word) {
                return true;
            }
            next = frame.outer;
        }
        false
    }
}
