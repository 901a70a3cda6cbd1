//! `StealQueue`: each job is taken once, with what it holds.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use threadwork::model::fork_join::StealQueue;

use crate::model;

/// A steal queue, and what its jobs hold: number `n` holds `n`, once.
struct Store {
    steal_queue: StealQueue,
    contents: Vec<UnsafeCell<usize>>,
}

impl Store {
    fn new(jobs: usize) -> Arc<Self> {
        Arc::new(Store {
            steal_queue: StealQueue::new(),
            contents: (0..=jobs).map(|_| UnsafeCell::new(0)).collect(),
        })
    }

    /// Puts a job there, unless there is no room.
    fn put(&self, job: usize) -> bool {
        let state = self.steal_queue.look();
        if state.is_full() {
            return false;
        }
        self.contents[job].with_mut(|content| unsafe { *content = job });
        self.steal_queue.put(state, job);
        true
    }

    fn open(&self, job: Option<usize>) -> Option<usize> {
        let job = job?;
        self.contents[job].with_mut(|content| assert_eq!(unsafe { content.replace(0) }, job));
        Some(job)
    }

    fn take_back(&self) -> Option<usize> {
        self.open(self.steal_queue.take_back())
    }

    fn steal(&self) -> Option<usize> {
        self.open(self.steal_queue.steal(self.steal_queue.look()))
    }
}

/// The owner puts and takes back, `thieves` steal. Every job that was put is taken once:
/// twice is caught by what it holds.
fn market(preemptions: usize, thieves: usize, jobs: usize) {
    model(preemptions, move || {
        let store = Store::new(jobs);
        let thieves: Vec<_> = (0..thieves)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || usize::from(store.steal().is_some()))
            })
            .collect();
        let (mut put, mut taken) = (0, 0);
        for job in 1..=jobs {
            put += usize::from(store.put(job));
            if job % 2 == 0 {
                taken += usize::from(store.take_back().is_some());
            }
        }
        for thief in thieves {
            taken += thief.join().unwrap();
        }
        while store.take_back().is_some() {
            taken += 1;
        }
        assert_eq!(put, taken);
    });
}

#[test]
fn one_thief() {
    market(4, 1, 3);
}

#[test]
fn two_thieves() {
    market(3, 2, 2);
}

/// The place and both counts are as the thief has seen them, but the job is another
/// one: only the tag tells.
#[test]
fn a_job_that_looks_like_the_one_before() {
    model(4, || {
        let store = Store::new(2);
        store.put(1);
        let thief = {
            let store = store.clone();
            thread::spawn(move || store.steal())
        };
        let back = store.take_back();
        store.put(2);
        let stolen = thief.join().unwrap();
        let rest = store.take_back();
        match (back, stolen, rest) {
            (Some(1), Some(2), None) | (Some(1), None, Some(2)) | (None, Some(1), Some(2)) => (),
            other => panic!("{other:?}"),
        }
    });
}
