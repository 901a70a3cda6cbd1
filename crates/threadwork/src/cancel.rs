//! [`CancelToken`]: a request to end, which those who work look at.
//!
//! No thread can be stopped from outside without leaving locks held and memory leaked, so a token
//! stops nobody: it is one word that is set once, and waits that end when it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use threadwork_sync::Latch;

use crate::pool::blocking;

/// A request to end, for tasks and loops that run already. (One that is still queued is ended by
/// [`TaskHandle::cancel`](crate::TaskHandle::cancel).)
///
/// Clones are the same token. Whoever works asks [`is_cancelled`](Self::is_cancelled), or
/// [`check`](Self::check)s it with `?`, as often as it is to be able to end: that is one load.
/// Who has to wait, waits with [`sleep`](Self::sleep).
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
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}
