//! The one pass over a module that validates it and gathers what it has.
//!
//! While the validator walks the code, the scan notes the *sites*: offsets of the
//! operators that a rewrite may have to change. The rewrite then decodes these
//! alone, and copies the bytes between them.
//!
//! Invariant: a [`Scan`] exists only for a valid module that the rewriter accepts,
//! and every operator that [`crate::code`] must change is among its sites.

use std::{collections::BTreeSet, ops::Range};

use wasm_encoder::reencode::{self, Reencode};
use wasmparser::{
    BinaryReader, CompositeInnerType, CustomSectionReader, DataKind, DataSectionReader,
    ElementSectionReader, ExportSectionReader, FuncToValidate, FuncValidatorAllocations,
    FunctionBody, FunctionSectionReader, GlobalSectionReader, ImportSectionReader, MemoryType,
    Operator, Parser, Payload, TableSectionReader, TypeRef, TypeSectionReader, ValidPayload,
    Validator, ValidatorResources,
    types::{EntityType, TypesRef},
};

use crate::{
    ATOMIC_BATCH, FEATURES, HOST_MODULE, RESERVED, RewriteError,
    limits::{self, MAX_MODULE_SIZE},
    sync_ops::{SyncOp, SyncUse},
};

/// What a module has, as far as the rewrite cares.
#[derive(Default)]
pub(crate) struct Scan<'a> {
    pub(crate) types: Option<TypeSectionReader<'a>>,
    pub(crate) imports: Option<ImportSectionReader<'a>>,
    pub(crate) functions: Option<FunctionSectionReader<'a>>,
    pub(crate) tables: Option<TableSectionReader<'a>>,
    pub(crate) globals: Option<GlobalSectionReader<'a>>,
    pub(crate) exports: Option<ExportSectionReader<'a>>,
    pub(crate) start: Option<u32>,
    pub(crate) elements: Option<ElementSectionReader<'a>>,
    pub(crate) data_count: Option<u32>,
    /// Where the contents of the code section begin, in the file.
    pub(crate) code_start: usize,
    pub(crate) bodies: Vec<Body>,
    pub(crate) data: Option<DataSectionReader<'a>>,
    /// Each with the section that it follows.
    pub(crate) customs: Vec<(Slot, CustomSectionReader<'a>)>,

    pub(crate) counts: Counts,
    pub(crate) memories: Vec<Memory<'a>>,
    /// For each data segment, the memory that it is applied to when the module is
    /// instantiated, or `None` if it is passive.
    pub(crate) segments: Vec<Option<u32>>,
    /// Offsets in the file, ascending; empty unless a memory is shared or there
    /// are polls.
    pub(crate) sites: Vec<usize>,
    /// Whether the code is to look, in each loop and each function that calls,
    /// whether it is to stop.
    polls: bool,
    /// Whether there is a place for such a look.
    has_poll_site: bool,

    pub(crate) sync: BTreeSet<(u32, SyncOp)>,
    /// `(segment, memory)` of every `memory.init`.
    pub(crate) inits: BTreeSet<(u32, u32)>,
    /// Segments of every `data.drop`.
    pub(crate) drops: BTreeSet<u32>,
    /// State of an instance that nothing in a module can set back.
    pub(crate) keeps_state: bool,

    filter: Filter,
}

/// Sizes of index spaces.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) types: u32,
    pub(crate) imported_functions: u32,
    pub(crate) functions: u32,
    pub(crate) imported_globals: u32,
    pub(crate) globals: u32,
    /// Imports and exports, a function counting for more: see [`interface_size`].
    pub(crate) interface: usize,
}

/// A linear memory.
pub(crate) struct Memory<'a> {
    pub(crate) ty: MemoryType,
    /// Module and name, if the module imports it already.
    pub(crate) import: Option<(&'a str, &'a str)>,
}

/// The code of one function.
pub(crate) struct Body {
    /// In the file, without the size in front.
    pub(crate) range: Range<usize>,
    /// Where its sites are in [`Scan::sites`].
    pub(crate) sites: Range<usize>,
    /// Where its first operator is, if a poll goes in front of it.
    pub(crate) poll: Option<usize>,
}

/// A place in the order that sections have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Slot {
    #[default]
    Header,
    Types,
    Imports,
    Functions,
    Tables,
    Memories,
    Globals,
    Exports,
    Start,
    Elements,
    DataCount,
    Code,
    Data,
}

impl<'a> Scan<'a> {
    /// Validates `wasm` and gathers what it has.
    pub(crate) fn read(wasm: &'a [u8], polls: bool) -> Result<Self, RewriteError> {
        limits::check("bytes", wasm.len(), MAX_MODULE_SIZE)?;
        let mut scan = Self {
            polls,
            ..Self::default()
        };
        let mut validator = Validator::new_with_features(FEATURES);
        let mut allocations = FuncValidatorAllocations::default();
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        let mut slot = Slot::Header;
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            match validator.payload(&payload)? {
                ValidPayload::Func(function, body) => {
                    scan.code(wasm, function, &body, &mut allocations)?;
                }
                ValidPayload::End(types) => scan.counts.interface = interface_size(types.as_ref()),
                ValidPayload::Ok | ValidPayload::Parser(_) => {}
            }
            scan.section(payload, &mut slot)?;
        }
        Ok(scan)
    }

    /// Whether any memory is shared: if not, there is next to nothing to do.
    pub(crate) fn has_shared_memory(&self) -> bool {
        self.memories.iter().any(|memory| memory.ty.shared)
    }

    /// Whether the code gets polls.
    pub(crate) fn has_polls(&self) -> bool {
        self.polls && self.has_poll_site
    }

    /// Each memory with its old index, in the order of the rewritten module:
    /// imported ones, defined ones that become imports because they are shared,
    /// the rest.
    pub(crate) fn memories_in_order(&self) -> impl Iterator<Item = (u32, &Memory<'a>)> {
        let rank = |memory: &Memory<'_>| match memory.import {
            Some(_) => 0,
            None if memory.ty.shared => 1,
            None => 2,
        };
        // There are 100 memories at most: three walks are as good as a sort.
        (0..3).flat_map(move |wanted| {
            let all = (0..).zip(&self.memories);
            all.filter(move |(_, memory)| rank(memory) == wanted)
        })
    }

    fn section(&mut self, payload: Payload<'a>, slot: &mut Slot) -> Result<(), RewriteError> {
        match payload {
            Payload::TypeSection(section) => {
                *slot = Slot::Types;
                for group in section.clone() {
                    self.counts.types += group?.types().len() as u32;
                }
                self.types = Some(section);
            }
            Payload::ImportSection(section) => {
                *slot = Slot::Imports;
                self.imports(section.clone())?;
                self.imports = Some(section);
            }
            Payload::FunctionSection(section) => {
                *slot = Slot::Functions;
                self.counts.functions += section.count();
                self.functions = Some(section);
            }
            Payload::TableSection(section) => {
                *slot = Slot::Tables;
                self.tables = Some(section);
            }
            Payload::MemorySection(section) => {
                *slot = Slot::Memories;
                for ty in section {
                    let import = None;
                    self.memories.push(Memory { ty: ty?, import });
                }
            }
            Payload::GlobalSection(section) => {
                *slot = Slot::Globals;
                self.counts.globals += section.count();
                self.globals = Some(section);
            }
            Payload::ExportSection(section) => {
                *slot = Slot::Exports;
                for export in section.clone() {
                    let name = export?.name;
                    if name.starts_with(RESERVED) {
                        let name = name.to_owned();
                        return Err(RewriteError::ReservedExport { name });
                    }
                }
                self.exports = Some(section);
            }
            Payload::StartSection { func, .. } => {
                *slot = Slot::Start;
                self.start = Some(func);
            }
            Payload::ElementSection(section) => {
                *slot = Slot::Elements;
                self.elements = Some(section);
            }
            Payload::DataCountSection { count, .. } => {
                *slot = Slot::DataCount;
                self.data_count = Some(count);
            }
            Payload::CodeSectionStart { range, .. } => {
                *slot = Slot::Code;
                self.code_start = range.start;
                let order = self.memories_in_order().map(|(index, _)| index);
                // The memory of the polls goes in front of all that stay defined.
                let stays = |memory: &Memory<'_>| memory.import.is_none() && !memory.ty.shared;
                let moves = !order.is_sorted() || self.polls && self.memories.iter().any(stays);
                self.filter = match (self.has_shared_memory() || self.polls, moves) {
                    (false, _) => Filter::Nothing,
                    (true, false) => Filter::ByOpcode,
                    (true, true) => Filter::Everything,
                };
            }
            Payload::DataSection(section) => {
                *slot = Slot::Data;
                for segment in section.clone() {
                    self.segments.push(match segment?.kind {
                        DataKind::Passive => None,
                        DataKind::Active { memory_index, .. } => Some(memory_index),
                    });
                }
                self.data = Some(section);
            }
            Payload::CustomSection(section) => {
                if section.name() == "linking" {
                    return Err(RewriteError::Object);
                }
                self.customs.push((*slot, section));
            }
            Payload::Version { .. } | Payload::CodeSectionEntry(_) | Payload::End(_) => {}
            // Tags: the validator refuses them, so this is not reached while
            // `FEATURES` leaves exceptions out. Dropping one would be worse.
            other => {
                let offset = other.as_section().map_or(0, |(_, range)| range.start);
                let message = "a section that the rewriter does not know".to_owned();
                return Err(RewriteError::Invalid { offset, message });
            }
        }
        Ok(())
    }

    fn imports(&mut self, section: ImportSectionReader<'a>) -> Result<(), RewriteError> {
        for import in section.into_imports_with_offsets() {
            let (offset, import) = import?;
            let is_function = matches!(import.ty, TypeRef::Func(_));
            if import.module == HOST_MODULE && !(is_function && import.name == ATOMIC_BATCH) {
                let name = import.name.to_owned();
                return Err(RewriteError::ReservedImport { name });
            }
            match import.ty {
                TypeRef::Func(_) => self.counts.imported_functions += 1,
                TypeRef::FuncExact(_) => return Err(exact_function(offset)),
                TypeRef::Memory(ty) => self.memories.push(Memory {
                    ty,
                    import: Some((import.module, import.name)),
                }),
                TypeRef::Global(ty) => {
                    self.counts.imported_globals += 1;
                    self.keeps_state |= ty.mutable;
                }
                TypeRef::Table(_) | TypeRef::Tag(_) => self.keeps_state = true,
            }
        }
        self.counts.functions += self.counts.imported_functions;
        self.counts.globals += self.counts.imported_globals;
        Ok(())
    }

    /// Validates one function and notes its sites.
    fn code(
        &mut self,
        wasm: &[u8],
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        allocations: &mut FuncValidatorAllocations,
    ) -> Result<(), RewriteError> {
        let first_site = self.sites.len();
        let mut validator = function.into_validator(std::mem::take(allocations));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        reader.set_features(FEATURES);
        let entry = reader.original_position();
        let mut calls = false;
        while !reader.eof() {
            let at = reader.original_position();
            if self.filter.wants(wasm.get(at)) {
                let operator = reader.peek_operator(&validator.visitor(at))?;
                calls |= is_call(&operator);
                self.note(at, operator)?;
            }
            reader.visit_operator(&mut validator.visitor(at))??;
        }
        reader.finish_expression(&validator.visitor(reader.original_position()))?;
        *allocations = validator.into_allocations();
        // Without a call it cannot recurse: it ends, or its loops poll.
        let polls = self.polls && calls;
        self.has_poll_site |= polls;
        self.bodies.push(Body {
            range: body.range(),
            sites: first_site..self.sites.len(),
            poll: polls.then_some(entry),
        });
        Ok(())
    }

    /// Notes an operator if a rewrite may change it, or wants to know of it.
    fn note(&mut self, at: usize, operator: Operator<'_>) -> Result<(), RewriteError> {
        let shared = |memory: u32| {
            // Not validated yet: the index may be out of range.
            let memory = self.memories.get(memory as usize);
            memory.is_some_and(|memory| memory.ty.shared)
        };
        let is_site = match operator {
            Operator::Call { function_index }
            | Operator::ReturnCall { function_index }
            | Operator::RefFunc { function_index } => {
                function_index >= self.counts.imported_functions
            }
            Operator::MemoryInit { data_index, mem } => {
                self.inits.insert((data_index, mem));
                true
            }
            Operator::DataDrop { data_index } => {
                self.drops.insert(data_index);
                true
            }
            Operator::Loop { .. } => {
                self.has_poll_site |= self.polls;
                self.polls
            }
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. } => {
                self.keeps_state = true;
                false
            }
            ref operator => match SyncUse::of(operator) {
                Some(use_) if shared(use_.memory) => {
                    self.sync.insert((use_.memory, use_.op));
                    true
                }
                _ => false,
            },
        };
        if is_site || self.filter == Filter::Everything && names_memory(operator)? {
            self.sites.push(at);
        }
        Ok(())
    }
}

/// Which operators the scan decodes to look at.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Filter {
    /// No memory is shared, and there are no polls.
    #[default]
    Nothing,
    /// The index of a function may change, the index of a memory will not.
    ByOpcode,
    /// Indices of memories change, and any operator may have one.
    Everything,
}

impl Filter {
    fn wants(self, opcode: Option<&u8>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::ByOpcode => matches!(
                opcode,
                // loop, the four calls, table.set, memory.grow, ref.func, and the
                // prefixes of bulk memory, of the other operators on tables,
                // and of atomics.
                Some(0x03 | 0x10..=0x13 | 0x26 | 0x40 | 0xd2 | 0xfc | 0xfe)
            ),
        }
    }
}

fn is_call(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
    )
}

/// Whether an operator has the index of a memory in it.
///
/// Asks the encoder, which has to know them all, instead of listing them again.
fn names_memory(operator: Operator<'_>) -> Result<bool, RewriteError> {
    struct Probe(bool);

    impl Reencode for Probe {
        type Error = std::convert::Infallible;

        fn memory_index(&mut self, memory: u32) -> Result<u32, reencode::Error> {
            self.0 = true;
            Ok(memory)
        }
    }

    // The one operator without a memory that the encoder would allocate for.
    if let Operator::BrTable { .. } = operator {
        return Ok(false);
    }
    let mut probe = Probe(false);
    probe.instruction(operator)?;
    Ok(probe.0)
}

/// Refuses the import of a function by its exact type: a feature that is off, but
/// that the validator of wasmparser 0.254 lets pass.
fn exact_function(offset: usize) -> RewriteError {
    let message = "custom descriptors proposal not enabled: exact function type".to_owned();
    RewriteError::Invalid { offset, message }
}

/// The size of the type of a module, as the limit on it counts.
fn interface_size(types: TypesRef<'_>) -> usize {
    let imports = types.core_imports().into_iter().flatten();
    let exports = types.core_exports().into_iter().flatten();
    let all = imports
        .map(|import| import.2)
        .chain(exports.map(|export| export.1));
    let size = |entity| match entity {
        EntityType::Func(id) | EntityType::FuncExact(id) | EntityType::Tag(id) => {
            match &types[id].composite_type.inner {
                CompositeInnerType::Func(ty) => {
                    limits::function_size(ty.params().len(), ty.results().len())
                }
                _ => 1,
            }
        }
        EntityType::Table(_) | EntityType::Memory(_) | EntityType::Global(_) => 1,
    };
    1 + all.map(size).sum::<usize>()
}

/// Reads the one operator at `at`, and where the next one begins.
///
/// `at` must be a site: an operator that was validated, and that opens no block.
pub(crate) fn operator_at(wasm: &[u8], at: usize) -> Result<(Operator<'_>, usize), RewriteError> {
    let bytes = wasm.get(at..).unwrap_or_default();
    let reader = BinaryReader::new_features(bytes, at, FEATURES);
    let mut reader = wasmparser::OperatorsReader::new(reader);
    let operator = reader.read()?;
    Ok((operator, reader.original_position()))
}
