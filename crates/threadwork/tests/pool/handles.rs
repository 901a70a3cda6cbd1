//! What a handle says, in all its ways to wait.

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use threadwork::TaskError;

use crate::support::{Plug, block_on, pool, rounds};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_wait_with_a_timeout_gives_up_and_may_go_on() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let mut task = pool.execute(|| 1);
    let start = Instant::now();
    assert!(task.wait_timeout(SHORT).is_none());
    assert!(start.elapsed() >= SHORT);
    assert!(task.wait_deadline(Instant::now()).is_none());
    assert!(task.try_wait().is_none());
    assert!(!task.is_finished());
    plug.pull();
    assert_eq!(task.wait_timeout(LONG).unwrap().unwrap(), 1);
    assert!(task.is_finished());
}

#[test]
fn a_timeout_longer_than_the_clock_is_for_ever() {
    let pool = pool(1);
    let mut task = pool.execute(|| 1);
    assert_eq!(task.wait_timeout(Duration::MAX).unwrap().unwrap(), 1);
    pool.wait_all_timeout(Duration::MAX).unwrap();
}

#[test]
fn a_result_is_taken_once() {
    let pool = pool(1);
    let mut task = pool.execute(|| 1);
    assert_eq!(task.wait_timeout(LONG).unwrap().unwrap(), 1);
    assert!(matches!(task.try_wait(), Some(Err(TaskError::Taken))));
    assert!(matches!(task.wait(), Err(TaskError::Taken)));
}

#[test]
fn cancelled_in_time_it_never_runs() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let ran = Arc::new(AtomicBool::new(false));
    let task = pool.execute({
        let ran = ran.clone();
        move || ran.store(true, Ordering::Relaxed)
    });
    assert!(task.cancel());
    // The closure is gone already.
    assert_eq!(Arc::strong_count(&ran), 1);
    assert!(!task.cancel(), "it can be cancelled once");
    assert!(task.is_finished());
    assert!(matches!(task.wait(), Err(TaskError::Cancelled)));
    plug.pull();
    pool.wait_all().unwrap();
    assert!(!ran.load(Ordering::Relaxed));
}

#[test]
fn what_has_begun_cannot_be_cancelled() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let started = Arc::new(threadwork::sync::Latch::new());
    let task = pool.execute({
        let started = started.clone();
        move || started.open()
    });
    plug.pull();
    started.wait();
    assert!(!task.cancel());
    task.wait().unwrap();
}

/// A cancel wakes whoever waits for the task.
#[test]
fn a_cancel_ends_a_wait() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let task = pool.execute(|| ());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| task.wait());
        // Then it is asleep, most likely.
        thread::sleep(SHORT);
        scope.spawn(|| pool.shutdown_now());
        assert!(matches!(waiter.join().unwrap(), Err(TaskError::Cancelled)));
        plug.pull();
    });
}

#[test]
fn a_dropped_handle_detaches() {
    let pool = pool(1);
    let ran = Arc::new(AtomicBool::new(false));
    drop(pool.execute({
        let ran = ran.clone();
        move || ran.store(true, Ordering::Relaxed)
    }));
    pool.wait_all().unwrap();
    assert!(ran.load(Ordering::Relaxed));
}

/// Who waits for all sees the results of detached tasks dropped.
#[test]
fn a_result_that_nobody_takes_is_dropped() {
    let pool = pool(2);
    let result = Arc::new(());
    for _ in 0..rounds(100, 100) {
        let result = result.clone();
        drop(pool.execute(move || result));
    }
    pool.wait_all().unwrap();
    assert_eq!(Arc::strong_count(&result), 1);

    let kept = pool.execute({
        let result = result.clone();
        move || result
    });
    pool.wait_all().unwrap();
    assert_eq!(Arc::strong_count(&result), 2);
    drop(kept);
    assert_eq!(Arc::strong_count(&result), 1);
}

#[test]
fn a_handle_is_a_future() {
    let pool = pool(2);
    let sum = block_on(async {
        let mut sum = 0;
        for n in 0..rounds(100, 10_000) {
            sum += pool.execute(move || u64::from(n)).await.unwrap();
        }
        sum
    });
    let n = u64::from(rounds(100, 10_000));
    assert_eq!(sum, n * (n - 1) / 2);
}

#[test]
fn a_future_that_is_dropped_detaches() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let ran = Arc::new(AtomicBool::new(false));
    let task = pool.execute({
        let ran = ran.clone();
        move || ran.store(true, Ordering::Relaxed)
    });
    let mut future = Box::pin(task.into_future());
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    drop(future);
    plug.pull();
    pool.wait_all().unwrap();
    assert!(ran.load(Ordering::Relaxed));
}

#[test]
fn a_future_moves_between_threads() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let task = pool.execute(|| 7);
    let mut future = Box::pin(task.into_future());
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    plug.loosen();
    assert_eq!(
        thread::spawn(|| block_on(future)).join().unwrap().unwrap(),
        7
    );
}

#[test]
fn a_future_that_is_ready_at_once() {
    let pool = pool(1);
    let task = pool.execute(|| 7);
    pool.wait_all().unwrap();
    let mut future = Box::pin(task.into_future());
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(
        future.as_mut().poll(&mut context),
        Poll::Ready(Ok(7))
    ));
}

#[test]
fn wait_all_waits_for_what_runs_and_what_is_queued() {
    let pool = pool(2);
    pool.wait_all().unwrap();
    for _ in 0..rounds(20, 2_000) {
        let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for _ in 0..20 {
            let done = done.clone();
            drop(pool.execute(move || {
                thread::yield_now();
                done.fetch_add(1, Ordering::Relaxed);
            }));
        }
        pool.wait_all().unwrap();
        assert_eq!(done.fetch_add(0, Ordering::Relaxed), 20);
    }
}

#[test]
fn wait_all_times_out() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    assert_eq!(
        pool.wait_all_timeout(SHORT),
        Err(threadwork::WaitError::TimedOut)
    );
    plug.pull();
    pool.wait_all_timeout(LONG).unwrap();
}

#[test]
fn handles_and_errors_may_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<threadwork::TaskHandle<std::cell::Cell<u8>>>();
    check::<TaskError>();
    fn send<T: Send>() {}
    send::<threadwork::TaskFuture<std::cell::Cell<u8>>>();
}

#[test]
fn what_handles_and_builders_say_of_themselves() {
    let pool = threadwork::ThreadPool::builder().pool_size(1).name("own");
    assert!(format!("{pool:?}").contains("own"));
    let pool = pool.build().unwrap();
    let mut task = pool.task().name("named").execute(|| 1);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let result = task.wait_deadline(end);
    assert!(matches!(result, Some(Ok(1))));
    let said = format!("{task:?}");
    assert!(
        said.contains("named") && said.contains("is_finished: true"),
        "{said}"
    );
    let future = std::future::IntoFuture::into_future(pool.execute(|| ()));
    assert!(format!("{future:?}").contains("TaskFuture"));
}
