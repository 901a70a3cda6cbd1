//! [`HostFutex`]: where a thread sleeps for a primitive in a guest's memory.
//!
//! The parking lot knows words by their host addresses, and the primitive at an offset is
//! a reference to where that offset is: so there is nothing to translate. A wait that is
//! ended because the program has ended looks like one that has timed out, which each
//! primitive can undo; whether it was is noted here.

use super::memory::SharedMemory;
use crate::linear_memory::Closed;
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use threadwork_sync::{AtomicU32, Futex, Patience, System, WaitResult};

/// The port of one operation.
pub(super) struct HostFutex<'a> {
    memory: &'a SharedMemory,
    /// Where the object is that it is for.
    offset: u64,
    ended: Cell<bool>,
}

impl<'a> HostFutex<'a> {
    pub(super) fn new(memory: &'a SharedMemory, offset: u64) -> Self {
        Self {
            memory,
            offset,
            ended: Cell::new(false),
        }
    }

    /// Whether a wait was ended because the program has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }
}

impl Futex for HostFutex<'_> {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
        use std::sync::atomic::Ordering;
        use threadwork_parking::WaitResult as Parked;

        // Ordering: SeqCst; the lot asks for it.
        let load = || word.load(Ordering::SeqCst).into();
        let key = word.as_ptr().addr();
        let memory = self.memory;
        match memory.park(self.offset, key, timeout, expected.into(), load) {
            Ok(Parked::NotEqual) => WaitResult::NotEqual,
            Ok(Parked::TimedOut) => WaitResult::TimedOut,
            Ok(_) => WaitResult::Woken,
            Err(Closed) => {
                self.ended.set(true);
                WaitResult::TimedOut
            }
        }
    }

    fn notify(&self, word: *const AtomicU32, count: u32) -> u32 {
        self.memory.arena().notify(word.addr(), count)
    }

    fn now(&self) -> Option<Duration> {
        static START: OnceLock<Instant> = OnceLock::new();
        Some(START.get_or_init(Instant::now).elapsed())
    }

    fn watch(&self, word: &AtomicU32, expected: u32, patience: Patience) {
        System.watch(word, expected, patience);
    }

    fn give_way(&self) {
        System.give_way();
    }
}
