//! The check of the stack that compilers keep in linear memory.
//!
//! Programs in C and Rust have a stack of their own in linear memory, for what cannot be
//! a local. The global `__stack_pointer` is where it ends; functions lower it as they
//! start. Nothing stops them at the stack's end: behind it are other data of the
//! program, and then those are overwritten.
//!
//! With the check, the least that the pointer may be stands in a global, [`STACK_LOW`],
//! and who lowers the pointer below it calls [`STACK_OVERFLOW`], which traps.
//!
//! # Which bound
//!
//! * **The main thread's** stack is where the linker has put it: below all static data
//!   or above. It ends at address 0 in the first case, and in the second at the end of
//!   the data that lies below the pointer's initial value. That end is what the data
//!   segments, the program's start function, and the globals `__data_end` and
//!   `__stack_low`, if there are such, say; there may be more data than these tell of
//!   (zeroed data in unusual modules): then the bound is too low, but never too high.
//! * **A thread of wasi-libc** has its stack in a block from `malloc`, and libc notes its
//!   size in the `struct pthread`, in the thread's TLS block. A function that
//!   `wasi_thread_start` calls looks for it there: a word that is its own address,
//!   with the stack's top at +48. The size at +52 counts from the start arguments down,
//!   which `wasi_thread_start` was given. This layout has been the same since wasi-libc
//!   has threads (2022); where the search finds nothing that fits, the thread is not
//!   checked.
//! * **Where the host sets `__stack_pointer`**, it sets [`STACK_LOW`] too.
//!
//! How large the stack is stands in [`STACK_SIZE`], for the report of an overflow: what lies
//! between its end and the first value of the pointer.
//!
//! # What is proved, and what is not
//!
//! Where the bound is right, no function lowers the pointer below it by less than 2 GiB
//! at a time and goes on. Compilers let functions that call none use up to [`RED_ZONE`]
//! bytes below the pointer, so the bound is by so much higher than the stack's end.
//!
//! Not seen are: code that uses the stack beyond what it has lowered the pointer by (a
//! buffer overflow); and frames that a thread has on a stack that it made itself. A
//! module that switches between such stacks, which shows in its setting the pointer to
//! a parameter, a word from memory, or what a function returned, is not checked at all,
//! nor is one in which the pointer is not known: without a name, an export, or wasi-libc's `wasi_thread_start`.
//!
//! [`STACK_LOW`]: crate::STACK_LOW
//! [`STACK_OVERFLOW`]: crate::STACK_OVERFLOW
//! [`STACK_SIZE`]: crate::STACK_SIZE

use wasm_encoder::{BlockType, Function, Instruction, MemArg, ValType};
use wasmparser::{
    BinaryReader, ConstExpr, DataKind, ExternalKind, FunctionBody, KnownCustom, MemoryType, Name,
    Operator, OperatorsReader, Parser, Payload, TypeRef,
};

use crate::{FEATURES, RED_ZONE, RewriteError, scan::operator_at};

/// A module's stack.
#[derive(Debug)]
pub(crate) struct Stack {
    /// The global that is its pointer.
    pub(crate) pointer: u32,
    pub(crate) memory64: bool,
    /// The least that the pointer may be on the main thread.
    low: u64,
    /// Bytes of the main thread's stack.
    size: u64,
    pub(crate) thread_start: Option<ThreadStart>,
}

/// The function `wasi_thread_start` of wasi-libc: offsets in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadStart {
    /// Its first operator.
    pub(crate) entry: usize,
    /// The operator that sets the stack pointer.
    sets_pointer: usize,
}

/// What an operator that sets the pointer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The pointer may be lower than before.
    Lowers,
    Raises,
    /// It may point into another stack.
    Switches,
    /// A thread's first.
    Begins,
}

impl Stack {
    /// Finds the stack of a module, which may be invalid still.
    pub(crate) fn find(wasm: &[u8]) -> Option<Self> {
        Module::read(wasm).ok()?.stack()
    }

    /// What the operator at `at`, which sets the pointer, does: judged by the operators
    /// before it, the nearest first. The function begins at `entry`, and has `params`
    /// parameters.
    pub(crate) fn change(
        &self,
        wasm: &[u8],
        at: usize,
        [one, two, three, four]: [usize; 4],
        (entry, params): (usize, u32),
    ) -> Change {
        let operator = |at| operator_at(wasm, at).ok().map(|(operator, _)| operator);
        if self
            .thread_start
            .is_some_and(|start| start.sets_pointer == at)
        {
            return Change::Begins;
        }
        let (value, [first, second]) = match operator(one) {
            Some(Operator::LocalTee { .. }) => (operator(two), [four, three]),
            value => (value, [three, two]),
        };
        match (value, operator(second)) {
            (Some(Operator::I32Add), Some(Operator::I32Const { value: 0.. }))
            | (Some(Operator::I64Add), Some(Operator::I64Const { value: 0.. })) => {
                match operator(first) {
                    Some(
                        Operator::GlobalGet { .. }
                        | Operator::LocalGet { .. }
                        | Operator::LocalTee { .. },
                    ) => Change::Raises,
                    // A block that was allocated, and its size.
                    _ => Change::Switches,
                }
            }
            (Some(Operator::LocalGet { local_index }), _)
                if local_index >= params || is_set(wasm, entry..at, local_index) =>
            {
                Change::Lowers
            }
            (
                Some(
                    Operator::I32Add
                    | Operator::I64Add
                    | Operator::I32Sub
                    | Operator::I64Sub
                    // A frame with an alignment of its own.
                    | Operator::I32And
                    | Operator::I64And,
                ),
                _,
            ) => Change::Lowers,
            _ => Change::Switches,
        }
    }

    /// The type of addresses.
    pub(crate) fn address(&self) -> ValType {
        match self.memory64 {
            true => ValType::I64,
            false => ValType::I32,
        }
    }

    /// The main thread's bound, and the size of its stack.
    pub(crate) fn main_thread(&self) -> [Instruction<'static>; 2] {
        [self.low, self.size].map(|value| match self.memory64 {
            true => Instruction::I64Const(value.cast_signed()),
            false => Instruction::I32Const(value as i32),
        })
    }

    /// What follows the operator that lowers the pointer: `low` is the global with the
    /// bound, `overflow` the function to call below it.
    pub(crate) fn check(&self, low: u32, overflow: u32) -> [Instruction<'static>; 9] {
        let (sub, zero, is_less) = match self.memory64 {
            true => (
                Instruction::I64Sub,
                Instruction::I64Const(0),
                Instruction::I64LtS,
            ),
            false => (
                Instruction::I32Sub,
                Instruction::I32Const(0),
                Instruction::I32LtS,
            ),
        };
        [
            Instruction::GlobalGet(self.pointer),
            Instruction::GlobalGet(low),
            // With a sign: the pointer may have been lowered past address 0.
            sub,
            zero,
            is_less,
            Instruction::If(BlockType::Empty),
            Instruction::Call(overflow),
            // The compiler need not keep anything over the call.
            Instruction::Unreachable,
            Instruction::End,
        ]
    }
}

/// Whether the operators in `range` set a local.
fn is_set(wasm: &[u8], range: std::ops::Range<usize>, local: u32) -> bool {
    let start = range.start;
    let bytes = wasm.get(range).unwrap_or_default();
    let reader = BinaryReader::new_features(bytes, start, FEATURES);
    OperatorsReader::new(reader).into_iter().any(|operator| {
        matches!(
            operator,
            Ok(Operator::LocalSet { local_index } | Operator::LocalTee { local_index })
                if local_index == local
        )
    })
}

/// What a module says of its stack.
#[derive(Default)]
struct Module<'a> {
    imported_functions: u32,
    imported_globals: u32,
    memories: Vec<MemoryType>,
    /// Those that it defines, with the value of a constant.
    globals: Vec<(wasmparser::GlobalType, Option<u64>)>,
    named: Vec<(&'a str, u32)>,
    thread_start: Option<u32>,
    start: Option<u32>,
    bodies: Vec<FunctionBody<'a>>,
    /// Where static data is written: start and end.
    data: Vec<(u64, u64)>,
}

impl<'a> Module<'a> {
    fn read(wasm: &'a [u8]) -> Result<Self, RewriteError> {
        let mut module = Self::default();
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        for payload in parser.parse_all(wasm) {
            module.section(payload?)?;
        }
        Ok(module)
    }

    fn section(&mut self, payload: Payload<'a>) -> Result<(), RewriteError> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) => self.imported_functions += 1,
                        TypeRef::Global(_) => self.imported_globals += 1,
                        TypeRef::Memory(ty) => self.memories.push(ty),
                        _ => {}
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories.push(memory?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    self.globals.push((global.ty, constant(&global.init_expr)));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Global => self.named.push((export.name, export.index)),
                        ExternalKind::Func if export.name == "wasi_thread_start" => {
                            self.thread_start = Some(export.index);
                        }
                        _ => {}
                    }
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::DataSection(section) => {
                for segment in section {
                    let segment = segment?;
                    if let DataKind::Active { offset_expr, .. } = segment.kind
                        && let Some(start) = constant(&offset_expr)
                    {
                        self.writes(start, segment.data.len() as u64);
                    }
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    for subsection in names {
                        // A name section that cannot be read is none.
                        let Ok(Name::Global(names)) = subsection else {
                            continue;
                        };
                        let names = names.into_iter().flatten();
                        self.named.extend(names.map(|name| (name.name, name.index)));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn writes(&mut self, start: u64, len: u64) {
        self.data.push((start, start.saturating_add(len)));
    }

    fn stack(mut self) -> Option<Stack> {
        let memory = *self.memories.first()?;
        let (pointer, thread_start) = match self.thread_start {
            Some(index) => {
                let (pointer, start) = self.body(index).and_then(thread_start)?;
                (pointer, Some(start))
            }
            None => (self.named("__stack_pointer")?, None),
        };
        // If both are there, they agree.
        if self
            .named("__stack_pointer")
            .is_some_and(|named| named != pointer)
        {
            return None;
        }
        let address = match memory.memory64 {
            true => wasmparser::ValType::I64,
            false => wasmparser::ValType::I32,
        };
        let &(ty, top) = self.defined(pointer)?;
        let top = top.filter(|_| ty.mutable && ty.content_type == address)?;
        if let Some(start) = self.start.and_then(|index| self.body(index)) {
            self.start_function(&start);
        }
        let below = self
            .data
            .iter()
            .filter(|&&(start, end)| start < top && start < end);
        let ends = below.map(|&(_, end)| end);
        let known = ["__stack_low", "__data_end"]
            .into_iter()
            .filter_map(|name| {
                let (_, value) = self.defined(self.named(name)?)?;
                value.filter(|&value| value < top)
            });
        let end = ends.chain(known).max().unwrap_or(0);
        let low = end.checked_add(RED_ZONE)?;
        (low < top).then_some(Stack {
            pointer,
            memory64: memory.memory64,
            low,
            size: top - end,
            thread_start,
        })
    }

    fn named(&self, wanted: &str) -> Option<u32> {
        let mut named = self.named.iter();
        named
            .find(|(name, _)| *name == wanted)
            .map(|&(_, index)| index)
    }

    fn defined(&self, global: u32) -> Option<&(wasmparser::GlobalType, Option<u64>)> {
        let index = global.checked_sub(self.imported_globals)?;
        self.globals.get(index as usize)
    }

    fn body(&self, function: u32) -> Option<FunctionBody<'a>> {
        let index = function.checked_sub(self.imported_functions)?;
        self.bodies.get(index as usize).cloned()
    }

    /// Notes what data the start function writes: with threads, the linker makes it
    /// write all. Operands are constants right in front of their operator, or a
    /// `global.set` away.
    fn start_function(&mut self, body: &FunctionBody<'a>) {
        let operators = body.get_operators_reader().into_iter().flatten();
        let mut constants = Vec::new();
        for operator in operators.map_while(Result::ok) {
            match operator {
                Operator::I32Const { value } => constants.push(u64::from(value.cast_unsigned())),
                Operator::I64Const { value } => constants.push(value.cast_unsigned()),
                Operator::GlobalSet { .. } => drop(constants.pop()),
                Operator::MemoryInit { .. } | Operator::MemoryFill { .. } => {
                    if let [.., start, _, len] = constants[..] {
                        self.writes(start, len);
                    }
                    constants.clear();
                }
                _ => constants.clear(),
            }
        }
    }
}

fn constant(expression: &ConstExpr<'_>) -> Option<u64> {
    let mut operators = expression.get_operators_reader().into_iter();
    let value = match operators.next()?.ok()? {
        Operator::I32Const { value } => u64::from(value.cast_unsigned()),
        Operator::I64Const { value } => value.cast_unsigned(),
        _ => return None,
    };
    matches!(operators.next()?, Ok(Operator::End)).then_some(value)
}

/// Recognizes wasi-libc's `wasi_thread_start(id, arguments)`, which is written in
/// assembly; returns the stack pointer.
fn thread_start(body: FunctionBody<'_>) -> Option<(u32, ThreadStart)> {
    let mut reader = body.get_operators_reader().ok()?;
    let entry = reader.original_position();
    let is_word = |operator: Operator<'_>, wanted: u64| match operator {
        Operator::I32Load { memarg } => memarg.offset == wanted && memarg.memory == 0,
        _ => false,
    };
    let is_arguments =
        |operator: Operator<'_>| matches!(operator, Operator::LocalGet { local_index: 1 });
    if !is_arguments(reader.read().ok()?) || !is_word(reader.read().ok()?, 0) {
        return None;
    }
    let sets_pointer = reader.original_position();
    let Operator::GlobalSet { global_index } = reader.read().ok()? else {
        return None;
    };
    let sets_tls = is_arguments(reader.read().ok()?)
        && is_word(reader.read().ok()?, 4)
        && matches!(reader.read().ok()?, Operator::GlobalSet { .. });
    let start = ThreadStart {
        entry,
        sets_pointer,
    };
    sets_tls.then_some((global_index, start))
}

/// How much of a thread's TLS block is searched for its `struct pthread`.
const SEARCHED: i32 = 1 << 16;
/// Places in the `struct pthread`, and its size as far as is read.
const MAP_BASE: u64 = 40;
const TOP: u64 = 48;
const SIZE: u64 = 52;
const READ: i64 = 56;

/// Makes the function that finds a thread's bound: its parameter is what
/// `wasi_thread_start` gets, `low` and `size` the globals to set.
pub(crate) fn bounds(memory: u32, (low, size): (u32, u32)) -> Function {
    const ARGUMENTS: u32 = 0;
    const TOP_LOCAL: u32 = 1;
    const PLACE: u32 = 2;
    const END: u32 = 3;
    const FOUND: u32 = 4;
    let word = |offset| {
        Instruction::I32Load(MemArg {
            offset,
            align: 2,
            memory_index: memory,
        })
    };
    let mut function = Function::new([(4, ValType::I32)]);
    for instruction in [
        // As far from the top as the check can tell: no bound.
        Instruction::LocalGet(ARGUMENTS),
        word(0),
        Instruction::LocalTee(TOP_LOCAL),
        Instruction::I32Const(i32::MAX),
        Instruction::I32Sub,
        Instruction::GlobalSet(low),
        // From the start of the TLS block on, word by word.
        Instruction::LocalGet(ARGUMENTS),
        word(4),
        Instruction::I32Const(3),
        Instruction::I32Add,
        Instruction::I32Const(-4),
        Instruction::I32And,
        Instruction::LocalTee(PLACE),
        Instruction::I32Const(SEARCHED),
        Instruction::I32Add,
        Instruction::LocalSet(END),
        Instruction::Loop(BlockType::Empty),
        // To the end of the memory at most.
        Instruction::LocalGet(PLACE),
        Instruction::I64ExtendI32U,
        Instruction::I64Const(READ),
        Instruction::I64Add,
        Instruction::MemorySize(memory),
        Instruction::I64ExtendI32U,
        Instruction::I64Const(16),
        Instruction::I64Shl,
        Instruction::I64GtU,
        Instruction::If(BlockType::Empty),
        Instruction::Return,
        Instruction::End,
        // Its own address, and the stack's top.
        Instruction::LocalGet(PLACE),
        word(0),
        Instruction::LocalGet(PLACE),
        Instruction::I32Eq,
        Instruction::LocalGet(PLACE),
        word(TOP),
        Instruction::LocalGet(TOP_LOCAL),
        Instruction::I32Eq,
        Instruction::I32And,
        Instruction::If(BlockType::Empty),
        Instruction::LocalGet(ARGUMENTS),
        Instruction::LocalGet(PLACE),
        word(SIZE),
        Instruction::I32Sub,
        Instruction::I32Const(RED_ZONE as i32),
        Instruction::I32Add,
        Instruction::LocalTee(FOUND),
        // Below the top, and not below the block.
        Instruction::LocalGet(TOP_LOCAL),
        Instruction::I32LtU,
        Instruction::LocalGet(FOUND),
        Instruction::LocalGet(PLACE),
        word(MAP_BASE),
        Instruction::I32GtU,
        Instruction::I32And,
        Instruction::If(BlockType::Empty),
        Instruction::LocalGet(FOUND),
        Instruction::GlobalSet(low),
        Instruction::LocalGet(TOP_LOCAL),
        Instruction::LocalGet(FOUND),
        Instruction::I32Sub,
        Instruction::I32Const(RED_ZONE as i32),
        Instruction::I32Add,
        Instruction::GlobalSet(size),
        Instruction::End,
        Instruction::Return,
        Instruction::End,
        Instruction::LocalGet(PLACE),
        Instruction::I32Const(4),
        Instruction::I32Add,
        Instruction::LocalTee(PLACE),
        Instruction::LocalGet(END),
        Instruction::I32LtU,
        Instruction::BrIf(0),
        Instruction::End,
        Instruction::End,
    ] {
        function.instruction(&instruction);
    }
    function
}
