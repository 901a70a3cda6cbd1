//! The limit of memory counts in sum, and a limit is named only where it explains a trap.

use crate::holdings::alone;
use crate::support::{Watch, exceeded, on_stage, plot, run, start, text, trap};
use std::time::Duration;
use threadwork_engine::{ExitStatus, Limit, Limits, Module, Output, ProcessBuilder};

const PAGE: u64 = 64 << 10;

/// `ENOSPC` of WASI.
const NO_SPACE: i32 = 51;

fn pages(count: u64) -> Limits {
    Limits::default().memory(count * PAGE)
}

/// What a program says, and how it ends.
fn under(limits: Limits, module: &Module) -> (Vec<i32>, ExitStatus) {
    let (builder, stage) = on_stage(module);
    let status = run(builder.limits(limits));
    (stage.heard(), status)
}

const STAGE: &str = r#"
  (import "stage" "say" (func $say (param i32)))
  (import "stage" "open" (func (result i32)))"#;

// ---- In sum ----

/// As in browsers, without any limit of the embedder's: to fill one takes time.
#[test]
fn a_table_has_ten_million_elements_at_most() {
    let module = text(&format!(
        r#"(module {STAGE}
             (table $t 1 funcref)
             (func (export "_start")
               (call $say (table.grow $t (ref.null func) (i32.const 10000000)))
               (call $say (table.grow $t (ref.null func) (i32.const 9999999)))
               (call $say (table.grow $t (ref.null func) (i32.const 1)))))"#
    ));
    let (heard, status) = under(Limits::default(), &module);
    assert!(status.success(), "{status}");
    assert_eq!(heard, [-1, 1, -1]);
    let refused = text(r#"(module (table 10000001 funcref) (func (export "_start")))"#);
    assert!(ProcessBuilder::new(&refused).spawn().is_err());
}

/// What each thread's instance has for itself of globals and segments, where that is much.
#[test]
fn globals_and_segments_of_elements_count_for_each_thread() {
    for (what, size) in [
        (
            "(global (mut i64) (i64.const 1))".repeat(40_000),
            16 * 40_000,
        ),
        (format!("(elem func {})", "0 ".repeat(40_000)), 16 * 40_000),
    ] {
        let module = text(&format!(
            r#"(module {STAGE}
                 (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
                 (import "env" "memory" (memory 1 1 shared))
                 {what}
                 (func (export "wasi_thread_start") (param i32 i32) (drop
                   (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
                 (func (export "_start") (local $n i32)
                   (loop
                     (local.set $n (i32.add (local.get $n) (i32.const 1)))
                     (br_if 0 (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0))))
                   (call $say (local.get $n))))"#
        ));
        // The main thread and three others.
        let counted = size - (256 << 10);
        let limits = Limits::default().memory(PAGE + 4 * counted + counted / 2);
        let (heard, status) = under(limits.threads(20), &module);
        assert!(status.success(), "{status}");
        assert_eq!(heard, [4], "{}", &what[..20]);
        let refused = on_stage(&module)
            .0
            .limits(Limits::default().memory(PAGE + counted / 2));
        assert!(refused.spawn().is_err());
    }
}

#[test]
fn memories_that_are_not_shared_count_together() {
    let module = text(&format!(
        r#"(module {STAGE}
             (memory $a 1) (memory $b 1) (memory $c 1 64 shared)
             (func (export "_start")
               (loop
                 (drop (memory.grow $a (i32.const 1)))
                 (drop (memory.grow $c (i32.const 1)))
                 (br_if 0 (i32.ne (memory.grow $b (i32.const 1)) (i32.const -1))))
               (loop (br_if 0 (i32.ne (memory.grow $a (i32.const 1)) (i32.const -1))))
               (call $say (i32.add (memory.size $a)
                 (i32.add (memory.size $b) (memory.size $c))))
               unreachable))"#
    ));
    let (heard, status) = under(pages(20), &module);
    assert_eq!(heard, [20]);
    assert_eq!(exceeded(status).limit, Limit::Memory(20 * PAGE));
}

#[test]
fn tables_count_together_with_memories() {
    let module = text(&format!(
        r#"(module {STAGE}
             (memory (export "memory") 1)
             (table $a 0 funcref) (table $b 0 funcref)
             (func (export "_start")
               (loop
                 (drop (table.grow $b (ref.null func) (i32.const 64)))
                 (br_if 0 (i32.ne (i32.const -1)
                   (table.grow $a (ref.null func) (i32.const 64)))))
               (call $say (i32.add (table.size $a) (table.size $b)))
               (call $say (memory.grow (i32.const 1)))
               unreachable))"#
    ));
    let (heard, status) = under(pages(3), &module);
    // An element is two pointers of the host.
    assert_eq!(heard, [2 * 65536 / 16, -1]);
    assert_eq!(status.code(), 137);
}

#[test]
fn what_cannot_fit_at_the_start_is_an_error() {
    let cases = [
        (
            r#"(memory 3 20 shared) (memory 3 20 shared)"#,
            "the module's memory of at least 196608 bytes cannot be had: \
             the limit is 327680 bytes: raise it",
        ),
        (
            r#"(memory 3 20 shared) (memory 3)"#,
            "the module's memory of at least 196608 bytes cannot be had: \
             the limit is 327680 bytes: raise it",
        ),
        (
            r#"(memory 1 20 shared) (table 20000 funcref)"#,
            "the module's memory of at least 320000 bytes cannot be had: \
             the limit is 327680 bytes: raise it",
        ),
        (
            r#"(memory 3) (memory 3)"#,
            "the module's memory of at least 393216 bytes cannot be had: \
             the limit is 327680 bytes: raise it",
        ),
        (
            r#"(memory 3) (memory 3) (func $nothing) (start $nothing)"#,
            "the module's memory of at least 393216 bytes cannot be had: \
             the limit is 327680 bytes: raise it",
        ),
    ];
    for (memories, message) in cases {
        let module = text(&format!(r#"(module {memories} (func (export "_start")))"#));
        let error = ProcessBuilder::new(&module).limits(pages(5)).spawn();
        assert_eq!(error.unwrap_err().to_string(), message);
        assert!(run(ProcessBuilder::new(&module).limits(pages(7))).success());
    }
}

/// Instances that cannot be used again are remade when a thread has ended: that time is the
/// process's, though none of its threads has it.
#[test]
fn time_for_making_instances_counts() {
    alone("totals::remakes_instances");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn remakes_instances() {
    let _watch = Watch::start();
    // A table that takes a while to make; the next thread starts when it is there.
    let module = plot(
        r#"(table $t 200000 funcref)
           (func $change (table.set $t (i32.const 0) (ref.null func)))
           (elem (i32.const 7) $change)
           (func (export "wasi_thread_start") (param i32 i32) (call $count))
           (func (export "_start") (local $n i32)
             (loop
               (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)) (then unreachable))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (call $until_counted (local.get $n))
               (drop (memory.atomic.wait32 (i32.const 8000) (i32.const 0) (i64.const 20000000)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 100)))))"#,
    );
    let of_program = || {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the pointer is valid for the write.
        let told = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        assert_eq!(told, 0);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let builder = on_stage(&module).0;
    let before = of_program();
    let process = builder.spawn().unwrap();
    let status = process.wait();
    let used = of_program() - before;
    assert!(status.success(), "{status}");
    let counted = process.stats().cpu_time;
    println!("{counted:?} of {used:?}");
    assert!(counted > used / 2, "{counted:?} of {used:?}");
}

/// Each of 40 threads has a table of three fifths of the limit, one after another.
#[test]
fn what_an_instance_had_is_free_when_it_is_gone() {
    let module = plot(
        r#"(table $t 0 funcref)
           (func (export "wasi_thread_start") (param i32 i32)
             ;; The worker of the thread before may not be done with it yet.
             (loop
               (drop (call $yield))
               (br_if 0 (i32.eq (i32.const -1)
                 (table.grow $t (ref.null func) (i32.const 12288)))))
             (call $count))
           (func (export "_start") (local $n i32)
             (loop
               (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)) (then unreachable))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (call $until_counted (local.get $n))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 40)))))"#,
    );
    let (_, status) = under(pages(2 + 5), &module);
    assert!(status.success(), "{status}");
}

#[test]
fn tables_of_all_threads_count_together() {
    let module = plot(
        r#"(table $t 0 funcref)
           (func (export "wasi_thread_start") (param i32 i32)
             (call $say (table.grow $t (ref.null func) (i32.const 12288)))
             (call $count) (call $wait))
           (func (export "_start")
             (drop (call $spawn (i32.const 0)))
             (call $until_counted (i32.const 1))
             (drop (call $spawn (i32.const 0)))
             (call $until_counted (i32.const 2)))"#,
    );
    let (heard, status) = under(pages(2 + 5), &module);
    assert!(status.success(), "{status}");
    assert_eq!(heard, [0, -1]);
}

// ---- Kept output ----

/// Writes 4 KiB each time until that fails; says what it had written, and the error.
const FLOOD: &str = r#"
  (func $flood (result i32) (local $sum i32) (local $error i32)
    (loop
      (local.set $error
        (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200)))
      (if (i32.eqz (local.get $error)) (then
        (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 200))))
        (br 1))))
    (call $say (local.get $sum))
    (local.get $error))
  (func (export "wasi_thread_start") (param i32 i32))"#;

#[test]
fn kept_output_counts_until_it_is_taken() {
    let module = plot(&format!(
        r#"{FLOOD}
           (func (export "_start")
             (call $say (call $flood))
             (call $until_open)
             (call $say (call $flood))
             unreachable)"#
    ));
    let (builder, stage) = on_stage(&module);
    // The last write is cut.
    let limits = Limits::default().memory(4 * PAGE + 100);
    let process = start(builder.stdout(Output::Buffer).limits(limits));
    let room = 2 * PAGE + 100;
    assert_eq!(stage.hear(), room as i32);
    assert_eq!(stage.hear(), NO_SPACE);
    assert_eq!(process.stdout_buffer().len() as u64, room);
    stage.open();
    assert_eq!(stage.hear(), room as i32);
    assert_eq!(stage.hear(), NO_SPACE);
    let status = process.wait();
    assert_eq!(status.code(), 137, "{status}");
    assert_eq!(exceeded(status).limit, Limit::Memory(4 * PAGE + 100));
    assert_eq!(process.stdout_buffer().len() as u64, room);
}

// ---- Reports ----

#[test]
fn long_names_are_cut() {
    let name = "n".repeat(100_000);
    let module = text(&format!(
        r#"(module (func ${name} unreachable) (func (export "_start") (call ${name})))"#
    ));
    let trap = trap(run(ProcessBuilder::new(&module)));
    let frames = trap.backtrace.frames();
    let function = frames[0].function.as_ref().unwrap();
    assert_eq!(*function, format!("{}\u{2026}", "n".repeat(256)));
}

#[test]
fn the_report_of_a_deadlock_has_a_bounded_number_of_backtraces() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $wait))
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 299))))
             (call $wait))"#,
    );
    let ExitStatus::Deadlock(report) = under(Limits::default(), &module).1 else {
        panic!("no deadlock");
    };
    assert_eq!(report.threads.len(), 300);
    let traces = report.threads.iter();
    assert_eq!(traces.filter(|t| !t.backtrace.is_empty()).count(), 256);
}

// ---- What is blamed ----

/// The status of a program that does `body` with a limit of 8 pages, 1 thread.
fn ends(body: &str) -> ExitStatus {
    let module = plot(&format!(
        r#"(memory $own 1 2) (table $table 0 2 funcref)
           (func $grow (drop (memory.grow $own (i32.const 1))))
           (func $too_much (drop (memory.grow (i32.const 6))))
           (func $spawn_wait (drop (call $spawn (i32.const 0))))
           {body}"#
    ));
    under(pages(8).threads(1), &module).1
}

/// A thread that waits.
const WAITS: &str = r#"(func (export "wasi_thread_start") (param i32 i32) (call $wait))"#;

#[track_caller]
fn blames(body: &str, limit: Option<Limit>) {
    let status = ends(body);
    match limit {
        None => drop(trap(status)),
        Some(limit) => assert_eq!(exceeded(status).limit, limit),
    }
}

#[test]
fn a_growth_past_the_modules_own_maximum_is_not_blamed_on_the_limit() {
    for grow in [
        "(memory.grow $own (i32.const 2))",
        "(memory.grow (i32.const 63))",
        "(table.grow $table (ref.null func) (i32.const 3))",
    ] {
        let body = format!(
            r#"{WAITS} (func (export "_start")
                 (if (i32.ne (i32.const -1) {grow}) (then (call $exit (i32.const 1))))
                 unreachable)"#
        );
        blames(&body, None);
    }
}

#[test]
fn a_limit_is_blamed_for_a_trap_of_who_met_it() {
    let memory = Some(Limit::Memory(8 * PAGE));
    for end in ["unreachable", "(drop (i32.load (i32.const -4)))"] {
        let body = format!(r#"{WAITS} (func (export "_start") (call $too_much) {end})"#);
        blames(&body, memory);
    }
    let body = format!(
        r#"{WAITS} (func (export "_start")
             (call $spawn_wait) (call $too_much) (call $spawn_wait) unreachable)"#
    );
    blames(&body, Some(Limit::Threads(1)));
}

#[test]
fn a_limit_is_not_blamed_for_what_does_not_follow_from_it() {
    let body = format!(
        r#"{WAITS} (func (export "_start")
             (call $too_much) (drop (i32.div_s (i32.const 1) (i32.load (i32.const 0)))))"#
    );
    blames(&body, None);
}

#[test]
fn a_limit_is_not_blamed_once_something_of_its_kind_was_granted() {
    for grow in [
        "(call $grow)",
        "(drop (memory.grow (i32.const 1)))",
        "(drop (table.grow $table (ref.null func) (i32.const 1)))",
    ] {
        let body =
            format!(r#"{WAITS} (func (export "_start") (call $too_much) {grow} unreachable)"#);
        blames(&body, None);
    }
    // The first one ends when it may, and then there is room.
    blames(
        r#"(func (export "wasi_thread_start") (param i32 i32)
             (drop (memory.atomic.wait32 (i32.const 260) (i32.const 0) (i64.const -1))))
           (func (export "_start")
             (call $spawn_wait) (call $spawn_wait)
             (i32.atomic.store (i32.const 260) (i32.const 1))
             (drop (memory.atomic.notify (i32.const 260) (i32.const -1)))
             (loop (br_if 0 (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0))))
             unreachable)"#,
        None,
    );
}

#[test]
fn a_limit_is_not_blamed_for_a_trap_of_another_thread() {
    blames(
        r#"(func (export "wasi_thread_start") (param i32 i32)
             (call $too_much) (call $count) (call $wait))
           (func (export "_start")
             (call $spawn_wait) (call $until_counted (i32.const 1)) unreachable)"#,
        None,
    );
}
