//! What single operators order and reach, in programs of two threads.
//!
//! What a thread has done the other finds out by the size of the memory, which orders nothing for
//! the detector.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use threadwork_engine::{Engine, ExitStatus, Output, ProcessBuilder};
use threadwork_race::{Report, ReportKind};

/// Runs a program; what it reports, and how it ended.
fn run(text: &str) -> (Vec<Report>, ExitStatus) {
    let engine = Engine::new().unwrap();
    let (module, race) = threadwork_race::load(&engine, text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    let builder = ProcessBuilder::new(&module);
    let builder = builder.stdout(Output::Buffer).stderr(Output::Buffer);
    let status = race.watch(builder).run().unwrap();
    (race.reports(), status)
}

const NOTHING: [u64; 0] = [];

/// The addresses of the races that a program of two threads has, both of which do their part at
/// once. `address` is the type of its memory's addresses, `imports` are of functions.
fn races_of(address: &str, imports: &str, child: &str, main: &str) -> Vec<u64> {
    let text = format!(
        r#"(module
          (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
          {imports}
          (import "env" "memory" (memory {address} 1 2 shared))
          (data $bytes "abcdefgh")
          (export "memory" (memory 0))
          (func $child {child})
          (func $main {main})
          (func (export "wasi_thread_start") (param i32 i32)
            (call $child)
            (drop (memory.grow ({address}.const 1))))
          (func (export "_start")
            (drop (call $spawn (i32.const 0)))
            (call $main)
            (loop (br_if 0 ({address}.eq (memory.size) ({address}.const 1))))))"#
    );
    let (reports, status) = run(&text);
    assert!(status.success(), "{status}: {text}");
    let races = reports
        .iter()
        .filter(|report| report.kind == ReportKind::Race);
    let mut addresses: Vec<_> = races.map(|report| report.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn races(child: &str, main: &str) -> Vec<u64> {
    races_of("i32", "", child, main)
}

#[test]
fn atomics_of_different_widths_synchronize_if_they_share_a_byte() {
    let main = |load: &str| {
        format!("(loop (br_if 0 (i32.eqz ({load})))) (drop (i32.load (i32.const 64)))")
    };
    let write = "(i32.store (i32.const 64) (i32.const 5))";
    for (store, load) in [
        (
            "i32.atomic.store8 (i32.const 129) (i32.const 1)",
            "i32.atomic.load (i32.const 128)",
        ),
        (
            "i64.atomic.store (i32.const 128) (i64.const 0x100000000)",
            "i32.atomic.load8_u (i32.const 132)",
        ),
        (
            "drop (i32.atomic.rmw16.add_u (i32.const 130) (i32.const 1))",
            "i64.ne (i64.atomic.load (i32.const 128)) (i64.const 0)",
        ),
    ] {
        let child = format!("{write} ({store})");
        assert_eq!(races(&child, &main(load)), NOTHING, "{store}, {load}");
    }
    // Neighbours tell nothing of each other: the flag is set before what is looked at.
    let child = format!(
        "(i32.atomic.store (i32.const 132) (i32.const 1)) {write} \
         (i32.atomic.store (i32.const 128) (i32.const 1))"
    );
    assert_eq!(
        races(&child, &main("i32.atomic.load (i32.const 132)")),
        [64]
    );
}

#[test]
fn a_wait_reads_its_word() {
    // It finds another value, or its time is over.
    for expected in [5, 0] {
        let wait = format!(
            "(drop (memory.atomic.wait32 (i32.const 64) (i32.const {expected}) (i64.const 0)))"
        );
        for (store, found) in [
            ("i32.store8 (i32.const 64)", &[64][..]),
            ("i32.store8 (i32.const 68)", &[]),
            ("i32.atomic.store8 (i32.const 64)", &[]),
        ] {
            let child = format!("({store} (i32.const 0))");
            assert_eq!(races(&child, &wait), found, "{store}, {expected}");
        }
    }
    // What it finds is as good as an atomic load's.
    let child = "(i32.store (i32.const 64) (i32.const 0))
        (i32.store (i32.const 72) (i32.const 1))
        (i32.atomic.store (i32.const 64) (i32.const 1))";
    let main = "(loop (br_if 0 (i32.ne (i32.const 1)
            (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const 1000)))))
        (drop (i32.load (i32.const 72)))";
    assert!(!races(child, main).contains(&72));
}

#[test]
fn memories_of_64_bit_addresses_are_looked_at() {
    let memory = "i64";
    let store = "(i64.store (i64.const 64) (i64.const 1))";
    let fill = "(memory.fill (i64.const 60) (i32.const 1) (i64.const 8))";
    let copy = "(memory.copy (i64.const 60) (i64.const 128) (i64.const 8))";
    let init = "(memory.init $bytes (i64.const 60) (i32.const 0) (i32.const 8))";
    let add = "(drop (i64.atomic.rmw.add (i64.const 64) (i64.const 1)))";
    for other in [store, fill, copy, init, add] {
        assert_eq!(races_of(memory, "", store, other), [64], "{other}");
    }
    assert_eq!(races_of(memory, "", add, add), NOTHING);
    let release = "(i64.store (i64.const 64) (i64.const 1))
        (i32.atomic.store (i64.const 128) (i32.const 1))
        (drop (memory.atomic.notify (i64.const 128) (i32.const 1)))";
    let acquire = "(drop (memory.atomic.wait32 (i64.const 128) (i32.const 0) (i64.const -1)))
        (i64.store (i64.const 64) (i64.const 2))";
    assert_eq!(races_of(memory, "", release, acquire), NOTHING);
    let write = r#"(import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))"#;
    let call = "(i64.store (i64.const 16) (i64.const 0x400000040))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 32)))";
    assert_eq!(races_of(memory, write, store, call), [64]);
}

#[test]
fn what_traps_reaches_nothing() {
    for operator in [
        "memory.fill (i32.const 0) (i32.const 7) (i32.const 0xfffffff0)",
        "memory.copy (i32.const 0) (i32.const 16) (i32.const 0xfffffff0)",
        "memory.copy (i32.const 131068) (i32.const 0) (i32.const 8)",
        "memory.init $bytes (i32.const 64) (i32.const 0) (i32.const 9)",
    ] {
        let (reports, status) = run(&format!(
            r#"(module
              (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
              (import "env" "memory" (memory 1 2 shared))
              (data $bytes "abcdefgh")
              (func (export "wasi_thread_start") (param i32 i32)
                (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
                (drop (memory.grow (i32.const 1))))
              (func (export "_start")
                (drop (call $spawn (i32.const 0)))
                (loop (br_if 0 (i32.eq (memory.size) (i32.const 1))))
                ({operator})))"#
        ));
        assert!(
            matches!(status, ExitStatus::Trapped(_)),
            "{operator}: {status}"
        );
        assert!(reports.is_empty(), "{operator}: {}", reports[0]);
    }
}

#[test]
fn of_buffers_only_what_a_call_has_reached_is_looked_at() {
    let write = r#"(import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))"#;
    let call = |descriptor: u32, length: u32| {
        format!(
            "(i32.store (i32.const 16) (i32.const 64))
            (i32.store (i32.const 20) (i32.const {length}))
            (drop (call $write (i32.const {descriptor}) (i32.const 16) (i32.const 1)
              (i32.const 32)))"
        )
    };
    let child = "(i32.store (i32.const 72) (i32.const 1))";
    assert_eq!(races_of("i32", write, child, &call(1, 12)), [72]);
    assert_eq!(races_of("i32", write, child, &call(1, 8)), NOTHING);
    // Neither a descriptor that there is not, nor bytes that there are not.
    assert_eq!(races_of("i32", write, child, &call(99, 12)), NOTHING);
    assert_eq!(
        races_of("i32", write, child, &call(1, 0xffff_ff00)),
        NOTHING
    );
}
