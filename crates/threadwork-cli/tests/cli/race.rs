//! `threadwork race`: what it says, and what it exits with.

use std::path::PathBuf;

use crate::support::{Outcome, file, finish, temporary_folder, text_guest, threadwork};

/// Two threads that count without a lock, if it is so, and then end.
fn counting(lock: bool) -> String {
    let (before, after) = match lock {
        true => (
            "(loop (br_if 0 (i32.atomic.rmw.cmpxchg (i32.const 32) (i32.const 0) (i32.const 1))))",
            "(i32.atomic.store (i32.const 32) (i32.const 0))",
        ),
        false => ("", ""),
    };
    format!(
        r#"(module
          (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (import "env" "memory" (memory 1 1 shared))
          (func $count
            {before}
            (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
            {after})
          (func (export "wasi_thread_start") (param i32 i32)
            (call $count)
            (i32.atomic.store (i32.const 0) (i32.const 1))
            (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
          (func $main (export "_start")
            (drop (call $spawn (i32.const 0)))
            (call $count)
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
            (call $exit (i32.const 7))))"#
    )
}

fn race(options: &[&str], program: &PathBuf) -> Outcome {
    finish(threadwork().arg("race").args(options).arg(program))
}

#[test]
fn a_race_is_reported_with_both_stacks_and_a_code_of_its_own() {
    let folder = temporary_folder();
    let program = file(folder.path(), "counting.wat", counting(false));
    race(&[], &program)
        .expect_code(119)
        .expect_stderr(&["data race", "0x40"])
        .expect_stderr(&["has ", "4 bytes:"])
        .expect_stderr(&["count @ 0x"])
        .expect_stderr(&["thread 1 was started by the main thread"])
        .expect_stderr(&["what to do: "])
        .expect_stderr(&["report"]);
}

#[test]
fn without_a_race_the_code_is_the_programs() {
    let folder = temporary_folder();
    let program = file(folder.path(), "counting.wat", counting(true));
    let outcome = race(&[], &program).expect_code(7);
    assert_eq!(outcome.stderr, "");
    race(&[], &text_guest("hello-threads")).expect_code(0);
}

#[test]
fn what_is_suppressed_is_not_reported() {
    let folder = temporary_folder();
    let program = file(folder.path(), "counting.wat", counting(false));
    let list = file(folder.path(), "known.txt", "# since March\nrace: count\n");
    race(&["--suppressions", list.to_str().unwrap()], &program).expect_code(7);
    let others = file(folder.path(), "others.txt", "race: nobody\n");
    race(&["--suppressions", others.to_str().unwrap()], &program).expect_code(119);
}

#[test]
fn bad_input_gets_one_line() {
    let folder = temporary_folder();
    let program = file(folder.path(), "counting.wat", counting(false));
    let list = file(folder.path(), "bad.txt", "race: a\nnothing\n");
    let one_line = |outcome: Outcome, parts: &[&str]| {
        let outcome = outcome.expect_code(125).expect_stderr(parts);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    };
    let bad = race(&["--suppressions", list.to_str().unwrap()], &program);
    one_line(bad, &["bad.txt", "line 2", "nothing", "race:"]);
    let missing = race(&["--suppressions", "no-such.txt"], &program);
    one_line(missing, &["--suppressions no-such.txt", "No such file"]);
    let endless = race(&["--suppressions", "/dev/zero"], &program);
    one_line(endless, &["--suppressions /dev/zero", "16 MiB"]);
    let binary = file(folder.path(), "binary", [0xff, 0xfe, 0]);
    let binary = race(&["--suppressions", binary.to_str().unwrap()], &program);
    one_line(binary, &["--suppressions", "no text"]);
    one_line(race(&["--invoke", "f"], &program), &["--invoke"]);
    one_line(race(&["--perf-map"], &program), &["--perf-map"]);
    let profile = folder.path().join("profile");
    let options = ["--profile", profile.to_str().unwrap()];
    one_line(race(&options, &program), &["--profile"]);
    assert!(!profile.exists());
    one_line(race(&[], &"no-such.wasm".into()), &["no-such.wasm"]);
}

#[test]
fn help_has_only_what_holds() {
    for (name, refused, holds) in [
        (
            "race",
            &[
                "--host <",
                "--invoke",
                "--workers",
                "--allow-precompiled",
                "--profile",
                "--perf-map",
            ][..],
            "--suppressions",
        ),
        (
            "profile",
            &["--host <", "--invoke", "--workers"],
            "--profile",
        ),
        ("run", &[], "--invoke"),
    ] {
        let help = finish(threadwork().args([name, "--help"])).expect_code(0);
        let help = help.stdout;
        assert!(help.contains(holds), "{help}");
        for option in refused {
            assert!(!help.contains(option), "{option}: {help}");
        }
    }
}

#[test]
fn memory_that_was_refused_is_not_looked_at() {
    let folder = temporary_folder();
    // It may not grow, and then there are no such bytes.
    let grow = r#"(module
        (memory (export "memory") 1 65536 shared)
        (func (export "_start")
          (drop (memory.grow (i32.const 65535)))
          (memory.fill (i32.const 0) (i32.const 7) (i32.const 0xfffffff0))))"#;
    let grow = file(folder.path(), "grow.wat", grow);
    race(&["--max-memory", "64M"], &grow)
        .expect_code(137)
        .expect_stderr(&["the limit of 67108864 bytes of memory was reached"]);
}

#[test]
fn a_module_without_names_is_told_so_before_its_reports() {
    let folder = temporary_folder();
    let text = nameless(counting(true));
    let program = file(folder.path(), "nameless.wat", text);
    race(&[], &program)
        .expect_code(7)
        .expect_stderr(&["no names", "without stripping"]);
    let program = file(folder.path(), "racy.wat", nameless(counting(false)));
    let outcome = race(&[], &program).expect_code(119);
    let first = outcome.stderr.lines().next().unwrap();
    assert!(first.contains("no names"), "{outcome:?}");
}

fn nameless(text: String) -> String {
    text.replace("call $count", "call 2")
        .replace("(func $count", "(func")
        .replace("(func $main", "(func")
        .replace("(call $spawn", "(call 0")
        .replace("(call $exit", "(call 1")
        .replace("(func $spawn", "(func")
        .replace("(func $exit", "(func")
}
