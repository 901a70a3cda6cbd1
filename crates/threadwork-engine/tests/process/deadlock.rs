//! Deadlocks are told from everything that only looks like one.

use crate::support::{Stage, guest, on_stage, output, play, plot, run, start, text, until};
use threadwork_engine::{DeadlockReport, ExitStatus, ProcessBuilder, Sleeper, Stdin};

#[track_caller]
fn deadlock(status: ExitStatus) -> DeadlockReport {
    match status {
        ExitStatus::Deadlock(report) => report,
        other => panic!("expected a deadlock: {other}"),
    }
}

fn names(sleeper: &Sleeper, function: &str) -> bool {
    let frames = sleeper.backtrace.frames();
    frames.iter().any(|frame| {
        frame
            .function
            .as_deref()
            .is_some_and(|n| n.contains(function))
    })
}

/// The guest `deadlock`: as many threads as there are functions, each of which is in
/// the backtrace of the thread.
#[track_caller]
fn is_found(kind: &str, functions: &[&str]) {
    let done = output(ProcessBuilder::new(&guest("deadlock")).arg(kind));
    assert_eq!(done.status.code(), 120);
    let report = deadlock(done.status);
    assert_eq!(done.stdout, "ready\n");
    assert_eq!(report.threads.len(), functions.len(), "{report}");
    let ids: Vec<_> = report
        .threads
        .iter()
        .map(|sleeper| sleeper.thread)
        .collect();
    assert!(ids.is_sorted() && ids[0] == 0, "{report}");
    for (sleeper, function) in report.threads.iter().zip(functions) {
        assert!(names(sleeper, function), "{function} in {report}");
        assert!(sleeper.address > 0 && sleeper.address % 4 == 0);
    }
}

#[test]
fn a_thread_that_locks_what_it_holds() {
    // It is alone: a program with one thread.
    is_found("self", &["deadlock::lock_what_is_mine"]);
}

#[test]
fn two_mutexes_in_opposite_order() {
    let [left, right] = ["deadlock::philosopher_left", "deadlock::philosopher_right"];
    is_found(
        "philosophers",
        &["deadlock::join_philosophers", left, right],
    );
}

#[test]
fn a_join_of_a_thread_that_waits_for_ever() {
    is_found(
        "condvar",
        &[
            "deadlock::join_the_forgotten",
            "deadlock::wait_for_a_notification",
        ],
    );
}

#[test]
fn two_threads_that_wait_for_each_others_message() {
    let polite = "deadlock::wait_for_a_message_first";
    is_found("channel", &["deadlock::join_the_polite", polite, polite]);
}

#[test]
fn a_deadlock_after_good_work() {
    let [left, right] = ["deadlock::philosopher_left", "deadlock::philosopher_right"];
    is_found("late", &["deadlock::join_philosophers", left, right]);
}

#[test]
fn the_report_names_addresses_and_is_readable() {
    let module = plot(
        r#"(func $sleep_at_40 (drop
             (memory.atomic.wait32 offset=8 (i32.const 32) (i32.const 0) (i64.const -1))))
           (func $sleep_at_48 (drop
             (memory.atomic.wait64 (i32.const 48) (i64.const 0) (i64.const -1))))
           (func (export "wasi_thread_start") (param i32 i32) (call $sleep_at_48))
           (func (export "_start") (drop (call $spawn (i32.const 0))) (call $sleep_at_40))"#,
    );
    let report = deadlock(play(&module).1);
    let addresses: Vec<_> = report
        .threads
        .iter()
        .map(|sleeper| sleeper.address)
        .collect();
    assert_eq!(addresses, [40, 48]);
    let text = report.to_string();
    for part in [
        "deadlock: all 2 threads wait for ever, nobody is left to notify them",
        "the main thread waits at address 0x28",
        "waits at address 0x30",
        "sleep_at_40",
        "sleep_at_48",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// The last thread that could have notified leaves.
#[test]
fn a_thread_that_leaves_reveals_it() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32) (param $waits i32)
             (if (local.get $waits) (then (call $wait)) (else (call $until_open))))
           (func (export "_start")
             (drop (call $spawn (i32.const 1)))
             (drop (call $spawn (i32.const 1)))
             (drop (call $spawn (i32.const 0)))
             (call $wait))"#,
    );
    for _ in 0..50 {
        let (builder, stage) = on_stage(&module);
        let process = start(builder);
        until(|| {
            let threads = process.threads();
            threads.len() == 4 && threads.iter().filter(|t| is_waiting(t.activity)).count() == 3
        });
        assert!(process.try_wait().is_none(), "one thread is left");
        stage.open();
        assert_eq!(deadlock(process.wait()).threads.len(), 3);
    }
}

fn is_waiting(activity: threadwork_engine::Activity) -> bool {
    matches!(activity, threadwork_engine::Activity::Waiting { .. })
}

/// All fall asleep at nearly the same time: somebody must notice.
#[test]
fn sixteen_threads_that_fall_asleep_at_once() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $until_open) (call $wait))
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 15))))
             (call $say (i32.const 0))
             (call $until_open)
             (call $wait))"#,
    );
    for _ in 0..100 {
        let (builder, stage) = on_stage(&module);
        let process = start(builder);
        stage.hear();
        stage.open();
        assert_eq!(deadlock(process.wait()).threads.len(), 16);
    }
}

// ---- What is no deadlock ----

/// Main waits for ever, while a thread does something that ends.
#[track_caller]
fn is_no_deadlock(thread: &str, events: impl FnOnce(&Stage, &crate::support::Running)) {
    let module = plot(&format!(
        r#"(func (export "wasi_thread_start") (param i32 i32) {thread} (call $count))
           (func (export "_start")
             (drop (call $spawn (i32.const 0)))
             (call $until_counted (i32.const 1)))"#
    ));
    let (builder, stage) = on_stage(&module);
    let process = start(builder.stdin(Stdin::Pipe));
    events(&stage, &process);
    let status = process.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn timed_waits_are_no_deadlock() {
    is_no_deadlock(
        "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 20000000)))",
        |_, _| {},
    );
}

#[test]
fn sleeping_threads_are_no_deadlock() {
    is_no_deadlock(
        "(i64.store (i32.const 88) (i64.const 20000000)) (call $sleep)",
        |_, process| until(|| process.threads().len() < 2 || process.try_wait().is_some()),
    );
}

#[test]
fn threads_that_read_standard_input_are_no_deadlock() {
    is_no_deadlock("(call $read)", |_, process| {
        until(|| process.threads().iter().any(|t| is_waiting(t.activity)));
        until(|| {
            let infos = process.threads();
            infos
                .iter()
                .any(|t| t.activity == threadwork_engine::Activity::InHostCall)
        });
        assert!(process.try_wait().is_none());
        drop(process.take_stdin());
    });
}

#[test]
fn threads_in_host_functions_are_no_deadlock() {
    is_no_deadlock("(call $until_open)", |stage, process| {
        until(|| process.threads().iter().any(|t| is_waiting(t.activity)));
        assert!(process.try_wait().is_none());
        stage.open();
    });
}

/// Two threads wake each other 1,000 times: at most moments one sleeps and the other
/// is just about to.
#[test]
fn ping_pong_is_no_deadlock() {
    let module = plot(
        r#"(func $play (param $me i32) (local $now i32)
             (loop $again
               (local.set $now (i32.atomic.load (i32.const 512)))
               (if (i32.ge_u (local.get $now) (i32.const 2000)) (then return))
               (if (i32.eq (i32.and (local.get $now) (i32.const 1)) (local.get $me))
                 (then
                   (i32.atomic.store (i32.const 512)
                     (i32.add (local.get $now) (i32.const 1)))
                   (drop (memory.atomic.notify (i32.const 512) (i32.const 1))))
                 (else
                   (drop (memory.atomic.wait32
                     (i32.const 512) (local.get $now) (i64.const -1)))))
               (br $again)))
           (func (export "wasi_thread_start") (param i32 i32)
             (call $play (i32.const 1)) (call $count))
           (func (export "_start")
             (drop (call $spawn (i32.const 0)))
             (call $play (i32.const 0))
             (call $until_counted (i32.const 1)))"#,
    );
    for _ in 0..20 {
        let (_, status) = play(&module);
        assert!(status.success(), "{status}");
    }
}

/// Threads that are born and die while everybody else sleeps.
#[test]
fn churn_is_no_deadlock() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32) (param $left i32)
             (if (local.get $left)
               (then (drop (call $spawn (i32.sub (local.get $left) (i32.const 1)))))
               (else (call $count))))
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn (i32.const 50)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (call $until_counted (local.get $n))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 20)))))"#,
    );
    for _ in 0..5 {
        let (_, status) = play(&module);
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_program_that_never_waits_has_no_census() {
    let module = text(r#"(module (func (export "_start")))"#);
    assert!(run(ProcessBuilder::new(&module)).success());
}

/// Nothing but frames of the runtime's is left of it: they are better than one line.
#[test]
fn a_closure_that_was_inlined_into_the_runtime() {
    let done = output(ProcessBuilder::new(&guest("deadlock")).arg("inlined"));
    let report = deadlock(done.status);
    let text = report.to_string();
    let of_thread = text.split("thread 1").nth(1).unwrap();
    assert!(of_thread.contains("lock_contended"), "{text}");
    assert!(of_thread.contains("__rust_begin_short_backtrace"), "{text}");
    let frames = of_thread
        .lines()
        .filter(|line| line.starts_with(' '))
        .count();
    assert!(frames > 2, "{text}");
}
