//! `join` and `scope` with a thread that helps: each half once, and its result seen.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use threadwork::model::fork_join::Group;
use threadwork::{join, scope};

use crate::model;

/// Something that loom sees being used by two threads at once.
struct Data(UnsafeCell<u32>);

// The models share it between halves that must not run at the same time, or twice.
unsafe impl Sync for Data {}

impl Data {
    fn new() -> Self {
        Data(UnsafeCell::new(0))
    }

    fn add(&self) -> u32 {
        self.0.with_mut(|data| unsafe {
            *data += 1;
            *data
        })
    }
}

/// Runs `body` as a member of a group, with `helpers` threads that look for a job so often.
fn helped(preemptions: usize, helpers: usize, looks: usize, body: fn()) {
    model(preemptions, move || {
        let group = Arc::new(Group::new(helpers + 1));
        let member = group.enter();
        let helpers: Vec<_> = (0..helpers)
            .map(|_| {
                let group = group.clone();
                thread::spawn(move || {
                    let member = group.enter();
                    for _ in 0..looks {
                        member.help();
                    }
                })
            })
            .collect();
        body();
        drop(member);
        helpers
            .into_iter()
            .for_each(|helper| helper.join().unwrap());
    });
}

#[test]
fn each_half_is_run_once() {
    helped(3, 1, 1, || {
        let (a, b) = (Data::new(), Data::new());
        assert_eq!(join(|| a.add(), || b.add()), (1, 1));
        assert_eq!((a.add(), b.add()), (2, 2));
    });
}

#[test]
fn joins_one_after_the_other() {
    helped(3, 1, 2, || {
        for _ in 0..2 {
            let (a, b) = (Data::new(), Data::new());
            assert_eq!(join(|| a.add(), || b.add()), (1, 1));
            assert_eq!((a.add(), b.add()), (2, 2));
        }
    });
}

#[test]
fn joins_in_both_halves() {
    helped(2, 1, 2, || {
        let data: [Data; 4] = std::array::from_fn(|_| Data::new());
        join(
            || join(|| data[0].add(), || data[1].add()),
            || join(|| data[2].add(), || data[3].add()),
        );
        assert!(data.iter().all(|data| data.add() == 2));
    });
}

#[test]
fn two_helpers() {
    helped(2, 2, 1, || {
        let data: [Data; 3] = std::array::from_fn(|_| Data::new());
        join(
            || join(|| data[0].add(), || data[1].add()),
            || data[2].add(),
        );
        assert!(data.iter().all(|data| data.add() == 2));
    });
}

#[test]
fn what_panics_has_ended() {
    helped(3, 1, 1, || {
        let b = Data::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            join(|| resume_unwind(Box::new(1)), || b.add())
        }));
        assert!(result.is_err());
        // Nobody uses it any more.
        b.add();
    });
}

#[test]
fn spawned_jobs_are_run_once() {
    helped(2, 1, 2, || {
        let data: [Data; 3] = std::array::from_fn(|_| Data::new());
        scope(|scope| {
            scope.spawn(|scope| {
                data[0].add();
                scope.spawn(|_| {
                    data[1].add();
                });
            });
            scope.spawn(|_| {
                data[2].add();
            });
        });
        assert!(data.iter().all(|data| data.add() == 2));
    });
}
