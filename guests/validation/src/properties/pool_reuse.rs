//! A pool's few workers run all tasks, each once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use threadwork::{Priority, ThreadPool};

use crate::case::{Case, Check, OrFail, Property};

pub(crate) const PROPERTY: Property = Property {
    name: "pool_reuse",
    claim: "N workers run any number of tasks, each once, N at most at a time",
    check,
    bugs: &["fresh-threads", "runs-twice", "loses-tasks"],
};

type Job = Arc<dyn Fn() + Send + Sync>;

/// What the tasks of a case leave behind.
#[derive(Default)]
struct Traces {
    now: AtomicU32,
    most: AtomicU32,
    threads: Mutex<HashSet<ThreadId>>,
}

fn check(case: &mut Case<'_>) -> Check {
    let workers = case.between(1, 4);
    let traces = Arc::new(Traces::default());
    let pool = ThreadPool::builder().pool_size(workers as usize).max_threads(workers as usize);
    let pool = pool.build().or_fail("a pool")?;
    for _ in 0..case.between(1, 3) {
        let runs: Arc<Vec<AtomicU32>> =
            Arc::new((0..case.between(1, 60)).map(|_| AtomicU32::new(0)).collect());
        for index in 0..runs.len() {
            let (runs, traces) = (runs.clone(), traces.clone());
            let pause = case.below(200);
            let job: Job = Arc::new(move || {
                traces.note(pause);
                runs[index].fetch_add(1, SeqCst);
            });
            execute(case, &pool, job);
            case.pause();
        }
        pool.wait_all().or_fail("wait_all")?;
        let counts: Vec<u32> = runs.iter().map(|runs| runs.load(SeqCst)).collect();
        check!(counts.iter().all(|count| *count == 1), "the tasks have run so often: {counts:?}");
    }
    pool.shutdown();
    let most = traces.most.load(SeqCst);
    check!(most <= workers, "{most} tasks at once on {workers} workers");
    let threads = traces.threads.lock().map_err(|_| "poisoned")?.len();
    check!(threads <= workers as usize, "{threads} threads for {workers} workers");
    Ok(())
}

/// Has the pool run it, or what a bug makes of that.
fn execute(case: &mut Case<'_>, pool: &ThreadPool, job: Job) {
    if case.has_bug("fresh-threads") {
        drop(thread::spawn(move || job()).join());
        return;
    }
    if case.has_bug("loses-tasks") && case.one_in(8) {
        return;
    }
    if case.has_bug("runs-twice") && case.one_in(8) {
        let job = job.clone();
        drop(pool.execute(move || job()));
    }
    let class = *case.pick(&[Priority::Low, Priority::Normal, Priority::High]);
    let task = pool.task().priority(class).execute(move || job());
    if case.one_in(4) {
        // It says so itself if a task is missing.
        let _ = task.wait();
    }
}

impl Traces {
    fn note(&self, pause: u32) {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        if let Ok(mut threads) = self.threads.lock() {
            threads.insert(thread::current().id());
        }
        for _ in 0..pause {
            std::hint::black_box(());
        }
        self.now.fetch_sub(1, SeqCst);
    }
}
