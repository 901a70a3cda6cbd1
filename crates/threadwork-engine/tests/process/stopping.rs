//! Threads that compute are stopped, wherever in the guest's code they are, by a signal and
//! by polls; the program around them does not notice.

use crate::holdings::alone;
use crate::support::{Watch, until};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;
use threadwork_engine::{Engine, ExitStatus, Limits, Module, ProcessBuilder, Stopping};

/// Loops that never end and never call the host.
const ENDLESS: [(&str, &str); 9] = [
    ("an empty loop", "(loop (br 0))"),
    (
        "nested loops, whose inner one a compiler can leave without a look",
        "(loop (loop (br 0)))",
    ),
    (
        "three, with a load that can be taken out of them",
        "(loop (loop (loop (drop (i32.load (i32.const 0))) (br 0))))",
    ),
    (
        "a table of branches",
        "(loop (loop (br_table 0 1 0 (i32.and (i32.const 1) (global.get $n)))))",
    ),
    (
        "atomics",
        "(loop (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))) (br 0))",
    ),
    ("calls", "(loop (call $leaf) (br 0))"),
    (
        "deep recursion",
        "(loop (drop (call $deep (i32.const 10000))) (br 0))",
    ),
    ("tail calls", "(return_call $tail (i32.const 1))"),
    (
        "tail calls that move their frame, since they pass more than they got",
        "(return_call $few)",
    ),
];

/// Operators that are calls of the engine's library, in no loop.
fn bulk() -> String {
    "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x10000000))".repeat(2000)
}

fn text(body: &str) -> String {
    let more = "(local.get 0) ".repeat(20);
    let parameters = "i64 ".repeat(20);
    format!(
        r#"(module
             (import "host" "begun" (func $begun))
             (memory 4096)
             (global $n (mut i32) (i32.const 1))
             (func $leaf (global.set $n (i32.xor (i32.const 1) (global.get $n))))
             (func $deep (param i32) (result i32)
               (if (result i32) (i32.eqz (local.get 0))
                 (then (i32.const 0))
                 (else (i32.add (i32.const 1)
                   (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
             (func $tail (param i32) (return_call $tail (i32.add (local.get 0) (i32.const 1))))
             (func $few (local i64) (return_call $many {more}))
             (func $many (param {parameters}) (return_call $few))
             (func (export "_start") (call $begun) {body}))"#
    )
}

fn builder(engine: &Engine, body: &str) -> (ProcessBuilder, std::sync::Arc<AtomicU32>) {
    let module = Module::new(engine, text(body).as_bytes()).unwrap();
    let begun = std::sync::Arc::new(AtomicU32::new(0));
    let count = std::sync::Arc::clone(&begun);
    let builder = ProcessBuilder::new(&module).linker(move |linker| {
        linker.func_wrap("host", "begun", move || {
            count.fetch_add(1, Ordering::SeqCst);
        })?;
        Ok(())
    });
    (builder, begun)
}

fn engine(stopping: Stopping) -> Engine {
    Engine::builder().stopping(stopping).build().unwrap()
}

fn each_way(check: impl Fn(&Engine)) {
    for stopping in [Stopping::default(), Stopping::Poll] {
        println!("{stopping:?}");
        check(&engine(stopping));
    }
}

#[test]
fn a_kill_ends_every_loop() {
    each_way(|engine| {
        for (name, body) in ENDLESS {
            let _watch = Watch::start();
            println!("{name}");
            for round in 0..50_u64 {
                let (builder, begun) = builder(engine, body);
                let process = builder.spawn().unwrap();
                until(|| begun.load(Ordering::SeqCst) > 0);
                thread::sleep(Duration::from_micros(round * 37 % 500));
                process.kill();
                let status = process.wait();
                assert!(matches!(status, ExitStatus::Killed), "{name}: {status}");
            }
        }
    });
}

#[test]
fn a_limit_of_time_ends_a_function_of_nothing_but_bulk_operations() {
    each_way(|engine| {
        let _watch = Watch::start();
        let (builder, _) = builder(engine, &bulk());
        let limits = Limits::default().wall_time(Duration::from_millis(50));
        let status = builder.limits(limits).run().unwrap();
        assert!(matches!(status, ExitStatus::LimitExceeded(_)), "{status}");
    });
}

/// Of the host program's handler in the next test.
static HEARD: AtomicU32 = AtomicU32::new(0);

#[test]
fn a_handler_of_the_host_programs_hears_what_is_meant_for_it() {
    alone("stopping::host_handler");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn host_handler() {
    extern "C" fn hear(_: i32) {
        HEARD.fetch_add(1, Ordering::SeqCst);
    }
    let _watch = Watch::start();
    let signal = libc::SIGUSR2;
    // SAFETY: the handler does nothing but add.
    unsafe { libc::signal(signal, hear as *const () as libc::sighandler_t) };
    let engine = Engine::builder().stop_signal(signal).build().unwrap();
    // SAFETY: it has no precondition.
    unsafe { libc::raise(signal) };
    assert_eq!(HEARD.load(Ordering::SeqCst), 1);
    for _ in 0..20 {
        let (builder, begun) = builder(&engine, "(loop (loop (br 0)))");
        let process = builder.spawn().unwrap();
        until(|| begun.load(Ordering::SeqCst) > 0);
        // Meant for the program, it may be delivered to any of its threads.
        // SAFETY: it has no precondition.
        let me = unsafe { libc::getpid() };
        // SAFETY: nor has this.
        unsafe { libc::kill(me, signal) };
        process.kill();
        assert!(matches!(process.wait(), ExitStatus::Killed));
    }
    until(|| HEARD.load(Ordering::SeqCst) > 1);
    // Signals of one kind that come at once are one; none was the engine's own.
    assert!(HEARD.load(Ordering::SeqCst) <= 21);
}

#[test]
fn a_signal_that_there_is_not_is_refused() {
    for signal in [-1, 0, 1000, libc::SIGKILL] {
        let error = Engine::builder().stop_signal(signal).build().unwrap_err();
        let error = format!("{:#}", anyhow::Error::from(error));
        for part in [
            &format!("signal {signal} "),
            "stop_signal",
            "Stopping::Poll",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
