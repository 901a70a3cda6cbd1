//! Thousands of tasks, traps, cancels and runtimes in one host program: nothing of them
//! is left, neither threads nor file descriptors nor memory.
//!
//! Each test runs itself again as a program of its own, so that what it counts is
//! nobody else's.

use crate::holdings::{Holdings, Random, alone};
use crate::support::{Watch, call, execute, is_full, memory, module, workers_of};
use std::time::Duration;
use threadwork_engine::{ExecuteError, Limits, Task, TaskError, WorkerStatus};

const TASKS: &str = r#"
  (func (export "work") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "trap") (param i32) (result i32) unreachable)
  (func (export "sleep") (param i32) (result i32)
    (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
  (func (export "spin") (param i32) (result i32) (loop (br 0)) (i32.const 0))
  (func (export "grow") (param i32) (result i32) (memory.grow (i32.const 1)))
"#;

#[test]
fn ended_runtimes_keep_no_memory() {
    alone("flat::hold_ended_runtimes");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn hold_ended_runtimes() {
    let _watch = Watch::with(Duration::from_secs(600));
    // 4 MiB each.
    let module = module(
        r#"(func (export "fill") (result i32)
             (drop (memory.grow (i32.const 60)))
             (memory.fill (i32.const 0) (i32.const 7) (i32.const 4194304))
             (memory.size))"#,
    );
    let ended = || {
        let runtime = workers_of(&module, 2, 2).build().unwrap();
        assert_eq!(call(&runtime, "fill", []), 64);
        let status = runtime.shutdown();
        assert!(status.success(), "{status}");
        runtime
    };
    drop(ended());
    let before = Holdings::now(0);
    let held: Vec<_> = (0..40).map(|_| ended()).collect();
    Holdings::now(0).must_not_exceed(&before);
    for runtime in held {
        assert_eq!(runtime.memory().size(), 0);
        assert!(runtime.memory().load::<u32>(0).is_err());
        assert!(runtime.memory().grow(1).is_err());
        assert_eq!(runtime.workers(), [WorkerStatus::Terminated; 2]);
        assert_eq!(runtime.queued(), 0);
        runtime.wait_all();
        assert!(runtime.signature("fill").is_ok());
        let refused = runtime.execute(Task::new("fill", [0_i32; 0]));
        assert_eq!(refused.unwrap_err(), ExecuteError::ShutDown);
        assert!(runtime.shutdown().success());
    }
}

#[test]
fn ten_thousand_tasks_with_random_ends() {
    alone("flat::tasks_with_random_ends");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn tasks_with_random_ends() {
    let module = module(TASKS);
    let runtime = workers_of(&module, 4, 8)
        .host_threads(0)
        .task_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut ends = [0; 3];
    let mut round = |tasks: u32| {
        let _watch = Watch::with(Duration::from_secs(600));
        let mut open = Vec::new();
        for n in 0..tasks {
            let entry = match random.below(10) {
                0..5 => "work",
                5..7 => "trap",
                7 => "sleep",
                8 => "spin",
                _ => "grow",
            };
            open.push((entry, n, execute(&runtime, entry, [n as i32])));
            // No more than a few, so that those that do not end are always cancelled.
            if open.len() > 3 {
                let (entry, n, task) = open.swap_remove(random.below(4) as usize);
                if matches!(entry, "sleep" | "spin") {
                    task.cancel();
                }
                match (entry, task.wait_as::<i32>()) {
                    ("work", Ok(result)) => assert_eq!(result, n as i32 + 1),
                    ("grow", Ok(_)) => {}
                    ("trap", Err(TaskError::Trapped(_))) => ends[1] += 1,
                    ("sleep" | "spin", Err(TaskError::Cancelled)) => ends[2] += 1,
                    other => panic!("{other:?}"),
                }
                ends[0] += 1;
            }
        }
        for (_, _, task) in open {
            task.cancel();
            let _ = task.wait();
        }
    };
    let tasks = if is_full() { 100_000 } else { 10_000 };
    round(tasks / 10);
    let before = Holdings::now(4);
    round(tasks);
    Holdings::now(4).must_not_exceed(&before);
    println!("{ends:?}");
}

#[test]
fn a_thousand_runtimes() {
    alone("flat::runtimes");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn runtimes() {
    let module = module(TASKS);
    let mut random = Random(99);
    let mut round = |number: u64| {
        let _watch = Watch::start();
        let runtime = workers_of(&module, 2, 4)
            .host_threads(0)
            .limits(Limits::default().wall_time(Duration::from_secs(100)))
            .process(|process| process.host_memory(1 << 16))
            .build()
            .unwrap();
        let memory = runtime.memory();
        let barrier = memory.barrier(2).unwrap();
        let entries = ["work", "trap", "sleep", "spin"];
        let open = random.below(6);
        let tasks: Vec<_> = (0..open)
            .map(|_| execute(&runtime, entries[random.below(4) as usize], [1]))
            .collect();
        match number % 4 {
            0 => drop(runtime),
            1 => drop(runtime.shutdown_now()),
            2 => {
                for task in &tasks {
                    task.cancel();
                }
                assert!(runtime.shutdown().success());
            }
            _ => runtime.process().kill(),
        }
        drop((barrier, memory));
        tasks.iter().for_each(|task| drop(task.wait()));
    };
    let rounds = if is_full() { 10_000 } else { 1000 };
    (0..rounds / 10).for_each(&mut round);
    let before = Holdings::now(0);
    (0..rounds).for_each(&mut round);
    Holdings::now(0).must_not_exceed(&before);
}

#[test]
fn a_million_quick_tasks() {
    alone("flat::quick_tasks");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn quick_tasks() {
    let _watch = Watch::with(Duration::from_secs(600));
    let module = module(TASKS);
    let runtime = workers_of(&module, 2, 2).build().unwrap();
    let tasks = if is_full() { 1_000_000 } else { 100_000 };
    let round = |tasks: i32| {
        let mut left = tasks;
        while left > 0 {
            let batch: Vec<_> = (0..500).map(|n| execute(&runtime, "work", [n])).collect();
            for (task, n) in batch.iter().zip(0..) {
                assert_eq!(task.wait_as::<i32>().unwrap(), n + 1);
            }
            left -= 500;
        }
        assert_eq!(call(&runtime, "work", [0]), 1);
    };
    round(tasks / 10);
    let before = Holdings::now(2);
    round(tasks);
    Holdings::now(2).must_not_exceed(&before);
}

#[test]
fn memories_and_objects() {
    alone("flat::memories");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn memories() {
    let round = |_| {
        let memory = memory(1, 8);
        let objects: Vec<_> = (0..50).map(|n| memory.cache_aligned(n).unwrap()).collect();
        let mutex = memory.mutex().unwrap();
        drop(mutex.lock().unwrap());
        assert!(memory.wait32(0, 0, Some(Duration::ZERO)).is_ok());
        drop(objects);
    };
    let rounds = if is_full() { 20_000 } else { 2000 };
    (0..rounds / 10).for_each(round);
    let before = Holdings::now(0);
    (0..rounds).for_each(round);
    Holdings::now(0).must_not_exceed(&before);
}
