//! Host functions of an embedder's that block are woken when their thread is to end,
//! whatever the reason.

use crate::support::{start, text, until};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threadwork_engine::{
    Activity, Caller, ExitStatus, Limits, Module, ProcessBuilder, Task, TaskError, ThreadContext,
    ThreadRuntime,
};

type Call<'a> = Caller<'a, ThreadContext>;

/// `host.block` blocks for ever; its parameter says how many such calls are in each other.
/// The main thread does `main`, another one blocks.
fn module(main: &str) -> Module {
    text(&format!(
        r#"(module
             (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
             (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
             (import "host" "block" (func $block (param i32)))
             (import "host" "begun" (func $begun (result i32)))
             (import "env" "memory" (memory 1 1 shared))
             (func (export "wasi_thread_start") (param i32 i32) (call $block (i32.const 0)))
             (func (export "block") (param i32) (call $block (local.get 0)))
             (func (export "_start")
               (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)) (then unreachable))
               (loop $wait (br_if $wait (i32.eqz (call $begun))))
               {main}))"#
    ))
}

/// What the host functions of a process have done.
#[derive(Clone, Default)]
struct Host {
    begun: Arc<AtomicU32>,
    woken: Arc<AtomicU32>,
}

impl Host {
    fn block(&self, context: &ThreadContext, depth: u32) -> wasmtime::Result<()> {
        let (sender, receiver): (Sender<()>, Receiver<()>) = channel();
        // The receiver is woken by the sender's drop, and by nothing else.
        let (woken, sender) = (Arc::clone(&self.woken), Mutex::new(Some(sender)));
        let wake = move || {
            woken.fetch_add(1, Ordering::SeqCst);
            drop(sender.lock().unwrap().take());
        };
        context.blocking(wake, || {
            if depth > 0 {
                let inner = self.block(context, depth - 1);
                assert!(inner.is_err());
            }
            self.begun.fetch_add(1, Ordering::SeqCst);
            assert!(receiver.recv().is_err());
        })
    }

    fn define(self, process: ProcessBuilder) -> ProcessBuilder {
        process.linker(move |linker| {
            let begun = Arc::clone(&self.begun);
            linker.func_wrap("host", "begun", move || begun.load(Ordering::SeqCst))?;
            linker.func_wrap("host", "block", move |call: Call<'_>, depth: u32| {
                self.block(call.data(), depth)
            })?;
            Ok(())
        })
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst) > 0
    }
}

/// Whatever ends the process ends the call, and the wake is called once.
#[test]
fn each_end_of_the_process_wakes_it() {
    for (main, code) in [
        ("(call $exit (i32.const 7))", 7),
        ("unreachable", 134),
        ("(loop (br 0))", 130),
        ("(loop (br 0))", 124),
    ] {
        let host = Host::default();
        let mut builder = host.clone().define(ProcessBuilder::new(&module(main)));
        if code == 124 {
            builder = builder.limits(Limits::default().wall_time(Duration::from_millis(100)));
        }
        let process = start(builder);
        if code == 130 {
            until(|| host.has_begun());
            process.kill();
        }
        assert_eq!(process.wait().code(), code, "{main}");
        assert_eq!(host.woken.load(Ordering::SeqCst), 1, "{main}");
    }
}

/// It is seen to be in a call of the host, and nothing of it holds up the others.
#[test]
fn it_is_in_a_host_call_meanwhile() {
    let host = Host::default();
    let builder = host
        .clone()
        .define(ProcessBuilder::new(&module("(loop (br 0))")));
    let process = start(builder);
    until(|| host.has_begun());
    until(|| process.threads()[1].activity == Activity::InHostCall);
    process.kill();
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
}

/// One call in another: both are woken, the inner one by the end, the outer one then.
#[test]
fn calls_in_each_other_are_all_woken() {
    let host = Host::default();
    let builder = ProcessBuilder::new(&module("(call $block (i32.const 3))"));
    let process = start(host.clone().define(builder));
    // Of the thread, and of the innermost call of the main thread.
    until(|| host.begun.load(Ordering::SeqCst) == 2);
    process.kill();
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    assert_eq!(host.woken.load(Ordering::SeqCst), 5);
}

/// A call after the end has begun does not block at all.
#[test]
fn a_call_that_comes_too_late_does_not_begin() {
    for round in 0..200 {
        let host = Host::default();
        let builder = ProcessBuilder::new(&module("(call $block (i32.const 0))"));
        let process = start(host.clone().define(builder));
        std::thread::sleep(Duration::from_micros(round * 10));
        process.kill();
        assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    }
}

/// A wake of the embedder's that panics, or that kills the process once more, ends nothing
/// else; and a body that panics ends its process only.
#[test]
fn strangers_code_does_no_harm() {
    let module =
        text(r#"(module (import "host" "block" (func $block)) (export "_start" (func $block)))"#);
    let killer = Arc::new(Mutex::new(None::<threadwork_engine::Killer>));
    for way in 0..3 {
        let begun = Arc::new(AtomicU32::new(0));
        let (has_begun, own) = (Arc::clone(&begun), Arc::clone(&killer));
        let process = start(ProcessBuilder::new(&module).linker(move |linker| {
            linker.func_wrap("host", "block", move |call: Call<'_>| {
                let (sender, receiver) = channel();
                let own = Arc::clone(&own);
                let wake = move || {
                    sender.send(()).unwrap();
                    assert!(way != 0, "a panic that was meant to be");
                    own.lock().unwrap().as_ref().unwrap().kill();
                };
                begun.fetch_add(1, Ordering::SeqCst);
                call.data().blocking(wake, || {
                    assert!(way != 2, "another");
                    receiver.recv().unwrap();
                })
            })?;
            Ok(())
        }));
        *killer.lock().unwrap() = Some(process.killer());
        until(|| has_begun.load(Ordering::SeqCst) > 0);
        if way != 2 {
            process.kill();
        }
        let status = process.wait();
        assert_eq!(status.code(), if way == 2 { 134 } else { 130 }, "{status}");
    }
}

/// The tasks of a runtime are cancelled, and time out, in such a call; the worker goes on.
#[test]
fn the_end_of_a_task_wakes_it() {
    for with_time in [false, true] {
        let host = Host::default();
        let own = host.clone();
        let runtime = ThreadRuntime::builder(&module("nop"))
            .process(move |process| own.define(process))
            .build()
            .unwrap();
        for round in 1..=3 {
            let mut task = Task::new("block", [0_i32]);
            if with_time {
                task = task.timeout(Duration::from_millis(50));
            }
            let handle = runtime.execute(task).unwrap();
            until(|| host.begun.load(Ordering::SeqCst) == round);
            if !with_time {
                handle.cancel();
            }
            let error = handle.wait().unwrap_err();
            let expected = match with_time {
                true => matches!(error, TaskError::TimedOut(_)),
                false => matches!(error, TaskError::Cancelled),
            };
            assert!(expected, "{error}");
            assert_eq!(host.woken.load(Ordering::SeqCst), round);
        }
        drop(runtime);
    }
}
