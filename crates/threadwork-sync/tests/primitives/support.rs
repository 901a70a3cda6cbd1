//! What the chapters share.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use threadwork_sync::{Resumed, Step, Waiter};

/// How often a stress repeats: fewer under Miri, which is a thousand times slower.
pub(crate) const fn rounds(full: u32) -> u32 {
    if cfg!(miri) { full.div_ceil(500) } else { full }
}

/// The numbers of threads that a stress tries.
pub(crate) const THREADS: &[u32] = if cfg!(miri) {
    &[2, 4]
} else {
    &[2, 4, 8, 16, 32]
};

/// How often a hog can free what `waiter` waits for and take it again, each time before the
/// waiter is there, until it may no more. `hog` says whether it could.
pub(crate) fn passes<'a>(
    mut waiter: impl Waiter<'a>,
    resumed: Resumed,
    hog: impl Fn() -> bool,
) -> u32 {
    let mut passed = 0;
    let mut step = waiter.step(Resumed::Started);
    while !matches!(step, Step::Done(_)) {
        step = waiter.step(if let Step::Watch(..) = step {
            Resumed::Watched
        } else {
            passed += u32::from(hog());
            assert!(passed < 10_000, "it is passed for ever");
            resumed
        });
    }
    passed
}

/// Runs `body(index)` in so many threads, which start together.
pub(crate) fn together<T: Send>(threads: u32, body: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads as usize);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                let (start, body) = (&start, &body);
                scope.spawn(move || {
                    start.wait();
                    body(index)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// The smallest executor there is.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Numbers that look random and are the same each time (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
