//! Pools, random numbers, and how much is enough.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use threadwork::ThreadPool;

/// Runs `body` on a worker of a pool of its own.
pub(crate) fn on_pool<T: Send + 'static>(
    workers: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let pool = ThreadPool::new(workers).unwrap();
    pool.execute(body).wait().unwrap()
}

/// A thousand times what anything here takes: without it a test that fails would hang.
pub(crate) const LONG: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 15 });

/// The same for something that must not hang.
pub(crate) fn ends_on_pool(workers: usize, body: impl FnOnce() + Send + 'static) {
    let pool = ThreadPool::new(workers).unwrap();
    let end = pool.execute(body).wait_timeout(LONG);
    end.expect("it hangs").unwrap();
}

/// `full` with `THREADWORK_FULL=1`, a hundredth of it by default, a handful under Miri.
pub(crate) fn often(full: usize) -> usize {
    if cfg!(miri) {
        (full / 50_000).clamp(1, 20)
    } else if std::env::var_os("THREADWORK_FULL").is_some() {
        full
    } else {
        full.div_ceil(100)
    }
}

/// `size`, or what Miri can do in its place.
pub(crate) fn up_to(size: usize) -> usize {
    if cfg!(miri) { size.min(100) } else { size }
}

/// An event that threads wait for without sleeping in the scheduler under test.
#[derive(Default)]
pub(crate) struct Event(AtomicU32);

impl Event {
    pub(crate) fn set(&self) {
        self.0.store(1, Ordering::Release);
    }

    pub(crate) fn wait(&self) {
        let begin = Instant::now();
        while self.0.load(Ordering::Acquire) == 0 {
            assert!(begin.elapsed() < LONG, "it does not happen");
            // In WebAssembly a yield is nothing, and may share the core with the setter.
            thread::sleep(Duration::from_micros(10));
        }
    }
}

/// A xorshift generator: the same numbers for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
