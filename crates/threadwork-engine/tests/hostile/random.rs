//! Modules of `wasm-smith` whose code is made endless: loops jump back at their end, bodies
//! of functions are loops, and `_start` calls all functions for ever.

use crate::case::{Case, Door, Output};
use crate::numbers::Numbers;
use arbitrary::Unstructured;
use std::convert::Infallible;
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction,
    TypeSection,
};
use wasm_smith::{Config, InstructionKind, InstructionKinds, MemoryOffsetChoices};
use wasmparser::{
    CodeSectionReader, ExportSectionReader, FuncType, FunctionBody, FunctionSectionReader,
    Operator, Parser, Payload, TypeRef, TypeSectionReader, ValType,
};

/// What modules may import: WASI, but for what ends the program.
const WASI: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func (param i32 i32 i32 i32) (result i32))))"#;

pub(crate) fn case(mut numbers: Numbers) -> Case {
    let tasks = numbers.below(2) == 0;
    loop {
        let Some(module) = module(&mut numbers, tasks) else {
            continue;
        };
        // It refuses `externref`s.
        if threadwork_rewrite::rewrite(&module).is_err() {
            continue;
        }
        let door = match tasks {
            false => Door::Command,
            true => {
                let count = [1, 2, 4, 16][numbers.below(4)];
                Door::Tasks(vec!["_start".to_owned(); count])
            }
        };
        return Case {
            module,
            what: format!("{}, random", door.name()),
            door,
            output: Output::Forgotten,
            endless: false,
        };
    }
}

fn module(numbers: &mut Numbers, tasks: bool) -> Option<Vec<u8>> {
    let len = 2_000 + numbers.below(10_000);
    let imports = numbers.below(2) == 0;
    let mut config = Config {
        threads_enabled: true,
        export_everything: true,
        // A runtime is not made before its start function has ended.
        allow_start_export: !tasks,
        min_memories: 1,
        max_memories: 1 + numbers.below(3),
        memory_max_size_required: true,
        max_memory32_bytes: 16 << 16,
        max_memory64_bytes: 16 << 16,
        memory64_enabled: numbers.below(2) == 0,
        memory_offset_choices: MemoryOffsetChoices(90, 9, 1),
        // What a module is not given, it has left for code.
        min_types: 4, // Without types there are no functions.
        max_types: 12,
        max_imports: if imports { 4 } else { 0 },
        available_imports: imports.then(|| wat::parse_str(WASI).unwrap()),
        max_globals: 8,
        max_data_segments: 4,
        max_element_segments: 4,
        max_elements: 20,
        min_funcs: 3,
        max_funcs: 12,
        max_tables: 2,
        max_table_elements: 100,
        table_max_size_required: true,
        max_instructions: 200,
        reference_types_enabled: numbers.below(16) == 0,
        // What traps ends by itself.
        disallow_traps: numbers.below(8) > 0,
        gc_enabled: false,
        exceptions_enabled: false,
        ..Config::default()
    };
    if numbers.below(2) == 0 {
        use InstructionKind::{Control, Memory, Numeric, Parametric, Variable};
        let kinds = [Control, Memory, Numeric, Parametric, Variable];
        config.allowed_instructions = InstructionKinds::new(&kinds);
    }
    let bytes = numbers.bytes(len);
    let module = wasm_smith::Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    let module = module.to_bytes();
    let mut endless = Endless::new(Numbers(numbers.next()), &module, tasks);
    let mut new = wasm_encoder::Module::new();
    endless
        .parse_core_module(&mut new, Parser::new(0), &module)
        .unwrap();
    Some(new.finish())
}

/// Makes the code of a module endless.
struct Endless {
    numbers: Numbers,
    /// Whether all memories have to be shared.
    share: bool,
    types: Vec<FuncType>,
    /// The types of the functions, imported ones first.
    functions: Vec<u32>,
    imported: usize,
    /// Functions that were written so far, imported ones too.
    written: usize,
    /// Of each memory, whether it is a 64-bit one.
    memory64: Vec<bool>,
}

impl Endless {
    fn new(numbers: Numbers, module: &[u8], share: bool) -> Self {
        let (mut types, mut functions, mut imported) = (Vec::new(), Vec::new(), 0);
        for payload in Parser::new(0).parse_all(module) {
            match payload.unwrap() {
                Payload::TypeSection(section) => {
                    let section = section.into_iter_err_on_gc_types();
                    types = section.map(Result::unwrap).collect();
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        if let TypeRef::Func(ty) = import.unwrap().ty {
                            functions.push(ty);
                        }
                    }
                    imported = functions.len();
                }
                Payload::FunctionSection(section) => {
                    functions.extend(section.into_iter().map(Result::unwrap));
                }
                _ => {}
            }
        }
        Self {
            numbers,
            share,
            types,
            functions,
            imported,
            written: imported,
            memory64: Vec::new(),
        }
    }

    fn type_of(&self, function: usize) -> &FuncType {
        &self.types[self.functions[function] as usize]
    }

    /// `_start`: calls all functions of the module, for ever, from one of them on.
    fn start(&mut self) -> Function {
        let mut start = Function::new([]);
        start.instruction(&Instruction::Loop(BlockType::Empty));
        let count = self.functions.len() - self.imported;
        let first = self.numbers.below(count);
        for number in 0..count {
            let function = self.imported + (first + number) % count;
            let ty = self.type_of(function).clone();
            let Some(args) = constants(ty.params()) else {
                continue;
            };
            for arg in &args {
                start.instruction(arg);
            }
            start.instruction(&Instruction::Call(function as u32));
            for _ in ty.results() {
                start.instruction(&Instruction::Drop);
            }
        }
        for end in [Instruction::Br(0), Instruction::End, Instruction::End] {
            start.instruction(&end);
        }
        start
    }

    /// The end of a loop with these parameters: back to its beginning, maybe in a way that
    /// the compiler does not see through.
    fn again(&mut self, params: &[ValType]) -> Vec<Instruction<'static>> {
        let Some(mut code) = constants(params) else {
            return Vec::new();
        };
        if self.numbers.below(2) == 0 {
            code.push(Instruction::Br(0));
            return code;
        }
        code.push(Instruction::MemorySize(0));
        if self.memory64[0] {
            code.push(Instruction::I32WrapI64);
        }
        code.push(Instruction::BrIf(0));
        code.extend(params.iter().map(|_| Instruction::Drop));
        code
    }
}

impl Reencode for Endless {
    type Error = Infallible;

    fn memory_type(
        &mut self,
        old: wasmparser::MemoryType,
    ) -> Result<wasm_encoder::MemoryType, reencode::Error> {
        let mut new = wasm_encoder::MemoryType::from(old);
        new.shared |= self.share || self.numbers.below(2) == 0;
        self.memory64.push(new.memory64);
        Ok(new)
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: TypeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([], []);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.types.len() as u32);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        exports.export("_start", ExportKind::Func, self.functions.len() as u32);
        utils::parse_export_section(self, exports, section)
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.start());
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let results = self.type_of(self.written).results().to_vec();
        self.written += 1;
        let block = match results[..] {
            [] => Some(BlockType::Empty),
            [ty] => Some(BlockType::Result(self.val_type(ty)?)),
            _ => None,
        };
        // The body is a block in a loop then: what leaves the one goes on in the other.
        let block = block.filter(|_| self.numbers.below(3) == 0);
        if let Some(block) = block {
            function.instruction(&Instruction::Loop(BlockType::Empty));
            function.instruction(&Instruction::Block(block));
        }
        // Of each block that is open: the parameters, if it is a loop.
        let mut open: Vec<Option<Vec<ValType>>> = Vec::new();
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            match operators.clone().read()? {
                Operator::Loop { blockty } => open.push(Some(match blockty {
                    wasmparser::BlockType::FuncType(ty) => {
                        self.types[ty as usize].params().to_vec()
                    }
                    _ => Vec::new(),
                })),
                Operator::Block { .. } | Operator::If { .. } => open.push(None),
                Operator::End => {
                    if let Some(Some(params)) = open.pop()
                        && self.numbers.below(2) == 0
                    {
                        for instruction in self.again(&params) {
                            function.instruction(&instruction);
                        }
                    }
                }
                _ => {}
            }
            function.instruction(&self.parse_instruction(&mut operators)?);
        }
        if block.is_some() {
            // What was the function's end is the block's.
            for _ in &results {
                function.instruction(&Instruction::Drop);
            }
            for end in [
                Instruction::Br(0),
                Instruction::End,
                Instruction::Unreachable,
                Instruction::End,
            ] {
                function.instruction(&end);
            }
        }
        code.function(&function);
        Ok(())
    }
}

/// A number of each type; none if there is a reference among them.
fn constants(types: &[ValType]) -> Option<Vec<Instruction<'static>>> {
    let constant = |ty: &ValType| {
        Some(match ty {
            ValType::I32 => Instruction::I32Const(64),
            ValType::I64 => Instruction::I64Const(64),
            ValType::F32 => Instruction::F32Const(1.5.into()),
            ValType::F64 => Instruction::F64Const(1.5.into()),
            ValType::V128 => Instruction::V128Const(1),
            ValType::Ref(_) => return None,
        })
    };
    types.iter().map(constant).collect()
}
