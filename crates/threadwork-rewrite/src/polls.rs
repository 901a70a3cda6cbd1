//! Where polls go, and what a poll is.
//!
//! Invariant: with [`Stopping::ByPoll`], no way through the code of a function
//! passes more than [`LIMIT`] operators without a poll or a call; and no way
//! passes more than [`AFTER_CALL`] from a call to the function's end. The latter is
//! for the way back out of a recursion, where one such end follows another: a
//! stack of half a million frames is left in milliseconds.
//!
//! [`Stopping::ByPoll`]: crate::Stopping::ByPoll

use wasm_encoder::{BlockType, Instruction, MemArg, MemoryType};
use wasmparser::{Catch, Operator};

/// The memory that polls read: a page, which a host can make unreadable.
pub(crate) const MEMORY: MemoryType = MemoryType {
    minimum: 1,
    maximum: Some(1),
    memory64: false,
    shared: true,
    page_size_log2: None,
};

/// Operators from one poll to the next. The slowest are loads and stores of a page
/// that the system has to find first, about a microsecond each.
const LIMIT: u32 = 1_000;

/// Operators from a call to the end of the function or the next poll.
const AFTER_CALL: u32 = 32;

/// The instructions of a poll.
///
/// The load is atomic because compilers drop a plain load that an equal one went
/// before; on most processors it is a plain load in the end. It reads a byte
/// because that needs no check of its alignment.
pub(crate) fn poll(memory_index: u32) -> [Instruction<'static>; 3] {
    let page = MemArg {
        offset: 0,
        align: 0,
        memory_index,
    };
    [
        Instruction::I32Const(0),
        Instruction::I32AtomicLoad8U(page),
        Instruction::Drop,
    ]
}

/// How code looks whether it is to stop: see [`Stopping::ByWord`](crate::Stopping::ByWord).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) memory: u32,
    pub(crate) memory64: bool,
    /// Of the byte that all threads look at.
    pub(crate) address: u64,
    /// The global with the address of the thread's own.
    pub(crate) global: u32,
}

impl Look {
    /// An address as a constant.
    pub(crate) fn address(&self) -> Instruction<'static> {
        match self.memory64 {
            true => Instruction::I64Const(self.address.cast_signed()),
            // Without a sign; addresses of such a memory have 32 bits.
            false => Instruction::I32Const((self.address as u32).cast_signed()),
        }
    }

    /// The instructions. The loads are atomic for the reason that [`poll`] has; and nothing is
    /// called, since a call would have compilers save the loop's registers.
    pub(crate) fn instructions(&self) -> [Instruction<'static>; 9] {
        let byte = MemArg {
            offset: 0,
            align: 0,
            memory_index: self.memory,
        };
        [
            self.address(),
            Instruction::I32AtomicLoad8U(byte),
            Instruction::If(BlockType::Empty),
            Instruction::GlobalGet(self.global),
            Instruction::I32AtomicLoad8U(byte),
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
            Instruction::End,
        ]
    }
}

/// What it costs to apply a segment of so many bytes, in bytes.
pub(crate) fn segment_cost(len: usize) -> usize {
    // What a library call takes, at most.
    const CALL: usize = 1 << 10;
    len + CALL
}

/// Whether an operator is a call of the engine's library, where no signal stops the
/// thread, or one with a price that depends on its operands.
///
/// Not here are `memory.fill` and `memory.copy`, which [`crate::pieces`] replaces.
pub(crate) fn is_library_call(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryInit { .. }
            | Operator::MemoryGrow { .. }
            | Operator::MemoryAtomicNotify { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. }
            | Operator::RefFunc { .. }
    )
}

/// How far the last poll may be, at an operator that a walk through a function has
/// come to.
///
/// The walk sees each operator once, in order. Loops begin with a poll, so that only
/// ways forward count: at the end of a block, the longest one that leads there.
pub(crate) struct Distance {
    operators: u32,
    blocks: Vec<Block>,
    calls: bool,
}

/// A block, loop or `if` that is open.
#[derive(Default)]
struct Block {
    is_loop: bool,
    /// The distance at the `if`.
    at_if: u32,
    /// The most at a branch to its end.
    at_end: u32,
}

impl Distance {
    /// At the first operator of a function.
    pub(crate) fn at_entry() -> Self {
        Self {
            operators: 0,
            blocks: vec![Block::default()],
            calls: false,
        }
    }

    /// Whether the function calls any, so that it must begin with a poll.
    pub(crate) fn calls(&self) -> bool {
        self.calls
    }

    /// A poll was put here.
    pub(crate) fn polled(&mut self) {
        self.operators = 0;
    }

    /// Whether a poll must go in front of the next operator.
    pub(crate) fn is_due(&self) -> bool {
        self.operators >= LIMIT
    }

    /// Goes past an operator. It may be invalid still, if nothing is done with the
    /// answers before it was found valid.
    pub(crate) fn pass(&mut self, operator: &Operator<'_>) {
        self.operators = self.operators.saturating_add(1);
        match operator {
            Operator::Block { .. } => self.blocks.push(Block::default()),
            Operator::TryTable { try_table } => {
                // From anywhere in the block, or in what it calls.
                let here = std::mem::replace(&mut self.operators, LIMIT);
                for catch in &try_table.catches {
                    self.branch(catch_label(catch));
                }
                self.operators = here;
                self.blocks.push(Block::default());
            }
            Operator::Loop { .. } => self.blocks.push(Block {
                is_loop: true,
                ..Block::default()
            }),
            Operator::If { .. } => self.blocks.push(Block {
                is_loop: false,
                at_if: self.operators,
                // Without an `else`, the `if` leads to the end as well.
                at_end: self.operators,
            }),
            Operator::Else => {
                if let Some(block) = self.blocks.last_mut() {
                    block.at_end = block.at_end.max(self.operators);
                    self.operators = block.at_if;
                }
            }
            Operator::End => {
                if let Some(block) = self.blocks.pop() {
                    self.operators = self.operators.max(block.at_end);
                }
            }
            Operator::BrIf { relative_depth } => self.branch(*relative_depth),
            Operator::Br { relative_depth } => {
                self.branch(*relative_depth);
                self.operators = 0;
            }
            Operator::BrTable { targets } => {
                for depth in targets.targets().flatten() {
                    self.branch(depth);
                }
                self.branch(targets.default());
                self.operators = 0;
            }
            // Nothing comes behind these on the same way.
            Operator::Unreachable
            | Operator::Return
            | Operator::Throw { .. }
            | Operator::ThrowRef => self.operators = 0,
            Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => {
                self.calls = true;
                self.operators = 0;
            }
            // The function may go on for as long as any other before it returns.
            Operator::Call { .. } | Operator::CallIndirect { .. } => {
                self.calls = true;
                self.operators = self.operators.max(LIMIT - AFTER_CALL);
            }
            _ => {}
        }
    }

    fn branch(&mut self, depth: u32) {
        let outer = self.blocks.len().checked_sub(1 + depth as usize);
        if let Some(block) = outer.and_then(|at| self.blocks.get_mut(at))
            && !block.is_loop
        {
            block.at_end = block.at_end.max(self.operators);
        }
    }
}

/// Where a clause of a `try_table` leads.
fn catch_label(catch: &Catch) -> u32 {
    match *catch {
        Catch::One { label, .. }
        | Catch::OneRef { label, .. }
        | Catch::All { label }
        | Catch::AllRef { label } => label,
    }
}
