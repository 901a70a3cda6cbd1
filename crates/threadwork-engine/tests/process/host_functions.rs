//! Host functions of an embedder's that use the memory of the thread that calls: they meet
//! the guest's waits, and count as that thread.

use crate::support::{start, text, until};
use std::thread::yield_now;
use threadwork_engine::{
    Activity, Caller, ExitStatus, MemoryError, Module, ProcessBuilder, SharedMemory, ThreadContext,
    WaitResult,
};

type Call<'a> = Caller<'a, ThreadContext>;

fn memory(call: &Call<'_>) -> SharedMemory {
    call.data().memory().unwrap()
}

/// The thread does `thread`, the main one `main`. The host has `ring`, which notifies
/// until it has woken somebody, and `sleep`, which waits.
fn module(thread: &str, main: &str) -> Module {
    text(&format!(
        r#"(module
             (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
             (import "host" "ring" (func $ring (param i32)))
             (import "host" "sleep" (func $sleep (param i32) (result i32)))
             (import "env" "memory" (memory 1 1 shared))
             (func $wait (param i32) (result i32)
               (memory.atomic.wait32 (local.get 0) (i32.const 0) (i64.const -1)))
             (func $notify (param i32)
               (loop (br_if 0 (i32.eqz
                 (memory.atomic.notify (local.get 0) (i32.const 1))))))
             (func (export "wasi_thread_start") (param i32 i32) {thread})
             (func (export "_start")
               (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)) (then unreachable))
               {main}))"#
    ))
}

fn process(module: &Module) -> ProcessBuilder {
    ProcessBuilder::new(module).linker(|linker| {
        linker.func_wrap("host", "ring", |call: Call<'_>, at: u32| {
            while memory(&call).notify(at.into(), 1)? == 0 {
                yield_now();
            }
            Ok(())
        })?;
        linker.func_wrap("host", "sleep", |call: Call<'_>, at: u32| {
            let result = memory(&call).wait32(at.into(), 0, None)?;
            Ok(i32::from(result != WaitResult::Woken))
        })?;
        Ok(())
    })
}

const TRAP: &str = "(if (then unreachable))";

#[test]
fn a_notify_of_the_host_wakes_a_guest() {
    let main = format!("(call $wait (i32.const 64)) {TRAP}");
    let status = start(process(&module("(call $ring (i32.const 64))", &main))).wait();
    assert!(status.success(), "{status}");
}

#[test]
fn a_notify_of_a_guest_wakes_the_host() {
    let main = format!("(call $sleep (i32.const 64)) {TRAP}");
    let status = start(process(&module("(call $notify (i32.const 64))", &main))).wait();
    assert!(status.success(), "{status}");
}

/// A thread that sleeps in a host function sleeps as in the guest.
#[test]
fn a_wait_of_the_host_takes_part_in_a_deadlock() {
    let module = module(
        "(drop (call $sleep (i32.const 128)))",
        "(drop (call $wait (i32.const 64)))",
    );
    match start(process(&module)).wait() {
        ExitStatus::Deadlock(report) => {
            let addresses = report.threads.iter().map(|sleeper| sleeper.address);
            assert_eq!(addresses.collect::<Vec<_>>(), [64, 128], "{report}");
            let frames = report.threads[1].backtrace.frames();
            assert_eq!(frames.len(), 1, "{report}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_wait_of_the_host_ends_with_the_process() {
    // The main thread computes: it is no deadlock.
    let process = start(process(&module(
        "(drop (call $sleep (i32.const 128)))",
        "(loop (br 0))",
    )));
    let waits = Activity::Waiting { address: 128 };
    until(|| {
        process
            .threads()
            .iter()
            .any(|thread| thread.activity == waits)
    });
    process.kill();
    let status = process.wait();
    assert!(matches!(status, ExitStatus::Killed { .. }), "{status}");
}

/// What is taken elsewhere is a thread of the host's: it wakes, and its wait ends, too.
#[test]
fn other_threads_of_the_host_may_have_it() {
    let module = text(
        r#"(module
             (import "host" "elsewhere" (func $elsewhere))
             (memory 1 1 shared)
             (func (export "_start") (call $elsewhere)
               (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1)))))"#,
    );
    let (send, receive) = std::sync::mpsc::channel();
    let builder = ProcessBuilder::new(&module).linker(move |linker| {
        linker.func_wrap("host", "elsewhere", move |call: Call<'_>| {
            let (memory, send) = (memory(&call), send.clone());
            std::thread::spawn(move || {
                let ended = memory.wait32(128, 0, None);
                let _ = send.send(ended);
            });
            // It lives until the process ends, so there is no deadlock before it sleeps.
            until(|| {
                call.data()
                    .memory()
                    .is_some_and(|memory| memory.notify(128, 0) == Ok(0))
            });
            Ok(())
        })?;
        Ok(())
    });
    let process = start(builder);
    process.kill();
    drop(process);
    let ended = receive.recv_timeout(crate::support::PATIENCE);
    // The process may have ended before it called the host.
    assert!(
        matches!(ended, Ok(Err(MemoryError::Ended)) | Err(_)),
        "{ended:?}"
    );
}
