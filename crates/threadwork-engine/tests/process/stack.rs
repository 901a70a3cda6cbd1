//! A guest's stack that overflows is reported, and not a riddle.

use crate::support::{engine, guest, output, run as run_to_end, trap};
use threadwork_engine::{Engine, ExitStatus, Module, ProcessBuilder};

fn run(place: &str) -> (ExitStatus, String) {
    let module = guest("stack-overflow");
    let done = output(ProcessBuilder::new(&module).arg(place));
    (done.status, done.stderr)
}

#[test]
fn an_overflow_names_the_thread() {
    for place in ["end", "now"] {
        let (status, stderr) = run(place);
        assert!(
            matches!(status, ExitStatus::Trapped(_)),
            "{place}: {status}"
        );
        let message = "thread 'deep' has overflowed its stack of 655";
        assert!(stderr.starts_with(message), "{place}: {stderr}");
    }
}

/// Below the main thread's stack there is nothing to overwrite.
#[test]
fn the_main_thread_traps() {
    let (status, stderr) = run("main");
    assert!(
        status.to_string().contains("out of bounds memory access"),
        "{status}"
    );
    assert_eq!(stderr, "");
}

#[test]
fn who_stops_in_time_goes_on() {
    let (status, stderr) = run("never");
    assert!(status.success(), "{status}");
    assert_eq!(stderr, "");
}

/// A program whose main thread calls itself so often.
fn recursion(engine: &Engine, depth: u32) -> ProcessBuilder {
    let program = format!(
        r#"(module
             (func $down (param i32) (result i32)
               (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
               (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
             (func (export "_start")
               (if (i32.ne (call $down (i32.const {depth})) (i32.const {depth}))
                 (then unreachable))))"#
    );
    ProcessBuilder::new(&Module::new(engine, program.as_bytes()).unwrap())
}

#[test]
fn calls_that_need_more_native_stack_are_told_so() {
    assert!(run_to_end(recursion(engine(), 100_000)).success());

    let trap = trap(run_to_end(recursion(engine(), 2_000_000)));
    for part in [
        "stack overflow",
        "8388608 bytes",
        "max_wasm_stack",
        "--stack",
    ] {
        assert!(trap.reason.contains(part), "{trap}");
    }

    let large = Engine::builder().max_wasm_stack(256 << 20).build().unwrap();
    assert!(run_to_end(recursion(&large, 2_000_000)).success());
}
