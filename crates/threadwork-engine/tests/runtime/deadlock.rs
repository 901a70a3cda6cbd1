//! When everybody waits for ever it is said so; when somebody does not, nothing is.

use crate::support::{COUNT, Watch, execute, module, runtime, until, workers_of};
use std::time::{Duration, Instant};
use threadwork_engine::{
    Activity, DeadlockReport, ExitStatus, MemoryError, Module, ProcessBuilder, TaskError,
    TaskHandle, ThreadRuntime, WorkerStatus,
};

#[track_caller]
fn deadlock(result: Result<Vec<threadwork_engine::Val>, TaskError>) -> DeadlockReport {
    match result {
        Err(TaskError::Ended(status)) => match *status {
            ExitStatus::Deadlock(report) => report,
            other => panic!("expected a deadlock: {other}"),
        },
        other => panic!("expected a deadlock: {other:?}"),
    }
}

fn waiters() -> Module {
    module(
        r#"(func $sleep (param i32)
             (drop (memory.atomic.wait32 (local.get 0) (i32.const 0) (i64.const -1))))
           (func (export "sleep") (param i32) (call $sleep (local.get 0)))
           (func (export "nap") (drop (memory.atomic.wait32
             (i32.const 0) (i32.const 0) (i64.const 20000000))))
           (func (export "until") (param i32) (call $until (local.get 0)))
           (func (export "count") (call $count))
           (func (export "compute") (call $compute))"#,
    )
}

fn all_sleep(runtime: &ThreadRuntime, count: usize) {
    until(|| {
        let threads = runtime.process().threads();
        let sleeps = |activity| matches!(activity, Activity::Waiting { .. });
        threads
            .iter()
            .filter(|thread| sleeps(thread.activity))
            .count()
            == count
    });
}

#[test]
fn tasks_that_wait_for_ever_are_reported_with_where_they_wait() {
    let _watch = Watch::start();
    let runtime = runtime(&waiters(), 2);
    let tasks = [40, 48].map(|at| execute(&runtime, "sleep", [at]));
    let report = deadlock(tasks[0].wait());
    let mut addresses: Vec<_> = report
        .threads
        .iter()
        .map(|sleeper| sleeper.address)
        .collect();
    addresses.sort_unstable();
    assert_eq!(addresses, [40, 48]);
    for sleeper in &report.threads {
        let frames = sleeper.backtrace.frames();
        assert_eq!(frames[0].function.as_deref(), Some("sleep"));
    }
    assert_eq!(deadlock(tasks[1].wait()).threads.len(), 2);
    assert_eq!(runtime.process().wait().code(), 120);
}

/// Idle workers do not count as alive.
#[test]
fn one_of_many_workers_is_enough() {
    let _watch = Watch::start();
    for _ in 0..50 {
        let runtime = runtime(&waiters(), 3);
        call_all(&runtime);
        let report = deadlock(execute(&runtime, "sleep", [8]).wait());
        assert_eq!(report.threads.len(), 1);
    }
}

fn call_all(runtime: &ThreadRuntime) {
    let tasks: Vec<_> = (0..6).map(|_| execute(runtime, "count", [])).collect();
    tasks.iter().for_each(|task| drop(task.wait().unwrap()));
}

/// The last that could have notified is done, or is stopped.
#[test]
fn a_task_that_ends_reveals_it() {
    let _watch = Watch::start();
    for _ in 0..50 {
        let runtime = runtime(&waiters(), 2);
        let sleeper = execute(&runtime, "sleep", [8]);
        let last = execute(&runtime, "nap", []);
        last.wait().unwrap();
        deadlock(sleeper.wait());
    }
}

#[test]
fn waiting_for_all_and_a_shutdown_find_it_too() {
    let _watch = Watch::start();
    let runtime = runtime(&waiters(), 2);
    let sleeper = execute(&runtime, "sleep", [8]);
    runtime.wait_all();
    deadlock(sleeper.try_wait().unwrap());
    let runtime = crate::support::runtime(&waiters(), 2);
    execute(&runtime, "sleep", [8]);
    assert_eq!(runtime.shutdown().code(), 120);
}

#[test]
fn a_thread_of_the_host_that_waits_for_the_guest_is_part_of_it() {
    let _watch = Watch::start();
    let runtime = runtime(&waiters(), 2);
    let sleeper = execute(&runtime, "sleep", [8]);
    all_sleep(&runtime, 1);
    assert_eq!(
        runtime.memory().wait32(16, 0, None),
        Err(MemoryError::Ended)
    );
    deadlock(sleeper.wait());
}

// ---- What is none ----

#[test]
fn the_host_can_still_notify_execute_or_write() {
    let _watch = Watch::start();
    let runtime = runtime(&waiters(), 2);
    let memory = runtime.memory();
    let sleeper = execute(&runtime, "sleep", [8]);
    all_sleep(&runtime, 1);
    std::thread::sleep(Duration::from_millis(20));
    assert!(runtime.process().try_wait().is_none());
    assert_eq!(memory.notify(8, 1).unwrap(), 1);
    sleeper.wait().unwrap();
    // Another task wakes it.
    let sleeper = execute(&runtime, "until", [1]);
    all_sleep(&runtime, 1);
    execute(&runtime, "count", []).wait().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn waits_with_a_timeout_end() {
    let _watch = Watch::start();
    let runtime = runtime(&waiters(), 2);
    execute(&runtime, "nap", []).wait().unwrap();
    let sleeper = execute(&runtime, "sleep", [8]);
    let patience = Duration::from_millis(20);
    assert!(sleeper.wait_timeout(patience).is_none());
    assert!(!runtime.wait_all_timeout(patience));
    let memory = runtime.memory();
    assert!(memory.wait32(16, 0, Some(patience)).is_ok());
    assert!(runtime.process().try_wait().is_none());
}

#[test]
fn a_thread_that_was_announced_may_wake_them() {
    let _watch = Watch::start();
    let runtime = workers_of(&waiters(), 2, 2)
        .host_threads(2)
        .build()
        .unwrap();
    let sleeper = execute(&runtime, "until", [1]);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| sleeper.wait());
        all_sleep(&runtime, 1);
        std::thread::sleep(Duration::from_millis(20));
        execute(&runtime, "count", []);
        waits.join().unwrap().unwrap();
    });
    // Both are away.
    let sleepers = [8, 16].map(|at| execute(&runtime, "sleep", [at]));
    std::thread::scope(|scope| {
        let waits = sleepers
            .each_ref()
            .map(|task: &TaskHandle| scope.spawn(|| task.wait()));
        for wait in waits {
            deadlock(wait.join().unwrap());
        }
    });
}

/// A result that is there wakes the host, which may wake the next.
#[test]
fn a_host_that_has_its_result_is_awake() {
    let _watch = Watch::start();
    let runtime = runtime(&waiters(), 2);
    for round in 0..300 {
        let sleeper = execute(&runtime, "until", [2 * round + 2]);
        // While it sleeps this ends, and so the worker that ran it is idle.
        execute(&runtime, "count", []).wait().unwrap();
        execute(&runtime, "count", []).wait().unwrap();
        sleeper.wait().unwrap();
    }
}

#[test]
fn ping_pong_between_host_and_guest_is_none() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "answer") (param $times i32) (local $now i32)
             (loop $again
               (local.set $now (i32.atomic.load (i32.const 512)))
               (if (i32.and (local.get $now) (i32.const 1))
                 (then
                   (i32.atomic.store (i32.const 512) (i32.add (local.get $now) (i32.const 1)))
                   (drop (memory.atomic.notify (i32.const 512) (i32.const 1)))
                   (local.set $times (i32.sub (local.get $times) (i32.const 1))))
                 (else
                   (drop (memory.atomic.wait32
                     (i32.const 512) (local.get $now) (i64.const -1)))))
               (br_if $again (local.get $times))))"#,
    );
    let runtime = runtime(&module, 1);
    let memory = runtime.memory();
    let times = 2000;
    let guest = execute(&runtime, "answer", [times]);
    for turn in 0..times as u32 {
        memory.store(512, 2 * turn + 1).unwrap();
        memory.notify(512, 1).unwrap();
        while memory.load::<u32>(512).unwrap() == 2 * turn + 1 {
            memory.wait32(512, 2 * turn + 1, None).unwrap();
        }
    }
    guest.wait().unwrap();
}

// ---- More workers, when all wait ----

#[test]
fn a_queued_task_that_all_wait_for_gets_a_worker() {
    let _watch = Watch::start();
    for _ in 0..20 {
        let runtime = workers_of(&waiters(), 2, 3).build().unwrap();
        let sleepers = [0, 1].map(|_| execute(&runtime, "until", [1]));
        let wakes = execute(&runtime, "count", []);
        for task in &sleepers {
            task.wait().unwrap();
        }
        wakes.wait().unwrap();
        // One goes when it is not needed.
        until(|| with_status(&runtime, WorkerStatus::Terminated) == 1);
        until(|| with_status(&runtime, WorkerStatus::Idle) == 2);
        assert_eq!(runtime.memory().load::<u32>(COUNT).unwrap(), 1);
    }
}

fn with_status(runtime: &ThreadRuntime, status: WorkerStatus) -> usize {
    let workers = runtime.workers();
    workers.iter().filter(|worker| **worker == status).count()
}

#[test]
fn a_chain_of_them_gets_many_up_to_the_limit() {
    let _watch = Watch::start();
    // Each waits for the next: the last one, which counts, is the ninth.
    let runtime = workers_of(&waiters(), 1, 9).build().unwrap();
    let sleepers: Vec<_> = (0..8).map(|_| execute(&runtime, "until", [1])).collect();
    execute(&runtime, "count", []).wait().unwrap();
    sleepers.iter().for_each(|task| drop(task.wait().unwrap()));
    // They leave their worker slots, and others take them.
    until(|| with_status(&runtime, WorkerStatus::Terminated) == 8);
    call_all(&runtime);

    let runtime = workers_of(&waiters(), 1, 8).build().unwrap();
    let sleepers: Vec<_> = (0..8).map(|_| execute(&runtime, "until", [1])).collect();
    let last = execute(&runtime, "count", []);
    assert_eq!(deadlock(last.wait()).threads.len(), 8);
    sleepers.iter().for_each(|task| drop(deadlock(task.wait())));
}

/// The one that waits stays in the queue while a worker is started that may wake it: that
/// one's notify is not lost, however early it comes.
#[test]
fn a_worker_that_is_started_for_it_finds_the_waiter() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "sleep") (drop (memory.atomic.wait32
             (i32.const 0) (i32.const 0) (i64.const -1))))
           (func (export "wake") (result i32)
             (memory.atomic.notify (i32.const 0) (i32.const 1)))"#,
    );
    // More at once than there are cores, so that some are held up just then.
    let rounds = |_| {
        let runtime = workers_of(&module, 1, 2).build().unwrap();
        for _ in 0..500 {
            let sleeper = execute(&runtime, "sleep", []);
            assert_eq!(crate::support::call(&runtime, "wake", []), 1);
            sleeper.wait().unwrap();
            // Two would run the next two tasks in any order.
            until(|| with_status(&runtime, WorkerStatus::Terminated) == 1);
        }
    };
    let rounds = &rounds;
    std::thread::scope(|scope| (0..8).for_each(|at| drop(scope.spawn(move || rounds(at)))));
}

// ---- Processes whose memory the host has ----

#[test]
fn a_process_whose_memory_the_host_has_is_in_no_deadlock() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "_start") (call $until (i32.const 1)))"#);
    let process = ProcessBuilder::new(&module).spawn();
    // It may be faster than we are: then there is nothing to see.
    let process = process.unwrap();
    if let Some(memory) = process.memory() {
        memory.store(COUNT, 1_u32).unwrap();
        memory.notify(COUNT, 1).unwrap();
        assert!(process.wait().success());
    }
    let process = ProcessBuilder::new(&module).spawn().unwrap();
    drop((process.memory(), process.memory()));
    assert_eq!(process.wait().code(), 120);
}

#[test]
fn a_call_of_a_reactor_meets_the_host() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "until") (param i32) (call $until (local.get 0)))"#);
    let process = ProcessBuilder::new(&module).load().unwrap();
    let memory = process.memory().unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| process.call("until", &[threadwork_engine::Val::I32(1)]));
        std::thread::sleep(Duration::from_millis(10));
        memory.store(COUNT, 1_u32).unwrap();
        memory.notify(COUNT, 1).unwrap();
        call.join().unwrap().unwrap();
    });
    drop(memory);
    assert_eq!(call_until(&process), 120);
}

/// Whether the thread is awake, just falling asleep or asleep when the handle is taken.
#[test]
fn a_handle_counts_from_when_it_is_there_until_it_is_dropped() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "_start") (call $until (i32.const 1)))"#);
    let mut taken = 0;
    for round in 0..300_u32 {
        let process = ProcessBuilder::new(&module).spawn().unwrap();
        // Up to half a millisecond.
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(u64::from(round) * 5 / 3) {
            std::hint::spin_loop();
        }
        let Some(memory) = process.memory() else {
            // It has been in a deadlock before.
            assert_eq!(process.wait().code(), 120);
            continue;
        };
        taken += 1;
        let sleeps = |thread: &threadwork_engine::ThreadInfo| {
            matches!(thread.activity, threadwork_engine::Activity::Waiting { .. })
        };
        until(|| process.threads().first().is_some_and(sleeps));
        assert!(process.try_wait().is_none());
        drop(memory);
        assert_eq!(process.wait().code(), 120);
    }
    assert!(taken > 0, "no handle came in time");
}

#[test]
fn a_host_that_only_looks_hides_no_deadlock() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "_start") (call $until (i32.const 1)))"#);
    for _ in 0..100 {
        let process = ProcessBuilder::new(&module).spawn().unwrap();
        let memory = process.observe_memory();
        assert_eq!(process.wait().code(), 120);
        assert!(process.observe_memory().is_none());
        // It stays good.
        assert!(memory.is_none_or(|memory| memory.load::<u32>(COUNT).unwrap() == 0));
    }
}

#[test]
fn a_host_that_only_waits_hides_no_deadlock() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "until") (param i32) (call $until (local.get 0)))"#);
    let process = ProcessBuilder::new(&module).load().unwrap();
    let memory = process.observe_memory().unwrap();
    std::thread::scope(|scope| {
        let wait = scope.spawn(|| memory.wait32(16, 0, None));
        assert_eq!(call_until(&process), 120);
        assert_eq!(
            wait.join().unwrap(),
            Err(threadwork_engine::MemoryError::Ended)
        );
    });
}

fn call_until(process: &threadwork_engine::Process) -> i32 {
    let _ended = process
        .call("until", &[threadwork_engine::Val::I32(2)])
        .unwrap_err();
    process.wait().code()
}
