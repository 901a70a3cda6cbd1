//! The function `ENTER`: what instantiation did, for a thread to call when it
//! starts.
//!
//! Threads are instances. Active data must be written once for each process, not
//! once for each thread; and instances are prepared ahead of the thread that will
//! use them, so that a start function must not run when they are made: what fails
//! then is the host's, and what fails later is the program's.
//!
//! Invariant: `ENTER(first)` does what the specification has instantiation do, in
//! its order: active data segments one by one, then the start function. Those for
//! shared memories are applied only if `first` is not zero, those for the
//! instance's own memories always. Active element segments come first in the
//! specification; they stay where they are, and so still do. So do all segments of
//! a module without a shared memory.

use wasm_encoder::{BlockType, Function, Instruction, reencode::Reencode};
use wasmparser::{ConstExpr, DataKind, Operator};

use crate::{
    RewriteError,
    pieces::{Operation, PIECE},
    plan::{Plan, Renumber},
    polls,
    scan::Scan,
};

/// Makes the body of `ENTER`.
pub(crate) fn function(scan: &Scan<'_>, plan: &Plan) -> Result<Function, RewriteError> {
    let mut enter = Function::new([]);
    let mut renumber = plan.renumber.clone();
    let mut guarded = false;
    // Since the last poll.
    let mut cost = 0;
    let data = scan.data.clone().filter(|_| plan.defers_data);
    for (segment, data) in (0..).zip(data.into_iter().flatten()) {
        let data = data?;
        let DataKind::Active {
            memory_index,
            offset_expr,
        } = data.kind
        else {
            continue;
        };
        // Neighbours in shared memory stand under one condition.
        let shared = scan.memories.get(memory_index as usize);
        let shared = shared.is_some_and(|memory| memory.ty.shared);
        if shared && !guarded {
            enter.instruction(&Instruction::LocalGet(0));
            enter.instruction(&Instruction::If(BlockType::Empty));
        } else if guarded && !shared {
            enter.instruction(&Instruction::End);
        }
        guarded = shared;

        constant(&mut enter, &offset_expr, &mut renumber)?;
        enter.instruction(&Instruction::I32Const(0));
        // A length without a sign; the section's size keeps it below 2^32.
        enter.instruction(&Instruction::I32Const(data.data.len() as i32));
        let to = memory_index;
        enter.instruction(&match plan.pieces_call(Operation::Init { to, segment }) {
            Some(function) => Instruction::Call(function),
            None => Instruction::MemoryInit {
                mem: plan.renumber.memory(to),
                data_index: segment,
            },
        });
        cost += polls::segment_cost(data.data.len());
        if let Some(memory) = plan.poll_memory
            && cost > PIECE as usize
        {
            for instruction in polls::poll(memory) {
                enter.instruction(&instruction);
            }
            cost = 0;
        }
        // No `data.drop`: see `Plan::init_edit`. Code that would notice is edited.
    }
    if guarded {
        enter.instruction(&Instruction::End);
    }
    if let Some(start) = scan.start {
        enter.instruction(&Instruction::Call(plan.renumber.function(start)));
    }
    enter.instruction(&Instruction::End);
    Ok(enter)
}

/// Computes a constant expression in the body of a function.
pub(crate) fn constant(
    function: &mut Function,
    expression: &ConstExpr<'_>,
    renumber: &mut Renumber,
) -> Result<(), RewriteError> {
    for operator in expression.get_operators_reader() {
        match operator? {
            // There are no blocks in a constant, so this is its end.
            Operator::End => break,
            operator => function.instruction(&renumber.instruction(operator)?),
        };
    }
    Ok(())
}
