//! What one can know of the workers: names, hooks, status.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use threadwork::{ThreadPool, WorkerStatus, blocking};

use crate::support::{Plug, count, pool, until};

#[test]
fn threads_have_names() {
    let pool = ThreadPool::builder()
        .name("io")
        .pool_size(2)
        .build()
        .unwrap();
    let name = pool.execute(|| thread::current().name().unwrap().to_string());
    assert!(["io-0", "io-1"].contains(&name.wait().unwrap().as_str()));
}

#[test]
fn each_thread_calls_its_hooks() {
    let calls = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let pool = ThreadPool::builder()
        .pool_size(3)
        .on_start({
            let calls = calls.clone();
            move |index| {
                calls
                    .lock()
                    .unwrap()
                    .0
                    .push((index, thread::current().id()))
            }
        })
        .on_exit({
            let calls = calls.clone();
            move |index| {
                calls
                    .lock()
                    .unwrap()
                    .1
                    .push((index, thread::current().id()))
            }
        })
        .build()
        .unwrap();
    pool.shutdown();
    let mut calls = calls.lock().unwrap().clone();
    calls.0.sort_by_key(|call| call.0);
    calls.1.sort_by_key(|call| call.0);
    assert_eq!(calls.0, calls.1);
    assert!(calls.0.iter().map(|call| call.0).eq(0..3));
}

#[test]
#[cfg(panic = "unwind")]
fn a_hook_that_panics_loses_no_worker() {
    let pool = ThreadPool::builder()
        .pool_size(1)
        .on_start(|_| panic!("a hook that panics"))
        .build()
        .unwrap();
    assert_eq!(pool.execute(|| 1).wait().unwrap(), 1);
}

#[test]
fn status() {
    let pool = pool(2);
    assert_eq!(pool.workers(), [WorkerStatus::Idle, WorkerStatus::Idle]);
    let plug = Plug::insert(&pool);
    let named = pool.task().name(format!("task {}", 7));
    let started = Arc::new(threadwork::sync::Latch::new());
    let go_on = Arc::new(threadwork::sync::Latch::new());
    let task = named.execute({
        let (started, go_on) = (started.clone(), go_on.clone());
        move || {
            started.open();
            go_on.wait();
        }
    });
    started.wait();
    let workers = pool.workers();
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().any(|worker| matches!(
        worker,
        WorkerStatus::Busy { name: Some(name), task: id } if &**name == "task 7" && *id == task.id()
    )));
    assert!(
        workers
            .iter()
            .any(|worker| matches!(worker, WorkerStatus::Busy { name: None, .. }))
    );
    go_on.open();
    task.wait().unwrap();
    plug.pull();
    until(|| count(&pool, |worker| *worker == WorkerStatus::Idle) == 2);
    pool.shutdown();
    assert_eq!(
        pool.workers(),
        [WorkerStatus::Terminated, WorkerStatus::Terminated]
    );
}

/// A task that runs within another one is what the worker does.
#[test]
fn the_innermost_task_is_the_status() {
    let pool = Arc::new(pool(1));
    let seen = pool.execute({
        let pool = pool.clone();
        move || {
            let looker = pool.clone();
            let inner = pool
                .task()
                .name("inner")
                .execute(move || looker.workers()[0].clone());
            let inner = inner.wait().unwrap();
            (inner, pool.workers()[0].clone())
        }
    });
    let outer_id = seen.id();
    let (inner, outer) = seen.wait().unwrap();
    assert!(matches!(inner, WorkerStatus::Busy { name: Some(name), .. } if &*name == "inner"));
    assert_eq!(
        outer,
        WorkerStatus::Busy {
            task: outer_id,
            name: None
        }
    );
    until(|| Arc::strong_count(&pool) == 1);
}

/// A thread that has worked in place of another leaves when it has been idle for long
/// enough, and a new one comes when it is needed.
#[test]
fn spares_come_and_go() {
    let started = Arc::new(AtomicUsize::new(0));
    let pool = Arc::new(
        ThreadPool::builder()
            .pool_size(1)
            .max_threads(2)
            .keep_alive(Duration::from_millis(1))
            .on_start({
                let started = started.clone();
                move |_| _ = started.fetch_add(1, Ordering::Relaxed)
            })
            .build()
            .unwrap(),
    );
    for round in 1..4 {
        // Only another thread can run the inner task: it is waited for by other means.
        let task = pool.execute({
            let pool = pool.clone();
            move || {
                let (sender, receiver) = std::sync::mpsc::channel();
                drop(pool.execute(move || sender.send(()).unwrap()));
                blocking(|| receiver.recv().unwrap());
            }
        });
        task.wait().unwrap();
        until(|| count(&pool, |worker| *worker == WorkerStatus::Terminated) == 1);
        assert_eq!(started.fetch_add(0, Ordering::Relaxed), 1 + round);
    }
    assert_eq!(pool.workers().len(), 2);
    until(|| Arc::strong_count(&pool) == 1);
}

/// What a hook executes is forgotten like what a task does.
#[test]
fn a_hook_may_execute_tasks() {
    let own = Arc::new(OnceLock::<Weak<ThreadPool>>::new());
    let name: Arc<str> = "by a hook".into();
    let pool = ThreadPool::builder().pool_size(1).on_exit({
        let (own, name) = (own.clone(), name.clone());
        move |_| {
            // Refused, but by the hook of a thread that was dismissed.
            if let Some(pool) = own.get().and_then(Weak::upgrade) {
                drop(pool.task().name(name.clone()).execute(|| ()));
            }
        }
    });
    let pool = pool.max_threads(2).keep_alive(Duration::from_millis(1));
    let pool = Arc::new(pool.build().unwrap());
    own.set(Arc::downgrade(&pool)).unwrap();
    let started = Arc::new(AtomicUsize::new(0));
    let waits = pool.execute({
        let (pool, started) = (pool.clone(), started.clone());
        move || {
            let (sender, receiver) = std::sync::mpsc::channel();
            drop(pool.execute(move || sender.send(()).unwrap()));
            blocking(|| receiver.recv().unwrap());
            started.store(1, Ordering::Relaxed);
        }
    });
    waits.wait().unwrap();
    until(|| count(&pool, |worker| *worker == WorkerStatus::Terminated) == 1);
    pool.shutdown();
    until(|| Arc::strong_count(&pool) == 1);
    drop((pool, own));
    until(|| Arc::strong_count(&name) == 1);
}
