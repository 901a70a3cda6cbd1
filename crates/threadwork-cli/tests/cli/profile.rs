//! `threadwork profile`, and `threadwork run --profile`: the program runs as ever, and what
//! its threads did is told, however it ends.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Running, file, finish, run_guest, temporary_folder, text_guest, threadwork};

const FILES: [&str; 5] = [
    "cpu.firefox.json",
    "cpu.folded",
    "summary.txt",
    "timeline.perfetto-trace",
    "waits.folded",
];

#[test]
fn the_program_runs_as_ever_and_its_profile_is_printed() {
    let folder = temporary_folder();
    let out = folder.path().join("out");
    let hello = text_guest("hello-threads.wat");
    let mut command = threadwork();
    command.args(["profile", "--profile"]).arg(&out).arg(&hello);
    let outcome = finish(&mut command).expect_code(0);
    let plain = finish(threadwork().arg("run").arg(&hello));
    assert_eq!(outcome.stdout, plain.stdout);
    let outcome = outcome.expect_stderr(&["threadwork: profile of hello-threads.wat"]);
    let outcome =
        outcome.expect_stderr(&["alive", "computing", "hovering", "asleep", "host calls"]);
    // What is printed is what is written.
    let summary = fs::read_to_string(out.join("summary.txt")).unwrap();
    assert!(
        outcome.stderr.contains(summary.trim_end()),
        "{outcome:#?}\n{summary}"
    );
    let mut names: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, FILES);
}

#[test]
fn the_exit_code_is_the_programs() {
    let folder = temporary_folder();
    let out = folder.path().to_str().unwrap();
    let outcome = finish(&mut run_guest(&["--profile", out], &["exit", "7"])).expect_code(7);
    assert_eq!(outcome.stderr, "");
    let summary = fs::read_to_string(folder.path().join("summary.txt")).unwrap();
    assert!(summary.starts_with("profile of "), "{summary}");
}

/// Says that it is ready, and never ends.
const FOREVER: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write"
      (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "ready\n")
    (func $spins (loop (br 0)))
    (func (export "_start")
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (call $spins)))"#;

/// A limit of time, and the signals that end programs.
#[test]
fn a_program_that_is_ended_has_a_profile() {
    let folder = temporary_folder();
    let forever = file(folder.path(), "forever.wat", FOREVER);
    let start = |options: &[&str]| {
        let mut command = threadwork();
        command.arg("profile").args(options).arg(&forever);
        Running::start(&mut command)
    };
    let outcome = start(&["--max-cpu", "100ms"]).finish().expect_code(152);
    outcome.expect_stderr(&["%", "spins"]);
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = start(&[]);
        running.wait_until_ready();
        let id = running.child.id();
        // The main thread has nothing left to do but to wait.
        let stat = || fs::read_to_string(format!("/proc/{id}/task/{id}/stat")).unwrap();
        while !stat().contains(") S ") {
            thread::sleep(Duration::from_millis(1));
        }
        kill_process(Pid::from_child(&running.child), signal).unwrap();
        let outcome = running.finish().expect_code(130);
        outcome.expect_stderr(&["threadwork: profile of forever.wat"]);
    }
}

#[test]
fn what_cannot_be_written_is_one_clear_line() {
    let folder = temporary_folder();
    let taken = file(folder.path(), "taken", "");
    let out = taken.to_str().unwrap();
    // Nothing of the program has run.
    let outcome = finish(&mut run_guest(&["--profile", out], &["args"])).expect_code(125);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.lines().count()),
        ("", 1)
    );
    outcome.expect_stderr(&["error: the profile is lost: cannot write", "taken"]);
    // A disk that is full.
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    std::os::unix::fs::symlink("/dev/full", out.join("summary.txt")).unwrap();
    let options = ["--profile", out.to_str().unwrap()];
    let outcome = finish(&mut run_guest(&options, &["exit", "0"])).expect_code(125);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    outcome.expect_stderr(&[
        "the profile is lost: cannot write",
        "summary.txt",
        "No space left",
    ]);
}

#[test]
fn node_makes_no_profiles() {
    let guest = text_guest("single.wat");
    for arguments in [
        ["profile", "--host", "node"].as_slice(),
        &["run", "--host", "node", "--profile", "out"],
        &["run", "--host", "node", "--perf-map"],
    ] {
        let outcome = finish(threadwork().args(arguments).arg(&guest)).expect_code(125);
        outcome.expect_stderr(&["--host node makes no profiles"]);
    }
}

#[test]
fn perf_finds_the_names_of_functions() {
    let folder = temporary_folder();
    let named = r#"(module (func $seen_by_perf (export "_start")))"#;
    let named = file(folder.path(), "named.wat", named);
    let mut command = threadwork();
    command.args(["run", "--perf-map"]).arg(&named);
    let running = Running::start(&mut command);
    let map = format!("/tmp/perf-{}.map", running.child.id());
    running.finish().expect_code(0);
    let text = fs::read_to_string(&map).unwrap();
    fs::remove_file(map).unwrap();
    assert!(
        text.lines().any(|line| line.ends_with(" seen_by_perf")),
        "{text}"
    );
}
