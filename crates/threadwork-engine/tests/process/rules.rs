//! The rules of wasi-threads: ids, spawns that fail, which end is the process's, and
//! that each thread has an instance that is as new, whatever it really is.

use crate::support::{
    COMPUTE, READ, SLEEP, WAIT, guest, on_stage, output, play, plot, read_line, run, start,
    text_guest, trap, until,
};
use threadwork_engine::{Activity, ExitStatus, Limits, Module, Output, ProcessBuilder, Stdin};

#[test]
fn ids_are_positive_distinct_among_the_living_and_below_2_to_the_29() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param $id i32) (param $argument i32)
             (call $say (local.get $id)) (call $count) (call $wait))
           (func (export "_start") (local $n i32)
             (loop
               (call $say (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 50))))
             (call $until_counted (i32.const 50)))"#,
    );
    let (mut ids, status) = play(&module);
    assert!(status.success(), "{status}");
    ids.sort_unstable();
    assert!(ids.iter().all(|id| (1..1 << 29).contains(id)), "{ids:?}");
    // Each once from its spawner, and once from the thread itself.
    let (pairs, _) = ids.as_chunks::<2>();
    assert!(pairs.iter().all(|[a, b]| a == b), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[test]
fn the_argument_arrives_as_it_was_given() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param $id i32) (param $argument i32)
             (call $say (local.get $argument)) (call $count))
           (func (export "_start")
             (drop (call $spawn (i32.const -1)))
             (call $until_counted (i32.const 1))
             (drop (call $spawn (i32.const 0x7fffffff)))
             (call $until_counted (i32.const 2)))"#,
    );
    let (heard, status) = play(&module);
    assert!(status.success(), "{status}");
    assert_eq!(heard, [-1, i32::MAX]);
}

/// The guest `endings`: who ends it and how, and what three siblings do meanwhile.
#[track_caller]
fn end(who: &str, how: &str, meanwhile: &str) -> (ExitStatus, String) {
    let builder = ProcessBuilder::new(&guest("endings")).args([who, how, meanwhile]);
    let process = start(builder.stdin(Stdin::Pipe).stdout(Output::Pipe));
    // Stays open and silent.
    let _stdin = process.take_stdin();
    let mut stdout = process.take_stdout().unwrap();
    assert_eq!(read_line(&mut stdout), "ready\n");
    let status = process.wait();
    assert_eq!(process.threads(), [], "no thread outlives its process");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
    (status, rest)
}

/// Every end, over siblings that do one thing.
fn all_endings_while(meanwhile: &str) {
    for who in ["main", "thread"] {
        let (status, rest) = end(who, "return", meanwhile);
        assert!(matches!(status, ExitStatus::Exited(0)), "{who}: {status}");
        // A thread that returns ends nothing.
        assert_eq!(rest, if who == "thread" { "joined\n" } else { "" });

        let (status, rest) = end(who, "exit:7", meanwhile);
        assert!(matches!(status, ExitStatus::Exited(7)), "{who}: {status}");
        assert_eq!(rest, "");

        for how in ["trap", "panic"] {
            let (status, rest) = end(who, how, meanwhile);
            let trap = trap(status);
            assert!(trap.reason.contains("unreachable"), "{who} {how}: {trap}");
            assert_eq!(trap.thread == 0, who == "main", "{who} {how}: {trap}");
            assert_eq!(rest, "");
            let function = if how == "trap" {
                "endings::trap"
            } else {
                "endings::end"
            };
            assert!(trap.to_string().contains(function), "{who} {how}: {trap}");
        }
    }
}

#[test]
fn endings_while_siblings_compute() {
    all_endings_while("compute");
}

#[test]
fn endings_while_siblings_wait() {
    all_endings_while("wait");
}

#[test]
fn endings_while_siblings_sleep() {
    all_endings_while("sleep");
}

#[test]
fn endings_while_siblings_read() {
    all_endings_while("read");
}

/// A thread ends the process while main itself is in each of the situations.
#[test]
fn a_thread_ends_the_process_whatever_main_does() {
    for main_does in [COMPUTE, WAIT, SLEEP, READ] {
        for (end, code) in [("(call $exit (i32.const 9))", 9), ("(unreachable)", 134)] {
            let module = plot(&format!(
                r#"(func (export "wasi_thread_start") (param i32 i32) (call $until_open) {end})
                   (func (export "_start")
                     (drop (call $spawn (i32.const 0)))
                     (call $say (i32.const 1))
                     (call $do (i32.const {main_does})))"#
            ));
            let (builder, stage) = on_stage(&module);
            let process = start(builder.stdin(Stdin::Pipe));
            let _stdin = process.take_stdin();
            stage.hear();
            until(|| {
                let main = process.threads()[0].activity;
                match main_does {
                    COMPUTE => main == Activity::Running,
                    WAIT => main == Activity::Waiting { address: 0 },
                    _ => main == Activity::InHostCall,
                }
            });
            stage.open();
            assert_eq!(process.wait().code(), code, "main does {main_does}");
        }
    }
}

#[test]
fn the_first_end_wins_and_later_ones_are_not_looked_at() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32)
             (call $until_open) (call $exit (i32.const 3)))
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 8))))
             (call $say (i32.const 0))
             (call $until_open)
             (unreachable))"#,
    );
    for _ in 0..50 {
        let (builder, stage) = on_stage(&module);
        let process = start(builder);
        stage.hear();
        stage.open();
        let status = process.wait();
        assert!([3, 134].contains(&status.code()), "{status}");
        // And it stays what it was.
        assert_eq!(process.wait().code(), status.code());
    }
}

#[test]
fn a_failed_spawn_is_negative_and_the_guest_goes_on() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $wait))
           (func (export "_start")
             (call $say (call $spawn (i32.const 0)))
             (call $say (call $spawn (i32.const 0)))
             (call $say (i32.const 77)))"#,
    );
    let (builder, stage) = on_stage(&module);
    let process = start(builder.limits(Limits::default().threads(1)));
    assert!(process.wait().success());
    let heard = stage.heard();
    assert!(heard[0] > 0 && heard[1] < 0 && heard[2] == 77, "{heard:?}");
    assert_eq!(process.stats().spawns_failed, 1);
}

// ---- Instances ----

#[test]
fn start_functions_run_once_for_each_thread_and_not_ahead() {
    let text = text_guest("start-initializes.wat");
    let done = output(ProcessBuilder::new(&text));
    assert!(done.status.success(), "{}", done.status);
    // Data segments are written once for a process, by design.
    assert_eq!(done.stdout, "starts: 4\nwinners: 1\nsegment: kept\n");
}

#[test]
fn a_start_function_that_spawns_and_waits_works() {
    let module = plot(
        r#"(start $begin)
           (func $begin
             (if (i32.eqz (i32.atomic.rmw.add (i32.const 512) (i32.const 1))) (then
               (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 1)) (then unreachable))
               (call $until_counted (i32.const 1)))))
           (func (export "wasi_thread_start") (param i32 i32) (call $count))
           (func (export "_start") (call $say (i32.atomic.load (i32.const 512))))"#,
    );
    let (heard, status) = play(&module);
    assert!(status.success(), "{status}");
    assert_eq!(heard, [2]);
}

/// Runs 30 threads one after another. Each says what its instance looks like before
/// it changes it.
#[track_caller]
fn looks_new_to_every_thread(state: &str, look: &str, change: &str, new: i32) {
    let module = plot(&format!(
        r#"{state}
           (func $look (result i32) {look})
           (func $change {change})
           (func (export "wasi_thread_start") (param i32 i32)
             (call $say (call $look))
             (call $change)
             (call $say (call $look))
             (call $count))
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (call $until_counted (local.get $n))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 30)))))"#
    ));
    let (heard, status) = play(&module);
    assert!(status.success(), "{status}");
    assert_eq!(heard.len(), 60);
    for (before, after) in heard.chunks(2).map(|pair| (pair[0], pair[1])) {
        assert_eq!(before, new, "the instance was not as new");
        assert_ne!(after, new, "the change is none");
    }
}

#[test]
fn globals_are_new_for_each_thread() {
    looks_new_to_every_thread(
        "(global $number (mut i32) (i32.add (i32.const 40) (i32.const 2)))
         (global $wide (mut i64) (i64.const -5))
         (global $float (mut f64) (f64.const 1.5))
         (elem declare func $look) (global $function (mut funcref) (ref.null func))",
        "(i32.add (i32.add (global.get $number) (i32.wrap_i64 (global.get $wide)))
           (i32.add (i32.trunc_f64_s (f64.mul (global.get $float) (f64.const 2)))
             (ref.is_null (global.get $function))))",
        "(global.set $number (i32.const 100)) (global.set $wide (i64.const 1000))
         (global.set $float (f64.const 5000)) (global.set $function (ref.func $look))",
        42 - 5 + 3 + 1,
    );
}

#[test]
fn dropped_segments_are_new_for_each_thread() {
    // Length 0 does not trap on a dropped segment, so look by a flag in memory: the
    // first byte, written by `memory.init` of a segment that is there.
    looks_new_to_every_thread(
        "(data $text \"\\2a\") (global $dropped (mut i32) (i32.const 0))",
        "(i32.store8 (i32.const 600) (i32.const 0))
         (memory.init $text (i32.const 600) (i32.const 0)
           (i32.eqz (global.get $dropped)))
         (i32.load8_u (i32.const 600))",
        "(data.drop $text) (global.set $dropped (i32.const 1))",
        0x2a,
    );
}

#[test]
fn a_dropped_segment_traps_in_the_thread_that_dropped_it() {
    let module = plot(
        r#"(data $text "abc")
           (func (export "wasi_thread_start") (param i32) (param $drops i32)
             (if (local.get $drops) (then (data.drop $text)))
             (call $count)
             (memory.init $text (i32.const 600) (i32.const 0) (i32.const 3))
             (call $say (i32.const 1))
             (call $count))
           (func (export "_start")
             (drop (call $spawn (i32.const 0)))
             (call $until_counted (i32.const 2))
             (drop (call $spawn (i32.const 1)))
             (call $sleep))"#,
    );
    let (heard, status) = play(&module);
    assert_eq!(heard, [1]);
    assert!(trap(status).reason.contains("out of bounds"));
}

#[test]
fn tables_are_new_for_each_thread() {
    looks_new_to_every_thread(
        "(table $table 2 funcref) (elem (i32.const 0) $one) (elem declare func $two)
         (type $number (func (result i32)))
         (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))",
        "(call_indirect (type $number) (i32.const 0))",
        "(table.set $table (i32.const 0) (ref.func $two))",
        1,
    );
    looks_new_to_every_thread(
        "(table $table 2 funcref)",
        "(table.size $table)",
        "(drop (table.grow $table (ref.null func) (i32.const 3)))",
        2,
    );
    looks_new_to_every_thread(
        "(table $table 1 funcref) (elem $segment func $look)",
        "(ref.is_null (table.get $table (i32.const 0)))",
        "(table.init $table $segment (i32.const 0) (i32.const 0) (i32.const 1))",
        1,
    );
}

#[test]
fn a_memory_of_each_threads_own_is_new() {
    looks_new_to_every_thread(
        "(memory $own 1) (data (memory $own) (i32.const 8) \"\\07\")",
        "(i32.add (i32.load8_u $own (i32.const 8)) (memory.size $own))",
        "(i32.store8 $own (i32.const 8) (i32.const 90)) (drop (memory.grow $own (i32.const 1)))",
        8,
    );
}

/// A thread that ended by unwinding half-way must not leave its state to the next:
/// there is none, since the process ends. But one that is refused something goes on.
#[test]
fn threads_at_the_same_time_have_their_own_state() {
    let module = plot(
        r#"(global $mine (mut i32) (i32.const 0))
           (func (export "wasi_thread_start") (param $id i32) (param i32) (local $rounds i32)
             (if (global.get $mine) (then unreachable))
             (loop
               (global.set $mine (i32.add (global.get $mine) (local.get $id)))
               (local.set $rounds (i32.add (local.get $rounds) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $rounds) (i32.const 10000))))
             (if (i32.ne (global.get $mine) (i32.mul (local.get $id) (i32.const 10000)))
               (then unreachable))
             (call $count))
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 200))))
             (call $until_counted (i32.const 200)))"#,
    );
    let (_, status) = play(&module);
    assert!(status.success(), "{status}");
}

#[test]
fn the_memory_may_have_any_name_and_need_not_be_exported() {
    let program = text_guest("memory-other-name.wat");
    output(ProcessBuilder::new(&program)).expect_line("ok memory-other-name");
    let program = text_guest("hello-threads.wat");
    output(ProcessBuilder::new(&program)).expect_line("ok hello-threads");
}

#[test]
fn programs_without_threads_just_run() {
    output(ProcessBuilder::new(&text_guest("single.wat"))).expect_line("ok single");
    output(ProcessBuilder::new(&guest("fib-single")).arg("15")).expect_line("fib(15) = 610");
}

/// Without a shared memory the start function is the instance's; it still is the
/// program's code, and runs as such.
#[test]
fn the_start_function_of_a_program_without_threads_is_part_of_the_program() {
    let text = |start: &str| -> Module {
        let import = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
        crate::support::text(&format!(
            r#"(module {import} (memory (export "memory") 1) (start $begin) (func $begin {start})
                 (func (export "_start")))"#
        ))
    };
    assert!(run(ProcessBuilder::new(&text("nop"))).success());
    let status = run(ProcessBuilder::new(&text("(call $exit (i32.const 5))")));
    assert!(matches!(status, ExitStatus::Exited(5)), "{status}");
    assert_eq!(
        trap(run(ProcessBuilder::new(&text("unreachable")))).thread,
        0
    );
    let process = start(ProcessBuilder::new(&text("(loop (br 0))")));
    process.kill();
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
}

/// As clang makes of C++ exceptions and of setjmp, across calls and in each thread.
#[test]
fn exceptions_are_thrown_and_caught() {
    let module = plot(
        r#"(tag $thrown (param i32))
           (func $throws (param i32) (throw $thrown (local.get 0)))
           (func $catches (param i32) (result i32)
             (block $caught (result i32)
               (try_table (catch $thrown $caught) (call $throws (local.get 0)))
               (i32.const -1)))
           (func $rethrows (param i32) (result i32)
             (block $caught (result i32)
               (try_table (catch $thrown $caught)
                 (block $any (result exnref)
                   (try_table (catch_all_ref $any) (call $throws (local.get 0)))
                   (unreachable))
                 (throw_ref))
               (unreachable)))
           (func (export "wasi_thread_start") (param i32) (param $n i32)
             (call $say (call $catches (local.get $n)))
             (call $count))
           (func (export "_start")
             (call $say (call $rethrows (i32.const 1)))
             (drop (call $spawn (i32.const 2)))
             (call $until_counted (i32.const 1)))"#,
    );
    let (said, status) = play(&module);
    assert!(status.success(), "{status}");
    assert_eq!(said, [1, 2]);
}

#[test]
fn an_exception_that_nobody_catches_is_a_trap() {
    let module = plot(
        r#"(tag $thrown)
           (func (export "wasi_thread_start") (param i32 i32))
           (func (export "_start") (throw $thrown))"#,
    );
    let (_, status) = play(&module);
    assert!(status.to_string().contains("exception"), "{status}");
}
