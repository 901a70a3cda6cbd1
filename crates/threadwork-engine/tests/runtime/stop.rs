//! Tasks and runtimes are stopped: one task, by its time, all, gracefully or at once.

use crate::support::{Watch, call, engine, execute, module, runtime, until, workers_of};
use std::time::{Duration, Instant};
use threadwork_engine::{
    Engine, ExitStatus, Limits, MemoryError, Module, Task, TaskError, ThreadRuntime, WorkerStatus,
};

const LONG: Duration = Duration::from_secs(3600);

/// Tasks that do not end, in all the ways there are. Each says that it has begun.
fn endless() -> Module {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff"
          (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory 1 1 shared)
        (data (i32.const 64)
          "\07\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\01\00\00\00\00\00\00\00"
          "\00\a0\b8\30\46\03\00\00" "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00")
        (func $begun (drop (i32.atomic.rmw.add (i32.const 256) (i32.const 1))))
        (func (export "compute") (call $begun) (loop (br 0)))
        (func $recurse (param i32) (result i32)
          (i32.add
            (call $recurse (i32.and (local.get 0) (i32.const 7)))
            (call $recurse (local.get 0))))
        (func (export "wait") (call $begun)
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
        (func (export "wait_an_hour") (call $begun)
          (drop (memory.atomic.wait64 (i32.const 0) (i64.const 0) (i64.const 3600000000000))))
        (func (export "wait_again") (call $begun)
          (loop (drop (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const -1))) (br 0)))
        (func (export "sleep") (call $begun)
          (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 160))))
        (func (export "batch") (call $begun) (loop (drop (call $yes)) (br 0)))
        (func $yes (result i32) (i32.const 1))
        (func (export "answer") (result i32) (i32.const 42)))"#;
    Module::new(engine(), text.as_bytes()).unwrap()
}

const WAYS: [&str; 6] = [
    "compute",
    "wait",
    "wait_an_hour",
    "wait_again",
    "sleep",
    "batch",
];

fn begun(runtime: &ThreadRuntime, count: u32) {
    let memory = runtime.memory();
    until(|| memory.load::<u32>(256).unwrap() >= count);
}

#[test]
fn a_task_is_cancelled_whatever_it_does_and_the_others_go_on() {
    let _watch = Watch::start();
    let runtime = workers_of(&endless(), 2, 2)
        .host_threads(0)
        .build()
        .unwrap();
    let sibling = execute(&runtime, "compute", []);
    for (way, count) in WAYS.iter().zip(2..) {
        let task = execute(&runtime, way, []);
        begun(&runtime, count);
        assert!(task.cancel(), "{way}");
        assert!(matches!(task.wait(), Err(TaskError::Cancelled)), "{way}");
        assert!(!task.cancel(), "{way}");
        // The worker is as good as new.
        assert_eq!(call(&runtime, "answer", []), 42);
    }
    assert!(!sibling.is_done());
    assert!(sibling.cancel());
    assert!(matches!(sibling.wait(), Err(TaskError::Cancelled)));
}

#[test]
fn a_task_that_is_queued_is_never_run() {
    let _watch = Watch::start();
    let runtime = workers_of(&endless(), 1, 1)
        .host_threads(0)
        .build()
        .unwrap();
    let first = execute(&runtime, "wait", []);
    begun(&runtime, 1);
    let queued: Vec<_> = (0..10).map(|_| execute(&runtime, "wait", [])).collect();
    let last = execute(&runtime, "answer", []);
    for task in &queued {
        assert!(task.cancel());
        assert!(matches!(task.try_wait(), Some(Err(TaskError::Cancelled))));
    }
    assert_eq!(runtime.queued(), 1);
    assert!(!first.is_done());
    first.cancel();
    assert_eq!(last.wait_as::<i32>().unwrap(), 42);
    assert_eq!(runtime.memory().load::<u32>(256).unwrap(), 1);
    runtime.wait_all();
}

/// A cancel that comes when the task is just done must not meet the next one.
#[test]
fn a_cancel_meets_its_task_or_none() {
    let _watch = Watch::start();
    let runtime = runtime(&endless(), 1);
    let mut cancelled = 0;
    for round in 0..2000 {
        let first = execute(&runtime, "answer", []);
        let second = execute(&runtime, "answer", []);
        for _ in 0..round % 50 {
            std::hint::spin_loop();
        }
        first.cancel();
        match first.wait_as::<i32>() {
            Ok(42) => {}
            Err(TaskError::Cancelled) => cancelled += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(second.wait_as::<i32>().unwrap(), 42);
    }
    println!("{cancelled} of 2000 cancelled");
}

#[test]
fn a_task_that_runs_too_long_is_ended() {
    let _watch = Watch::start();
    let runtime = workers_of(&endless(), 2, 2)
        .host_threads(0)
        .task_timeout(Duration::from_millis(40))
        .build()
        .unwrap();
    for way in WAYS {
        let start = Instant::now();
        match execute(&runtime, way, []).wait() {
            Err(TaskError::TimedOut(time)) => assert_eq!(time, Duration::from_millis(40)),
            other => panic!("{way}: {other:?}"),
        }
        assert!(start.elapsed() >= Duration::from_millis(40), "{way}");
    }
    // Its own time wins, in both directions, and a later one may end sooner.
    let long = Task::new("compute", [0_i32; 0]).timeout(LONG);
    let long = runtime.execute(long).unwrap();
    let short = Task::new("wait", [0_i32; 0]).timeout(Duration::from_millis(1));
    let short = runtime.execute(short).unwrap();
    assert!(matches!(short.wait(), Err(TaskError::TimedOut(_))));
    assert_eq!(call(&runtime, "answer", []), 42);
    assert!(long.wait_timeout(Duration::from_millis(100)).is_none());
    long.cancel();
    assert!(matches!(long.wait(), Err(TaskError::Cancelled)));
    // The time in the queue does not count.
    let busy = [0, 1].map(|_| {
        let task = Task::new("wait", [0_i32; 0]).timeout(Duration::from_millis(150));
        runtime.execute(task).unwrap()
    });
    assert_eq!(call(&runtime, "answer", []), 42);
    assert!(busy.iter().all(|task| task.wait().is_err()));
}

#[test]
fn waits_with_a_timeout_give_up() {
    let _watch = Watch::start();
    let runtime = workers_of(&endless(), 1, 1).build().unwrap();
    let task = execute(&runtime, "wait_an_hour", []);
    assert!(task.wait_timeout(Duration::from_millis(10)).is_none());
    assert!(!runtime.wait_all_timeout(Duration::from_millis(10)));
    task.cancel();
    assert!(task.wait_timeout(LONG).unwrap().is_err());
    assert!(runtime.wait_all_timeout(LONG));
}

#[test]
fn a_graceful_shutdown_finishes_what_is_queued() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "work") (param $n i32) (result i32)
             (loop
               (local.set $n (i32.sub (local.get $n) (i32.const 1)))
               (br_if 0 (local.get $n)))
             (i32.atomic.rmw.add (i32.const 512) (i32.const 1)))"#,
    );
    let runtime = runtime(&module, 2);
    let tasks: Vec<_> = (0..200)
        .map(|_| execute(&runtime, "work", [10_000]))
        .collect();
    // Afterwards there is none to be had, but one that was taken stays.
    let memory = runtime.memory();
    assert!(runtime.shutdown().success());
    assert!(tasks.iter().all(|task| task.try_wait().unwrap().is_ok()));
    assert_eq!(memory.load::<u32>(512).unwrap(), 200);
    until(|| runtime.workers() == [WorkerStatus::Terminated; 2]);
}

#[test]
fn an_immediate_shutdown_does_not() {
    let _watch = Watch::start();
    for way in WAYS {
        let runtime = workers_of(&endless(), 2, 2)
            .host_threads(0)
            .build()
            .unwrap();
        let tasks: Vec<_> = (0..10).map(|_| execute(&runtime, way, [])).collect();
        begun(&runtime, 2);
        let memory = runtime.memory();
        assert!(matches!(runtime.shutdown_now(), ExitStatus::Killed { .. }));
        for task in tasks {
            match task.try_wait() {
                Some(Err(TaskError::Ended(status))) => {
                    assert!(matches!(*status, ExitStatus::Killed { .. }));
                }
                other => panic!("{way}: {other:?}"),
            }
        }
        assert_eq!(memory.load::<u32>(256).unwrap(), 2);
        assert!(runtime.process().threads().is_empty());
    }
}

#[test]
fn dropping_a_runtime_ends_it_while_others_wait() {
    let _watch = Watch::start();
    let runtime = workers_of(&endless(), 1, 1)
        .host_threads(0)
        .build()
        .unwrap();
    let (running, queued) = (
        execute(&runtime, "compute", []),
        execute(&runtime, "wait", []),
    );
    begun(&runtime, 1);
    let memory = runtime.memory();
    std::thread::scope(|scope| {
        let waits = [&running, &queued].map(|task| scope.spawn(|| task.wait()));
        let sleeps = scope.spawn(|| memory.wait32(0, 0, None));
        let sleeps_long = scope.spawn(|| memory.wait64(8, 0, Some(LONG)));
        std::thread::sleep(Duration::from_millis(20));
        drop(runtime);
        for wait in waits {
            assert!(matches!(wait.join().unwrap(), Err(TaskError::Ended(_))));
        }
        for sleep in [sleeps, sleeps_long] {
            assert_eq!(sleep.join().unwrap(), Err(MemoryError::Ended));
        }
    });
    // What it has computed is still there.
    assert_eq!(memory.load::<u32>(256).unwrap(), 1);
    assert_eq!(memory.wait32(0, 0, None), Err(MemoryError::Ended));
}

#[test]
fn a_killer_ends_it_from_elsewhere() {
    let _watch = Watch::start();
    let runtime = workers_of(&endless(), 1, 1)
        .host_threads(0)
        .build()
        .unwrap();
    let task = execute(&runtime, "compute", []);
    begun(&runtime, 1);
    let killer = runtime.process().killer();
    std::thread::spawn(move || killer.kill());
    assert!(matches!(task.wait(), Err(TaskError::Ended(_))));
    assert!(matches!(runtime.shutdown(), ExitStatus::Killed { .. }));
}

#[test]
fn limits_of_time_end_the_runtime() {
    let _watch = Watch::start();
    for limits in [
        Limits::default().wall_time(Duration::from_millis(50)),
        Limits::default().cpu_time(Duration::from_millis(50)),
    ] {
        let runtime = workers_of(&endless(), 1, 1)
            .limits(limits)
            .task_timeout(LONG)
            .build()
            .unwrap();
        match execute(&runtime, "compute", []).wait() {
            Err(TaskError::Ended(status)) => {
                assert!(matches!(*status, ExitStatus::LimitExceeded(_)), "{status}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A start function that does not end is stopped with the builder's limits.
#[test]
fn a_start_that_does_not_end_is_ended() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "_initialize") (call $compute))"#);
    let limits = Limits::default().wall_time(Duration::from_millis(50));
    let error = workers_of(&module, 1, 1)
        .limits(limits)
        .build()
        .unwrap_err();
    assert!(
        matches!(error, threadwork_engine::Error::Start { .. }),
        "{error}"
    );
}

/// Without polls in the code, what waits can be stopped, and what computes cannot.
#[test]
fn without_interruption_waits_are_cancelled() {
    let _watch = Watch::start();
    let engine = Engine::builder()
        .stopping(threadwork_engine::Stopping::Never)
        .build()
        .unwrap();
    let text = r#"(module (memory 1 1 shared)
        (func (export "wait") (drop (memory.atomic.wait32
          (i32.const 0) (i32.const 0) (i64.const -1))))
        (func (export "answer") (result i32) (i32.const 42)))"#;
    let module = Module::new(&engine, text.as_bytes()).unwrap();
    let runtime = workers_of(&module, 1, 1).host_threads(0).build().unwrap();
    for _ in 0..100 {
        let task = execute(&runtime, "wait", []);
        assert!(task.cancel());
        assert!(matches!(task.wait(), Err(TaskError::Cancelled)));
        assert_eq!(call(&runtime, "answer", []), 42);
    }
}
