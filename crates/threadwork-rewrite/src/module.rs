//! Writes the rewritten module, section by section.
//!
//! Invariant: sections come out in the order that the specification gives, each
//! only if the module had it or something is added to it, and custom sections
//! stay behind the section that they followed. Custom sections whose meaning the
//! rewrite would make wrong are left out: see [`is_kept`].

use std::{convert::Infallible, slice};

use wasm_encoder::{
    CustomSection, DataCountSection, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    Instruction, MemorySection, MemoryType, Module, RawSection, Section, SectionId, TableSection,
    TagSection, TypeSection, ValType,
    reencode::{self, Reencode, utils},
};
use wasmparser::{CustomSectionReader, DataKind, KnownCustom};

use crate::{
    ENTER, HOST_MODULE, MEMORY, OffsetMap, POLL, RESET, RewriteError, STACK_LOW, STACK_OVERFLOW,
    STACK_SIZE, STOP, STOP_AT, code, enter,
    limits::{self, MAX_MODULE_SIZE},
    names,
    pieces::{self, Operation},
    plan::{AddedFunction, Plan, Renumber, is_promoted},
    polls, reset,
    scan::{Memory, Scan, Slot},
    stack, wrapper,
};

/// Writes the module that `plan` describes, and the map of its code.
pub(crate) fn write(
    wasm: &[u8],
    scan: &Scan<'_>,
    plan: &Plan,
) -> Result<(Vec<u8>, OffsetMap), RewriteError> {
    let mut writer = Writer {
        scan,
        plan,
        renumber: plan.renumber.clone(),
        module: Module::new(),
        offsets: OffsetMap::default(),
        has_names: false,
    };
    writer.custom_sections(Slot::Header);
    writer.types()?;
    writer.imports()?;
    writer.functions()?;
    writer.tables()?;
    writer.memories();
    writer.tags()?;
    writer.globals()?;
    writer.exports()?;
    // What is behind the start section, which is left out.
    writer.custom_sections(Slot::Start);
    writer.elements()?;
    writer.data_count();
    writer.code(wasm)?;
    writer.data()?;
    if !writer.has_names {
        let names = names::section(None, plan);
        writer.module.section(&names);
    }
    limits::check("bytes", writer.module.len(), MAX_MODULE_SIZE)?;
    Ok((writer.module.finish(), writer.offsets))
}

/// Whether a custom section is copied into the rewritten module.
///
/// Left out is what holds offsets of code or indices of functions, both of which
/// the rewrite moves, and means nothing to an engine that runs the module: DWARF
/// (the host reads it from the original, through the [`OffsetMap`]), relocations,
/// and hints on branches. Pointers to such things in another file stay.
pub(crate) fn is_kept(name: &str) -> bool {
    ![".debug_", "reloc.", "metadata.code."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

struct Writer<'a> {
    scan: &'a Scan<'a>,
    plan: &'a Plan,
    renumber: Renumber,
    module: Module,
    offsets: OffsetMap,
    has_names: bool,
}

impl Writer<'_> {
    /// Ends the place of one kind of section: writes it, if there is any, and the
    /// custom sections that followed it.
    fn finish(&mut self, slot: Slot, section: Option<&impl Section>) {
        if let Some(section) = section {
            self.module.section(section);
        }
        self.custom_sections(slot);
    }

    fn custom_sections(&mut self, slot: Slot) {
        for (after, section) in &self.scan.customs {
            if *after == slot {
                self.custom_section(section);
            }
        }
    }

    fn custom_section(&mut self, section: &CustomSectionReader<'_>) {
        if let KnownCustom::Name(old) = section.as_known() {
            // There should be one; a second would name what is named already.
            if !self.has_names {
                self.has_names = true;
                self.module.section(&names::section(Some(old), self.plan));
            }
        } else if is_kept(section.name()) {
            self.module.section(&CustomSection::from(section.clone()));
        }
    }

    /// How indices change where functions are referred to.
    fn references(&self) -> Renumber {
        self.renumber.of_references()
    }

    fn types(&mut self) -> Result<(), RewriteError> {
        let mut types = TypeSection::new();
        if let Some(old) = self.scan.types.clone() {
            self.renumber.parse_type_section(&mut types, old)?;
        }
        for (params, results) in &self.plan.types.list {
            types.ty().function(params.clone(), results.clone());
        }
        let any = self.scan.types.is_some() || !types.is_empty();
        self.finish(Slot::Types, any.then_some(&types));
        Ok(())
    }

    fn imports(&mut self) -> Result<(), RewriteError> {
        let mut imports = ImportSection::new();
        if let Some(old) = self.scan.imports.clone() {
            let mut memories = Imports {
                renumber: &mut self.renumber,
                memories: self.scan.memories.iter(),
            };
            memories.parse_import_section(&mut imports, old)?;
        }
        // The memories that the module imports already are at the front of both.
        let promoted = self.scan.memories.iter().filter(|m| is_promoted(m));
        let made = self.plan.memories.iter();
        let made = made.filter(|memory| memory.module == HOST_MODULE);
        for (memory, import) in promoted.zip(made) {
            let ty = wasm_encoder::MemoryType::from(memory.ty);
            imports.import(&import.module, &import.name, ty);
        }
        if self.plan.poll_memory.is_some() {
            imports.import(HOST_MODULE, POLL, polls::MEMORY);
        }
        for (import, ty) in &self.plan.sync {
            imports.import(HOST_MODULE, &import.name, EntityType::Function(*ty));
        }
        let any = self.scan.imports.is_some() || !imports.is_empty();
        self.finish(Slot::Imports, any.then_some(&imports));
        Ok(())
    }

    fn functions(&mut self) -> Result<(), RewriteError> {
        let mut functions = FunctionSection::new();
        if let Some(old) = self.scan.functions.clone() {
            self.renumber.parse_function_section(&mut functions, old)?;
        }
        for &(_, ty) in &self.plan.functions {
            functions.function(ty);
        }
        let any = self.scan.functions.is_some() || !functions.is_empty();
        self.finish(Slot::Functions, any.then_some(&functions));
        Ok(())
    }

    fn tables(&mut self) -> Result<(), RewriteError> {
        let mut tables = TableSection::new();
        if let Some(old) = self.scan.tables.clone() {
            self.renumber.parse_table_section(&mut tables, old)?;
        }
        let any = self.scan.tables.is_some();
        self.finish(Slot::Tables, any.then_some(&tables));
        Ok(())
    }

    fn memories(&mut self) {
        let mut memories = MemorySection::new();
        for memory in &self.scan.memories {
            if memory.import.is_none() && !memory.ty.shared {
                memories.memory(memory.ty.into());
            }
        }
        let any = !memories.is_empty();
        self.finish(Slot::Memories, any.then_some(&memories));
    }

    fn tags(&mut self) -> Result<(), RewriteError> {
        let mut tags = TagSection::new();
        if let Some(old) = self.scan.tags.clone() {
            self.renumber.parse_tag_section(&mut tags, old)?;
        }
        let any = self.scan.tags.is_some();
        self.finish(Slot::Tags, any.then_some(&tags));
        Ok(())
    }

    fn globals(&mut self) -> Result<(), RewriteError> {
        let mut globals = GlobalSection::new();
        if let Some(old) = self.scan.globals.clone() {
            self.references().parse_global_section(&mut globals, old)?;
        }
        for _ in &self.plan.flags {
            let ty = GlobalType {
                val_type: ValType::I32,
                mutable: true,
                shared: false,
            };
            globals.global(ty, &wasm_encoder::ConstExpr::i32_const(0));
        }
        if let (Some(stack), true) = (self.scan.checked_stack(), self.plan.stack.is_some()) {
            let ty = GlobalType {
                val_type: stack.address(),
                mutable: true,
                shared: false,
            };
            for value in stack.main_thread() {
                let value = wasm_encoder::ConstExpr::extended([value]);
                globals.global(ty, &value);
            }
        }
        if let Some(look) = self.plan.stop_look {
            let ty = GlobalType {
                val_type: if look.memory64 {
                    ValType::I64
                } else {
                    ValType::I32
                },
                mutable: true,
                shared: false,
            };
            let value = wasm_encoder::ConstExpr::extended([look.address()]);
            globals.global(ty, &value);
        }
        let any = self.scan.globals.is_some() || !globals.is_empty();
        self.finish(Slot::Globals, any.then_some(&globals));
        Ok(())
    }

    fn exports(&mut self) -> Result<(), RewriteError> {
        let mut exports = ExportSection::new();
        if let Some(old) = self.scan.exports.clone() {
            self.renumber.parse_export_section(&mut exports, old)?;
        }
        if let Some(memory) = self.plan.exported_memory {
            exports.export(MEMORY, ExportKind::Memory, memory);
        }
        for (index, function) in self.plan.indexed_functions() {
            match function {
                AddedFunction::Enter => exports.export(ENTER, ExportKind::Func, index),
                AddedFunction::Reset => exports.export(RESET, ExportKind::Func, index),
                AddedFunction::Stop => exports.export(STOP, ExportKind::Func, index),
                AddedFunction::StackOverflow => {
                    exports.export(STACK_OVERFLOW, ExportKind::Func, index)
                }
                AddedFunction::Init { .. }
                | AddedFunction::Pieces(_)
                | AddedFunction::Wrapper(_)
                | AddedFunction::StackBounds => continue,
            };
        }
        if let Some(stack) = self.plan.stack {
            exports.export(STACK_LOW, ExportKind::Global, stack.low);
            exports.export(STACK_SIZE, ExportKind::Global, stack.size);
        }
        if let Some(look) = self.plan.stop_look {
            exports.export(STOP_AT, ExportKind::Global, look.global);
        }
        let any = self.scan.exports.is_some() || !exports.is_empty();
        self.finish(Slot::Exports, any.then_some(&exports));
        Ok(())
    }

    fn elements(&mut self) -> Result<(), RewriteError> {
        let mut elements = ElementSection::new();
        if let Some(old) = self.scan.elements.clone() {
            self.references()
                .parse_element_section(&mut elements, old)?;
        }
        // What code refers to has to be declared.
        let wrappers: Vec<u32> = self.plan.wrappers().values().copied().collect();
        if !wrappers.is_empty() {
            elements.declared(Elements::Functions(wrappers.into()));
        }
        let any = self.scan.elements.is_some() || !elements.is_empty();
        self.finish(Slot::Elements, any.then_some(&elements));
        Ok(())
    }

    fn data_count(&mut self) {
        // `memory.init` in `ENTER` needs the section; elsewhere it was there.
        let needed = self.plan.defers_data && self.scan.data.is_some();
        let added = u32::from(self.plan.empty_segment.is_some());
        let count = DataCountSection {
            count: self.scan.segments.len() as u32 + added,
        };
        let any = self.scan.data_count.is_some() || needed;
        self.finish(Slot::DataCount, any.then_some(&count));
    }

    fn code(&mut self, wasm: &[u8]) -> Result<(), RewriteError> {
        let added = self.plan.functions.iter();
        let added = added.map(|&(function, _)| match function {
            AddedFunction::Enter => enter::function(self.scan, self.plan),
            AddedFunction::Reset => reset::function(self.scan, self.plan),
            AddedFunction::Init { segment, memory } => {
                Ok(reset::init_function(self.plan, segment, memory))
            }
            AddedFunction::Pieces(operation) => Ok(self.pieces(operation)),
            AddedFunction::Wrapper(function) => wrapper::function(self.scan, self.plan, function),
            AddedFunction::Stop | AddedFunction::StackOverflow => Ok(trap()),
            AddedFunction::StackBounds => {
                let globals = self
                    .plan
                    .stack
                    .map_or((0, 0), |stack| (stack.low, stack.size));
                Ok(stack::bounds(self.plan.renumber.memory(0), globals))
            }
        });
        let added = added.collect::<Result<Vec<Function>, _>>()?;
        if self.scan.bodies.is_empty() && added.is_empty() {
            self.custom_sections(Slot::Code);
            return Ok(());
        }
        let mut code = code::write(wasm, self.scan, self.plan, &added)?;
        let section = RawSection {
            id: SectionId::Code.into(),
            data: &code.bytes,
        };
        self.module.section(&section);
        // A section's contents are the last that was written of it.
        code.offsets.shift(self.module.len() - code.bytes.len());
        self.offsets = code.offsets;
        self.custom_sections(Slot::Code);
        Ok(())
    }

    fn pieces(&self, operation: Operation<u32>) -> Function {
        let operation = operation.map(|old| self.plan.address_of(self.scan, old));
        // There are pieces only where there are polls.
        pieces::function(operation, self.plan.poll_memory.unwrap_or_default())
    }

    fn data(&mut self) -> Result<(), RewriteError> {
        let mut data = DataSection::new();
        for segment in self.scan.data.clone().into_iter().flatten() {
            let segment = segment?;
            match segment.kind {
                DataKind::Active { .. } if !self.plan.defers_data => {
                    utils::parse_data(&mut self.renumber, &mut data, segment)?;
                }
                _ => {
                    data.passive(segment.data.iter().copied());
                }
            }
        }
        if self.plan.empty_segment.is_some() {
            data.passive([]);
        }
        let any = self.scan.data.is_some() || !data.is_empty();
        self.finish(Slot::Data, any.then_some(&data));
        Ok(())
    }
}

/// Encodes imports, with the memories as the scan has them: one may have become larger.
struct Imports<'a, 'b> {
    renumber: &'a mut Renumber,
    /// Imported ones are in front.
    memories: slice::Iter<'a, Memory<'b>>,
}

impl Reencode for Imports<'_, '_> {
    type Error = Infallible;

    fn type_index(&mut self, old: u32) -> Result<u32, reencode::Error> {
        self.renumber.type_index(old)
    }

    fn memory_type(&mut self, old: wasmparser::MemoryType) -> Result<MemoryType, reencode::Error> {
        let ty = self.memories.next().map_or(old, |memory| memory.ty);
        self.renumber.memory_type(ty)
    }
}

/// Makes a function that traps.
fn trap() -> Function {
    let mut trap = Function::new([]);
    trap.instruction(&Instruction::Unreachable);
    trap.instruction(&Instruction::End);
    trap
}
