//! Each limit: how it shows to the program, and how it ends one that cannot cope.

use std::io::Write;
use std::time::Duration;

use crate::support::{file, finish, run_guest, slow_module, temporary_folder, text, threadwork};

#[test]
fn threads() {
    let outcome = finish(&mut run_guest(&["--threads", "3"], &["spawn", "3"])).expect_code(0);
    assert_eq!(outcome.stderr, "");
    finish(&mut run_guest(&["--threads", "2"], &["spawn", "3"]))
        .expect_code(121)
        .expect_stderr(&["threadwork: ", "limit of 2 threads"])
        .expect_stderr(&["threadwork: ", "--threads"]);
}

#[test]
fn program_may_cope_with_few_threads() {
    let outcome = finish(&mut run_guest(&["--threads", "4"], &["count-spawns"])).expect_code(0);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("4\n", "")
    );
}

#[test]
fn memory() {
    finish(&mut run_guest(&["--max-memory", "32M"], &["allocate", "8"])).expect_code(0);
    finish(&mut run_guest(
        &["--max-memory", "32M"],
        &["allocate", "64"],
    ))
    .expect_code(137)
    .expect_stderr(&["threadwork: ", "limit of 33554432 bytes"])
    .expect_stderr(&["threadwork: ", "--max-memory"]);
}

#[test]
fn memory_that_a_program_needs_at_start() {
    finish(&mut run_guest(&["--max-memory", "64KiB"], &["exit", "0"]))
        .expect_code(125)
        .expect_stderr(&["threadwork: error: ", "memory"]);
}

/// The last word of a limit of time is given up where nobody reads what was said before it.
#[test]
fn time_is_over_though_nobody_reads_the_report() {
    let (reader, writer) = full_pipe();
    let mut command = run_guest(&["--timeout", "300ms"], &["spin"]);
    let outcome = finish(command.stderr(writer)).expect_code(124);
    assert!(outcome.took < Duration::from_secs(30), "{outcome:?}");
    drop(reader);
}

/// Nor the results of a call.
#[test]
fn time_is_over_though_nobody_reads_the_results() {
    let folder = temporary_folder();
    let module = r#"(module (memory 1 1 shared) (func (export "f") (param i32) (result i32)
        (local.get 0)))"#;
    let program = file(folder.path(), "f.wat", module);
    let mut command = threadwork();
    command.args(["run", "--timeout", "300ms", "--invoke", "f"]);
    let (reader, writer) = full_pipe();
    let outcome = finish(command.arg(&program).arg("7").stdout(writer)).expect_code(124);
    assert!(outcome.took < Duration::from_secs(30), "{outcome:?}");
    drop(reader);
}

/// A pipe without room for anything.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("there are pipes");
    rustix::io::ioctl_fionbio(&writer, true).expect("it is a pipe");
    while writer.write(&[0; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("it is a pipe");
    (reader, writer)
}

/// The kernel's log is a regular file whose end waits for more.
#[test]
fn time_is_over_while_a_file_waits() {
    let Ok(log) = std::fs::File::open("/proc/kmsg") else {
        println!("skipped: only root may read /proc/kmsg");
        return;
    };
    let mut command = run_guest(&["--timeout", "1s"], &["stdin-when-ready"]);
    let outcome = finish(command.stdin(log));
    let outcome = outcome.expect_code(124);
    assert!(outcome.took < Duration::from_secs(30), "{outcome:?}");
}

#[test]
fn wall_clock_time() {
    for program in ["spin", "sleep", "wait"] {
        let outcome = finish(&mut run_guest(&["--timeout", "300ms"], &[program]))
            .expect_code(124)
            .expect_stderr(&["threadwork: ", "limit of 300ms"])
            .expect_stderr(&["threadwork: ", "--timeout"]);
        assert!(outcome.took < Duration::from_secs(10), "{outcome:?}");
    }
    finish(&mut run_guest(&["--timeout", "1h"], &["exit", "4"])).expect_code(4);
}

/// What cannot be had at the start is no trap, whoever refuses it.
#[test]
fn memory_that_the_system_has_not_at_start() {
    let folder = temporary_folder();
    let large = "(module (memory 60000) (memory 60000) (func (export \"_start\")))";
    let large = file(folder.path(), "large.wat", large);
    let binary = env!("CARGO_BIN_EXE_threadwork");
    let line = format!(
        "ulimit -v 4000000; exec {binary} run --no-cache {}",
        text(&large)
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &line]);
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let outcome = finish(&mut command).expect_code(125);
    let outcome = outcome.expect_stderr(&["threadwork: error: cannot run", "large.wat"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

/// The module would take minutes, and gigabytes.
#[test]
fn time_to_compile() {
    let folder = temporary_folder();
    let slow = file(folder.path(), "slow.wat", slow_module());
    for more in [&[][..], &["--timeout", "1h"]] {
        let mut command = threadwork();
        command.args(["run", "--no-cache", "--max-compile", "500ms"]);
        let outcome = finish(command.args(more).arg(&slow))
            .expect_code(124)
            .expect_stderr(&["cannot run", "takes longer than 500ms", "--max-compile"]);
        assert!(outcome.took < Duration::from_secs(20), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

/// Longer than a timer of JavaScript, and longer than anybody lives.
#[test]
fn a_time_limit_may_be_long() {
    for host in ["engine", "node"] {
        for time in ["30d", "213503d"] {
            let options = ["--host", host, "--timeout", time, "--max-cpu", time];
            let outcome = finish(&mut run_guest(&options, &["spawn", "1"])).expect_code(0);
            assert_eq!(outcome.stderr, "");
        }
    }
}

/// The limit of the system on the size of files, of which the system tells by a signal
/// that would end the command.
#[test]
#[cfg(target_os = "linux")]
fn size_of_files() {
    let folder = temporary_folder();
    let dir = format!("{}::/", text(folder.path()));
    let limited = |options: &[&str], args: &[&str]| {
        let run = run_guest(options, args);
        let mut command = std::process::Command::new("bash");
        command.args(["-c", "ulimit -f 4; exec \"$0\" \"$@\""]);
        command.arg(run.get_program()).args(run.get_args());
        command.env("THREADWORK_CACHE_DIR", folder.path().join("cache"));
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        command
    };
    // What is compiled does not fit into the cache, and nobody needs to know.
    let outcome = finish(&mut limited(&[], &["exit", "5"])).expect_code(5);
    assert_eq!(outcome.stderr, "");
    let args = ["write-until-refused", "/file"];
    let outcome = finish(&mut limited(&["--dir", &dir], &args)).expect_code(0);
    assert_eq!(outcome.stdout, "Some(FileTooLarge)\n");
    let stdout = std::fs::File::create(folder.path().join("stdout")).expect("writable");
    finish(limited(&[], &["print"]).stdout(stdout))
        .expect_code(134)
        .expect_stderr(&["failed printing to stdout"]);
}

#[test]
#[cfg(target_os = "linux")]
fn cpu_time() {
    finish(&mut run_guest(&["--max-cpu", "300ms"], &["spin"]))
        .expect_code(152)
        .expect_stderr(&["threadwork: ", "limit of 300ms"])
        .expect_stderr(&["threadwork: ", "--max-cpu"]);
}

#[test]
#[cfg(target_os = "linux")]
fn sleeping_costs_no_cpu_time() {
    let options = ["--max-cpu", "1h", "--timeout", "300ms"];
    finish(&mut run_guest(&options, &["sleep"])).expect_code(124);
}

#[test]
fn open_files() {
    let folder = temporary_folder();
    file(folder.path(), "a.txt", "");
    let dir = format!("{}::/", text(folder.path()));
    let run = |most, wanted| {
        let options = ["--dir", &dir, "--max-open-files", most];
        finish(&mut run_guest(&options, &["open", "/a.txt", wanted]))
    };
    assert_eq!(run("5", "5").expect_code(0).stdout, "5 files\n");
    run("5", "6")
        .expect_code(122)
        .expect_stderr(&["threadwork: ", "limit of 5 open files"])
        .expect_stderr(&["threadwork: ", "--max-open-files"]);
}

#[test]
fn bytes_written_to_files() {
    let folder = temporary_folder();
    let program = file(
        folder.path(),
        "fill.wat",
        r#"(module
             (import "wasi_snapshot_preview1" "path_open" (func $open
               (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
             (import "wasi_snapshot_preview1" "fd_write"
               (func $write (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (data (i32.const 0) "f") (data (i32.const 8) "\00\10\00\00\00\10\00\00")
             (func (export "_start") (local $n i32)
               (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1)
                   (i32.const 1) (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.const 16))
                 (then unreachable))
               (loop
                 (if (call $write (i32.load (i32.const 16)) (i32.const 8) (i32.const 1)
                     (i32.const 20))
                   (then unreachable))
                 (local.set $n (i32.add (local.get $n) (i32.const 1)))
                 (br_if 0 (i32.lt_u (local.get $n) (i32.const 3))))))"#,
    );
    let dir = format!("{}::/", text(folder.path()));
    let run = |most| {
        let options = ["run", "--dir", &dir, "--max-file-bytes", most];
        finish(threadwork().args(options).arg(&program))
    };
    run("12KiB").expect_code(0);
    run("8KiB")
        .expect_code(153)
        .expect_stderr(&["threadwork: ", "limit of 8192 bytes written to files"])
        .expect_stderr(&["threadwork: ", "--max-file-bytes"]);
}
