//! All at once: executing, waiting, cancelling, raising, blocking, from many threads, with
//! every task accounted for at the end.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use threadwork::sync::PriorityMutex;
use threadwork::{Priority, TaskError, ThreadPool, blocking};

use crate::support::{Random, block_on, rounds};

/// How deep tasks make tasks.
const DEPTH: u32 = 3;

const PRIORITIES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

struct Field {
    pool: ThreadPool,
    lock: PriorityMutex<u64>,
    executed: AtomicU64,
    ran: AtomicU64,
    cancelled: AtomicU64,
}

impl Field {
    /// One task, which may make and wait for others.
    fn task(self: &Arc<Self>, random: &mut Random, depth: u32) {
        self.executed.fetch_add(1, Ordering::Relaxed);
        let (field, seed) = (self.clone(), random.below(u64::MAX >> 12));
        let builder = self
            .pool
            .task()
            .priority(PRIORITIES[random.below(3) as usize]);
        let builder = if random.below(4) == 0 {
            builder.name("stress")
        } else {
            builder
        };
        let mut handle = builder.execute(move || field.work(&mut Random::new(seed), depth));
        let result = match random.below(8) {
            0 => return,
            1 => {
                // In time or not, it is accounted for below.
                let in_time = handle.cancel();
                let result = handle.wait();
                assert_eq!(in_time, result.is_err());
                result
            }
            2 => handle
                .wait_timeout(Duration::from_micros(random.below(100)))
                .unwrap_or_else(|| handle.wait()),
            // A worker that sleeps in somebody's executor would be lost to the pool.
            3 if depth == DEPTH => block_on(handle.into_future()),
            _ => handle.wait(),
        };
        match result {
            Ok(()) => {}
            Err(TaskError::Cancelled) => {
                self.cancelled.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn work(self: &Arc<Self>, random: &mut Random, depth: u32) {
        self.ran.fetch_add(1, Ordering::Relaxed);
        if depth == 0 {
            return;
        }
        match random.below(6) {
            0 => blocking(thread::yield_now),
            1 => {
                let mut guard = self.lock.lock();
                *guard += 1;
            }
            2 => {
                // Holds the lock while another task has to be done.
                let guard = self.lock.lock_as(PRIORITIES[random.below(3) as usize]);
                drop(self.pool.task().execute(|| ()));
                self.executed.fetch_add(1, Ordering::Relaxed);
                self.ran.fetch_add(1, Ordering::Relaxed);
                drop(guard);
            }
            _ => (0..1 + random.below(3)).for_each(|_| self.task(random, depth - 1)),
        }
    }
}

#[test]
fn every_task_is_accounted_for() {
    for (round, threads) in [(1, 1), (2, 4), (3, 8)] {
        let field = Arc::new(Field {
            pool: ThreadPool::builder()
                .pool_size(2)
                .max_threads(6)
                .keep_alive(Duration::from_micros(100))
                .build()
                .unwrap(),
            lock: PriorityMutex::new(0),
            executed: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
        });
        thread::scope(|scope| {
            for thread in 0..threads {
                let field = &field;
                scope.spawn(move || {
                    let mut random = Random::new(round * 100 + thread);
                    for _ in 0..rounds(500, 20_000) {
                        field.task(&mut random, DEPTH);
                    }
                });
            }
        });
        field.pool.wait_all().unwrap();
        let total = |count: &AtomicU64| count.fetch_add(0, Ordering::Relaxed);
        assert_eq!(
            total(&field.executed),
            total(&field.ran) + total(&field.cancelled)
        );
        assert_eq!(field.pool.unfinished(), 0);
        assert!(field.pool.workers().len() <= 6);
        field.pool.shutdown();
    }
}

/// A cancel and the worker meet: exactly one has the task.
#[test]
fn a_cancel_races_with_a_worker() {
    let pool = ThreadPool::new(2).unwrap();
    let ran = Arc::new(AtomicU64::new(0));
    let mut cancelled = 0;
    let tasks = u64::from(rounds(5_000, 1_000_000));
    for _ in 0..tasks {
        let task = pool.execute({
            let ran = ran.clone();
            move || ran.fetch_add(1, Ordering::Relaxed)
        });
        cancelled += u64::from(task.cancel());
    }
    pool.wait_all().unwrap();
    assert_eq!(ran.fetch_add(0, Ordering::Relaxed) + cancelled, tasks);
}
