//! A counter of each thread's own.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use threadwork::{ThreadBound, ThreadLocal};
use threadwork_runtime::ThreadLocalStorage;
use threadwork_workloads::{Measured, share, timed};

use threadwork_workloads::contest::{Entry, entry};

/// A counter for each thread.
trait Local: Sync {
    fn new() -> Self;
    /// Adds one to the calling thread's, and returns it.
    fn add(&self) -> u64;
}

fn increment(own: &Cell<u64>) -> u64 {
    own.set(own.get() + 1);
    own.get()
}

/// std's, of the cheapest kind: a constant, without a destructor.
struct Constant;

impl Local for Constant {
    fn new() -> Self {
        Constant
    }
    fn add(&self) -> u64 {
        thread_local! {
            static OWN: Cell<u64> = const { Cell::new(0) };
        }
        OWN.with(increment)
    }
}

/// std's, of the usual kind: made when it is first used, with a destructor.
struct Lazy;

struct Droppable(Cell<u64>);

impl Drop for Droppable {
    fn drop(&mut self) {
        std::hint::black_box(self.0.get());
    }
}

impl Local for Lazy {
    fn new() -> Self {
        Lazy
    }
    fn add(&self) -> u64 {
        thread_local! {
            #[expect(clippy::missing_const_for_thread_local, reason = "it is lazy on purpose")]
            static OWN: Droppable = Droppable(Cell::new(std::hint::black_box(0)));
        }
        OWN.with(|own| increment(&own.0))
    }
}

impl Local for thread_local::ThreadLocal<Cell<u64>> {
    fn new() -> Self {
        Self::new()
    }
    fn add(&self) -> u64 {
        increment(self.get_or_default())
    }
}

impl Local for ThreadLocal<Cell<u64>> {
    fn new() -> Self {
        Self::new()
    }
    fn add(&self) -> u64 {
        self.with_or(Cell::default, increment)
    }
}

impl Local for ThreadBound<Cell<u64>> {
    fn new() -> Self {
        Self::new()
    }
    fn add(&self) -> u64 {
        self.with_or(Cell::default, increment)
    }
}

impl Local for ThreadLocalStorage {
    fn new() -> Self {
        Self::new(1024)
    }
    fn add(&self) -> u64 {
        let own = self.get::<u64>(10).unwrap_or_default() + 1;
        self.set(10, &own).expect("the key is below 128");
        own
    }
}

impl Local for AtomicU64 {
    fn new() -> Self {
        AtomicU64::default()
    }
    fn add(&self) -> u64 {
        self.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// One access for each call, as where it is used in earnest: the compiler cannot keep the
/// counter in a register, nor look it up once.
#[inline(never)]
fn step<L: Local>(local: &L) -> u64 {
    local.add()
}

fn count<L: Local>(threads: u32, iterations: u64) -> Measured {
    let local = L::new();
    let (elapsed, answer) = timed(threads, |index| {
        let before = step(&local);
        let mut last = before;
        for _ in 0..share(iterations, threads, index) {
            last = step(&local);
        }
        last - before
    });
    Measured::new(elapsed, iterations, answer)
}

/// One counter for all threads: what a counter for each is to be better than.
fn count_together(threads: u32, iterations: u64) -> Measured {
    let counter = AtomicU64::new(0);
    let (elapsed, _) = timed(threads, |index| {
        for _ in 0..share(iterations, threads, index) {
            step(&counter);
        }
        0
    });
    Measured::new(elapsed, iterations, counter.into_inner())
}

pub(crate) const WORKLOADS: &[Entry] = &[
    entry("local-or-atomic", "atomic", count_together),
    entry(
        "local-or-atomic",
        "threadwork",
        count::<ThreadLocal<Cell<u64>>>,
    ),
    entry(
        "local-or-atomic",
        "threadwork-slots",
        count::<ThreadLocalStorage>,
    ),
    entry("local", "std", count::<Constant>),
    entry("local", "std-lazy", count::<Lazy>),
    entry(
        "local",
        "thread_local",
        count::<thread_local::ThreadLocal<Cell<u64>>>,
    ),
    entry("local", "threadwork", count::<ThreadLocal<Cell<u64>>>),
    entry("local", "threadwork-bound", count::<ThreadBound<Cell<u64>>>),
    entry("local", "threadwork-slots", count::<ThreadLocalStorage>),
];
