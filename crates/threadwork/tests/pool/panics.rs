//! A panic reaches the handle of its task, and nothing else.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use threadwork::sync::{Mutex, Priority};
use threadwork::{TaskError, TaskPanic, WorkerStatus};

use crate::support::{Plug, count, pool, rounds, until};

fn panic_of<T: std::fmt::Debug>(result: Result<T, TaskError>) -> TaskPanic {
    match result {
        Err(TaskError::Panicked(panic)) => *panic,
        other => panic!("want a panic, got {other:?}"),
    }
}

#[test]
fn a_panic_reaches_the_handle() {
    let pool = pool(1);
    let literal = panic_of(pool.execute(|| panic!("by zero")).wait());
    assert_eq!(literal.message(), "by zero");
    assert_eq!((literal.task().get(), literal.name()), (1, None));
    assert_eq!(literal.to_string(), "task 1 panicked: by zero");

    let number = 7;
    let named = pool.task().name("sum");
    let named = panic_of(named.execute(move || panic!("by {number}")).wait());
    assert_eq!(named.to_string(), "task 2 `sum` panicked: by 7");
    assert_eq!(named.name(), Some("sum"));
    assert_eq!(*named.into_payload().downcast::<String>().unwrap(), "by 7");

    let other = panic_of(pool.execute(|| panic::panic_any(7_u8)).wait());
    assert!(other.message().contains("not a text"));
    assert_eq!(*other.into_payload().downcast::<u8>().unwrap(), 7);
}

/// Acceptance test 25: the worker is usable again, and none is lost.
#[test]
fn cleanup_on_error() {
    let pool = pool(2);
    let lock = Arc::new(Mutex::new(0));
    for n in 0..rounds(200, 20_000) {
        let lock = lock.clone();
        let fails = pool.execute(move || {
            let mut count = lock.lock();
            *count += 1;
            panic!("{n}");
        });
        assert_eq!(panic_of(fails.wait()).message(), n.to_string());
    }
    assert_eq!(*lock.lock(), rounds(200, 20_000));
    assert_eq!(pool.execute(|| 1).wait().unwrap(), 1);
    pool.wait_all().unwrap();
    assert_eq!(
        count(&pool, |worker| *worker == WorkerStatus::Terminated),
        0
    );
    assert_eq!(pool.workers().len(), 2);
}

#[test]
fn a_panic_within_a_task_that_waits() {
    let pool = Arc::new(pool(1));
    let inner = pool.clone();
    let outer = pool.execute(move || {
        let fails = inner.execute(|| panic!("inner"));
        panic_of(fails.wait()).message().to_string()
    });
    assert_eq!(outer.wait().unwrap(), "inner");
    until(|| Arc::strong_count(&pool) == 1);
}

/// Panics as it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn results_and_closures_that_panic_when_dropped() {
    let pool = pool(1);
    // The worker drops a result that nobody waits for any more.
    let plug = Plug::insert(&pool);
    drop(pool.execute(|| Bomb));
    plug.pull();
    pool.wait_all().unwrap();

    // One that was there before is dropped with the handle.
    let task = pool.execute(|| Bomb);
    until(|| task.is_finished());
    assert!(panic::catch_unwind(AssertUnwindSafe(|| drop(task))).is_err());

    let closure = Bomb;
    let moved = pool.execute(move || {
        let _here = closure;
    });
    assert_eq!(panic_of(moved.wait()).message(), "dropped");

    // To cancel drops the closure; its panic is the canceller's.
    let plug = Plug::insert(&pool);
    let closure = Bomb;
    let task = pool
        .task()
        .priority(Priority::Low)
        .execute(move || drop(closure));
    assert!(panic::catch_unwind(AssertUnwindSafe(|| task.cancel())).is_err());
    assert!(matches!(task.wait(), Err(TaskError::Cancelled)));

    // And the pool's end does.
    let closures: Vec<_> = (0..3).map(|_| Bomb).collect();
    let tasks: Vec<_> = closures
        .into_iter()
        .map(|closure| pool.execute(move || drop(closure)))
        .collect();
    plug.loosen();
    pool.shutdown_now();
    for task in tasks {
        assert!(task.wait().is_err());
    }
}
