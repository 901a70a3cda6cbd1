//! The memory model, by its best known small programs: MP, SB, LB and IRIW.
//!
//! Threads of a guest run through the same sequence of *slots*, each of which has
//! words `x` and `y` of its own, and in each slot every thread does its part of the
//! program once. Before each slot they meet at a barrier, which spins, and after a
//! while waits, so that they do it at about the same time; a short delay, different
//! in each slot, makes now one and now another the first.
//!
//! With atomic accesses, which are sequentially consistent, outcomes that no
//! interleaving has must never be seen; and to show that it could see them, the
//! harness goes on until it has seen each thread ahead, and threads in the midst of
//! each other. With plain accesses everything is allowed; the outcomes are only
//! printed.

use super::guest::{Alarm, Guest, Program};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};
use wasmtime::Val::I32;

/// What the threads of a slot read: two registers each.
type Outcome = Vec<[i32; 2]>;

/// A program: what each thread does. `(pause)` and `(rest)` are nothing in one half
/// of the slots; in the other a pause takes a moment, and a rest leaves the core to
/// another thread, for programs with more threads than there are cores.
struct Litmus {
    threads: &'static [&'static str],
    /// What no interleaving of the threads has as its outcome.
    forbidden: fn(&Outcome) -> bool,
    /// Outcomes that show different threads ahead.
    both_orders: [fn(&Outcome) -> bool; 2],
    /// The outcome that shows one thread amid another.
    overlap: fn(&Outcome) -> bool,
}

/// Slots in one run.
const SLOTS: i32 = 5_000;

/// After the slots, a word that is never notified.
const NOBODY: i32 = SLOTS * SLOT;

/// Runs with atomic accesses, at least.
const RUNS: u32 = 4;

/// Bytes of a slot: `x`, `y` and the outcome on cache lines of their own.
const SLOT: i32 = 256;
const Y: i32 = 64;
const OUTCOME: i32 = 128;

/// Looks at the barrier before a thread sleeps.
const LOOKS: u32 = 2_000;

/// Turns of the loop that delays a thread, at most; a power of two.
const DELAY: u32 = 64;

/// Turns of a `(pause)` that takes a moment.
const PAUSE: u32 = 20;

/// Does nothing for `$delay` turns.
const TURNS: &str = "(loop $turn
    (br_if $turn (i32.ge_s
      (local.tee $delay (i32.sub (local.get $delay) (i32.const 1)))
      (i32.const 0))))";

/// Until when interleavings must have been seen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Message passing: who sees the flag sees the message.
const MP: Litmus = Litmus {
    threads: &[
        "(store x 1) (store y 1)",
        "(set a (load y)) (pause) (set b (load x))",
    ],
    forbidden: |outcome| outcome[1] == [1, 0],
    both_orders: [
        |outcome| outcome[1] == [0, 0],
        |outcome| outcome[1] == [1, 1],
    ],
    overlap: |outcome| outcome[1] == [0, 1],
};

/// Store buffering: one of two threads sees the other's store.
const SB: Litmus = Litmus {
    threads: &[
        "(store x 1) (set a (load y))",
        "(store y 1) (set a (load x))",
    ],
    forbidden: |outcome| (outcome[0][0], outcome[1][0]) == (0, 0),
    both_orders: [
        |outcome| (outcome[0][0], outcome[1][0]) == (0, 1),
        |outcome| (outcome[0][0], outcome[1][0]) == (1, 0),
    ],
    overlap: |outcome| (outcome[0][0], outcome[1][0]) == (1, 1),
};

/// Load buffering: nobody sees what is stored later.
const LB: Litmus = Litmus {
    threads: &[
        "(set a (load x)) (pause) (store y 1)",
        "(set a (load y)) (pause) (store x 1)",
    ],
    forbidden: |outcome| (outcome[0][0], outcome[1][0]) == (1, 1),
    both_orders: [
        |outcome| (outcome[0][0], outcome[1][0]) == (0, 1),
        |outcome| (outcome[0][0], outcome[1][0]) == (1, 0),
    ],
    overlap: |outcome| (outcome[0][0], outcome[1][0]) == (0, 0),
};

/// Independent reads of independent writes: all see the stores in one order.
const IRIW: Litmus = Litmus {
    threads: &[
        "(store x 1)",
        "(store y 1)",
        "(set a (load x)) (rest) (set b (load y))",
        "(set a (load y)) (rest) (set b (load x))",
    ],
    forbidden: |outcome| outcome[2] == [1, 0] && outcome[3] == [1, 0],
    both_orders: [
        |outcome| outcome[2] == [1, 0],
        |outcome| outcome[3] == [1, 0],
    ],
    overlap: |outcome| outcome[2] == [0, 1] && outcome[3] == [1, 1],
};

#[test]
fn message_passing() {
    MP.check();
}

#[test]
fn store_buffering() {
    SB.check();
}

#[test]
fn load_buffering() {
    LB.check();
}

#[test]
fn independent_reads_of_independent_writes() {
    IRIW.check();
}

impl Litmus {
    fn check(&self) {
        let start = Instant::now();
        let _alarm = Alarm::new("a litmus test", 2 * PATIENCE);
        let mut seen = BTreeMap::new();
        let [one, other] = self.both_orders;
        let expected = [one, other, self.overlap];
        let observed = |seen: &BTreeMap<_, u32>| expected.iter().all(|o| seen.keys().any(o));
        while !observed(&seen) || seen.values().sum::<u32>() < RUNS * SLOTS as u32 {
            assert!(start.elapsed() < PATIENCE, "no interleavings: {seen:?}");
            self.run(&Program::rewritten(self.module(true)), &mut seen);
            let forbidden: Vec<_> = seen.iter().filter(|(o, _)| (self.forbidden)(o)).collect();
            assert!(forbidden.is_empty(), "{forbidden:?}");
        }
        println!("atomic: {seen:?}");
        let mut plain = BTreeMap::new();
        self.run(&Program::rewritten(self.module(false)), &mut plain);
        println!("plain: {plain:?}");
    }

    /// Runs all threads through all slots, and counts the outcomes.
    fn run(&self, program: &Program, seen: &mut BTreeMap<Outcome, u32>) {
        let mut guests: Vec<_> = (0..self.threads.len()).map(|_| program.next()).collect();
        let go = |(number, guest): (usize, &mut Guest)| {
            guest.call(&format!("thread {number}"), &[]).unwrap();
        };
        thread::scope(|scope| {
            for guest in guests.iter_mut().enumerate() {
                scope.spawn(move || go(guest));
            }
        });
        let reader = &mut guests[0];
        for slot in 0..SLOTS {
            let mut read = |thread: usize, register: i32| {
                let word = slot * SLOT + OUTCOME + 8 * thread as i32 + 4 * register;
                reader.i32("read", &[I32(word)])
            };
            let outcome = (0..self.threads.len()).map(|thread| [read(thread, 0), read(thread, 1)]);
            *seen.entry(outcome.collect()).or_default() += 1;
        }
    }

    /// The module, in which each thread's part is an exported function.
    fn module(&self, atomic: bool) -> String {
        let count = self.threads.len();
        let pages = SLOTS * SLOT / 65536 + 2;
        let [arrived, generation, asleep] = [64, 128, 192].map(|line| NOBODY + line);
        let threads: String = (0..count)
            .map(|number| {
                let body = expand(self.threads[number], atomic);
                let registers = OUTCOME + 8 * number as i32;
                format!(
                    r#"(func (export "thread {number}")
                         (local $slot i32) (local $n i32) (local $a i32) (local $b i32)
                         (local $delay i32)
                         (loop $next
                           (call $barrier (local.get $n))
                           (local.set $delay (call $random (local.get $n) (i32.const {number})))
                           {TURNS}
                           {body}
                           (i32.store offset={registers} (local.get $slot) (local.get $a))
                           (i32.store offset={} (local.get $slot) (local.get $b))
                           (local.set $slot (i32.add (local.get $slot) (i32.const {SLOT})))
                           (local.set $n (i32.add (local.get $n) (i32.const 1)))
                           (br_if $next (i32.lt_u (local.get $n) (i32.const {SLOTS})))))"#,
                    registers + 4
                )
            })
            .collect();
        format!(
            r#"(module
                 (memory {pages} {pages} shared)
                 (func (export "read") (param i32) (result i32) (i32.load (local.get 0)))
                 ;; The delay of a thread in a slot.
                 (func $random (param $n i32) (param $thread i32) (result i32)
                   (i32.and
                     (i32.shr_u
                       (i32.mul
                         (i32.add (i32.mul (local.get $n) (i32.const {count})) (local.get $thread))
                         (i32.const 0x9e3779b1))
                       (i32.const 20))
                     (i32.const {})))
                 ;; Returns when all threads have come here for the $n-th time.
                 (func $barrier (param $n i32) (local $looks i32)
                   (if (i32.eq
                         (i32.atomic.rmw.add (i32.const {arrived}) (i32.const 1))
                         (i32.sub
                           (i32.mul (i32.add (local.get $n) (i32.const 1)) (i32.const {count}))
                           (i32.const 1)))
                     (then ;; The last one.
                       (i32.atomic.store (i32.const {generation})
                         (i32.add (local.get $n) (i32.const 1)))
                       (if (i32.atomic.load (i32.const {asleep}))
                         (then
                           (drop (memory.atomic.notify (i32.const {generation}) (i32.const -1))))))
                     (else
                       (loop $look
                         (if (i32.le_u (i32.atomic.load (i32.const {generation})) (local.get $n))
                           (then
                             (local.set $looks (i32.add (local.get $looks) (i32.const 1)))
                             (br_if $look (i32.lt_u (local.get $looks) (i32.const {LOOKS})))
                             (drop (i32.atomic.rmw.add (i32.const {asleep}) (i32.const 1)))
                             (drop (memory.atomic.wait32
                               (i32.const {generation}) (local.get $n) (i64.const -1)))
                             (drop (i32.atomic.rmw.sub (i32.const {asleep}) (i32.const 1)))
                             (br $look)))))))
                 {threads})"#,
            DELAY - 1
        )
    }
}

/// Writes a thread's part in wat.
fn expand(body: &str, atomic: bool) -> String {
    let (load, store) = match atomic {
        true => ("i32.atomic.load", "i32.atomic.store"),
        false => ("i32.load", "i32.store"),
    };
    let pause = format!(
        "(local.set $delay (i32.mul (i32.and (local.get $n) (i32.const 1)) (i32.const {PAUSE})))
         {TURNS}"
    );
    let rest = format!(
        "(if (i32.and (local.get $n) (i32.const 1))
           (then (drop (memory.atomic.wait32
             (i32.const {NOBODY}) (i32.const 0) (i64.const 1000)))))"
    );
    body.replace("(pause)", &pause)
        .replace("(rest)", &rest)
        .replace(
            "(store x 1)",
            &format!("({store} (local.get $slot) (i32.const 1))"),
        )
        .replace(
            "(store y 1)",
            &format!("({store} offset={Y} (local.get $slot) (i32.const 1))"),
        )
        .replace("(load x)", &format!("({load} (local.get $slot))"))
        .replace(
            "(load y)",
            &format!("({load} offset={Y} (local.get $slot))"),
        )
        .replace("(set a", "(local.set $a")
        .replace("(set b", "(local.set $b")
}
