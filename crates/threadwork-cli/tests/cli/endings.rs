//! How programs end that do not exit by themselves.

use std::fs::OpenOptions;
use std::time::Duration;

use crate::support::{file, finish, run_guest, temporary_folder, threadwork};

#[test]
fn trap_shows_where() {
    let outcome = finish(&mut run_guest(&[], &["panic"]))
        .expect_code(134)
        .expect_stderr(&["panicked at"])
        .expect_stderr(&["threadwork: thread", "trapped"])
        .expect_stderr(&["panic_here"])
        .expect_stderr(&["guest.rs:"]);
    assert!(
        !outcome.stderr.contains("src/main.rs"),
        "no panic of ours: {outcome:?}"
    );
}

#[test]
fn trap_in_the_text_format_names_the_function() {
    let folder = temporary_folder();
    let program = r#"(module
        (memory (export "memory") 1)
        (func $divide (param i32) (drop (i32.div_s (i32.const 1) (local.get 0))))
        (func (export "_start") (call $divide (i32.const 0))))"#;
    let program = file(folder.path(), "trap.wat", program);
    finish(threadwork().arg("run").arg(program))
        .expect_code(134)
        .expect_stderr(&["threadwork: the main thread trapped", "divide by zero"])
        .expect_stderr(&["divide"]);
}

#[test]
fn deadlock_is_said_so() {
    finish(&mut run_guest(&[], &["deadlock"]))
        .expect_code(120)
        .expect_stderr(&["threadwork: deadlock", "2 threads"])
        .expect_stderr(&["main thread waits at address"])
        .expect_stderr(&["thread 1 (2 in Rust's messages) waits at address"]);
}

#[test]
#[cfg(unix)]
fn interrupt_ends_it_quickly() {
    for program in ["spin", "sleep", "wait"] {
        let mut running = crate::support::Running::start(&mut run_guest(&[], &[program]));
        running.wait_until_ready();
        let start = std::time::Instant::now();
        interrupt(&running.child);
        let outcome = running.finish().expect_code(130);
        assert_eq!(outcome.stderr, "");
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{program}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
#[cfg(unix)]
fn interrupt_while_it_reads_standard_input() {
    let mut command = run_guest(&[], &["stdin"]);
    let mut running = crate::support::Running::start(command.stdin(std::process::Stdio::piped()));
    std::thread::sleep(Duration::from_millis(500));
    interrupt(&running.child);
    let _open_until_the_end = running.child.stdin.take();
    assert_eq!(running.finish().expect_code(130).stderr, "");
}

/// Sends a Ctrl-C.
#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("the child is alive");
}

#[test]
#[cfg(unix)]
fn broken_pipe_is_not_an_error_message() {
    let mut running = crate::support::Running::start(&mut run_guest(&[], &["print"]));
    drop(running.child.stdout.take());
    assert_eq!(running.finish().stderr, "");
}

#[test]
#[cfg(target_os = "linux")]
fn full_disk_is_the_programs_business() {
    let full = || {
        OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux has /dev/full")
    };
    let outcome = finish(run_guest(&[], &["try-print"]).stdout(full())).expect_code(0);
    assert_eq!(outcome.stderr, "not printed: StorageFull\n");
    let outcome = finish(run_guest(&[], &["print"]).stdout(full())).expect_code(134);
    assert!(
        outcome.stderr.contains("failed printing to stdout"),
        "{outcome:?}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn messages_that_nobody_reads_do_not_matter() {
    let full = OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has /dev/full");
    finish(threadwork().args(["run", "no such file"]).stderr(full)).expect_code(125);
}
