//! [`Totals`]: the memory that one process has of its host, all kinds together, and the
//! limit of that.
//!
//! What counts: linear memories, shared or not, and tables, of all threads' instances,
//! and what the host keeps for the process until somebody takes it. Whoever makes one of
//! them larger reserves first, and releases when it is gone.
//!
//! Invariant: no more than the limit is reserved at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    used: AtomicU64,
    /// Without one, nothing is counted.
    limit: Option<u64>,
}

impl Totals {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit,
        }
    }

    /// Reserves so many bytes, or none.
    ///
    /// # Errors
    ///
    /// The limit, if they are too many.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), u64> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let sum = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        // Ordering: Relaxed here and below; a count, which publishes nothing else.
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
            .map(drop)
            .map_err(|_| limit)
    }

    /// Reserves as many of so many bytes as there is room for, and says how many.
    ///
    /// # Errors
    ///
    /// The limit, if there is no room at all.
    pub(crate) fn reserve_part(&self, bytes: u64) -> Result<u64, u64> {
        let Some(limit) = self.limit else {
            return Ok(bytes);
        };
        let mut part = 0;
        let sum = |used: u64| {
            part = bytes.min(limit.saturating_sub(used));
            Some(used + part)
        };
        let _always = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        match part {
            0 if bytes > 0 => Err(limit),
            part => Ok(part),
        }
    }

    /// Gives back what was reserved.
    pub(crate) fn release(&self, bytes: u64) {
        if self.limit.is_some() {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// What is left of the limit now, if there is one.
    pub(crate) fn left(&self) -> Option<u64> {
        let limit = self.limit?;
        Some(limit.saturating_sub(self.used.load(Ordering::Relaxed)))
    }
}

/// What one store has reserved; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    totals: Arc<Totals>,
    bytes: u64,
}

impl Reserved {
    /// Nothing yet.
    pub(crate) fn new(totals: &Arc<Totals>) -> Self {
        Self {
            totals: Arc::clone(totals),
            bytes: 0,
        }
    }

    /// Reserves more.
    ///
    /// # Errors
    ///
    /// The limit, if that is too much.
    pub(crate) fn add(&mut self, bytes: u64) -> Result<(), u64> {
        self.totals.reserve(bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.totals.release(self.bytes);
    }
}
