//! A shared memory as the host uses it: the first half of the acceptance tests.

use crate::support::{Watch, call, execute, memory, module, runtime, until};
use std::thread;
use std::time::{Duration, Instant};
use threadwork_engine::{Engine, Error, MemoryError, SharedMemory, WaitResult};

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn creation() {
    let memory = memory(1, 1);
    assert!(memory.is_shared());
    assert_eq!((memory.size(), memory.max_size()), (65_536, 65_536));
    for (pages, most) in [(2, 1), (1, 65_537), (u64::MAX, u64::MAX)] {
        let error = SharedMemory::new(crate::support::engine(), pages, most).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
    }
    let largest = SharedMemory::new(crate::support::engine(), 0, 65_536).unwrap();
    assert_eq!((largest.size(), largest.max_size()), (0, 1 << 32));
}

#[test]
fn initialization() {
    let memory = memory(1, 1);
    let mut bytes = [1; 256];
    memory.read_bytes(0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 256]);
    for (byte, offset) in (0..=255_u8).zip(0..) {
        memory.write(offset, byte).unwrap();
    }
    memory.read_bytes(0, &mut bytes).unwrap();
    assert!(bytes.iter().copied().eq(0..=255));
    for (byte, offset) in (0..=255_u8).zip(0..) {
        assert_eq!(memory.read::<u8>(offset).unwrap(), byte);
        assert_eq!(memory.load::<u8>(offset).unwrap(), byte);
    }
}

#[test]
fn multi_thread_access() {
    let memory = memory(1, 1);
    thread::scope(|scope| {
        for half in [0..100_u64, 100..200] {
            let memory = memory.clone();
            scope.spawn(move || {
                for n in half {
                    memory.write(4 * n, n as i32).unwrap();
                }
            });
        }
    });
    for n in 0..200 {
        assert_eq!(memory.read::<i32>(4 * n).unwrap(), n as i32);
    }
}

#[test]
fn bounds_checking() {
    let memory = memory(1, 2);
    let end = memory.size();
    let outside = |offset, length| MemoryError::OutOfBounds {
        offset,
        length,
        size: end,
    };
    assert_eq!(memory.write(end, 1_i32), Err(outside(end, 4)));
    assert_eq!(memory.write(end - 3, 1_i32), Err(outside(end - 3, 4)));
    assert_eq!(memory.store(end, 1_i32), Err(outside(end, 4)));
    assert_eq!(memory.load::<u8>(end), Err(outside(end, 1)));
    for far in [u64::MAX, u64::MAX - 3, 1 << 32] {
        assert!(memory.read::<i32>(far).is_err());
        assert!(memory.fill(far, 8, 1).is_err());
        assert!(memory.store(far & !3, 1_i32).is_err());
        assert!(memory.notify(far & !3, 1).is_err());
        assert!(memory.wait32(far & !3, 0, MINUTE).is_err());
    }
    assert!(memory.fill(end - 1, u64::MAX, 1).is_err());
    assert!(memory.write_bytes(end - 4, &[1; 5]).is_err());
    // Plain access may be unaligned, atomic operations not; nothing is changed.
    memory.write(end - 5, 7_i32).unwrap();
    assert_eq!(memory.read::<i32>(end - 5).unwrap(), 7);
    memory.write(end - 5, 0_i32).unwrap();
    let misaligned = |alignment| MemoryError::Misaligned {
        offset: 2,
        alignment,
    };
    assert_eq!(memory.add(2, 1_i32), Err(misaligned(4)));
    assert_eq!(memory.load::<u64>(2), Err(misaligned(8)));
    assert_eq!(memory.notify(2, 1), Err(misaligned(4)));
    assert!(matches!(
        memory.wait64(12, 0, MINUTE),
        Err(MemoryError::Misaligned { .. })
    ));
    assert!(memory.mutex_at(2).is_err() && memory.barrier_at(24).is_err());
    assert!(memory.barrier_at(end).is_err() && memory.mutex_at(end - 4).is_ok());
    let mut bytes = vec![0; end as usize];
    memory.read_bytes(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn growth() {
    let _watch = Watch::start();
    let memory = memory(1, 3);
    let seen = memory.clone();
    assert!(memory.write(65_536, 1_u8).is_err());
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            until(|| seen.size() == 2 * 65_536);
            seen.write(65_536, 5_u8)
        });
        assert_eq!(memory.grow(1).unwrap(), 1);
        other.join().unwrap().unwrap();
    });
    assert_eq!(memory.read::<u8>(65_536).unwrap(), 5);
    assert_eq!(memory.grow(0).unwrap(), 2);
    let full = MemoryError::Full {
        size: 2 * 65_536,
        pages: 2,
    };
    assert_eq!(memory.grow(2), Err(full));
    assert!(memory.grow(u64::MAX).is_err());
    assert_eq!(memory.grow(1).unwrap(), 2);
}

/// What one side adds the other has.
#[test]
fn growth_is_seen_by_guest_and_host() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "size") (result i32) (memory.size))
           (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
           (func (export "poke") (param i32) (i32.store8 (local.get 0) (i32.const 9)))"#,
    );
    let runtime = runtime(&module, 2);
    let memory = runtime.memory();
    assert_eq!(call(&runtime, "size", []), 4);
    assert_eq!(memory.grow(2).unwrap(), 4);
    assert_eq!(call(&runtime, "size", []), 6);
    execute(&runtime, "poke", [5 * 65_536]).wait().unwrap();
    assert_eq!(memory.read::<u8>(5 * 65_536).unwrap(), 9);
    assert_eq!(call(&runtime, "grow", [1]), 6);
    assert_eq!(memory.size(), 7 * 65_536);
    memory.write(7 * 65_536 - 1, 1_u8).unwrap();
}

#[test]
fn isolation() {
    let (one, two) = (memory(1, 1), memory(1, 1));
    one.write(0, 111_i32).unwrap();
    two.write(0, 222_i32).unwrap();
    assert_eq!(
        (one.read::<i32>(0).unwrap(), two.read::<i32>(0).unwrap()),
        (111, 222)
    );
    // Another engine's, too.
    let third = SharedMemory::new(&Engine::new().unwrap(), 1, 1).unwrap();
    assert_eq!(third.read::<i32>(0).unwrap(), 0);
}

#[test]
fn fence() {
    let memory = memory(1, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=1000_u32 {
                memory.write(64, round).unwrap();
                memory.fence();
                memory.store(0, round).unwrap();
            }
        });
        let mut last = 0;
        while last < 1000 {
            let flag = memory.load::<u32>(0).unwrap();
            memory.fence();
            let data = memory.read::<u32>(64).unwrap();
            assert!(data >= flag && flag >= last);
            last = flag;
        }
    });
}

#[test]
fn visibility_and_concurrent_increment() {
    let memory = memory(1, 1);
    for (threads, times) in [(4, 1000), (4, 10_000)] {
        memory.store(8, 0_u64).unwrap();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..times {
                        memory.add(8, 1_u64).unwrap();
                    }
                });
            }
        });
        assert_eq!(memory.load::<u64>(8).unwrap(), threads * times);
    }
}

/// Every operation on every width, with the old value; and on no byte beside it.
#[test]
fn atomic_operations() {
    macro_rules! check {
        ($($integer:ty)*) => {$({
            type T = $integer;
            let memory = memory(1, 1);
            let at = 16 * size_of::<T>() as u64;
            memory.fill(0, 65_536, 0xa5).unwrap();
            memory.store::<T>(at, T::MAX).unwrap();
            assert_eq!(memory.load::<T>(at).unwrap(), T::MAX);
            assert_eq!(memory.add::<T>(at, 1).unwrap(), T::MAX);
            assert_eq!(memory.load::<T>(at).unwrap(), T::MIN);
            assert_eq!(memory.sub::<T>(at, 1).unwrap(), T::MIN);
            assert_eq!(memory.exchange::<T>(at, 10).unwrap(), T::MAX);
            assert_eq!(memory.add::<T>(at, 5).unwrap(), 10);
            assert_eq!(memory.sub::<T>(at, 2).unwrap(), 15);
            assert_eq!(memory.and::<T>(at, 0b1100).unwrap(), 13);
            assert_eq!(memory.or::<T>(at, 0b0011).unwrap(), 12);
            assert_eq!(memory.xor::<T>(at, 0b0101).unwrap(), 15);
            assert_eq!(memory.compare_exchange::<T>(at, 10, 75).unwrap(), Ok(10));
            assert_eq!(memory.compare_exchange::<T>(at, 10, 100).unwrap(), Err(75));
            assert_eq!(memory.load::<T>(at).unwrap(), 75);
            let mut around = [0; 64];
            memory.read_bytes(at - 16, &mut around[..16]).unwrap();
            memory.read_bytes(at + size_of::<T>() as u64, &mut around[16..]).unwrap();
            assert_eq!(around, [0xa5; 64]);
        })*};
    }
    check!(u8 i8 u16 i16 u32 i32 u64 i64);
}

#[test]
fn the_examples_of_the_specification() {
    let memory = memory(1, 1);
    memory.store(0, i64::MAX).unwrap();
    assert_eq!(memory.load::<i64>(0).unwrap(), i64::MAX);
    memory.store(0, 10_i32).unwrap();
    assert_eq!(
        (
            memory.add(0, 5_i32).unwrap(),
            memory.load::<i32>(0).unwrap()
        ),
        (10, 15)
    );
    memory.store(0, 20_i32).unwrap();
    assert_eq!(
        (
            memory.sub(0, 7_i32).unwrap(),
            memory.load::<i32>(0).unwrap()
        ),
        (20, 13)
    );
    memory.store(0, 100_i32).unwrap();
    assert_eq!(
        (
            memory.exchange(0, 200_i32).unwrap(),
            memory.load::<i32>(0).unwrap()
        ),
        (100, 200)
    );
    memory.store(0, 50_i32).unwrap();
    assert_eq!(memory.compare_exchange(0, 50_i32, 75).unwrap(), Ok(50));
    assert_eq!(memory.compare_exchange(0, 50_i32, 100).unwrap(), Err(75));
}

#[test]
fn wait_notify() {
    let _watch = Watch::start();
    let memory = memory(1, 1);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| memory.wait32(0, 0, Some(Duration::from_secs(5))));
        until(|| memory.notify(0, 1).unwrap() == 1);
        assert_eq!(waiter.join().unwrap(), Ok(WaitResult::Woken));
    });
    assert_eq!(memory.wait32(0, 1, None), Ok(WaitResult::NotEqual));
    assert_eq!(memory.wait64(0, 1, None), Ok(WaitResult::NotEqual));
    let start = Instant::now();
    let short = Duration::from_millis(20);
    assert_eq!(memory.wait64(0, 0, Some(short)), Ok(WaitResult::TimedOut));
    assert!(start.elapsed() >= short);
    assert_eq!(
        memory.wait32(0, 0, Some(Duration::ZERO)),
        Ok(WaitResult::TimedOut)
    );
    assert_eq!(memory.notify(0, u32::MAX), Ok(0));
    assert_eq!(memory.notify(0, 0), Ok(0));
}

/// A count wakes as many, those that came first, and says so.
#[test]
fn notify_wakes_exactly_so_many_of_the_host_and_of_the_guest() {
    let _watch = Watch::start();
    let module = module(
        r#"(func (export "wait32") (result i32)
             (call $count)
             (memory.atomic.wait32 (i32.const 512) (i32.const 0) (i64.const 60000000000)))
           (func (export "wait64") (result i32)
             (call $count)
             (memory.atomic.wait64 (i32.const 512) (i64.const 0) (i64.const 60000000000)))
           (func (export "notify") (param i32) (result i32)
             (memory.atomic.notify (i32.const 512) (local.get 0)))"#,
    );
    let runtime = runtime(&module, 3);
    let memory = runtime.memory();
    let guests = || ["wait32", "wait64"].map(|entry| execute(&runtime, entry, []));
    let notify = |count: u32, most: u32| {
        let mut woken = 0;
        while woken < count {
            let now = memory.notify(512, most.min(count - woken)).unwrap();
            assert!(now <= most);
            woken += now;
        }
    };
    for most in [1, 2] {
        let waiting = guests();
        notify(2, most);
        for guest in waiting {
            assert_eq!(guest.wait_as::<i32>().unwrap(), 0);
        }
        assert_eq!(memory.notify(512, u32::MAX), Ok(0));
    }
    // A guest wakes the host.
    thread::scope(|scope| {
        let host = scope.spawn(|| memory.wait32(512, 0, MINUTE));
        until(|| call(&runtime, "notify", [5]) == 1);
        assert_eq!(host.join().unwrap(), Ok(WaitResult::Woken));
    });
    // All are in one queue.
    thread::scope(|scope| {
        let host = scope.spawn(|| memory.wait64(512, 0, MINUTE));
        let waiting = guests();
        notify(3, u32::MAX);
        for guest in waiting {
            assert_eq!(guest.wait_as::<i32>().unwrap(), 0);
        }
        assert_eq!(host.join().unwrap(), Ok(WaitResult::Woken));
    });
}

/// Bytes at any offset and of any length, next to what must not change.
#[test]
fn copies_of_any_alignment() {
    let memory = memory(1, 1);
    let pattern: Vec<u8> = (0..100).map(|n| n * 2 + 1).collect();
    for offset in 0..24 {
        for length in 0..40 {
            memory.fill(0, 128, 0xee).unwrap();
            memory.write_bytes(offset, &pattern[..length]).unwrap();
            let mut bytes = vec![0; 128];
            memory.read_bytes(0, &mut bytes).unwrap();
            let mut expected = vec![0xee; 128];
            expected[offset as usize..][..length].copy_from_slice(&pattern[..length]);
            assert_eq!(bytes, expected);
            let mut part = vec![0; length];
            memory.read_bytes(offset, &mut part).unwrap();
            assert_eq!(part, pattern[..length]);
            memory.fill(offset, length as u64, 3).unwrap();
            expected[offset as usize..][..length].fill(3);
            memory.read_bytes(0, &mut bytes).unwrap();
            assert_eq!(bytes, expected);
        }
    }
    memory.write(1, -2.5_f64).unwrap();
    assert_eq!(memory.read::<f64>(1).unwrap(), -2.5);
    memory.write(3, f32::MAX).unwrap();
    assert_eq!(memory.read::<f32>(3).unwrap(), f32::MAX);
}
