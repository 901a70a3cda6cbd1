//! Functions that stand for those of the embedder's own where a table, a reference or a
//! tail call leads to them: they call them, and poll.
//!
//! A poll behind a `call_indirect` would be paid for by each, whatever it calls; and behind a
//! tail call there is no place for one.
//!
//! Invariant: a function of the embedder's is entered only from a call by its name, which a
//! poll follows, or from its wrapper.

use wasm_encoder::{Function, Instruction};
use wasmparser::CompositeInnerType;

use crate::{RewriteError, plan::Plan, polls, scan::Scan};

/// Makes the wrapper of an imported function.
pub(crate) fn function(
    scan: &Scan<'_>,
    plan: &Plan,
    wrapped: u32,
) -> Result<Function, RewriteError> {
    let mut wrapper = Function::new([]);
    for parameter in 0..parameters(scan, wrapped)? {
        wrapper.instruction(&Instruction::LocalGet(parameter));
    }
    wrapper.instruction(&Instruction::Call(plan.renumber.function(wrapped)));
    for instruction in plan.poll_memory.map(polls::poll).into_iter().flatten() {
        wrapper.instruction(&instruction);
    }
    wrapper.instruction(&Instruction::End);
    Ok(wrapper)
}

/// How many parameters it has.
fn parameters(scan: &Scan<'_>, function: u32) -> Result<u32, RewriteError> {
    let mut wanted = scan.embedder_type(function);
    for group in scan.types.clone().into_iter().flatten() {
        for ty in group?.into_types() {
            match &mut wanted {
                Some(0) => {
                    return Ok(match ty.composite_type.inner {
                        CompositeInnerType::Func(ty) => ty.params().len() as u32,
                        _ => 0,
                    });
                }
                Some(before) => *before -= 1,
                None => {}
            }
        }
    }
    // The validator has seen it.
    Ok(0)
}
