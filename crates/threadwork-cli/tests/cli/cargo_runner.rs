//! As Cargo's runner: `cargo run` and `cargo test` just work.

use std::process::{Command, Stdio};

use crate::support::{finish, fixtures, scratch};

#[test]
fn cargo_test_runs_unit_and_integration_tests() {
    let outcome = finish(&mut cargo(&["test"])).expect_code(0);
    for test in [
        "tests::threads_add_up ... ok",
        "own_manifest_is_readable ... ok",
    ] {
        assert!(outcome.stdout.contains(test), "{outcome:#?}");
    }
}

#[test]
fn arguments_of_the_harness_arrive() {
    let outcome = finish(&mut cargo(&["test", "--lib", "--", "--list"])).expect_code(0);
    assert!(
        outcome.stdout.contains("tests::threads_add_up: test"),
        "{outcome:#?}"
    );
}

#[test]
fn failing_test_fails() {
    // WebAssembly's panics abort, and what libtest has captured goes with them.
    let outcome = finish(&mut cargo(&[
        "test",
        "--lib",
        "--",
        "--ignored",
        "--nocapture",
    ]));
    assert_ne!(outcome.code(), Some(0), "{outcome:#?}");
    outcome
        .expect_stderr(&["left: 6"])
        .expect_stderr(&["threadwork: ", "trapped"]);
}

#[test]
fn cargo_run_passes_arguments_and_exit_code() {
    let outcome = finish(&mut cargo(&["run", "--", "20", "22", "0"])).expect_code(3);
    assert_eq!(outcome.stdout, "sum: 42\n");
}

/// A call of cargo on the fixture, with the runner and without a network.
fn cargo(args: &[&str]) -> Command {
    let (command, args) = args.split_first().expect("a command");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([command, "--offline", "--target", "wasm32-wasip1-threads"])
        .args(args)
        .current_dir(fixtures().join("cargo-project"))
        .env(
            "CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER",
            concat!(env!("CARGO_BIN_EXE_threadwork"), " run --dir ."),
        )
        .env("CARGO_TARGET_DIR", scratch().join("cargo-project"))
        .env("THREADWORK_CACHE_DIR", scratch().join("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    cargo
}
