//! Thread management: tests 19 to 26.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use threadwork::sync::Latch;
use threadwork::{TaskError, ThreadPool, WorkerStatus, thread};
use threadwork_runtime::{
    JoinError, RuntimeConfig, SpawnError, ThreadId, ThreadRuntime, ThreadStatus,
};

use crate::check::{Check, Figure, OrFail, on_threads, until};

fn runtime() -> Result<ThreadRuntime, String> {
    ThreadRuntime::new().or_fail("a runtime")
}

fn id(number: u64) -> Result<ThreadId, String> {
    NonZero::new(number).map(ThreadId::new).ok_or("ids begin at 1".into())
}

/// 19: threads get ids from 1 on, run, and have a status.
pub(crate) fn spawn() -> Check {
    let runtime = runtime()?;
    let threads = runtime.threads();
    let go = Arc::new(Latch::new());
    let mut handles = Vec::new();
    for number in 1..=4 {
        let go = go.clone();
        let handle = threads.spawn(move || {
            go.wait();
            10 * number
        });
        let handle = handle.or_fail("spawn")?;
        check_eq!(handle.id().get(), number);
        check_eq!(handle.status(), ThreadStatus::Running);
        handles.push(handle);
    }
    check_eq!(threads.list().len(), 4);
    go.open();
    until(|| handles.iter().all(|handle| handle.is_finished()));
    check_eq!(threads.status(id(3)?), Some(ThreadStatus::Finished));
    check_eq!(threads.status(id(5)?), None);
    for (number, handle) in (1..).zip(handles) {
        check_eq!(handle.join().or_fail("join")?, 10 * number);
        check_eq!(threads.status(id(number)?), Some(ThreadStatus::Gone));
    }
    Ok(())
}

/// 20: a join brings the result; a second join, or one of an unknown thread, is an error.
pub(crate) fn join() -> Check {
    let runtime = runtime()?;
    let threads = runtime.threads();
    let handle = threads.spawn(|| String::from("done")).or_fail("spawn")?;
    check_eq!(handle.join().or_fail("join")?, "done");
    check!(matches!(handle.join(), Err(JoinError::AlreadyJoined { .. })), "joined twice");
    let again = threads.join(handle.id());
    check!(matches!(again, Err(JoinError::AlreadyJoined { .. })), "joined twice, by id");
    let unknown = threads.join(id(99)?);
    check!(matches!(unknown, Err(JoinError::Unknown { .. })), "joined a thread that never was");

    // A timeout is not a join.
    let go = Arc::new(Latch::new());
    let waits = {
        let go = go.clone();
        move || go.wait()
    };
    let handle = threads.spawn(waits).or_fail("spawn")?;
    let early = handle.join_timeout(Duration::from_millis(10));
    check!(matches!(early, Err(JoinError::TimedOut { .. })), "it was joined while it ran");
    go.open();
    handle.join().or_fail("join after a timeout")?;

    // Who is detached cannot be joined.
    let handle = threads.spawn(|| ()).or_fail("spawn")?;
    handle.detach().or_fail("detach")?;
    check!(handle.join().is_err(), "a detached thread was joined");

    // All at once.
    let ended = Arc::new(AtomicU32::new(0));
    for _ in 0..8 {
        let ended = ended.clone();
        let handle = threads.spawn(move || ended.fetch_add(1, SeqCst));
        drop(handle.or_fail("spawn")?);
    }
    threads.join_all().map_err(|panics| format!("join_all: {panics:?}"))?;
    check_eq!(ended.load(SeqCst), 8);
    until(|| threads.live() == 0);
    check_eq!(threads.list(), []);
    Ok(())
}

/// 21: 2 to 16 threads with 10 keys each see their own values only, and keys are checked.
pub(crate) fn thread_local_storage() -> Check {
    const KEYS: usize = 10;
    let runtime = runtime()?;
    let slots = runtime.tls();
    for threads in 2..=16 {
        on_threads(threads, |index| {
            for key in 0..KEYS {
                check_eq!(slots.get::<u64>(key).or_fail("get")?, 0);
            }
            for round in 0..50 {
                for key in 0..KEYS {
                    let value = u64::from(index) << 32 | round << 8 | key as u64;
                    slots.set(key, &value).or_fail("set")?;
                }
                for key in 0..KEYS {
                    let value = u64::from(index) << 32 | round << 8 | key as u64;
                    check_eq!(slots.get::<u64>(key).or_fail("get")?, value);
                }
            }
            Ok(())
        })?;
    }
    let keys = RuntimeConfig::default().tls_slot_size / size_of::<u64>();
    slots.set(keys - 1, &1_u64).or_fail("the last key")?;
    check!(slots.set(keys, &1_u64).is_err(), "a key past the last one");
    check!(slots.get::<u64>(usize::MAX).is_err(), "the largest key there could be");
    check!(slots.set(keys - 1, &[0_u64; 2]).is_err(), "a value larger than what is left");
    check_eq!(slots.get::<u64>(keys - 1).or_fail("get")?, 1);
    Ok(())
}

/// 22: N workers run far more than N tasks, never more than N at once.
pub(crate) fn thread_pooling() -> Check {
    const WORKERS: usize = 4;
    const TASKS: u32 = 1_000;
    let pool = ThreadPool::builder().pool_size(WORKERS).max_threads(WORKERS).build();
    let pool = pool.or_fail("a pool")?;
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let names = Arc::new(Mutex::new(HashSet::new()));
    let task = |number: u32| {
        let (now, most, names) = (now.clone(), most.clone(), names.clone());
        move || {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            if let Ok(mut names) = names.lock() {
                names.insert(thread::current().id());
            }
            now.fetch_sub(1, SeqCst);
            u64::from(number) * 2
        }
    };
    let handles: Vec<_> = (0..TASKS).map(|number| pool.execute(task(number))).collect();
    pool.wait_all().or_fail("wait_all")?;
    for (number, handle) in (0..).zip(handles) {
        check!(handle.is_finished(), "wait_all has not waited for task {number}");
        check_eq!(handle.wait().or_fail("a task")?, 2 * number);
    }
    let (most, names) = (most.load(SeqCst), names.lock().map_or(0, |names| names.len()));
    check!(most as usize <= WORKERS, "{most} tasks at once on {WORKERS} workers");
    check!(names <= WORKERS, "{names} threads have run tasks for {WORKERS} workers");

    // What workers do is known, and a wait can give up.
    until(|| pool.workers().iter().all(|worker| *worker == WorkerStatus::Idle));
    check_eq!(pool.workers().len(), WORKERS);
    let go = Arc::new(Latch::new());
    let waits = |go: &Arc<Latch>| {
        let go = go.clone();
        move || go.wait()
    };
    let mut busy: Vec<_> =
        (0..WORKERS).map(|_| pool.task().name("waits").execute(waits(&go))).collect();
    until(|| pool.workers().iter().all(|worker| matches!(worker, WorkerStatus::Busy { .. })));
    for worker in pool.workers() {
        let name = match &worker {
            WorkerStatus::Busy { name: Some(name), .. } => &**name,
            _ => "",
        };
        check!(name == "waits", "a worker is {worker:?}");
    }
    let early = busy[0].wait_timeout(Duration::from_millis(10));
    check!(early.is_none(), "a task that waits is over: {early:?}");

    // What has not begun can be cancelled, and a graceful end runs what is queued.
    let [cancelled, queued] = [pool.execute(|| 1), pool.execute(|| 2)];
    check!(cancelled.cancel(), "a queued task cannot be cancelled");
    go.open();
    pool.shutdown();
    check!(matches!(cancelled.wait(), Err(TaskError::Cancelled)), "a cancelled task has run");
    check_eq!(queued.wait().or_fail("a queued task")?, 2);
    check!(pool.execute(|| ()).wait().is_err(), "a task after the end");
    for worker in pool.workers() {
        check_eq!(worker, WorkerStatus::Terminated);
    }

    // An immediate end does not.
    let pool = ThreadPool::new(1).or_fail("a pool")?;
    let (begun, go) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let first = pool.execute({
        let (begun, go) = (begun.clone(), go.clone());
        move || {
            begun.open();
            go.wait();
        }
    });
    let queued = pool.execute(|| ());
    begun.wait();
    thread::scope(|scope| {
        scope.spawn(|| pool.shutdown_now());
        until(|| pool.is_shut_down());
        go.open();
    });
    first.wait().or_fail("the task that ran")?;
    check!(matches!(queued.wait(), Err(TaskError::Cancelled)), "a queued task has run");
    Ok(())
}

/// 23: one thread too many is an error, and when one has ended there is room again.
pub(crate) fn maximum_thread_limits() -> Check {
    const MOST: usize = 6;
    let config = RuntimeConfig { pool_size: 2, max_threads: MOST, ..RuntimeConfig::default() };
    let runtime = ThreadRuntime::with_config(config).or_fail("a runtime")?;
    let threads = runtime.threads();
    let go = Arc::new(Latch::new());
    let mut handles = Vec::new();
    let refused = loop {
        let go = go.clone();
        match threads.spawn(move || go.wait()) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
        check!(handles.len() <= MOST, "{} threads, and at most {MOST} are allowed", handles.len());
    };
    check!(matches!(refused, SpawnError::Limit { .. }), "the refusal is: {refused}");
    check_eq!(handles.len(), MOST);
    go.open();
    let last = handles.pop().ok_or("no thread")?;
    last.join().or_fail("join")?;
    threads.spawn(|| ()).or_fail("a thread after another has ended")?.join().or_fail("join")?;
    threads.join_all().map_err(|panics| format!("join_all: {panics:?}"))?;

    let too_few =
        RuntimeConfig { pool_size: MOST + 1, max_threads: MOST, ..RuntimeConfig::default() };
    let refused = ThreadRuntime::with_config(too_few);
    check!(refused.is_err(), "a pool larger than the number of threads");
    Ok(())
}

/// 24: 100 empty threads, and 1,000 tasks of a pool.
pub(crate) fn creation_overhead() -> Figure {
    const THREADS: u32 = 100;
    const TASKS: u32 = 1_000;
    let runtime = runtime()?;
    let start = Instant::now();
    for number in 0..THREADS {
        let handle = runtime.threads().spawn(move || number).or_fail("spawn")?;
        check_eq!(handle.join().or_fail("join")?, number);
    }
    let thread = start.elapsed() / THREADS;
    let start = Instant::now();
    for number in 0..TASKS {
        let handle = runtime.pool().execute(move || number);
        check_eq!(handle.wait().or_fail("a task")?, number);
    }
    let task = start.elapsed() / TASKS;
    let microseconds = |time: Duration| 1e6 * time.as_secs_f64();
    Ok(format!("{:.1} us/thread, {:.1} us/task", microseconds(thread), microseconds(task)))
}

/// 25: a panic is reported to whoever waits, and the worker is usable again.
///
/// In WebAssembly a panic ends the process, and its host reports it: see `endings`. There,
/// this checks what a task leaves behind that returns an error.
pub(crate) fn cleanup_on_error() -> Check {
    let pool = ThreadPool::new(1).or_fail("a pool")?;
    let runtime = runtime()?;
    let resource = Arc::new(());
    let failing = || {
        let resource = resource.clone();
        move || -> Result<(), String> {
            let _held = resource;
            Err("on purpose".into())
        }
    };
    let outcome = pool.execute(failing()).wait().or_fail("a task")?;
    check_eq!(outcome, Err("on purpose".into()));
    let outcome = runtime.threads().spawn(failing()).or_fail("spawn")?.join().or_fail("join")?;
    check_eq!(outcome, Err("on purpose".into()));

    if cfg!(panic = "unwind") {
        let panicking = |what: &'static str| {
            let resource = resource.clone();
            move || {
                let _held = resource;
                panic!("{what} on purpose");
            }
        };
        let task = pool.task().name("doomed").execute(panicking("a task"));
        match task.wait() {
            Err(TaskError::Panicked(panic)) => {
                check_eq!(panic.message(), "a task on purpose");
                check_eq!(panic.name(), Some("doomed"));
            }
            other => return Err(format!("the panic of a task became {other:?}")),
        }
        let handle = runtime.threads().spawn(panicking("a thread")).or_fail("spawn")?;
        match handle.join() {
            Err(JoinError::Panicked(panic)) => check_eq!(panic.message(), "a thread on purpose"),
            other => return Err(format!("the panic of a thread became {other:?}")),
        }
        // A lock is free again, and not poisoned.
        let lock = Arc::new(runtime.mutex(0));
        let held = lock.clone();
        let task = pool.execute(move || {
            *held.lock() = 1;
            let _guard = held.lock();
            panic!("while it holds a lock, on purpose");
        });
        check!(task.wait().is_err(), "a task has panicked, and nobody says so");
        check_eq!(lock.try_lock().map(|value| *value), Some(1));
    }
    check_eq!(pool.execute(|| 7).wait().or_fail("a task after the failed ones")?, 7);
    drop((pool, runtime));
    check_eq!(Arc::strong_count(&resource), 1);
    Ok(())
}

/// 26: 10,000 threads one after another leave nothing behind.
pub(crate) fn resource_management() -> Check {
    const THREADS: u32 = 10_000;
    let runtime = runtime()?;
    let run = |count| -> Check {
        for number in 0..count {
            let handle =
                runtime.threads().spawn(move || vec![number; 256].len()).or_fail("spawn")?;
            check_eq!(handle.join().or_fail("join")?, 256);
        }
        Ok(())
    };
    // What is made once and kept.
    run(THREADS / 10)?;
    let mut grown = 0;
    for _ in 0..3 {
        let before = Usage::now();
        run(THREADS)?;
        let after = Usage::now();
        check_eq!(runtime.threads().live(), 0);
        check_eq!(runtime.threads().list(), []);
        check!(
            after.files <= before.files,
            "files: {} before, {} after",
            before.files,
            after.files
        );
        // Less than some bytes for each thread. A lost stack for each would be gigabytes.
        grown = after.memory.saturating_sub(before.memory);
        if grown < THREADS as usize * 64 {
            return Ok(());
        }
        // Two threads may have been there at once for the first time: what that takes is
        // kept, too. If it is a leak, it leaks again.
    }
    Err(format!("{grown} bytes more after {THREADS} threads, and again, and again"))
}

/// What the process has of its system.
struct Usage {
    /// In bytes.
    memory: usize,
    files: usize,
}

#[cfg(target_family = "wasm")]
impl Usage {
    fn now() -> Self {
        Self { memory: core::arch::wasm32::memory_size(0) << 16, files: 0 }
    }
}

/// Where there is no /proc, nothing is known, and nothing can fail.
#[cfg(not(target_family = "wasm"))]
impl Usage {
    fn now() -> Self {
        let pages = || -> Option<usize> {
            let statistics = std::fs::read_to_string("/proc/self/statm").ok()?;
            statistics.split(' ').nth(1)?.parse().ok()
        };
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count());
        Self { memory: pages().unwrap_or(0) * 4096, files }
    }
}
