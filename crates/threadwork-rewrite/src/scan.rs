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
    BinaryReader, CompositeInnerType, ConstExpr, CustomSectionReader, DataKind, DataSectionReader,
    ElementItems, ElementSectionReader, ExportSectionReader, ExternalKind, FuncToValidate,
    FuncValidatorAllocations, FunctionBody, FunctionSectionReader, GlobalSectionReader,
    ImportSectionReader, MemoryType, Operator, Parser, Payload, TableSectionReader,
    TagSectionReader, TypeRef, TypeSectionReader, ValidPayload, Validator, ValidatorResources,
    WasmModuleResources,
    types::{EntityType, TypesRef},
};

use crate::{
    ATOMIC_BATCH, FEATURES, HOST_MODULE, Options, RESERVED, RewriteError, Stopping, barriers,
    limits::{self, MAX_MODULE_SIZE},
    pieces::{self, Operation},
    polls::{self, Distance},
    stack::{Change, Stack},
    sync_ops::{SyncOp, SyncUse},
};

/// What a module has, as far as the rewrite cares.
#[derive(Default)]
pub(crate) struct Scan<'a> {
    pub(crate) types: Option<TypeSectionReader<'a>>,
    pub(crate) imports: Option<ImportSectionReader<'a>>,
    pub(crate) functions: Option<FunctionSectionReader<'a>>,
    pub(crate) tables: Option<TableSectionReader<'a>>,
    pub(crate) tags: Option<TagSectionReader<'a>>,
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
    pub(crate) segments: Vec<Segment>,
    /// Offsets in the file, ascending; empty unless a memory is shared or code is to be
    /// stopped.
    pub(crate) sites: Vec<usize>,
    /// Offsets, ascending, of operators with a poll in front of them.
    pub(crate) polls: Vec<usize>,
    /// How code is to be stopped.
    pub(crate) stopping: Stopping,
    /// Whether the first shared memory was given a page for it.
    pub(crate) has_stop_page: bool,

    pub(crate) sync: BTreeSet<(u32, SyncOp)>,
    /// Every `memory.fill` and `memory.copy` that is to be cut into pieces.
    pub(crate) bulk: BTreeSet<Operation<u32>>,
    /// Offsets, ascending, of those that are not, for being short.
    inline: Vec<usize>,
    /// Of each function that it imports, its type, if it is of the embedder's own.
    embedders: Vec<Option<u32>>,
    /// Those of the embedder's own that are reached otherwise than by a call by name, if
    /// code is to be stopped.
    pub(crate) references: BTreeSet<u32>,
    /// The stack in linear memory, if it is to be checked and is known.
    stack: Option<Stack>,
    /// Whether any code lowers its pointer.
    lowers_stack: bool,
    /// Whether any code switches to another stack.
    switches_stack: bool,
    /// Whether barriers are to be replaced.
    locked_barriers: bool,
    /// Offsets, ascending, of those that are.
    barriers: Vec<usize>,
    /// `(segment, memory)` of every `memory.init`.
    pub(crate) inits: BTreeSet<(u32, u32)>,
    /// Segments of every `data.drop`.
    pub(crate) drops: BTreeSet<u32>,
    /// State of an instance that nothing in a module can set back.
    pub(crate) keeps_state: bool,

    filter: Filter,
    /// Whether any index of a memory may change.
    memories_move: bool,
}

/// Import modules whose functions are the host's own, and look themselves whether the thread
/// is to stop.
const LOOK_THEMSELVES: [&str; 3] = ["wasi_snapshot_preview1", "wasi", HOST_MODULE];

/// Pages that a memory may have, by the size of its addresses.
const MOST_PAGES: u64 = 1 << 16;
const MOST_PAGES_64: u64 = 1 << 48;

/// Sizes of index spaces.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) types: u32,
    pub(crate) imported_functions: u32,
    pub(crate) functions: u32,
    pub(crate) imported_globals: u32,
    pub(crate) globals: u32,
    /// Element segments.
    pub(crate) elements: u32,
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
    /// Where its polls are in [`Scan::polls`].
    pub(crate) polls: Range<usize>,
}

/// A data segment.
pub(crate) struct Segment {
    /// The memory that it is applied to when the module is instantiated, or `None` if
    /// it is passive.
    pub(crate) memory: Option<u32>,
    len: usize,
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
    Tags,
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
    pub(crate) fn read(wasm: &'a [u8], options: Options) -> Result<Self, RewriteError> {
        limits::check("bytes", wasm.len(), MAX_MODULE_SIZE)?;
        let mut scan = Self {
            stopping: options.stopping,
            stack: options.stack_check.then(|| Stack::find(wasm)).flatten(),
            locked_barriers: options.locked_barriers,
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

    /// Whether operators on many bytes and calls of the embedder's are to be stopped, too.
    fn cuts(&self) -> bool {
        matches!(self.stopping, Stopping::BySignal | Stopping::ByPoll)
    }

    /// Whether the code gets polls that read a memory of their own.
    pub(crate) fn has_polls(&self) -> bool {
        let deferred = self.deferred_segments();
        let cost = deferred.map(|(segment, _)| polls::segment_cost(self.len(segment)));
        if !self.cuts() {
            return false;
        }
        !self.polls.is_empty()
            || !self.bulk.is_empty()
            || !self.references.is_empty()
            || cost.sum::<usize>() > pieces::PIECE as usize
    }

    /// The stack, if it is to be checked and can be.
    pub(crate) fn checked_stack(&self) -> Option<&Stack> {
        let can = self.lowers_stack && !self.switches_stack;
        self.stack.as_ref().filter(|_| can)
    }

    /// Whether the `memory.copy` or `memory.fill` at this offset stays as it is.
    pub(crate) fn is_inline(&self, at: usize) -> bool {
        self.inline.binary_search(&at).is_ok()
    }

    /// Whether there are barriers to replace.
    pub(crate) fn has_barriers(&self) -> bool {
        !self.barriers.is_empty()
    }

    /// Whether the operator at this offset is a barrier that is to be replaced.
    pub(crate) fn is_barrier(&self, at: usize) -> bool {
        self.barriers.binary_search(&at).is_ok()
    }

    /// The memory that a segment is applied to, if it is active.
    pub(crate) fn active_memory(&self, segment: u32) -> Option<u32> {
        self.segments.get(segment as usize)?.memory
    }

    /// The segments that `ENTER` applies, each with its memory.
    pub(crate) fn deferred_segments(&self) -> impl Iterator<Item = (u32, u32)> {
        let segments = (0..).zip(&self.segments);
        let active = segments.filter_map(|(index, segment)| Some((index, segment.memory?)));
        active.filter(|_| self.has_shared_memory())
    }

    /// Whether a segment is written in pieces.
    pub(crate) fn is_large(&self, segment: u32) -> bool {
        self.cuts() && self.len(segment) > pieces::PIECE as usize
    }

    fn len(&self, segment: u32) -> usize {
        let segment = self.segments.get(segment as usize);
        segment.map_or(0, |segment| segment.len)
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
            Payload::TagSection(section) => {
                *slot = Slot::Tags;
                self.tags = Some(section);
            }
            Payload::GlobalSection(section) => {
                *slot = Slot::Globals;
                self.counts.globals += section.count();
                for global in section.clone() {
                    self.references_of(&global?.init_expr)?;
                }
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
                self.counts.elements = section.count();
                for segment in section.clone() {
                    match segment?.items {
                        ElementItems::Functions(functions) => {
                            for function in functions {
                                self.note_reference(function?);
                            }
                        }
                        ElementItems::Expressions(_, expressions) => {
                            for expression in expressions {
                                self.references_of(&expression?)?;
                            }
                        }
                    }
                }
                self.elements = Some(section);
            }
            Payload::DataCountSection { count, .. } => {
                *slot = Slot::DataCount;
                self.data_count = Some(count);
            }
            Payload::CodeSectionStart { range, .. } => {
                *slot = Slot::Code;
                self.code_start = range.start;
                self.make_room_for_stops()?;
                let order = self.memories_in_order().map(|(index, _)| index);
                // The memory of the polls goes in front of all that stay defined.
                let stays = |memory: &Memory<'_>| memory.import.is_none() && !memory.ty.shared;
                let stops = self.cuts();
                self.memories_move = !order.is_sorted() || stops && self.memories.iter().any(stays);
                let looks = self.stopping != Stopping::None || self.stack.is_some();
                self.filter = if !self.has_shared_memory() && !looks {
                    Filter::Nothing
                } else if self.memories_move || looks_at_loops(self.stopping) {
                    Filter::Everything
                } else {
                    Filter::ByOpcode
                };
            }
            Payload::DataSection(section) => {
                *slot = Slot::Data;
                for segment in section.clone() {
                    let segment = segment?;
                    let memory = match segment.kind {
                        DataKind::Passive => None,
                        DataKind::Active { memory_index, .. } => Some(memory_index),
                    };
                    let len = segment.data.len();
                    self.segments.push(Segment { memory, len });
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
            // The validator refuses what `FEATURES` leaves out. Dropping a section
            // would be worse.
            other => {
                let offset = other.as_section().map_or(0, |(_, range)| range.start);
                let message = "a section that the rewriter does not know".to_owned();
                return Err(RewriteError::Invalid { offset, message });
            }
        }
        Ok(())
    }

    /// Gives the memory that code looks at to be stopped a page for it.
    fn make_room_for_stops(&mut self) -> Result<(), RewriteError> {
        if self.stopping != Stopping::ByWord {
            return Ok(());
        }
        let shared = self
            .memories_in_order()
            .find(|(_, memory)| memory.ty.shared);
        let index = shared.map(|(index, _)| index as usize);
        if let Some(memory) = index.and_then(|index| self.memories.get_mut(index)) {
            let most = if memory.ty.memory64 {
                MOST_PAGES_64
            } else {
                MOST_PAGES
            };
            let pages = memory.ty.initial + 1;
            if pages > most {
                return Err(RewriteError::TooLarge {
                    what: "pages of memory, with one to be stopped by",
                    count: pages,
                    limit: most,
                });
            }
            self.has_stop_page = true;
            memory.ty.initial = pages;
            memory.ty.maximum = Some(memory.ty.maximum.unwrap_or(most).max(pages));
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
                TypeRef::Func(ty) => {
                    self.counts.imported_functions += 1;
                    let is_embedders = !LOOK_THEMSELVES.contains(&import.module);
                    self.embedders.push(is_embedders.then_some(ty));
                }
                TypeRef::FuncExact(_) => return Err(exact_function(offset)),
                TypeRef::Memory(ty) => self.memories.push(Memory {
                    ty,
                    import: Some((import.module, import.name)),
                }),
                TypeRef::Global(ty) => {
                    self.counts.imported_globals += 1;
                    self.keeps_state |= ty.mutable;
                }
                TypeRef::Table(_) => self.keeps_state = true,
                // It never changes.
                TypeRef::Tag(_) => {}
            }
        }
        self.counts.functions += self.counts.imported_functions;
        self.counts.globals += self.counts.imported_globals;
        Ok(())
    }

    /// The memory that WASI works on: the one that is exported as `memory`, or else the
    /// first.
    pub(crate) fn wasi_memory(&self) -> u32 {
        let exports = self.exports.clone().into_iter().flatten();
        exports
            .map_while(Result::ok)
            .find(|export| export.name == "memory" && export.kind == ExternalKind::Memory)
            .map_or(0, |export| export.index)
    }

    /// Validates one function and notes its sites.
    fn code(
        &mut self,
        wasm: &[u8],
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        allocations: &mut FuncValidatorAllocations,
    ) -> Result<(), RewriteError> {
        let (first_site, first_poll) = (self.sites.len(), self.polls.len());
        let ty = function.resources.sub_type_at(function.ty);
        let params = match ty.map(|ty| &ty.composite_type.inner) {
            Some(CompositeInnerType::Func(ty)) => ty.params().len() as u32,
            _ => 0,
        };
        let mut validator = function.into_validator(std::mem::take(allocations));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        reader.set_features(FEATURES);
        let entry = reader.original_position();
        let mut walk = Walk::new(self.stopping);
        while !reader.eof() {
            let at = reader.original_position();
            if std::mem::take(&mut walk.poll_next) {
                self.polls.push(at);
            }
            if self.filter.wants(wasm.get(at)) {
                let operator = reader.peek_operator(&validator.visitor(at))?;
                self.note_stops(wasm, at, &operator, &mut walk);
                self.note_stack(wasm, at, &operator, walk.previous, (entry, params));
                let previous = walk.previous[0];
                if self.locked_barriers && barriers::is_slow(wasm, &operator, previous) {
                    self.barriers.push(at);
                    self.sites.push(at);
                } else {
                    self.note(at, operator)?;
                }
            }
            let [one, two, three, _] = walk.previous;
            walk.previous = [at, one, two, three];
            reader.visit_operator(&mut validator.visitor(at))??;
        }
        reader.finish_expression(&validator.visitor(reader.original_position()))?;
        *allocations = validator.into_allocations();
        // Without a call it cannot recurse: it ends, or its loops poll.
        if walk.distance.is_some_and(|distance| distance.calls()) {
            self.polls.insert(first_poll, entry);
        }
        self.bodies.push(Body {
            range: body.range(),
            sites: first_site..self.sites.len(),
            polls: first_poll..self.polls.len(),
        });
        Ok(())
    }

    /// Notes the polls and the pieces that an operator needs.
    fn note_stops(&mut self, wasm: &[u8], at: usize, operator: &Operator<'_>, walk: &mut Walk) {
        if self.stopping == Stopping::ByWord {
            if let Some(distance) = &mut walk.distance {
                distance.pass(operator);
            }
            walk.poll_next = matches!(operator, Operator::Loop { .. });
        }
        if !self.cuts() {
            return;
        }
        match (Operation::of(operator), operator) {
            (Some(Operation::Copy { .. }), _) if is_short_constant(wasm, walk.previous[0]) => {
                self.inline.push(at);
            }
            (Some(operation @ (Operation::Fill { .. } | Operation::Copy { .. })), _) => {
                self.bulk.insert(operation);
            }
            // Nothing follows a throw, and the engine is at it for as long as the stack is deep.
            (_, Operator::Throw { .. } | Operator::ThrowRef) => {
                if self.polls.last() != Some(&at) {
                    self.polls.push(at);
                }
            }
            // The host's function is not a library's.
            _ if self.is_sync(operator) => {}
            _ => {
                walk.poll_next = polls::is_library_call(operator) || self.calls_embedder(operator);
            }
        }
        if let Some(distance) = &mut walk.distance {
            if distance.is_due() {
                distance.polled();
                // There is one already behind a library call.
                if self.polls.last() != Some(&at) {
                    self.polls.push(at);
                }
            }
            distance.pass(operator);
            walk.poll_next |= matches!(operator, Operator::Loop { .. });
            if walk.poll_next {
                distance.polled();
            }
        }
    }

    /// Whether an operator calls a function of the embedder's own by its name.
    fn calls_embedder(&self, operator: &Operator<'_>) -> bool {
        match *operator {
            Operator::Call { function_index } => self.embedder_type(function_index).is_some(),
            _ => false,
        }
    }

    /// The type of a function, if it is of the embedder's own.
    pub(crate) fn embedder_type(&self, function: u32) -> Option<u32> {
        self.embedders.get(function as usize).copied().flatten()
    }

    /// Notes a function that something refers to.
    fn note_reference(&mut self, function: u32) {
        if self.cuts() && self.embedder_type(function).is_some() {
            self.references.insert(function);
        }
    }

    /// Notes the functions that a constant expression refers to.
    fn references_of(&mut self, expression: &ConstExpr<'_>) -> Result<(), RewriteError> {
        for operator in expression.get_operators_reader() {
            if let Operator::RefFunc { function_index } = operator? {
                self.note_reference(function_index);
            }
        }
        Ok(())
    }

    /// Notes an operator that sets the stack pointer.
    fn note_stack(
        &mut self,
        wasm: &[u8],
        at: usize,
        operator: &Operator<'_>,
        previous: [usize; 4],
        function: (usize, u32),
    ) {
        if let (Some(stack), &Operator::GlobalSet { global_index }) = (&self.stack, operator)
            && global_index == stack.pointer
        {
            match stack.change(wasm, at, previous, function) {
                Change::Lowers => {
                    self.lowers_stack = true;
                    self.sites.push(at);
                }
                Change::Switches => self.switches_stack = true,
                Change::Raises | Change::Begins => {}
            }
        }
    }

    /// Whether the host carries out an operator, which may be invalid.
    fn is_sync(&self, operator: &Operator<'_>) -> bool {
        let memory = |use_: SyncUse| self.memories.get(use_.memory as usize);
        let memory = SyncUse::of(operator).and_then(memory);
        memory.is_some_and(|memory| memory.ty.shared)
    }

    /// Notes an operator if a rewrite may change it, or wants to know of it.
    fn note(&mut self, at: usize, operator: Operator<'_>) -> Result<(), RewriteError> {
        let shared = |memory: u32| {
            // Not validated yet: the index may be out of range.
            let memory = self.memories.get(memory as usize);
            memory.is_some_and(|memory| memory.ty.shared)
        };
        let is_site = match operator {
            Operator::Call { function_index } => function_index >= self.counts.imported_functions,
            Operator::ReturnCall { function_index } | Operator::RefFunc { function_index } => {
                self.note_reference(function_index);
                let is_wrapped = self.references.contains(&function_index);
                is_wrapped || function_index >= self.counts.imported_functions
            }
            Operator::MemoryInit { data_index, mem } => {
                self.inits.insert((data_index, mem));
                true
            }
            Operator::DataDrop { data_index } => {
                self.drops.insert(data_index);
                true
            }
            Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } => self.cuts(),
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
        if is_site || self.memories_move && names_memory(operator)? {
            self.sites.push(at);
        }
        Ok(())
    }
}

/// Which operators the scan decodes to look at.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Filter {
    /// No memory is shared, and nothing is to be stopped.
    #[default]
    Nothing,
    /// The index of a function may change, the index of a memory will not.
    ByOpcode,
    /// Indices of memories change, and any operator may have one; or all count for the
    /// distance between polls.
    Everything,
}

impl Filter {
    fn wants(self, opcode: Option<&u8>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::ByOpcode => matches!(
                opcode,
                // The two throws, the two calls, global.set, table.set, memory.grow, ref.func,
                // and the prefixes of bulk memory, of the other operators on tables, and of
                // atomics.
                Some(0x08 | 0x0a | 0x10 | 0x12 | 0x24 | 0x26 | 0x40 | 0xd2 | 0xfc | 0xfe)
            ),
        }
    }
}

/// A walk through the operators of one function.
struct Walk {
    /// A poll goes in front of the next operator.
    poll_next: bool,
    /// The offsets of the operators before this one, the nearest first.
    previous: [usize; 4],
    distance: Option<Distance>,
}

impl Walk {
    fn new(stopping: Stopping) -> Self {
        Self {
            poll_next: false,
            previous: [0; 4],
            distance: looks_at_loops(stopping).then(Distance::at_entry),
        }
    }
}

/// Whether there is something in each loop.
fn looks_at_loops(stopping: Stopping) -> bool {
    matches!(stopping, Stopping::ByPoll | Stopping::ByWord)
}

/// Whether the operator at `at` is a constant that is short for a length: a copy of so
/// many bytes is no library call.
fn is_short_constant(wasm: &[u8], at: usize) -> bool {
    match operator_at(wasm, at) {
        Ok((Operator::I32Const { value }, _)) => u64::from(value.cast_unsigned()) <= pieces::INLINE,
        Ok((Operator::I64Const { value }, _)) => value.cast_unsigned() <= pieces::INLINE,
        _ => false,
    }
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
