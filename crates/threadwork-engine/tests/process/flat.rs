//! Thousands of processes in one host program: none hangs, and nothing of them is
//! left, neither threads nor file descriptors nor memory.
//!
//! Each test runs itself again as a program of its own, so that what it counts is
//! nobody else's.

use crate::holdings::{Holdings, Random, alone};
use crate::support::{Watch, guest, on_stage, plot};
use std::time::{Duration, Instant};
use threadwork_engine::{Limits, Module, Output, ProcessBuilder, Stdin};

fn rounds() -> u32 {
    match std::env::var("THREADWORK_FULL").as_deref() {
        Ok("1") => 10_000,
        _ => 2_000,
    }
}

/// Runs `round` for a tenth of the rounds to warm up, and then for all of them.
fn stays_flat(mut round: impl FnMut(u32)) {
    let rounds = rounds();
    let watched = |number: u32, round: &mut dyn FnMut(u32)| {
        let _watch = Watch::start();
        round(number);
    };
    (0..rounds / 10).for_each(|number| watched(number, &mut round));
    let before = Holdings::now(0);
    (0..rounds).for_each(|number| watched(number, &mut round));
    Holdings::now(0).must_not_exceed(&before);
}

/// Main starts a thread for each thing that threads can do, again and again.
fn zoo() -> Module {
    plot(
        r#"(func (export "wasi_thread_start") (param i32) (param $what i32)
             ;; Storms would spawn a thread that spawns; one level is enough.
             (if (i32.eq (local.get $what) (i32.const 6))
               (then (drop (call $spawn (i32.const 7))) (drop (call $spawn (i32.const 2))))
               (else (call $do (local.get $what)))))
           (func (export "_start") (local $n i32)
             (loop
               (drop (call $spawn
                 (i32.add (i32.const 1) (i32.rem_u (local.get $n) (i32.const 7)))))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (drop (memory.grow (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 14))))
             (call $sleep))"#,
    )
}

#[test]
fn thousands_of_processes_killed_at_random_points() {
    alone("flat::killed_at_random_points");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn killed_at_random_points() {
    let module = zoo();
    let mut random = Random(0x1234_5678_9abc_def1);
    stays_flat(|number| {
        let (builder, _stage) = on_stage(&module);
        let process = builder
            .stdin(Stdin::Pipe)
            .stdout(Output::Pipe)
            .stderr(Output::Buffer)
            .limits(
                Limits::default()
                    .threads(12)
                    .wall_time(Duration::from_secs(100)),
            )
            .spawn()
            .unwrap();
        let wait = Instant::now() + Duration::from_micros(random.below(500));
        while Instant::now() < wait {
            std::hint::spin_loop();
        }
        match number % 3 {
            0 => process.kill(),
            1 => process.killer().kill(),
            // By the drop.
            _ => return,
        }
        assert_eq!(process.wait().code(), 130);
    });
}

#[test]
fn thousands_of_real_programs_killed_at_random_points() {
    alone("flat::real_programs");
}

/// Rayon, files and pipes: each killed somewhere between its start and its end.
#[test]
#[ignore = "run by another test, in a program of its own"]
fn real_programs() {
    let programs = ["rayon-mix", "files", "stdio", "std-sync"].map(guest);
    let mut random = Random(0x0dd0_5eed_5eed_0dd1);
    stays_flat(|number| {
        let folder = tempfile::tempdir().unwrap();
        let process = ProcessBuilder::new(&programs[number as usize % programs.len()])
            .arg("/data")
            .preopen_dir(folder.path(), "/data")
            .stdin(Stdin::Pipe)
            .stdout(Output::Pipe)
            .stderr(Output::Buffer)
            .spawn()
            .unwrap();
        // A pipe that nobody reads is full sooner or later.
        let _pipes = (process.take_stdin(), process.take_stdout());
        std::thread::sleep(Duration::from_micros(random.below(8_000)));
        process.kill();
        let status = process.wait();
        assert!([0, 130].contains(&status.code()), "{status}");
    });
}

#[test]
fn thousands_of_processes_that_end_by_themselves() {
    alone("flat::ending_by_themselves");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn ending_by_themselves() {
    let end = |end: &str| {
        plot(&format!(
            r#"(func (export "wasi_thread_start") (param i32) (param $last i32)
                 (call $count)
                 (if (local.get $last) (then {end}) (else (call $wait))))
               (func (export "_start")
                 (drop (call $spawn (i32.const 0)))
                 (drop (call $spawn (i32.const 0)))
                 (call $until_counted (i32.const 2))
                 (drop (call $spawn (i32.const 1)))
                 (call $until_counted (i32.const 4)))"#
        ))
    };
    // Return, exit, trap, deadlock.
    let ends = [
        (end("(call $count)"), 0),
        (end("(call $exit (i32.const 3))"), 3),
        (end("(unreachable)"), 134),
        (end("(call $wait)"), 120),
    ];
    stays_flat(|number| {
        let (module, code) = &ends[number as usize % ends.len()];
        let (builder, _stage) = on_stage(module);
        let folder = std::env::temp_dir();
        let builder = builder
            .preopen_dir(folder, "/")
            .stdin(Stdin::Bytes(vec![0; 1000]));
        let status = builder.run().unwrap();
        assert_eq!(status.code(), *code, "{status}");
    });
}

#[test]
fn thousands_of_modules_and_engines() {
    alone("flat::modules_and_engines");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn modules_and_engines() {
    let text = crate::support::plot_text(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $count))
           (func (export "_start")
             (drop (call $spawn (i32.const 0))) (call $until_counted (i32.const 1)))"#,
    );
    let mut engine = threadwork_engine::Engine::new().unwrap();
    stays_flat(|number| {
        // Compiling is slow: a tenth as many.
        if number % 10 != 0 {
            return;
        }
        if number % 50 == 0 {
            engine = threadwork_engine::Engine::new().unwrap();
        }
        let module = Module::new(&engine, text.as_bytes()).unwrap();
        let (builder, _stage) = on_stage(&module);
        assert!(builder.run().unwrap().success());
    });
}

#[test]
fn spawns_without_end_in_one_process() {
    alone("flat::threads_of_one_process");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn threads_of_one_process() {
    // The segment makes `data.drop` a flag; the table makes the instance unfit to be
    // used again: both ways of getting the next instance.
    for body in ["", "(table.set $t (i32.const 0) (ref.null func))"] {
        let module = plot(&format!(
            r#"(table $t 1 funcref)
               (func (export "wasi_thread_start") (param i32 i32) {body} (call $count))
               (func (export "_start") (local $n i32)
                 (loop
                   (drop (call $spawn (i32.const 0)))
                   (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (call $until_counted (local.get $n))
                   (if (i32.eqz (i32.rem_u (local.get $n) (i32.const 1000)))
                     (then (call $say (local.get $n)) (call $until_open)))
                   (br 0)))"#
        ));
        let _watch = Watch::start();
        let (builder, stage) = on_stage(&module);
        let process = builder.spawn().unwrap();
        stage.hear();
        stage.open();
        let at = |n: i32| {
            while stage.hear() < n {}
            // While the process goes on, whose workers come and go.
            let mut holdings = Holdings::now(usize::MAX);
            holdings.threads = 0;
            holdings
        };
        let before = at(3000);
        at(rounds() as i32 * 5).must_not_exceed(&before);
        process.kill();
        assert_eq!(process.wait().code(), 130);
    }
}

#[test]
fn handles_of_ended_processes_keep_no_memory() {
    alone("flat::hold_ended_processes");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn hold_ended_processes() {
    let _watch = Watch::start();
    // 4 MiB each.
    let module = plot(
        r#"(func (export "wasi_thread_start") (param i32 i32))
           (func (export "_start")
             (drop (memory.grow (i32.const 62)))
             (memory.fill (i32.const 8192) (i32.const 7) (i32.const 4186112)))"#,
    );
    let ended = || {
        let process = on_stage(&module).0.spawn().unwrap();
        let status = process.wait();
        assert!(status.success(), "{status}");
        process
    };
    drop(ended());
    let before = Holdings::now(0);
    let held: Vec<_> = (0..40).map(|_| ended()).collect();
    Holdings::now(0).must_not_exceed(&before);
    for process in held {
        assert!(process.memory().is_none());
        assert_eq!(process.stats().memory, 4 << 20);
        assert!(process.wait().success());
        assert!(process.threads().is_empty());
    }
}
