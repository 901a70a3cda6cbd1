//! A second Ctrl-C, and SIGTERM, end the command at once in any state.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Running, file, run_guest, slow_module, temporary_folder, threadwork};

/// Each ends what has no program to end first, and the code says which it was.
const ENDS: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];

/// How long to wait for a sign; it is there after some milliseconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Says "ready" and never ends; the inner loop is the outer one's business, too, so that
/// it may be compiled to one that looks at nothing.
const HANG: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write"
      (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "ready\n")
    (func (export "_start")
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (loop $outer (loop $inner (br $inner)))))"#;

#[test]
fn while_it_compiles() {
    for (signal, code) in ENDS {
        let folder = temporary_folder();
        let program = fifo(folder.path());
        let mut command = threadwork();
        let running = Running::start(command.args(["run", "--no-cache"]).arg(&program));
        feed(&program, big_module().as_bytes());
        // The compiler's threads are the first beside the main one.
        wait_until("it compiles", || threads(&running) > 1);
        send(&running, signal);
        ended(running, code);
    }
}

/// In a process of its own, which goes along.
#[test]
fn while_another_process_compiles() {
    for (signal, code) in ENDS {
        let folder = temporary_folder();
        let slow = file(folder.path(), "slow.wat", slow_module());
        let mut command = threadwork();
        command.args(["run", "--no-cache", "--max-compile", "1h"]);
        let running = Running::start(command.arg(&slow));
        let tasks = PathBuf::from(format!("/proc/{}/task", running.child.id()));
        let children = || {
            let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
            let tasks = fs::read_dir(&tasks).ok()?;
            let children = tasks.flatten().filter_map(|task| of_task(task).ok());
            let children: String = children.collect();
            children.split_whitespace().next().map(str::to_owned)
        };
        wait_until("there is a compiler", || children().is_some());
        let compiler = Path::new("/proc").join(children().expect("it takes minutes"));
        // It has bounded itself: it knows whose end is its own.
        let limits = compiler.join("limits");
        let is_bounded = |limits: String| {
            let cores = limits.lines().find(|line| line.starts_with("Max core"));
            cores.is_some_and(|line| line.split_whitespace().nth(5) == Some("0"))
        };
        wait_until("it has begun", || {
            fs::read_to_string(&limits).is_ok_and(is_bounded)
        });
        send(&running, signal);
        ended(running, code);
        wait_until("it is gone, too", || !compiler.exists());
    }
}

#[test]
fn while_a_program_runs_that_never_ends() {
    let folder = temporary_folder();
    let program = file(folder.path(), "hang.wat", HANG);
    let hang = || {
        let mut running = Running::start(threadwork().arg("run").arg(&program));
        running.wait_until_ready();
        running
    };
    let running = hang();
    send(&running, Signal::TERM);
    ended(running, 143);
    // The first may end it, or not; the second does.
    let running = hang();
    send(&running, Signal::INT);
    wait_until("the first has arrived", || {
        !is_pending(&running, Signal::INT)
    });
    send(&running, Signal::INT);
    ended(running, 130);
}

#[test]
fn while_it_reads_standard_input() {
    for (signal, code) in ENDS {
        let mut command = run_guest(&[], &["stdin-when-ready"]);
        let mut running = Running::start(command.stdin(Stdio::piped()));
        running.wait_until_ready();
        let open_until_the_end = running.child.stdin.take();
        send(&running, signal);
        ended(running, code);
        drop(open_until_the_end);
    }
}

#[test]
fn while_nobody_reads_what_it_prints() {
    for (signal, code) in ENDS {
        let mut running = Running::start(&mut run_guest(&[], &["print"]));
        let stdout = running.child.stdout.take().expect("stdout is a pipe");
        // Not all of the pipe: a line more may not fit.
        let is_full = || rustix::io::ioctl_fionread(&stdout).is_ok_and(|bytes| bytes > 60_000);
        wait_until("the pipe is full", is_full);
        send(&running, signal);
        ended(running, code);
    }
}

#[test]
fn while_it_waits_for_the_program() {
    let folder = temporary_folder();
    let program = fifo(folder.path());
    for command in [
        &["run"][..],
        &["run", "--host=node"],
        &["bundle", "-o", "out"],
    ] {
        for (signal, code) in ENDS {
            let mut command_line = threadwork();
            command_line.args(command).arg(&program);
            let running = Running::start(command_line.current_dir(folder.path()));
            // Blocks until the other end is open, too.
            let writer = OpenOptions::new().write(true).open(&program);
            let open_until_the_end = writer.expect("it can be opened");
            send(&running, signal);
            ended(running, code);
            drop(open_until_the_end);
        }
    }
}

/// Who started the command may have blocked signals, which is inherited.
#[test]
fn whatever_was_blocked_before() {
    let folder = temporary_folder();
    let hang = file(folder.path(), "hang.wat", HANG);
    let trap = "(module (func (export \"_start\") unreachable))";
    let trap = file(folder.path(), "trap.wat", trap);
    let mut running = Running::start(&mut blocked(&hang));
    running.wait_until_ready();
    send(&running, Signal::TERM);
    ended(running, 143);
    Running::start(&mut blocked(&trap))
        .finish()
        .expect_code(134);
}

/// `threadwork run` by somebody who blocks all signals that can be blocked.
fn blocked(program: &Path) -> Command {
    let run = threadwork();
    let script = "import os, signal, sys\n\
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n\
        os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(run.get_program());
    command.arg("run").arg("--no-cache").arg(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Neither what the command has started, nor what that has started.
#[test]
fn no_child_is_left_behind() {
    for command in ["demo", "selftest"] {
        for (signal, code) in ENDS {
            let folder = temporary_folder();
            let pids = folder.path().join("pids");
            let script = format!(
                "#!/bin/sh\nsleep 3600 &\necho $$ $! > {0}.new && mv {0}.new {0}\nwait\n",
                pids.display()
            );
            let cargo = folder.path().join("cargo");
            // By another process: one of ours that starts meanwhile would hold the file
            // open, and what somebody may write to cannot be run.
            let mut install = Command::new("install");
            install
                .args(["-m", "755"])
                .arg(file(folder.path(), "script", script));
            let installed = install.arg(&cargo).status();
            assert!(installed.expect("install starts").success());
            let running = Running::start(threadwork().arg(command).env("CARGO", cargo));
            wait_until("cargo runs", || pids.exists());
            send(&running, signal);
            running.finish().expect_code(code);
            let pids = fs::read_to_string(pids).expect("readable");
            for pid in pids.split_whitespace() {
                wait_until("the child has ended", || is_gone(pid));
            }
        }
    }
}

/// A pipe with a name: who opens one end waits for the other.
fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("program.wat");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo starts").success());
    path
}

fn feed(fifo: &Path, bytes: &[u8]) {
    let mut file: File = OpenOptions::new().write(true).open(fifo).expect("a reader");
    file.write_all(bytes).expect("the reader reads to the end");
}

/// A program that takes long to compile, and to run.
fn big_module() -> String {
    let step = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 1)) (local.get 0)))";
    let function = format!("(func (param i32) {})", step.repeat(2_000));
    let functions = function.repeat(200);
    format!(r#"(module {functions} (func (export "_start") (loop (br 0))))"#)
}

fn send(running: &Running, signal: Signal) {
    kill_process(Pid::from_child(&running.child), signal).expect("the child can be signalled");
}

#[track_caller]
fn ended(running: Running, code: i32) {
    assert_eq!(running.finish().expect_code(code).stderr, "");
}

fn threads(running: &Running) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.child.id()));
    tasks.expect("the child is there").count()
}

/// Whether a signal has been sent and nobody has taken it yet.
fn is_pending(running: &Running, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", running.child.id()));
    let status = status.expect("the child is there");
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let pending = u64::from_str_radix(pending.expect("a mask").trim(), 16);
    pending.expect("a mask") & 1 << (signal.as_raw() - 1) != 0
}

/// Whether a process has ended; who should wait for it may not do so.
fn is_gone(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => true,
        Ok(stat) => stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" Z")),
    }
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
