//! The host function `threadwork.atomic_batch`: many atomic operations in one call of a
//! guest's.
//!
//! A module may import `threadwork.atomic_batch`, of type `(param i32 i32) (result i32)`:
//! the address of operations in its first memory, which must be shared, and how many
//! there are. It returns 0 when all are done; else the number, from 1, of the first that
//! is malformed, not aligned or out of bounds, and then none was done. More than 65,536
//! are a trap. An operation is 32 bytes, aligned to nothing, little-endian:
//!
//! | offset | type | meaning |
//! |---|---|---|
//! | 0 | u8 | what to do: 0 load, 1 store, 2 add, 3 sub, 4 and, 5 or, 6 xor, 7 exchange, 8 compare and exchange; of a run: 9 load, 10 store, 11 fill, 12 add |
//! | 1 | u8 | bytes of the word, or of each: 1, 2, 4 or 8 |
//! | 2 | u16 | 0 |
//! | 4 | u32 | address of the word, or of the first |
//! | 8 | u64 | the operand; of runs to be loaded, stored or added the address of as many values, of a fill the value |
//! | 16 | u64 | what a compare and exchange expects; of a run how many words |
//! | 24 | u64 | is set to what the word was; of a store and of a run to 0 |
//!
//! All operations are read before the first is done, so one of them cannot change
//! another.

use super::state::ThreadContext;
use crate::linear_memory::{Code, Memory, Operation};
use threadwork_rewrite::{ATOMIC_BATCH, HOST_MODULE};
use wasmtime::{Caller, Linker};

/// Bytes of an operation of a guest's.
const RECORD: u64 = 32;

/// Operations of one call by a guest.
const MOST: u32 = 65_536;

/// Words of a run, or operations of a batch, between two looks whether to stop.
const STRIDE: u64 = 4096;

/// Defines `threadwork.atomic_batch`.
pub(super) fn add_to_linker(linker: &mut Linker<ThreadContext>) -> wasmtime::Result<()> {
    linker.func_wrap(HOST_MODULE, ATOMIC_BATCH, atomic_batch)?;
    Ok(())
}

fn atomic_batch(
    caller: Caller<'_, ThreadContext>,
    address: i32,
    count: i32,
) -> wasmtime::Result<i32> {
    let context = caller.data();
    context.check_running()?;
    let memory = context.process.memories().first().ok_or_else(|| {
        wasmtime::Error::msg("atomic_batch was called by a module without a shared memory")
    })?;
    let (address, count) = (u64::from(address.cast_unsigned()), count.cast_unsigned());
    if count > MOST {
        return Err(wasmtime::Error::msg(format!(
            "atomic_batch was given {count} operations; {MOST} are the most for one call"
        )));
    }
    let mut records = vec![0; count as usize * RECORD as usize];
    memory.read(address, &mut records)?;
    let mut operations = Vec::with_capacity(count as usize);
    for (record, number) in records.chunks_exact(RECORD as usize).zip(1..) {
        let operation = Operation::decode(record);
        match operation.filter(|operation| is_possible(operation, memory)) {
            Some(operation) => operations.push(operation),
            // At most `MOST`.
            None => return Ok(number),
        }
    }
    for (operation, index) in operations.iter().zip(0..) {
        if index % STRIDE == 0 {
            context.check_running()?;
        }
        let result = run(operation, context, memory)?;
        memory.write(address + index * RECORD + 24, &result.to_le_bytes())?;
    }
    Ok(0)
}

/// Whether the words, and the values of a run, are in the memory.
fn is_possible(operation: &Operation, memory: &Memory) -> bool {
    let values = Operation {
        offset: operation.operand,
        ..*operation
    };
    let has_values = matches!(
        operation.code,
        Code::LoadRun | Code::StoreRun | Code::AddRun
    );
    operation.check(memory).is_ok() && (!has_values || values.check(memory).is_ok())
}

/// Does an operation, with the values of a run in the memory; returns what the word was.
/// Looks now and then whether the thread is to stop.
fn run(operation: &Operation, context: &ThreadContext, memory: &Memory) -> wasmtime::Result<u64> {
    if !operation.is_run() {
        return Ok(operation.word(memory)?);
    }
    // The other end of a run that is loaded or stored.
    let values = Operation {
        offset: operation.operand,
        ..*operation
    };
    let mut start = 0;
    while start < operation.extra {
        context.check_running()?;
        let numbers = start..operation.extra.min(start + STRIDE);
        start = numbers.end;
        match operation.code {
            Code::FillRun => operation.change(memory, numbers, |_| 0)?,
            Code::LoadRun => {
                let mut loaded = Vec::new();
                operation.each(memory, numbers.clone(), |_, value| loaded.push(value))?;
                let first = numbers.start;
                let store = Operation {
                    code: Code::StoreRun,
                    ..values
                };
                store.change(memory, numbers, |number| loaded[(number - first) as usize])?;
            }
            _ => {
                let mut loaded = Vec::new();
                values.each(memory, numbers.clone(), |_, value| loaded.push(value))?;
                let first = numbers.start;
                operation.change(memory, numbers, |number| loaded[(number - first) as usize])?;
            }
        }
    }
    Ok(0)
}
