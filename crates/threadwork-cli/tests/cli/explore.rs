//! `threadwork explore` and `threadwork replay`.

use std::fs;
use std::path::PathBuf;

use crate::support::{finish, fixtures, scratch, threadwork};

/// Two threads add 1 to a word, with a load and a store each; `right`: at once.
fn program(name: &str, add: &str) -> PathBuf {
    let file = scratch().join(format!("explore-{name}.wat"));
    let text = format!(
        r#"(module
          (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
          (import "env" "memory" (memory 1 1 shared))
          (func $add {add})
          (func (export "wasi_thread_start") (param i32 i32)
            (call $add)
            (i32.atomic.store (i32.const 4) (i32.const 1))
            (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))
          (func (export "_start")
            (drop (call $spawn (i32.const 0)))
            (call $add)
            (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))
            (if (i32.ne (i32.atomic.load (i32.const 0)) (i32.const 2)) (then unreachable))))"#
    );
    fs::write(&file, text).expect("the scratch folder is writable");
    file
}

const WRONG: &str = "(i32.atomic.store (i32.const 0)
    (i32.add (i32.atomic.load (i32.const 0)) (i32.const 1)))";
const RIGHT: &str = "(drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))";

#[test]
fn a_failure_is_found_told_and_repeated() {
    let program = program("wrong", WRONG);
    let schedule = scratch().join("explore-wrong.schedule");
    let mut explore = threadwork();
    explore.args(["explore", "--schedules", "1000", "--output"]);
    finish(explore.arg(&schedule).arg(&program))
        .expect_code(1)
        .expect_stderr(&["needs 1 preemption:"])
        .expect_stderr(&["threadwork: repeat it with: threadwork replay "]);

    let replay = || {
        let mut replay = threadwork();
        replay.arg("replay").arg(&schedule);
        finish(&mut replay)
    };
    let first = replay()
        .expect_code(1)
        .expect_stderr(&["the same failure, bit for bit"]);
    assert_eq!(first.stderr, replay().stderr);

    let text = fs::read_to_string(&program).expect("it was written");
    fs::write(&program, text.replace(WRONG, RIGHT)).expect("it is writable");
    replay()
        .expect_code(0)
        .expect_stderr(&["not the one that was recorded", "does not fail"]);
}

#[test]
fn a_program_that_is_right_is_tried_to_the_end() {
    let mut explore = threadwork();
    explore.args(["explore", "--strategy", "bounded"]);
    finish(explore.arg(program("right", RIGHT)))
        .expect_code(0)
        .expect_stderr(&["schedules", "and there are no others"]);
}

#[test]
fn what_cannot_be_explored_is_one_line() {
    let file = scratch().join("explore-one-thread.wat");
    fs::write(&file, "(module (func (export \"_start\")))").expect("it is writable");
    let outcome = finish(threadwork().arg("explore").arg(&file)).expect_code(125);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    let outcome = outcome.expect_stderr(&["has no shared memory", "wasm32-wasip1-threads"]);
    drop(outcome);
    finish(threadwork().arg("replay").arg(&file))
        .expect_code(125)
        .expect_stderr(&["this is not a replay file"]);
}

#[test]
fn as_cargos_runner_it_explores_each_test() {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo
        .args(["test", "--offline", "--lib"])
        .args(["--target", "wasm32-wasip1-threads"])
        .current_dir(fixtures().join("cargo-project"))
        .env(
            "CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER",
            concat!(env!("CARGO_BIN_EXE_threadwork"), " explore --schedules 20"),
        )
        .env("CARGO_TARGET_DIR", scratch().join("cargo-project"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    finish(&mut cargo)
        .expect_code(0)
        .expect_stderr(&["test tests::threads_add_up ... ok (20 schedules"])
        .expect_stderr(&["1 tests explored, 0 failed"]);
}
