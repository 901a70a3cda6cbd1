//! Limits: what is allowed succeeds, what is more is refused, and the status and the
//! message name the limit.

use crate::support::{
    Running, engine, exceeded, guest, on_stage, output, play, plot, run, start, text,
};
use std::time::{Duration, Instant};
use threadwork_engine::{Error, ExitStatus, Limit, Limits, Module, Output, ProcessBuilder, Stdin};

// ---- Threads ----

#[test]
fn exactly_so_many_threads_and_after_their_ends_as_many_again() {
    for most in [1, 3, 20] {
        let limits = Limits::default().threads(most);
        let done = output(ProcessBuilder::new(&guest("spawn-until-fail")).limits(limits));
        done.expect_line(&format!("spawned {most} error WouldBlock"));
        done.expect_line("ok spawn-until-fail");
    }
}

/// The guest sees a thread's end before the host is done with it; a spawn right after
/// must succeed all the same.
#[test]
fn spawn_and_join_at_the_limit_never_fail() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $count))
           (func (export "_start") (local $n i32)
             (loop
               (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 1)) (then unreachable))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (call $until_counted (local.get $n))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 2000)))))"#,
    );
    let (builder, _stage) = on_stage(&module);
    let process = start(builder.limits(Limits::default().threads(1)));
    let status = process.wait();
    assert!(status.success(), "{status}");
    let stats = process.stats();
    assert_eq!((stats.threads_started, stats.threads_peak), (2001, 2));
    assert_eq!(stats.spawns_failed, 0);
}

/// Main is refused a hundred spawns by a limit of 4, then says so.
fn hundred_refusals(child: &str) -> Module {
    plot(&format!(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $count) {child})
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 4))))
             (call $until_counted (i32.const 4))
             (local.set $n (i32.const 0))
             (loop
               (if (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0)) (then unreachable))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 100))))
             (call $say (i32.const 100))
             (call $wait_an_hour))"#
    ))
}

#[test]
fn refused_spawns_use_no_cpu_time() {
    for child in ["(call $wait)", "(call $compute)", "(call $storm)"] {
        let (builder, stage) = on_stage(&hundred_refusals(child));
        let process = start(builder.limits(Limits::default().threads(4)));
        assert_eq!(stage.hear(), 100);
        // 20 ms each would be 2 s.
        let main = process.threads()[0].cpu_time.unwrap();
        assert!(main < Duration::from_millis(500), "{child}: {main:?}");
        assert!(process.stats().spawns_failed >= 100);
    }
}

#[test]
fn a_spawn_is_refused_at_once_if_nobody_can_end() {
    let (builder, stage) = on_stage(&hundred_refusals("(call $wait)"));
    let began = Instant::now();
    let process = start(builder.limits(Limits::default().threads(4)));
    assert_eq!(stage.hear(), 100);
    // Each after 20 ms would be 2 s.
    assert!(began.elapsed() < Duration::from_millis(1900));
    assert_eq!(process.stats().spawns_failed, 100);
}

#[test]
fn a_trap_after_a_refused_spawn_names_the_limit() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $wait))
           (func (export "_start")
             (loop (br_if 0 (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0))))
             unreachable)"#,
    );
    let (builder, _stage) = on_stage(&module);
    let status = run(builder.limits(Limits::default().threads(4)));
    assert_eq!(status.code(), 121);
    assert!(
        status
            .to_string()
            .starts_with("the limit of 4 threads was reached; then the main")
    );
    let exceeded = exceeded(status);
    assert_eq!(exceeded.limit, Limit::Threads(4));
    assert!(exceeded.trap.is_some());
}

// ---- Memory ----

#[test]
fn a_memory_that_is_too_large_at_first_is_an_error() {
    for text in [
        r#"(module (import "env" "memory" (memory 10 20 shared)) (func (export "_start")))"#,
        r#"(module (memory (export "memory") 10) (func (export "_start")))"#,
        r#"(module (memory 10 20 shared) (func (export "_start")))"#,
    ] {
        let module = crate::support::text(text);
        let builder = ProcessBuilder::new(&module).limits(Limits::default().memory(9 << 16));
        let error = builder.spawn().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the module's memory of at least 655360 bytes cannot be had: \
             the limit is 589824 bytes: raise it"
        );
        let builder = ProcessBuilder::new(&module).limits(Limits::default().memory(10 << 16));
        assert!(run(builder).success());
    }
}

/// Grows by one page until that is refused, and says what it came to.
fn grows(memory: &str) -> Module {
    text(&format!(
        r#"(module
             (import "stage" "say" (func $say (param i32)))
             (import "stage" "open" (func (result i32)))
             {memory}
             (func (export "_start")
               (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
               (call $say (memory.size))
               (if (i32.eqz (i32.const 0)) (then unreachable))))"#
    ))
}

#[test]
fn growth_is_refused_at_the_limit_and_a_trap_names_it() {
    for memory in [
        r#"(import "env" "memory" (memory 2 100 shared))"#,
        r#"(memory 2 100 shared)"#,
        r#"(memory (export "memory") 2 100)"#,
        r#"(memory (export "memory") 2)"#,
    ] {
        let module = grows(memory);
        let (builder, stage) = on_stage(&module);
        // A part of a page counts for nothing.
        let bytes = (7 << 16) + 1;
        let status = run(builder.limits(Limits::default().memory(bytes)));
        assert_eq!(stage.heard(), [7], "{memory}");
        assert_eq!(status.code(), 137);
        assert_eq!(exceeded(status).limit, Limit::Memory(bytes));
    }
}

#[test]
fn growth_beyond_the_modules_own_maximum_is_no_limit_of_ours() {
    let module = grows(r#"(import "env" "memory" (memory 2 5 shared))"#);
    let (heard, status) = play(&module);
    assert_eq!(heard, [5]);
    assert!(matches!(status, ExitStatus::Trapped(_)), "{status}");
}

#[test]
fn several_shared_memories_have_the_limit_together() {
    let module = text(
        r#"(module
             (import "stage" "say" (func $say (param i32)))
             (import "stage" "open" (func (result i32)))
             (memory $a 1 100 shared) (memory $b 1 100 shared)
             (func (export "_start")
               (loop
                 (drop (memory.grow $a (i32.const 1)))
                 (br_if 0 (i32.ne (memory.grow $b (i32.const 1)) (i32.const -1))))
               (loop (br_if 0 (i32.ne (memory.grow $a (i32.const 1)) (i32.const -1))))
               (call $say (i32.add (memory.size $a) (memory.size $b)))))"#,
    );
    let (builder, stage) = on_stage(&module);
    let status = run(builder.limits(Limits::default().memory(10 << 16)));
    assert!(status.success(), "{status}");
    assert_eq!(stage.heard(), [10]);
}

#[test]
fn a_rust_program_that_runs_out_of_memory_names_the_limit() {
    let limits = Limits::default().memory(64 << 20);
    let builder = ProcessBuilder::new(&guest("grow"))
        .arg("256")
        .limits(limits);
    let done = output(builder);
    // It copes with the refusal, as far as it can.
    if done.status.success() {
        assert!(done.stdout.contains("refused yes"), "{}", done.stdout);
    } else {
        assert_eq!(exceeded(done.status).limit, Limit::Memory(64 << 20));
    }
}

#[test]
fn tables_are_bounded_too() {
    let module = text(
        r#"(module (memory (export "memory") 1) (table $t 0 funcref)
             (func (export "_start")
               (loop (br_if 0 (i32.ne (i32.const -1)
                 (table.grow $t (ref.null func) (i32.const 1000)))))
               unreachable))"#,
    );
    let status = run(ProcessBuilder::new(&module).limits(Limits::default().memory(1 << 20)));
    assert_eq!(exceeded(status).limit, Limit::Memory(1 << 20));
}

// ---- Time ----

/// Main and a thread do `what`.
fn two(what: &str) -> Module {
    plot(&format!(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call ${what}))
           (func (export "_start") (drop (call $spawn (i32.const 0))) (call ${what}))"#
    ))
}

#[track_caller]
fn silent(builder: ProcessBuilder) -> (Running, impl Sized) {
    let process = start(builder.stdin(Stdin::Pipe).stdout(Output::Pipe));
    let ends = (process.take_stdin(), process.take_stdout());
    (process, ends)
}

#[test]
fn wall_time_passes_whatever_threads_do() {
    for what in ["compute", "wait_an_hour", "sleep", "read", "write", "storm"] {
        let limit = Duration::from_millis(30);
        let (builder, _stage) = on_stage(&two(what));
        let began = Instant::now();
        let (process, _ends) = silent(builder.limits(Limits::default().wall_time(limit)));
        let status = process.wait();
        assert!(began.elapsed() >= limit, "{what}: too early");
        assert_eq!(status.code(), 124, "{what}: {status}");
        assert_eq!(
            status.to_string(),
            "the limit of 30ms of wall-clock time was reached"
        );
        assert_eq!(exceeded(status).limit, Limit::WallTime(limit));
    }
}

#[test]
fn cpu_time_is_used_by_computing_only() {
    let limit = Duration::from_millis(60);
    let limits = Limits::default().cpu_time(limit);
    let (builder, _stage) = on_stage(&two("compute"));
    let process = start(builder.limits(limits));
    let status = process.wait();
    assert_eq!(status.code(), 152, "{status}");
    assert_eq!(exceeded(status).limit, Limit::CpuTime(limit));
    let used = process.stats().cpu_time;
    assert!(used >= limit, "ended after {used:?}");

    for what in ["wait_an_hour", "sleep", "read"] {
        let (builder, _stage) = on_stage(&two(what));
        let (process, _ends) = silent(builder.limits(limits));
        assert!(
            process.wait_timeout(2 * limit).is_none(),
            "{what} uses no CPU time"
        );
    }
}

#[test]
fn cpu_time_of_threads_that_have_ended_counts() {
    // Each thread computes for a moment only.
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32) (local $n i32)
             (loop
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 100000))))
             (call $count))
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn (i32.const 0)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (call $until_counted (local.get $n))
               (br 0)))"#,
    );
    let limit = Duration::from_millis(60);
    let (builder, _stage) = on_stage(&module);
    let status = run(builder.limits(Limits::default().cpu_time(limit)));
    assert_eq!(exceeded(status).limit, Limit::CpuTime(limit));
}

#[test]
fn limits_beyond_all_time_are_none() {
    let limits = Limits::default()
        .wall_time(Duration::MAX)
        .cpu_time(Duration::MAX);
    let module = text(r#"(module (func (export "_start")))"#);
    assert!(run(ProcessBuilder::new(&module).limits(limits)).success());
}

// ---- Files ----

/// Opens "f" in the directory 3 and says the descriptor, or minus the error.
const OPEN: &str = r#"
  (data (i32.const 512) "f")
  (func $open (local $error i32)
    (local.set $error (call $path_open (i32.const 3) (i32.const 0) (i32.const 512)
      (i32.const 1) (i32.const 1) (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.const 520)))
    (call $say (if (result i32) (local.get $error)
      (then (i32.sub (i32.const 0) (local.get $error)))
      (else (i32.load (i32.const 520))))))
  (func (export "wasi_thread_start") (param i32 i32))
"#;

/// `EMFILE` of WASI.
const TOO_MANY: i32 = -33;

#[test]
fn open_files_are_counted_and_close_makes_room() {
    let module = plot(&format!(
        r#"{OPEN} (func (export "_start")
             (call $open) (call $open) (call $open)
             (drop (call $fd_close (i32.const 4)))
             (call $open) (call $open)
             ;; 5 goes, its number is 4's new file.
             (drop (call $fd_renumber (i32.const 4) (i32.const 5)))
             (call $open) (call $open)
             ;; Closing what is not open makes no room.
             (drop (call $fd_close (i32.const 99)))
             (call $open)
             unreachable)"#
    ));
    let folder = tempfile::tempdir().unwrap();
    let (builder, stage) = on_stage(&module);
    let builder = builder.preopen_dir(folder.path(), "/");
    let status = run(builder.limits(Limits::default().open_files(2)));
    assert_eq!(
        stage.heard(),
        [4, 5, TOO_MANY, 4, TOO_MANY, 4, TOO_MANY, TOO_MANY]
    );
    assert_eq!(status.code(), 122);
    assert_eq!(exceeded(status).limit, Limit::OpenFiles(2));
}

#[test]
fn a_failed_open_counts_for_nothing() {
    let module = plot(&format!(
        r#"{OPEN} (func (export "_start")
             (i32.store8 (i32.const 512) (i32.const 0x2f)) (call $open) (call $open)
             (i32.store8 (i32.const 512) (i32.const 0x66)) (call $open) (call $open))"#
    ));
    let folder = tempfile::tempdir().unwrap();
    let (builder, stage) = on_stage(&module);
    let builder = builder.preopen_dir(folder.path(), "/");
    assert!(run(builder.limits(Limits::default().open_files(1))).success());
    let heard = stage.heard();
    assert!(
        heard[0] < 0 && heard[1] < 0 && heard[0] != TOO_MANY,
        "{heard:?}"
    );
    assert_eq!(heard[2..], [4, TOO_MANY]);
}

/// `EDQUOT` of WASI.
const NO_QUOTA: i32 = 19;

/// Writes 4 KiB to 4 and says how much that was, or minus the error.
const PUT: &str = r#"
  (func $put (local $error i32)
    (local.set $error
      (call $fd_write (i32.const 4) (i32.const 192) (i32.const 1) (i32.const 200)))
    (call $say (if (result i32) (local.get $error)
      (then (i32.sub (i32.const 0) (local.get $error)))
      (else (i32.load (i32.const 200))))))
"#;

#[test]
fn bytes_written_to_files_are_counted() {
    let module = plot(&format!(
        r#"{OPEN} {PUT} (func (export "_start")
             (call $open)
             (call $put) (call $put) (call $put) (call $put)
             (call $say (call $fd_pwrite (i32.const 4)
               (i32.const 192) (i32.const 1) (i64.const 0) (i32.const 200)))
             (call $say (call $set_size (i32.const 4) (i64.const 10001)))
             (call $say (call $set_size (i32.const 4) (i64.const 10000)))
             (call $say (call $set_size (i32.const 4) (i64.const 5)))
             (call $put)
             unreachable)"#
    ));
    let folder = tempfile::tempdir().unwrap();
    let (builder, stage) = on_stage(&module);
    let builder = builder.preopen_dir(folder.path(), "/");
    let status = run(builder.limits(Limits::default().file_bytes(10_000)));
    assert_eq!(
        stage.heard(),
        [
            4, 4096, 4096, 1808, -NO_QUOTA, NO_QUOTA, NO_QUOTA, 0, 0, -NO_QUOTA
        ]
    );
    assert_eq!(status.code(), 153);
    assert!(
        status
            .to_string()
            .starts_with("the limit of 10000 bytes written to files was reached; then")
    );
    assert_eq!(exceeded(status).limit, Limit::FileBytes(10_000));
    let length = std::fs::metadata(folder.path().join("f")).unwrap().len();
    assert_eq!(length, 5);
}

#[test]
fn what_a_file_is_made_longer_by_and_what_is_overwritten_count_too() {
    let module = plot(&format!(
        r#"{OPEN} {PUT} (func (export "_start")
             (call $open)
             (call $say (call $set_size (i32.const 4) (i64.const 6000)))
             (call $put) (call $put))"#
    ));
    let folder = tempfile::tempdir().unwrap();
    for (limit, heard) in [
        (Some(10_000), [4, 0, 4000, -NO_QUOTA]),
        (Some(0), [4, NO_QUOTA, -NO_QUOTA, -NO_QUOTA]),
        (None, [4, 0, 4096, 4096]),
    ] {
        let (builder, stage) = on_stage(&module);
        let mut limits = Limits::default();
        limits.file_bytes = limit;
        let _ = std::fs::remove_file(folder.path().join("f"));
        let status = run(builder.preopen_dir(folder.path(), "/").limits(limits));
        assert!(status.success(), "{status}");
        assert_eq!(stage.heard(), heard);
    }
}

// ---- Zero ----

#[test]
fn limits_of_zero_are_errors_that_say_the_least() {
    let module = text(r#"(module (func (export "_start")))"#);
    let zero = Duration::ZERO;
    for (limits, message) in [
        (
            Limits::default().threads(0),
            "the limit of 0 threads lets nothing run: give at least one thread",
        ),
        (
            Limits::default().memory(0),
            "the limit of 0 bytes of memory lets nothing run: give at least one page (65536 bytes)",
        ),
        (
            Limits::default().memory(65535),
            "the limit of 65535 bytes of memory lets nothing run: \
             give at least one page (65536 bytes)",
        ),
        (
            Limits::default().wall_time(zero),
            "the limit of 0ns of wall-clock time lets nothing run: give at least one nanosecond",
        ),
        (
            Limits::default().cpu_time(zero),
            "the limit of 0ns of CPU time lets nothing run: give at least one nanosecond",
        ),
        (
            Limits::default().open_files(0),
            "the limit of 0 open files lets nothing run: give at least one file",
        ),
    ] {
        let error = ProcessBuilder::new(&module)
            .limits(limits)
            .spawn()
            .unwrap_err();
        assert!(matches!(error, Error::ZeroLimit { .. }));
        assert_eq!(error.to_string(), message);
    }
    let _ = engine();
}

#[test]
fn programs_are_told_the_granted_number_unless_the_user_did() {
    let hello = guest("hello");
    let cores = engine().parallelism();
    for name in ["RAYON_NUM_THREADS", "THREADWORK_PARALLELISM"] {
        let told = |builder: ProcessBuilder| {
            let done = output(builder);
            assert!(done.status.success(), "{}", done.status);
            let prefix = format!("env {name}=");
            let mut told = done.stdout.lines().filter_map(|l| l.strip_prefix(&prefix));
            told.next().unwrap_or_default().to_owned()
        };
        assert_eq!(told(ProcessBuilder::new(&hello)), cores.to_string());
        let limited = ProcessBuilder::new(&hello).limits(Limits::default().threads(1));
        assert_eq!(told(limited), "1");
        assert_eq!(told(ProcessBuilder::new(&hello).env(name, "7")), "7");
    }
}
