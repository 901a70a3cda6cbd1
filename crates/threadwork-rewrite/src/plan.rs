//! Everything that will be added to a module, with its index, decided before the
//! first byte is written.
//!
//! Invariant: what is added to an index space goes where it moves the least.
//! Types, globals, data segments and defined functions go last and move nothing.
//! Imported functions go after the module's own imports and move its defined
//! functions up by their number. A defined shared memory becomes the last imported
//! one, which moves memories only if an unshared one was defined before it.

use std::{collections::BTreeMap, convert::Infallible};

use wasm_encoder::{
    ValType,
    reencode::{Error, Reencode},
};

use crate::{
    HOST_MODULE, RewriteError, SharedMemoryImport, Stopping, SyncImport,
    limits::{self, MAX_INTERFACE_SIZE, MAX_ITEMS, MAX_MEMORIES, MAX_SEGMENTS},
    pieces::{self, Operation},
    polls::Look,
    reset,
    scan::Scan,
    sync_ops::{SyncOp, SyncUse},
};

/// Bytes in a page of memory.
const PAGE: u64 = 1 << 16;

/// What becomes of a module.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) renumber: Renumber,
    pub(crate) types: AddedTypes,
    /// Imports of host functions, each with its type.
    pub(crate) sync: Vec<(SyncImport, u32)>,
    /// Every shared memory.
    pub(crate) memories: Vec<SharedMemoryImport>,
    /// Functions to define, each with its type.
    pub(crate) functions: Vec<(AddedFunction, u32)>,
    /// For each segment that the program drops by a flag, the global that is it.
    pub(crate) flags: BTreeMap<u32, u32>,
    /// A passive segment without bytes: what a dropped segment behaves like.
    pub(crate) empty_segment: Option<u32>,
    /// All active segments move into `ENTER`.
    pub(crate) defers_data: bool,
    pub(crate) has_enter: bool,
    pub(crate) has_reset: bool,
    pub(crate) stop_function: Option<u32>,
    pub(crate) stack: Option<StackCheck>,
    /// The memory that WASI works on, as the rewritten module counts.
    pub(crate) wasi_memory: Option<u32>,
    /// That memory, if it is to be exported as `MEMORY`.
    pub(crate) exported_memory: Option<u32>,
    /// The memory that polls read.
    pub(crate) poll_memory: Option<u32>,
    /// What code does instead, if it is to look at bytes of its own memory.
    pub(crate) stop_look: Option<Look>,

    first_sync: u32,
    first_function: u32,
    sync_functions: BTreeMap<(u32, SyncOp), u32>,
    init_functions: BTreeMap<(u32, u32), u32>,
    pieces: BTreeMap<Operation<u32>, u32>,
    active_segments: Vec<bool>,
}

/// A function that the rewriter defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddedFunction {
    /// `memory.init` of a segment that has a flag. Memories are counted as in the
    /// module as it was.
    Init {
        segment: u32,
        memory: u32,
    },
    Pieces(Operation<u32>),
    /// Calls an imported function, with a poll after it: see [`crate::wrapper`].
    Wrapper(u32),
    Enter,
    Reset,
    Stop,
    StackOverflow,
    /// Finds where a thread's stack ends.
    StackBounds,
}

/// What is added to check the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackCheck {
    /// The global with the least that the pointer may be.
    pub(crate) low: u32,
    /// The global with the stack's size.
    pub(crate) size: u32,
    /// The function to call when it is less.
    pub(crate) overflow: u32,
    /// The function to call when a thread starts, and the place of the first operator
    /// that it then executes.
    pub(crate) bounds: Option<(usize, u32)>,
}

/// What stands for a `memory.init`.
pub(crate) enum InitEdit {
    Keep,
    FromSegment(u32),
    Call(u32),
}

/// What stands for a `data.drop`.
pub(crate) enum DropEdit {
    Keep,
    Nothing,
    SetFlag(u32),
}

impl Plan {
    /// Decides.
    pub(crate) fn new(scan: &Scan<'_>) -> Result<Self, RewriteError> {
        let mut plan = Self {
            types: AddedTypes::after(scan.counts.types),
            renumber: Renumber::identity(scan.memories.len()),
            first_sync: scan.counts.imported_functions,
            ..Self::default()
        };
        if scan.has_shared_memory() || scan.has_polls() {
            plan.renumber_memories(scan);
        }
        if scan.has_shared_memory() {
            plan.import_sync_functions(scan);
        }
        plan.first_function = scan.counts.functions + plan.sync.len() as u32;
        plan.defer_start(scan);
        if scan.has_shared_memory() {
            plan.allow_reset(scan)?;
        }
        plan.cut_into_pieces(scan);
        plan.wrap_references(scan);
        plan.allow_stop(scan);
        plan.check_stack(scan);
        plan.look_for_stops(scan);
        plan.export_memory(scan);
        plan.check_limits(scan)?;
        Ok(plan)
    }

    /// The function to call for an operator on a shared memory.
    pub(crate) fn sync_call(&self, use_: SyncUse) -> Option<u32> {
        self.sync_functions.get(&(use_.memory, use_.op)).copied()
    }

    /// What to do about a `memory.init`.
    pub(crate) fn init_edit(&self, segment: u32, memory: u32) -> InitEdit {
        // No code of the module runs before its active segments are dropped.
        if let Some(empty) = self.empty_segment
            && self.is_active(segment)
        {
            return InitEdit::FromSegment(empty);
        }
        let flagged = self.init_functions.get(&(segment, memory)).copied();
        let to = memory;
        match flagged.or_else(|| self.pieces_call(Operation::Init { to, segment })) {
            Some(function) => InitEdit::Call(function),
            None => InitEdit::Keep,
        }
    }

    /// The function that does an operation in pieces.
    pub(crate) fn pieces_call(&self, operation: Operation<u32>) -> Option<u32> {
        self.pieces.get(&operation).copied()
    }

    /// A memory, as the rewritten module counts.
    pub(crate) fn address_of(&self, scan: &Scan<'_>, old: u32) -> pieces::Memory {
        pieces::Memory {
            index: self.renumber.memory(old),
            memory64: self.is_memory64(scan, old),
        }
    }

    /// What to do about a `data.drop`.
    pub(crate) fn drop_edit(&self, segment: u32) -> DropEdit {
        match self.flags.get(&segment) {
            Some(&flag) => DropEdit::SetFlag(flag),
            // Active segments are dropped already, and without a `memory.init`
            // nobody can tell whether a segment is.
            None if self.has_reset || self.is_active(segment) => DropEdit::Nothing,
            None => DropEdit::Keep,
        }
    }

    /// The index of the first function that the rewriter imports.
    pub(crate) fn first_sync(&self) -> u32 {
        self.first_sync
    }

    /// The functions to define, each with its index.
    pub(crate) fn indexed_functions(&self) -> impl Iterator<Item = (u32, AddedFunction)> {
        (self.first_function..).zip(self.functions.iter().map(|&(function, _)| function))
    }

    fn is_active(&self, segment: u32) -> bool {
        let active = self.active_segments.get(segment as usize);
        active.copied().unwrap_or(false)
    }

    fn renumber_memories(&mut self, scan: &Scan<'_>) {
        let stays = |memory: &crate::scan::Memory<'_>| memory.import.is_none() && !memory.ty.shared;
        if scan.has_polls() {
            let imported = scan.memories.iter().filter(|memory| !stays(memory));
            self.poll_memory = Some(imported.count() as u32);
        }
        for (place, (old, memory)) in (0..).zip(scan.memories_in_order()) {
            let moved = self.poll_memory.is_some() && stays(memory);
            let new = place + u32::from(moved);
            if let Some(slot) = self.renumber.memories.get_mut(old as usize) {
                *slot = new;
            }
            if memory.ty.shared {
                let (module, name) = match memory.import {
                    Some((module, name)) => (module.to_owned(), name.to_owned()),
                    None => (HOST_MODULE.to_owned(), format!("memory:{new}")),
                };
                self.memories.push(SharedMemoryImport {
                    index: new,
                    module,
                    name,
                    minimum: memory.ty.initial,
                    maximum: memory.ty.maximum,
                    memory64: memory.ty.memory64,
                });
            }
        }
    }

    fn import_sync_functions(&mut self, scan: &Scan<'_>) {
        self.renumber.first_moved = self.first_sync;
        for &(old, op) in &scan.sync {
            let memory = self.renumber.memory(old);
            let memory64 = self.is_memory64(scan, old);
            let (params, results) = op.signature(address_type(memory64));
            let ty = self.types.intern(params, results);
            let function = self.first_sync + self.sync.len() as u32;
            self.sync_functions.insert((old, op), function);
            let name = op.field(memory);
            let import = SyncImport {
                op,
                memory,
                memory64,
                name,
            };
            self.sync.push((import, ty));
        }
        self.renumber.moved_by = self.sync.len() as u32;
    }

    fn defer_start(&mut self, scan: &Scan<'_>) {
        if scan.has_shared_memory() {
            self.defers_data = true;
            let active = scan.segments.iter().map(|segment| segment.memory.is_some());
            self.active_segments = active.collect();
            let mut read = scan.inits.iter().map(|&(segment, _)| segment);
            if read.any(|segment| self.is_active(segment)) {
                self.need_empty_segment(scan);
            }
        }
        if scan.start.is_some() || self.active_segments.contains(&true) {
            let ty = self.types.intern(vec![ValType::I32], vec![]);
            self.add(AddedFunction::Enter, ty);
            self.has_enter = true;
        }
    }

    fn allow_reset(&mut self, scan: &Scan<'_>) -> Result<(), RewriteError> {
        let unshared = scan.memories.iter().any(|memory| !memory.ty.shared);
        if scan.keeps_state || unshared || !reset::fits(scan)? {
            return Ok(());
        }
        self.has_reset = true;
        let ty = self.types.intern(vec![], vec![]);
        self.add(AddedFunction::Reset, ty);
        for &(segment, old) in &scan.inits {
            if self.is_active(segment) || !scan.drops.contains(&segment) {
                continue;
            }
            let next = scan.counts.globals + self.flags.len() as u32;
            self.flags.entry(segment).or_insert(next);
            self.need_empty_segment(scan);
            let address = address_type(self.is_memory64(scan, old));
            let params = vec![address, ValType::I32, ValType::I32];
            let ty = self.types.intern(params, vec![]);
            let memory = old;
            let index = self.add(AddedFunction::Init { segment, memory }, ty);
            self.init_functions.insert((segment, old), index);
        }
        Ok(())
    }

    fn cut_into_pieces(&mut self, scan: &Scan<'_>) {
        let bulk = scan.bulk.iter().copied();
        // What the code of the module reads of active segments is empty.
        let passive = |&(segment, _): &(u32, u32)| scan.active_memory(segment).is_none();
        let inits = scan.inits.iter().copied().filter(passive);
        let active = scan.deferred_segments();
        let inits = inits
            .chain(active)
            .filter(|&(segment, _)| scan.is_large(segment))
            .map(|(segment, to)| Operation::Init { to, segment });
        for operation in bulk.chain(inits) {
            let params = operation.map(|old| self.address_of(scan, old)).params();
            let ty = self.types.intern(params, vec![]);
            let index = self.add(AddedFunction::Pieces(operation), ty);
            self.pieces.insert(operation, index);
        }
    }

    fn wrap_references(&mut self, scan: &Scan<'_>) {
        for &function in &scan.references {
            if let Some(ty) = scan.embedder_type(function) {
                let index = self.add(AddedFunction::Wrapper(function), ty);
                self.renumber.wrappers.insert(function, index);
            }
        }
    }

    /// For each function that has a wrapper, the index of that.
    pub(crate) fn wrappers(&self) -> &BTreeMap<u32, u32> {
        &self.renumber.wrappers
    }

    fn allow_stop(&mut self, scan: &Scan<'_>) {
        if scan.stopping == Stopping::BySignal && !scan.bodies.is_empty() {
            let ty = self.types.intern(vec![], vec![]);
            self.stop_function = Some(self.add(AddedFunction::Stop, ty));
        }
    }

    fn look_for_stops(&mut self, scan: &Scan<'_>) {
        if !scan.has_stop_page {
            return;
        }
        self.stop_look = self.memories.first().map(|memory| Look {
            memory: memory.index,
            memory64: memory.memory64,
            address: memory.minimum.saturating_sub(1) * PAGE,
            global: scan.counts.globals + self.flags.len() as u32 + self.stack_globals(),
        });
    }

    fn stack_globals(&self) -> u32 {
        if self.stack.is_some() { 2 } else { 0 }
    }

    fn check_stack(&mut self, scan: &Scan<'_>) {
        let Some(stack) = scan.checked_stack() else {
            return;
        };
        let low = scan.counts.globals + self.flags.len() as u32;
        let ty = self.types.intern(vec![], vec![]);
        let overflow = self.add(AddedFunction::StackOverflow, ty);
        let bounds = stack.thread_start.map(|start| {
            let ty = self.types.intern(vec![ValType::I32], vec![]);
            (start.entry, self.add(AddedFunction::StackBounds, ty))
        });
        self.stack = Some(StackCheck {
            low,
            size: low + 1,
            overflow,
            bounds,
        });
    }

    /// Adds a function; returns its index.
    fn add(&mut self, function: AddedFunction, ty: u32) -> u32 {
        self.functions.push((function, ty));
        self.first_function + (self.functions.len() - 1) as u32
    }

    fn need_empty_segment(&mut self, scan: &Scan<'_>) {
        self.empty_segment = Some(scan.segments.len() as u32);
    }

    fn export_memory(&mut self, scan: &Scan<'_>) {
        let old = scan.wasi_memory();
        if let Some(memory) = scan.memories.get(old as usize) {
            let new = self.renumber.memory(old);
            self.wasi_memory = Some(new);
            self.exported_memory = (!memory.ty.shared).then_some(new);
        }
    }

    fn is_memory64(&self, scan: &Scan<'_>, old: u32) -> bool {
        let memory = scan.memories.get(old as usize);
        memory.is_some_and(|memory| memory.ty.memory64)
    }

    /// Whether the module has to change at all.
    pub(crate) fn changes_anything(&self, scan: &Scan<'_>) -> bool {
        // Without an addition, code changes only through `data.drop` of an active
        // segment, and then there is an `ENTER`.
        let promoted = scan.memories.iter().any(is_promoted);
        promoted
            || !self.sync.is_empty()
            || !self.functions.is_empty()
            || self.exported_memory.is_some()
            || self.poll_memory.is_some()
            || self.stop_look.is_some()
            || scan.has_barriers()
    }

    /// What the additions to imports and exports count for.
    fn added_interface(&self, scan: &Scan<'_>) -> usize {
        let promoted = scan.memories.iter().filter(|m| is_promoted(m)).count();
        let sync = self.sync.iter().map(|(import, _)| {
            let (params, results) = import.op.signature(address_type(import.memory64));
            limits::function_size(params.len(), results.len())
        });
        let enter = usize::from(self.has_enter) * limits::function_size(1, 0);
        let reset = usize::from(self.has_reset) * limits::function_size(0, 0);
        let stop = usize::from(self.stop_function.is_some()) * limits::function_size(0, 0);
        // A function and two globals.
        let stack = usize::from(self.stack.is_some()) * (limits::function_size(0, 0) + 2);
        let look = usize::from(self.stop_look.is_some());
        let memory =
            usize::from(self.exported_memory.is_some()) + usize::from(self.poll_memory.is_some());
        promoted + sync.sum::<usize>() + enter + reset + stop + stack + look + memory
    }

    fn check_limits(&self, scan: &Scan<'_>) -> Result<(), RewriteError> {
        let counts = &scan.counts;
        let (types, segments) = (self.types.list.len(), scan.segments.len());
        let globals = self.flags.len()
            + self.stack_globals() as usize
            + usize::from(self.stop_look.is_some());
        let functions = self.sync.len() + self.functions.len();
        let empty = usize::from(self.empty_segment.is_some());
        let polls = usize::from(self.poll_memory.is_some());
        let declares = usize::from(!self.wrappers().is_empty());
        for (what, has, added, limit) in [
            ("types", counts.types as usize, types, MAX_ITEMS),
            ("functions", counts.functions as usize, functions, MAX_ITEMS),
            ("globals", counts.globals as usize, globals, MAX_ITEMS),
            ("data segments", segments, empty, MAX_SEGMENTS),
            (
                "element segments",
                counts.elements as usize,
                declares,
                MAX_SEGMENTS,
            ),
            ("memories", scan.memories.len(), polls, MAX_MEMORIES),
            (
                "imports and exports (with their parameters and results)",
                counts.interface,
                self.added_interface(scan),
                MAX_INTERFACE_SIZE,
            ),
        ] {
            limits::check(what, has + added, limit)?;
        }
        Ok(())
    }
}

/// Whether a memory is defined now and will be imported.
pub(crate) fn is_promoted(memory: &crate::scan::Memory<'_>) -> bool {
    memory.import.is_none() && memory.ty.shared
}

/// Function types to add, each once.
#[derive(Default)]
pub(crate) struct AddedTypes {
    first: u32,
    pub(crate) list: Vec<Signature>,
}

/// Parameters and results.
type Signature = (Vec<ValType>, Vec<ValType>);

impl AddedTypes {
    fn after(count: u32) -> Self {
        Self {
            first: count,
            list: Vec::new(),
        }
    }

    fn intern(&mut self, params: Vec<ValType>, results: Vec<ValType>) -> u32 {
        let wanted = (params, results);
        let known = self.list.iter().position(|ty| *ty == wanted);
        let place = known.unwrap_or(self.list.len());
        if known.is_none() {
            self.list.push(wanted);
        }
        self.first + place as u32
    }
}

fn address_type(memory64: bool) -> ValType {
    if memory64 { ValType::I64 } else { ValType::I32 }
}

/// Encodes what the module had, under its new indices.
#[derive(Clone, Default)]
pub(crate) struct Renumber {
    /// Functions from here on move ...
    first_moved: u32,
    /// ... up by this many.
    moved_by: u32,
    /// New index of each memory.
    memories: Vec<u32>,
    /// What is referred to instead of a function.
    wrappers: BTreeMap<u32, u32>,
    /// Whether functions are referred to, and not called or exported.
    refers: bool,
}

impl Renumber {
    fn identity(memories: usize) -> Self {
        Self {
            memories: (0..memories as u32).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn function(&self, old: u32) -> u32 {
        if old < self.first_moved {
            old
        } else {
            // Saturates only on the indices in a damaged name section.
            old.saturating_add(self.moved_by)
        }
    }

    /// The function that is to be referred to instead of this one.
    pub(crate) fn reference(&self, old: u32) -> u32 {
        let wrapper = self.wrappers.get(&old).copied();
        wrapper.unwrap_or_else(|| self.function(old))
    }

    /// The same for elements and constants, where functions are referred to.
    pub(crate) fn of_references(&self) -> Self {
        Self {
            refers: true,
            ..self.clone()
        }
    }

    pub(crate) fn memory(&self, old: u32) -> u32 {
        let new = self.memories.get(old as usize);
        new.copied().unwrap_or(old)
    }
}

impl Reencode for Renumber {
    type Error = Infallible;

    fn function_index(&mut self, old: u32) -> Result<u32, Error> {
        Ok(match self.refers {
            true => self.reference(old),
            false => self.function(old),
        })
    }

    fn memory_index(&mut self, old: u32) -> Result<u32, Error> {
        Ok(self.memory(old))
    }
}
