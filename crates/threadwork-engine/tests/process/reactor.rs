//! Libraries: loaded, initialized once, and called.

use crate::support::{Watch, on_stage, plot, text, text_guest, until};
use threadwork_engine::{Activity, CallError, ExitStatus, Process, ProcessBuilder, Val};

/// A loaded process, under watch.
fn load(builder: ProcessBuilder) -> (Process, Watch) {
    let watch = Watch::start();
    (builder.load().unwrap(), watch)
}

#[track_caller]
fn number(process: &Process, export: &str, arguments: &[i32]) -> i32 {
    let arguments: Vec<_> = arguments.iter().copied().map(Val::I32).collect();
    match process.call(export, &arguments).unwrap()[..] {
        [Val::I32(number)] => number,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn calls_have_arguments_results_and_state() {
    let (process, _watch) = load(ProcessBuilder::new(&text_guest("reactor.wat")));
    assert_eq!(number(&process, "add", &[40, 2]), 42);
    assert_eq!(number(&process, "next", &[]), 100);
    assert_eq!(number(&process, "next", &[]), 101);
    assert_eq!(number(&process, "wait_for", &[2]), 2);
    assert!(process.try_wait().is_none());
    process.kill();
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    assert!(matches!(process.call("next", &[]), Err(CallError::Ended)));
}

#[test]
fn all_types_of_numbers_go_in_and_out() {
    let module = text(
        r#"(module (func (export "turn") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
             (local.get 3) (local.get 2) (local.get 1) (local.get 0)))"#,
    );
    let (process, _watch) = load(ProcessBuilder::new(&module));
    let arguments = [
        Val::I32(-1),
        Val::I64(1 << 40),
        Val::from(1.5_f32),
        Val::from(-2.5_f64),
    ];
    let results = process.call("turn", &arguments).unwrap();
    let words: Vec<_> = results.iter().map(|value| format!("{value:?}")).collect();
    let expected: Vec<_> = arguments
        .iter()
        .rev()
        .map(|value| format!("{value:?}"))
        .collect();
    assert_eq!(words, expected);
}

#[test]
fn wrong_names_and_arguments_are_errors_and_harm_nothing() {
    let (process, _watch) = load(ProcessBuilder::new(&text_guest("reactor.wat")));
    let error =
        |name: &str, arguments: &[Val]| process.call(name, arguments).unwrap_err().to_string();
    assert_eq!(error("sub", &[]), "the module exports no function `sub`");
    for arguments in [
        &[][..],
        &[Val::I32(1)],
        &[Val::I32(1), Val::I64(2)],
        &[Val::I32(0); 3],
    ] {
        assert_eq!(
            error("add", arguments),
            "the arguments do not fit `add`, which is (type (func (param i32 i32) (result i32)))"
        );
    }
    assert_eq!(number(&process, "add", &[1, 2]), 3);
}

#[test]
fn a_command_takes_no_calls() {
    let module = text(
        r#"(module (memory 1 1 shared) (func (export "f"))
             (func (export "_start") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0)
               (i64.const 3600000000000)))))"#,
    );
    let process = crate::support::start(ProcessBuilder::new(&module));
    assert!(matches!(
        process.call("f", &[]),
        Err(CallError::NotAReactor)
    ));
    process.kill();
}

#[test]
fn a_trap_in_a_call_ends_the_process() {
    let (process, _watch) = load(ProcessBuilder::new(&text_guest("reactor.wat")));
    assert_eq!(number(&process, "divide", &[6, 3]), 2);
    let result = process.call("divide", &[Val::I32(1), Val::I32(0)]);
    assert!(matches!(result, Err(CallError::Ended)));
    let trap = crate::support::trap(process.wait());
    assert!(trap.reason.contains("divide by zero"), "{trap}");
    assert_eq!(trap.backtrace.frames().len(), 1);
    assert!(matches!(process.call("next", &[]), Err(CallError::Ended)));
}

#[test]
fn a_failure_of_initialize_is_the_status() {
    for (body, code) in [("unreachable", 134), ("(call $exit (i32.const 4))", 4)] {
        let module = plot(&format!(
            r#"(func (export "wasi_thread_start") (param i32 i32))
               (func (export "_initialize") {body}) (func (export "f"))"#
        ));
        let (builder, _stage) = on_stage(&module);
        let (process, _watch) = load(builder);
        assert_eq!(process.wait().code(), code);
        assert!(matches!(process.call("f", &[]), Err(CallError::Ended)));
    }
}

#[test]
fn threads_that_a_call_started_run_on() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32)
             (call $until_open) (call $count) (call $say (i32.const 5)))
           (func (export "go") (drop (call $spawn (i32.const 0))))
           (func (export "counted") (result i32) (i32.atomic.load (i32.const 256)))
           (func (export "wait") (call $until_counted (i32.const 2)))"#,
    );
    let (builder, stage) = on_stage(&module);
    let (process, _watch) = load(builder);
    process.call("go", &[]).unwrap();
    process.call("go", &[]).unwrap();
    assert_eq!(number(&process, "counted", &[]), 0);
    assert_eq!(process.threads().len(), 3);
    stage.open();
    assert_eq!((stage.hear(), stage.hear()), (5, 5));
    process.call("wait", &[]).unwrap();
    assert_eq!(number(&process, "counted", &[]), 2);
    until(|| process.threads().len() == 1);
    assert!(
        process.try_wait().is_none(),
        "an idle reactor is no deadlock"
    );
}

/// The main thread is not asleep while it waits for a call: it may notify.
#[test]
fn sleeping_threads_of_an_idle_reactor_are_no_deadlock_until_a_call_sleeps_too() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $wait))
           (func (export "go") (drop (call $spawn (i32.const 0))))
           (func (export "sleep") (call $wait))"#,
    );
    let (builder, _stage) = on_stage(&module);
    let (process, _watch) = load(builder);
    process.call("go", &[]).unwrap();
    until(|| {
        process
            .threads()
            .iter()
            .any(|t| matches!(t.activity, Activity::Waiting { .. }))
    });
    assert!(process.try_wait().is_none());
    assert!(matches!(process.call("sleep", &[]), Err(CallError::Ended)));
    match process.wait() {
        ExitStatus::Deadlock(report) => assert_eq!(report.threads.len(), 2),
        other => panic!("{other}"),
    }
}

#[test]
fn calls_from_several_threads_are_served_one_after_another() {
    let (process, _watch) = load(ProcessBuilder::new(&text_guest("reactor.wat")));
    let mut numbers: Vec<i32> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..250).map(|_| number(&process, "next", &[])).collect()))
            .collect();
        callers
            .into_iter()
            .flat_map(|caller| -> Vec<i32> { caller.join().unwrap() })
            .collect()
    });
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(100..1100));
}

#[test]
fn a_kill_ends_a_call() {
    for what in [1, 3] {
        let module = plot(&format!(
            r#"(func (export "wasi_thread_start") (param i32 i32))
               (func (export "f") (call $say (i32.const 0)) (call $do (i32.const {what})))"#
        ));
        let (builder, stage) = on_stage(&module);
        let (process, _watch) = load(builder);
        std::thread::scope(|scope| {
            let call = scope.spawn(|| process.call("f", &[]));
            stage.hear();
            process.kill();
            assert!(matches!(call.join().unwrap(), Err(CallError::Ended)));
        });
        assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    }
}
