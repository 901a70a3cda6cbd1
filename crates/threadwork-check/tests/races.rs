//! With races, a search finds what nothing orders, in whichever schedule it happens, and nothing
//! else. The races are those of `threadwork-race`.
//!
//! `THREADWORK_FULL=1` tries each twin many times more.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use threadwork_check::{Explorer, FailureKind, Program, Replay, Replayed, ReportKind};

/// Schedules within which each race is found.
const ENOUGH: u64 = 300;

/// Schedules of each twin.
fn sample() -> u64 {
    match std::env::var_os("THREADWORK_FULL") {
        Some(_) => 2_000,
        None => 12,
    }
}

fn program(source: &str, name: &str) -> Program {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let status = Command::new(rustc)
        .args(["--edition=2024", "--target=wasm32-wasip1-threads"])
        .args(["-Copt-level=2", "-Cdebuginfo=1"])
        .args(["-Ctarget-feature=+simd128"])
        .arg(&source)
        .arg("-o")
        .arg(&module)
        .status();
    assert!(status.unwrap().success(), "{} compiles", source.display());
    Program::with_races(&std::fs::read(module).unwrap()).unwrap()
}

#[test]
fn seeded_races_are_found_and_repeated_and_their_twins_are_clean() {
    let program = program("../threadwork-race/tests/fixtures/races.rs", "races.wasm");
    let explorer = |args: &[&str]| {
        let args = ["races"].iter().chain(args).copied();
        Explorer::new(&program).args(args)
    };
    let names = String::from_utf8(explorer(&[]).stdout().unwrap()).unwrap();
    let names: Vec<_> = names.lines().collect();
    assert!(names.len() >= 40, "{}", names.len());
    let mut wrong = Vec::new();
    for name in names {
        let report = explorer(&[name, "racy"]).schedules(ENOUGH).run().unwrap();
        let Some(failure) = report.failure else {
            wrong.push(format!("{name}: nothing found"));
            continue;
        };
        let text = failure.to_string();
        let is_race = matches!(failure.kind(), FailureKind::Race { .. });
        // Both stacks, with the lines of the program.
        if !is_race || text.matches("races.rs:").count() < 2 {
            wrong.push(format!("{name}: {text}"));
        }
        let replay: Replay = failure.replay().to_string().parse().unwrap();
        assert!(replay.is_of_race());
        match replay.run(&program).unwrap() {
            Replayed::Same(again) => assert_eq!(again.to_string(), text),
            other => panic!("{name}: {other:?}"),
        }
        let report = explorer(&[name, "right"]).schedules(sample()).run();
        if let Some(failure) = report.unwrap().failure {
            wrong.push(format!("{name}, right: {failure}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The value of a closed channel is taken by both ends, if one looks between two steps of the
/// other: the shape of RUSTSEC-2021-0124 in tokio's `oneshot`. What both get is the same, so the
/// program itself notices nothing.
#[test]
fn a_race_that_hardly_any_schedule_has_is_found() {
    let module = br#"
        (module
          (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
          (import "env" "memory" (memory 1 1 shared))
          ;; 0: the state, 1 complete, 2 closed. 64: the value.
          (func (export "wasi_thread_start") (param i32 i32)
            (i32.store (i32.const 64) (i32.const 7))
            (if (i32.and (i32.atomic.rmw.add (i32.const 0) (i32.const 1)) (i32.const 2))
              (then (i32.store (i32.const 64) (i32.const 0)))))
          (func (export "_start")
            (drop (call $spawn (i32.const 0)))
            (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 2)))
            (if (i32.and (i32.atomic.load (i32.const 0)) (i32.const 1))
              (then (drop (i32.load (i32.const 64)))))))
    "#;
    let without = Program::new(module).unwrap();
    let report = Explorer::new(&without).run().unwrap();
    assert!(report.failure.is_none(), "{report:?}");
    let program = Program::with_races(module).unwrap();
    let failure = Explorer::new(&program).run().unwrap().failure.unwrap();
    let FailureKind::Race { kind, .. } = failure.kind() else {
        panic!("{failure}");
    };
    assert_eq!(*kind, ReportKind::Race);
    assert!(failure.preemptions() > 0, "{failure}");
    // Its schedule is one of the program without races, too, which sees nothing in it.
    match failure.replay().run(&without).unwrap() {
        Replayed::Searched { failure: None, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn programs_that_only_had_wrong_orders_have_no_races() {
    let program = program("tests/programs/concurrency.rs", "races-concurrency.wasm");
    for name in ["lost-update", "abba", "lost-wakeup", "queue", "aba"] {
        let explorer = Explorer::new(&program).args(["concurrency", name, "right"]);
        let report = explorer.schedules(sample()).run().unwrap();
        if let Some(failure) = report.failure {
            panic!("{name}: {failure}");
        }
    }
}
