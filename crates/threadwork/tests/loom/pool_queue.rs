//! The queue of a pool: no task is lost, the counts tell when it is quiet and when it has
//! ended.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use threadwork::model::pool::{Counter, Entry, Handle, Line, task};

use crate::model;

/// A task that says its number.
fn numbered(number: u32) -> (Entry, Handle<u32>) {
    task(move || number)
}

/// Takes so many tasks, and runs them.
fn take(line: &Line, mut count: usize) {
    while count > 0 {
        match unsafe { line.pop() } {
            Some(entry) => {
                assert!(entry.pop(0));
                count -= 1;
            }
            None => thread::yield_now(),
        }
    }
}

#[test]
fn tasks_of_two_threads_are_all_taken() {
    model(3, || {
        let line = Arc::new(Line::new());
        let adders: Vec<_> = (0..2)
            .map(|number| {
                let line = line.clone();
                thread::spawn(move || {
                    let (entry, handle) = numbered(number);
                    line.push(entry);
                    handle
                })
            })
            .collect();
        take(&line, 2);
        assert!(!line.has_work());
        for (number, adder) in (0..).zip(adders) {
            assert_eq!(adder.join().unwrap().wait().unwrap(), number);
        }
    });
}

/// One thread's tasks come out in its order, also while the lane runs empty.
#[test]
fn one_threads_tasks_keep_their_order() {
    model(4, || {
        let line = Arc::new(Line::new());
        let order = Arc::new(AtomicU32::new(0));
        let adder = {
            let (line, order) = (line.clone(), order.clone());
            thread::spawn(move || {
                for number in 0..3 {
                    let order = order.clone();
                    let (entry, handle) = task(move || {
                        assert_eq!(order.fetch_add(1, Ordering::Relaxed), number);
                    });
                    drop(handle);
                    line.push(entry);
                }
            })
        };
        take(&line, 3);
        adder.join().unwrap();
        assert_eq!(order.load(Ordering::Relaxed), 3);
    });
}

/// When the adders are gone nothing hides what they added.
#[test]
fn nothing_is_hidden_in_the_end() {
    model(4, || {
        let line = Arc::new(Line::new());
        let adder = {
            let line = line.clone();
            thread::spawn(move || {
                let (entry, handle) = numbered(1);
                drop(handle);
                line.push(entry);
            })
        };
        let (entry, handle) = numbered(0);
        drop(handle);
        line.push(entry);
        let early = usize::from(unsafe { line.pop() }.is_some());
        adder.join().unwrap();
        for _ in early..2 {
            assert!(line.has_work());
            assert!(unsafe { line.pop() }.is_some());
        }
        assert!(!line.has_work());
        assert!(unsafe { line.pop() }.is_none());
    });
}

/// Who waits until it is quiet is woken, and sees what the tasks did.
#[test]
fn quiet_comes_after_the_last_task() {
    model(2, || {
        let counter = Arc::new(Counter::new());
        let cells: [_; 2] = std::array::from_fn(|_| Arc::new(UnsafeCell::new(0)));
        for cell in &cells {
            let cell = Written(cell.clone());
            let (entry, handle) = task(move || cell.write());
            drop(handle);
            assert!(counter.execute(entry));
        }
        let workers: Vec<_> = (0..2)
            .map(|slot| {
                let counter = counter.clone();
                thread::spawn(move || while counter.serve(slot) {})
            })
            .collect();
        counter.wait_until_quiet();
        for cell in &cells {
            assert_eq!(cell.with(|value| unsafe { *value }), 1);
        }
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

struct Written(Arc<UnsafeCell<u32>>);

unsafe impl Send for Written {}

impl Written {
    fn write(&self) {
        self.0.with_mut(|value| unsafe { *value += 1 });
    }
}

/// Two wait, while a task comes to an end.
#[test]
fn all_who_wait_for_quiet_are_woken() {
    model(2, || {
        let counter = Arc::new(Counter::new());
        let (entry, handle) = numbered(0);
        drop(handle);
        assert!(counter.execute(entry));
        let other = {
            let counter = counter.clone();
            thread::spawn(move || counter.wait_until_quiet())
        };
        let worker = {
            let counter = counter.clone();
            thread::spawn(move || assert!(counter.serve(0)))
        };
        counter.wait_until_quiet();
        other.join().unwrap();
        worker.join().unwrap();
    });
}

/// A task comes while the queue closes: it is refused, or it is taken before the queue is
/// drained.
#[test]
fn a_closed_queue_loses_no_task() {
    model(3, || {
        let counter = Arc::new(Counter::new());
        let comes = {
            let counter = counter.clone();
            thread::spawn(move || {
                let (entry, handle) = numbered(7);
                (counter.execute(entry), handle)
            })
        };
        counter.close();
        while !counter.is_drained() {
            if !counter.serve(0) {
                thread::yield_now();
            }
        }
        assert!(!counter.serve(0));
        let (taken, handle) = comes.join().unwrap();
        if taken {
            assert_eq!(handle.wait().unwrap(), 7);
        }
        assert!(!counter.serve(0));
        counter.wait_until_quiet();
    });
}

/// Two refused and one taken, and somebody who waits for quiet.
#[test]
fn refused_tasks_count_as_finished() {
    model(2, || {
        let counter = Arc::new(Counter::new());
        let comes = {
            let counter = counter.clone();
            thread::spawn(move || {
                let (entry, handle) = numbered(7);
                drop(handle);
                counter.execute(entry)
            })
        };
        let waits = {
            let counter = counter.clone();
            thread::spawn(move || counter.wait_until_quiet())
        };
        counter.close();
        while !counter.is_drained() {
            if !counter.serve(0) {
                thread::yield_now();
            }
        }
        comes.join().unwrap();
        waits.join().unwrap();
    });
}

/// A task that is sent ahead while its entry is taken runs once and counts once.
#[test]
fn a_raised_task_counts_once() {
    model(2, || {
        let counter = Arc::new(Counter::new());
        let (entry, handle) = numbered(7);
        assert!(counter.execute(entry.clone()));
        let raiser = {
            let counter = counter.clone();
            thread::spawn(move || counter.raise(&entry))
        };
        let worker = {
            let counter = counter.clone();
            thread::spawn(move || while counter.serve(1) {})
        };
        while counter.serve(0) {}
        raiser.join().unwrap();
        worker.join().unwrap();
        while counter.serve(0) {}
        assert_eq!(handle.wait().unwrap(), 7);
        counter.wait_until_quiet();
    });
}

/// Uses the queue as it is dropped.
struct Closes(Arc<Counter>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A task that was sent ahead when it had run already: the reference among the expedited is the last
/// one, and the result goes with it.
#[test]
fn what_a_task_leaves_is_dropped_without_the_lock() {
    model(3, || {
        let counter = Arc::new(Counter::new());
        let held = counter.clone();
        let (entry, handle) = task(move || Closes(held));
        drop(handle);
        let raised = entry.clone();
        assert!(counter.execute(entry));
        let raiser = {
            let counter = counter.clone();
            thread::spawn(move || counter.raise(&raised))
        };
        counter.serve(0);
        raiser.join().unwrap();
        while counter.serve(0) {}
        assert!(counter.is_drained());
    });
}
