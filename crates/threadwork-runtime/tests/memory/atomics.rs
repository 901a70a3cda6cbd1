//! The atomic operations: what each returns and leaves, in all widths.

use std::sync::atomic::{AtomicU32, Ordering};

use threadwork_runtime::{MemoryError, SharedMemory};

use crate::support::{rounds, together};

#[test]
fn load_and_store() {
    let memory = SharedMemory::new(1, 1).unwrap();
    memory.store(0, -7_i32).unwrap();
    assert_eq!(memory.load::<i32>(0), Ok(-7));
    memory.store(8, i64::MAX).unwrap();
    assert_eq!(memory.load::<i64>(8), Ok(i64::MAX));
}

#[test]
fn updates_return_the_old_value() {
    let memory = SharedMemory::new(1, 1).unwrap();
    memory.store(0, 10_i32).unwrap();
    assert_eq!(memory.add(0, 5_i32), Ok(10));
    assert_eq!(memory.load::<i32>(0), Ok(15));
    assert_eq!(memory.sub(0, 7_i32), Ok(15));
    assert_eq!(memory.load::<i32>(0), Ok(8));
    memory.store(0, 0b1100_i32).unwrap();
    assert_eq!(memory.and(0, 0b1010_i32), Ok(0b1100));
    assert_eq!(memory.or(0, 0b0001_i32), Ok(0b1000));
    assert_eq!(memory.xor(0, 0b1111_i32), Ok(0b1001));
    assert_eq!(memory.exchange(0, 200_i32), Ok(0b0110));
    assert_eq!(memory.load::<i32>(0), Ok(200));
}

#[test]
fn compare_exchange_changes_nothing_when_it_fails() {
    let memory = SharedMemory::new(1, 1).unwrap();
    memory.store(0, 50_i32).unwrap();
    assert_eq!(memory.compare_exchange(0, 50_i32, 75), Ok(50));
    assert_eq!(memory.compare_exchange(0, 50_i32, 100), Ok(75));
    assert_eq!(memory.load::<i32>(0), Ok(75));
}

macro_rules! each_width {
    ($($name:ident: $type:ty;)*) => {$(
        /// It wraps around, and its neighbours stay as they are.
        #[test]
        #[cfg_attr(miri, ignore = "mixed widths: -Zmiri-disable-weak-memory-emulation")]
        fn $name() {
            let memory = SharedMemory::new(1, 1).unwrap();
            let size = size_of::<$type>();
            memory.write_bytes(64, &[0xa5; 64]).unwrap();
            memory.store(80, <$type>::MAX).unwrap();
            assert_eq!(memory.add(80, 1 as $type), Ok(<$type>::MAX));
            assert_eq!(memory.load::<$type>(80), Ok(<$type>::MIN));
            assert_eq!(memory.sub(80, 1 as $type), Ok(<$type>::MIN));
            assert_eq!(memory.compare_exchange(80, <$type>::MAX, 9), Ok(<$type>::MAX));
            let mut bytes = [0; 64];
            memory.read_bytes(64, &mut bytes).unwrap();
            assert!(bytes[..16].iter().all(|byte| *byte == 0xa5));
            assert!(bytes[16 + size..].iter().all(|byte| *byte == 0xa5));

            for offset in 81..80 + size {
                let error = MemoryError::Unaligned { offset, align: size };
                assert_eq!(memory.add(offset, 1 as $type), Err(error));
                assert_eq!(memory.store(offset, 1 as $type), Err(error));
                assert_eq!(memory.load::<$type>(offset), Err(error));
            }
            let offset = SharedMemory::PAGE;
            let error = MemoryError::OutOfBounds { offset, size: offset, len: size };
            assert_eq!(memory.exchange(offset, 1 as $type), Err(error));
            assert_eq!(memory.compare_exchange(offset, 0, 1 as $type), Err(error));
            assert_eq!(memory.load::<$type>(80), Ok(9));
        }
    )*};
}

each_width! {
    i8_wraps: i8;
    u8_wraps: u8;
    i16_wraps: i16;
    u16_wraps: u16;
    i32_wraps: i32;
    u32_wraps: u32;
    i64_wraps: i64;
    u64_wraps: u64;
}

#[test]
fn views_are_the_same_words() {
    let memory = SharedMemory::new(1, 2).unwrap();
    let word = memory.i32(8).unwrap();
    word.store(5, Ordering::SeqCst);
    memory.grow(1).unwrap();
    assert_eq!(memory.add(8, 1_i32), Ok(5));
    assert_eq!(word.load(Ordering::SeqCst), 6);
    assert!(std::ptr::eq(word, memory.i32(8).unwrap()), "nothing moves");
    assert!(memory.u64(4).is_err());
    assert!(memory.u8(2 * SharedMemory::PAGE).is_err());
    for (view, offset) in [
        (memory.u8(1).is_ok(), 1),
        (memory.i8(1).is_ok(), 1),
        (memory.u16(2).is_ok(), 2),
        (memory.i16(2).is_ok(), 2),
        (memory.u32(4).is_ok(), 4),
        (memory.i64(16).is_ok(), 16),
    ] {
        assert!(view, "at {offset}");
    }
}

/// Threads that have come between each other's steps so often, and not so many steps, make the
/// test: they may all run one after the other.
#[test]
fn no_increment_is_lost() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let between = AtomicU32::new(0);
    let enough = rounds(200);
    // Neighbours in one word, of all widths.
    let counts = together(4, |_| {
        let (mut count, mut next) = (0_u32, 0);
        while count < rounds(2_000) || between.load(Ordering::Relaxed) < enough {
            count += 1;
            let before = memory.add(0, 1_i32).unwrap();
            if before != next {
                between.fetch_add(1, Ordering::Relaxed);
            }
            next = before + 1;
            memory.add(4, 1_u16).unwrap();
            memory.add(6, 1_u8).unwrap();
            memory.sub(8, 1_i64).unwrap();
            memory.xor(7, 0x80_u8).unwrap();
        }
        count
    });
    let total: u32 = counts.iter().sum();
    assert_eq!(memory.load::<i32>(0), Ok(total as i32));
    assert_eq!(memory.load::<u16>(4), Ok(total as u16));
    assert_eq!(memory.load::<u8>(6), Ok(total as u8));
    assert_eq!(memory.load::<u8>(7), Ok((total % 2) as u8 * 0x80));
    assert_eq!(memory.load::<i64>(8), Ok(-i64::from(total)));
}

/// A lock of one's own out of two operations.
#[test]
fn a_lock_can_be_built_of_them() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let each = rounds(2_000);
    together(4, |_| {
        for _ in 0..each {
            while memory.compare_exchange(0, 0_u32, 1).unwrap() != 0 {
                std::thread::yield_now();
            }
            let seen: u64 = memory.read(64).unwrap();
            memory.write(64, seen + 1).unwrap();
            memory.store(0, 0_u32).unwrap();
        }
    });
    assert_eq!(memory.read::<u64>(64), Ok(u64::from(4 * each)));
}
