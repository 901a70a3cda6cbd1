//! Each worker has a stack and thread-local data of its own, whoever compiled the module.

use crate::support::{
    Watch, all_exports, c_library, call, engine, execute, runtime, rust_library, rust_without_std,
    workers_of,
};
use std::collections::BTreeSet;
use threadwork_engine::{Module, Output, RuntimeConfig, Task, TaskError, ThreadRuntime};

/// Runs `entry` on each of four workers, again and again.
fn on_all_workers(runtime: &ThreadRuntime, entry: &str) -> Vec<i32> {
    let tasks: Vec<_> = (0..400).map(|_| execute(runtime, entry, [])).collect();
    tasks.iter().map(|task| task.wait_as().unwrap()).collect()
}

/// Numbers that each worker has counted for itself: as many ones as workers that came
/// to it, and so on.
fn are_counts(mut numbers: Vec<i32>, first: i32, workers: usize) {
    numbers.sort_unstable();
    assert_eq!(numbers[0], first);
    assert!(numbers.iter().filter(|number| **number == first).count() <= workers);
    for pair in numbers.windows(2) {
        assert!(pair[1] - pair[0] <= 1, "{numbers:?}");
    }
    for number in &numbers {
        assert!(numbers.iter().filter(|other| *other == number).count() <= workers);
    }
}

#[test]
fn rust_with_std() {
    let _watch = Watch::start();
    let runtime = ThreadRuntime::new(rust_library()).unwrap();
    are_counts(on_all_workers(&runtime, "count_calls"), 101, 4);
    let stacks: BTreeSet<_> = on_all_workers(&runtime, "stack_address")
        .into_iter()
        .collect();
    assert!(stacks.len() <= 4);
    let stacks: Vec<_> = stacks.into_iter().collect();
    assert!(
        stacks.windows(2).all(|pair| pair[1] - pair[0] >= 1 << 20),
        "{stacks:?}"
    );
    assert!(runtime.shutdown().success());
}

#[test]
fn rust_with_std_under_load() {
    let _watch = Watch::start();
    let runtime = ThreadRuntime::new(rust_library()).unwrap();
    let tasks: Vec<_> = (1..40)
        .flat_map(|seed| {
            [
                execute(&runtime, "recurse", [5000, seed]),
                execute(&runtime, "churn", [3000, seed]),
                execute(&runtime, "std_mutex", [1000]),
            ]
        })
        .collect();
    for task in tasks {
        task.wait().unwrap();
    }
    assert_eq!(call(&runtime, "std_mutex", [0]), 39_000);
}

/// A stack of the size that was asked for: what needs more is the guest's own mistake.
#[test]
fn stacks_are_as_large_as_they_are_said_to_be() {
    let _watch = Watch::start();
    let config = RuntimeConfig {
        stack_size: 8 << 20,
        ..RuntimeConfig::default()
    };
    let runtime = ThreadRuntime::with_config(rust_library(), config).unwrap();
    let tasks = [1, 2, 3, 4].map(|seed| execute(&runtime, "recurse_in_pages", [1900, seed]));
    for task in tasks {
        task.wait().unwrap();
    }
    // One page more than there are.
    let error = execute(&runtime, "recurse_in_pages", [2048, 1]).wait();
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("the thread's stack of 8388608 bytes in linear memory is used up"),
        "{message}"
    );
}

#[test]
fn a_panic_is_a_trap_and_the_worker_starts_anew() {
    let _watch = Watch::start();
    let runtime = workers_of(rust_library(), 1, 1)
        .process(|process| process.stderr(Output::Buffer))
        .build()
        .unwrap();
    assert_eq!(call(&runtime, "count_calls", []), 101);
    let stack = call(&runtime, "stack_address", []);
    for _ in 0..3 {
        let error = execute(&runtime, "panic_here", []).wait().unwrap_err();
        let TaskError::Trapped(trap) = error else {
            panic!("{error}");
        };
        let frames = trap.backtrace.frames();
        assert!(frames.iter().any(|frame| {
            frame.function.as_deref() == Some("panic_here")
                && frame
                    .file
                    .as_deref()
                    .is_some_and(|file| file.ends_with("lib.rs"))
        }));
        let stderr = String::from_utf8(runtime.process().stderr_buffer()).unwrap();
        assert!(stderr.contains("as it was told"), "{stderr}");
        // Thread-local data is new, on the same block.
        assert_eq!(call(&runtime, "count_calls", []), 101);
        assert_eq!(call(&runtime, "stack_address", []), stack);
    }
}

#[test]
fn rust_without_std_or_wasi() {
    let _watch = Watch::start();
    let wasm = rust_without_std(all_exports());
    let module = Module::new(engine(), &wasm).unwrap();
    let runtime = runtime(&module, 4);
    let mut tickets = on_all_workers(&runtime, "ticket");
    tickets.sort_unstable();
    assert!(tickets.into_iter().eq(7..407));
    let tasks = [11, 22, 33, 44].map(|seed| execute(&runtime, "keep", [seed, 4]));
    for task in tasks {
        assert_eq!(task.wait_as::<i32>().unwrap(), 1000);
    }
}

#[test]
fn c_without_a_library() {
    let _watch = Watch::start();
    let module = Module::new(engine(), &c_library(true)).unwrap();
    let runtime = ThreadRuntime::new(&module).unwrap();
    are_counts(on_all_workers(&runtime, "count_calls"), 1001, 4);
    assert_eq!(call(&runtime, "total", []), 400);
    let stacks: BTreeSet<_> = on_all_workers(&runtime, "stack_address")
        .into_iter()
        .collect();
    assert!(stacks.len() <= 4);
}

/// A module by hand that has a `__tls_base` and does not say how much it wants.
#[test]
fn a_slot_of_zeros_for_those_who_only_name_a_base() {
    let _watch = Watch::start();
    let text = r#"(module (memory 1 16 shared)
        (global $base (export "__tls_base") (mut i32) (i32.const 0))
        (global $stack (export "__stack_pointer") (mut i32) (i32.const 65536))
        (func (export "base") (result i32) (global.get $base))
        (func (export "stack") (result i32) (global.get $stack))
        (func (export "next") (result i32)
          (i32.store offset=1020 (global.get $base)
            (i32.add (i32.const 1) (i32.load offset=1020 (global.get $base))))
          (i32.load offset=1020 (global.get $base)))
        (func (export "trap") unreachable))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let config = RuntimeConfig {
        memory_size: 0,
        pool_size: 1,
        stack_size: 4096,
        ..RuntimeConfig::default()
    };
    let runtime = ThreadRuntime::with_config(&module, config).unwrap();
    let base = call(&runtime, "base", []);
    assert!(base >= 65536 && base % 16 == 0);
    assert_eq!(call(&runtime, "stack", []), base + 1024 + 4096);
    assert_eq!(
        (1..=3)
            .map(|_| call(&runtime, "next", []))
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    execute(&runtime, "trap", []).wait().unwrap_err();
    assert_eq!(call(&runtime, "base", []), base);
    assert_eq!(call(&runtime, "next", []), 1);
}

/// Blocks come from the module's own allocator if it exports one.
#[test]
fn each_kind_of_allocator_is_called() {
    let _watch = Watch::start();
    let allocators = [
        r#"(func (export "aligned_alloc") (param $align i32) (param $size i32) (result i32)
             (if (i32.ne (local.get $align) (i32.const 16)) (then unreachable))
             (call $take (local.get $size)))"#,
        r#"(func (export "malloc") (param $size i32) (result i32)
             (i32.add (call $take (i32.add (local.get $size) (i32.const 16))) (i32.const 4)))"#,
        r#"(func (export "__wbindgen_malloc") (param $size i32) (param $align i32) (result i32)
             (if (i32.ne (local.get $align) (i32.const 16)) (then unreachable))
             (call $take (local.get $size)))"#,
    ];
    for allocator in allocators {
        let text = format!(
            r#"(module (memory 16 16 shared)
                 (global $stack (export "__stack_pointer") (mut i32) (i32.const 0))
                 (func $take (param $size i32) (result i32)
                   (i32.add (i32.const 65536)
                     (i32.atomic.rmw.add (i32.const 0) (local.get $size))))
                 {allocator}
                 (func (export "stack") (result i32) (global.get $stack)))"#
        );
        let module = Module::new(engine(), text.as_bytes()).unwrap();
        let config = RuntimeConfig {
            stack_size: 4096,
            ..RuntimeConfig::default()
        };
        let runtime = ThreadRuntime::with_config(&module, config).unwrap();
        let stacks = on_all_workers(&runtime, "stack");
        assert!(
            stacks
                .iter()
                .all(|top| top % 16 == 0 && *top >= 65536 + 4096)
        );
        assert!(runtime.memory().load::<u32>(0).unwrap() >= 4 * 4096);
    }
    // One that has nothing left, and one that lies.
    for answer in [0, -16] {
        let text = format!(
            r#"(module (memory 16 16 shared)
                 (global (export "__stack_pointer") (mut i32) (i32.const 0))
                 (func (export "malloc") (param i32) (result i32) (i32.const {answer})))"#
        );
        let module = Module::new(engine(), text.as_bytes()).unwrap();
        let error = ThreadRuntime::new(&module).unwrap_err().to_string();
        assert!(error.contains("no room"), "{error}");
    }
}

/// More workers than blocks were made for at the start: the allocator is asked again.
#[test]
fn a_worker_that_is_started_later_has_its_own() {
    let _watch = Watch::start();
    let runtime = workers_of(rust_library(), 1, 3)
        .process(|process| process.host_memory(1 << 16))
        .build()
        .unwrap();
    let memory = runtime.memory();
    let latch = memory.latch().unwrap();
    let word = memory.cache_aligned(7_u64).unwrap();
    let args = [latch.offset() as i32, word.offset() as i32];
    let waits = [0, 1].map(|_| execute(&runtime, "wait_for_latch", args));
    assert_eq!(call(&runtime, "count_calls", []), 101);
    let deep = runtime.execute(Task::new("recurse", [5000, 1])).unwrap();
    deep.wait().unwrap();
    latch.open().unwrap();
    for task in waits {
        assert_eq!(task.wait_as::<u64>().unwrap(), 7);
    }
}
