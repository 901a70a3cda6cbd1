//! Functions that stand for operators on many bytes, and work on them in pieces,
//! with a poll after each.
//!
//! An engine does `memory.fill` and the like in a library call, which nothing can
//! stop, and a length may be many gigabytes.
//!
//! Invariant: such a function traps when its operator would, before it writes a
//! byte, with the same kind of trap; and leaves the same bytes behind, however the
//! two sides of a copy overlap. Lengths up to [`PIECE`], nearly all, are left to the
//! operator itself.

use wasm_encoder::{BlockType, Function, Instruction, MemArg, ValType};
use wasmparser::Operator;

use crate::polls;

/// Bytes that are worked on at a time: a tenth of a millisecond.
pub(crate) const PIECE: u32 = 1 << 20;

/// Bytes of a constant length up to which engines copy without a library call.
pub(crate) const INLINE: u64 = 128;

/// A memory, as the rewritten module counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) index: u32,
    pub(crate) memory64: bool,
}

impl Memory {
    pub(crate) fn address(self) -> ValType {
        match self.memory64 {
            true => ValType::I64,
            false => ValType::I32,
        }
    }
}

/// An operator on many bytes; `M` says which memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation<M> {
    Fill { to: M },
    Copy { to: M, from: M },
    Init { to: M, segment: u32 },
}

impl Operation<u32> {
    pub(crate) fn of(operator: &Operator<'_>) -> Option<Self> {
        Some(match *operator {
            Operator::MemoryFill { mem } => Self::Fill { to: mem },
            Operator::MemoryCopy { dst_mem, src_mem } => Self::Copy {
                to: dst_mem,
                from: src_mem,
            },
            Operator::MemoryInit { data_index, mem } => Self::Init {
                to: mem,
                segment: data_index,
            },
            _ => return None,
        })
    }

    /// What is behind the rewriter's prefix in the name of the function.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Fill { to } => format!("fill:{to}"),
            Self::Copy { to, from } => format!("copy:{to}:{from}"),
            Self::Init { to, segment } => format!("pieces:{segment}:{to}"),
        }
    }
}

impl<M> Operation<M> {
    /// The same with memories said otherwise.
    pub(crate) fn map<N>(self, memory: impl Fn(M) -> N) -> Operation<N> {
        match self {
            Self::Fill { to } => Operation::Fill { to: memory(to) },
            Self::Copy { to, from } => Operation::Copy {
                to: memory(to),
                from: memory(from),
            },
            Self::Init { to, segment } => Operation::Init {
                to: memory(to),
                segment,
            },
        }
    }
}

impl Operation<Memory> {
    /// The operands: where to, which value or where from, how many.
    pub(crate) fn params(self) -> Vec<ValType> {
        vec![self.to().address(), self.second(), self.length()]
    }

    fn to(self) -> Memory {
        match self {
            Self::Fill { to } | Self::Copy { to, .. } | Self::Init { to, .. } => to,
        }
    }

    fn second(self) -> ValType {
        match self {
            Self::Fill { .. } | Self::Init { .. } => ValType::I32,
            Self::Copy { from, .. } => from.address(),
        }
    }

    fn length(self) -> ValType {
        match self {
            Self::Fill { to } => to.address(),
            // What fits both.
            Self::Copy { to, from } if to.memory64 && from.memory64 => ValType::I64,
            Self::Copy { .. } | Self::Init { .. } => ValType::I32,
        }
    }

    fn instruction(self) -> Instruction<'static> {
        match self {
            Self::Fill { to } => Instruction::MemoryFill(to.index),
            Self::Copy { to, from } => Instruction::MemoryCopy {
                src_mem: from.index,
                dst_mem: to.index,
            },
            Self::Init { to, segment } => Instruction::MemoryInit {
                mem: to.index,
                data_index: segment,
            },
        }
    }
}

/// The parameters: where to, which value or where from, how many.
const TO: u32 = 0;
const SECOND: u32 = 1;
const LENGTH: u32 = 2;

/// Makes the function that stands for `operation`.
pub(crate) fn function(operation: Operation<Memory>, poll_memory: u32) -> Function {
    let mut writer = Writer {
        function: Function::new([]),
        operation,
        poll_memory,
    };
    writer.put(Instruction::Block(BlockType::Empty));
    // The short ones, and those that will trap.
    writer.is_more_than_a_piece();
    writer.put(Instruction::I32Eqz);
    writer.put(Instruction::BrIf(0));
    writer.check_bounds();
    writer.pieces();
    writer.put(Instruction::End);
    // The whole, or what is left of it.
    for operand in [TO, SECOND, LENGTH] {
        writer.put(Instruction::LocalGet(operand));
    }
    writer.put(operation.instruction());
    writer.poll();
    writer.put(Instruction::End);
    writer.function
}

struct Writer {
    function: Function,
    operation: Operation<Memory>,
    poll_memory: u32,
}

impl Writer {
    fn put(&mut self, instruction: Instruction<'_>) {
        self.function.instruction(&instruction);
    }

    fn poll(&mut self) {
        for instruction in polls::poll(self.poll_memory) {
            self.put(instruction);
        }
    }

    fn is_more_than_a_piece(&mut self) {
        let ty = self.operation.length();
        self.put(Instruction::LocalGet(LENGTH));
        self.constant(ty, PIECE);
        self.put(match ty {
            ValType::I64 => Instruction::I64GtU,
            _ => Instruction::I32GtU,
        });
    }

    /// Traps if a side is out of bounds, or leaves the block around it where a sum would
    /// overflow: then the operator traps. The length is not zero.
    fn check_bounds(&mut self) {
        let to = self.operation.to();
        self.leave_if_too_far(TO, to.address());
        match self.operation {
            Operation::Fill { .. } => self.touch_last(TO, to),
            Operation::Copy { from, .. } => {
                self.leave_if_too_far(SECOND, from.address());
                self.touch_last(TO, to);
                self.touch_last(SECOND, from);
            }
            Operation::Init { .. } => {
                // A segment is shorter than 2^32 bytes: it has no such end.
                self.end(SECOND, ValType::I32);
                self.put(Instruction::LocalGet(SECOND));
                self.put(Instruction::I32LtU);
                self.put(Instruction::BrIf(0));
                self.touch_last(TO, to);
                // How long the segment is now, only the operator itself knows.
                self.put(Instruction::LocalGet(TO));
                self.end(SECOND, ValType::I32);
                self.put(Instruction::I32Const(0));
                self.put(self.operation.instruction());
            }
        }
    }

    /// Where the bytes from `start` on end.
    fn end(&mut self, start: u32, ty: ValType) {
        self.put(Instruction::LocalGet(start));
        self.length_as(ty);
        self.put(add(ty));
    }

    /// Where the last of the bytes from `start` on is.
    fn last(&mut self, start: u32, ty: ValType) {
        self.end(start, ty);
        self.constant(ty, 1);
        self.put(sub(ty));
    }

    fn leave_if_too_far(&mut self, start: u32, ty: ValType) {
        self.last(start, ty);
        self.put(Instruction::LocalGet(start));
        self.put(match ty {
            ValType::I64 => Instruction::I64LtU,
            _ => Instruction::I32LtU,
        });
        self.put(Instruction::BrIf(0));
    }

    /// Reads the last byte, which is out of bounds exactly if any is.
    fn touch_last(&mut self, start: u32, memory: Memory) {
        self.last(start, memory.address());
        self.put(Instruction::I32Load8U(MemArg {
            offset: 0,
            align: 0,
            memory_index: memory.index,
        }));
        self.put(Instruction::Drop);
    }

    /// Works on all bytes but the last piece, or less, of them; leaves in the
    /// parameters what is left to do.
    fn pieces(&mut self) {
        // Two memories may be one, imported twice, but not if only one has 64 bits.
        let backward = match self.operation {
            Operation::Copy { to, from } => to.memory64 == from.memory64,
            Operation::Fill { .. } | Operation::Init { .. } => false,
        };
        if backward {
            // As `memmove`: no byte is written before it was read.
            self.put(Instruction::LocalGet(TO));
            self.put(Instruction::LocalGet(SECOND));
            self.put(match self.operation.second() {
                ValType::I64 => Instruction::I64GtU,
                _ => Instruction::I32GtU,
            });
            self.put(Instruction::If(BlockType::Empty));
            self.backward();
            self.put(Instruction::Else);
        }
        self.forward();
        if backward {
            self.put(Instruction::End);
        }
    }

    fn forward(&mut self) {
        let (to, second) = (self.operation.to().address(), self.operation.second());
        self.put(Instruction::Loop(BlockType::Empty));
        self.put(Instruction::LocalGet(TO));
        self.put(Instruction::LocalGet(SECOND));
        self.constant(self.operation.length(), PIECE);
        self.put(self.operation.instruction());
        self.poll();
        self.change(TO, to, add(to));
        if !matches!(self.operation, Operation::Fill { .. }) {
            self.change(SECOND, second, add(second));
        }
        self.shorten();
        self.is_more_than_a_piece();
        self.put(Instruction::BrIf(0));
        self.put(Instruction::End);
    }

    fn backward(&mut self) {
        self.put(Instruction::Loop(BlockType::Empty));
        self.shorten();
        self.end(TO, self.operation.to().address());
        self.end(SECOND, self.operation.second());
        self.constant(self.operation.length(), PIECE);
        self.put(self.operation.instruction());
        self.poll();
        self.is_more_than_a_piece();
        self.put(Instruction::BrIf(0));
        self.put(Instruction::End);
    }

    fn shorten(&mut self) {
        let ty = self.operation.length();
        self.change(LENGTH, ty, sub(ty));
    }

    /// Adds a piece to a parameter, or subtracts it.
    fn change(&mut self, parameter: u32, ty: ValType, operator: Instruction<'_>) {
        self.put(Instruction::LocalGet(parameter));
        self.constant(ty, PIECE);
        self.put(operator);
        self.put(Instruction::LocalSet(parameter));
    }

    /// The length, as wide as addresses of type `ty`: it is never wider.
    fn length_as(&mut self, ty: ValType) {
        self.put(Instruction::LocalGet(LENGTH));
        if ty != self.operation.length() {
            self.put(Instruction::I64ExtendI32U);
        }
    }

    fn constant(&mut self, ty: ValType, n: u32) {
        self.put(match ty {
            ValType::I64 => Instruction::I64Const(i64::from(n)),
            _ => Instruction::I32Const(n.cast_signed()),
        });
    }
}

fn add(ty: ValType) -> Instruction<'static> {
    match ty {
        ValType::I64 => Instruction::I64Add,
        _ => Instruction::I32Add,
    }
}

fn sub(ty: ValType) -> Instruction<'static> {
    match ty {
        ValType::I64 => Instruction::I64Sub,
        _ => Instruction::I32Sub,
    }
}
