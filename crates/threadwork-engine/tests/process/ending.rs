//! Ending a process from outside: at any moment, from any thread, more than once.

use crate::support::{
    COMPUTE, READ, RETURN, Running, SLEEP, STORM, Stage, WAIT, WRITE, Watch, engine, on_stage,
    plot, plot_text, start, text, until,
};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use threadwork_engine::{
    Activity, Engine, ExitStatus, Killer, Module, Output, Process, ProcessBuilder, Stdin,
};

/// Main and `siblings` threads do `what`; each says so just before.
fn crowd(siblings: u32, what: i32) -> Module {
    plot(&crowd_text(siblings, what))
}

fn crowd_text(siblings: u32, what: i32) -> String {
    // If all waited for ever, it would be a deadlock.
    let main = if what == WAIT {
        "wait_an_hour"
    } else {
        "nothing"
    };
    format!(
        r#"(func (export "wasi_thread_start") (param i32) (param $no_storm i32)
             (if (i32.eqz (local.get $no_storm)) (then
               (call $say (i32.const 1))
               (call $do (i32.const {what})))))
           (func (export "_start") (local $n i32)
             (block (loop
               (br_if 1 (i32.eq (local.get $n) (i32.const {siblings})))
               (drop (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br 0)))
             (call $say (i32.const 0))
             (call ${main})
             (call $do (i32.const {what}))
             (call $sleep))"#
    )
}

/// A crowd of 1 + 4 that is at it, and its silent pipes.
fn busy_crowd(what: i32) -> (Running, Stage, impl Sized) {
    let (builder, stage) = on_stage(&crowd(4, what));
    let process = start(builder.stdin(Stdin::Pipe).stdout(Output::Pipe));
    let pipes = (process.take_stdin(), process.take_stdout());
    for _ in 0..5 {
        stage.hear();
    }
    until(|| {
        let threads = process.threads();
        threads.iter().all(|thread| match what {
            WAIT => thread.activity == Activity::Waiting { address: 0 },
            SLEEP | READ | WRITE => thread.activity == Activity::InHostCall,
            _ => true,
        })
    });
    (process, stage, pipes)
}

fn is_killed(status: &ExitStatus) -> bool {
    matches!(status, ExitStatus::Killed { .. })
}

#[track_caller]
fn kill_in_the_middle_of(what: i32) {
    for round in 0..20 {
        let (process, _stage, _pipes) = busy_crowd(what);
        if round % 2 == 0 {
            process.kill();
        } else {
            let killer = process.killer();
            thread::spawn(move || killer.kill());
        }
        let status = process.wait();
        assert!(is_killed(&status), "{status}");
        assert_eq!(process.threads(), []);
    }
}

#[test]
fn kills_threads_that_compute() {
    kill_in_the_middle_of(COMPUTE);
}

#[test]
fn kills_threads_that_wait() {
    kill_in_the_middle_of(WAIT);
}

#[test]
fn kills_threads_that_sleep() {
    kill_in_the_middle_of(SLEEP);
}

#[test]
fn kills_threads_that_read_standard_input() {
    kill_in_the_middle_of(READ);
}

/// Several threads find the same room in the pipe, and only one of them gets it.
#[test]
fn kills_threads_that_write_to_a_full_pipe() {
    kill_in_the_middle_of(WRITE);
}

#[test]
fn kills_storms_of_spawns() {
    kill_in_the_middle_of(STORM);
}

/// A pipe that is read now and then: room comes, and all writers rush for it.
#[test]
fn kills_writers_that_fight_for_room() {
    for _ in 0..50 {
        let (builder, stage) = on_stage(&crowd(7, WRITE));
        let process = start(builder.stdout(Output::Pipe));
        let mut stdout = process.take_stdout().unwrap();
        stage.hear();
        let mut page = [0; 4096];
        for _ in 0..32 {
            std::io::Read::read_exact(&mut stdout, &mut page).unwrap();
        }
        process.kill();
        assert!(is_killed(&process.wait()));
    }
}

#[test]
fn a_kill_may_come_before_the_first_instruction() {
    let module = crowd(2, COMPUTE);
    for _ in 0..200 {
        let (builder, _stage) = on_stage(&module);
        let process = start(builder);
        process.kill();
        let status = process.wait();
        assert!(is_killed(&status), "{status}");
    }
}

#[test]
fn a_second_kill_and_a_kill_after_the_end_do_nothing() {
    let (process, _stage, _pipes) = busy_crowd(WAIT);
    process.kill();
    process.kill();
    assert!(is_killed(&process.wait()));
    process.kill();
    assert!(is_killed(&process.wait()));

    let module = text(r#"(module (func (export "_start")))"#);
    let process = start(ProcessBuilder::new(&module));
    let killer = process.killer();
    assert!(process.wait().success());
    process.kill();
    killer.kill();
    assert!(process.wait().success(), "the end was before the kill");
    drop(process);
    killer.kill();
}

#[test]
fn dropping_a_process_kills_it_and_waits() {
    for what in [COMPUTE, WAIT, SLEEP, READ, WRITE, STORM] {
        let (process, stage, _pipes) = busy_crowd(what);
        drop(process);
        // The host functions are gone with the last thread, and what they hold.
        stage.heard();
    }
}

#[test]
fn a_thread_that_is_panicking_can_drop_a_process() {
    let module = crowd(2, COMPUTE);
    let _watch = Watch::start();
    let result = thread::spawn(move || {
        let (builder, stage) = on_stage(&module);
        let _process = start(builder);
        stage.hear();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(result.join().is_err());
}

#[test]
fn many_can_wait_for_one_process() {
    let (process, _stage, _pipes) = busy_crowd(COMPUTE);
    let process: &Process = &process;
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| process.wait())).collect();
        let timed = scope.spawn(|| process.wait_timeout(Duration::MAX));
        process.kill();
        assert!(
            waiting
                .into_iter()
                .all(|waiter| is_killed(&waiter.join().unwrap()))
        );
        assert!(timed.join().unwrap().as_ref().is_some_and(is_killed));
    });
}

#[test]
fn waiting_with_a_timeout_returns_without_a_status() {
    let (process, _stage, _pipes) = busy_crowd(WAIT);
    assert!(process.try_wait().is_none());
    assert!(process.wait_timeout(Duration::from_millis(5)).is_none());
    assert!(process.wait_timeout(Duration::ZERO).is_none());
    process.kill();
    assert!(
        process
            .wait_timeout(Duration::from_secs(60))
            .as_ref()
            .is_some_and(is_killed)
    );
    assert!(process.try_wait().as_ref().is_some_and(is_killed));
}

#[test]
fn many_can_kill_at_once() {
    for _ in 0..20 {
        let (process, _stage, _pipes) = busy_crowd(COMPUTE);
        thread::scope(|scope| {
            for _ in 0..4 {
                let killer = process.killer();
                scope.spawn(move || killer.kill());
            }
        });
        assert!(is_killed(&process.wait()));
    }
}

#[test]
fn a_host_function_can_kill_its_own_process() {
    for caller in ["_start", "thread"] {
        let call = "(call $suicide) (call $compute)";
        let (main, other) = if caller == "_start" {
            (call, "")
        } else {
            ("(call $wait)", call)
        };
        // The import has to come first.
        let module = text(
            &plot_text(&format!(
                r#"(func (export "wasi_thread_start") (param i32 i32) {other})
               (func (export "_start") (drop (call $spawn (i32.const 0))) {main})"#
            ))
            .replacen(
                "(module",
                r#"(module (import "host" "kill" (func $suicide))"#,
                1,
            ),
        );
        let killer: Arc<Mutex<Option<Killer>>> = Arc::default();
        let of_the_guest = Arc::clone(&killer);
        let builder = ProcessBuilder::new(&module).linker(move |linker| {
            linker.func_wrap("stage", "say", |_: i32| {})?;
            linker.func_wrap("stage", "open", || 0)?;
            linker.func_wrap("host", "kill", move || {
                loop {
                    if let Some(killer) = &*of_the_guest.lock().unwrap() {
                        return killer.kill();
                    }
                    thread::yield_now();
                }
            })?;
            Ok(())
        });
        let process = start(builder);
        *killer.lock().unwrap() = Some(process.killer());
        let status = process.wait();
        assert!(is_killed(&status), "{caller}: {status}");
    }
}

/// A host function that keeps its process's killer must not keep the process.
#[test]
fn a_killer_keeps_nothing_of_the_process() {
    struct Tell(Arc<Mutex<bool>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }

    let gone: Arc<Mutex<bool>> = Arc::default();
    let tell = Tell(Arc::clone(&gone));
    let kept: Arc<Mutex<Option<Killer>>> = Arc::default();
    let inside = Arc::clone(&kept);
    let module = text(r#"(module (import "host" "f" (func)) (func (export "_start")))"#);
    let process = start(ProcessBuilder::new(&module).linker(move |linker| {
        linker.func_wrap("host", "f", move || {
            let _ = (&tell, &inside);
        })?;
        Ok(())
    }));
    *kept.lock().unwrap() = Some(process.killer());
    assert!(process.wait().success());
    drop(process);
    until(|| *gone.lock().unwrap());
}

#[test]
fn a_panic_in_a_host_function_ends_the_process_and_no_more() {
    let module = text(
        r#"(module (import "host" "panic" (func $panic)) (func (export "_start") (call $panic)))"#,
    );
    let process = start(ProcessBuilder::new(&module).linker(|linker| {
        linker.func_wrap("host", "panic", || -> () {
            // Without the message that `panic!` prints.
            std::panic::resume_unwind(Box::new("oh no"))
        })?;
        Ok(())
    }));
    let status = process.wait();
    assert!(
        matches!(&status, ExitStatus::Trapped(trap) if trap.reason.contains("oh no")),
        "{status}"
    );
    // The engine goes on.
    assert!(
        crate::support::run(ProcessBuilder::new(&text(
            r#"(module (func (export "_start")))"#
        )))
        .success()
    );
}

#[test]
fn an_error_of_a_host_function_is_a_trap_with_its_message() {
    let module =
        text(r#"(module (import "host" "fail" (func $f)) (func (export "_start") (call $f)))"#);
    let status = crate::support::run(ProcessBuilder::new(&module).linker(|linker| {
        linker.func_wrap("host", "fail", || -> Result<(), _> {
            Err(wasmtime::Error::msg("no more paper"))
        })?;
        Ok(())
    }));
    assert_eq!(crate::support::trap(status).reason, "no more paper");
}

/// Without interruption a thread ends when it waits or calls the host, as promised.
#[test]
fn threads_that_cannot_be_interrupted_end_at_calls_of_the_host() {
    let engine = Engine::builder()
        .stopping(threadwork_engine::Stopping::Never)
        .build()
        .unwrap();
    for call in [
        "(drop (call $yield))",
        "(drop (call $spawn (i32.const 0)))",
        "(drop (call $clock (i32.const 1) (i64.const 0) (i32.const 512)))",
        "(drop (call $random (i32.const 512) (i32.const 8)))",
        "(drop (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200)))",
        "(drop (call $fd_close (i32.const 99)))",
        "(call $wait_an_hour)",
    ] {
        let text = plot_text(&format!(
            r#"(func (export "wasi_thread_start") (param i32 i32))
               (func (export "_start") (call $say (i32.const 0)) (loop {call} (br 0)))"#
        ));
        let module = Module::new(&engine, text.as_bytes()).unwrap();
        let (builder, stage) = on_stage(&module);
        let process = start(builder);
        stage.hear();
        process.kill();
        assert!(is_killed(&process.wait()), "{call}");
    }
}

/// A call of the host that is long because the guest asked for much.
#[test]
fn long_calls_end_too() {
    let module = crowd_of_randoms();
    let (builder, stage) = on_stage(&module);
    let process = start(builder);
    stage.hear();
    let began = std::time::Instant::now();
    process.kill();
    assert!(is_killed(&process.wait()));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

fn crowd_of_randoms() -> Module {
    // 64 pages are 4 MiB: ask for all of them, a thousand times over.
    plot(
        r#"(func (export "wasi_thread_start") (param i32 i32))
           (func (export "_start")
             (drop (memory.grow (i32.const 62)))
             (call $say (i32.const 0))
             (loop
               (drop (call $random (i32.const 0) (i32.const 0x400000)))
               (br 0)))"#,
    )
}

/// The last handles of an engine go while its process runs: it stays until the end.
#[test]
fn an_engine_lives_as_long_as_its_processes() {
    let engine = Engine::new().unwrap();
    let module = Module::new(&engine, plot_text(&crowd_text(3, COMPUTE)).as_bytes()).unwrap();
    let (builder, stage) = on_stage(&module);
    let process = start(builder);
    drop((engine, module));
    for _ in 0..4 {
        stage.hear();
    }
    process.kill();
    assert!(is_killed(&process.wait()));
}

/// Threads come and go, and a kill meets the moment between a spawn and its thread.
#[test]
fn kills_meet_spawns_at_any_moment() {
    let module = crowd(6, RETURN);
    for round in 0..300 {
        let (builder, stage) = on_stage(&module);
        let process = start(builder);
        for _ in 0..round % 8 {
            stage.hear();
        }
        process.kill();
        assert!(is_killed(&process.wait()));
        let stats = process.stats();
        assert_eq!(stats.threads_alive, 0);
        assert!(stats.threads_started <= 7);
    }
    let _ = engine();
}
