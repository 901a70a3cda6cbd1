//! The object file: one function for each instruction, in the format that LLVM's
//! linker reads (tool-conventions, `Linking.md`).
//!
//! Each function takes the operands of its instruction as parameters and contains
//! nothing else. It is opaque to LLVM, which therefore never inlines it: the operands
//! are never constants. V8's baseline compiler in Node 20 overwrites a local variable
//! across a wait whose address and expected value are both constants.

use std::borrow::Cow;

use wasm_encoder::{
    CodeSection, CustomSection, EntityType, Function, FunctionSection, ImportSection,
    LinkingSection, MemArg, MemoryType, Module, SymbolTable, TypeSection, ValType,
};

/// The instructions, in the order of their functions.
pub(crate) const NAMES: [&str; 3] = ["wait32", "wait64", "notify"];

/// The object file, whose functions are called `symbols`.
pub(crate) fn build(symbols: &[String; 3]) -> Vec<u8> {
    let mut types = TypeSection::new();
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    let mut table = SymbolTable::new();
    let signatures: [&[ValType]; 3] = [
        &[ValType::I32, ValType::I32, ValType::I64],
        &[ValType::I32, ValType::I64, ValType::I64],
        &[ValType::I32, ValType::I32],
    ];
    for (index, parameters) in (0..).zip(signatures) {
        types
            .ty()
            .function(parameters.iter().copied(), [ValType::I32]);
        functions.function(index);
        let mut function = Function::new([]);
        let mut body = function.instructions();
        for (parameter, _) in (0..).zip(parameters) {
            body.local_get(parameter);
        }
        match index {
            0 => body.memory_atomic_wait32(operand(2)),
            1 => body.memory_atomic_wait64(operand(3)),
            _ => body.memory_atomic_notify(operand(2)),
        };
        body.end();
        code.function(&function);
        // Hidden: for the program's own code, not among its exports.
        let flags = SymbolTable::WASM_SYM_VISIBILITY_HIDDEN;
        table.function(flags, index, Some(&symbols[index as usize]));
    }

    // The linker replaces this import by the memory of the program.
    let mut imports = ImportSection::new();
    let memory = MemoryType {
        minimum: 0,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    };
    imports.import("env", "__linear_memory", EntityType::Memory(memory));

    let mut linking = LinkingSection::new();
    linking.symbol_table(&table);

    // One feature, which is used ('+'): the linker refuses an object without it in a
    // program with a shared memory.
    let mut features = vec![1, b'+', b"atomics".len() as u8];
    features.extend(b"atomics");

    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&code)
        .section(&linking)
        .section(&CustomSection {
            name: Cow::Borrowed("target_features"),
            data: Cow::Borrowed(&features),
        });
    module.finish()
}

/// The word at the address itself, in the first memory, naturally aligned: the
/// instructions accept nothing else.
fn operand(align: u32) -> MemArg {
    MemArg {
        offset: 0,
        align,
        memory_index: 0,
    }
}
