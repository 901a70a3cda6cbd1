//! Concurrency bugs are found, and their correct twins are not reported; what was found can be
//! repeated. The bugs are `programs/concurrency.rs`.
//!
//! `THREADWORK_FULL=1` tries each twin, and repeats each failure, many times more.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use threadwork_check::{
    Error, Explorer, Failure, FailureKind, Program, Replay, Replayed, StrategyKind,
};

/// Each bug, and what it looks like.
const BUGS: [(&str, &str); 22] = [
    ("lost-update", "trap"),
    ("check-then-act", "trap"),
    ("abba", "deadlock"),
    ("dining", "deadlock"),
    ("lost-wakeup", "deadlock"),
    ("missing-notify", "deadlock"),
    ("notify-one", "deadlock"),
    ("spurious", "trap"),
    ("spin-lock", "trap"),
    ("spin-forever", "livelock"),
    ("wrong-once", "trap"),
    ("double-free", "trap"),
    ("aba", "trap"),
    ("sleep-sync", "trap"),
    ("timeout", "trap"),
    ("order", "trap"),
    ("barrier", "livelock"),
    ("peterson", "trap"),
    ("queue", "trap"),
    ("upgrade", "trap"),
    ("early-exit", "exit"),
    ("output", "output"),
];

/// Preemptions that are left, at most, of the dozens that a random schedule has.
const FEW: u32 = 6;

/// Schedules within which each is found.
const ENOUGH: u64 = 3_000;

/// Schedules of each twin, and repetitions of each failure.
fn sample() -> u64 {
    match std::env::var_os("THREADWORK_FULL") {
        Some(_) => 20_000,
        None => 60,
    }
}

fn repetitions() -> usize {
    match std::env::var_os("THREADWORK_FULL") {
        Some(_) => 50,
        None => 2,
    }
}

#[test]
fn each_bug_is_found_and_repeated() {
    for (name, kind) in BUGS {
        let report = explorer(name, "wrong").schedules(ENOUGH).run().unwrap();
        let failure = report
            .failure
            .unwrap_or_else(|| panic!("{name} is not found"));
        assert_eq!(failure.kind().name(), kind, "{name}: {failure}");
        assert!(failure.preemptions() <= FEW, "{name}: {failure}");
        println!(
            "{name}: {} at schedule {} by {}, {} preemptions",
            failure.kind().name(),
            failure.schedule(),
            failure.strategy(),
            failure.preemptions()
        );
        // As from another process: by way of its text.
        let replay: Replay = failure.replay().to_string().parse().unwrap();
        for _ in 0..repetitions() {
            match replay.run(program()).unwrap() {
                Replayed::Same(again) => assert_eq!(again.to_string(), failure.to_string()),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn correct_twins_never_fail() {
    for (name, _) in BUGS {
        let report = explorer(name, "right").schedules(sample()).run().unwrap();
        if let Some(failure) = report.failure {
            panic!("{name}: {failure}");
        }
        assert_eq!(report.unfinished, 0, "{name}");
    }
}

#[test]
fn every_strategy_finds_a_lost_update() {
    for kind in StrategyKind::ALL {
        let explorer = explorer("lost-update", "wrong").strategies([kind]);
        let failure = explorer.schedules(ENOUGH).run().unwrap().failure;
        let failure = failure.unwrap_or_else(|| panic!("{kind:?} does not find it"));
        assert_eq!(failure.strategy(), kind.name());
    }
}

#[test]
fn a_seed_decides_everything() {
    let search = |seed| {
        let report = explorer("aba", "wrong").seed(seed).schedules(ENOUGH).run();
        let report = report.unwrap();
        let failure = report.failure.unwrap();
        (report.schedules, report.steps, failure.replay().to_string())
    };
    assert_eq!(search(1), search(1));
    assert_ne!(search(1), search(2));
}

#[test]
fn a_report_says_where_and_what() {
    let failure = found("abba");
    let text = failure.to_string();
    for part in [
        "deadlock: every thread waits for ever",
        "needs 1 preemption:",
        "concurrency.rs:",
        "concurrency::abba",
        "the main thread waits for the word at",
        "thread 1 waits for the word at",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let failure = found("check-then-act");
    let text = failure.to_string();
    assert!(text.contains("assertion `left == right` failed"), "{text}");
    assert!(String::from_utf8_lossy(failure.stderr()).contains("left: -100"));
}

#[test]
fn a_changed_module_is_searched_again() {
    let replay = found("lost-update").replay().clone();
    // A custom section more: the same program, with another hash.
    let mut changed = std::fs::read(compiled()).unwrap();
    changed.extend([0, 3, 1, b'x', 0]);
    let changed = Program::new(&changed).unwrap();
    match replay.run(&changed).unwrap() {
        Replayed::Searched {
            is_same_module: false,
            failure: Some(failure),
            ..
        } => assert_eq!(failure.schedule(), replay.schedule()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_schedules_of_a_small_program_are_tried() {
    let program = Program::new(SMALL).unwrap();
    let report = Explorer::new(&program)
        .strategies([StrategyKind::Bounded])
        .run()
        .unwrap();
    assert!(report.failure.is_none(), "{report:?}");
    assert!(report.is_complete, "{report:?}");
    assert!(report.schedules > 5, "{report:?}");
}

/// Two threads that add to a word, and a main thread that waits for one.
const SMALL: &[u8] = br#"
    (module
      (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
      (import "env" "memory" (memory 1 1 shared))
      (func $add (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))
      (func (export "wasi_thread_start") (param i32 i32)
        (call $add)
        (i32.atomic.store (i32.const 4) (i32.const 1))
        (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))
      (func (export "_start")
        (drop (call $spawn (i32.const 0)))
        (call $add)
        (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))
        (if (i32.ne (i32.atomic.load (i32.const 0)) (i32.const 2)) (then unreachable))))
"#;

#[test]
fn what_cannot_be_explored_is_refused_in_one_line() {
    let refused = [
        ("(module", "does not parse"),
        ("(module (func (export \"_start\")))", "no shared memory"),
        (
            "(module (memory 1 1 shared))",
            "exports no function `_start`",
        ),
        (
            "(module (memory i64 1 1 shared) (func (export \"_start\")))",
            "addresses of 64 bits",
        ),
        (
            "(module (import \"a\" \"b\" (func)) (memory 1 1 shared) (func (export \"_start\")))",
            "nothing provides the import a.b",
        ),
    ];
    for (text, part) in refused {
        let error = Program::new(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
    let error = "no replay".parse::<Replay>().expect_err("it is none");
    assert!(matches!(error, Error::NotAReplay { .. }));
}

#[test]
fn with_executions_given_up_nothing_is_said_of_all() {
    let program = Program::new(SMALL).unwrap();
    let explorer = Explorer::new(&program).strategies([StrategyKind::Bounded]);
    let report = explorer.steps(6).schedules(500).run().unwrap();
    assert!(report.unfinished > 0, "{report:?}");
    assert!(!report.is_complete && report.bound.is_none(), "{report:?}");
}

#[test]
fn a_livelock_of_two_is_found_and_repeated_within_the_steps() {
    let program = Program::new(
        br#"
        (module
          (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
          (memory (export "memory") 1 1 shared)
          ;; Each sets its own flag, and goes on when the other's is not set any more.
          (func $enter (param i32 i32)
            (i32.atomic.store (local.get 0) (i32.const 1))
            (loop $again (br_if $again (i32.atomic.load (local.get 1))))
            (i32.atomic.store (local.get 0) (i32.const 0)))
          (func (export "wasi_thread_start") (param i32 i32)
            (call $enter (i32.const 0) (i32.const 4)))
          (func (export "_start")
            (drop (call $spawn (i32.const 0)))
            (call $enter (i32.const 4) (i32.const 0))))
        "#,
    )
    .unwrap();
    let explorer = Explorer::new(&program).steps(20_000);
    let failure = explorer.run().unwrap().failure.expect("it is found");
    assert_eq!(*failure.kind(), FailureKind::Livelock);
    assert!(failure.preemptions() <= FEW, "{failure}");
    match failure.replay().run(&program).unwrap() {
        Replayed::Same(again) => assert_eq!(again.to_string(), failure.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn threads_that_only_sleep_take_no_time() {
    let program = Program::new(
        br#"
        (module
          (import "env" "memory" (memory 1 1 shared))
          (func (export "_start")
            ;; A year.
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0)
              (i64.const 31536000000000000)))))
        "#,
    )
    .unwrap();
    let report = Explorer::new(&program).schedules(10).run().unwrap();
    assert!(report.failure.is_none(), "{report:?}");
}

#[test]
fn a_trap_names_its_thread() {
    let kind = found("spin-lock").kind().clone();
    assert!(matches!(kind, FailureKind::Trap { .. }), "{kind:?}");
}

fn found(name: &str) -> Failure {
    let report = explorer(name, "wrong")
        .schedules(ENOUGH)
        .run()
        .expect("it can be explored");
    report
        .failure
        .unwrap_or_else(|| panic!("{name} is not found"))
}

fn explorer(name: &str, which: &str) -> Explorer {
    let explorer = Explorer::new(program()).args(["concurrency", name, which]);
    match name {
        // So many steps make sure that it is one.
        "spin-forever" | "barrier" => explorer.steps(50_000),
        "output" => explorer.expect_stdout("one\ntwo\n"),
        _ => explorer,
    }
}

fn program() -> &'static Program {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let wasm = std::fs::read(compiled()).expect("it was compiled");
        Program::new(&wasm).expect("it can be explored")
    })
}

/// The program, compiled once.
fn compiled() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("concurrency.wasm");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/concurrency.rs");
        let rustc = Command::new("rustc")
            .args([
                "--edition",
                "2024",
                "--target",
                "wasm32-wasip1-threads",
                "-O",
                "-g",
                "-o",
            ])
            .args([&place, &source])
            .status();
        assert!(
            rustc.is_ok_and(|status| status.success()),
            "the program compiles"
        );
        place
    })
}
