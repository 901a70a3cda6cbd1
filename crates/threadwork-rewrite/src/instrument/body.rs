//! Writes the code of one function with its hooks.
//!
//! Operands that a hook looks at are taken from the stack into locals of our own and put back,
//! so whatever stands around an operator stays as it was.
//!
//! Invariant: the locals that are added lie behind those of the function, and none is read
//! before the same operator's hook has set it, but for the one with the calling context, which
//! is set first of all.

use wasm_encoder::{BlockType, Encode, Instruction, ValType, reencode::Reencode};
use wasmparser::{FunctionBody, Operator};

use super::{
    Class, Instrument, Site, SiteKind,
    module::{Buffers, Function, Hook, Info, Renumber},
    once::Table,
    operators::{Reach, reach},
};
use crate::{RewriteError, limits};

/// Bytes that engines accept of one function.
const MAX_FUNCTION_SIZE: usize = 7_654_321;

/// The code of a function, and where it came from.
pub(super) struct Written {
    /// With locals, without the size in front.
    pub(super) bytes: Vec<u8>,
    pub(super) marks: Vec<Mark>,
}

/// From `at` on, code comes from `original` on, or, if it was `replaced`, stands for the
/// operator there.
pub(super) struct Mark {
    pub(super) at: usize,
    pub(super) original: usize,
    pub(super) replaced: bool,
}

/// What is written for a function.
pub(super) struct Writer<'a> {
    pub(super) choice: &'a Instrument,
    pub(super) info: &'a Info,
    pub(super) renumber: &'a mut Renumber,
    pub(super) sites: &'a mut Vec<Site>,
    /// Calls that were given a number so far, in all functions.
    pub(super) calls: &'a mut u32,
    function: Function,
    code: Vec<u8>,
    marks: Vec<Mark>,
    /// The index of the first local that is added, and the types of all that are.
    first: u32,
    added: Vec<ValType>,
    /// The local with the calling context.
    context: Option<u32>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        choice: &'a Instrument,
        info: &'a Info,
        renumber: &'a mut Renumber,
        sites: &'a mut Vec<Site>,
        calls: &'a mut u32,
        function: Function,
    ) -> Self {
        Self {
            choice,
            info,
            renumber,
            sites,
            calls,
            function,
            code: Vec::new(),
            marks: Vec::new(),
            first: 0,
            added: Vec::new(),
            context: None,
        }
    }

    /// Writes the function that `body` is.
    pub(super) fn write(mut self, body: &FunctionBody<'_>) -> Result<Written, RewriteError> {
        let mut locals = Vec::new();
        let mut count = self.function.params;
        for local in body.get_locals_reader()? {
            let (times, ty) = local?;
            count = count.saturating_add(times);
            locals.push((times, self.renumber.val_type(ty)?));
        }
        self.first = count;
        let traced = self.choice.contexts && self.has_hooks();
        if let Some(global) = self.info.context.filter(|_| traced) {
            let local = self.local(ValType::I32, 0);
            self.context = Some(local);
            self.put(&Instruction::GlobalGet(global));
            self.put(&Instruction::LocalSet(local));
        }
        let mut reader = body.get_operators_reader()?;
        let mut start = self.function.start;
        while !reader.eof() {
            let at = reader.original_position();
            if start.is_some_and(|start| start <= at) {
                start = None;
                self.marks.push(self.mark(at, true));
                self.put(&Instruction::LocalGet(0));
                self.put(&Instruction::LocalGet(1));
                self.hook(Hook::ThreadStart);
                self.turn();
            }
            let operator = reader.read()?;
            self.operator(at, operator)?;
        }
        let mut bytes = Vec::with_capacity(self.code.len() + 16);
        (locals.len() + self.added.len()).encode(&mut bytes);
        for (times, ty) in locals {
            times.encode(&mut bytes);
            ty.encode(&mut bytes);
        }
        for ty in &self.added {
            1u32.encode(&mut bytes);
            ty.encode(&mut bytes);
        }
        let head = bytes.len();
        bytes.append(&mut self.code);
        limits::check("bytes in a function", bytes.len(), MAX_FUNCTION_SIZE)?;
        self.marks.iter_mut().for_each(|mark| mark.at += head);
        Ok(Written {
            bytes,
            marks: self.marks,
        })
    }

    /// Whether this function has hooks other than `thread_start`.
    fn has_hooks(&self) -> bool {
        !self.function.is_hidden
    }

    fn mark(&self, original: usize, replaced: bool) -> Mark {
        Mark {
            at: self.code.len(),
            original,
            replaced,
        }
    }

    fn put(&mut self, instruction: &Instruction<'_>) {
        instruction.encode(&mut self.code);
    }

    /// The `nth` added local of a type.
    fn local(&mut self, ty: ValType, nth: usize) -> u32 {
        let mut of_type = self.added.iter().enumerate().filter(|(_, t)| **t == ty);
        let place = match of_type.nth(nth) {
            Some((place, _)) => place,
            None => {
                self.added.push(ty);
                self.added.len() - 1
            }
        };
        self.first.saturating_add(place as u32)
    }

    /// Takes operands of these types, the last on top, into locals.
    fn take(&mut self, types: &[ValType]) -> Vec<u32> {
        // The first local is the context's.
        let mut used = vec![ValType::I32; usize::from(self.context.is_some())];
        let mut locals = Vec::new();
        for &ty in types {
            let nth = used.iter().filter(|t| **t == ty).count();
            used.push(ty);
            locals.push(self.local(ty, nth));
        }
        for &local in locals.iter().rev() {
            self.put(&Instruction::LocalSet(local));
        }
        locals
    }

    fn give(&mut self, locals: &[u32]) {
        for &local in locals {
            self.put(&Instruction::LocalGet(local));
        }
    }

    fn hook(&mut self, hook: Hook) {
        let function = self.renumber.hook(hook);
        self.put(&Instruction::Call(function));
    }

    fn site(&mut self, at: usize, kind: SiteKind, width: u8, memory: u32) -> Instruction<'static> {
        let site = self.sites.len() as u32;
        self.sites.push(Site {
            function: self.function.index,
            offset: at,
            kind,
            width,
            memory,
            class: self.function.class,
        });
        Instruction::I32Const(site.cast_signed())
    }

    fn context(&mut self) {
        self.put(&match self.context {
            Some(local) => Instruction::LocalGet(local),
            None => Instruction::I32Const(0),
        });
    }

    /// Writes the address in `local`, plus an offset, as an i64.
    fn address(&mut self, local: u32, memory64: bool, offset: u64) {
        self.put(&Instruction::LocalGet(local));
        if !memory64 {
            self.put(&Instruction::I64ExtendI32U);
        }
        if offset != 0 {
            self.put(&Instruction::I64Const(offset.cast_signed()));
            self.put(&Instruction::I64Add);
        }
    }

    /// Writes a value of a number type as an i64.
    fn widen(&mut self, local: u32, ty: ValType) {
        self.put(&Instruction::LocalGet(local));
        if ty == ValType::I32 {
            self.put(&Instruction::I64ExtendI32U);
        }
    }

    /// Whether points of such operators are wanted here.
    fn wants(&self, kind: SiteKind) -> bool {
        let ordinary = self.function.class == Class::Ordinary;
        let here = self.choice.runtime || ordinary;
        self.has_hooks()
            && match kind {
                SiteKind::Wait | SiteKind::Notify => self.choice.waits,
                SiteKind::Spawn => self.choice.spawns,
                SiteKind::HostCall => self.choice.host_calls,
                SiteKind::Fence => self.choice.fences && here,
                SiteKind::Grow => self.choice.grows && here,
                kind if kind.is_atomic() => self.choice.atomics && here,
                _ => self.accesses(),
            }
    }

    /// Whether plain accesses have hooks here.
    fn accesses(&self) -> bool {
        self.choice.accesses && self.function.class != Class::Threads
    }

    fn operator(&mut self, at: usize, operator: Operator<'_>) -> Result<(), RewriteError> {
        self.marks.push(self.mark(at, true));
        if self.hooked(at, &operator)? {
            return Ok(());
        }
        if self.sets(&operator) {
            self.call_context();
        }
        self.marks.push(self.mark(at, false));
        let instruction = self.renumber.instruction(operator)?;
        self.put(&instruction);
        Ok(())
    }

    /// Whether the operator calls a function that reads the calling context.
    fn sets(&self, operator: &Operator<'_>) -> bool {
        self.context.is_some()
            && match *operator {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    function_index >= self.renumber.imported
                }
                Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } => true,
                _ => false,
            }
    }

    /// Writes what tells the function that is called by whom it is.
    fn call_context(&mut self) {
        let (Some(local), Some(global)) = (self.context, self.info.context) else {
            return;
        };
        *self.calls = self.calls.wrapping_add(1);
        // An odd multiple, so that short chains differ in more than their low bits.
        let number = self.calls.wrapping_mul(0x9e37_79b1).cast_signed();
        for instruction in [
            Instruction::LocalGet(local),
            Instruction::I32Const(3),
            Instruction::I32Mul,
            Instruction::I32Const(number),
            Instruction::I32Add,
            Instruction::GlobalSet(global),
        ] {
            self.put(&instruction);
        }
    }

    /// Writes an operator with its hooks; `false` if it has none.
    fn hooked(&mut self, at: usize, operator: &Operator<'_>) -> Result<bool, RewriteError> {
        if !self.has_hooks() {
            return Ok(false);
        }
        if let Some(reach) = reach(operator) {
            return self.reaches(at, operator, reach);
        }
        match *operator {
            Operator::AtomicFence if self.wants(SiteKind::Fence) => {
                self.pointed(at, operator, SiteKind::Fence, 0, &[], None)
            }
            Operator::MemoryGrow { mem } if self.is_shared(mem) && self.wants(SiteKind::Grow) => {
                let ty = self.info.address(mem);
                self.pointed(at, operator, SiteKind::Grow, mem, &[ty], Some(ty))
            }
            Operator::Call { function_index } if function_index < self.renumber.imported => {
                self.host_call(at, operator, function_index)
            }
            Operator::MemoryCopy { dst_mem, src_mem }
                if self.accesses() && (self.is_shared(dst_mem) || self.is_shared(src_mem)) =>
            {
                let length = match (self.info.address(dst_mem), self.info.address(src_mem)) {
                    (ValType::I64, ValType::I64) => ValType::I64,
                    _ => ValType::I32,
                };
                let types = [
                    self.info.address(dst_mem),
                    self.info.address(src_mem),
                    length,
                ];
                let locals = self.take(&types);
                self.finish(at, operator, &locals)?;
                if let [to, from, length_local] = locals[..] {
                    let length = (length_local, length);
                    self.range(at, SiteKind::RangeRead, src_mem, from, length);
                    self.range(at, SiteKind::RangeWrite, dst_mem, to, length);
                }
                Ok(true)
            }
            Operator::MemoryFill { mem } if self.accesses() && self.is_shared(mem) => {
                let ty = self.info.address(mem);
                let locals = self.take(&[ty, ValType::I32, ty]);
                self.finish(at, operator, &locals)?;
                if let [to, _, length] = locals[..] {
                    self.range(at, SiteKind::RangeWrite, mem, to, (length, ty));
                }
                Ok(true)
            }
            Operator::MemoryInit { mem, .. } if self.accesses() && self.is_shared(mem) => {
                let locals = self.take(&[self.info.address(mem), ValType::I32, ValType::I32]);
                self.finish(at, operator, &locals)?;
                if let [to, _, length] = locals[..] {
                    self.range(at, SiteKind::RangeWrite, mem, to, (length, ValType::I32));
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn is_shared(&self, memory: u32) -> bool {
        let memory = self.info.memories.get(memory as usize);
        memory.is_some_and(|memory| memory.shared)
    }

    /// Puts operands back, and writes the operator.
    fn finish(
        &mut self,
        at: usize,
        operator: &Operator<'_>,
        locals: &[u32],
    ) -> Result<bool, RewriteError> {
        self.give(locals);
        self.marks.push(self.mark(at, false));
        let instruction = self.renumber.instruction(operator.clone())?;
        self.put(&instruction);
        Ok(true)
    }

    /// Reports bytes that an operator has reached: if they are not there, it has trapped.
    fn range(
        &mut self,
        at: usize,
        kind: SiteKind,
        memory: u32,
        address: u32,
        (length, ty): (u32, ValType),
    ) {
        if !self.is_shared(memory) {
            return;
        }
        self.marks.push(self.mark(at, true));
        let site = self.site(at, kind, 0, memory);
        self.put(&site);
        self.address(address, self.info.is_64(memory), 0);
        self.widen(length, ty);
        self.context();
        self.hook(Hook::Range);
    }

    /// An operator with a place in memory.
    fn reaches(
        &mut self,
        at: usize,
        operator: &Operator<'_>,
        reach: Reach,
    ) -> Result<bool, RewriteError> {
        let memory = reach.place.memory;
        if !self.is_shared(memory) || !self.wants(reach.kind) {
            return Ok(false);
        }
        let address = self.info.address(memory);
        let memory64 = self.info.is_64(memory);
        let types = [&[address], reach.operands].concat();
        let locals = self.take(&types);
        let Some(&place) = locals.first() else {
            return Ok(false);
        };
        let site = self.site(at, reach.kind, reach.width, memory);
        let is_plain = matches!(reach.kind, SiteKind::Load | SiteKind::Store);
        let offset = reach.place.offset;
        // What a runtime function loads may have been stored just now.
        let is_late = reach.kind == SiteKind::Load && self.function.class == Class::Runtime;
        if is_plain && self.function.class == Class::Ordinary && !memory64 {
            self.access_once(&site, &reach, place, &types);
        } else if is_plain && !is_late {
            self.access(&site, place, memory64, offset);
            if reach.kind.writes() {
                self.turn();
            }
        } else if !is_plain {
            if reach.kind == SiteKind::Wait && self.accesses() {
                self.access(&site, place, memory64, offset);
            }
            self.put(&site);
            self.address(place, memory64, offset);
            self.point(&site, |this| this.address(place, memory64, offset));
        }
        self.finish(at, operator, &locals)?;
        if is_late {
            self.marks.push(self.mark(at, true));
            self.access(&site, place, memory64, offset);
        }
        if !is_plain && self.choice.results {
            self.marks.push(self.mark(at, true));
            let result = reach.result.map(|ty| (self.result(ty, &types), ty));
            self.put(&site);
            self.address(place, memory64, offset);
            match (reach.kind, result, locals.get(1)) {
                (SiteKind::AtomicCmpxchg, Some((result, ty)), Some(&expected)) => {
                    self.give(&[result, expected]);
                    self.put(&match ty {
                        ValType::I64 => Instruction::I64Eq,
                        _ => Instruction::I32Eq,
                    });
                }
                (kind, ..) => self.put(&Instruction::I32Const(i32::from(kind.writes()))),
            }
            match result {
                Some((result, ty)) => self.widen(result, ty),
                None => self.put(&Instruction::I64Const(0)),
            }
            self.context();
            self.hook(Hook::Done);
        }
        if !is_plain {
            self.ends_turn(at, reach.kind);
        }
        Ok(true)
    }

    fn access(&mut self, site: &Instruction<'_>, place: u32, memory64: bool, offset: u64) {
        self.put(site);
        self.address(place, memory64, offset);
        self.context();
        self.hook(Hook::Access);
        if self.choice.once {
            self.put(&Instruction::Drop);
        }
    }

    /// Reports a plain access unless the thread has done so already.
    fn access_once(
        &mut self,
        site: &Instruction<'_>,
        reach: &Reach,
        place: u32,
        types: &[ValType],
    ) {
        let offset = reach.place.offset;
        let Some(table) = self.info.table else {
            self.access(site, place, false, offset);
            return;
        };
        let writes = reach.kind.writes();
        let is_checked = Table::has_check(reach.width);
        if is_checked {
            let mut address = place;
            if offset != 0 {
                let words = types.iter().filter(|ty| **ty == ValType::I32).count();
                address = self.local(ValType::I32, words + usize::from(self.context.is_some()));
                self.put(&Instruction::LocalGet(place));
                // Where it wraps around the access traps.
                self.put(&Instruction::I32Const((offset as u32).cast_signed()));
                self.put(&Instruction::I32Add);
                self.put(&Instruction::LocalSet(address));
            }
            for instruction in table.check(address, reach.width, writes) {
                self.put(&instruction);
            }
            self.put(&Instruction::If(BlockType::Empty));
        }
        self.put(site);
        self.address(place, false, offset);
        self.context();
        self.put(&Table::bytes(reach.width));
        self.put(&Table::shift(writes));
        self.hook(Hook::Tell);
        if is_checked {
            self.put(&Instruction::End);
        }
    }

    /// Begins another turn, if turns are counted.
    fn turn(&mut self) {
        if self.info.table.is_some() {
            self.hook(Hook::Turn);
        }
    }

    /// Begins another turn after an operator that had a point and ends one.
    fn ends_turn(&mut self, at: usize, kind: SiteKind) {
        if !matches!(kind, SiteKind::AtomicLoad | SiteKind::Wait) {
            self.marks.push(self.mark(at, true));
            self.turn();
        }
    }

    /// Calls `point`, whose operands are written, and `switch`, for which `address` writes the
    /// second.
    fn point(&mut self, site: &Instruction<'_>, address: impl FnOnce(&mut Self)) {
        self.hook(Hook::Point);
        if self.choice.yielding {
            self.put(&Instruction::If(BlockType::Empty));
            self.put(site);
            address(self);
            self.hook(Hook::Switch);
            self.put(&Instruction::End);
        }
    }

    /// Keeps a copy of the result on the stack in a local that is none of those with `types`.
    fn result(&mut self, ty: ValType, types: &[ValType]) -> u32 {
        let context = usize::from(self.context.is_some() && ty == ValType::I32);
        let nth = types.iter().filter(|t| **t == ty).count() + context;
        let local = self.local(ty, nth);
        self.put(&Instruction::LocalTee(local));
        local
    }

    /// An operator with a point and no place in memory; its first operand, if it has one,
    /// stands for the address.
    fn pointed(
        &mut self,
        at: usize,
        operator: &Operator<'_>,
        kind: SiteKind,
        memory: u32,
        types: &[ValType],
        result: Option<ValType>,
    ) -> Result<bool, RewriteError> {
        let locals = self.take(types);
        let site = self.site(at, kind, 0, memory);
        let first = locals.first().copied().zip(types.first().copied());
        let address = move |this: &mut Self| match first {
            Some((local, ty)) => this.widen(local, ty),
            None => this.put(&Instruction::I64Const(0)),
        };
        self.put(&site);
        address(self);
        self.point(&site, address);
        self.finish(at, operator, &locals)?;
        if self.choice.results {
            self.marks.push(self.mark(at, true));
            let result = result.map(|ty| (self.result(ty, types), ty));
            self.put(&site);
            address(self);
            self.put(&Instruction::I32Const(i32::from(kind == SiteKind::Spawn)));
            match result {
                Some((local, ty)) => self.widen(local, ty),
                None => self.put(&Instruction::I64Const(0)),
            }
            self.context();
            self.hook(Hook::Done);
        }
        self.ends_turn(at, kind);
        Ok(true)
    }

    fn host_call(
        &mut self,
        at: usize,
        operator: &Operator<'_>,
        function: u32,
    ) -> Result<bool, RewriteError> {
        let is_spawn = self.info.spawn == Some(function);
        if is_spawn {
            return match self.wants(SiteKind::Spawn) {
                true => {
                    let word = ValType::I32;
                    self.pointed(at, operator, SiteKind::Spawn, 0, &[word], Some(word))
                }
                false => Ok(false),
            };
        }
        let buffers = self.info.buffers.get(&function).copied();
        let buffers = buffers.filter(|_| self.choice.accesses && self.is_shared(0));
        let point = self.wants(SiteKind::HostCall);
        if buffers.is_none() && !point {
            return Ok(false);
        }
        // Descriptor, vectors, their number, and whatever else.
        let types = match buffers {
            Some(_) => self.info.imported_types.get(function as usize).cloned(),
            None => None,
        };
        let types = types.unwrap_or_default();
        let locals = self.take(&types);
        let point = point.then(|| {
            let site = self.site(at, SiteKind::HostCall, 0, 0);
            self.put(&site);
            self.put(&Instruction::I64Const(0));
            self.point(&site, |this| this.put(&Instruction::I64Const(0)));
            site
        });
        self.finish(at, operator, &locals)?;
        if let Some(buffers) = buffers {
            self.buffers(at, &buffers, &types, &locals);
        }
        let is_point = point.is_some();
        if let Some(site) = point.filter(|_| self.choice.results) {
            self.marks.push(self.mark(at, true));
            for instruction in [
                site,
                Instruction::I64Const(0),
                Instruction::I32Const(0),
                Instruction::I64Const(0),
            ] {
                self.put(&instruction);
            }
            self.context();
            self.hook(Hook::Done);
        }
        if is_point {
            self.ends_turn(at, SiteKind::HostCall);
        }
        Ok(true)
    }

    /// Reports what a call that WASI has answered with no error has read or written: as many
    /// bytes as it says.
    fn buffers(&mut self, at: usize, buffers: &Buffers, types: &[ValType], locals: &[u32]) {
        let (&[_, vectors, count, ..], Some(&done)) = (locals, locals.get(buffers.done)) else {
            return;
        };
        self.marks.push(self.mark(at, true));
        let result = self.result(ValType::I32, types);
        self.put(&Instruction::LocalGet(result));
        self.put(&Instruction::I32Eqz);
        self.put(&Instruction::If(BlockType::Empty));
        let site = self.site(at, buffers.kind, 0, 0);
        if let Some(site) = self.sites.last_mut() {
            site.class = Class::Ordinary;
        }
        self.put(&site);
        self.give(&[vectors, count, done]);
        self.context();
        self.hook(Hook::Vectors);
        self.put(&Instruction::End);
    }
}
