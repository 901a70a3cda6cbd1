//! Where a panic ends the program, its last words name the task: natively with
//! `panic = "abort"`, and as WebAssembly if Cargo knows a runner for it.

use std::path::Path;
use std::process::{Command, Output};

/// Builds the example like a user would, and runs it. Each kind of program has a directory
/// of its own: Cargo lets go of the lock before it runs what it has built, and the next
/// build would put its program in the same place.
fn run(kind: &str, arguments: &[&str]) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("last_words")
        .join(kind);
    Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--offline",
            "-p",
            "threadwork",
            "--example",
            "last_words",
        ])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap()
}

fn check(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let task = said.find("task 1 `divide` panics, which ends the program:");
    let message = said.find("by zero");
    assert!(task.is_some() && task < message, "{said}");
    assert!(said.contains("examples/last_words.rs"), "{said}");
}

#[test]
fn a_native_program_that_aborts() {
    check(&run("aborts", &["--config", "profile.dev.panic='abort'"]));
}

#[test]
fn a_program_that_unwinds_goes_on() {
    let output = run("unwinds", &[]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "task 1 `divide` panicked: by zero\n");
}

#[test]
fn a_webassembly_program() {
    if std::env::var_os("CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER").is_none() {
        println!("skipped: CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER is not set");
        return;
    }
    check(&run("webassembly", &["--target", "wasm32-wasip1-threads"]));
}
