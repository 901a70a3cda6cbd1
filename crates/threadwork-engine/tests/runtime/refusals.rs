//! What cannot run is refused before anything of it runs, with what to do.

use crate::support::{
    Watch, c_library, call, engine, execute, module, runtime, rust_without_std, workers_of,
};
use threadwork_engine::{
    Error, ExecuteError, Limits, Module, RuntimeConfig, Task, TaskError, ThreadRuntime, Val,
};

#[track_caller]
fn refused(text: &str) -> Error {
    let _watch = Watch::start();
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    ThreadRuntime::new(&module).unwrap_err()
}

#[test]
fn a_module_without_shared_memory() {
    for text in [
        r#"(module (func (export "f")))"#,
        r#"(module (memory 1) (func (export "f")))"#,
    ] {
        let error = refused(text).to_string();
        assert!(
            error.contains("no shared memory") && error.contains("--shared-memory"),
            "{error}"
        );
    }
}

#[test]
fn an_import_that_nobody_provides() {
    let error = refused(
        r#"(module (import "env" "launch" (func)) (import "env" "land" (func))
             (memory 1 1 shared) (func (export "f")))"#,
    );
    let Error::MissingImports { names, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(names[..], ["env.launch", "env.land"]);
}

#[test]
fn an_import_of_another_type() {
    let error = refused(
        r#"(module (import "threadwork" "atomic_batch" (func (param i64) (result i32)))
             (memory 1 1 shared) (func (export "f")))"#,
    );
    assert!(matches!(error, Error::ImportType { .. }), "{error}");
}

#[test]
fn a_start_that_traps() {
    for text in [
        r#"(module (memory 1 1 shared) (func $f unreachable) (start $f))"#,
        r#"(module (memory 1 1 shared) (func (export "_initialize") unreachable))"#,
    ] {
        let error = refused(text);
        let Error::Start { status } = &error else {
            panic!("{error}");
        };
        assert_eq!(status.code(), 134);
        assert!(error.to_string().contains("unreachable"), "{error}");
    }
}

/// The instance of a worker fails though the first did not.
#[test]
fn an_instance_that_cannot_be_set_up() {
    let error = refused(
        r#"(module (memory 1 1 shared)
             (global (export "__tls_size") i32 (i32.const 8))
             (func (export "__wasm_init_tls") (param i32) unreachable))"#,
    );
    assert!(matches!(error, Error::Instantiate { .. }), "{error}");
    let error =
        refused(r#"(module (memory 1 1 shared) (func (export "__wasm_init_tls") (param i32)))"#);
    assert!(error.to_string().contains("--export=__tls_size"), "{error}");
}

/// Each instance has a table of 4 MiB, and there is room for three: that of the program, and
/// of two workers. What does not fit is an error of whoever wanted it; all else goes on.
#[test]
fn an_instance_that_does_not_fit() {
    let _watch = Watch::start();
    let module = module(
        r#"(table 262144 funcref)
           (func (export "wait") (call $wait))
           (func (export "answer") (result i32) (i32.const 42))"#,
    );
    let limits = Limits::default().memory(14 << 20);
    let workers = |count| workers_of(&module, count, 8).limits(limits);
    let error = workers(3).build().unwrap_err();
    assert!(
        matches!(error, Error::Instantiate { .. }) && error.to_string().contains("14680064 bytes"),
        "{error}"
    );
    let runtime = workers(2).build().unwrap();
    let waiting = [(); 2].map(|()| execute(&runtime, "wait", []));
    // All that live sleep, so that a worker is started for this one.
    let error = execute(&runtime, "answer", []).wait().unwrap_err();
    assert!(
        matches!(&error, TaskError::Instance { message } if message.contains("14680064 bytes")),
        "{error}"
    );
    waiting[0].cancel();
    assert_eq!(call(&runtime, "answer", []), 42);
    let memory = runtime.memory();
    memory.notify(0, 1).unwrap();
    assert!(waiting[1].wait().is_ok());
    assert!(runtime.shutdown().success());
}

#[test]
fn no_room_for_stacks() {
    let error = refused(
        r#"(module (memory 1 1 shared)
             (global (export "__stack_pointer") (mut i32) (i32.const 65536)))"#,
    );
    let text = error.to_string();
    assert!(
        text.contains("no room") && text.contains("stack_size"),
        "{text}"
    );
    for size in ["4294967296", "18446744073709551615"] {
        let text = format!(
            r#"(module (memory i64 1 1 shared)
                 (global (export "__tls_size") i64 (i64.const {size}))
                 (func (export "__wasm_init_tls") (param i64)))"#
        );
        assert!(refused(&text).to_string().contains("no room"));
    }
}

#[test]
fn sizes_that_let_nothing_run() {
    let _watch = Watch::start();
    let module = module("");
    let default = RuntimeConfig::default();
    for config in [
        RuntimeConfig {
            pool_size: 0,
            ..default
        },
        RuntimeConfig {
            max_threads: 3,
            ..default
        },
        RuntimeConfig {
            stack_size: 10,
            ..default
        },
        RuntimeConfig {
            stack_size: u64::MAX,
            ..default
        },
    ] {
        let error = ThreadRuntime::with_config(&module, config).unwrap_err();
        assert!(matches!(error, Error::RuntimeConfig { .. }), "{error}");
    }
    let limits = Limits::default().memory(1);
    let error = ThreadRuntime::builder(&module)
        .limits(limits)
        .build()
        .unwrap_err();
    assert!(matches!(error, Error::ZeroLimit { .. }), "{error}");
}

#[test]
fn a_stack_or_thread_local_data_that_all_would_share() {
    let stack = rust_without_std(&[]);
    let error = ThreadRuntime::new(&Module::new(engine(), &stack).unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("--export=__stack_pointer"),
        "{error}"
    );
    let tls = rust_without_std(&["__stack_pointer"]);
    ThreadRuntime::new(&Module::new(engine(), &tls).unwrap()).unwrap();
    let c = Module::new(engine(), &c_library(false)).unwrap();
    let error = ThreadRuntime::new(&c).unwrap_err();
    assert!(matches!(error, Error::Unexported { .. }), "{error}");
    let error = workers_of(&c, 1, 1).build().unwrap_err();
    assert!(
        error.to_string().contains("--export=__wasm_init_tls"),
        "{error}"
    );
    // One worker may have the program's stack.
    let alone = Module::new(engine(), &stack).unwrap();
    let alone = workers_of(&alone, 1, 1).build().unwrap();
    assert_eq!(call(&alone, "ticket", []), 7);
}

#[test]
fn tasks_that_cannot_be() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "add") (param i32 i64) (result i32) (local.get 0))
           (func (export "refer") (param funcref))
           (global (export "number") i32 (i32.const 0))"#,
    );
    let runtime = runtime(&module, 1);
    let error = |task: Task| runtime.execute(task).unwrap_err();
    let none = [0_i32; 0];
    assert_eq!(
        error(Task::new("sub", none)).to_string(),
        "the module exports no function `sub`: it exports add, refer"
    );
    assert!(matches!(
        error(Task::new("number", none)),
        ExecuteError::NoEntry { .. }
    ));
    assert!(matches!(
        error(Task::new("threadwork:reset", none)),
        ExecuteError::NoEntry { .. }
    ));
    assert_eq!(
        error(Task::new("add", [1_i32, 2])).to_string(),
        "the arguments (i32 i32) do not fit `add`, which takes (i32 i64)"
    );
    for task in [
        Task::new("add", none),
        Task::new("add", [1_i32]),
        Task::new("add", [1_i32]).arg(2_i64).arg(3_i32),
        Task::new("add", [Val::FuncRef(None), Val::I64(0)]),
    ] {
        assert!(matches!(error(task), ExecuteError::Arguments { .. }));
    }
    assert!(matches!(
        error(Task::new("refer", [Val::FuncRef(None)])),
        ExecuteError::References { .. }
    ));
    // Nothing of it has happened.
    let answer = runtime
        .execute(Task::new("add", [1_i32]).arg(2_i64))
        .unwrap();
    assert_eq!(
        (answer.id().to_string(), answer.wait_as::<i32>().unwrap()),
        ("1".to_owned(), 1)
    );
}

#[test]
fn tasks_that_come_too_late() {
    let _watch = Watch::start();
    let module = module(r#"(func (export "f"))"#);
    let runtime = runtime(&module, 1);
    assert!(runtime.shutdown().success());
    let error = runtime.execute(Task::new("f", [0_i32; 0])).unwrap_err();
    assert_eq!(error, ExecuteError::ShutDown);
}
