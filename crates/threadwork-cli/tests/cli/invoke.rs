//! `--invoke` and `--workers`: exported functions of any module with a shared memory.

use std::path::PathBuf;

use crate::support::{Outcome, Running, file, finish, temporary_folder, text_guest, threadwork};

const MODULE: &str = r#"(module
    (memory 1 2 shared)
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "mix") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
      (local.get 3) (local.get 2) (local.get 1) (local.get 0))
    (func (export "none"))
    (func $divide (export "divide") (param i32 i32) (result i32)
      (i32.div_s (local.get 0) (local.get 1)))
    (func (export "square") (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
    (func (export "wait") (param i32)
      (drop (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1))))
    (func (export "spin") (loop (br 0)))
    (func (export "fail_on_two") (param i32) (result i32)
      (if (i32.eq (local.get 0) (i32.const 2)) (then unreachable))
      (local.get 0))
    (func (export "grow") (if (i32.lt_s (memory.grow (i32.const 1)) (i32.const 0))
      (then unreachable)))
    (func (export "refer") (param funcref)))"#;

/// The module in a file of its own; the folder goes away with the first.
fn module(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = temporary_folder();
    let path = file(folder.path(), "module.wat", text);
    (folder, path)
}

#[track_caller]
fn invoke(options: &[&str], args: &[&str]) -> Outcome {
    let (_folder, path) = module(MODULE);
    finish(threadwork().arg("run").args(options).arg(path).args(args))
}

#[test]
fn arguments_go_in_and_results_come_out() {
    let outcome = invoke(&["--invoke", "add"], &["40", "2"]).expect_code(0);
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("42\n", ""));
    let outcome = invoke(&["--invoke", "add"], &["-5", "0xffffffff"]).expect_code(0);
    assert_eq!(outcome.stdout, "-6\n");
    let outcome = invoke(&["--invoke", "mix"], &["7", "1099511627776", "1.5", "-2.5"]);
    assert_eq!(outcome.expect_code(0).stdout, "-2.5 1.5 1099511627776 7\n");
    assert_eq!(
        invoke(&["--invoke", "none"], &[]).expect_code(0).stdout,
        "\n"
    );
}

#[test]
fn each_worker_gets_its_number() {
    let outcome = invoke(&["--invoke", "square", "--workers", "5"], &[]).expect_code(0);
    assert_eq!(outcome.stdout, "0\n1\n4\n9\n16\n");
    let outcome = invoke(&["--invoke", "add", "--workers", "3"], &["10"]).expect_code(0);
    assert_eq!(outcome.stdout, "10\n11\n12\n");
}

#[test]
fn workers_meet_at_a_barrier_by_hand() {
    let primes = text_guest("primes");
    for workers in ["1", "2", "4", "20"] {
        let options = ["run", "--invoke", "count", "--workers", workers];
        let outcome = finish(
            threadwork()
                .args(options)
                .arg(&primes)
                .args([workers, "100000"]),
        );
        let lines: Vec<_> = outcome
            .expect_code(0)
            .stdout
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(lines.len().to_string(), workers);
        assert!(lines.iter().all(|line| line == "9592"), "{lines:?}");
    }
    let once = threadwork()
        .args(["run", "--invoke", "count"])
        .arg(&primes)
        .args(["0", "1", "1000"])
        .output();
    assert_eq!(once.unwrap().stdout, b"168\n");
}

#[test]
fn traps_limits_and_deadlocks_end_as_they_do_for_programs() {
    invoke(&["--invoke", "divide"], &["1", "0"])
        .expect_code(134)
        .expect_stderr(&["threadwork: thread 1 trapped", "divide by zero"])
        .expect_stderr(&["divide"]);
    let outcome = invoke(&["--invoke", "fail_on_two", "--workers", "4"], &[]).expect_code(134);
    assert_eq!(outcome.stdout, "0\n1\n");
    invoke(&["--invoke", "wait", "--workers", "2"], &[])
        .expect_code(120)
        .expect_stderr(&["deadlock: all 2 threads wait"])
        .expect_stderr(&["thread 2 waits at address 0x8"]);
    invoke(&["--invoke", "spin", "--timeout", "100ms"], &[])
        .expect_code(124)
        .expect_stderr(&["--timeout"]);
    invoke(&["--invoke", "spin", "--max-cpu", "100ms"], &[]).expect_code(152);
    invoke(&["--invoke", "grow", "--max-memory", "64KiB"], &[])
        .expect_code(137)
        .expect_stderr(&["--max-memory"]);
    let start = r#"(module (memory 1 1 shared) (func $f unreachable) (start $f)
        (func (export "g")))"#;
    let (_folder, path) = module(start);
    finish(threadwork().args(["run", "--invoke", "g"]).arg(path))
        .expect_code(134)
        .expect_stderr(&["the main thread trapped"]);
}

#[test]
#[cfg(unix)]
fn interrupt_ends_it() {
    let spin = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
          (func $write (param i32 i32 i32 i32) (result i32)))
        (memory 1 1 shared)
        (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "ready\n")
        (func (export "spin")
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (loop (br 0))))"#;
    let (_folder, path) = module(spin);
    let mut command = threadwork();
    let mut running = Running::start(command.args(["run", "--invoke", "spin"]).arg(path));
    running.wait_until_ready();
    let id = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("the child is alive");
    assert_eq!(running.finish().expect_code(130).stderr, "");
}

#[test]
fn a_library_that_speaks_wasi_prints_and_sees_its_files() {
    let hello = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
          (func $write (param i32 i32 i32 i32) (result i32)))
        (memory 1 1 shared)
        (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "hello\n")
        (func (export "hello") (result i32)
          (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"#;
    let (folder, path) = module(hello);
    let folder = folder.path().to_str().expect("paths of tests are UTF-8");
    let options = ["run", "--dir", folder, "--stats", "--invoke", "hello"];
    let outcome = finish(threadwork().args(options).arg(path)).expect_code(0);
    assert_eq!(outcome.stdout, "hello\n0\n");
    outcome.expect_stderr(&["threads", "started"]);
}

#[test]
fn what_cannot_be_called_is_refused_in_one_line() {
    for (options, args, parts) in [
        (
            &["--invoke", "sub"][..],
            &[][..],
            &["no function `sub`", "add"][..],
        ),
        (
            &["--invoke", "add"],
            &["1"],
            &["`add` takes 2 arguments (i32 i32), not 1"],
        ),
        (&["--invoke", "add"], &["1", "two"], &["'two' is no i32"]),
        (&["--invoke", "add"], &["1", "4294967296"], &["is no i32"]),
        (
            &["--invoke", "refer"],
            &["0"],
            &["`refer` takes or returns references"],
        ),
        (
            &["--invoke", "none", "--workers", "2"],
            &[],
            &["worker's number first"],
        ),
        (
            &["--invoke", "add", "--workers", "4", "--threads", "3"],
            &["1"],
            &["--threads 3", "--workers 4"],
        ),
        (
            &["--invoke", "add", "--workers", "0"],
            &["1"],
            &["--workers", "zero"],
        ),
    ] {
        let outcome = invoke(options, args).expect_code(125);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        assert_eq!(outcome.stdout, "");
        outcome.expect_stderr(parts);
    }
    let (_folder, path) = module(r#"(module (memory 1) (func (export "f")))"#);
    finish(threadwork().args(["run", "--invoke", "f"]).arg(path))
        .expect_code(125)
        .expect_stderr(&["no shared memory"]);
    invoke(&["--workers", "2"], &[]).expect_code(2);
}
