//! A task of a pool: one party gets the closure, nobody misses the result, everything is
//! dropped and counted once.

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use threadwork::model::pool::{Entry, Handle, Stood, child, task};
use threadwork::{Priority, TaskError};

use crate::model;

/// Data that has an edge only if the task has one.
struct Data(UnsafeCell<u32>);

unsafe impl Send for Data {}
unsafe impl Sync for Data {}

impl Data {
    fn new() -> Arc<Self> {
        Arc::new(Data(UnsafeCell::new(0)))
    }

    fn add(&self) {
        self.0.with_mut(|data| unsafe { *data += 1 });
    }

    fn get(&self) -> u32 {
        self.0.with(|data| unsafe { *data })
    }
}

/// A task that writes to data and returns another reference to it.
fn writer() -> (Arc<Data>, Entry, Handle<Arc<Data>>) {
    let data = Data::new();
    let inner = data.clone();
    let (entry, handle) = task(move || {
        inner.add();
        inner
    });
    (data, entry, handle)
}

#[test]
fn a_waiter_gets_the_result() {
    model(4, || {
        let (_data, entry, handle) = writer();
        let worker = thread::spawn(move || assert!(entry.pop(0)));
        let result = handle.wait().unwrap();
        assert_eq!(result.get(), 1);
        worker.join().unwrap();
    });
}

#[test]
fn a_future_gets_the_result() {
    model(3, || {
        let (_data, entry, handle) = writer();
        let worker = thread::spawn(move || assert!(entry.pop(0)));
        let result = block_on(handle.wait_async()).unwrap();
        assert_eq!(result.get(), 1);
        worker.join().unwrap();
    });
}

#[test]
fn a_waiter_that_gives_up_can_come_again() {
    model(3, || {
        let (_data, entry, mut handle) = writer();
        let worker = thread::spawn(move || assert!(entry.pop(0)));
        let result = match handle.wait_timeout() {
            Some(result) => result,
            None => handle.wait(),
        };
        assert_eq!(result.unwrap().get(), 1);
        worker.join().unwrap();
    });
}

/// A worker pops it, another runs it ahead: it runs once, and is counted once.
#[test]
fn a_task_runs_once_and_counts_once() {
    model(2, || {
        let (_data, entry, handle) = writer();
        let counted = Arc::new(AtomicU32::new(0));
        let ahead = {
            let (entry, counted) = (entry.clone(), counted.clone());
            thread::spawn(move || {
                if entry.run_ahead(1) == Some(true) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let popper = {
            let counted = counted.clone();
            thread::spawn(move || {
                if entry.pop(0) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        assert_eq!(handle.wait().unwrap().get(), 1);
        ahead.join().unwrap();
        popper.join().unwrap();
        assert_eq!(counted.load(Ordering::Relaxed), 1);
    });
}

/// The handle cancels while a worker takes it: it runs or it does not.
#[test]
fn a_cancel_is_in_time_or_not() {
    model(4, || {
        let (data, entry, handle) = writer();
        let worker = thread::spawn(move || assert!(entry.pop(0)));
        let in_time = handle.cancel();
        match handle.wait() {
            Ok(result) => {
                assert!(!in_time);
                assert_eq!(result.get(), 1);
            }
            Err(error) => {
                assert!(in_time && matches!(error, TaskError::Cancelled));
                assert_eq!(data.get(), 0);
            }
        }
        worker.join().unwrap();
    });
}

/// The pool cancels while somebody waits.
#[test]
fn a_cancel_wakes_the_waiter() {
    model(4, || {
        let (_data, entry, handle) = writer();
        let pool = thread::spawn(move || assert!(entry.cancel()));
        assert!(matches!(handle.wait(), Err(TaskError::Cancelled)));
        pool.join().unwrap();
    });
}

/// Whoever gets the closure drops what it held, once.
#[test]
fn what_a_closure_held_is_dropped_once() {
    model(4, || {
        let (data, entry, handle) = writer();
        let canceller = thread::spawn(move || handle.cancel());
        let ran = entry.run_ahead(0).is_some();
        assert_ne!(canceller.join().unwrap(), ran);
        if ran {
            // It keeps the result.
            drop(entry);
        }
        assert_eq!(Arc::strong_count(&data), 1);
        assert_eq!(data.get(), u32::from(ran));
    });
}

/// A result that nobody waits for is dropped by the worker or with the handle: once, and
/// before the parent forgets the task.
#[test]
fn a_detached_result_is_dropped_once() {
    model(4, || {
        let data = Data::new();
        let inner = data.clone();
        let (entry, adopted, handle) = child(move || {
            inner.add();
            inner
        });
        let worker = thread::spawn(move || assert!(entry.pop(0)));
        drop(handle);
        worker.join().unwrap();
        assert_eq!(Arc::strong_count(&data), 1);
        data.add();
        assert_eq!(data.get(), 2);
        drop(adopted);
    });
}

/// A raise finds the slot of the worker that runs the task, or is found by it.
#[test]
fn a_raise_is_not_lost() {
    model(4, || {
        let own = Arc::new(Mutex::new(None::<Entry>));
        // What the task sees of itself, as it would when it spawns another.
        let (entry, handle) = task({
            let own = own.clone();
            move || own.lock().unwrap().take().map(|entry| entry.class())
        });
        *own.lock().unwrap() = Some(entry.clone());
        let worker = thread::spawn({
            let entry = entry.clone();
            move || assert!(entry.pop(3))
        });
        let stood = entry.raise(Priority::High);
        worker.join().unwrap();
        let seen = handle.wait().unwrap();
        match stood {
            Stood::Queued => assert_eq!(seen, Some(Priority::High)),
            Stood::Running(slot) => assert_eq!(slot, 3),
            Stood::Over => assert_eq!(seen, Some(Priority::Low)),
        }
    });
}
