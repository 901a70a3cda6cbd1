//! What the chapters share.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use threadwork::sync::Latch;
use threadwork::{TaskHandle, ThreadPool, WorkerStatus};

/// How often a stress repeats: `full` only if that is asked for, and fewer under Miri,
/// which is a thousand times slower.
pub(crate) fn rounds(sample: u32, full: u32) -> u32 {
    if cfg!(miri) {
        sample.div_ceil(500)
    } else if std::env::var_os("THREADWORK_FULL").is_some() {
        full
    } else {
        sample
    }
}

pub(crate) fn pool(size: usize) -> ThreadPool {
    ThreadPool::new(size).unwrap()
}

/// A pool that never has more threads than workers.
pub(crate) fn rigid_pool(size: usize) -> ThreadPool {
    ThreadPool::builder()
        .pool_size(size)
        .max_threads(size)
        .build()
        .unwrap()
}

/// A task that keeps a worker until it is let go.
pub(crate) struct Plug {
    go_on: Arc<Latch>,
    task: TaskHandle<()>,
}

impl Plug {
    /// Returns when the task runs.
    pub(crate) fn insert(pool: &ThreadPool) -> Self {
        let (started, go_on) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
        let task = pool.execute({
            let (started, go_on) = (started.clone(), go_on.clone());
            move || {
                started.open();
                go_on.wait();
            }
        });
        started.wait();
        Plug { go_on, task }
    }

    pub(crate) fn pull(self) {
        self.go_on.open();
        self.task.wait().unwrap();
    }

    /// Lets it go without waiting for it.
    pub(crate) fn loosen(&self) {
        self.go_on.open();
    }
}

/// Held by the closure of a task, it tells that the task was dropped.
pub(crate) struct OpensAtDrop(pub(crate) Arc<Latch>);

impl Drop for OpensAtDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Waits until `fact` holds. The test's time limit is that of the test runner.
pub(crate) fn until(fact: impl Fn() -> bool) {
    while !fact() {
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn count(pool: &ThreadPool, which: impl Fn(&WorkerStatus) -> bool) -> usize {
    pool.workers().iter().filter(|status| which(status)).count()
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
