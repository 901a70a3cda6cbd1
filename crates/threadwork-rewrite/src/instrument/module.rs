//! Reads a module whole, and writes it with hooks.
//!
//! Hooks are imports behind those that the module has, so all its own functions move up by as
//! many; functions that are added stand behind them. A function of the allocator's becomes a
//! wrapper under its old index, so that whoever refers to it meets the wrapper, and has its body
//! behind the others.
//!
//! Invariant: sections come out in the order that the specification gives. Custom sections that
//! speak of offsets in code are left out, and the `name` section follows the new indices.

use std::{borrow::Cow, collections::BTreeMap, convert::Infallible};

use wasm_encoder::{
    CustomSection, Encode, EntityType, ExportSection, FunctionSection, GlobalSection,
    ImportSection, MemorySection, Module, NameMap, NameSection, RawSection, SectionId,
    StartSection, TableSection, TypeSection, ValType,
    reencode::{self, Reencode},
};
use wasmparser::{
    CustomSectionReader, ElementSectionReader, ExportSectionReader, ExternalKind, FunctionBody,
    FunctionSectionReader, GlobalSectionReader, ImportSectionReader, KnownCustom,
    MemorySectionReader, MemoryType, Name, Operator, Parser, Payload, TableSectionReader, TypeRef,
    TypeSectionReader, Validator,
};

use super::{
    CHECK_MODULE, Class, Instrument, Instrumented, Site, SiteKind,
    body::{self, Mark},
    classes::{self, Entry},
    once::Table,
    wrapper::{self, Wrapper},
};
use crate::{FEATURES, OffsetMap, RewriteError, limits, limits::MAX_MODULE_SIZE, module::is_kept};

/// A hook, or a function that is added beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hook {
    Point,
    Switch,
    Done,
    Access,
    Range,
    AllocBegin,
    AllocEnd,
    ThreadStart,
    /// Not imported: reports each vector to `Range`.
    Vectors,
    /// Not imported: calls `Access` for what was not told yet.
    Tell,
    /// Not imported: begins another turn.
    Turn,
    /// Not imported: forgets what was told of some bytes.
    Forget,
}

impl Hook {
    const IMPORTED: [Self; 8] = [
        Self::Point,
        Self::Switch,
        Self::Done,
        Self::Access,
        Self::Range,
        Self::AllocBegin,
        Self::AllocEnd,
        Self::ThreadStart,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Switch => "switch",
            Self::Done => "done",
            Self::Access => "access",
            Self::Range => "range",
            Self::AllocBegin => "alloc_begin",
            Self::AllocEnd => "alloc_end",
            Self::ThreadStart => "thread_start",
            Self::Vectors => "vectors",
            Self::Tell => "tell",
            Self::Turn => "turn",
            Self::Forget => "forget",
        }
    }

    fn params(self) -> &'static [ValType] {
        use ValType::{I32, I64};
        match self {
            Self::Point | Self::Switch => &[I32, I64],
            Self::Done => &[I32, I64, I32, I64, I32],
            Self::Access | Self::AllocBegin => &[I32, I64, I32],
            Self::Range | Self::AllocEnd => &[I32, I64, I64, I32],
            Self::ThreadStart => &[I32, I32],
            Self::Vectors => &[I32, I32, I32, I32, I32],
            Self::Tell => &Table::TELL,
            Self::Turn => &[],
            Self::Forget => &[I64, I64],
        }
    }

    /// Functions that are added first, in this order.
    const ADDED: [Self; 4] = [Self::Vectors, Self::Tell, Self::Turn, Self::Forget];

    fn results(self, choice: &Instrument) -> &'static [ValType] {
        match self {
            Self::Point if choice.yielding => &[ValType::I32],
            Self::Access if choice.once => &[ValType::I32],
            Self::AllocBegin if choice.once && choice.accesses => &[ValType::I64],
            _ => &[],
        }
    }

    /// Whether a module that is instrumented so may call it.
    fn is_chosen(self, choice: &Instrument) -> bool {
        let points = choice.atomics
            || choice.waits
            || choice.fences
            || choice.grows
            || choice.spawns
            || choice.host_calls;
        match self {
            Self::Point => points,
            Self::Switch => points && choice.yielding,
            Self::Done => points && choice.results,
            Self::Access | Self::Range | Self::Vectors => choice.accesses,
            Self::Tell | Self::Turn | Self::Forget => choice.accesses && choice.once,
            Self::AllocBegin | Self::AllocEnd => choice.allocations,
            Self::ThreadStart => choice.threads,
        }
    }
}

/// What code is written by.
#[derive(Default)]
pub(super) struct Info {
    pub(super) memories: Vec<MemoryType>,
    /// The global with the calling context.
    pub(super) context: Option<u32>,
    /// What was told already, if that is asked.
    pub(super) table: Option<Table>,
    /// The import `wasi.thread-spawn`.
    pub(super) spawn: Option<u32>,
    /// Imports that read or write vectors.
    pub(super) buffers: BTreeMap<u32, Buffers>,
    /// Parameters of the functions that are imported.
    pub(super) imported_types: Vec<Vec<ValType>>,
}

/// What a function of WASI's does to vectors.
#[derive(Clone, Copy)]
pub(super) struct Buffers {
    pub(super) kind: SiteKind,
    /// The parameter that says where the number of bytes is written.
    pub(super) done: usize,
}

impl Info {
    pub(super) fn is_64(&self, memory: u32) -> bool {
        let memory = self.memories.get(memory as usize);
        memory.is_some_and(|memory| memory.memory64)
    }

    /// The type of a memory's addresses.
    pub(super) fn address(&self, memory: u32) -> ValType {
        match self.is_64(memory) {
            true => ValType::I64,
            false => ValType::I32,
        }
    }
}

/// New indices of functions.
pub(super) struct Renumber {
    /// Functions that the module imports.
    pub(super) imported: u32,
    /// Hooks, in the order of their indices.
    hooks: Vec<Hook>,
    vectors: u32,
}

impl Renumber {
    /// The index of a hook, which is there if the choice has it.
    pub(super) fn hook(&self, hook: Hook) -> u32 {
        match self.hooks.iter().position(|other| *other == hook) {
            Some(place) => self.imported + place as u32,
            None => {
                let place = Hook::ADDED.iter().position(|other| *other == hook);
                self.vectors.saturating_add(place.unwrap_or(0) as u32)
            }
        }
    }
}

impl Reencode for Renumber {
    type Error = Infallible;

    fn function_index(&mut self, old: u32) -> Result<u32, reencode::Error> {
        Ok(match old < self.imported {
            true => old,
            false => old.saturating_add(self.hooks.len() as u32),
        })
    }
}

/// A function that is written.
pub(super) struct Function {
    /// In the original.
    pub(super) index: u32,
    pub(super) params: u32,
    pub(super) class: Class,
    /// Whether it has no hooks but `thread_start`.
    pub(super) is_hidden: bool,
    /// Where `thread_start` is called.
    pub(super) start: Option<usize>,
}

/// The sections of a module.
#[derive(Default)]
struct Read<'a> {
    types: Option<TypeSectionReader<'a>>,
    imports: Option<ImportSectionReader<'a>>,
    functions: Option<FunctionSectionReader<'a>>,
    tables: Option<TableSectionReader<'a>>,
    own_memories: Option<MemorySectionReader<'a>>,
    globals: Option<GlobalSectionReader<'a>>,
    exports: Option<ExportSectionReader<'a>>,
    start: Option<u32>,
    elements: Option<ElementSectionReader<'a>>,
    /// Those that stay as they are.
    raw: BTreeMap<u8, &'a [u8]>,
    bodies: Vec<FunctionBody<'a>>,
    customs: Vec<CustomSectionReader<'a>>,

    /// Parameters and results of each type that is one of a function.
    signatures: Vec<(Vec<ValType>, Vec<ValType>)>,
    /// The types of all functions.
    function_types: Vec<u32>,
    imported_functions: u32,
    global_count: u32,
    thread_start: Option<u32>,
    names: BTreeMap<u32, &'a str>,
    info: Info,
}

impl<'a> Read<'a> {
    fn new(wasm: &'a [u8]) -> Result<Self, RewriteError> {
        let mut read = Self::default();
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        for payload in parser.parse_all(wasm) {
            read.section(wasm, payload?)?;
        }
        Ok(read)
    }

    fn section(&mut self, wasm: &'a [u8], payload: Payload<'a>) -> Result<(), RewriteError> {
        match payload {
            Payload::TypeSection(section) => {
                self.types = Some(section.clone());
                for ty in section.into_iter_err_on_gc_types() {
                    let ty = ty?;
                    let convert = |types: &[wasmparser::ValType]| {
                        let mut plain = reencode::RoundtripReencoder;
                        let types = types.iter().map(|ty| plain.val_type(*ty));
                        types.collect::<Result<Vec<_>, _>>()
                    };
                    self.signatures
                        .push((convert(ty.params())?, convert(ty.results())?));
                }
            }
            Payload::ImportSection(section) => {
                self.imports = Some(section.clone());
                for import in section.into_imports() {
                    let import = import?;
                    match import.ty {
                        TypeRef::Func(ty) => self.imported(import.module, import.name, ty),
                        TypeRef::Memory(ty) => self.info.memories.push(ty),
                        TypeRef::Global(_) => self.global_count += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                self.functions = Some(section.clone());
                for ty in section {
                    self.function_types.push(ty?);
                }
            }
            Payload::TableSection(section) => self.tables = Some(section),
            Payload::MemorySection(section) => {
                self.own_memories = Some(section.clone());
                for memory in section {
                    self.info.memories.push(memory?);
                }
            }
            Payload::TagSection(section) => self.raw(wasm, SectionId::Tag, section.range()),
            Payload::GlobalSection(section) => {
                self.global_count = self.global_count.saturating_add(section.count());
                self.globals = Some(section);
            }
            Payload::ExportSection(section) => {
                self.exports = Some(section.clone());
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func && export.name == "wasi_thread_start" {
                        self.thread_start = Some(export.index);
                    }
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => self.elements = Some(section),
            Payload::DataCountSection { range, .. } => self.raw(wasm, SectionId::DataCount, range),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::DataSection(section) => self.raw(wasm, SectionId::Data, section.range()),
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    // A section that cannot be read is none.
                    for subsection in names.into_iter().map_while(Result::ok) {
                        if let Name::Function(map) = subsection {
                            let names = map.into_iter().map_while(Result::ok);
                            self.names
                                .extend(names.map(|naming| (naming.index, naming.name)));
                        }
                    }
                }
                self.customs.push(section);
            }
            _ => {}
        }
        Ok(())
    }

    fn raw(&mut self, wasm: &'a [u8], id: SectionId, range: std::ops::Range<usize>) {
        // The range is the parser's, of these same bytes.
        let bytes = wasm.get(range).unwrap_or_default();
        self.raw.insert(id.into(), bytes);
    }

    fn imported(&mut self, module: &str, name: &str, ty: u32) {
        let index = self.imported_functions;
        self.imported_functions += 1;
        self.function_types.push(ty);
        let signature = self.signatures.get(ty as usize).cloned();
        let (params, results) = signature.unwrap_or_default();
        if (module, name) == ("wasi", "thread-spawn") && params == [ValType::I32] {
            self.info.spawn = Some(index);
        }
        let buffers = match name {
            "fd_write" => Some((SiteKind::RangeRead, 3)),
            "fd_pwrite" | "sock_send" => Some((SiteKind::RangeRead, 4)),
            "fd_read" => Some((SiteKind::RangeWrite, 3)),
            "fd_pread" | "sock_recv" => Some((SiteKind::RangeWrite, 4)),
            _ => None,
        };
        if let Some((kind, done)) = buffers
            && module == "wasi_snapshot_preview1"
            && params.starts_with(&[ValType::I32; 3])
            && params.get(done) == Some(&ValType::I32)
            && results == [ValType::I32]
        {
            self.info.buffers.insert(index, Buffers { kind, done });
        }
        self.info.imported_types.push(params);
    }

    fn signature(&self, function: u32) -> (&[ValType], &[ValType]) {
        let ty = self.function_types.get(function as usize);
        let signature = ty.and_then(|ty| self.signatures.get(*ty as usize));
        signature.map_or((&[], &[]), |(params, results)| (params, results))
    }

    /// The allocator's entry that a function is, if its type is that of one.
    fn entry(&self, function: u32) -> Option<(Entry, bool)> {
        let entry = classes::entry(self.names.get(&function)?)?;
        let memory = self.info.memories.first()?;
        let (params, results) = self.signature(function);
        let fits = params.len() == entry.params
            && params.iter().all(|ty| *ty == ValType::I32)
            && match entry.kind {
                SiteKind::Free => results.is_empty(),
                _ => results == [ValType::I32],
            };
        (fits && memory.shared && !memory.memory64).then_some((entry, !results.is_empty()))
    }

    /// What is to be known of a function that the module defines.
    fn function(&self, index: u32, body: &FunctionBody<'_>, choice: &Instrument) -> Function {
        let name = self.names.get(&index).copied().unwrap_or_default();
        let begins =
            self.thread_start == Some(index) && self.signature(index).0 == [ValType::I32; 2];
        let (is_assembly, start) = match begins {
            true => thread_start(body).unwrap_or_default(),
            false => (false, 0),
        };
        Function {
            index,
            params: self.signature(index).0.len() as u32,
            class: Class::of(name),
            is_hidden: is_assembly || self.start == Some(index) || classes::is_hidden(name),
            start: (begins && choice.threads).then_some(start),
        }
    }
}

/// Whether a `wasi_thread_start` is wasi-libc's, in assembly, which has to set up the stack and
/// the thread-local data first; and from which offset on hooks can be called.
fn thread_start(body: &FunctionBody<'_>) -> Option<(bool, usize)> {
    let mut reader = body.get_operators_reader().ok()?;
    let entry = reader.original_position();
    for place in 0..6 {
        let fits = match (place % 3, reader.read().ok()?) {
            (0, Operator::LocalGet { local_index: 1 }) | (2, Operator::GlobalSet { .. }) => true,
            (1, Operator::I32Load { memarg }) => memarg.offset == 4 * (place / 3),
            _ => false,
        };
        if !fits {
            return Some((false, entry));
        }
    }
    Some((true, reader.original_position()))
}

/// Writes the module that `wasm` becomes.
pub(super) fn write(wasm: &[u8], choice: &Instrument) -> Result<Instrumented, RewriteError> {
    limits::check("bytes", wasm.len(), MAX_MODULE_SIZE)?;
    Validator::new_with_features(FEATURES).validate_all(wasm)?;
    let mut read = Read::new(wasm)?;
    let has_names = !read.names.is_empty();
    let shared = read.info.memories.iter().any(|memory| memory.shared);
    if !shared || read.bodies.is_empty() {
        return Ok(Instrumented {
            wasm: wasm.to_vec(),
            offsets: OffsetMap::identity(wasm.len()),
            sites: Vec::new(),
            has_names,
        });
    }
    if choice.contexts {
        read.info.context = Some(read.global_count);
    }
    if choice.accesses && choice.once {
        read.info.table = Some(Table {
            memory: read.info.memories.len() as u32,
            turn: read.global_count.saturating_add(choice.contexts.into()),
        });
    }
    let hooks = Hook::IMPORTED.into_iter();
    let hooks: Vec<Hook> = hooks.filter(|hook| hook.is_chosen(choice)).collect();
    let own = read.function_types.len() + hooks.len();
    let renumber = Renumber {
        imported: read.imported_functions,
        hooks,
        vectors: own as u32,
    };
    Writer {
        read,
        renumber,
        choice,
        added: Vec::new(),
        sites: Vec::new(),
    }
    .write(has_names)
}

struct Writer<'a> {
    read: Read<'a>,
    renumber: Renumber,
    choice: &'a Instrument,
    /// Functions behind the module's own, by their types, with their names.
    added: Vec<(u32, Cow<'a, str>)>,
    sites: Vec<Site>,
}

impl<'a> Writer<'a> {
    fn write(mut self, has_names: bool) -> Result<Instrumented, RewriteError> {
        let (code, offsets) = self.code()?;
        let mut module = Module::new();
        let first_type = self.read.signatures.len() as u32;
        let mut types = TypeSection::new();
        if let Some(old) = self.read.types.clone() {
            self.renumber.parse_type_section(&mut types, old)?;
        }
        let hooks = self.renumber.hooks.clone();
        for hook in hooks.iter().chain(&Hook::ADDED) {
            let results = hook.results(self.choice).iter().copied();
            types.ty().function(hook.params().iter().copied(), results);
        }
        module.section(&types);

        let mut imports = ImportSection::new();
        if let Some(old) = self.read.imports.clone() {
            self.renumber.parse_import_section(&mut imports, old)?;
        }
        for (ty, hook) in (first_type..).zip(&hooks) {
            imports.import(CHECK_MODULE, hook.name(), EntityType::Function(ty));
        }
        module.section(&imports);

        let mut functions = FunctionSection::new();
        if let Some(old) = self.read.functions.clone() {
            self.renumber.parse_function_section(&mut functions, old)?;
        }
        for (ty, _) in &self.added {
            functions.function(*ty);
        }
        module.section(&functions);

        if let Some(old) = self.read.tables.clone() {
            let mut tables = TableSection::new();
            self.renumber.parse_table_section(&mut tables, old)?;
            module.section(&tables);
        }
        self.memories(&mut module)?;
        self.raw(&mut module, SectionId::Tag);
        self.globals(&mut module)?;
        if let Some(old) = self.read.exports.clone() {
            let mut exports = ExportSection::new();
            self.renumber.parse_export_section(&mut exports, old)?;
            module.section(&exports);
        }
        if let Some(old) = self.read.start {
            let function_index = self.renumber.function_index(old)?;
            module.section(&StartSection { function_index });
        }
        if let Some(old) = self.read.elements.clone() {
            let mut elements = wasm_encoder::ElementSection::new();
            self.renumber.parse_element_section(&mut elements, old)?;
            module.section(&elements);
        }
        self.raw(&mut module, SectionId::DataCount);
        module.section(&RawSection {
            id: SectionId::Code.into(),
            data: &code,
        });
        let mut offsets = offsets;
        offsets.shift(module.len() - code.len());
        self.raw(&mut module, SectionId::Data);
        self.customs(&mut module);
        limits::check("bytes", module.len(), MAX_MODULE_SIZE)?;
        Ok(Instrumented {
            wasm: module.finish(),
            offsets,
            sites: self.sites,
            has_names,
        })
    }

    fn raw(&self, module: &mut Module, id: SectionId) {
        let id = id.into();
        if let Some(data) = self.read.raw.get(&id) {
            module.section(&RawSection { id, data });
        }
    }

    fn memories(&mut self, module: &mut Module) -> Result<(), RewriteError> {
        let mut memories = MemorySection::new();
        if let Some(old) = self.read.own_memories.clone() {
            self.renumber.parse_memory_section(&mut memories, old)?;
        }
        if self.read.info.table.is_some() {
            memories.memory(Table::MEMORY);
        }
        if !memories.is_empty() {
            module.section(&memories);
        }
        Ok(())
    }

    fn globals(&mut self, module: &mut Module) -> Result<(), RewriteError> {
        let mut globals = GlobalSection::new();
        if let Some(old) = self.read.globals.clone() {
            self.renumber.parse_global_section(&mut globals, old)?;
        }
        let variable = |val_type| wasm_encoder::GlobalType {
            val_type,
            mutable: true,
            shared: false,
        };
        if self.read.info.context.is_some() {
            let ty = variable(ValType::I32);
            globals.global(ty, &wasm_encoder::ConstExpr::i32_const(0));
        }
        if self.read.info.table.is_some() {
            let ty = variable(ValType::I64);
            globals.global(ty, &wasm_encoder::ConstExpr::i64_const(Table::FIRST));
        }
        if !globals.is_empty() {
            module.section(&globals);
        }
        Ok(())
    }

    /// The contents of the code section, and where they came from, counted from their start.
    fn code(&mut self) -> Result<(Vec<u8>, OffsetMap), RewriteError> {
        let mut functions: Vec<(Vec<u8>, Vec<Mark>)> = Vec::new();
        let mut moved = Vec::new();
        let vectors_type = self.read.signatures.len() + self.renumber.hooks.len();
        if self.choice.accesses {
            self.added
                .push((vectors_type as u32, Hook::Vectors.name().into()));
            let range = self.renumber.hook(Hook::Range);
            let vectors = wrapper::vectors(range, self.read.info.is_64(0)).into_raw_body();
            moved.push((vectors, Vec::new()));
        }
        if let Some(table) = self.read.info.table {
            let tell = table.tell(self.renumber.hook(Hook::Access));
            let forget = table.forget(self.renumber.hook(Hook::Turn));
            let all = [
                (Hook::Tell, tell),
                (Hook::Turn, table.next()),
                (Hook::Forget, forget),
            ];
            for (ty, (hook, function)) in (vectors_type + 1..).zip(all) {
                self.added.push((ty as u32, hook.name().into()));
                moved.push((function.into_raw_body(), Vec::new()));
            }
        }
        let table = self.read.info.table;
        let mut calls = 0;
        for (index, body) in (self.read.imported_functions..).zip(&self.read.bodies) {
            let function = self.read.function(index, body, self.choice);
            let written = body::Writer::new(
                self.choice,
                &self.read.info,
                &mut self.renumber,
                &mut self.sites,
                &mut calls,
                function,
            )
            .write(body)?;
            let written = (written.bytes, written.marks);
            let entry = self.read.entry(index).filter(|_| self.choice.allocations);
            let Some((entry, has_result)) = entry else {
                functions.push(written);
                continue;
            };
            let at = body.get_operators_reader()?.original_position();
            let site = self.sites.len() as u32;
            self.sites.push(Site {
                function: index,
                offset: at,
                kind: entry.kind,
                width: 0,
                memory: 0,
                class: Class::Allocator,
            });
            let wrapper = Wrapper {
                entry,
                site,
                body: self.renumber.vectors.saturating_add(moved.len() as u32),
                context: self.read.info.context,
                has_result,
                hooks: (
                    self.renumber.hook(Hook::AllocBegin),
                    self.renumber.hook(Hook::AllocEnd),
                ),
                forget: table.map(|_| self.renumber.hook(Hook::Forget)),
            };
            let mark = Mark {
                at: 0,
                original: at,
                replaced: true,
            };
            functions.push((wrapper.function().into_raw_body(), vec![mark]));
            moved.push(written);
            let ty = self.read.function_types.get(index as usize).copied();
            let name = self.read.names.get(&index).copied().unwrap_or_default();
            self.added
                .push((ty.unwrap_or_default(), format!("body of {name}").into()));
        }
        functions.append(&mut moved);
        let mut bytes = Vec::new();
        let mut offsets = OffsetMap::default();
        functions.len().encode(&mut bytes);
        for (body, marks) in functions {
            body.len().encode(&mut bytes);
            let base = bytes.len();
            offsets.added(base);
            for mark in marks {
                match mark.replaced {
                    true => offsets.replaced(base + mark.at, mark.original),
                    false => offsets.copied(base + mark.at, mark.original),
                }
            }
            bytes.extend(body);
            offsets.added(bytes.len());
        }
        Ok((bytes, offsets))
    }

    fn customs(&mut self, module: &mut Module) {
        let mut named = false;
        for section in std::mem::take(&mut self.read.customs) {
            if let KnownCustom::Name(old) = section.as_known() {
                // A second would name what is named already.
                if !named {
                    named = true;
                    module.section(&self.names(old));
                }
            } else if is_kept(section.name()) {
                module.section(&CustomSection::from(section));
            }
        }
    }

    /// The names under new indices, as far as they can be read.
    fn names(&mut self, old: wasmparser::NameSectionReader<'_>) -> NameSection {
        let mut names = NameSection::new();
        for subsection in old.into_iter().map_while(Result::ok) {
            if !matches!(subsection, Name::Function(_)) {
                // What cannot be read is left out: it writes all or nothing.
                let _ = self
                    .renumber
                    .parse_custom_name_subsection(&mut names, subsection);
                continue;
            }
            let mut functions = NameMap::new();
            let imported = self.renumber.imported;
            let hooks = self.renumber.hooks.len() as u32;
            let (before, after): (Vec<_>, Vec<_>) = self
                .read
                .names
                .iter()
                .partition(|(index, _)| **index < imported);
            for (index, name) in before {
                functions.append(*index, name);
            }
            for (index, hook) in (imported..).zip(&self.renumber.hooks) {
                functions.append(index, &format!("{CHECK_MODULE}:{}", hook.name()));
            }
            for (index, name) in after {
                functions.append(index.saturating_add(hooks), name);
            }
            for (index, (_, name)) in (self.renumber.vectors..).zip(&self.added) {
                functions.append(index, name);
            }
            names.functions(&functions);
        }
        names
    }
}
