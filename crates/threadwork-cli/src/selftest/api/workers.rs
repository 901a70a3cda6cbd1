//! Thread management, which is the pool's here: tests 19 to 26.

use std::time::Instant;

use threadwork_engine::{ExecuteError, RuntimeConfig, Task, TaskError, Val, WorkerStatus};

use super::check::{Check, OrFail};
use super::stage::{Stage, call, start};

/// 19: a task runs on a worker, and its result comes back.
pub(super) fn spawn(stage: &Stage) -> Check {
    let runtime = stage.runtime(2, 1)?;
    let task = runtime.execute(Task::new("sum", [Val::I64(0), Val::I64(100)]));
    let task = task.or_fail("execute")?;
    check_eq!(task.wait_as::<u64>().or_fail("wait")?, 4950);
    check_eq!(runtime.workers().len(), 2);
    Ok(None)
}

/// 20: a result can be had again; a function that is not there, and a task that comes too
/// late, are errors.
pub(super) fn join(stage: &Stage) -> Check {
    let runtime = stage.runtime(1, 1)?;
    let task = start(&runtime, "memory_pages", [])?;
    let first: u32 = task.wait_as().or_fail("wait")?;
    check!(task.is_done(), "it has a result, and is not done");
    check_eq!(task.wait_as::<u32>().or_fail("wait again")?, first);
    check!(!task.cancel(), "a task that is done was cancelled");

    let unknown = runtime.execute(Task::new("nobody", [0]));
    let is_unknown = matches!(unknown, Err(ExecuteError::NoEntry { .. }));
    check!(is_unknown, "a function that is not there: {unknown:?}");
    runtime.shutdown();
    let late = runtime.execute(Task::new("memory_pages", [0; 0]));
    check!(
        matches!(late, Err(ExecuteError::ShutDown)),
        "after the end: {late:?}"
    );
    Ok(None)
}

/// 21: each worker has thread-local data of its own, which live from task to task.
pub(super) fn thread_local_storage(stage: &Stage) -> Check {
    const TASKS: u32 = 200;
    for workers in [2, 4, 16] {
        let runtime = stage.runtime(workers, 1)?;
        let tasks: Result<Vec<_>, _> = (0..TASKS)
            .map(|_| start(&runtime, "count_calls", []))
            .collect();
        let mut counts = Vec::new();
        for task in tasks? {
            counts.push(task.wait_as::<u32>().or_fail("count_calls")?);
        }
        // From 101 up on each worker; so no number is there more often than there are
        // workers, and each worker has counted all that it ran.
        counts.sort_unstable();
        let mut rest = counts.as_slice();
        let mut before = workers as usize;
        for count in 101.. {
            let times = rest.iter().take_while(|other| **other == count).count();
            if times == 0 {
                break;
            }
            check!(
                times <= before,
                "{times} workers counted to {count}, {before} to less"
            );
            (before, rest) = (times, &rest[times..]);
        }
        check!(rest.is_empty(), "nobody counted what leads to {rest:?}");
    }
    Ok(None)
}

/// 22: few workers run many tasks, never more at once than there are workers.
pub(super) fn thread_pooling(stage: &Stage) -> Check {
    const WORKERS: u32 = 3;
    const TASKS: usize = 1_000;
    let runtime = stage.runtime(WORKERS, 1)?;
    let running = runtime.memory().cache_aligned(0_u32).or_fail("allocate")?;
    let tasks: Result<Vec<_>, _> = (0..TASKS)
        .map(|_| start(&runtime, "crowd", [running.offset()]))
        .collect();
    for task in tasks? {
        let there = task.wait_as::<u32>().or_fail("crowd")?;
        check!((1..=WORKERS).contains(&there), "{there} tasks ran at once");
    }
    check_eq!(runtime.queued(), 0);
    check_eq!(runtime.workers().len(), WORKERS as usize);
    Ok(None)
}

/// 23: guests start threads up to the limit, and are told when it is met.
pub(super) fn maximum_thread_limits(stage: &Stage) -> Check {
    let config = |pool_size, max_threads| RuntimeConfig {
        pool_size,
        max_threads,
        ..RuntimeConfig::default()
    };
    let build = |config| stage.with_workers(1).config(config).build();
    check!(build(config(4, 3)).is_err(), "more workers than threads");
    let runtime = build(config(2, 6)).or_fail("a runtime")?;
    for _ in 0..3 {
        check_eq!(call(&runtime, "spawn_until_refused", [])?, 4);
    }
    Ok(None)
}

/// 24: a runtime, and tasks on its workers.
pub(super) fn creation_overhead(stage: &Stage) -> Check {
    const TASKS: u32 = 1_000;
    let begin = Instant::now();
    let runtime = stage.runtime(4, 1)?;
    let made = begin.elapsed();
    let begin = Instant::now();
    let tasks: Result<Vec<_>, _> = (0..TASKS)
        .map(|_| start(&runtime, "memory_pages", []))
        .collect();
    for task in tasks? {
        task.wait().or_fail("memory_pages")?;
    }
    let each = begin.elapsed() / TASKS;
    Ok(Some(format!("{made:.1?} for 4 workers, {each:.1?}/task")))
}

/// 25: a panic is the result of its task alone, and its worker goes on.
pub(super) fn cleanup_on_error(stage: &Stage) -> Check {
    let quiet = |process: threadwork_engine::ProcessBuilder| {
        process.stderr(threadwork_engine::Output::Null)
    };
    let runtime = stage.with_workers(1).process(quiet).build();
    let runtime = runtime.or_fail("a runtime")?;
    for _ in 0..3 {
        let failed = start(&runtime, "panic_here", [])?;
        let fine = start(&runtime, "memory_pages", [])?;
        match failed.wait() {
            Err(TaskError::Trapped(trap)) => {
                let trap = trap.to_string();
                check!(trap.contains("panic_here"), "it does not say where: {trap}");
            }
            other => return Err(format!("a panic is not a trap: {other:?}")),
        }
        fine.wait().or_fail("the next task")?;
    }
    check_eq!(runtime.workers().len(), 1);
    Ok(None)
}

/// 26: many tasks, many of which allocate, leave everything as it was.
pub(super) fn resource_management(stage: &Stage) -> Check {
    const TASKS: u64 = 10_000;
    let runtime = stage.runtime(2, 1)?;
    let run = |tasks: u64| {
        for seed in 1..=tasks {
            start(&runtime, "churn", [60, seed % 64 + 1])?;
        }
        runtime.wait_all();
        Ok::<_, String>(runtime.memory().size())
    };
    let before = run(TASKS / 10)?;
    let after = run(TASKS)?;
    // Far less than a block for each task.
    check!(
        after < before + (1 << 20),
        "the memory grew from {before} to {after} bytes"
    );
    let workers = runtime.workers();
    let are_idle = workers.iter().all(|worker| *worker == WorkerStatus::Idle);
    check!(
        are_idle && workers.len() == 2,
        "the workers are {workers:?}"
    );
    Ok(None)
}
