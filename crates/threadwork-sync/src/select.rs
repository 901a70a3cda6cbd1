//! Waiting for a future on a thread, and for the first of two.
//!
//! All that this crate waits for can be awaited, so the first of two futures is how to wait for
//! two channels, or for a channel and a latch; and [`block_on_timeout`] is the timer. Whoever
//! loses is dropped, which gives up as any dropped future of this crate does: it takes no
//! message and leaves no wake-up behind. So there is no claim to keep here but that the thread is
//! woken, and that is the [`Parker`]'s.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use alloc::sync::Arc;
use alloc::task::Wake;

use crate::futex::Futex;
use crate::parker::Parker;
use crate::system::System;

struct Unpark(Parker);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on the calling thread. Blocks while it has to wait.
///
/// It is for the futures of this crate and for what is made of them. A future that wants a
/// runtime (a timer, a socket) needs that runtime's own `block_on`.
///
/// # Panics
///
/// When the future does.
///
/// # Example
///
/// ```
/// use threadwork_sync::{Semaphore, block_on};
///
/// let semaphore = Semaphore::new(1);
/// let permit = block_on(semaphore.acquire_async());
/// assert_eq!(permit.permits(), 1);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    match run(future, None) {
        Some(output) => output,
        None => unreachable!("it has no timeout"),
    }
}

/// Runs a future on the calling thread, and drops it if it has not ended after `timeout`. It is
/// polled at least once. Blocks.
///
/// # Panics
///
/// When the future does.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use threadwork_sync::{block_on_timeout, channel};
///
/// let (_sender, receiver) = channel::bounded::<u32>(1);
/// assert!(block_on_timeout(receiver.recv_async(), Duration::from_millis(1)).is_none());
/// ```
pub fn block_on_timeout<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    run(future, Some(timeout))
}

fn run<F: Future>(future: F, timeout: Option<Duration>) -> Option<F::Output> {
    let unpark = Arc::new(Unpark(Parker::new()));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let end = timeout.and_then(|timeout| System.now()?.checked_add(timeout));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let Some(timeout) = timeout else {
            unpark.0.park();
            continue;
        };
        let left = match (end, System.now()) {
            (Some(end), Some(now)) => end.saturating_sub(now),
            // No clock, or no end in sight.
            _ => timeout,
        };
        if !unpark.0.park_timeout(left) {
            return None;
        }
    }
}

/// What the first of two futures returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first named was first.
    Left(A),
    /// The second named was first.
    Right(B),
}

/// Waits for the first of two futures, and drops the other.
///
/// The first named is polled first: if both are ready it wins, always. So what must not be
/// missed, such as the end, is named first; and who takes from two busy channels in a loop takes
/// turns in naming them. Three are `select(a, select(b, c))`.
///
/// The other may be dropped after it was polled: `recv_async` loses no message then, and no
/// future of this crate loses anything. Those of other crates say whether they do ("cancel
/// safety").
///
/// # Example
///
/// Two channels and a timer:
///
/// ```
/// use std::time::Duration;
/// use threadwork_sync::{Either, block_on_timeout, channel, select};
///
/// let (stop, stopped) = channel::bounded::<()>(1);
/// let (jobs, queue) = channel::bounded(8);
/// jobs.send(7).unwrap();
///
/// let next = || {
///     let first = select(stopped.recv_async(), queue.recv_async());
///     block_on_timeout(first, Duration::from_millis(1))
/// };
/// assert_eq!(next(), Some(Either::Right(Ok(7))));
/// assert_eq!(next(), None);
/// stop.send(()).unwrap();
/// jobs.send(8).unwrap();
/// assert_eq!(next(), Some(Either::Left(Ok(()))));
/// ```
pub async fn select<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    core::future::poll_fn(move |context| {
        if let Poll::Ready(output) = poll(&mut first, context) {
            return Poll::Ready(Either::Left(output));
        }
        poll(&mut second, context).map(Either::Right)
    })
    .await
}

fn poll<F: Future>(future: &mut Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    future.as_mut().poll(context)
}
