//! The futex that programs use: where threads sleep, and the wakers of futures.

use core::time::Duration;

use crate::futex::{Futex, Patience, WaitResult};
use crate::primitive::AtomicU32;
use crate::threads::Threads;
use crate::wakers;

/// The port that every method without a futex in its name uses: `wasm-futex`, and
/// the wakers of the futures that wait for the same words.
///
/// Its notify wakes sleeping threads first, then futures: so a thread never waits for the
/// executor of a future. A future that was passed eight times in a row is woken besides, lest
/// it starve behind threads that come again and again, or behind a future that was woken and
/// is not polled.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Futex for System {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
        Threads.wait(word, expected, timeout)
    }

    fn notify(&self, word: *const AtomicU32, count: u32) -> u32 {
        let threads = Threads.notify(word, count);
        match count.saturating_sub(threads) {
            0 => wakers::pass(word),
            left => wakers::notify(word, left),
        }
        threads
    }

    #[inline]
    fn note_release(&self, word: *const AtomicU32) {
        wakers::pass(word);
    }

    fn now(&self) -> Option<Duration> {
        Threads.now()
    }

    fn watch(&self, word: &AtomicU32, expected: u32, patience: Patience) {
        Threads.watch(word, expected, patience);
    }

    fn give_way(&self) {
        Threads.give_way();
    }
}
