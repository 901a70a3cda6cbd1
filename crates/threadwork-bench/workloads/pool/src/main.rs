//! `pool-workload serve`: reads lines `<workload>/<contestant> <threads>
//! <iterations>`, and answers each with a figure. `pool-workload list` names them all.
//!
//! The threads are the workers of the pool. Each workload keeps its pool from one line
//! to the next, so that a warm one is measured. They are called through static dispatch,
//! so that what is compared is what a program would compile to.

use std::any::Any;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_workloads::contest::{Contest, Entry, entry};
use threadwork_workloads::{Measured, share};

/// No more than the workloads need of a pool.
trait Pool: Send + Sync + 'static {
    fn new(workers: u32) -> Self;
    /// Has `f` run, and does not wait.
    fn spawn(&self, f: impl FnOnce() + Send + 'static);
    /// Has `f` run, and waits for the result, in the way that the contestant has for it.
    fn call(&self, f: impl FnOnce() -> u64 + Send + 'static) -> u64;
}

struct Threadwork(threadwork::ThreadPool);

impl Pool for Threadwork {
    fn new(workers: u32) -> Self {
        Threadwork(threadwork::ThreadPool::new(workers as usize).expect("a pool"))
    }
    fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        self.0.spawn(f);
    }
    fn call(&self, f: impl FnOnce() -> u64 + Send + 'static) -> u64 {
        self.0.execute(f).wait().expect("it does not panic")
    }
}

struct Rayon(rayon::ThreadPool);

impl Pool for Rayon {
    fn new(workers: u32) -> Self {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(workers as usize);
        Rayon(builder.build().expect("a pool"))
    }
    fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        self.0.spawn(f);
    }
    fn call(&self, f: impl FnOnce() -> u64 + Send + 'static) -> u64 {
        self.0.install(f)
    }
}

struct Threadpool(threadpool::ThreadPool);

impl Pool for Threadpool {
    fn new(workers: u32) -> Self {
        Threadpool(threadpool::ThreadPool::new(workers as usize))
    }
    fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        self.0.execute(f);
    }
    fn call(&self, f: impl FnOnce() -> u64 + Send + 'static) -> u64 {
        let (sender, receiver) = mpsc::channel();
        self.0
            .execute(move || sender.send(f()).expect("somebody waits"));
        receiver.recv().expect("it does not panic")
    }
}

struct RustyPool(rusty_pool::ThreadPool);

impl Pool for RustyPool {
    fn new(workers: u32) -> Self {
        let workers = workers as usize;
        RustyPool(rusty_pool::ThreadPool::new(
            workers,
            workers,
            Duration::from_secs(60),
        ))
    }
    fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        self.0.execute(f);
    }
    fn call(&self, f: impl FnOnce() -> u64 + Send + 'static) -> u64 {
        self.0.evaluate(f).await_complete()
    }
}

/// No pool: a thread for each task.
struct Std;

impl Pool for Std {
    fn new(_: u32) -> Self {
        Std
    }
    fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        drop(thread::spawn(f));
    }
    fn call(&self, f: impl FnOnce() -> u64 + Send + 'static) -> u64 {
        thread::spawn(f).join().expect("it does not panic")
    }
}

/// The pool of a contestant of that size, made once.
fn pool<P: Pool>(workers: u32) -> Arc<P> {
    type Kept = HashMap<(std::any::TypeId, u32), Arc<dyn Any + Send + Sync>>;
    static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);
    let mut kept = KEPT.lock().expect("nobody panics");
    let entry = kept
        .entry((std::any::TypeId::of::<P>(), workers))
        .or_insert_with(|| Arc::new(P::new(workers)));
    entry
        .clone()
        .downcast()
        .unwrap_or_else(|_| unreachable!("the type is the key"))
}

/// Tasks that are not done, and the thread that waits for the last of them.
struct Countdown {
    left: AtomicU64,
    sum: AtomicU64,
    waiter: thread::Thread,
}

impl Countdown {
    fn new(tasks: u64) -> Arc<Self> {
        Arc::new(Countdown {
            left: AtomicU64::new(tasks),
            sum: AtomicU64::new(0),
            waiter: thread::current(),
        })
    }

    fn done(&self) {
        self.sum.fetch_add(1, Ordering::Relaxed);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waiter.unpark();
        }
    }

    fn wait(&self) -> u64 {
        while self.left.load(Ordering::Acquire) > 0 {
            thread::park();
        }
        self.sum.load(Ordering::Relaxed)
    }
}

/// One operation: a thread outside has a worker do nothing, and waits for it.
fn round_trip<P: Pool>(threads: u32, iterations: u64) -> Measured {
    let pool = pool::<P>(threads);
    let start = Instant::now();
    let answer = (0..iterations).map(|_| pool.call(|| 1)).sum();
    Measured::new(start.elapsed(), iterations, answer)
}

/// Tasks that are executed before anybody waits for them.
const BATCH: u64 = 1_000;

/// One operation: a task that does next to nothing, one of a thousand.
fn tasks<P: Pool>(threads: u32, iterations: u64) -> Measured {
    let pool = pool::<P>(threads);
    let start = Instant::now();
    let mut answer = 0;
    let mut left = iterations;
    while left > 0 {
        let batch = left.min(BATCH);
        let countdown = Countdown::new(batch);
        for _ in 0..batch {
            let countdown = countdown.clone();
            pool.spawn(move || countdown.done());
        }
        answer += countdown.wait();
        left -= batch;
    }
    Measured::new(start.elapsed(), iterations, answer)
}

/// The threads that execute at once.
const SENDERS: u32 = 4;

/// One operation: a task that does next to nothing; four threads execute them at once.
fn burst<P: Pool>(threads: u32, iterations: u64) -> Measured {
    let pool = pool::<P>(threads);
    let countdown = Countdown::new(iterations);
    let start = Instant::now();
    thread::scope(|scope| {
        for index in 0..SENDERS {
            let (pool, countdown) = (&pool, &countdown);
            scope.spawn(move || {
                for _ in 0..share(iterations, SENDERS, index) {
                    let countdown = countdown.clone();
                    pool.spawn(move || countdown.done());
                }
            });
        }
    });
    let answer = countdown.wait();
    Measured::new(start.elapsed(), iterations, answer)
}

/// One operation: a task that makes two more, down to the last ones.
fn tree<P: Pool>(threads: u32, iterations: u64) -> Measured {
    fn grow<P: Pool>(pool: &Arc<P>, countdown: &Arc<Countdown>, tasks: u64) {
        let rest = tasks - 1;
        for part in [rest / 2, rest - rest / 2] {
            if part > 0 {
                let (inner, counts) = (pool.clone(), countdown.clone());
                pool.spawn(move || grow(&inner, &counts, part));
            }
        }
        countdown.done();
    }
    let pool = pool::<P>(threads);
    let countdown = Countdown::new(iterations);
    let start = Instant::now();
    let (inner, counts) = (pool.clone(), countdown.clone());
    pool.spawn(move || grow(&inner, &counts, iterations));
    let answer = countdown.wait();
    Measured::new(start.elapsed(), iterations, answer)
}

/// A pool that was used has nothing to do for so many milliseconds; the figure is the CPU
/// time of the process.
fn idle<P: Pool>(threads: u32, iterations: u64) -> Measured {
    let pool = pool::<P>(threads);
    let answer = (0..100).map(|_| pool.call(|| 1)).sum();
    let start = Instant::now();
    thread::sleep(Duration::from_millis(iterations));
    Measured::new(start.elapsed(), iterations, answer)
}

/// The workloads of a contestant.
macro_rules! entries {
    ($name:literal, $pool:ty) => {
        [
            entry("pool-round-trip", $name, round_trip::<$pool>),
            entry("pool-tasks", $name, tasks::<$pool>),
            entry("pool-burst", $name, burst::<$pool>),
            entry("pool-tree", $name, tree::<$pool>),
            entry("pool-idle", $name, idle::<$pool>),
        ]
    };
}

const TABLES: &[[Entry; 5]] = &[
    entries!("std", Std),
    entries!("threadpool", Threadpool),
    entries!("rusty_pool", RustyPool),
    entries!("rayon", Rayon),
    entries!("threadwork", Threadwork),
];

fn contest() -> Contest {
    TABLES.iter().flatten().collect()
}

fn main() -> ExitCode {
    contest().main()
}

#[test]
fn contestants_agree_and_nonsense_is_refused() {
    contest().check(2, 50);
}
