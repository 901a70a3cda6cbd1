//! Code of the user's that panics where nobody waits for it: no worker is lost, the next task
//! runs, and the pool's end is reached.

use std::future::IntoFuture;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use threadwork::ThreadPool;
use threadwork::sync::Priority;

use crate::support::{Plug, pool};

/// A thousand times what anything here takes: without it a test that fails would hang.
const LONG: Duration = Duration::from_secs(10);

/// Panics as it is dropped, and so does the payload of that panic, and so on. It has no size: to
/// leak one leaks nothing.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new(Bomb));
    }
}

/// Serves tasks, and ends.
fn is_as_new(pool: ThreadPool) {
    let next = pool.execute(|| 2).wait_timeout(LONG);
    assert_eq!(next.unwrap().unwrap(), 2);
    assert_eq!(pool.workers().len(), pool.pool_size());
    ends(pool);
}

fn ends(pool: ThreadPool) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        pool.shutdown();
        sender.send(()).unwrap();
    });
    receiver.recv_timeout(LONG).unwrap();
}

#[test]
fn results_that_nobody_takes() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    drop(pool.execute(|| Bomb));
    drop(pool.execute(|| resume_unwind(Box::new(Bomb))));
    // Those of a task's own children are dropped on another way.
    plug.pull();
    let inner = Arc::new(pool);
    let own = inner.clone();
    let parent = inner.execute(move || {
        drop(own.execute(|| Bomb));
        drop(own.execute(|| resume_unwind(Box::new(Bomb))));
    });
    parent.wait().unwrap();
    inner.wait_all_timeout(LONG).unwrap();
    // The task has let go of the pool when it is counted.
    is_as_new(Arc::into_inner(inner).unwrap());
}

#[test]
fn closures_that_are_cancelled() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let tasks: Vec<_> = [Priority::Low, Priority::Normal, Priority::High]
        .map(|class| {
            let bomb = Bomb;
            pool.task().priority(class).execute(move || drop(bomb))
        })
        .into();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        pool.shutdown_now();
        sender.send(()).unwrap();
    });
    // They are cancelled by then, by the thread that ends the pool or by its worker.
    while !tasks.iter().all(|task| task.is_finished()) {
        thread::yield_now();
    }
    plug.pull();
    receiver.recv_timeout(LONG).unwrap();
}

struct BrokenWaker;

impl Wake for BrokenWaker {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new(Bomb));
    }
}

#[test]
fn wakers() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let mut future = pin!(pool.execute(|| 1).into_future());
    let waker = Waker::from(Arc::new(BrokenWaker));
    let mut context = Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut context).is_pending());
    plug.pull();
    pool.wait_all_timeout(LONG).unwrap();
    assert!(future.as_mut().poll(&mut context).is_ready());
    is_as_new(pool);
}

/// Whoever cancels a task is not hit by the waker of whoever waits for it.
#[test]
fn wakers_of_cancelled_tasks() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let mut future = pin!(pool.execute(|| 1).into_future());
    let waker = Waker::from(Arc::new(BrokenWaker));
    assert!(
        future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    plug.loosen();
    pool.shutdown_now();
    ends(pool);
}

#[test]
fn hooks_and_what_they_hold() {
    // One, since two of one value end a program by Rust's own rule.
    let held = Bomb;
    let builder = ThreadPool::builder()
        .pool_size(2)
        .on_start(move |_| {
            let _held = &held;
            resume_unwind(Box::new(Bomb))
        })
        .on_exit(|_| resume_unwind(Box::new(Bomb)));
    let pool = builder.build().unwrap();
    let next = pool.execute(|| 2).wait_timeout(LONG);
    assert_eq!(next.unwrap().unwrap(), 2);
    let (sender, receiver) = mpsc::channel();
    let other = thread::spawn(move || {
        pool.shutdown();
        sender.send(()).unwrap();
        // What the hooks hold is dropped by this thread, or by the last worker.
        drop(pool);
    });
    receiver.recv_timeout(LONG).unwrap();
    if let Err(payload) = other.join() {
        std::mem::forget(payload);
    }
}
