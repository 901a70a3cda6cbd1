//! Random task scheduling: tasks that start tasks, wait for some, cancel some, and forget
//! the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use threadwork::{Priority, TaskError, ThreadPool, join};

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const FAMILY: Property = Property {
    name: "random_task_scheduling",
    claim: "of tasks that start, await, cancel and forget others, each runs once or is cancelled",
    check,
    bugs: &["cancelled-yet-runs", "loses-tasks", "other-result"],
};

/// A pool, and what became of its tasks.
struct Forest {
    pool: ThreadPool,
    made: AtomicU32,
    run: AtomicU32,
    cancelled: AtomicU32,
    /// The first thing that was wrong.
    wrong: std::sync::Mutex<Option<String>>,
    cancelled_yet_runs: bool,
    loses_tasks: bool,
    other_result: bool,
}

fn check(case: &mut Case<'_>) -> Check {
    let workers = case.between(1, 4) as usize;
    let most = workers + case.below(4) as usize;
    let pool = ThreadPool::builder().pool_size(workers).max_threads(most).build();
    let forest = Arc::new(Forest {
        pool: pool.or_fail("a pool")?,
        made: AtomicU32::new(0),
        run: AtomicU32::new(0),
        cancelled: AtomicU32::new(0),
        wrong: std::sync::Mutex::new(None),
        cancelled_yet_runs: case.has_bug("cancelled-yet-runs"),
        loses_tasks: case.has_bug("loses-tasks"),
        other_result: case.has_bug("other-result"),
    });
    let (threads, depth) = (case.between(1, 3), case.between(1, 4));
    case.on_threads(threads, |_, random| forest.grow(random, depth))?;
    forest.pool.wait_all().or_fail("wait_all")?;
    if let Some(wrong) = forest.wrong.lock().map_err(|_| "poisoned")?.take() {
        return Err(wrong);
    }
    let [made, run, cancelled] =
        [&forest.made, &forest.run, &forest.cancelled].map(|count| count.load(SeqCst));
    check!(run + cancelled == made, "of {made} tasks {run} have run and {cancelled} have not");
    check_eq!(forest.pool.unfinished(), 0);
    Ok(())
}

impl Forest {
    /// Makes some tasks, each of which may make more, and deals with each as it pleases.
    fn grow(self: &Arc<Self>, random: &mut Random, depth: u32) -> Check {
        let mut tasks = Vec::new();
        for _ in 0..random.below(5) {
            self.made.fetch_add(1, SeqCst);
            if self.loses_tasks && random.one_in(8) {
                continue;
            }
            let (forest, mut seed) = (self.clone(), random.fork());
            let number = random.next();
            let class = *random.pick(&[Priority::Low, Priority::Normal, Priority::High]);
            let task = self.pool.task().priority(class).execute(move || {
                forest.run.fetch_add(1, SeqCst);
                forest.live(&mut seed, depth - 1);
                if forest.other_result { number.wrapping_add(seed.next() % 2) } else { number }
            });
            random.pause();
            tasks.push((number, task));
        }
        random.shuffle(&mut tasks);
        for (number, mut task) in tasks {
            match random.below(5) {
                0 if task.cancel() => {
                    self.cancelled.fetch_add(1, SeqCst);
                    if self.cancelled_yet_runs {
                        self.run.fetch_add(1, SeqCst);
                    }
                    let outcome = task.wait();
                    check!(matches!(outcome, Err(TaskError::Cancelled)), "cancelled: {outcome:?}");
                }
                0 | 1 => drop(task),
                2 => {
                    let soon = Duration::from_micros(random.below(100).into());
                    if let Some(result) = task.wait_timeout(soon) {
                        check_eq!(result.or_fail("a task")?, number);
                    }
                }
                _ => check_eq!(task.wait().or_fail("a task")?, number),
            }
        }
        Ok(())
    }

    /// What a task does.
    fn live(self: &Arc<Self>, random: &mut Random, depth: u32) {
        random.pause();
        let outcome = match random.below(4) {
            _ if depth == 0 => Ok(()),
            0 => {
                let (mut left, mut right) = (random.fork(), random.fork());
                let (left, right) =
                    join(|| self.grow(&mut left, depth), || self.grow(&mut right, depth));
                left.and(right)
            }
            _ => self.grow(random, depth),
        };
        if let (Err(reason), Ok(mut wrong)) = (outcome, self.wrong.lock()) {
            wrong.get_or_insert(reason);
        }
    }
}
