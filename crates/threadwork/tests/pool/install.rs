//! Closures that borrow, on a pool of one's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use threadwork::sync::Latch;
use threadwork::{TaskError, ThreadPool, current_worker_index, join};

/// A thousand times what anything here takes: without it a test that fails would hang.
const LONG: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 30 });

/// Says when it is gone.
struct Guard<'a>(&'a AtomicUsize);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_is_installed_borrows_and_runs_there() {
    let pool = ThreadPool::builder()
        .pool_size(2)
        .name("own")
        .build()
        .unwrap();
    let mut words = vec!["a".to_owned()];
    let gone = AtomicUsize::new(0);
    let guard = Guard(&gone);
    let length = pool.install(|| {
        let _guard = guard;
        assert!(current_worker_index().is_some_and(|index| index < pool.max_threads()));
        // Both halves are this pool's.
        let names = || std::thread::current().name().map(str::to_owned);
        let (a, b) = join(names, names);
        assert!(
            [a, b]
                .into_iter()
                .all(|name| name.unwrap().starts_with("own-"))
        );
        words.push("b".to_owned());
        words.len()
    });
    assert_eq!((length.unwrap(), words.len()), (2, 2));
    assert_eq!(gone.load(Ordering::Relaxed), 1);
    assert_eq!(current_worker_index(), None);
}

/// One worker is enough: it runs what it waits for.
#[test]
fn an_install_within_an_install_of_the_same_pool() {
    let (one, other) = (ThreadPool::new(1).unwrap(), ThreadPool::new(1).unwrap());
    let sum = one.install(|| {
        let mut sum = one.install(|| 1).unwrap();
        sum += other.install(|| one.install(|| 2).unwrap() + 3).unwrap();
        sum
    });
    assert_eq!(sum.unwrap(), 6);
}

#[test]
fn a_scope_on_a_pool_ends_with_its_jobs() {
    let pool = ThreadPool::new(2).unwrap();
    let mut counts = [0; if cfg!(miri) { 10 } else { 100 }];
    pool.scope(|scope| {
        for count in &mut counts {
            scope.spawn(|scope| {
                *count += 1;
                scope.spawn(|_| *count += 1);
            });
        }
    })
    .unwrap();
    assert!(counts.iter().all(|count| *count == 2));
}

/// What is borrowed is given back, whatever happens.
#[test]
fn a_pool_that_was_shut_down_runs_nothing() {
    let pool = ThreadPool::new(1).unwrap();
    pool.shutdown();
    let gone = AtomicUsize::new(0);
    let guard = Guard(&gone);
    let result = pool.install(move || drop(guard));
    assert!(matches!(result, Err(TaskError::PoolGone)), "{result:?}");
    assert_eq!(gone.into_inner(), 1);
}

/// The pool ends while the installed closure is queued: whoever cancels it drops what it holds
/// before the call returns.
#[test]
fn a_pool_that_ends_gives_back_what_is_queued() {
    for _ in 0..if cfg!(miri) { 1 } else { 100 } {
        let pool = Arc::new(ThreadPool::new(1).unwrap());
        let gone = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let installer = scope.spawn(|| {
                let guard = Guard(&gone);
                let result = pool.install(move || drop(guard));
                assert_eq!(gone.load(Ordering::Relaxed), 1);
                assert!(
                    matches!(
                        result,
                        Ok(()) | Err(TaskError::Cancelled | TaskError::PoolGone)
                    ),
                    "{result:?}"
                );
            });
            pool.shutdown_now();
            installer.join().unwrap();
        });
    }
}

#[test]
#[cfg(panic = "unwind")]
fn a_panic_is_the_result() {
    let pool = ThreadPool::new(1).unwrap();
    let gone = AtomicUsize::new(0);
    let guard = Guard(&gone);
    let result: Result<(), _> = pool.install(move || {
        let _guard = guard;
        panic!("of the test");
    });
    match result {
        Err(TaskError::Panicked(panic)) => assert_eq!(panic.message(), "of the test"),
        other => panic!("{other:?}"),
    }
    assert_eq!(gone.into_inner(), 1);
    assert_eq!(pool.install(|| 1).unwrap(), 1, "the worker goes on");
}

/// Deeper than both have threads: each blocks one, and the rest is run by who waits.
#[test]
fn pools_install_into_each_other() {
    const DEPTH: u32 = 12;
    fn deeper(pools: &[ThreadPool; 2], depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let installed = || pools[depth as usize % 2].install(|| deeper(pools, depth - 1));
        // One that waits in a join counts as active for a while.
        let below = match depth % 3 {
            0 => join(installed, || ()).0,
            1 => join(|| (), installed).1,
            _ => installed(),
        };
        below.unwrap() + 1
    }
    for threads in [1, 2, 4] {
        let pool = || ThreadPool::builder().pool_size(1).max_threads(threads);
        let pools = [pool().build().unwrap(), pool().build().unwrap()];
        let outer = ThreadPool::new(1).unwrap();
        let mut task = outer.execute(move || deeper(&pools, DEPTH));
        let end = task.wait_timeout(LONG).expect("it hangs");
        assert_eq!(end.unwrap(), DEPTH);
    }
}

/// A thread that waits for a job is active until it has done so for a while; then it blocks, and
/// nobody is left for what was installed meanwhile.
#[test]
fn a_pool_may_run_out_of_threads_later() {
    let both = ThreadPool::builder().pool_size(2).max_threads(2);
    let (both, other) = (both.build().unwrap(), ThreadPool::new(1).unwrap());
    let outer = ThreadPool::new(1).unwrap();
    let mut task = outer.execute(move || {
        let begun = Latch::new();
        let installed = || {
            begun.open();
            other.install(|| both.install(|| 7).unwrap()).unwrap()
        };
        both.install(|| join(|| begun.wait(), installed).1).unwrap()
    });
    let end = task.wait_timeout(LONG).expect("it hangs");
    assert_eq!(end.unwrap(), 7);
}

/// What is run by who waits has its panics told all the same.
#[test]
#[cfg(panic = "unwind")]
fn what_is_taken_back_may_panic() {
    let pool = || {
        ThreadPool::builder()
            .pool_size(1)
            .max_threads(1)
            .build()
            .unwrap()
    };
    let (one, other) = (pool(), pool());
    let result = one.install(|| {
        other
            .install(|| {
                let borrowed = AtomicUsize::new(0);
                let result: Result<(), _> = one.install(|| {
                    borrowed.store(1, Ordering::Relaxed);
                    std::panic::resume_unwind(Box::new("of the test"));
                });
                assert_eq!(borrowed.into_inner(), 1);
                result.unwrap_err().to_string()
            })
            .unwrap()
    });
    let message = result.unwrap();
    assert!(message.ends_with("panicked: of the test"), "{message}");
}
