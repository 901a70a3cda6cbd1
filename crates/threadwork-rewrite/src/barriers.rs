//! Atomic operators that a compiler turns into slow barriers, as others that mean the same.
//!
//! On x86-64 Cranelift makes an atomic store a store and an `mfence`, and `atomic.fence` an
//! `mfence`, which is two to three times as slow as an instruction with a lock; and a loop of
//! compare-exchanges of an `or` or `xor` whose old value is used, which LLVM makes of an
//! addition of zero. So here a store becomes an exchange whose old value is dropped, an `or`
//! or `xor` with zero an addition of zero, and a fence an addition of zero to a byte of the
//! thread's own stack.
//!
//! Invariant: what stands for an operator traps when the operator would, with the same kind
//! of trap, writes the same bytes, and is ordered as sequentially consistent accesses are. So
//! a fence is left alone in a module whose stack is not known.
//!
//! Why a read-modify-write is as good as a fence: on x86-64 every instruction with a lock is
//! a full barrier, whatever line it is on, and no compiler moves accesses of memory over an
//! atomic one. (Other processors give no such promise: there this is not to be asked for.)

use wasm_encoder::{Instruction, MemArg};
use wasmparser::Operator;

use crate::{RED_ZONE, scan::operator_at, stack::Stack};

/// What an operator becomes.
type Replacement = fn(MemArg) -> Instruction<'static>;

/// The exchange that stands for an atomic store, once its old value is dropped.
pub(crate) fn exchange(operator: &Operator<'_>) -> Option<(wasmparser::MemArg, Replacement)> {
    Some(match *operator {
        Operator::I32AtomicStore { memarg } => (memarg, Instruction::I32AtomicRmwXchg),
        Operator::I32AtomicStore8 { memarg } => (memarg, Instruction::I32AtomicRmw8XchgU),
        Operator::I32AtomicStore16 { memarg } => (memarg, Instruction::I32AtomicRmw16XchgU),
        Operator::I64AtomicStore { memarg } => (memarg, Instruction::I64AtomicRmwXchg),
        Operator::I64AtomicStore8 { memarg } => (memarg, Instruction::I64AtomicRmw8XchgU),
        Operator::I64AtomicStore16 { memarg } => (memarg, Instruction::I64AtomicRmw16XchgU),
        Operator::I64AtomicStore32 { memarg } => (memarg, Instruction::I64AtomicRmw32XchgU),
        _ => return None,
    })
}

/// The addition that stands for an `or` or a `xor` with zero.
pub(crate) fn addition(operator: &Operator<'_>) -> Option<(wasmparser::MemArg, Replacement)> {
    Some(match *operator {
        Operator::I32AtomicRmwOr { memarg } | Operator::I32AtomicRmwXor { memarg } => {
            (memarg, Instruction::I32AtomicRmwAdd)
        }
        Operator::I32AtomicRmw8OrU { memarg } | Operator::I32AtomicRmw8XorU { memarg } => {
            (memarg, Instruction::I32AtomicRmw8AddU)
        }
        Operator::I32AtomicRmw16OrU { memarg } | Operator::I32AtomicRmw16XorU { memarg } => {
            (memarg, Instruction::I32AtomicRmw16AddU)
        }
        Operator::I64AtomicRmwOr { memarg } | Operator::I64AtomicRmwXor { memarg } => {
            (memarg, Instruction::I64AtomicRmwAdd)
        }
        Operator::I64AtomicRmw8OrU { memarg } | Operator::I64AtomicRmw8XorU { memarg } => {
            (memarg, Instruction::I64AtomicRmw8AddU)
        }
        Operator::I64AtomicRmw16OrU { memarg } | Operator::I64AtomicRmw16XorU { memarg } => {
            (memarg, Instruction::I64AtomicRmw16AddU)
        }
        Operator::I64AtomicRmw32OrU { memarg } | Operator::I64AtomicRmw32XorU { memarg } => {
            (memarg, Instruction::I64AtomicRmw32AddU)
        }
        _ => return None,
    })
}

/// Whether an operator is to be replaced, if the one before it, which pushes its operand if
/// it is a constant, begins at `previous`.
pub(crate) fn is_slow(wasm: &[u8], operator: &Operator<'_>, previous: usize) -> bool {
    let is_zero = |at| {
        matches!(
            operator_at(wasm, at),
            Ok((
                Operator::I32Const { value: 0 } | Operator::I64Const { value: 0 },
                _
            ))
        )
    };
    matches!(operator, Operator::AtomicFence)
        || exchange(operator).is_some()
        || addition(operator).is_some() && is_zero(previous)
}

/// What stands for `atomic.fence`; `memory_index` is the memory that the stack is in.
///
/// The byte lies in the red zone below the stack pointer, as in [`crate::stack`]: in bounds,
/// where the pointer itself may be the memory's end, and, being a byte, aligned.
pub(crate) fn fence(stack: &Stack, memory_index: u32) -> [Instruction<'static>; 6] {
    const BELOW: i32 = 16;
    const { assert!((BELOW as u64) < RED_ZONE) }
    let (below, sub) = match stack.memory64 {
        true => (Instruction::I64Const(BELOW.into()), Instruction::I64Sub),
        false => (Instruction::I32Const(BELOW), Instruction::I32Sub),
    };
    let byte = MemArg {
        offset: 0,
        align: 0,
        memory_index,
    };
    [
        Instruction::GlobalGet(stack.pointer),
        below,
        sub,
        Instruction::I32Const(0),
        Instruction::I32AtomicRmw8AddU(byte),
        Instruction::Drop,
    ]
}
