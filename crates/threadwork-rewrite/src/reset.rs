//! The function `RESET`, and the flags that stand for dropped segments.
//!
//! A worker would rather use an instance again than make a new one. An instance
//! that owns no memory and never changes a table has two kinds of state left:
//! globals, which `RESET` sets back, and which data segments were dropped, which
//! nothing in WebAssembly can undo. So a segment that the program both drops and
//! reads gets a flag: `data.drop` sets it, and `memory.init` asks it.
//!
//! Invariant: after `RESET`, an instance cannot be told from a new one on which
//! `ENTER` was not called yet, except through shared memory and the host.

use wasm_encoder::{BlockType, Function, Instruction};

use crate::{
    RewriteError, enter::constant, limits::MAX_FUNCTION_SIZE, pieces::Operation, plan::Plan,
    scan::Scan,
};

/// Whether `RESET` would be a function that engines accept: a module may have a
/// million globals.
pub(crate) fn fits(scan: &Scan<'_>) -> Result<bool, RewriteError> {
    // `global.set`, its index, and an index in the expression that gets wider.
    const MORE: usize = 1 + 5 + 4;
    // A flag is set back in as much, and the bound and the size of the stack.
    let mut size = (scan.drops.len() + 4) * MORE;
    for global in scan.globals.clone().into_iter().flatten() {
        let global = global?;
        if global.ty.mutable {
            size += MORE + global.init_expr.get_binary_reader().bytes_remaining();
        }
    }
    Ok(size < MAX_FUNCTION_SIZE)
}

/// Makes the body of `RESET`.
pub(crate) fn function(scan: &Scan<'_>, plan: &Plan) -> Result<Function, RewriteError> {
    let mut reset = Function::new([]);
    let mut renumber = plan.renumber.of_references();
    let globals = scan.globals.clone().into_iter().flatten();
    for (index, global) in (scan.counts.imported_globals..).zip(globals) {
        let global = global?;
        // Initial values depend on immutable globals alone: any order will do.
        if global.ty.mutable {
            constant(&mut reset, &global.init_expr, &mut renumber)?;
            reset.instruction(&Instruction::GlobalSet(index));
        }
    }
    for &flag in plan.flags.values() {
        reset.instruction(&Instruction::I32Const(0));
        reset.instruction(&Instruction::GlobalSet(flag));
    }
    if let (Some(stack), Some(added)) = (scan.checked_stack(), plan.stack) {
        for (value, global) in stack.main_thread().iter().zip([added.low, added.size]) {
            reset.instruction(value);
            reset.instruction(&Instruction::GlobalSet(global));
        }
    }
    reset.instruction(&Instruction::End);
    Ok(reset)
}

/// Makes the function that stands for `memory.init` of a segment with a flag; the
/// memory is counted as in the module as it was.
pub(crate) fn init_function(plan: &Plan, segment: u32, memory: u32) -> Function {
    let flag = plan.flags.get(&segment).copied().unwrap_or_default();
    let empty = plan.empty_segment.unwrap_or_default();
    let mut init = Function::new([]);
    let init_from = |init: &mut Function, data_index| {
        for operand in 0..3 {
            init.instruction(&Instruction::LocalGet(operand));
        }
        let operation = Operation::Init {
            to: memory,
            segment: data_index,
        };
        init.instruction(&match plan.pieces_call(operation) {
            Some(function) => Instruction::Call(function),
            None => Instruction::MemoryInit {
                mem: plan.renumber.memory(memory),
                data_index,
            },
        });
    };
    init.instruction(&Instruction::GlobalGet(flag));
    init.instruction(&Instruction::If(BlockType::Empty));
    init_from(&mut init, empty);
    init.instruction(&Instruction::Else);
    init_from(&mut init, segment);
    init.instruction(&Instruction::End);
    init.instruction(&Instruction::End);
    init
}
