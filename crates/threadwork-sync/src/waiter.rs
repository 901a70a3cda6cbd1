//! One thread's wait at one primitive, as a state machine.
//!
//! The slow path of each primitive is written once, as a [`Waiter`]: a step does
//! what can be done without waiting and says what to wait for. Three drivers run it:
//! [`block`] sleeps in a [`Futex`], [`block`] with a timeout gives up, and
//! [`Wait`](crate::Wait) is a future. So a lock with a deadline and an awaited lock
//! are the same algorithm as a lock, and are checked with it.

use core::time::Duration;

use crate::futex::{Futex, Patience, WaitResult};
use crate::primitive::AtomicU32;

/// What a waiter does next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a, T> {
    /// The wait is over.
    Done(T),
    /// Look at the word for a while, in the hope that it changes from this value,
    /// then step again.
    Watch(&'a AtomicU32, u32, Patience),
    /// Sleep while the word has this value, then step again.
    Sleep(&'a AtomicU32, u32),
}

/// Why a waiter is stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumed {
    /// It is the first step.
    Started,
    /// It has watched.
    Watched,
    /// It slept and was notified.
    Woken,
    /// It did not sleep, since the word had another value.
    Changed,
}

/// A thread, or a future, that wants something of a primitive and may have to wait.
///
/// A waiter is stepped until it is done, or cancelled, and not used afterwards.
pub trait Waiter<'a> {
    /// What it gets.
    type Output;

    /// Goes on as far as it can without waiting.
    fn step(&mut self, resumed: Resumed) -> Step<'a, Self::Output>;

    /// Gives up, and leaves the primitive as if it had not come. `woken` says that it
    /// was notified and has not gone to sleep since: then the notify goes to the next waiter.
    ///
    /// Returns what it got after all, if that cannot be given back.
    fn cancel(&mut self, woken: bool) -> Option<Self::Output>;
}

/// Runs `waiter` to its end. `None` only if the timeout passed first, or the futex gave up.
pub fn block<'a, W: Waiter<'a>>(
    futex: &impl Futex,
    mut waiter: W,
    timeout: Option<Duration>,
) -> Option<W::Output> {
    let timer = Timer::start(futex, timeout);
    let mut resumed = Resumed::Started;
    let mut woken = false;
    loop {
        let step = waiter.step(resumed);
        let left = timer.left(futex);
        let is_over = left == Some(Duration::ZERO);
        resumed = match step {
            Step::Done(output) => return Some(output),
            // Words that change all the time would keep it here, or the futex from timing out.
            Step::Watch(..) if is_over => return waiter.cancel(woken),
            Step::Sleep(..) if is_over => return waiter.cancel(false),
            Step::Watch(word, expected, patience) => {
                futex.watch(word, expected, patience);
                Resumed::Watched
            }
            Step::Sleep(word, expected) => match futex.wait(word, expected, left) {
                WaitResult::Woken => Resumed::Woken,
                WaitResult::NotEqual => Resumed::Changed,
                WaitResult::TimedOut => return waiter.cancel(false),
            },
        };
        woken = resumed == Resumed::Woken || (woken && resumed == Resumed::Watched);
    }
}

/// Runs `waiter`, without a timeout, to its end.
pub(crate) fn block_forever<'a, W: Waiter<'a>>(futex: &impl Futex, waiter: W) -> W::Output {
    match block(futex, waiter, None) {
        Some(output) => output,
        None => unreachable!("a futex timed out a wait that has no timeout"),
    }
}

/// What is left of a timeout.
struct Timer {
    timeout: Option<Duration>,
    end: Option<Duration>,
}

impl Timer {
    fn start(futex: &impl Futex, timeout: Option<Duration>) -> Self {
        let end = timeout.and_then(|timeout| futex.now()?.checked_add(timeout));
        Timer { timeout, end }
    }

    fn left(&self, futex: &impl Futex) -> Option<Duration> {
        match (self.end, self.timeout) {
            (Some(end), Some(_)) => Some(end.saturating_sub(futex.now().unwrap_or_default())),
            (_, timeout) => timeout,
        }
    }
}

/// A waiter whose output is turned into something else, such as a guard.
#[derive(Debug)]
pub(crate) struct Map<W, F> {
    waiter: W,
    convert: F,
}

impl<W, F> Map<W, F> {
    pub(crate) fn new(waiter: W, convert: F) -> Self {
        Map { waiter, convert }
    }
}

impl<'a, W: Waiter<'a>, T, F: FnMut(W::Output) -> T> Waiter<'a> for Map<W, F> {
    type Output = T;

    fn step(&mut self, resumed: Resumed) -> Step<'a, T> {
        match self.waiter.step(resumed) {
            Step::Done(output) => Step::Done((self.convert)(output)),
            Step::Watch(word, expected, patience) => Step::Watch(word, expected, patience),
            Step::Sleep(word, expected) => Step::Sleep(word, expected),
        }
    }

    fn cancel(&mut self, woken: bool) -> Option<T> {
        self.waiter.cancel(woken).map(&mut self.convert)
    }
}
