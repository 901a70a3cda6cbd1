//! Tasks are run: results, the queue, workers, and traps that are only a task's.

use crate::support::{Watch, call, engine, execute, module, runtime, until, workers_of};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use threadwork_engine::{
    ExitStatus, Limits, Module, Priority, RuntimeConfig, Task, TaskError, ThreadRuntime, Val,
    WorkerStatus,
};

#[test]
fn results_of_all_types_come_back() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "turn") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
             (local.get 3) (local.get 2) (local.get 1) (local.get 0))
           (func (export "nothing"))"#,
    );
    let runtime = runtime(&module, 1);
    let task = Task::new("turn", [7_i32])
        .arg(1_i64 << 40)
        .arg(1.5_f32)
        .arg(-2.5_f64);
    let handle = runtime.execute(task).unwrap();
    let results: (f64, f32, i64, i32) = handle.wait_as().unwrap();
    assert_eq!(results, (-2.5, 1.5, 1 << 40, 7));
    let values = handle.wait().unwrap();
    assert!(matches!(
        values[..],
        [Val::F64(_), Val::F32(_), Val::I64(_), Val::I32(7)]
    ));
    let error = handle.wait_as::<i32>().unwrap_err().to_string();
    assert_eq!(error, "the task's results are (f64 f32 i64 i32), not i32");
    let nothing = Task::new("nothing", [0_i32; 0]);
    let () = runtime.execute(nothing).unwrap().wait_as().unwrap();
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let config = RuntimeConfig::default();
    assert_eq!(
        (
            config.memory_size,
            config.pool_size,
            config.max_threads,
            config.tls_slot_size
        ),
        (16 << 20, 4, 16, 1024)
    );
    let _watch = Watch::start();
    let text = r#"(module (memory 1 1000 shared) (func (export "f")))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let runtime = ThreadRuntime::new(&module).unwrap();
    assert_eq!(runtime.workers().len(), 4);
    assert_eq!(runtime.memory().size(), 16 << 20);
}

#[test]
fn a_module_keeps_half_of_what_it_may_grow_by() {
    let _watch = Watch::start();
    let text = r#"(module (memory 1 8 shared) (func (export "f")))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let size = |builder: threadwork_engine::RuntimeBuilder| {
        let runtime = builder.build().unwrap();
        (
            runtime.memory().size() >> 16,
            runtime.memory().max_size() >> 16,
        )
    };
    let builder = || ThreadRuntime::builder(&module);
    assert_eq!(size(builder()), (4, 8));
    assert_eq!(
        size(builder().limits(Limits::default().memory(4 << 16))),
        (2, 4)
    );
    let config = RuntimeConfig {
        memory_size: 200_000,
        ..RuntimeConfig::default()
    };
    assert_eq!(size(builder().config(config)), (3, 8));
}

/// A start function and data are there once; each worker has an instance of its own.
#[test]
fn the_program_starts_once_and_each_worker_has_an_instance() {
    let _watch = Watch::start();
    let module = module(
        r#"(global $mine (mut i32) (i32.const 10))
           (data (i32.const 64) "\2a")
           (func $start (drop (i32.atomic.rmw.add (i32.const 512) (i32.const 1))))
           (start $start)
           (func (export "_initialize")
             (drop (i32.atomic.rmw.add (i32.const 516) (i32.const 1))))
           (func (export "datum") (result i32) (i32.load8_u (i32.const 64)))
           (func (export "mine") (result i32)
             (global.set $mine (i32.add (global.get $mine) (i32.const 1)))
             (call $count) (call $until (i32.const 3))
             (global.get $mine))"#,
    );
    let runtime = runtime(&module, 3);
    let memory = runtime.memory();
    // The first instance, and three workers.
    assert_eq!(memory.load::<u32>(512).unwrap(), 4);
    assert_eq!(memory.load::<u32>(516).unwrap(), 1);
    memory.store(64, 43_u8).unwrap();
    assert_eq!(call(&runtime, "datum", []), 43);
    // Each of three workers has one, since none can go on alone.
    let tasks: Vec<_> = (0..3).map(|_| execute(&runtime, "mine", [])).collect();
    let mine = tasks.iter().map(|task| task.wait_as::<i32>().unwrap());
    assert_eq!(mine.collect::<Vec<_>>(), [11, 11, 11]);
    // They keep it.
    assert_eq!(call(&runtime, "mine", []), 12);
}

/// N workers run far more than N tasks, and never more than N at once.
#[test]
fn workers_are_used_again_and_are_the_most_at_once() {
    let _watch = Watch::start();
    let running = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let ids = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let text = r#"(module
        (import "host" "enter" (func $enter)) (import "host" "leave" (func $leave))
        (memory 1 1 shared)
        (func (export "work") (param $n i32) (result i32)
          (call $enter) (call $leave)
          (drop (i32.atomic.rmw.add (i32.const 512) (i32.const 1)))
          (i32.mul (local.get $n) (local.get $n))))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let (entering, at_most, seen, leaving) = (
        Arc::clone(&running),
        Arc::clone(&most),
        Arc::clone(&ids),
        Arc::clone(&running),
    );
    let runtime = workers_of(&module, 3, 3)
        .linker(move |linker| {
            linker.func_wrap(
                "host",
                "enter",
                move |caller: threadwork_engine::Caller<'_, threadwork_engine::ThreadContext>| {
                    let now = entering.fetch_add(1, Ordering::SeqCst) + 1;
                    at_most.fetch_max(now, Ordering::SeqCst);
                    seen.lock().unwrap().insert(caller.data().thread_id());
                },
            )?;
            linker.func_wrap("host", "leave", move || {
                leaving.fetch_sub(1, Ordering::SeqCst);
            })?;
            Ok(())
        })
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..3000).map(|n| execute(&runtime, "work", [n])).collect();
    runtime.wait_all();
    for (task, n) in tasks.iter().zip(0..) {
        assert_eq!(task.try_wait().unwrap().unwrap()[0].unwrap_i32(), n * n);
    }
    assert_eq!(runtime.memory().load::<u32>(512).unwrap(), 3000);
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(ids.lock().unwrap().iter().all(|id| (1..=3).contains(id)));
    until(|| runtime.workers() == [WorkerStatus::Idle; 3]);
}

/// One worker, which is kept busy while the others are queued.
#[test]
fn higher_classes_come_first_and_each_in_its_order() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "busy") (call $until (i32.const 1)))
           (func (export "note") (param $n i32)
             (i32.store8
               (i32.add (i32.const 1024) (i32.atomic.rmw.add (i32.const 512) (i32.const 1)))
               (local.get $n)))
           (func (export "go") (call $count))"#,
    );
    let runtime = workers_of(&module, 1, 1).host_threads(0).build().unwrap();
    let busy = execute(&runtime, "busy", []);
    until(|| runtime.workers() == [WorkerStatus::Busy(busy.id())]);
    for (class, n) in [
        (Priority::Low, 7),
        (Priority::Normal, 4),
        (Priority::High, 1),
        (Priority::Low, 8),
        (Priority::Normal, 5),
        (Priority::High, 2),
        (Priority::High, 3),
        (Priority::Normal, 6),
    ] {
        let task = Task::new("note", [n]).priority(class);
        runtime.execute(task).unwrap();
    }
    assert_eq!(runtime.queued(), 8);
    let memory = runtime.memory();
    memory.store(256, 1_u32).unwrap();
    memory.notify(256, 1).unwrap();
    runtime.wait_all();
    let mut order = [0; 8];
    memory.read_bytes(1024, &mut order).unwrap();
    assert_eq!(order, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(runtime.queued(), 0);
}

#[test]
fn the_status_says_who_is_busy_with_what() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "wait") (param i32) (call $until (local.get 0)))"#);
    let runtime = workers_of(&module, 2, 2).host_threads(0).build().unwrap();
    assert_eq!(runtime.workers(), [WorkerStatus::Idle; 2]);
    let [one, two, three] = [1, 2, 3].map(|n| execute(&runtime, "wait", [n]));
    assert!(one.id() < two.id() && two.id() < three.id());
    let busy = |id| runtime.workers().contains(&WorkerStatus::Busy(id));
    until(|| busy(one.id()) && busy(two.id()));
    assert!(!busy(three.id()));
    assert_eq!(runtime.queued(), 1);
    let memory = runtime.memory();
    for (task, count) in [(one, 1_u32), (two, 2), (three, 3)] {
        assert!(!task.is_done() && task.try_wait().is_none());
        memory.store(256, count).unwrap();
        memory.notify(256, u32::MAX).unwrap();
        task.wait().unwrap();
        assert!(task.is_done());
    }
    until(|| runtime.workers() == [WorkerStatus::Idle; 2]);
}

#[test]
fn a_trap_is_the_result_of_its_task_alone() {
    let _watch = Watch::start();
    let module = module(
        r#"(global $mine (mut i32) (i32.const 0))
           (func $divide (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
           (func (export "divide") (param i32 i32) (result i32)
             (global.set $mine (i32.const 1))
             (call $divide (local.get 0) (local.get 1)))
           (func (export "mine") (result i32) (global.get $mine))
           (func (export "wait") (result i32) (call $until (i32.const 1)) (i32.const 5))"#,
    );
    let runtime = workers_of(&module, 2, 2).host_threads(0).build().unwrap();
    let sibling = execute(&runtime, "wait", []);
    for _ in 0..20 {
        let error = execute(&runtime, "divide", [1, 0]).wait().unwrap_err();
        let TaskError::Trapped(trap) = error else {
            panic!("{error}");
        };
        assert_eq!(trap.reason, "integer divide by zero");
        let names: Vec<_> = trap
            .backtrace
            .frames()
            .iter()
            .map(|frame| frame.function.clone().unwrap_or_default())
            .collect();
        assert_eq!(names[0], "divide");
        // The instance is a new one.
        assert_eq!(call(&runtime, "mine", []), 0);
        assert_eq!(call(&runtime, "divide", [6, 3]), 2);
        assert_eq!(call(&runtime, "mine", []), 1);
    }
    assert!(!sibling.is_done());
    let memory = runtime.memory();
    memory.store(256, 1_u32).unwrap();
    memory.notify(256, 1).unwrap();
    assert_eq!(sibling.wait_as::<i32>().unwrap(), 5);
    assert!(runtime.shutdown().success());
}

#[test]
fn a_limit_that_a_task_met_is_named_if_it_traps_then() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "grow") (param i32)
             (if (i32.eq (memory.grow (local.get 0)) (i32.const -1)) (then unreachable)))
           (func (export "try") (result i32) (memory.grow (i32.const 10)))
           (func (export "trap") unreachable)"#,
    );
    let limits = Limits::default().memory(8 << 16);
    let runtime = workers_of(&module, 1, 1).limits(limits).build().unwrap();
    execute(&runtime, "grow", [1]).wait().unwrap();
    let error = execute(&runtime, "grow", [10]).wait().unwrap_err();
    assert!(matches!(error, TaskError::LimitExceeded(_)), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("the limit of 524288 bytes of memory was reached")
    );
    // Another task met it, and coped.
    assert_eq!(call(&runtime, "try", []), -1);
    let error = execute(&runtime, "trap", []).wait().unwrap_err();
    assert!(matches!(error, TaskError::Trapped(_)), "{error}");
}

#[test]
fn a_panic_of_a_host_function_is_a_trap_of_the_task() {
    let _watch = Watch::start();
    let text = r#"(module (import "host" "panic" (func $panic)) (memory 1 1 shared)
        (func (export "f") (call $panic)) (func (export "g") (result i32) (i32.const 1)))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let runtime = workers_of(&module, 1, 1)
        .linker(|linker| {
            linker.func_wrap("host", "panic", || -> () { panic!("as it was told") })?;
            Ok(())
        })
        .build()
        .unwrap();
    let error = execute(&runtime, "f", []).wait().unwrap_err().to_string();
    assert!(
        error.contains("a host function panicked: as it was told"),
        "{error}"
    );
    assert_eq!(call(&runtime, "g", []), 1);
}

/// `wasi.thread-spawn` works in a task, and the threads share the limit with the workers.
#[test]
fn tasks_can_start_threads_up_to_the_limit() {
    let _watch = Watch::start();
    let text = r#"(module
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (memory 1 1 shared)
        (func (export "wasi_thread_start") (param i32 i32)
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
        (func (export "spawn") (result i32) (call $spawn (i32.const 0))))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let runtime = workers_of(&module, 2, 5).host_threads(0).build().unwrap();
    let ids: Vec<_> = (0..5).map(|_| call(&runtime, "spawn", [])).collect();
    assert!(
        ids[..3].iter().all(|id| *id > 0) && ids[3..] == [-6, -6],
        "{ids:?}"
    );
    assert_eq!(runtime.process().threads().len(), 5);
    assert!(matches!(runtime.shutdown_now(), ExitStatus::Killed { .. }));
}

#[test]
fn handles_outlive_the_runtime_and_may_be_dropped_before() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "one") (result i32) (i32.const 1))"#);
    let runtime = runtime(&module, 1);
    (0..100).for_each(|_| drop(execute(&runtime, "one", [])));
    let handle = execute(&runtime, "one", []);
    handle.wait().unwrap();
    let clone = handle.clone();
    drop(runtime);
    assert_eq!(handle.wait_as::<i32>().unwrap(), 1);
    assert!(!clone.cancel());
}

#[test]
fn several_threads_of_the_host_execute_at_once() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "next") (result i32)
             (i32.atomic.rmw.add (i32.const 512) (i32.const 1)))"#,
    );
    let runtime = workers_of(&module, 3, 3).host_threads(4).build().unwrap();
    let mut numbers: Vec<i32> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..500).map(|_| call(&runtime, "next", [])).collect()))
            .collect();
        let each = callers.into_iter().map(|caller| caller.join().unwrap());
        each.flat_map(|numbers: Vec<i32>| numbers).collect()
    });
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..2000));
}

/// A process is the same thing with another door: its statistics and streams are there.
#[test]
fn the_runtime_is_a_process() {
    let _watch = Watch::start();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
          (func $write (param i32 i32 i32 i32) (result i32)))
        (memory 1 1 shared)
        (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "hello\n")
        (func (export "hello") (result i32)
          (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let runtime = workers_of(&module, 2, 2)
        .process(|process| process.stdout(threadwork_engine::Output::Buffer))
        .build()
        .unwrap();
    assert_eq!(call(&runtime, "hello", []), 0);
    assert_eq!(runtime.process().stdout_buffer(), b"hello\n");
    // The one that started the program may still be about to end.
    until(|| runtime.process().stats().threads_alive == 2);
    assert_eq!(runtime.process().stats().threads_started, 3);
    assert!(runtime.shutdown().success());
    assert_eq!(runtime.process().stats().threads_alive, 0);
}

#[test]
fn proc_exit_in_a_task_ends_the_runtime() {
    let _watch = Watch::start();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory 1 1 shared)
        (func (export "exit") (param i32) (call $exit (local.get 0)))
        (func (export "wait") (drop (memory.atomic.wait32
          (i32.const 0) (i32.const 0) (i64.const -1)))))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let runtime = workers_of(&module, 2, 2).host_threads(0).build().unwrap();
    let sibling = execute(&runtime, "wait", []);
    let exit = execute(&runtime, "exit", [3]);
    for task in [exit, sibling] {
        match task.wait() {
            Err(TaskError::Ended(status)) => assert!(matches!(*status, ExitStatus::Exited(3))),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(runtime.process().wait().code(), 3);
}
