//! [`CancelToken`]: a request to end, which those who work look at.
//!
//! No thread can be stopped from outside without leaving locks held and memory leaked, so a token
//! stops nobody: it is one word that is set once, and waits that end when it is.
//!
//! Waits that end with it are futures: each wait of this library is one, too, whoever blocks
//! included ([`CancelToken::block_on`]). So one function serves all of them, and whatever others
//! can await, where a token as an argument of each wait would be as many functions again.
//!
//! Source: tokio-util's `CancellationToken`, for the names.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use threadwork_sync::{Either, Latch, block_on, select};

use crate::pool::blocking;

/// A request to end, for tasks and loops that run already. (One that is still queued is ended by
/// [`TaskHandle::cancel`](crate::TaskHandle::cancel).)
///
/// Clones are the same token. Whoever works asks [`is_cancelled`](Self::is_cancelled), or
/// [`check`](Self::check)s it with `?`, as often as it is to be able to end: that is one load.
/// Who has to wait, waits with [`sleep`](Self::sleep), or by [`block_on`](Self::block_on) for
/// whatever can be awaited.
///
/// # Example
///
/// ```
/// use threadwork::{CancelToken, Cancelled, ThreadPool, par};
///
/// let pool = ThreadPool::new(2)?;
/// let token = CancelToken::new();
/// let task = pool.execute({
///     let token = token.clone();
///     move || -> Result<(), Cancelled> {
///         loop {
///             // Would go on for ever.
///             par(0..1_000_u32).try_for_each(|_| token.check())?;
///         }
///     }
/// });
/// token.cancel();
/// assert_eq!(task.wait().unwrap(), Err(Cancelled));
/// # Ok::<(), threadwork::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct CancelToken {
    latch: Arc<Latch>,
}

/// It was asked to end: what [`CancelToken::check`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was cancelled")]
pub struct Cancelled;

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels it, for ever. What the caller did before is visible to whoever sees that. Never
    /// blocks.
    pub fn cancel(&self) {
        self.latch.open();
    }

    /// Whether it was cancelled. Never blocks.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.latch.is_open()
    }

    /// The same as a result. Never blocks.
    ///
    /// # Errors
    ///
    /// When it was cancelled.
    ///
    /// ```
    /// use threadwork::{CancelToken, Cancelled, par};
    ///
    /// let token = CancelToken::new();
    /// let done = par(0..1_000_u32).try_for_each(|number| {
    ///     token.check()?;
    ///     if number == 500 {
    ///         token.cancel();
    ///     }
    ///     Ok(())
    /// });
    /// assert_eq!(done, Err(Cancelled));
    /// ```
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Sleeps for so long, unless it is cancelled before. On a pool's worker another works
    /// meanwhile, as with [`blocking`].
    ///
    /// # Errors
    ///
    /// When it was cancelled.
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadwork::{CancelToken, Cancelled};
    ///
    /// let token = CancelToken::new();
    /// assert_eq!(token.sleep(Duration::from_millis(1)), Ok(()));
    /// token.cancel();
    /// assert_eq!(token.sleep(Duration::from_secs(3600)), Err(Cancelled));
    /// ```
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        if self.is_cancelled() || blocking(|| self.latch.wait_timeout(time)) {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Waits until it is cancelled. Blocks; on a pool's worker another works meanwhile, as with
    /// [`blocking`].
    pub fn wait(&self) {
        if !self.is_cancelled() {
            blocking(|| self.latch.wait());
        }
    }

    /// Waits until it is cancelled, without blocking the thread.
    pub fn cancelled(&self) -> impl Future<Output = ()> {
        self.latch.wait_async()
    }

    /// Waits for `future`, or until the token is cancelled; then the future is dropped. Those of
    /// this library lose nothing by that: a message stays in its channel, a lock is free. If both
    /// have come, the token counts.
    ///
    /// # Errors
    ///
    /// When it was cancelled.
    pub fn run_until_cancelled<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Cancelled>> {
        let first = select(self.cancelled(), future);
        async {
            match first.await {
                Either::Left(()) => Err(Cancelled),
                Either::Right(output) => Ok(output),
            }
        }
    }

    /// The same on a thread, for any wait of this library: each can be awaited. Blocks; on a pool's
    /// worker another works meanwhile, as with [`blocking`].
    ///
    /// # Errors
    ///
    /// When it was cancelled.
    ///
    /// # Panics
    ///
    /// When the future does.
    ///
    /// ```
    /// use threadwork::sync::channel;
    /// use threadwork::{CancelToken, Cancelled};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// let token = CancelToken::new();
    /// sender.send(7).unwrap();
    /// assert_eq!(token.block_on(receiver.recv_async()), Ok(Ok(7)));
    ///
    /// token.cancel();
    /// assert_eq!(token.block_on(receiver.recv_async()), Err(Cancelled));
    /// ```
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output, Cancelled> {
        blocking(|| block_on(self.run_until_cancelled(future)))
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}
