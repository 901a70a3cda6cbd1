//! A wait as a future.

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::waiter::{Resumed, Step, Waiter};
use crate::wakers::{Node, Standing};

/// A future that runs a [`Waiter`] to its end, on any executor.
///
/// It never blocks its thread, so it is how a thread that may not sleep (a browser's
/// main thread) waits. It is woken by whoever notifies through
/// [`System`](crate::System) in the same program; a host that changes an object in a
/// guest's memory wakes the guest's threads, not its futures.
///
/// Dropping it gives up: it leaves the queue, and passes on a wake-up that it had
/// got. One that was notified and is neither polled nor dropped (leaked, or held by a
/// task that does something else) keeps that wake-up from the others. One that was leaked
/// goes with the object that it waits for, when that is dropped; not when it is moved. Who frees
/// an object's bytes without dropping it calls [`look_again`](crate::look_again).
///
/// A waker that panics stops nobody: the panic ends where the waker is called, or dropped, and
/// all others are woken. (Without the feature `std` it ends the program.)
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<'a, W: Waiter<'a>> {
    waiter: W,
    phase: Phase,
    node: Node,
    _primitive: PhantomData<&'a ()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fresh,
    Waiting,
    Over,
}

impl<'a, W: Waiter<'a>> Wait<'a, W> {
    /// The future of a waiter that was not stepped yet.
    pub fn new(waiter: W) -> Self {
        Wait {
            waiter,
            phase: Phase::Fresh,
            node: Node::new(),
            _primitive: PhantomData,
        }
    }
}

impl<'a, W: Waiter<'a>> Future for Wait<'a, W> {
    type Output = W::Output;

    /// # Panics
    ///
    /// When it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<W::Output> {
        // SAFETY: the node is not moved; the waiter is never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: the node is pinned because the future is, which unlinks it when it
        // is dropped.
        let node = unsafe { Pin::new_unchecked(&this.node) };
        let mut resumed = match this.phase {
            Phase::Fresh => Resumed::Started,
            Phase::Waiting => match node.look(context.waker()) {
                Standing::Queued => return Poll::Pending,
                Standing::Notified => Resumed::Woken,
                Standing::Free => Resumed::Changed,
            },
            Phase::Over => panic!("a wait was polled after it was over"),
        };
        this.phase = Phase::Waiting;
        loop {
            resumed = match this.waiter.step(resumed) {
                Step::Done(output) => {
                    this.phase = Phase::Over;
                    return Poll::Ready(output);
                }
                Step::Watch(..) => Resumed::Watched,
                Step::Sleep(word, expected) => {
                    if node.queue(word, expected, context.waker()) {
                        return Poll::Pending;
                    }
                    Resumed::Changed
                }
            };
        }
    }
}

impl<'a, W: Waiter<'a>> Drop for Wait<'a, W> {
    fn drop(&mut self) {
        if self.phase == Phase::Waiting {
            // SAFETY: pinned since the first poll, and not moved by its own drop.
            let node = unsafe { Pin::new_unchecked(&self.node) };
            let woken = node.leave() == Standing::Notified;
            drop(self.waiter.cancel(woken));
        }
    }
}

impl<'a, W: Waiter<'a>> fmt::Debug for Wait<'a, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
