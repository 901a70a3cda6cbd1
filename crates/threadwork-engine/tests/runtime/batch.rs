//! Batches: on the host, and from a guest in one call across the boundary.

use crate::support::{Watch, call, engine, execute, memory, runtime, until, workers_of};
use threadwork_engine::{AtomicBatch, BatchResult, MemoryError, Module, SharedMemory, TaskError};

#[test]
fn one_result_for_each_in_order() {
    let memory = memory(1, 1);
    let mut batch = AtomicBatch::new();
    assert!(batch.is_empty());
    batch
        .store(0, 10_i32)
        .add(0, 5_i32)
        .sub(0, 1_i32)
        .and(0, 0b110_i32)
        .or(0, 1_i32)
        .xor(0, 3_i32)
        .exchange(0, -1_i32)
        .compare_exchange(0, -1_i32, 9)
        .compare_exchange(0, -1_i32, 8)
        .load::<i32>(0)
        .load::<u8>(0)
        .add(9, 250_u8)
        .add(9, 10_u8)
        .load::<u8>(9)
        .store(16, u64::MAX)
        .load::<i64>(16)
        .load::<u16>(22);
    assert_eq!(batch.len(), 17);
    let results = memory.run(&batch).unwrap();
    let numbers: Vec<_> = results[1..10]
        .iter()
        .map(|result| result.value::<i32>())
        .collect();
    let expected = [10, 15, 14, 6, 7, 4, -1, 9, 9];
    assert!(numbers.into_iter().eq(expected.map(Some)));
    assert_eq!(results[0], BatchResult::Done);
    let bytes: Vec<_> = results[10..14]
        .iter()
        .map(|result| result.value::<u8>().unwrap())
        .collect();
    assert_eq!(bytes, [9, 0, 250, 4]);
    assert_eq!(results[15].value::<i64>(), Some(-1));
    assert_eq!(results[16].value::<u16>(), Some(u16::MAX));
    assert_eq!(results[0].value::<i32>(), None);
    assert_eq!(results[1].values::<i32>(), None);
    batch.clear();
    assert_eq!(memory.run(&batch).unwrap(), []);
}

#[test]
fn runs_of_words() {
    let memory = memory(1, 1);
    let mut batch = AtomicBatch::new();
    batch
        .fill_run(64, 10, 7_u16)
        .store_run(66, &[1_u16, 2, 3])
        .add_run(64, &[1_u16, u16::MAX])
        .load_run::<u16>(64, 5)
        .load_run::<u16>(64, 0)
        .store_run::<i64>(128, &[-1, -2])
        .add_run(128, &[-1_i64, 1])
        .load_run::<i64>(128, 2);
    let results = memory.run(&batch).unwrap();
    assert_eq!(results[3].values::<u16>(), Some(vec![8, 0, 2, 3, 7]));
    assert_eq!(results[4].values::<u16>(), Some(vec![]));
    assert_eq!(results[7].values::<i64>(), Some(vec![-2, -1]));
    assert!(
        [0, 1, 2, 5, 6]
            .iter()
            .all(|at| results[*at] == BatchResult::Done)
    );
    assert_eq!(memory.read::<u16>(64 + 2 * 9).unwrap(), 7);
    assert_eq!(memory.read::<u16>(64 + 2 * 10).unwrap(), 0);
}

/// Adds an operation that cannot be done; it is given where the memory ends.
type Bad = fn(&mut AtomicBatch, u64) -> &mut AtomicBatch;

#[test]
fn nothing_is_done_if_one_cannot_be() {
    let memory = memory(1, 1);
    let end = memory.size();
    let cases: [(Bad, bool); 6] = [
        (|batch, end| batch.add(end, 1_u32), false),
        (|batch, _| batch.add(2, 1_u32), true),
        (|batch, end| batch.load_run::<u32>(end - 8, 3), false),
        (|batch, _| batch.fill_run(4, 2, 1_u64), true),
        (|batch, _| batch.load_run::<u64>(0, u64::MAX), false),
        (|batch, end| batch.store_run(end, &[1_u8]), false),
    ];
    for (bad, misaligned) in cases {
        let mut batch = AtomicBatch::new();
        batch.store(0, 1_u32).store(4, 1_u32);
        bad(&mut batch, end);
        match memory.run(&batch).unwrap_err() {
            MemoryError::Batch { index: 2, reason } => {
                assert_eq!(
                    matches!(*reason, MemoryError::Misaligned { .. }),
                    misaligned
                );
            }
            other => panic!("{other}"),
        }
        assert_eq!(memory.load::<u64>(0).unwrap(), 0);
    }
}

#[test]
fn batches_of_several_threads_lose_nothing() {
    let memory = memory(1, 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut batch = AtomicBatch::new();
                for n in 0..64 {
                    batch.add(8 * n, 1_u64);
                }
                batch.add_run(512, &[1_u32; 64]);
                for _ in 0..500 {
                    memory.run(&batch).unwrap();
                }
            });
        }
    });
    for n in 0..64 {
        assert_eq!(memory.load::<u64>(8 * n).unwrap(), 2000);
        assert_eq!(memory.load::<u32>(512 + 4 * n).unwrap(), 2000);
    }
}

// ---- From a guest ----

/// A module that hands operations at `at` to the host.
fn caller() -> Module {
    let text = r#"(module
        (import "threadwork" "atomic_batch" (func $batch (param i32 i32) (result i32)))
        (memory 2 1024 shared)
        (func (export "batch") (param i32 i32) (result i32)
          (call $batch (local.get 0) (local.get 1)))
        (func (export "forever") (param i32 i32)
          (loop (drop (call $batch (local.get 0) (local.get 1))) (br 0))))"#;
    Module::new(engine(), text.as_bytes()).unwrap()
}

/// An operation as a guest writes it.
fn record(code: u8, width: u8, address: u32, operand: u64, extra: u64) -> [u8; 32] {
    let mut record = [0; 32];
    record[0] = code;
    record[1] = width;
    record[4..8].copy_from_slice(&address.to_le_bytes());
    record[8..16].copy_from_slice(&operand.to_le_bytes());
    record[16..24].copy_from_slice(&extra.to_le_bytes());
    record[24..].fill(0xcc);
    record
}

/// Writes operations to `at`.
fn write(memory: &SharedMemory, at: u64, records: &[[u8; 32]]) {
    memory.write_bytes(at, records.as_flattened()).unwrap();
}

fn results(memory: &SharedMemory, at: u64, count: u64) -> Vec<u64> {
    let result = |index| memory.read::<u64>(at + 32 * index + 24).unwrap();
    (0..count).map(result).collect()
}

#[test]
fn a_guest_runs_every_operation() {
    let _watch = Watch::start();
    let runtime = runtime(&caller(), 1);
    let memory = runtime.memory();
    let at = 4099; // Aligned to nothing.
    write(
        &memory,
        at,
        &[
            record(1, 4, 0, 10, 0),
            record(2, 4, 0, 5, 0),
            record(3, 4, 0, 1, 0),
            record(4, 4, 0, 0b110, 0),
            record(5, 4, 0, 1, 0),
            record(6, 4, 0, 3, 0),
            record(7, 4, 0, u64::MAX, 0),
            record(8, 4, 0, 9, u64::MAX),
            record(8, 4, 0, 8, u64::MAX),
            record(0, 1, 0, 0, 0),
            record(11, 2, 64, 7, 6),   // Fill.
            record(10, 2, 66, 256, 2), // Store what is at 256.
            record(12, 2, 64, 256, 3), // Add it.
            record(9, 2, 64, 512, 6),  // Load to 512.
            record(2, 8, 8, u64::MAX, 0),
            record(0, 8, 8, 0, 0),
        ],
    );
    for (n, word) in [1_u16, 2, u16::MAX].into_iter().enumerate() {
        memory.write(256 + 2 * n as u64, word).unwrap();
    }
    assert_eq!(call(&runtime, "batch", [at as i32, 16]), 0);
    let low = u64::from(u32::MAX);
    let expected = [0, 10, 15, 14, 6, 7, 4, low, 9, 9, 0, 0, 0, 0, 0, u64::MAX];
    assert_eq!(results(&memory, at, 16), expected);
    let row = |at: u64| (0..6).map(move |n| at + 2 * n);
    let words: Vec<u16> = row(64).map(|at| memory.read(at).unwrap()).collect();
    assert_eq!(words, [8, 3, 1, 7, 7, 7]);
    let copied: Vec<u16> = row(512).map(|at| memory.read(at).unwrap()).collect();
    assert_eq!(copied, words);
    assert_eq!(call(&runtime, "batch", [at as i32, 0]), 0);
}

#[test]
fn a_guest_that_is_wrong_gets_the_number_and_nothing_is_done() {
    let _watch = Watch::start();
    let runtime = runtime(&caller(), 1);
    let memory = runtime.memory();
    let end = memory.size();
    let mut dirty = record(0, 4, 0, 0, 0);
    dirty[2] = 1;
    for bad in [
        record(13, 4, 0, 0, 0),
        record(0, 3, 0, 0, 0),
        record(0, 0, 0, 0, 0),
        dirty,
        record(0, 4, 2, 0, 0),
        record(0, 4, end as u32, 0, 0),
        record(11, 4, 0, 0, u64::MAX),
        record(11, 8, end as u32 - 8, 0, 2),
        record(9, 4, 0, end, 1),
        record(10, 4, 0, 3, 1),
        record(12, 4, 0, u64::MAX, 1),
        record(12, 4, 0xffff_fffc, 0, 1),
    ] {
        write(&memory, 1024, &[record(1, 4, 0, 1, 0), bad]);
        assert_eq!(call(&runtime, "batch", [1024, 2]), 2, "{bad:?}");
        assert_eq!(memory.load::<u64>(0).unwrap(), 0);
        assert_eq!(results(&memory, 1024, 1), [0xcccc_cccc_cccc_cccc]);
    }
    for (address, count) in [(end as i32 - 31, 1), (0, -1), (0, 65_537), (-32, 2)] {
        let error = execute(&runtime, "batch", [address, count])
            .wait()
            .unwrap_err();
        assert!(matches!(error, TaskError::Trapped(_)), "{error}");
    }
    // An operation that overwrites the next one comes too late.
    write(
        &memory,
        1024,
        &[record(11, 8, 1056, u64::MAX, 4), record(1, 4, 0, 5, 0)],
    );
    assert_eq!(call(&runtime, "batch", [1024, 2]), 0);
    assert_eq!(memory.load::<u32>(0).unwrap(), 5);
}

/// A long run is stopped like any loop.
#[test]
fn a_guest_in_a_long_batch_is_stopped() {
    let _watch = Watch::start();
    let runtime = workers_of(&caller(), 1, 1).host_threads(0).build().unwrap();
    let memory = runtime.memory();
    memory.grow(1000).unwrap();
    let records: Vec<_> = (0..2000)
        .map(|_| record(11, 1, 131_072, 1, 900 << 16))
        .collect();
    write(&memory, 1024, &records);
    let task = execute(&runtime, "batch", [1024, 2000]);
    until(|| memory.load::<u8>(131_072).unwrap() == 1);
    assert!(task.cancel());
    assert!(matches!(task.wait(), Err(TaskError::Cancelled)));
    let task = execute(&runtime, "forever", [1024, 2000]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    runtime.shutdown_now();
    assert!(matches!(task.wait(), Err(TaskError::Ended(_))));
}

#[test]
fn a_module_without_shared_memory_has_no_batches() {
    let text = r#"(module
        (import "threadwork" "atomic_batch" (func $batch (param i32 i32) (result i32)))
        (memory 1)
        (func (export "_start") (drop (call $batch (i32.const 0) (i32.const 0)))))"#;
    let module = Module::new(engine(), text.as_bytes()).unwrap();
    let status = threadwork_engine::ProcessBuilder::new(&module)
        .run()
        .unwrap();
    assert_eq!(status.code(), 134);
    assert!(status.to_string().contains("without a shared memory"));
}
