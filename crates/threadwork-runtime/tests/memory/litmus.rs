//! What one thread may see of another's accesses: the classic small programs, many times.
//! Under Miri, whose threads see stale values on purpose, they can fail on any machine.

use std::sync::Barrier;

use threadwork_runtime::SharedMemory;

use crate::support::{rounds, together};

const X: usize = 0;
const Y: usize = 256;

/// Runs `body(index)` in `threads` threads, again and again on a memory that is zero.
fn repeat(
    threads: u32,
    body: impl Fn(&SharedMemory, u32) -> i32 + Sync,
    allowed: impl Fn(&[i32]) -> bool + Sync,
) {
    let memory = SharedMemory::new(1, 1).unwrap();
    let barrier = Barrier::new(threads as usize);
    let results: Vec<_> = (0..threads)
        .map(|_| std::sync::atomic::AtomicI32::new(0))
        .collect();
    together(threads, |index| {
        for _ in 0..rounds(10_000) {
            barrier.wait();
            let result = body(&memory, index);
            results[index as usize].swap(result, std::sync::atomic::Ordering::SeqCst);
            if barrier.wait().is_leader() {
                let seen: Vec<i32> = results
                    .iter()
                    .map(|result| result.swap(0, std::sync::atomic::Ordering::SeqCst))
                    .collect();
                assert!(allowed(&seen), "{seen:?}");
                memory.store(X, 0_i32).unwrap();
                memory.store(Y, 0_i32).unwrap();
            }
        }
    });
}

/// Plain data, then an atomic flag: who sees the flag sees the data.
#[test]
fn message_passing() {
    repeat(
        2,
        |memory, index| {
            if index == 0 {
                memory.write(X, 42_i32).unwrap();
                memory.store(Y, 1_i32).unwrap();
                return 42;
            }
            match memory.load::<i32>(Y).unwrap() {
                1 => memory.read(X).unwrap(),
                _ => 42,
            }
        },
        |seen| seen == [42, 42],
    );
}

/// The same with fences around plain accesses.
#[test]
fn message_passing_with_fences() {
    repeat(
        2,
        |memory, index| {
            if index == 0 {
                memory.write(X, 42_i32).unwrap();
                memory.fence();
                memory.write(Y, 1_i32).unwrap();
                return 42;
            }
            match memory.read::<i32>(Y).unwrap() {
                1 => {
                    memory.fence();
                    memory.read(X).unwrap()
                }
                _ => 42,
            }
        },
        |seen| seen == [42, 42],
    );
}

/// Each writes one and reads the other: one of them is late, and sees it.
#[test]
fn store_buffering() {
    repeat(
        2,
        |memory, index| {
            let (own, other) = if index == 0 { (X, Y) } else { (Y, X) };
            memory.store(own, 1_i32).unwrap();
            memory.load(other).unwrap()
        },
        |seen| seen != [0, 0],
    );
}

/// The same with fences between plain accesses.
#[test]
fn store_buffering_with_fences() {
    repeat(
        2,
        |memory, index| {
            let (own, other) = if index == 0 { (X, Y) } else { (Y, X) };
            memory.write(own, 1_i32).unwrap();
            memory.fence();
            memory.read(other).unwrap()
        },
        |seen| seen != [0, 0],
    );
}

/// Each reads one and then writes the other: not both come from the future.
#[test]
fn load_buffering() {
    repeat(
        2,
        |memory, index| {
            let (from, to) = if index == 0 { (X, Y) } else { (Y, X) };
            let seen = memory.load(from).unwrap();
            memory.store(to, 1_i32).unwrap();
            seen
        },
        |seen| seen != [1, 1],
    );
}

/// Two write, two read in opposite orders: they agree on which write was first.
#[test]
fn independent_reads_of_independent_writes() {
    repeat(
        4,
        |memory, index| {
            let (first, second) = if index == 2 { (X, Y) } else { (Y, X) };
            match index {
                0 => memory.store(X, 1_i32).map(|()| 0).unwrap(),
                1 => memory.store(Y, 1_i32).map(|()| 0).unwrap(),
                _ => {
                    let first: i32 = memory.load(first).unwrap();
                    let second: i32 = memory.load(second).unwrap();
                    2 * first + second
                }
            }
        },
        // 2: the first was seen, the second not.
        |seen| seen[2..] != [2, 2],
    );
}

/// The values that one thread reads of a counter never go back.
#[test]
fn a_reader_never_goes_back() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let last = rounds(50_000);
    together(3, |index| {
        let mut seen = 0;
        for count in 1..=last {
            if index == 0 {
                memory.store(X, count).unwrap();
            } else {
                let now = memory.load::<u32>(X).unwrap();
                assert!(now >= seen, "{now} after {seen}");
                seen = now;
            }
        }
    });
}
