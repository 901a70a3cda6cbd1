//! The build script's object file is what `wasm-encoder` makes, byte for byte.

#![cfg(all(not(target_family = "wasm"), not(miri)))]

#[path = "../build/object.rs"]
mod object;

use std::borrow::Cow;

use wasm_encoder::{
    CodeSection, CustomSection, EntityType, Function, FunctionSection, ImportSection,
    LinkingSection, MemArg, MemoryType, Module, SymbolTable, TypeSection, ValType,
};

/// The same object, whose functions are called `symbols`.
fn by_encoder(symbols: &[String; 3]) -> Vec<u8> {
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

#[test]
fn the_object_is_what_an_encoder_makes() {
    // Names of every length about where a second byte is needed, for them and what they are in.
    for length in 1..200 {
        let names = object::NAMES.map(|name| format!("{name}{}", "_".repeat(length)));
        assert_eq!(object::build(&names), by_encoder(&names), "{length}");
    }
}
