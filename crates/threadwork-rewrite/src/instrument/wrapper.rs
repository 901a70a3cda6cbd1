//! Functions that the instrumented module has and the original has not.
//!
//! Invariant: a wrapper takes and gives what the function that it stands for does, and calls it
//! once; the function that reads vectors writes nothing.

use wasm_encoder::{BlockType, Function, Instruction, MemArg, ValType};

use super::{SiteKind, classes::Entry};

/// The parts of a wrapper around an allocator's function.
pub(super) struct Wrapper {
    pub(super) entry: Entry,
    pub(super) site: u32,
    /// The function itself, at its new index.
    pub(super) body: u32,
    /// The global with the calling context.
    pub(super) context: Option<u32>,
    /// Whether it has a result.
    pub(super) has_result: bool,
    /// The hooks `alloc_begin` and `alloc_end`.
    pub(super) hooks: (u32, u32),
    /// What is to be told again of the bytes of a block, as a function that is called after each of
    /// them, if `alloc_begin` returns how many there are.
    pub(super) forget: Option<u32>,
}

fn word(offset: u64) -> Instruction<'static> {
    Instruction::I32Load(MemArg {
        offset,
        align: 0,
        memory_index: 0,
    })
}

impl Wrapper {
    /// Writes it.
    pub(super) fn function(&self) -> Function {
        let entry = &self.entry;
        let params = entry.params as u32;
        let (context, result) = (params, params + 1);
        let (address, length) = (params + 2, params + 3);
        let mut function = Function::new([(2, ValType::I32), (2, ValType::I64)]);
        let mut put = |instruction: Instruction<'_>| {
            function.instruction(&instruction);
        };
        let wide = |local| [Instruction::LocalGet(local), Instruction::I64ExtendI32U];
        put(Instruction::I32Const(self.site.cast_signed()));
        match entry.old {
            Some(old) => wide(old).into_iter().for_each(&mut put),
            None => put(Instruction::I64Const(0)),
        }
        put(Instruction::LocalTee(address));
        put(match self.context {
            Some(global) => Instruction::GlobalGet(global),
            None => Instruction::I32Const(0),
        });
        put(Instruction::LocalTee(context));
        put(Instruction::Call(self.hooks.0));
        if let Some(forget) = self.forget {
            put(Instruction::LocalSet(length));
            put(Instruction::LocalGet(address));
            put(Instruction::LocalGet(length));
            put(Instruction::Call(forget));
        }
        (0..params).for_each(|local| put(Instruction::LocalGet(local)));
        put(Instruction::Call(self.body));
        if self.has_result {
            put(Instruction::LocalSet(result));
        }
        put(Instruction::I32Const(self.site.cast_signed()));
        match (entry.kind, entry.place) {
            (SiteKind::Free, _) => put(Instruction::I64Const(0)),
            (_, None) => wide(result).into_iter().for_each(&mut put),
            // The result is an error, or 0.
            (_, Some(place)) => {
                put(Instruction::LocalGet(result));
                put(Instruction::If(BlockType::Result(ValType::I64)));
                put(Instruction::I64Const(0));
                put(Instruction::Else);
                put(Instruction::LocalGet(place));
                put(word(0));
                put(Instruction::I64ExtendI32U);
                put(Instruction::End);
            }
        }
        put(Instruction::LocalTee(address));
        match (entry.kind, entry.size) {
            (SiteKind::Free, _) => put(Instruction::I64Const(0)),
            (_, (size, times)) => {
                wide(size).into_iter().for_each(&mut put);
                if let Some(times) = times {
                    wide(times).into_iter().for_each(&mut put);
                    put(Instruction::I64Mul);
                }
            }
        }
        put(Instruction::LocalTee(length));
        // The global may be another's by now.
        put(Instruction::LocalGet(context));
        put(Instruction::Call(self.hooks.1));
        if let Some(forget) = self.forget {
            put(Instruction::LocalGet(address));
            put(Instruction::LocalGet(length));
            put(Instruction::Call(forget));
        }
        if self.has_result {
            put(Instruction::LocalGet(result));
        }
        put(Instruction::End);
        function
    }
}

/// The function that reports each of WASI's vectors, `(site, vectors, count, done, context)`, to
/// the hook `range`, up to as many bytes as stand at `done`. It stops at the end of the memory,
/// where another thread may have sent it meanwhile.
pub(super) fn vectors(range: u32, memory64: bool) -> Function {
    let (site, vector, count, done, context) = (0, 1, 2, 3, 4);
    let (left, length) = (5, 6);
    let mut function = Function::new([(2, ValType::I32)]);
    let address = |function: &mut Function, local| {
        function.instruction(&Instruction::LocalGet(local));
        if memory64 {
            function.instruction(&Instruction::I64ExtendI32U);
        }
    };
    // Leaves the block around the loop if there is no room for so many bytes.
    let bound = |function: &mut Function, local, bytes, label| {
        function.instruction(&Instruction::LocalGet(local));
        function.instruction(&Instruction::I64ExtendI32U);
        function.instruction(&Instruction::I64Const(bytes));
        function.instruction(&Instruction::I64Add);
        function.instruction(&Instruction::MemorySize(0));
        if !memory64 {
            function.instruction(&Instruction::I64ExtendI32U);
        }
        function.instruction(&Instruction::I64Const(16));
        function.instruction(&Instruction::I64Shl);
        function.instruction(&Instruction::I64GtU);
        function.instruction(&Instruction::BrIf(label));
    };
    function.instruction(&Instruction::Block(BlockType::Empty));
    bound(&mut function, done, 4, 0);
    address(&mut function, done);
    for instruction in [
        word(0),
        Instruction::LocalSet(left),
        Instruction::Loop(BlockType::Empty),
        Instruction::LocalGet(count),
        Instruction::I32Eqz,
        Instruction::BrIf(1),
        Instruction::LocalGet(left),
        Instruction::I32Eqz,
        Instruction::BrIf(1),
    ] {
        function.instruction(&instruction);
    }
    bound(&mut function, vector, 8, 1);
    address(&mut function, vector);
    for instruction in [
        word(4),
        Instruction::LocalTee(length),
        Instruction::LocalGet(left),
        Instruction::LocalGet(length),
        Instruction::LocalGet(left),
        Instruction::I32LtU,
        Instruction::Select,
        Instruction::LocalSet(length),
        Instruction::LocalGet(site),
    ] {
        function.instruction(&instruction);
    }
    address(&mut function, vector);
    for instruction in [
        word(0),
        Instruction::I64ExtendI32U,
        Instruction::LocalGet(length),
        Instruction::I64ExtendI32U,
        Instruction::LocalGet(context),
        Instruction::Call(range),
        Instruction::LocalGet(left),
        Instruction::LocalGet(length),
        Instruction::I32Sub,
        Instruction::LocalSet(left),
        Instruction::LocalGet(vector),
        Instruction::I32Const(8),
        Instruction::I32Add,
        Instruction::LocalSet(vector),
        Instruction::LocalGet(count),
        Instruction::I32Const(1),
        Instruction::I32Sub,
        Instruction::LocalSet(count),
        Instruction::Br(0),
        Instruction::End,
        Instruction::End,
        Instruction::End,
    ] {
        function.instruction(&instruction);
    }
    function
}
