//! The futex of the thread that runs: the system's natively, the engine's or the
//! browser's in WebAssembly, and a queue under a mutex in loom's models.

use core::time::Duration;

use crate::futex::{Futex, Patience, WaitResult};
use crate::primitive::AtomicU32;

/// Where threads sleep, and the table of wakers itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads;

#[cfg(not(loom))]
impl Futex for Threads {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
        wasm_futex::wait32(word, expected, timeout)
    }

    fn notify(&self, word: *const AtomicU32, count: u32) -> u32 {
        wasm_futex::notify_ptr(word, count)
    }

    fn now(&self) -> Option<Duration> {
        wasm_futex::now()
    }

    fn watch(&self, word: &AtomicU32, expected: u32, patience: Patience) {
        crate::spin::watch(word, expected, patience);
    }

    fn give_way(&self) {
        #[cfg(feature = "std")]
        std::thread::yield_now();
    }
}

/// A futex that loom can explore: a queue under a mutex.
#[cfg(loom)]
mod model {
    extern crate std;

    use std::vec::Vec;

    use loom::sync::atomic::Ordering;
    use loom::sync::{Arc, Condvar, Mutex};

    use super::{AtomicU32, Duration, Futex, Patience, Threads, WaitResult};

    struct Sleeper {
        word: *const AtomicU32,
        woken: Mutex<bool>,
        wake: Condvar,
    }

    // SAFETY: the pointer is only compared.
    unsafe impl Send for Sleeper {}
    // SAFETY: as above.
    unsafe impl Sync for Sleeper {}

    loom::lazy_static! {
        static ref QUEUE: Mutex<Vec<Arc<Sleeper>>> = Mutex::new(Vec::new());
    }

    fn queue() -> loom::sync::MutexGuard<'static, Vec<Arc<Sleeper>>> {
        QUEUE
            .lock()
            .unwrap_or_else(|_| unreachable!("nobody panics under this lock"))
    }

    impl Futex for Threads {
        /// With a timeout, it passes at some moment: loom tries them all.
        fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
            let mut sleepers = queue();
            if word.load(Ordering::Relaxed) != expected {
                return WaitResult::NotEqual;
            }
            let sleeper = Arc::new(Sleeper {
                word,
                woken: Mutex::new(false),
                wake: Condvar::new(),
            });
            sleepers.push(sleeper.clone());
            drop(sleepers);
            if timeout.is_some() {
                loom::thread::yield_now();
                let mut sleepers = queue();
                let before = sleepers.len();
                sleepers.retain(|other| !Arc::ptr_eq(other, &sleeper));
                return if sleepers.len() < before {
                    WaitResult::TimedOut
                } else {
                    WaitResult::Woken
                };
            }
            let mut woken = sleeper
                .woken
                .lock()
                .unwrap_or_else(|_| unreachable!("as in queue"));
            while !*woken {
                woken = sleeper
                    .wake
                    .wait(woken)
                    .unwrap_or_else(|_| unreachable!("as in queue"));
            }
            WaitResult::Woken
        }

        fn notify(&self, word: *const AtomicU32, count: u32) -> u32 {
            let mut chosen = Vec::new();
            queue().retain(|sleeper| {
                let take = chosen.len() < count as usize && core::ptr::eq(sleeper.word, word);
                if take {
                    chosen.push(sleeper.clone());
                }
                !take
            });
            for sleeper in &chosen {
                *sleeper
                    .woken
                    .lock()
                    .unwrap_or_else(|_| unreachable!("as in queue")) = true;
                sleeper.wake.notify_one();
            }
            chosen.len() as u32
        }

        fn now(&self) -> Option<Duration> {
            None
        }

        fn watch(&self, _: &AtomicU32, _: u32, _: Patience) {}
    }
}
