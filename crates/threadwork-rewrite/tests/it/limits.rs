//! Modules that are filled to the brim, so that the rewrite would overflow them.
//!
//! Each case is tried on both sides of its limit: what fits must be valid, and
//! what does not must be refused with the exact number.

use threadwork_rewrite::{FEATURES, Rewritten, rewrite};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, EntityType, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction,
    MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wasmparser::Validator;

/// A module with one memory; the counts say how much of the rest it has.
#[derive(Default)]
struct Brim {
    unshared: bool,
    /// On top of the one that all functions have.
    more_types: u32,
    imported_functions: u32,
    functions: u32,
    globals: u32,
    mutable_globals: u32,
    exports: u32,
    segments: u32,
    /// The last segment is active, and code reads it.
    active: bool,
    /// Code reads and drops the first segment.
    dropped: bool,
    /// How often the first function grows the memory.
    grows: usize,
}

impl Brim {
    fn module(&self) -> Vec<u8> {
        let mut types = TypeSection::new();
        for _ in 0..=self.more_types {
            types.ty().function([], []);
        }
        let mut imports = ImportSection::new();
        for _ in 0..self.imported_functions {
            imports.import("env", "f", EntityType::Function(0));
        }
        let mut functions = FunctionSection::new();
        let mut code = CodeSection::new();
        for n in 0..self.functions {
            functions.function(0);
            let mut function = Function::new([]);
            if n == 0 {
                self.code(&mut function);
            }
            code.function(function.instruction(&Instruction::End));
        }
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: Some(1),
            memory64: false,
            shared: !self.unshared,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        for n in 0..self.globals + self.mutable_globals {
            let ty = GlobalType {
                val_type: ValType::I32,
                mutable: n >= self.globals,
                shared: false,
            };
            globals.global(ty, &ConstExpr::i32_const(0x1000_0000));
        }
        let mut exports = ExportSection::new();
        for n in 0..self.exports {
            exports.export(&n.to_string(), ExportKind::Memory, 0);
        }
        let mut data = DataSection::new();
        for n in 1..=self.segments {
            if self.active && n == self.segments {
                data.active(0, &ConstExpr::i32_const(0), []);
            } else {
                data.passive([]);
            }
        }
        let mut module = Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&memories)
            .section(&globals)
            .section(&exports)
            .section(&DataCountSection { count: data.len() })
            .section(&code)
            .section(&data);
        module.finish()
    }

    fn code(&self, function: &mut Function) {
        for _ in 0..self.grows {
            function.instruction(&Instruction::I32Const(0));
            function.instruction(&Instruction::MemoryGrow(0));
            function.instruction(&Instruction::Drop);
        }
        let mut init = |data_index| {
            for _ in 0..3 {
                function.instruction(&Instruction::I32Const(0));
            }
            function.instruction(&Instruction::MemoryInit { mem: 0, data_index });
        };
        if self.active {
            init(self.segments - 1);
        }
        if self.dropped {
            init(0);
            function.instruction(&Instruction::DataDrop(0));
        }
    }

    /// The module is accepted, and what it becomes is valid.
    fn fits(&self) -> Rewritten {
        let new = rewrite(&self.module()).unwrap();
        Validator::new_with_features(FEATURES)
            .validate_all(&new.wasm)
            .unwrap();
        new
    }

    /// The module is valid, but refused for having `count` of `what`.
    fn refused(&self, count: u64, what: &str, limit: u64) {
        let module = self.module();
        Validator::new_with_features(FEATURES)
            .validate_all(&module)
            .unwrap();
        assert_eq!(
            rewrite(&module).unwrap_err().to_string(),
            format!(
                "the module has {count} {what}, with what the runtime adds, and engines accept \
                 {limit}; split the module or strip what it does not use"
            ),
        );
    }
}

#[test]
fn types() {
    let brim = |more_types| Brim {
        more_types,
        functions: 1,
        grows: 1,
        ..Brim::default()
    };
    // Two more: of `grow`, and of `RESET`.
    brim(999_997).fits();
    brim(999_998).refused(1_000_001, "types", 1_000_000);
}

#[test]
fn functions() {
    let brim = |functions| Brim {
        functions,
        grows: 1,
        ..Brim::default()
    };
    // `grow` and `RESET`.
    brim(999_998).fits();
    brim(999_999).refused(1_000_001, "functions", 1_000_000);
}

#[test]
fn globals() {
    let brim = |globals| Brim {
        globals,
        functions: 1,
        segments: 1,
        dropped: true,
        ..Brim::default()
    };
    // The flag.
    brim(999_999).fits();
    brim(1_000_000).refused(1_000_001, "globals", 1_000_000);
}

#[test]
fn data_segments() {
    let brim = |segments| Brim {
        segments,
        functions: 1,
        active: true,
        ..Brim::default()
    };
    // The empty segment.
    brim(99_999).fits();
    brim(100_000).refused(100_001, "data segments", 100_000);
}

#[test]
fn imports_and_exports() {
    let what = "imports and exports (with their parameters and results)";
    let own = |exports| Brim {
        unshared: true,
        exports,
        ..Brim::default()
    };
    // The export of the memory.
    own(999_997).fits();
    own(999_998).refused(1_000_000, what, 999_999);

    let shared = |exports| Brim {
        exports,
        functions: 1,
        segments: 1,
        grows: 1,
        active: true,
        ..Brim::default()
    };
    // The memory is one, `grow` is four, ENTER is three, RESET is two.
    shared(999_988).fits();
    shared(999_989).refused(1_000_000, what, 999_999);
}

#[test]
fn bytes_in_a_function() {
    // Behind 200 imports, the call that stands for `memory.grow` takes a byte more:
    // five were used for each, six are, and two for no locals and the end.
    let brim = |grows| Brim {
        imported_functions: 200,
        functions: 1,
        grows,
        ..Brim::default()
    };
    let most = (7_654_321 - 2) / 6;
    brim(most).fits();
    brim(most + 1).refused(6 * (most as u64 + 1) + 2, "bytes in a function", 7_654_321);
}

/// Resetting a million globals would not fit into a function: then there is none.
#[test]
fn a_reset_that_would_not_fit() {
    let brim = |mutable_globals| Brim {
        mutable_globals,
        ..Brim::default()
    };
    assert!(brim(100_000).fits().has_reset);
    assert!(!brim(1_000_000).fits().has_reset);
}
