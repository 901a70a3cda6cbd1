//! Litmus tests between a thread of the host and one of the guest: atomic operations of
//! both take part in one order.

use crate::support::{Watch, execute, is_full, module, runtime};
use threadwork_engine::{Module, SharedMemory, ThreadRuntime};

/// Rounds of a test, each on words of its own.
fn rounds() -> u64 {
    if is_full() { 400_000 } else { 20_000 }
}

/// Words of a round: x and y, what the guest has read, and a gate.
const ROUND: u64 = 256;
const SLOTS: u64 = 512;

fn guest() -> Module {
    // $at is the round's words. Each waits until both are at the round.
    module(
        r#"(func $meet (param $at i32)
             (drop (i32.atomic.rmw.add offset=192 (local.get $at) (i32.const 1)))
             (loop (br_if 0
               (i32.lt_u (i32.atomic.load offset=192 (local.get $at)) (i32.const 2)))))
           (func $rounds (param $count i32) (param $what i32) (local $n i32) (local $at i32)
             (loop $next
               (local.set $at (i32.add (i32.const 65536)
                 (i32.mul (i32.const 256) (i32.rem_u (local.get $n) (i32.const 512)))))
               ;; The host has made the round ready.
               (loop (br_if 0
                 (i32.ne (i32.atomic.load offset=200 (local.get $at))
                   (i32.add (local.get $n) (i32.const 1)))))
               (call $meet (local.get $at))
               (block $done
                 (block $load_buffering (block $message (block $store_buffering
                   (br_table $store_buffering $message $load_buffering (local.get $what)))
                   ;; store buffering: x = 1; read y
                   (i32.atomic.store (local.get $at) (i32.const 1))
                   (i32.atomic.store offset=128 (local.get $at)
                     (i32.atomic.load offset=64 (local.get $at)))
                   (br $done))
                   ;; message passing: data by a plain store, then the flag
                   (i32.store (local.get $at) (i32.const 1))
                   (i32.atomic.store offset=64 (local.get $at) (i32.const 1))
                   (br $done))
                 ;; load buffering: read x; y = 1
                 (i32.atomic.store offset=128 (local.get $at)
                   (i32.atomic.load (local.get $at)))
                 (i32.atomic.store offset=64 (local.get $at) (i32.const 1)))
               (i32.atomic.store offset=204 (local.get $at)
                 (i32.add (local.get $n) (i32.const 1)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $n) (local.get $count)))))
           (func (export "rounds") (param i32 i32) (call $rounds (local.get 0) (local.get 1)))"#,
    )
}

/// Plays the rounds against the guest; `host` gets the words' offset, and returns what it
/// has read. Counts each pair of reads (the guest's, the host's).
fn play(what: i32, host: impl Fn(&SharedMemory, u64) -> u32) -> [[u64; 2]; 2] {
    let _watch = Watch::with(std::time::Duration::from_secs(600));
    let runtime: ThreadRuntime = runtime(&guest(), 1);
    let memory = runtime.memory();
    let task = execute(&runtime, "rounds", [rounds() as i32, what]);
    let mut seen = [[0; 2]; 2];
    for round in 0..rounds() {
        let at = 65_536 + ROUND * (round % SLOTS);
        memory.fill(at, 200, 0).unwrap();
        memory.store(at + 200, round as u32 + 1).unwrap();
        memory.add(at + 192, 1_u32).unwrap();
        while memory.load::<u32>(at + 192).unwrap() < 2 {}
        let mine = host(&memory, at);
        while memory.load::<u32>(at + 204).unwrap() != round as u32 + 1 {}
        let guests = memory.load::<u32>(at + 128).unwrap();
        seen[guests as usize][mine as usize] += 1;
    }
    task.wait().unwrap();
    println!("guest, host: {seen:?}");
    seen
}

#[test]
fn store_buffering() {
    let seen = play(0, |memory, at| {
        memory.store(at + 64, 1_u32).unwrap();
        memory.load(at).unwrap()
    });
    assert_eq!(seen[0][0], 0, "both stores came after both loads");
}

#[test]
fn message_passing() {
    let seen = play(1, |memory, at| {
        while memory.load::<u32>(at + 64).unwrap() == 0 {}
        memory.read(at).unwrap()
    });
    assert_eq!(seen[0][0], 0, "the flag came without the data");
}

#[test]
fn load_buffering() {
    let seen = play(2, |memory, at| {
        let mine = memory.load(at + 64).unwrap();
        memory.store(at, 1_u32).unwrap();
        mine
    });
    assert_eq!(seen[1][1], 0, "both loads saw what came after");
}

/// Two write, one of them a guest; two read in opposite order, one of them a guest.
#[test]
fn independent_reads_of_independent_writes() {
    let _watch = Watch::with(std::time::Duration::from_secs(600));
    let module = module(
        r#"(func (export "write") (param $n i32) (i32.atomic.store (i32.const 512) (local.get $n)))
           (func (export "writes") (param $count i32) (local $n i32)
             (loop
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (i32.atomic.store (i32.const 512) (local.get $n))
               (br_if 0 (i32.lt_u (local.get $n) (local.get $count)))))
           ;; Pairs (x, y), x read first, from 65536 on.
           (func (export "reads") (param $count i32) (local $n i32) (local $at i32)
             (loop
               (local.set $at (i32.add (i32.const 65536) (i32.shl (local.get $n) (i32.const 3))))
               (i32.store (local.get $at) (i32.atomic.load (i32.const 512)))
               (i32.store offset=4 (local.get $at) (i32.atomic.load (i32.const 1024)))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (local.get $count)))))"#,
    );
    let pairs = 16_384;
    for _ in 0..if is_full() { 50 } else { 3 } {
        let runtime = runtime(&module, 2);
        let memory = runtime.memory();
        let writes = execute(&runtime, "writes", [pairs]);
        let reads = execute(&runtime, "reads", [pairs]);
        let mut mine = Vec::with_capacity(pairs as usize);
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=pairs).for_each(|n| memory.store(1024, n).unwrap()));
            // y first.
            mine.extend((0..pairs).map(|_| {
                let y = memory.load::<i32>(1024).unwrap();
                (memory.load::<i32>(512).unwrap(), y)
            }));
        });
        writes.wait().unwrap();
        reads.wait().unwrap();
        let pair = |n: i32| {
            let at = 65_536 + 8 * n as u64;
            (
                memory.read::<i32>(at).unwrap(),
                memory.read::<i32>(at + 4).unwrap(),
            )
        };
        let theirs: Vec<_> = (0..pairs).map(pair).collect();
        for list in [&mine, &theirs] {
            assert!(
                list.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1),
                "a load went back"
            );
        }
        // The guest has seen x = a and then y = b; the host y = d and then x = c. If a > c
        // and d > b, they have seen the writes in opposite orders.
        let mut host = mine.iter().copied().peekable();
        let mut best = None;
        for (a, b) in &theirs {
            while let Some((_, d)) = host.next_if(|(c, _)| c < a) {
                best = best.max(Some(d));
            }
            assert!(
                best.is_none_or(|d| d <= *b),
                "two orders of the same writes"
            );
        }
    }
}
