//! Batches and runs.

use threadwork_runtime::{AtomicBatch, MemoryError, SharedMemory};

use crate::support::{rounds, together};

const PAGE: usize = SharedMemory::PAGE;

#[test]
fn each_operation_has_a_result_in_order() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let batch = AtomicBatch::new()
        .store(0, -1_i8)
        .load::<u8>(0)
        .add(0, 1_i8)
        .store(8, u64::MAX)
        .exchange(8, 3_u64)
        .or(8, 4_u64)
        .and(8, 6_u64)
        .xor(8, 1_u64)
        .sub(8, 10_u64)
        .load::<u64>(8)
        .compare_exchange(16, 0_u16, 0xffff)
        .compare_exchange(16, 0_u16, 1)
        .load::<i16>(16);
    assert_eq!(batch.len(), 13);
    let results = batch.run(&memory).unwrap();
    assert_eq!(
        results,
        [-1, 0xff, -1, -1, -1, 3, 7, 6, 7, -3, 0, 0xffff, -1]
    );
    assert_eq!(memory.load::<i8>(0), Ok(0));
    // It can be run again.
    assert_eq!(batch.run(&memory).unwrap()[10], 0xffff);
}

#[test]
fn an_empty_batch_does_nothing() {
    let memory = SharedMemory::new(0, 0).unwrap();
    assert!(AtomicBatch::new().is_empty());
    assert_eq!(AtomicBatch::new().run(&memory), Ok(vec![]));
}

#[test]
fn nothing_is_done_if_any_offset_is_wrong() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let good = AtomicBatch::new().add(0, 1_i32).store(8, 1_i64);
    let outside = good.clone().load::<i32>(PAGE);
    let error = MemoryError::OutOfBounds {
        offset: PAGE,
        size: PAGE,
        len: 4,
    };
    assert_eq!(outside.run(&memory), Err(error));
    let unaligned = good.clone().load::<i32>(6);
    assert_eq!(
        unaligned.run(&memory),
        Err(MemoryError::Unaligned {
            offset: 6,
            align: 4
        })
    );
    assert_eq!(memory.load::<i32>(0), Ok(0));
    assert_eq!(memory.load::<i64>(8), Ok(0));
    good.run(&memory).unwrap();
    assert_eq!(memory.load::<i32>(0), Ok(1));
}

#[test]
fn each_operation_of_a_batch_is_atomic() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let each = rounds(2_000);
    let batch = AtomicBatch::new().add(0, 1_u32).add(4, 2_u16).sub(8, 3_i64);
    together(4, |_| {
        for _ in 0..each {
            batch.run(&memory).unwrap();
        }
    });
    let total = 4 * each;
    assert_eq!(memory.load::<u32>(0), Ok(total));
    assert_eq!(memory.load::<u16>(4), Ok((2 * total) as u16));
    assert_eq!(memory.load::<i64>(8), Ok(-3 * i64::from(total)));
}

/// In one piece and across the borders of segments.
#[test]
fn runs_reach_each_word_once() {
    let memory = SharedMemory::new(1, 4).unwrap();
    memory.grow(3).unwrap();
    for offset in [0, 8, PAGE - 8, PAGE - 6, 2 * PAGE - 2] {
        let mut words = [0_u16; 8];
        memory
            .store_run(offset, &[1_u16, 2, 3, 4, 5, 6, 7, 8])
            .unwrap();
        memory.fill_run(offset + 2, 3, 10_u16).unwrap();
        words[0] = 100;
        words[7] = 200;
        memory.add_run(offset, &mut words).unwrap();
        assert_eq!(words, [1, 10, 10, 10, 5, 6, 7, 8], "what they were");
        memory.load_run(offset, &mut words).unwrap();
        assert_eq!(words, [101, 10, 10, 10, 5, 6, 7, 208]);
    }
}

#[test]
fn a_run_that_does_not_fit_does_nothing() {
    let memory = SharedMemory::new(1, 1).unwrap();
    let offset = PAGE - 8;
    let error = MemoryError::OutOfBounds {
        offset,
        size: PAGE,
        len: 12,
    };
    let mut words = [7_i32; 3];
    assert_eq!(memory.store_run(offset, &words), Err(error));
    assert_eq!(memory.fill_run(offset, 3, 7_i32), Err(error));
    assert_eq!(memory.add_run(offset, &mut words), Err(error));
    assert_eq!(memory.load_run(offset, &mut words), Err(error));
    assert_eq!(words, [7; 3]);
    assert_eq!(memory.load::<i64>(offset), Ok(0));
    let unaligned = MemoryError::Unaligned {
        offset: 2,
        align: 4,
    };
    assert_eq!(memory.fill_run(2, 1, 7_i32), Err(unaligned));
    // The bytes of the second are 8 if nobody looks at what is beyond the largest number.
    for count in [usize::MAX / 2, usize::MAX / 8 + 2] {
        let endless = memory.fill_run(0, count, 7_i64);
        assert!(matches!(endless, Err(MemoryError::OutOfBounds { .. })));
    }
    assert_eq!(memory.fill_run(PAGE, 0, 7_i64), Ok(()));
}
