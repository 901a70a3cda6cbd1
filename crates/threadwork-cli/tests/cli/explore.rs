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
        .expect_stderr(&["not the one that was recorded", "searching again"])
        .expect_stderr(&["none of those schedules fails any more"]);
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

/// A module without threads of its own that does this.
fn alone(name: &str, parts: &str, body: &str) -> PathBuf {
    let file = scratch().join(format!("explore-{name}.wat"));
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "clock_time_get"
            (func $now (param i32 i64 i32) (result i32)))
          (memory (export "memory") 1 1 shared)
          {parts}
          (func (export "_start") (local $n i32) {body}))"#
    );
    fs::write(&file, text).expect("the scratch folder is writable");
    file
}

/// A loop that reads one word, which nobody changes, and ends for another reason; or never.
const POLLS: &str = "(loop $again
    (drop (i32.atomic.load (i32.const 0)))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 300000))))";
const WAITS_FOR_A_TIME: &str = "(loop $again
    (drop (i32.atomic.load (i32.const 0)))
    (drop (call $now (i32.const 1) (i64.const 0) (i32.const 8)))
    ;; An hour after the clock's beginning.
    (br_if $again (i64.lt_u (i64.load (i32.const 8)) (i64.const 4600000000000))))";
const SPINS: &str = "(loop $again (br_if $again (i32.eqz (i32.atomic.load (i32.const 0)))))";
const COMPUTES: &str = "(loop $again (br $again))";

#[test]
fn who_reads_the_same_often_and_ends_is_no_livelock() {
    for (name, body) in [("polls", POLLS), ("waits-for-a-time", WAITS_FOR_A_TIME)] {
        let mut explore = threadwork();
        explore.args(["explore", "--schedules", "2"]);
        let outcome = finish(explore.arg(alone(name, "", body))).expect_code(0);
        assert!(!outcome.stderr.contains("given up"), "{outcome:#?}");
    }
}

#[test]
fn who_only_spins_up_to_the_last_step_is_a_livelock() {
    let schedule = scratch().join("explore-spins.schedule");
    for steps in ["2000", "100000"] {
        let mut explore = threadwork();
        explore.args(["explore", "--steps", steps, "--output"]);
        finish(explore.arg(&schedule).arg(alone("spins", "", SPINS)))
            .expect_code(1)
            .expect_stderr(&["livelock: up to the last step"])
            .expect_stderr(&["the main thread looks again and again at the same values"]);
        finish(threadwork().arg("replay").arg(&schedule))
            .expect_code(1)
            .expect_stderr(&["the same failure, bit for bit"]);
    }
}

#[test]
fn what_computes_for_ever_ends_with_the_time() {
    let program = alone("computes", "", COMPUTES);
    let mut explore = threadwork();
    explore.args(["explore", "--time", "1s"]);
    finish(explore.arg(&program))
        .expect_code(125)
        .expect_stderr(&["1 schedule, 0 steps", "the last one was cut short (--time)"])
        .expect_stderr(&["error: cannot explore", "no execution came to its end"]);
    if std::env::var_os("THREADWORK_FULL").is_some() {
        let mut explore = threadwork();
        explore.args(["explore", "--schedules", "100"]);
        finish(explore.arg(&program))
            .expect_code(125)
            .expect_stderr(&["given up: 3 that computed for 10 s without a scheduling point"]);
    }
}

#[test]
fn files_without_end_are_refused() {
    let program = program("no-end", RIGHT);
    for option in ["--stdin", "--expect"] {
        let mut explore = threadwork();
        explore.args(["explore", option, "/dev/zero"]).arg(&program);
        finish(&mut explore)
            .expect_code(125)
            .expect_stderr(&[&format!(
                "the file of {option}, /dev/zero, has more than 64 MiB"
            )]);
    }
    finish(threadwork().args(["replay", "/dev/zero"]))
        .expect_code(125)
        .expect_stderr(&["the replay file, /dev/zero, has more than 64 MiB"]);
}

#[test]
fn a_search_for_a_schedule_that_never_was_ends_with_the_time() {
    let program = program("garbled", WRONG);
    let schedule = scratch().join("explore-garbled.schedule");
    let mut explore = threadwork();
    explore.args(["explore", "--output"]).arg(&schedule);
    finish(explore.arg(&program)).expect_code(1);
    let text = fs::read_to_string(&program).expect("it was written");
    fs::write(&program, text.replace(WRONG, RIGHT)).expect("it is writable");
    let text = fs::read_to_string(&schedule).expect("it was written");
    let number = |line: &str| match line.starts_with("schedule ") {
        true => format!("schedule {}", u64::MAX - 1),
        // Two others, as `bounded` would come to its end.
        false if line.starts_with("strategies ") => "strategies random pct".to_owned(),
        false => line.to_owned(),
    };
    let lines: Vec<String> = text.lines().map(number).collect();
    fs::write(&schedule, lines.join("\n")).expect("it is writable");
    let mut replay = threadwork();
    replay.args(["replay", "--time", "1s"]).arg(&schedule);
    finish(&mut replay)
        .expect_code(125)
        .expect_stderr(&[
            "searching again from its seed, up to schedule 18446744073709551614, for 1s",
        ])
        .expect_stderr(&["not all of those schedules were tried"]);
}

#[test]
fn what_cannot_be_started_is_no_failing_schedule() {
    let file = scratch().join("explore-parameter.wat");
    let text =
        r#"(module (memory (export "memory") 1 1 shared) (func (export "_start") (param i32)))"#;
    fs::write(&file, text).expect("the scratch folder is writable");
    let outcome = finish(threadwork().arg("explore").arg(&file)).expect_code(125);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    drop(outcome.expect_stderr(&["the function `_start` has to have no parameters"]));
    // A machine that has so much memory runs it.
    let table = alone("table", "(table 4294967295 funcref)", "");
    let outcome = finish(
        threadwork()
            .args(["explore", "--schedules", "1"])
            .arg(&table),
    );
    assert!(!outcome.stderr.contains("trapped"), "{outcome:#?}");
}

#[test]
fn what_is_missing_or_wrong_is_told_by_its_option() {
    let program = program("told", WRONG);
    let program = program.to_str().expect("the folder has a name");
    let schedule = scratch().join("explore-told.schedule");
    let schedule = schedule.to_str().expect("the folder has a name");
    let gone = scratch().join("explore-gone");
    let gone = gone.to_str().expect("the folder has a name");
    let below = format!("{gone}/file");
    let binary = scratch().join("explore-binary.wasm");
    fs::write(&binary, [0xff; 64]).expect("the scratch folder is writable");
    let binary = binary.to_str().expect("the folder has a name");
    finish(threadwork().args(["explore", "-o", schedule, program])).expect_code(1);
    let told = |args: &[&str], code, part: &str| {
        let outcome = finish(threadwork().args(args)).expect_code(code);
        drop(outcome.expect_stderr(&[part]));
    };
    told(
        &["explore", "--steps", "0", program],
        125,
        "for --steps <N>: an execution without steps",
    );
    told(
        &["explore", "--stdin", gone, program],
        125,
        "the file of --stdin, ",
    );
    told(
        &["explore", "--expect", gone, program],
        125,
        "the file of --expect, ",
    );
    told(
        &["explore", "-o", &below, program],
        125,
        "the folder of --output, ",
    );
    told(
        &["explore", binary],
        125,
        "not a WebAssembly binary: it does not begin",
    );
    told(&["replay", gone], 125, "cannot read the replay file, ");
    told(&["replay", "."], 125, "the replay file, ., is a directory");
    let text = fs::read_to_string(schedule).expect("it was written");
    for (line, wrong) in [
        ("strategy", "strategy none of them"),
        ("failure", "failure of a kind"),
    ] {
        let change = |old: &str| match old.split(' ').next() == Some(line) {
            true => wrong.to_owned(),
            false => old.to_owned(),
        };
        let lines: Vec<String> = text.lines().map(change).collect();
        fs::write(schedule, lines.join("\n")).expect("it is writable");
        told(
            &["replay", schedule],
            125,
            &format!("the line `{wrong}` is wrong"),
        );
    }
    fs::write(schedule, text).expect("it is writable");
    fs::remove_file(program).expect("it was written");
    told(
        &["replay", schedule],
        125,
        "say where it is with --program FILE",
    );
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
        .expect_stderr(&["1 test explored, 0 failed"]);
}
