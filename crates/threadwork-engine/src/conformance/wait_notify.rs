//! Waits, notifies and growth, where the proposal's scripts stop.
//!
//! What one thread can show is compared with Wasmtime's own instructions, which the
//! same module uses when it is not rewritten.

use super::guest::{Guest, Outcome, PATIENCE, Program, Value};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};
use wasmtime::Trap::{self, AtomicWaitNonSharedMemory, HeapMisaligned, MemoryOutOfBounds};
use wasmtime::Val::{self, I32, I64};

/// What a wait returns.
const WOKEN: i32 = 0;
const NOT_EQUAL: i32 = 1;
const TIMED_OUT: i32 = 2;

/// Timeouts.
const NONE: Val = I64(-1);
const ZERO: Val = I64(0);

const MAX: Val = I32(-1);

/// A module with every operation, on `memory`, whose addresses have the type `ty`;
/// those whose names end in `+` have the static offset.
fn module(memory: &str, ty: &str, offset: u64) -> String {
    let with_offset = |plus: &str, offset: &str| {
        format!(
            r#"(func (export "wait32{plus}") (param {ty} i32 i64) (result i32)
                 (memory.atomic.wait32 {offset} (local.get 0) (local.get 1) (local.get 2)))
               (func (export "wait64{plus}") (param {ty} i64 i64) (result i32)
                 (memory.atomic.wait64 {offset} (local.get 0) (local.get 1) (local.get 2)))
               (func (export "notify{plus}") (param {ty} i32) (result i32)
                 (memory.atomic.notify {offset} (local.get 0) (local.get 1)))"#
        )
    };
    format!(
        r#"(module {memory} {} {}
             (func (export "store") (param {ty} i32)
               (i32.atomic.store (local.get 0) (local.get 1)))
             (func (export "load") (param {ty}) (result i32) (i32.atomic.load (local.get 0)))
             (func (export "grow") (param {ty}) (result {ty}) (memory.grow (local.get 0)))
             (func (export "size") (result {ty}) (memory.size)))"#,
        with_offset("", ""),
        with_offset("+", &format!("offset={offset}")),
    )
}

/// The module on an imported memory of one page.
fn one_page() -> String {
    module(r#"(memory (import "env" "memory") 1 1 shared)"#, "i32", 0)
}

/// Threads that sleep without a timeout, and a thread that does not.
struct Night {
    program: Arc<Program>,
    awake: Guest,
    count: usize,
    sender: Sender<(usize, i32)>,
    woken: Receiver<(usize, i32)>,
}

impl Night {
    fn new(wat: String) -> Self {
        let program = Arc::new(Program::rewritten(wat));
        let (sender, woken) = channel();
        let awake = program.first();
        Self {
            program,
            awake,
            count: 0,
            sender,
            woken,
        }
    }

    /// Starts a thread that calls a wait, and returns its number.
    fn start(&mut self, wait: &'static str, args: [Val; 3]) -> usize {
        let number = self.count;
        self.count += 1;
        let (program, sender) = (Arc::clone(&self.program), self.sender.clone());
        // Not joined: should the test fail, it may never wake.
        thread::spawn(move || {
            let result = program.next().i32(wait, &args);
            let _ = sender.send((number, result));
        });
        number
    }

    /// Starts a thread that calls a wait without a timeout, and returns when it sleeps.
    fn sleep(&mut self, wait: &'static str, args: [Val; 3]) -> usize {
        let before = self.program.host.asleep();
        let number = self.start(wait, args);
        let deadline = Instant::now() + PATIENCE;
        while self.program.host.asleep() <= before {
            assert!(
                Instant::now() < deadline,
                "thread {number} does not fall asleep"
            );
            thread::yield_now();
        }
        number
    }

    fn notify(&mut self, address: Val, count: Val) -> i32 {
        self.awake.i32("notify", &[address, count])
    }

    /// The next thread that has come back from its wait, and what that returned.
    fn next_woken(&self) -> (usize, i32) {
        self.woken
            .recv_timeout(PATIENCE)
            .expect("somebody should have woken")
    }

    /// Everybody who has not been seen yet sleeps on, and there are `count` of them.
    fn assert_still_asleep(&self, count: u32) {
        assert_eq!(self.program.host.asleep(), count);
        assert_eq!(self.woken.try_recv(), Err(TryRecvError::Empty));
    }
}

// ---- Who is woken ----

#[test]
fn two_notifies_in_a_row_wake_two_waiters_and_no_third() {
    for _ in 0..50 {
        let mut night = Night::new(one_page());
        for _ in 0..3 {
            night.sleep("wait32", [I32(8), I32(0), NONE]);
        }
        let counts = [night.notify(I32(8), I32(1)), night.notify(I32(8), I32(1))];
        assert_eq!(counts, [1, 1]);
        let mut woken = [night.next_woken(), night.next_woken()];
        woken.sort_unstable();
        assert_eq!(woken, [(0, WOKEN), (1, WOKEN)]);
        night.assert_still_asleep(1);
        assert_eq!(night.notify(I32(8), MAX), 1);
        assert_eq!(night.next_woken(), (2, WOKEN));
        assert_eq!(night.notify(I32(8), MAX), 0);
    }
}

#[test]
fn waiters_wake_in_the_order_in_which_they_came() {
    let mut night = Night::new(one_page());
    let sleepers: Vec<_> = (0..5)
        .map(|_| night.sleep("wait32", [I32(8), I32(0), NONE]))
        .collect();
    for sleeper in sleepers {
        assert_eq!(night.notify(I32(8), I32(1)), 1);
        assert_eq!(night.next_woken(), (sleeper, WOKEN));
    }
}

#[test]
fn a_notify_wakes_as_many_as_it_says_the_oldest_first() {
    let mut night = Night::new(one_page());
    for _ in 0..6 {
        night.sleep("wait32", [I32(8), I32(0), NONE]);
    }
    assert_eq!(night.notify(I32(8), I32(0)), 0);
    night.assert_still_asleep(6);
    assert_eq!(night.notify(I32(8), I32(2)), 2);
    let mut woken = [night.next_woken(), night.next_woken()];
    woken.sort_unstable();
    assert_eq!(woken, [(0, WOKEN), (1, WOKEN)]);
    night.assert_still_asleep(4);
    // The count has no sign.
    assert_eq!(night.notify(I32(8), MAX), 4);
    for _ in 0..4 {
        assert_eq!(night.next_woken().1, WOKEN);
    }
}

#[test]
fn wait32_and_wait64_of_one_address_share_a_queue() {
    let mut night = Night::new(one_page());
    night.sleep("wait64", [I32(8), I64(0), NONE]);
    night.sleep("wait32", [I32(8), I32(0), NONE]);
    night.sleep("wait64", [I32(8), I64(0), NONE]);
    for sleeper in 0..3 {
        assert_eq!(night.notify(I32(8), I32(1)), 1);
        assert_eq!(night.next_woken(), (sleeper, WOKEN));
    }
}

#[test]
fn an_address_is_base_plus_offset() {
    let mut night = Night::new(module(
        r#"(memory (import "env" "memory") 1 1 shared)"#,
        "i32",
        24,
    ));
    night.sleep("wait32", [I32(32), I32(0), NONE]);
    night.sleep("wait32+", [I32(8), I32(0), NONE]);
    assert_eq!(night.notify(I32(8), MAX), 0);
    assert_eq!(night.awake.i32("notify+", &[I32(8), I32(1)]), 1);
    assert_eq!(night.next_woken(), (0, WOKEN));
    assert_eq!(night.notify(I32(32), MAX), 1);
    assert_eq!(night.next_woken(), (1, WOKEN));
}

#[test]
fn waiters_of_other_addresses_sleep_on() {
    let mut night = Night::new(one_page());
    night.sleep("wait64", [I32(8), I64(0), NONE]);
    // The upper half of its word is another address.
    for address in (0..1024).step_by(4).filter(|address| *address != 8) {
        assert_eq!(night.notify(I32(address), MAX), 0, "{address}");
    }
    night.assert_still_asleep(1);
    assert_eq!(night.notify(I32(8), MAX), 1);
    assert_eq!(night.next_woken(), (0, WOKEN));
}

#[test]
fn two_memories_are_two_places() {
    let mut night = Night::new(
        r#"(module
             (memory $a (import "env" "a") 1 1 shared)
             (memory $b 1 1 shared)
             (func (export "wait a") (param i32 i32 i64) (result i32)
               (memory.atomic.wait32 $a (local.get 0) (local.get 1) (local.get 2)))
             (func (export "wait b") (param i32 i32 i64) (result i32)
               (memory.atomic.wait32 $b (local.get 0) (local.get 1) (local.get 2)))
             (func (export "notify a") (param i32 i32) (result i32)
               (memory.atomic.notify $a (local.get 0) (local.get 1)))
             (func (export "notify b") (param i32 i32) (result i32)
               (memory.atomic.notify $b (local.get 0) (local.get 1))))"#
            .to_owned(),
    );
    let a = night.sleep("wait a", [I32(8), I32(0), NONE]);
    let b = night.sleep("wait b", [I32(8), I32(0), NONE]);
    assert_eq!(night.awake.i32("notify b", &[I32(8), MAX]), 1);
    assert_eq!(night.next_woken(), (b, WOKEN));
    assert_eq!(night.awake.i32("notify b", &[I32(8), MAX]), 0);
    assert_eq!(night.awake.i32("notify a", &[I32(8), MAX]), 1);
    assert_eq!(night.next_woken(), (a, WOKEN));
}

#[test]
fn a_memory_that_the_module_defines_is_shared_by_its_threads() {
    let mut night = Night::new(module(
        "(memory 1 1 shared) (data (i32.const 8) \"\\07\")",
        "i32",
        0,
    ));
    assert_eq!(night.awake.i32("load", &[I32(8)]), 7);
    night.awake.call("store", &[I32(8), I32(9)]).unwrap();
    // The data was written once, not by each thread.
    night.sleep("wait32", [I32(8), I32(9), NONE]);
    assert_eq!(night.notify(I32(8), MAX), 1);
    assert_eq!(night.next_woken(), (0, WOKEN));
    assert_eq!(night.awake.i32("load", &[I32(8)]), 9);
}

// ---- When a wait ends by itself ----

#[test]
fn a_wait_for_another_value_ends_at_once() {
    let cases = [
        ("wait32", vec![I32(0), I32(1), NONE], NOT_EQUAL),
        ("wait32", vec![I32(0), I32(1), ZERO], NOT_EQUAL),
        ("wait32", vec![I32(0), I32(-1), I64(i64::MAX)], NOT_EQUAL),
        // All bits count.
        ("wait64", vec![I32(0), I64(1 << 32), NONE], NOT_EQUAL),
        ("wait64", vec![I32(0), I64(i64::MIN), NONE], NOT_EQUAL),
        ("wait64", vec![I32(0), I64(0), ZERO], TIMED_OUT),
    ];
    both(
        &one_page(),
        cases.map(|(export, args, result)| (export, args, Returns(result))),
    );
}

#[test]
fn a_wait_of_no_time_does_not_sleep() {
    let cases = [
        ("wait32", vec![I32(0), I32(0), ZERO], Returns(TIMED_OUT)),
        ("wait64", vec![I32(0), I64(0), ZERO], Returns(TIMED_OUT)),
        ("wait32", vec![I32(0), I32(0), I64(1)], Returns(TIMED_OUT)),
    ];
    both(&one_page(), cases);
}

#[test]
fn a_wait_with_a_timeout_lasts_that_long() {
    for nanos in [1_000, 100_000, 5_000_000] {
        for (wait, zero) in [("wait32", I32(0)), ("wait64", I64(0))] {
            let mut guest = Program::rewritten(one_page()).first();
            let start = Instant::now();
            assert_eq!(guest.i32(wait, &[I32(0), zero, I64(nanos)]), TIMED_OUT);
            let slept = start.elapsed();
            assert!(
                slept >= Duration::from_nanos(nanos.cast_unsigned()),
                "{slept:?}"
            );
            assert!(slept < PATIENCE, "{slept:?}");
        }
    }
}

#[test]
fn a_waiter_that_timed_out_is_not_counted() {
    let mut night = Night::new(one_page());
    assert_eq!(
        night.awake.i32("wait32", &[I32(8), I32(0), I64(200_000)]),
        TIMED_OUT
    );
    assert_eq!(night.notify(I32(8), MAX), 0);
    night.sleep("wait32", [I32(8), I32(0), NONE]);
    assert_eq!(
        night.awake.i32("wait32", &[I32(8), I32(0), I64(200_000)]),
        TIMED_OUT
    );
    assert_eq!(night.notify(I32(8), MAX), 1);
    assert_eq!(night.next_woken(), (0, WOKEN));
}

#[test]
fn a_negative_timeout_is_none() {
    for timeout in [-1, -1_000_000, i64::MIN] {
        let mut night = Night::new(one_page());
        // It counts as asleep only if it has no timeout.
        night.sleep("wait32", [I32(8), I32(0), I64(timeout)]);
        night.assert_still_asleep(1);
        assert_eq!(night.notify(I32(8), MAX), 1);
        assert_eq!(night.next_woken(), (0, WOKEN));
    }
}

#[test]
fn the_longest_timeout_does_not_overflow() {
    let mut night = Night::new(one_page());
    night.start("wait64", [I32(8), I64(0), I64(i64::MAX)]);
    let deadline = Instant::now() + PATIENCE;
    while night.notify(I32(8), MAX) == 0 {
        assert_eq!(night.woken.try_recv(), Err(TryRecvError::Empty));
        assert!(Instant::now() < deadline, "it never slept");
        thread::yield_now();
    }
    assert_eq!(night.next_woken(), (0, WOKEN));
}

// ---- What traps ----

/// What a call must come to.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Returns(i32),
    Traps(Trap),
    /// Whatever Wasmtime does.
    Same,
}

use Expected::{Returns, Same, Traps};

/// Calls exports, in order, of the module rewritten and as it is; the outcomes must
/// be the same, and those expected.
fn both<const N: usize>(wat: &str, cases: [(&str, Vec<Val>, Expected); N]) {
    let (ours, theirs) = (Program::rewritten(wat), Program::original(wat));
    let (mut our_guest, mut their_guest) = (ours.first(), theirs.first());
    for (export, args, expected) in cases {
        let outcome = ours.call(&mut our_guest, export, &args);
        let case = format!("{export} {args:?}");
        assert_eq!(
            outcome,
            theirs.call(&mut their_guest, export, &args),
            "{case}"
        );
        match (&outcome, expected) {
            (Outcome::Returned(values), Returns(value)) => {
                assert_eq!(values[..], [Value::I32(value)], "{case}");
            }
            (Outcome::Trapped(trap, offsets), Traps(expected)) => {
                assert_eq!(*trap, expected, "{case}");
                assert_eq!(offsets.len(), 1, "{case}");
            }
            (_, Same) => {}
            _ => panic!("{case}: {outcome:?}, expected {expected:?}"),
        }
    }
}

fn wait32(address: i64) -> (&'static str, Vec<Val>) {
    ("wait32", vec![I32(address as i32), I32(0), ZERO])
}

fn wait64(address: i64) -> (&'static str, Vec<Val>) {
    ("wait64", vec![I32(address as i32), I64(0), ZERO])
}

fn notify(address: i64) -> (&'static str, Vec<Val>) {
    ("notify", vec![I32(address as i32), I32(1)])
}

/// The same call at the static offset.
fn plus((export, args): (&'static str, Vec<Val>)) -> (&'static str, Vec<Val>) {
    let plus = match export {
        "wait32" => "wait32+",
        "wait64" => "wait64+",
        _ => "notify+",
    };
    (plus, args)
}

fn expect(
    (export, args): (&'static str, Vec<Val>),
    expected: Expected,
) -> (&'static str, Vec<Val>, Expected) {
    (export, args, expected)
}

#[test]
fn the_last_word_of_a_memory_is_in_bounds_and_the_next_is_not() {
    let cases = [
        expect(wait32(65532), Returns(TIMED_OUT)),
        expect(wait64(65528), Returns(TIMED_OUT)),
        expect(notify(65532), Returns(0)),
        expect(wait32(65536), Traps(MemoryOutOfBounds)),
        expect(wait64(65536), Traps(MemoryOutOfBounds)),
        expect(notify(65536), Traps(MemoryOutOfBounds)),
        expect(wait32(0xffff_fffc), Traps(MemoryOutOfBounds)),
        expect(wait64(0xffff_fff8), Traps(MemoryOutOfBounds)),
        expect(notify(0xffff_fffc), Traps(MemoryOutOfBounds)),
        // Also when it would wake nobody, or wait for another value.
        ("notify", vec![I32(65536), I32(0)], Traps(MemoryOutOfBounds)),
        (
            "wait32",
            vec![I32(65536), I32(1), NONE],
            Traps(MemoryOutOfBounds),
        ),
    ];
    both(&one_page(), cases);
}

#[test]
fn an_empty_memory_has_no_words() {
    let empty = module(r#"(memory (import "env" "memory") 0 1 shared)"#, "i32", 0);
    let cases = [
        expect(wait32(0), Traps(MemoryOutOfBounds)),
        expect(wait64(0), Traps(MemoryOutOfBounds)),
        expect(notify(0), Traps(MemoryOutOfBounds)),
    ];
    both(&empty, cases);
}

#[test]
fn an_address_must_be_aligned() {
    let cases = [
        expect(wait32(1), Traps(HeapMisaligned)),
        expect(wait32(2), Traps(HeapMisaligned)),
        expect(wait64(4), Traps(HeapMisaligned)),
        expect(notify(3), Traps(HeapMisaligned)),
        ("notify", vec![I32(2), I32(0)], Traps(HeapMisaligned)),
        // In bounds by its first byte, or by none.
        expect(wait32(65534), Traps(HeapMisaligned)),
        expect(wait64(65532), Traps(HeapMisaligned)),
        expect(notify(65535), Traps(HeapMisaligned)),
        expect(wait32(65538), Same),
        expect(wait64(65540), Same),
        expect(notify(65538), Same),
        expect(notify(-1), Same),
    ];
    both(&one_page(), cases);
}

#[test]
fn a_static_offset_counts_for_alignment_and_bounds() {
    let at = |offset| {
        module(
            r#"(memory (import "env" "memory") 1 1 shared)"#,
            "i32",
            offset,
        )
    };
    let cases = [
        expect(plus(wait32(0)), Returns(TIMED_OUT)),
        expect(plus(notify(0)), Returns(0)),
        expect(plus(wait32(4)), Traps(MemoryOutOfBounds)),
        expect(plus(notify(4)), Traps(MemoryOutOfBounds)),
        expect(plus(wait64(4)), Traps(MemoryOutOfBounds)),
        expect(plus(wait64(0)), Traps(HeapMisaligned)),
        expect(plus(wait32(1)), Traps(HeapMisaligned)),
        // 2^32 in all: addresses do not wrap.
        expect(plus(wait32(0xffff_0004)), Traps(MemoryOutOfBounds)),
        expect(plus(notify(0xffff_0004)), Traps(MemoryOutOfBounds)),
    ];
    both(&at(65532), cases);
    let cases = [
        expect(plus(wait32(2)), Returns(TIMED_OUT)),
        expect(plus(wait64(6)), Returns(TIMED_OUT)),
        expect(plus(notify(2)), Returns(0)),
        expect(plus(wait32(0)), Traps(HeapMisaligned)),
        expect(plus(wait64(2)), Traps(HeapMisaligned)),
        expect(plus(notify(0)), Traps(HeapMisaligned)),
    ];
    both(&at(2), cases);
    let cases = [
        expect(plus(wait32(0)), Traps(MemoryOutOfBounds)),
        expect(plus(wait32(4)), Traps(MemoryOutOfBounds)),
        expect(plus(notify(4)), Traps(MemoryOutOfBounds)),
        expect(plus(notify(2)), Same),
        // Past 2^32: out of bounds, aligned or not.
        expect(plus(wait32(6)), Traps(MemoryOutOfBounds)),
        expect(plus(wait64(5)), Traps(MemoryOutOfBounds)),
        expect(plus(notify(6)), Traps(MemoryOutOfBounds)),
    ];
    both(&at(0xffff_fffc), cases);
}

#[test]
fn on_a_memory_that_is_not_shared_a_notify_finds_nobody_and_a_wait_traps() {
    let cases = [
        expect(notify(0), Returns(0)),
        expect(notify(65532), Returns(0)),
        expect(notify(65536), Traps(MemoryOutOfBounds)),
        expect(notify(2), Traps(HeapMisaligned)),
        expect(wait32(0), Traps(AtomicWaitNonSharedMemory)),
        expect(wait64(0), Traps(AtomicWaitNonSharedMemory)),
        expect(wait32(2), Same),
        expect(wait32(65536), Same),
        (
            "wait32",
            vec![I32(0), I32(1), NONE],
            Traps(AtomicWaitNonSharedMemory),
        ),
        ("grow", vec![I32(0)], Returns(1)),
    ];
    both(&module("(memory 1 2)", "i32", 0), cases.clone());
    both(
        &module(r#"(memory (import "env" "memory") 1 2)"#, "i32", 0),
        cases,
    );
}

// ---- 64-bit memories ----

#[test]
fn a_64_bit_memory_has_the_same_rules() {
    let at = |offset| {
        module(
            r#"(memory (import "env" "memory") i64 1 1 shared)"#,
            "i64",
            offset,
        )
    };
    let wait32 = |address: u64| vec![I64(address.cast_signed()), I32(0), ZERO];
    let wait64 = |address: u64| vec![I64(address.cast_signed()), I64(0), ZERO];
    let notify = |address: u64| vec![I64(address.cast_signed()), I32(1)];
    let cases = [
        ("wait32", wait32(65532), Returns(TIMED_OUT)),
        ("wait64", wait64(65528), Returns(TIMED_OUT)),
        ("notify", notify(65532), Returns(0)),
        ("wait32", wait32(65536), Traps(MemoryOutOfBounds)),
        ("wait64", wait64(65532), Traps(HeapMisaligned)),
        ("notify", notify(65538), Same),
        // Addresses are not cut to 32 bits.
        ("wait32", wait32(1 << 32), Traps(MemoryOutOfBounds)),
        ("notify", notify((1 << 32) + 8), Traps(MemoryOutOfBounds)),
        ("wait64", wait64(u64::MAX - 7), Traps(MemoryOutOfBounds)),
        ("wait32+", wait32(0), Traps(MemoryOutOfBounds)),
        // 2^64 in all, and more.
        ("wait32+", wait32(8), Traps(MemoryOutOfBounds)),
        ("wait64+", wait64(16), Traps(MemoryOutOfBounds)),
        ("notify+", notify(8), Traps(MemoryOutOfBounds)),
        ("wait32+", wait32(9), Traps(MemoryOutOfBounds)),
        ("notify+", notify(10), Traps(MemoryOutOfBounds)),
        ("notify+", notify(2), Same),
    ];
    both(&at(u64::MAX - 7), cases);
}

#[test]
fn addresses_beyond_4_gib_are_places_of_their_own() {
    let memory = r#"(memory (import "env" "memory") i64 65537 65537 shared)"#;
    let mut night = Night::new(module(memory, "i64", 1 << 32));
    let high = night.sleep("wait32", [I64((1 << 32) + 8), I32(0), NONE]);
    let low = night.sleep("wait32", [I64(8), I32(0), NONE]);
    assert_eq!(night.notify(I64((1 << 32) + 8), MAX), 1);
    assert_eq!(night.next_woken(), (high, WOKEN));
    assert_eq!(night.awake.i32("notify+", &[I64(8), MAX]), 0);
    assert_eq!(night.notify(I64(8), MAX), 1);
    assert_eq!(night.next_woken(), (low, WOKEN));
}

// ---- Growth ----

#[test]
fn growth_has_the_results_of_the_instruction() {
    let memory = |pages| format!(r#"(memory (import "env" "memory") {pages} shared)"#);
    let cases = [
        ("grow", vec![I32(0)], Returns(1)),
        ("grow", vec![I32(2)], Returns(1)),
        ("size", vec![], Returns(3)),
        ("grow", vec![I32(2)], Returns(-1)),
        ("grow", vec![I32(-1)], Returns(-1)),
        ("grow", vec![I32(65536)], Returns(-1)),
        ("size", vec![], Returns(3)),
        ("grow", vec![I32(1)], Returns(3)),
        ("grow", vec![I32(0)], Returns(4)),
        ("grow", vec![I32(1)], Returns(-1)),
    ];
    both(&module(&memory("1 4"), "i32", 0), cases.clone());
    both(&module("(memory 1 4 shared)", "i32", 0), cases);
    let cases = [
        ("grow", vec![I64(1)], Same),
        ("grow", vec![I64(1 << 32)], Same),
        ("grow", vec![I64(-1)], Same),
        ("grow", vec![I64(1)], Same),
        ("size", vec![], Same),
    ];
    both(&module(&memory("i64 1 2"), "i64", 0), cases);
}

#[test]
fn growth_is_seen_by_all_threads() {
    let mut night = Night::new(module(
        r#"(memory (import "env" "memory") 1 3 shared)"#,
        "i32",
        0,
    ));
    let mut other = night.program.next();
    let early = night.sleep("wait32", [I32(65532), I32(0), NONE]);
    assert!(other.call("store", &[I32(65536), I32(1)]).is_err());

    assert_eq!(night.awake.i32("grow", &[I32(1)]), 1);

    assert_eq!(other.i32("size", &[]), 2);
    other.call("store", &[I32(131_068), I32(1)]).unwrap();
    assert_eq!(night.awake.i32("load", &[I32(131_068)]), 1);
    // Waits and notifies know the new bounds.
    night.sleep("wait32", [I32(131_068), I32(1), NONE]);
    assert_eq!(other.i32("notify", &[I32(131_068), MAX]), 1);
    assert_eq!(night.next_woken(), (1, WOKEN));
    assert!(other.call("notify", &[I32(131_072), MAX]).is_err());
    // Who slept meanwhile is still found.
    assert_eq!(other.i32("notify", &[I32(65532), MAX]), 1);
    assert_eq!(night.next_woken(), (early, WOKEN));
}

#[test]
fn threads_that_grow_at_once_get_pages_of_their_own() {
    const THREADS: i32 = 4;
    const EACH: i32 = 50;
    let pages = THREADS * EACH;
    let memory = format!(r#"(memory (import "env" "memory") 0 {pages} shared)"#);
    let program = Program::rewritten(module(&memory, "i32", 0));
    let grow = || {
        let mut guest = program.next();
        (0..EACH)
            .map(|_| guest.i32("grow", &[I32(1)]))
            .collect::<Vec<_>>()
    };
    let mut got: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(grow)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    got.sort_unstable();
    assert_eq!(got, (0..pages).collect::<Vec<_>>());
    assert_eq!(program.next().i32("size", &[]), pages);
}
