//! `threadwork run --host node`: the same options, messages and exit codes as on the engine.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{
    Outcome, Running, file, finish, run_guest, temporary_folder, text_guest, threadwork,
};

/// The guest under Node.
fn node(options: &[&str], args: &[&str]) -> Command {
    run_guest(&[&["--host", "node"], options].concat(), args)
}

#[test]
fn arguments_environment_and_exit_code_arrive() {
    let outcome = finish(&mut node(&[], &["args", "a b", "--host", "ä"])).expect_code(0);
    assert_eq!(outcome.stdout, "guest.wasm\nargs\na b\n--host\nä\n");
    assert_eq!(outcome.stderr, "");
    let mut command = node(
        &["--env", "A=b=c", "--env", "SET", "--env", "UNSET"],
        &["env"],
    );
    let outcome = finish(command.env("SET", "here").env_remove("UNSET")).expect_code(0);
    for line in ["A=b=c", "SET=here"] {
        assert!(
            outcome.stdout.lines().any(|found| found == line),
            "{outcome:?}"
        );
    }
    assert!(!outcome.stdout.contains("UNSET"), "{outcome:?}");
    for code in ["0", "3", "255"] {
        let number = code.parse().expect("a number");
        finish(&mut node(&[], &["exit", code])).expect_code(number);
        finish(&mut node(&[], &["exit-in-thread", code])).expect_code(number);
    }
}

/// Every user of a machine can read every command line.
#[test]
#[cfg(target_os = "linux")]
fn nothing_that_the_program_is_given_is_in_the_command_line() {
    let mut command = node(&["--env", "SECRET"], &["sleep", "argument-to-hide"]);
    let mut running = Running::start(command.env("SECRET", "value-to-hide"));
    running.wait_until_ready();
    let line = fs::read(format!("/proc/{}/cmdline", running.child.id())).expect("it runs");
    running.child.kill().expect("it runs");
    running.finish();
    let line = String::from_utf8_lossy(&line);
    assert!(line.contains("run.mjs"), "{line:?}");
    assert!(!line.contains("to-hide"), "{line:?}");
}

#[test]
fn programs_in_the_text_format() {
    let program = text_guest("hello-threads");
    let outcome = finish(threadwork().args(["run", "--host", "node"]).arg(program));
    assert!(outcome.expect_code(0).stdout.contains("ok hello-threads"));
}

#[test]
fn standard_input() {
    let folder = temporary_folder();
    let text = "a line\n".repeat(100_000);
    let input = fs::File::open(file(folder.path(), "input", &text)).expect("readable");
    let outcome = finish(node(&[], &["stdin"]).stdin(input)).expect_code(0);
    assert_eq!(outcome.stdout, text);
    assert_eq!(finish(&mut node(&[], &["stdin"])).expect_code(0).stdout, "");
}

#[test]
fn directories() {
    let folder = temporary_folder();
    file(folder.path(), "in", "from the host");
    let mapping = format!("{}::/data", folder.path().display());
    let options = ["--dir", &mapping];
    let outcome = finish(&mut node(&options, &["read", "/data/in"])).expect_code(0);
    assert_eq!(outcome.stdout, "from the host");
    finish(&mut node(
        &options,
        &["write", "/data/out", "from the guest"],
    ))
    .expect_code(0);
    let out = fs::read_to_string(folder.path().join("out")).expect("it was written");
    assert_eq!(out, "from the guest");
    finish(&mut node(&options, &["read", "/data/../in"])).expect_code(134);
    let mut here = node(&["--dir", "."], &["read", "in"]);
    let outcome = finish(here.current_dir(folder.path())).expect_code(0);
    assert_eq!(outcome.stdout, "from the host");
}

#[test]
fn traps_and_deadlocks_are_reported() {
    let outcome = finish(&mut node(&[], &["panic"]));
    outcome
        .expect_code(134)
        .expect_stderr(&["panicked at"])
        .expect_stderr(&["threadwork: thread", "trapped"])
        .expect_stderr(&["panic_here"]);
    finish(&mut node(&[], &["deadlock"]))
        .expect_code(120)
        .expect_stderr(&["threadwork: deadlock: all 2 threads wait"])
        .expect_stderr(&["waits at address"]);
}

#[test]
fn limits() {
    limit(
        "--threads",
        "2",
        &["spawn", "3"],
        121,
        "the limit of 2 threads was reached",
    );
    limit(
        "--max-memory",
        "32M",
        &["allocate", "64"],
        137,
        "the limit of 33554432 bytes",
    );
    limit(
        "--timeout",
        "300ms",
        &["wait"],
        124,
        "the limit of 300ms of wall-clock time",
    );
    limit(
        "--timeout",
        "300ms",
        &["spin"],
        124,
        "the limit of 300ms of wall-clock time",
    );
    limit(
        "--max-cpu",
        "500ms",
        &["spin"],
        152,
        "the limit of 500ms of CPU time",
    );
    let folder = temporary_folder();
    file(folder.path(), "x", "x");
    let mut open = node(
        &["--dir", ".", "--max-open-files", "3"],
        &["open", "x", "4"],
    );
    let outcome = finish(open.current_dir(folder.path())).expect_code(122);
    outcome.expect_stderr(&["threadwork: ", "--max-open-files"]);
}

#[track_caller]
fn limit(option: &str, value: &str, args: &[&str], code: i32, text: &str) {
    finish(&mut node(&[option, value], args))
        .expect_code(code)
        .expect_stderr(&["threadwork: ", text])
        .expect_stderr(&["threadwork: ", option, "sets this limit"]);
}

#[test]
fn statistics() {
    let outcome = finish(&mut node(&["--stats"], &["spawn", "3"])).expect_code(0);
    let outcome = outcome.expect_stderr(&["threads", "4 started", "at most 4 at one time"]);
    outcome.expect_stderr(&["time", "on CPUs"]);
}

#[test]
#[cfg(unix)]
fn ctrl_c() {
    use rustix::process::{Pid, Signal, kill_process};
    for program in ["spin", "sleep", "wait"] {
        let mut running = Running::start(&mut node(&[], &[program]));
        running.wait_until_ready();
        kill_process(Pid::from_child(&running.child), Signal::INT).expect("a signal");
        let outcome = running.finish().expect_code(130);
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
#[cfg(unix)]
fn sigterm() {
    use rustix::process::{Pid, Signal, kill_process};
    let mut running = Running::start(&mut node(&[], &["spin"]));
    running.wait_until_ready();
    kill_process(Pid::from_child(&running.child), Signal::TERM).expect("a signal");
    assert_eq!(running.finish().expect_code(143).stderr, "");
}

/// Nobody reads on: the program ends without a word, as on the engine.
#[test]
#[cfg(unix)]
fn broken_pipe() {
    let mut running = Running::start(&mut node(&[], &["print"]));
    drop(running.child.stdout.take());
    let outcome = running.finish();
    assert_eq!(outcome.code(), Some(141), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn what_cannot_run_is_refused_in_one_line() {
    let folder = temporary_folder();
    let refused = |name: &str, contents: &str, parts: &[&str]| {
        let program = file(folder.path(), name, contents);
        one_line(
            finish(threadwork().args(["run", "--host", "node"]).arg(program)),
            parts,
        );
    };
    refused("bad.wasm", "nothing", &["bad.wasm"]);
    let import = r#"(module (import "env" "launch_rockets" (func)) (func (export "_start")))"#;
    refused("import.wat", import, &["import.wat", "env.launch_rockets"]);
    refused("library.wat", "(module)", &["library.wat", "_start"]);
    one_line(
        finish(&mut node(&["--dir", "no-such-folder"], &["env"])),
        &["no-such-folder"],
    );
    one_line(
        finish(node(&[], &["env"]).env("PATH", folder.path())),
        &["node", "install"],
    );
}

#[test]
#[cfg(unix)]
fn a_node_that_is_too_old_says_so() {
    // The real Node, which takes itself for an old one.
    let folder = temporary_folder();
    let old = "Object.defineProperty(process.versions, 'node', { value: '18.20.4' });";
    let preload = file(folder.path(), "old.cjs", old);
    let mut command = node(&[], &["env"]);
    command.env("NODE_OPTIONS", format!("--require {}", preload.display()));
    one_line(finish(&mut command), &["18.20.4", "20.16"]);
}

#[test]
fn without_a_cache_nothing_is_left() {
    let folder = temporary_folder();
    let mut command = node(&["--no-cache"], &["exit", "5"]);
    finish(command.env("TMPDIR", folder.path())).expect_code(5);
    let left = fs::read_dir(folder.path()).expect("readable").count();
    assert_eq!(left, 0);
}

/// Many at once, on a cache that is empty: one writes the scripts, all run.
#[test]
fn runs_at_the_same_time_share_a_cache() {
    let folder = temporary_folder();
    let runs: Vec<Running> = (0..4)
        .map(|_| {
            let mut command = node(&[], &["exit", "6"]);
            command
                .env("THREADWORK_CACHE_DIR", folder.path())
                .stdin(Stdio::null());
            Running::start(&mut command)
        })
        .collect();
    for run in runs {
        run.finish().expect_code(6);
    }
    let names = fs::read_dir(folder.path()).expect("readable");
    let names: Vec<String> = names
        .map(|entry| entry.expect("readable").file_name().display().to_string())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[track_caller]
fn one_line(outcome: Outcome, parts: &[&str]) {
    let outcome = outcome.expect_code(125).expect_stderr(parts);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    assert!(
        outcome.stderr.starts_with("threadwork: error: "),
        "{outcome:#?}"
    );
}
