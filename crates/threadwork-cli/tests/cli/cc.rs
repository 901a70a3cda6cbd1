//! `threadwork cc`, `threadwork c++`: what they make runs on both hosts; and `threadwork new`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{file, finish, fixtures, temporary_folder, threadwork};

/// Compiles `source`, one of the fixtures, and returns the program's file.
fn compiled(folder: &Path, command: &str, source: &str) -> PathBuf {
    let program = folder.join("program.wasm");
    let mut cc = threadwork();
    cc.args([command, "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
    finish(cc.arg(&program).arg(fixtures().join(source))).expect_code(0);
    program
}

/// Runs a program on both hosts, and returns what it prints there.
fn on_both_hosts(program: &Path) -> [String; 2] {
    ["engine", "node"].map(|host| {
        let mut run = threadwork();
        run.args(["run", "--threads", "5", "--host", host]);
        finish(run.arg(program)).expect_code(0).stdout
    })
}

#[test]
fn c_with_threads_and_signals_runs_on_both_hosts() {
    let folder = temporary_folder();
    let program = compiled(folder.path(), "cc", "threads.c");
    for printed in on_both_hosts(&program) {
        assert!(
            printed.starts_with("40000 by threads, signal 10, cores "),
            "{printed}"
        );
        assert!(!printed.contains("cores 0"), "{printed}");
    }
}

/// The C++ library is compiled first, for a minute or two.
#[test]
fn cpp_with_threads_runs_on_both_hosts() {
    if env::var_os("THREADWORK_FULL").is_none() {
        return;
    }
    let folder = temporary_folder();
    let program = compiled(folder.path(), "c++", "threads.cpp");
    for printed in on_both_hosts(&program) {
        assert_eq!(printed, "mutex 40000, condvar 1, async 42, local 0\n");
    }
}

#[test]
fn options_are_those_of_clang() {
    let folder = temporary_folder();
    let source = file(
        folder.path(),
        "wrong.c",
        "int main(void) { return nothing; }",
    );
    finish(threadwork().args(["cc", "-v", "-c"]).arg(source))
        .expect_code(1)
        .expect_stderr(&["use of undeclared identifier 'nothing'"]);
    let version = finish(threadwork().args(["cc", "--version"])).expect_code(0);
    assert!(
        version.stdout.contains("wasm32-unknown-wasip1-threads"),
        "{version:#?}"
    );
}

#[test]
fn nothing_to_compile_is_one_line_and_no_program() {
    let folder = temporary_folder();
    for args in [
        &["cc"][..],
        &["c++"],
        &["cc", "-O2"],
        &["cc", "-o", "app.wasm"],
    ] {
        let outcome = finish(threadwork().args(args).current_dir(folder.path())).expect_code(1);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        outcome.expect_stderr(&["no input files: threadwork c"]);
    }
    finish(threadwork().args(["cc", "-v"]).current_dir(folder.path())).expect_code(0);
    let mut made = fs::read_dir(folder.path()).expect("the folder is there");
    assert!(made.next().is_none());
}

#[test]
fn missing_zig_is_one_line() {
    for zig in ["", "no-such-zig", "false"] {
        let outcome =
            finish(threadwork().args(["cc", "-c", "a.c"]).env("ZIG", zig)).expect_code(125);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        outcome.expect_stderr(&["python3 -m pip install ziglang"]);
    }
}

#[test]
fn new_program_runs_and_tests_itself() {
    // Below this workspace Cargo would make it a member.
    let folder = tempfile::tempdir().expect("a folder can be created");
    finish(
        threadwork()
            .arg("new")
            .arg("primes")
            .current_dir(folder.path()),
    )
    .expect_code(0);
    let program = Path::new(env!("CARGO_BIN_EXE_threadwork"));
    let path = env::var("PATH").expect("there is a PATH");
    let path = format!("{}:{path}", program.parent().expect("a folder").display());
    for (command, prints) in [
        ("run", "148933 primes below 2000000"),
        ("test", "1 passed"),
        ("clippy", ""),
    ] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([command, "--release", "--offline"]);
        cargo.current_dir(folder.path().join("primes"));
        // What Cargo has set for this test is not the new program's.
        cargo.env_remove("CARGO_TARGET_DIR").env("PATH", &path);
        cargo
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let outcome = finish(&mut cargo).expect_code(0);
        assert!(outcome.stdout.contains(prints), "{outcome:#?}");
        assert!(!outcome.stderr.contains("warning"), "{outcome:#?}");
    }
    for (name, complaint) in [("primes", "already exists"), ("test", "conflicts")] {
        let mut again = threadwork();
        again.args(["new", name]).current_dir(folder.path());
        let outcome = finish(&mut again).expect_code(125);
        let advises = ["cargo init", "--name"].map(|of_cargo| outcome.stderr.contains(of_cargo));
        assert_eq!(advises, [false; 2], "{outcome:#?}");
        outcome.expect_stderr(&[complaint]);
    }
}
