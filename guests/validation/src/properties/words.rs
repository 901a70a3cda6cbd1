//! What locks protect: words that agree with each other, as long as the lock works.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::case::{Check, Random};

/// Words that are all equal whenever nobody writes.
///
/// They are written in two steps, load and store, as plain data is. They are atomics so
/// that a broken lock is a wrong number, and not undefined behaviour.
pub(crate) struct Words(Vec<AtomicU32>);

impl Words {
    pub(crate) fn new(count: u32) -> Self {
        Self((0..count).map(|_| AtomicU32::new(0)).collect())
    }

    /// Adds one to each word. The caller has exclusive access.
    pub(crate) fn write(&self, random: &mut Random) -> Check {
        self.read(random)?;
        for word in &self.0 {
            let value = word.load(Relaxed);
            random.pause();
            word.store(value + 1, Relaxed);
        }
        Ok(())
    }

    /// Checks that all are equal. The caller has shared access.
    pub(crate) fn read(&self, random: &mut Random) -> Check {
        let first = self.0[0].load(Relaxed);
        for word in &self.0[1..] {
            random.pause();
            let value = word.load(Relaxed);
            check!(value == first, "{value} beside {first}: another thread writes now");
        }
        Ok(())
    }

    /// Checks the number of writes in all.
    pub(crate) fn expect(&self, writes: u32) -> Check {
        let values: Vec<u32> = self.0.iter().map(|word| word.load(Relaxed)).collect();
        check!(values.iter().all(|value| *value == writes), "{values:?} after {writes} writes");
        Ok(())
    }
}
