//! Programs that know nothing of Threadwork: Rust's `std`, `rayon`, `crossbeam`, C.

use crate::support::{
    Watch, engine, guest, guest_target, native_examples, output, read_line, repository, scrubbed,
    start,
};
use std::io::{Read, Write};
use std::path::Path;
use threadwork_engine::{Limits, Module, Output, ProcessBuilder, Stdin};

/// Runs a guest that prints `ok <name>`.
#[track_caller]
fn is_ok(name: &str, arguments: &[&str]) -> crate::support::Finished {
    let done = output(ProcessBuilder::new(&guest(name)).args(arguments.iter().copied()));
    done.expect_line(&format!("ok {name}"));
    done
}

#[test]
fn std_sync() {
    is_ok("std-sync", &[]);
}

#[test]
fn thread_locals_with_destructors() {
    is_ok("tls-destructors", &[]);
}

#[test]
fn rayon() {
    let done = is_ok("rayon-mix", &[]);
    done.expect_line(&format!("current_num_threads={}", engine().parallelism()));
}

#[test]
fn crossbeam() {
    is_ok("crossbeam-mix", &[]);
}

#[test]
fn hello() {
    let builder = ProcessBuilder::new(&guest("hello"))
        .arg0("me")
        .arg("an argument");
    let done = output(builder.env("A", "1").env("B", "two").env("A", "one"));
    for line in [
        "hello from main",
        "hello from a thread",
        "arg 0: me",
        "arg 1: an argument",
        "env A=one",
        "env B=two",
        "ok hello",
    ] {
        done.expect_line(line);
    }
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let builder = ProcessBuilder::new(&guest("files")).arg("/data");
    output(builder.preopen_dir(folder.path(), "/data")).expect_line("ok files");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn stdio() {
    let builder = ProcessBuilder::new(&guest("stdio")).stdin(Stdin::Pipe);
    let process = start(builder.stdout(Output::Pipe).stderr(Output::Buffer));
    let mut stdout = process.take_stdout().unwrap();
    let mut stdin = process.take_stdin().unwrap();
    stdin.write_all(b"first\n").unwrap();
    // The other thread goes on while one waits for more input.
    for tick in 1..=10 {
        assert_eq!(read_line(&mut stdout), format!("tick {tick}\n"));
    }
    stdin.write_all(b"second\n").unwrap();
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(process.wait().success());
    assert!(
        rest.ends_with("echo first\necho second\nlines=2 bytes=13\nok stdio\n"),
        "{rest}"
    );
    assert_eq!(process.stderr_buffer(), b"2 lines on stderr\n");
}

#[test]
fn memory_grows_for_all_threads() {
    let done = is_ok("grow", &["64"]);
    done.expect_line("total 64 refused no");
}

/// A tenth; `flat` has more.
#[test]
fn churn_leaves_the_memory_flat() {
    is_ok("churn", &["10"]);
}

#[test]
fn spawn_until_fail() {
    let builder = ProcessBuilder::new(&guest("spawn-until-fail")).arg("100");
    let done = output(builder.limits(Limits::default().threads(100)));
    done.expect_line("spawned 100 error none");
}

// ---- The examples ----

/// The answer in the last line: `result: <answer> seconds: <s> threads: <n>`.
#[track_caller]
fn answer(stdout: &str) -> String {
    let last = stdout.lines().last().unwrap_or_default();
    let answer = last
        .strip_prefix("result: ")
        .and_then(|rest| rest.split_once(' '));
    answer
        .unwrap_or_else(|| panic!("no answer in {stdout}"))
        .0
        .to_owned()
}

/// The answer of the native program, and of the guest on 1, 2 and 5 threads.
#[track_caller]
fn answers_are_equal(name: &str, size: &str) {
    let folder = tempfile::tempdir().unwrap();
    let native = scrubbed(native_examples().join(name).to_str().unwrap())
        .current_dir(folder.path())
        .args(["--threads", "2", "--size", size])
        .output()
        .unwrap();
    let expected = answer(&String::from_utf8(native.stdout).unwrap());
    for threads in ["1", "2", "5"] {
        let builder = ProcessBuilder::new(&guest(name)).preopen_dir(folder.path(), ".");
        let done = output(builder.args(["--threads", threads, "--size", size]));
        assert!(done.status.success(), "{}", done.status);
        assert_eq!(
            answer(&done.stdout),
            expected,
            "{name} on {threads} threads"
        );
    }
}

#[test]
fn pi() {
    answers_are_equal("pi", "3000000");
}

#[test]
fn merge_sort() {
    answers_are_equal("merge-sort", "300000");
}

#[test]
fn pipeline() {
    answers_are_equal("pipeline", "3000");
}

#[test]
fn mandelbrot() {
    answers_are_equal("mandelbrot", "200");
}

// ---- C ----

#[test]
fn c_with_pthreads() {
    let _watch = Watch::with(std::time::Duration::from_secs(300));
    let folder = guest_target().join("c");
    let built = scrubbed("sh")
        .arg(repository().join("guests/c/build.sh"))
        .arg(&folder)
        .output()
        .unwrap();
    if !built.status.success() {
        let reason = String::from_utf8_lossy(&built.stderr).into_owned();
        // In CI a test that does not run is one that fails.
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        assert!(reason.contains("build.sh: missing: "), "{reason}");
        // Not `eprintln`, which the harness keeps to itself.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED c_with_pthreads: {}",
            reason.trim()
        );
        return;
    }
    let load = |name: &str| Module::from_file(engine(), Path::new(&folder).join(name)).unwrap();
    let done = output(ProcessBuilder::new(&load("hello.wasm")));
    done.expect_line("hello from a thread");
    done.expect_line("ok hello-c");
    output(ProcessBuilder::new(&load("pthreads.wasm"))).expect_line("ok pthreads");
}
