//! What cannot run is refused with one line that says why.

use std::path::Path;

use crate::support::{Outcome, file, finish, run_guest, temporary_folder, text_guest, threadwork};

const THREADED: &str = r#"(import "wasi" "thread-spawn" (func (param i32) (result i32)))"#;
const START: &str = r#"(func (export "_start"))"#;
const THREAD_START: &str = r#"(func (export "wasi_thread_start") (param i32 i32))"#;
const SHARED: &str = r#"(import "env" "memory" (memory 1 2 shared))"#;
const UNSHARED: &str = r#"(memory (export "memory") 1)"#;

#[test]
fn missing_file() {
    refused(Path::new("no-such.wasm")).with(&["no-such.wasm", "No such file"]);
}

#[test]
fn directory() {
    refused(temporary_folder().path()).with(&["directory"]);
}

#[test]
fn empty_file() {
    refused_contents("empty.wasm", "").with(&["empty.wasm", "empty"]);
}

#[test]
fn neither_wasm_nor_text() {
    refused_contents("image.wasm", b"\x89PNG\r\n\x1a\n\0\0\0\xff").with(&["image.wasm"]);
    refused_contents("notes.txt", "Dear diary,\n\ntoday it rained.\n").with(&["notes.txt"]);
    refused_contents("bad.wat", "(module (func (export \"_start\") (oops)))")
        .with(&["1:34", "oops"]);
    refused_contents("program", b"\x7fELF\x02\x01\x01\0").with(&["program"]);
}

#[test]
fn cut_off_module() {
    refused_contents("half.wasm", b"\0asm\x01\0\0\0\x01\x04").with(&["half.wasm"]);
}

#[test]
fn invalid_module() {
    let module = format!("(module {UNSHARED} (func (export \"_start\") (i32.const 1)))");
    refused_contents("invalid.wat", module).with(&["invalid.wat"]);
}

#[test]
fn component() {
    refused_contents("component.wasm", b"\0asm\x0d\0\x01\0").with(&["component"]);
    refused_contents("component.wat", "(component)").with(&["component"]);
}

#[test]
fn module_for_another_target() {
    let browser = r#"(import "wbg" "__wbindgen_throw" (func (param i32 i32)))"#;
    refused_module(&[browser, UNSHARED, START]).with(&["wbg.__wbindgen_throw"]);
    refused_module(&[UNSHARED]).with(&["_start"]);
}

#[test]
fn reactor() {
    refused(&text_guest("reactor")).with(&["_start"]);
}

#[test]
fn missing_import_is_named() {
    let import = r#"(import "env" "launch_rockets" (func))"#;
    refused_module(&[import, UNSHARED, START]).with(&["env.launch_rockets"]);
}

#[test]
fn import_of_the_wrong_type() {
    let import = r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))"#;
    refused_module(&[import, UNSHARED, START]).with(&["proc_exit"]);
}

#[test]
fn threads_without_shared_memory() {
    let module = [THREADED, UNSHARED, START, THREAD_START];
    refused_module(&module).with(&["shared", "--shared-memory"]);
}

#[test]
fn threads_without_an_entry() {
    refused_module(&[THREADED, SHARED, START]).with(&["wasi_thread_start"]);
}

#[test]
fn start_of_the_wrong_type() {
    let start = r#"(func (export "_start") (param i32))"#;
    refused_module(&[UNSHARED, start]).with(&["_start"]);
}

#[test]
fn limits_of_zero() {
    for [option, value] in [
        ["--threads", "0"],
        ["--max-memory", "0"],
        ["--timeout", "0s"],
        ["--max-cpu", "0ms"],
        ["--max-open-files", "0"],
        ["--max-file-bytes", "0"],
    ] {
        refused_options(&[option, value]).with(&[option, "zero"]);
    }
}

#[test]
fn option_values_that_mean_nothing() {
    refused_options(&["--timeout", "10"]).with(&["--timeout", "10s"]);
    refused_options(&["--timeout", "soon"]).with(&["--timeout", "1h30m"]);
    refused_options(&["--max-memory", "lots"]).with(&["--max-memory", "64KiB"]);
    refused_options(&["--max-memory", "1"]).with(&["memory", "65536"]);
    refused_options(&["--max-file-bytes", "many"]).with(&["--max-file-bytes", "64KiB"]);
    refused_options(&["--host", "node", "--max-file-bytes", "1M"]).with(&["--max-file-bytes"]);
    refused_options(&["--max-output", "many"]).with(&["--max-output", "64KiB"]);
    refused_options(&["--host", "node", "--max-output", "1M"]).with(&["--max-output"]);
    refused_options(&["--stack", "16K"]).with(&["--stack", "64K"]);
    let workers = ["--invoke", "f", "--workers", "4294967295"];
    refused_options(&workers).with(&["--workers", "65536"]);
    let longest = ["--timeout", "9223372036854775808s"];
    refused_options(&longest).with(&["--timeout", "584 years"]);
    refused_options(&["--threads", "many"]).with(&["--threads", "whole number"]);
    refused_options(&["--env", "=x"]).with(&["--env", "NAME=VALUE"]);
    refused_options(&["--dir", "no-such-folder"]).with(&["--dir", "no-such-folder"]);
    refused_options(&["--dir", "::/data"]).with(&["--dir", "HOST::GUEST"]);
}

#[test]
fn causes_are_told_on_request() {
    let outcome = finish(threadwork().args(["run", "-v", "no-such.wasm"])).expect_code(125);
    assert!(
        outcome.stderr.starts_with("threadwork: error: "),
        "{outcome:?}"
    );
}

#[test]
fn what_a_module_says_does_not_reach_the_terminal_as_commands() {
    let twice = r#"(func (export "a\1b[2J") (export "a\1b[2J"))"#;
    for fields in [
        twice,
        "(func (oops\u{1b}[2J))",
        r#"(func (export "threadwork:\1b[2J"))"#,
    ] {
        for options in [&["run"][..], &["-v", "run"]] {
            let folder = temporary_folder();
            let program = file(
                folder.path(),
                "a.wat",
                format!("(module {SHARED} {fields})"),
            );
            let outcome = finish(threadwork().args(options).arg(program)).expect_code(125);
            let commands = outcome.stderr.replace('\n', " ").contains(char::is_control);
            assert!(!commands, "{outcome:#?}");
        }
    }
}

#[test]
fn wrong_usage_is_explained() {
    for args in [
        &["run"][..],
        &["run", "--no-such-option", "x.wasm"],
        &["fly"],
    ] {
        let outcome = finish(threadwork().args(args)).expect_code(2);
        assert!(outcome.stderr.contains("Usage: threadwork"), "{outcome:?}");
    }
}

/// The one line of a refusal.
struct Refusal(String);

impl Refusal {
    /// Checks that a run said one line and nothing else.
    #[track_caller]
    fn of(outcome: Outcome) -> Self {
        let outcome = outcome.expect_code(125);
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
        assert!(
            outcome.stderr.starts_with("threadwork: error: "),
            "{outcome:#?}"
        );
        assert_eq!(outcome.stdout, "");
        Self(outcome.stderr)
    }

    /// Checks that the line contains all `parts`.
    #[track_caller]
    fn with(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.0.contains(part), "no {part:?} in {:?}", self.0);
        }
    }
}

#[track_caller]
fn refused(program: &Path) -> Refusal {
    Refusal::of(finish(threadwork().arg("run").arg(program)))
}

#[track_caller]
fn refused_contents(name: &str, contents: impl AsRef<[u8]>) -> Refusal {
    let folder = temporary_folder();
    refused(&file(folder.path(), name, contents))
}

#[track_caller]
fn refused_module(fields: &[&str]) -> Refusal {
    refused_contents("module.wat", format!("(module {})", fields.concat()))
}

/// Options given to a program that would run without them.
#[track_caller]
fn refused_options(options: &[&str]) -> Refusal {
    Refusal::of(finish(&mut run_guest(options, &["exit", "0"])))
}
