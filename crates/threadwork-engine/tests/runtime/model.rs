//! Random operations on a shared memory and on a `Vec<u8>`: every result is the same.

use crate::support::{is_full, memory};
use arbitrary::{Arbitrary, Unstructured};
use threadwork_engine::{AtomicBatch, BatchResult, Integer, MemoryError, SharedMemory};

/// The memory has a page; offsets are near its ends.
#[derive(Debug, Arbitrary, Clone, Copy)]
enum Width {
    W8,
    W16,
    W32,
    W64,
}

#[derive(Debug, Arbitrary)]
enum Operation {
    Load,
    Store(u64),
    Add(u64),
    Sub(u64),
    And(u64),
    Or(u64),
    Xor(u64),
    Exchange(u64),
    CompareExchange(u64, u64),
    /// Of what is there.
    CompareExchangeHit(u64),
    LoadRun(u8),
    StoreRun(Vec<u64>),
    FillRun(u8, u64),
    AddRun(Vec<u64>),
    Read(u8),
    Write(Vec<u8>),
    Fill(u8, u8),
    Grow(bool),
}

#[derive(Debug, Arbitrary)]
struct Step {
    at: i16,
    width: Width,
    operation: Operation,
}

const PAGE: usize = 65_536;

/// What the memory should be.
struct Model(Vec<u8>);

impl Model {
    /// The bytes that an atomic operation may use, if there are such.
    fn word(&mut self, offset: u64, width: usize, count: usize) -> Option<&mut [u8]> {
        let offset = usize::try_from(offset).ok()?;
        let aligned = offset.is_multiple_of(width);
        let end = offset.checked_add(width * count)?;
        self.0.get_mut(offset..end).filter(|_| aligned)
    }

    fn bytes(&mut self, offset: u64, count: usize) -> Option<&mut [u8]> {
        self.word(offset, 1, count)
    }
}

fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

fn put(bytes: &mut [u8], value: u64) {
    let length = bytes.len();
    bytes.copy_from_slice(&value.to_le_bytes()[..length]);
}

/// What the number becomes, of an operation on one word.
fn change(operation: &Operation, old: u64) -> Option<u64> {
    Some(match *operation {
        Operation::Load => old,
        Operation::Store(value) | Operation::Exchange(value) => value,
        Operation::Add(value) => old.wrapping_add(value),
        Operation::Sub(value) => old.wrapping_sub(value),
        Operation::And(value) => old & value,
        Operation::Or(value) => old | value,
        Operation::Xor(value) => old ^ value,
        Operation::CompareExchangeHit(new) => new,
        _ => return None,
    })
}

/// To and from the bits of an integer.
type Casts<T> = (fn(u64) -> T, fn(T) -> u64);

/// One step on a memory, of one width.
fn step<T: Integer + From<u8> + Copy + std::fmt::Debug>(
    memory: &SharedMemory,
    model: &mut Model,
    step: &Step,
    offset: u64,
    as_batch: bool,
    (into, from): Casts<T>,
) {
    let width = size_of::<T>();
    let mut batch = AtomicBatch::new();
    let cut = |value: u64| from(into(value));
    match &step.operation {
        Operation::LoadRun(count) => {
            let words = model.word(offset, width, usize::from(*count));
            let expected = words.map(|words| words.chunks(width).map(number).collect());
            batch.load_run::<T>(offset, u64::from(*count));
            let values = one(memory, &batch).map(|result| {
                result
                    .values::<T>()
                    .unwrap()
                    .into_iter()
                    .map(from)
                    .collect::<Vec<_>>()
            });
            return assert_eq!(values, expected);
        }
        Operation::StoreRun(values) | Operation::AddRun(values) => {
            let adds = matches!(step.operation, Operation::AddRun(_));
            let typed: Vec<T> = values.iter().copied().map(into).collect();
            match adds {
                true => batch.add_run(offset, &typed),
                false => batch.store_run(offset, &typed),
            };
            let words = model.word(offset, width, values.len());
            let is_possible = words.is_some();
            for (word, value) in words.unwrap_or_default().chunks_mut(width).zip(values) {
                let old = if adds { number(word) } else { 0 };
                put(word, old.wrapping_add(*value));
            }
            return assert_eq!(
                one(memory, &batch),
                is_possible.then_some(BatchResult::Done)
            );
        }
        Operation::FillRun(count, value) => {
            batch.fill_run(offset, u64::from(*count), into(*value));
            let words = model.word(offset, width, usize::from(*count));
            let is_possible = words.is_some();
            let words = words.unwrap_or_default();
            words.chunks_mut(width).for_each(|word| put(word, *value));
            return assert_eq!(
                one(memory, &batch),
                is_possible.then_some(BatchResult::Done)
            );
        }
        Operation::Read(count) => {
            let mut bytes = vec![0; usize::from(*count)];
            let read = memory.read_bytes(offset, &mut bytes).is_ok();
            let expected = model.bytes(offset, bytes.len()).map(|bytes| bytes.to_vec());
            return assert_eq!(read.then_some(bytes), expected);
        }
        Operation::Write(bytes) => {
            let written = memory.write_bytes(offset, bytes).is_ok();
            let target = model.bytes(offset, bytes.len());
            assert_eq!(written, target.is_some());
            return target
                .into_iter()
                .for_each(|target| target.copy_from_slice(bytes));
        }
        Operation::Fill(count, value) => {
            let filled = memory.fill(offset, u64::from(*count), *value).is_ok();
            let target = model.bytes(offset, usize::from(*count));
            assert_eq!(filled, target.is_some());
            return target.into_iter().for_each(|target| target.fill(*value));
        }
        Operation::Grow(grows) => {
            let grown = memory.grow(u64::from(*grows)).is_ok();
            let fits = model.0.len() / PAGE + usize::from(*grows) <= 2;
            assert_eq!(grown, fits);
            let length = model.0.len() + if fits { usize::from(*grows) * PAGE } else { 0 };
            return model.0.resize(length, 0);
        }
        _ => {}
    }
    // One word, by a call or by a batch of one.
    let word = model.word(offset, width, 1);
    let is_possible = word.is_some();
    let mut nothing = vec![0; width];
    let word = word.unwrap_or(&mut nothing);
    let old = number(word);
    let expected = match step.operation {
        Operation::CompareExchange(current, new) => {
            batch.compare_exchange(offset, into(current), into(new));
            if old == cut(current) {
                put(word, new);
            }
            old
        }
        Operation::CompareExchangeHit(new) => {
            batch.compare_exchange(offset, into(old), into(new));
            put(word, new);
            old
        }
        _ => {
            match step.operation {
                Operation::Load => batch.load::<T>(offset),
                Operation::Store(value) => batch.store(offset, into(value)),
                Operation::Add(value) => batch.add(offset, into(value)),
                Operation::Sub(value) => batch.sub(offset, into(value)),
                Operation::And(value) => batch.and(offset, into(value)),
                Operation::Or(value) => batch.or(offset, into(value)),
                Operation::Xor(value) => batch.xor(offset, into(value)),
                _ => batch.exchange(
                    offset,
                    into(match step.operation {
                        Operation::Exchange(value) => value,
                        _ => unreachable!("all others are above"),
                    }),
                ),
            };
            put(word, change(&step.operation, old).unwrap());
            old
        }
    };
    let stores = matches!(step.operation, Operation::Store(_));
    let result = match as_batch {
        true => one(memory, &batch).map(|result| result.value::<T>().map(from)),
        false => single(memory, offset, step, (into, from), old).ok(),
    };
    let expected = if stores { None } else { Some(expected) };
    assert_eq!(
        result,
        is_possible.then_some(expected),
        "{step:?} at {offset}"
    );
}

/// The same by a single call; `None` for a store.
fn single<T: Integer>(
    memory: &SharedMemory,
    offset: u64,
    step: &Step,
    (into, from): Casts<T>,
    old: u64,
) -> Result<Option<u64>, MemoryError> {
    let result = match step.operation {
        Operation::Store(value) => return memory.store(offset, into(value)).map(|()| None),
        Operation::Load => memory.load(offset),
        Operation::Add(value) => memory.add(offset, into(value)),
        Operation::Sub(value) => memory.sub(offset, into(value)),
        Operation::And(value) => memory.and(offset, into(value)),
        Operation::Or(value) => memory.or(offset, into(value)),
        Operation::Xor(value) => memory.xor(offset, into(value)),
        Operation::Exchange(value) => memory.exchange(offset, into(value)),
        Operation::CompareExchange(current, new) => {
            let result = memory.compare_exchange(offset, into(current), into(new));
            result.map(|result| result.unwrap_or_else(|old| old))
        }
        _ => {
            let Operation::CompareExchangeHit(new) = step.operation else {
                unreachable!("runs are done elsewhere");
            };
            let result = memory.compare_exchange(offset, into(old), into(new));
            result.map(|result| result.unwrap_or_else(|old| old))
        }
    };
    result.map(|value| Some(from(value)))
}

/// The result of a batch of one; `None` if it cannot be done.
fn one(memory: &SharedMemory, batch: &AtomicBatch) -> Option<BatchResult> {
    match memory.run(batch) {
        Ok(results) => Some(results.into_iter().next().unwrap()),
        Err(MemoryError::Batch { index: 0, .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_memory_is_a_row_of_bytes() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let cases = if is_full() { 10_000 } else { 500 };
    let mut done = 0;
    for case in 0..cases {
        let memory = memory(1, 2);
        let mut model = Model(vec![0; PAGE]);
        let mut random = vec![0; 4000];
        for chunk in random.chunks_mut(8) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            chunk.copy_from_slice(&seed.to_le_bytes()[..chunk.len()]);
        }
        let mut random = Unstructured::new(&random);
        while !random.is_empty() {
            let next = Step::arbitrary(&mut random).unwrap();
            // Near the start, or near the end of what there is.
            let near = i64::from(next.at % 48);
            let offset = match near {
                0.. => near as u64,
                _ => (model.0.len() as u64).wrapping_add_signed(near + 16),
            };
            let as_batch = case % 2 == 0;
            let (memory, model) = (&memory, &mut model);
            match next.width {
                Width::W8 => step::<u8>(
                    memory,
                    model,
                    &next,
                    offset,
                    as_batch,
                    (|n| n as u8, u64::from),
                ),
                Width::W16 => step::<u16>(
                    memory,
                    model,
                    &next,
                    offset,
                    as_batch,
                    (|n| n as u16, u64::from),
                ),
                Width::W32 => step::<u32>(
                    memory,
                    model,
                    &next,
                    offset,
                    as_batch,
                    (|n| n as u32, u64::from),
                ),
                Width::W64 => step::<u64>(memory, model, &next, offset, as_batch, (|n| n, |n| n)),
            }
            done += 1;
        }
        let mut bytes = vec![0; model.0.len()];
        memory.read_bytes(0, &mut bytes).unwrap();
        assert!(bytes == model.0);
    }
    assert!(done > 20 * cases, "{done} steps in {cases} cases");
}
