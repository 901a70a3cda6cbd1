//! The sleep of workers: no job and no task is overlooked while somebody sleeps. If one
//! were, all threads would wait for ever, which loom reports.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use threadwork::join;
use threadwork::model::fork_join::{Group, Member};

use crate::{large, model};

/// A count that can be waited for.
struct Count {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Count {
    fn new() -> Self {
        Count {
            count: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    fn add(&self) {
        *self.count.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait_for(&self, wanted: usize) {
        let mut count = self.count.lock().unwrap();
        while *count < wanted {
            count = self.changed.wait(count).unwrap();
        }
    }
}

/// A pool in small: workers, a queue of tasks that only count, and its end.
struct Pool {
    group: Group,
    queued: AtomicUsize,
    ended: AtomicUsize,
    done: Count,
}

impl Pool {
    fn new(slots: usize) -> Arc<Self> {
        Arc::new(Pool {
            group: Group::new(slots),
            queued: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            done: Count::new(),
        })
    }

    fn work(&self, member: &Member) {
        loop {
            if self.take() {
                self.done.add();
            } else if member.help() {
            } else if self.is_over() {
                return;
            } else {
                member.idle(&|| self.has_work() || self.is_over());
            }
        }
    }

    /// Takes a task; if it was not the last one, somebody is woken for the next.
    fn take(&self) -> bool {
        let taken = self
            .queued
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                count.checked_sub(1)
            });
        if taken.is_ok_and(|before| before > 1) {
            self.group.wake_one();
        }
        taken.is_ok()
    }

    fn has_work(&self) -> bool {
        self.queued.load(Ordering::Acquire) > 0
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) > 0
    }

    fn execute(&self) {
        self.queued.fetch_add(1, Ordering::Release);
        self.group.wake_one();
    }

    fn end(&self, workers: Vec<thread::JoinHandle<()>>) {
        self.ended.store(1, Ordering::Release);
        self.group.wake_all();
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    }
}

fn start(pool: &Arc<Pool>, workers: usize) -> Vec<thread::JoinHandle<()>> {
    (0..workers)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || pool.work(&pool.group.enter()))
        })
        .collect()
}

/// The owner does nothing more than the one join.
#[test]
fn a_job_is_found() {
    model(3, || {
        let pool = Pool::new(2);
        let workers = start(&pool, 1);
        let member = pool.group.enter();
        let taken = Count::new();
        join(|| taken.wait_for(1), || taken.add());
        drop(member);
        pool.end(workers);
    });
}

/// Each needs a worker of its own, and the owner is busy: who leaves the watch wakes
/// the other.
#[test]
fn jobs_of_two_owners_are_found() {
    model(large(1), || {
        let pool = Pool::new(3);
        let workers = start(&pool, 2);
        let member = pool.group.enter();
        let (inner, outer) = (Count::new(), Count::new());
        join(
            || outer.wait_for(1),
            || {
                // Run by a worker, who is then the owner of the second job.
                join(|| inner.wait_for(1), || inner.add());
                outer.add();
            },
        );
        drop(member);
        pool.end(workers);
    });
}

#[test]
fn a_task_is_found() {
    model(3, || {
        let pool = Pool::new(1);
        let workers = start(&pool, 1);
        pool.execute();
        pool.done.wait_for(1);
        pool.end(workers);
    });
}

#[test]
fn two_tasks_are_found() {
    model(1, || {
        let pool = Pool::new(2);
        let workers = start(&pool, 2);
        pool.execute();
        pool.execute();
        pool.done.wait_for(2);
        pool.end(workers);
    });
}

/// The one who counted as searching does the job, and so not the task.
#[test]
fn a_task_and_a_job_are_found() {
    model(large(1), || {
        let pool = Pool::new(3);
        let workers = start(&pool, 2);
        let member = pool.group.enter();
        let taken = Count::new();
        join(
            || {
                pool.execute();
                pool.done.wait_for(1);
                taken.wait_for(1);
            },
            || {
                taken.add();
                pool.done.wait_for(1);
            },
        );
        drop(member);
        pool.end(workers);
    });
}

#[test]
fn the_end_reaches_all() {
    model(1, || {
        let pool = Pool::new(2);
        let workers = start(&pool, 2);
        pool.end(workers);
    });
}

/// The watch is left while a job is offered: who leaves sees the job, or who offers sees that
/// nobody watches.
#[test]
fn the_watch_is_not_left_for_a_job() {
    const WATCH: u32 = 1;
    const SLEEPER: u32 = 2;
    model(3, || {
        let group = Arc::new(Group::new(3));
        let owner = group.enter();
        assert!(!group.join_sleepers(WATCH));
        assert!(group.join_sleepers(SLEEPER));
        let watch = thread::spawn({
            let group = group.clone();
            move || group.leave_the_watch()
        });
        group.offer(0);
        watch.join().unwrap();
        group.withdraw(0);
        drop(owner);
        assert!(group.is_called(SLEEPER));
    });
}

/// All permits are taken, so the watch is given up, while a visitor offers a job and another gives
/// its permit back: who gives up the watch sees the permit and the job, or who leaves calls it.
#[test]
fn a_free_permit_is_found() {
    a_permit_is_found_that_is_given_back_by(Group::give_permit_back);
}

/// The same when it is a worker that gives it back, and does a task next: it does not look for
/// a job itself.
#[test]
fn a_worker_leaves_its_next_job_for_a_task() {
    a_permit_is_found_that_is_given_back_by(Group::do_a_task);
}

fn a_permit_is_found_that_is_given_back_by(leave: fn(&Group)) {
    const WATCH: u32 = 1;
    model(3, move || {
        let group = Arc::new(Group::full(2, 2));
        let owner = group.enter();
        assert!(!group.join_sleepers(WATCH));
        let watch = thread::spawn({
            let group = group.clone();
            move || group.join_sleepers_last(WATCH)
        });
        let leaver = thread::spawn({
            let group = group.clone();
            move || leave(&group)
        });
        group.offer(0);
        leaver.join().unwrap();
        let sleeps = watch.join().unwrap();
        group.withdraw(0);
        drop(owner);
        assert!(!sleeps || group.is_called(WATCH));
    });
}

/// A task is queued while the only one who searches finds a job: the task is seen, or a
/// sleeper is called for it.
#[test]
fn a_search_is_not_ended_for_a_task() {
    const WATCH: u32 = 2;
    const SLEEPER: u32 = 3;
    model(3, || {
        let group = Arc::new(Group::new(4));
        let owner = group.enter();
        assert!(!group.join_sleepers(WATCH));
        assert!(group.join_sleepers(SLEEPER));
        group.offer(0);
        let queued = Arc::new(AtomicUsize::new(0));
        let searcher = thread::spawn({
            let (group, queued) = (group.clone(), queued.clone());
            move || {
                let is_queued = || queued.load(Ordering::Acquire) > 0;
                group.enter().finds_a_job(&is_queued)
            }
        });
        queued.store(1, Ordering::Release);
        group.wake_one();
        let has_job = searcher.join().unwrap();
        group.withdraw(0);
        drop(owner);
        assert!(!has_job || group.is_called(SLEEPER));
    });
}
