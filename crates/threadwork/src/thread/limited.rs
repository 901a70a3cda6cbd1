//! A thread that somebody waits for with a limit.
//!
//! std's `join` waits for the destructors of a thread's thread-locals as well, which are the
//! program's and may run for ever, and it has no limit; `is_finished` does not wait for them. So
//! such a thread says itself when they are over, by the destructor of a thread-local that it has
//! made before all others: std runs them in the reverse order. (Those of another language, and of
//! the system's keys, std does not know; a join may wait for them.)
//!
//! Invariant: `gone` opens once, after all other destructors, and nothing of the program's is run
//! by the thread from then on.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};

use threadwork_sync::Latch;

use super::Builder;

/// A thread that can be waited for, destructors of its thread-locals included, for as long as one
/// likes. Dropping it leaves the thread running.
pub struct LimitedJoin {
    thread: JoinHandle<()>,
    gone: Arc<Latch>,
}

/// Opens its latch when it is dropped.
struct Opens(Arc<Latch>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

thread_local! {
    static LAST: Cell<Option<Opens>> = const { Cell::new(None) };
}

impl LimitedJoin {
    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    pub fn spawn(builder: Builder, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let gone = Arc::new(Latch::new());
        let opens = Opens(gone.clone());
        let thread = builder.spawn(move || {
            LAST.set(Some(opens));
            body();
        })?;
        Ok(LimitedJoin { thread, gone })
    }

    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.thread.thread()
    }

    /// Opens when the thread has nothing more to do. Then [`join`](Self::join) takes no time.
    #[must_use]
    pub fn gone(&self) -> &Arc<Latch> {
        &self.gone
    }

    /// Waits until the system has done with it, too. Blocks.
    pub fn join(self) {
        // An error: its body, or a thread-local as it was dropped, has panicked, and the panic was
        // reported when it happened.
        let _ = self.thread.join();
    }
}

impl fmt::Debug for LimitedJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitedJoin")
            .field("thread", self.thread())
            .field("gone", &self.gone.is_open())
            .finish()
    }
}
