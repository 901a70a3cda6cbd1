//! What the chapters share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often a stress repeats: ten times as often with `THREADWORK_FULL=1`, and seldom under
/// Miri, which is a thousand times slower.
pub(crate) fn rounds(quick: u32) -> u32 {
    match std::env::var("THREADWORK_FULL").as_deref() {
        _ if cfg!(miri) => quick.div_ceil(400),
        Ok("1") => quick * 10,
        _ => quick,
    }
}

/// Counts how many of its counted values there are.
#[derive(Clone, Default)]
pub(crate) struct Census(Arc<AtomicU32>);

/// A value that is counted while it lives.
pub(crate) struct Counted(Arc<AtomicU32>);

impl Census {
    pub(crate) fn birth(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.0.clone())
    }

    pub(crate) fn living(&self) -> u32 {
        self.0.fetch_add(0, Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "dropped twice");
    }
}
