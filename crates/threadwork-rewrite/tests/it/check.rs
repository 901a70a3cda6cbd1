//! What must hold of every rewritten module, worked out from the two files alone
//! and without a line of the rewriter.

use std::collections::BTreeMap;

use threadwork_rewrite::{
    ENTER, FEATURES, HOST_MODULE, MEMORY, RESERVED, RESET, Rewritten, SyncOp,
};
use wasmparser::{
    DataKind, ElementItems, ElementKind, ExternalKind, FunctionBody, Operator, Parser, Payload,
    TypeRef, Validator,
};

/// A module, taken apart.
#[derive(Default)]
struct Parts<'a> {
    imported_functions: u32,
    /// Sharedness, and whether imported.
    memories: Vec<(bool, bool)>,
    imports: Vec<(&'a str, &'a str)>,
    exports: Vec<(&'a str, ExternalKind, u32)>,
    start: Option<u32>,
    globals: Vec<String>,
    tables: Vec<String>,
    tags: Vec<String>,
    types: Vec<String>,
    /// As text, with functions and memories numbered as in the rewritten module.
    elements: Vec<String>,
    data: Vec<(Option<u32>, &'a [u8])>,
    bodies: Vec<Vec<(usize, Operator<'a>)>>,
    locals: Vec<Vec<u8>>,
    /// The contents of the code section.
    code: &'a [u8],
    table_changes: bool,
    imports_state: bool,
}

impl<'a> Parts<'a> {
    fn of(wasm: &'a [u8], numbering: &Numbering) -> Self {
        let mut parts = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::TypeSection(section) => {
                    parts.types = section.into_iter().map(|t| format!("{t:?}")).collect();
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.unwrap();
                        parts.imports.push((import.module, import.name));
                        match import.ty {
                            TypeRef::Func(_) => parts.imported_functions += 1,
                            TypeRef::Memory(ty) => parts.memories.push((ty.shared, true)),
                            TypeRef::Table(_) => parts.imports_state = true,
                            TypeRef::Global(ty) => parts.imports_state |= ty.mutable,
                            _ => {}
                        }
                    }
                }
                Payload::TableSection(section) => {
                    parts.tables = section
                        .into_iter()
                        .map(|t| format!("{:?}", t.unwrap().ty))
                        .collect();
                }
                Payload::MemorySection(section) => {
                    for ty in section {
                        parts.memories.push((ty.unwrap().shared, false));
                    }
                }
                Payload::TagSection(section) => {
                    parts.tags = section.into_iter().map(|t| format!("{t:?}")).collect();
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        let global = global.unwrap();
                        let init = constant(global.init_expr.get_operators_reader(), numbering);
                        parts.globals.push(format!("{:?} {init}", global.ty));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.unwrap();
                        parts.exports.push((export.name, export.kind, export.index));
                    }
                }
                Payload::StartSection { func, .. } => parts.start = Some(func),
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element.unwrap();
                        let kind = match element.kind {
                            ElementKind::Passive => "passive".to_owned(),
                            ElementKind::Declared => "declared".to_owned(),
                            ElementKind::Active {
                                table_index,
                                offset_expr,
                            } => {
                                let offset =
                                    constant(offset_expr.get_operators_reader(), numbering);
                                format!("table {} {offset}", table_index.unwrap_or(0))
                            }
                        };
                        let items: Vec<String> = match element.items {
                            ElementItems::Functions(functions) => functions
                                .into_iter()
                                .map(|f| numbering.function(f.unwrap()).to_string())
                                .collect(),
                            ElementItems::Expressions(_, expressions) => expressions
                                .into_iter()
                                .map(|e| constant(e.unwrap().get_operators_reader(), numbering))
                                .collect(),
                        };
                        parts.elements.push(format!("{kind}: {items:?}"));
                    }
                }
                Payload::DataSection(section) => {
                    for data in section {
                        let data = data.unwrap();
                        let memory = match data.kind {
                            DataKind::Passive => None,
                            DataKind::Active { memory_index, .. } => Some(memory_index),
                        };
                        parts.data.push((memory, data.data));
                    }
                }
                Payload::CodeSectionStart { range, .. } => parts.code = &wasm[range],
                Payload::CodeSectionEntry(body) => parts.body(&body),
                _ => {}
            }
        }
        parts
    }

    fn body(&mut self, body: &FunctionBody<'a>) {
        let mut reader = body.get_operators_reader().unwrap();
        let locals = reader.original_position() - body.range().start;
        self.locals.push(body.as_bytes()[..locals].to_vec());
        let mut operators = Vec::new();
        while !reader.eof() {
            let at = reader.original_position();
            let operator = reader.read().unwrap();
            self.table_changes |= matches!(
                operator,
                Operator::TableSet { .. }
                    | Operator::TableGrow { .. }
                    | Operator::TableFill { .. }
                    | Operator::TableCopy { .. }
                    | Operator::TableInit { .. }
            );
            operators.push((at, operator));
        }
        self.bodies.push(operators);
    }
}

fn constant(reader: wasmparser::OperatorsReader<'_>, numbering: &Numbering) -> String {
    let operators = reader.into_iter().map(|o| numbering.show(&o.unwrap()));
    operators.collect::<Vec<_>>().join(" ")
}

/// How the old indices are called in the new module.
#[derive(Default)]
struct Numbering {
    imported_functions: u32,
    added_imports: u32,
    memories: Vec<u32>,
}

impl Numbering {
    fn function(&self, old: u32) -> u32 {
        if old < self.imported_functions {
            old
        } else {
            old + self.added_imports
        }
    }

    fn memory(&self, old: u32) -> u32 {
        self.memories.get(old as usize).copied().unwrap_or(old)
    }

    /// An operator as text, under its new indices.
    fn show(&self, operator: &Operator<'_>) -> String {
        let mut text = format!("{operator:?}");
        for key in ["function_index: ", "memory: ", "mem: "] {
            let mut done = String::new();
            while let Some((before, after)) = text.split_once(key) {
                let digits =
                    after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let old: u32 = after[..digits].parse().unwrap();
                let new = if key == "function_index: " {
                    self.function(old)
                } else {
                    self.memory(old)
                };
                done += &format!("{before}{key}{new}");
                text = after[digits..].to_owned();
            }
            text = done + &text;
        }
        for key in ["src_mem: ", "dst_mem: "] {
            assert!(
                !text.contains(key) || key.ends_with("mem: "),
                "covered by `mem: `"
            );
        }
        text
    }
}

/// Checks everything that must hold of `new`, made from `old`.
pub(crate) fn check(old: &[u8], new: &Rewritten) {
    Validator::new_with_features(FEATURES)
        .validate_all(&new.wasm)
        .unwrap_or_else(|error| panic!("the rewritten module is invalid: {error}"));

    let mut numbering = Numbering::default();
    let before = Parts::of(old, &numbering);
    numbering.imported_functions = before.imported_functions;
    numbering.added_imports = new.sync.len() as u32;
    // Imported memories first, then shared ones, then the rest; in order.
    let mut order: Vec<usize> = (0..before.memories.len()).collect();
    order.sort_by_key(|&memory| match before.memories[memory] {
        (_, true) => 0,
        (true, false) => 1,
        (false, false) => 2,
    });
    numbering.memories = vec![0; order.len()];
    for (new, &old) in order.iter().enumerate() {
        numbering.memories[old] = new as u32;
    }
    let before = Parts::of(old, &numbering);
    let after = Parts::of(&new.wasm, &Numbering::default());
    let shared = before.memories.iter().any(|&(shared, _)| shared);

    check_sections(&before, &after, &numbering, new, shared);
    check_code(&before, &after, &numbering, new, shared);
}

fn check_sections(
    before: &Parts<'_>,
    after: &Parts<'_>,
    numbering: &Numbering,
    new: &Rewritten,
    shared: bool,
) {
    // What was there is still there, in front of what was added.
    assert_eq!(after.types[..before.types.len()], before.types);
    assert_eq!(after.imports[..before.imports.len()], before.imports);
    assert!(
        after.imports[before.imports.len()..]
            .iter()
            .all(|i| i.0 == HOST_MODULE)
    );
    assert_eq!(after.tables, before.tables);
    assert_eq!(after.tags, before.tags);
    assert_eq!(after.elements, before.elements);
    assert_eq!(after.globals[..before.globals.len()], before.globals);
    assert_eq!(after.locals[..before.locals.len()], before.locals);
    let exports: Vec<_> = before
        .exports
        .iter()
        .map(|&(name, kind, index)| {
            let index = match kind {
                ExternalKind::Func => numbering.function(index),
                ExternalKind::Memory => numbering.memory(index),
                _ => index,
            };
            (name, kind, index)
        })
        .collect();
    assert_eq!(after.exports[..exports.len()], exports);

    // Every shared memory is an import, as listed.
    let mut listed = BTreeMap::new();
    for memory in &new.memories {
        listed.insert(
            memory.index as usize,
            (memory.module.as_str(), memory.name.as_str()),
        );
    }
    for (index, &(is_shared, imported)) in after.memories.iter().enumerate() {
        assert_eq!(listed.contains_key(&index), is_shared);
        assert!(imported || !is_shared);
        if is_shared {
            assert!(after.imports.contains(&listed[&index]));
        }
    }
    for sync in &new.sync {
        assert!(after.imports.contains(&(HOST_MODULE, &sync.name)));
        assert!(
            after.memories[sync.memory as usize].0,
            "only shared memories"
        );
    }

    // The exports that were added.
    let export = |name: &str| {
        after
            .exports
            .iter()
            .find(|e| e.0 == name)
            .map(|e| (e.1, e.2))
    };
    let named = before.exports.iter();
    let mut named = named
        .filter(|e| e.0 == "memory" && e.1 == ExternalKind::Memory)
        .map(|e| e.2);
    let wasi = named.next_back().unwrap_or(0);
    let memory = before.memories.get(wasi as usize);
    assert_eq!(new.wasi_memory, memory.map(|_| numbering.memory(wasi)));
    let own = memory.is_some_and(|memory| !memory.0);
    assert_eq!(
        export(MEMORY),
        own.then(|| (ExternalKind::Memory, numbering.memory(wasi)))
    );
    assert_eq!(export(ENTER).is_some(), new.has_enter);
    assert_eq!(export(RESET).is_some(), new.has_reset);
    let added = after
        .exports
        .iter()
        .filter(|e| e.0.starts_with(RESERVED))
        .count();
    assert_eq!(added, after.exports.len() - before.exports.len());

    // Data keeps its bytes; nothing happens at instantiation that ENTER must do.
    let active = before.data.iter().any(|data| data.0.is_some());
    assert_eq!(new.has_enter, before.start.is_some() || shared && active);
    for (old, new) in before.data.iter().zip(&after.data) {
        assert_eq!(old.1, new.1);
        assert_eq!(new.0, old.0.filter(|_| !shared));
    }
    assert!(
        after.data[before.data.len()..]
            .iter()
            .all(|data| data.0.is_none())
    );
    if !shared && !new.has_enter {
        assert_eq!(after.code, before.code, "code is copied, padding and all");
    }
    assert_eq!(after.start, None);

    let reusable = shared
        && before.memories.iter().all(|memory| memory.0)
        && !before.table_changes
        && !before.imports_state;
    assert_eq!(new.has_reset, reusable);
}

/// Walks old and new code side by side.
fn check_code(
    before: &Parts<'_>,
    after: &Parts<'_>,
    numbering: &Numbering,
    new: &Rewritten,
    shared: bool,
) {
    let original = |at: usize| new.offsets.original(at);
    let (kept, added) = after.bodies.split_at(before.bodies.len());
    for (old, new_body) in before.bodies.iter().zip(kept) {
        let mut rest = new_body.as_slice();
        for (old_at, operator) in old {
            let stands_for = |n: usize| {
                for (at, operator) in &rest[..n] {
                    let from = original(*at);
                    assert_eq!(from, Some(*old_at), "{operator:?} at {at:#x}");
                }
                &rest[..n]
            };
            let sync =
                sync_op(operator).filter(|&(_, memory, _)| before.memories[memory as usize].0);
            let n = if let Some((op, memory, offset)) = sync {
                // A constant, if there is an offset, and the call of the import.
                let n = usize::from(offset.is_some()) + 1;
                let operators = stands_for(n);
                if let Some(offset) = offset {
                    assert_eq!(
                        operators[0].1,
                        Operator::I64Const {
                            value: offset as i64
                        }
                    );
                }
                let Operator::Call { function_index } = operators[n - 1].1 else {
                    panic!("{operator:?} became {operators:?}");
                };
                let import = &new.sync[(function_index - numbering.imported_functions) as usize];
                assert_eq!((import.op, import.memory), (op, numbering.memory(memory)));
                n
            } else if shared && is_segment_op(operator) {
                let now = &rest[0].1;
                let n = match now {
                    Operator::I32Const { .. } => 2, // and the flag is set
                    _ => 1,
                };
                stands_for(n);
                assert!(
                    matches!(
                        (operator, now),
                        (
                            Operator::DataDrop { .. },
                            Operator::Nop | Operator::I32Const { value: 1 }
                        ) | (
                            Operator::MemoryInit { .. },
                            Operator::Call { .. } | Operator::MemoryInit { .. }
                        ) | (Operator::DataDrop { .. }, Operator::DataDrop { .. })
                    ),
                    "{operator:?} became {now:?}",
                );
                n
            } else {
                // The same operator, under new indices.
                let now = &stands_for(1)[0].1;
                assert_eq!(numbering.show(operator), format!("{now:?}"));
                1
            };
            rest = &rest[n..];
        }
        assert!(
            rest.is_empty(),
            "something was added to a function: {rest:?}"
        );
    }
    for (at, operator) in added.iter().flatten() {
        assert_eq!(original(*at), None, "{operator:?} was added");
    }
    assert_eq!(original(new.wasm.len()), None);
}

fn is_segment_op(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::DataDrop { .. } | Operator::MemoryInit { .. }
    )
}

fn sync_op(operator: &Operator<'_>) -> Option<(SyncOp, u32, Option<u64>)> {
    Some(match *operator {
        Operator::MemoryAtomicWait32 { memarg } => {
            (SyncOp::Wait32, memarg.memory, Some(memarg.offset))
        }
        Operator::MemoryAtomicWait64 { memarg } => {
            (SyncOp::Wait64, memarg.memory, Some(memarg.offset))
        }
        Operator::MemoryAtomicNotify { memarg } => {
            (SyncOp::Notify, memarg.memory, Some(memarg.offset))
        }
        Operator::MemoryGrow { mem } => (SyncOp::Grow, mem, None),
        _ => return None,
    })
}
