//! Rewrites the code section: copies it, and edits it at the sites.
//!
//! Invariant: bytes between two sites are copied as they are, whatever way their
//! author encoded them; and for every byte written the offset map gets, in order,
//! where it came from.
//!
//! Linkers pad the index of a call to five bytes so that they can patch it. An
//! edited index is padded to the width that it had: then nothing behind it moves,
//! and the offset map stays a handful of runs.

use wasm_encoder::{Encode, Function, Instruction, MemArg, reencode::Reencode};
use wasmparser::Operator;

use crate::{
    OffsetMap, RewriteError, barriers,
    limits::{self, MAX_FUNCTION_SIZE, MAX_MODULE_SIZE},
    pieces::Operation,
    plan::{DropEdit, InitEdit, Plan, Renumber},
    polls,
    scan::{Body, Scan, operator_at},
    sync_ops::SyncUse,
};

/// The contents of a code section and where they came from.
pub(crate) struct Code {
    pub(crate) bytes: Vec<u8>,
    /// Counted from the first of `bytes`.
    pub(crate) offsets: OffsetMap,
}

/// Writes the module's functions, then `added`.
pub(crate) fn write(
    wasm: &[u8],
    scan: &Scan<'_>,
    plan: &Plan,
    added: &[Function],
) -> Result<Code, RewriteError> {
    let size: usize = scan.bodies.iter().map(|body| body.range.len() + 5).sum();
    let mut writer = Writer {
        wasm,
        scan,
        plan,
        renumber: plan.renumber.clone(),
        bytes: Vec::with_capacity(size + size / 8),
        offsets: OffsetMap::default(),
        body: Vec::new(),
        marks: Vec::new(),
    };
    writer.offsets.added(0);
    (scan.bodies.len() + added.len()).encode(&mut writer.bytes);
    let mut last_end = scan.code_start + count_width(wasm, scan.code_start);
    for body in &scan.bodies {
        // Sizes are padded like indices are: to the width that they had.
        let width = body.range.start.saturating_sub(last_end);
        writer.function(body, width)?;
        last_end = body.range.end;
        limits::check("bytes", writer.bytes.len(), MAX_MODULE_SIZE)?;
    }
    writer.offsets.added(writer.bytes.len());
    for function in added {
        limits::check(
            "bytes in a function",
            function.byte_len(),
            MAX_FUNCTION_SIZE,
        )?;
        function.encode(&mut writer.bytes);
    }
    Ok(Code {
        bytes: writer.bytes,
        offsets: writer.offsets,
    })
}

struct Writer<'a> {
    wasm: &'a [u8],
    scan: &'a Scan<'a>,
    plan: &'a Plan,
    renumber: Renumber,
    bytes: Vec<u8>,
    offsets: OffsetMap,
    /// The function at hand: its size goes in front of it, so it is made aside.
    body: Vec<u8>,
    /// What the offset map will hear about `body`.
    marks: Vec<Mark>,
}

/// From `at` in the body at hand, bytes come from `original` in the file.
struct Mark {
    at: usize,
    original: usize,
    replaced: bool,
}

impl Writer<'_> {
    fn function(&mut self, body: &Body, size_width: usize) -> Result<(), RewriteError> {
        self.body.clear();
        self.marks.clear();
        let sites = self.scan.sites.get(body.sites.clone()).unwrap_or_default();
        let polls = self.scan.polls.get(body.polls.clone()).unwrap_or_default();
        let mut polls = polls.iter().copied().peekable();
        let mut copied_to = body.range.start;
        if let Some((entry, bounds)) = self.plan.stack.and_then(|stack| stack.bounds)
            && body.range.contains(&entry)
        {
            self.copy(copied_to, entry);
            self.mark(entry, true);
            // The second parameter of `wasi_thread_start`.
            self.put(&Instruction::LocalGet(1));
            self.put(&Instruction::Call(bounds));
            copied_to = entry;
        }
        for &site in sites {
            // Those in front of the site too.
            while let Some(at) = polls.next_if(|&at| at <= site) {
                self.copy(copied_to, at);
                self.poll(at);
                copied_to = at;
            }
            self.copy(copied_to, site);
            copied_to = self.edit(site)?;
        }
        for at in polls {
            self.copy(copied_to, at);
            self.poll(at);
            copied_to = at;
        }
        self.copy(copied_to, body.range.end);
        limits::check("bytes in a function", self.body.len(), MAX_FUNCTION_SIZE)?;

        write_padded(&mut self.bytes, self.body.len() as u32, size_width);
        let base = self.bytes.len();
        for mark in &self.marks {
            if mark.replaced {
                self.offsets.replaced(base + mark.at, mark.original);
            } else {
                self.offsets.copied(base + mark.at, mark.original);
            }
        }
        self.bytes.extend_from_slice(&self.body);
        Ok(())
    }

    fn copy(&mut self, from: usize, to: usize) {
        if from < to {
            self.mark(from, false);
            // Ranges come from the parser of these same bytes.
            self.body
                .extend_from_slice(self.wasm.get(from..to).unwrap_or_default());
        }
    }

    fn mark(&mut self, original: usize, replaced: bool) {
        self.marks.push(Mark {
            at: self.body.len(),
            original,
            replaced,
        });
    }

    /// Writes a poll, which belongs to the operator at `site`.
    fn poll(&mut self, site: usize) {
        let poll = self.plan.poll_memory.map(polls::poll);
        let look = self.plan.stop_look.map(|look| look.instructions());
        if poll.is_some() || look.is_some() {
            self.mark(site, true);
        }
        for instruction in poll.iter().flatten().chain(look.iter().flatten()) {
            self.put(instruction);
        }
    }

    fn put(&mut self, instruction: &Instruction<'_>) {
        instruction.encode(&mut self.body);
    }

    /// Writes what stands for the operator at `site`; returns where the next one
    /// begins in the original.
    fn edit(&mut self, site: usize) -> Result<usize, RewriteError> {
        let (operator, next) = operator_at(self.wasm, site)?;
        if self.scan.is_barrier(site) && self.barrier(site, &operator) {
            return Ok(next);
        }
        match operator {
            Operator::Call { function_index }
            | Operator::ReturnCall { function_index }
            | Operator::RefFunc { function_index } => {
                self.mark(site, false);
                self.body.extend(self.wasm.get(site)); // The opcode.
                let function = match operator {
                    Operator::Call { .. } => self.plan.renumber.function(function_index),
                    _ => self.plan.renumber.reference(function_index),
                };
                write_padded(&mut self.body, function, next - site - 1);
                return Ok(next);
            }
            Operator::MemoryInit { data_index, mem } => {
                match self.plan.init_edit(data_index, mem) {
                    InitEdit::Keep => {}
                    InitEdit::FromSegment(data_index) => {
                        self.mark(site, true);
                        let mem = self.plan.renumber.memory(mem);
                        self.put(&Instruction::MemoryInit { mem, data_index });
                        return Ok(next);
                    }
                    InitEdit::Call(function) => {
                        self.mark(site, true);
                        self.put(&Instruction::Call(function));
                        return Ok(next);
                    }
                }
            }
            Operator::DataDrop { data_index } => match self.plan.drop_edit(data_index) {
                DropEdit::Keep => {}
                DropEdit::Nothing => {
                    self.mark(site, true);
                    self.put(&Instruction::Nop);
                    return Ok(next);
                }
                DropEdit::SetFlag(flag) => {
                    self.mark(site, true);
                    self.put(&Instruction::I32Const(1));
                    self.put(&Instruction::GlobalSet(flag));
                    return Ok(next);
                }
            },
            Operator::MemoryFill { .. } | Operator::MemoryCopy { .. }
                if !self.scan.is_inline(site) =>
            {
                let operation = Operation::of(&operator);
                if let Some(function) = operation.and_then(|o| self.plan.pieces_call(o)) {
                    self.mark(site, true);
                    self.put(&Instruction::Call(function));
                    return Ok(next);
                }
            }
            Operator::GlobalSet { global_index } => {
                if let (Some(stack), Some(added)) = (self.scan.checked_stack(), self.plan.stack) {
                    self.mark(site, true);
                    self.put(&Instruction::GlobalSet(global_index));
                    for instruction in stack.check(added.low, added.overflow) {
                        self.put(&instruction);
                    }
                    return Ok(next);
                }
            }
            ref operator => {
                if let Some(use_) = SyncUse::of(operator)
                    && let Some(function) = self.plan.sync_call(use_)
                {
                    self.mark(site, true);
                    if let Some(offset) = use_.offset {
                        self.put(&Instruction::I64Const(offset.cast_signed()));
                    }
                    self.put(&Instruction::Call(function));
                    return Ok(next);
                }
            }
        }
        // The operator stays, under new indices.
        self.mark(site, false);
        let instruction = self.renumber.instruction(operator)?;
        self.put(&instruction);
        Ok(next)
    }

    /// Writes what stands for a slow barrier, if it has a place.
    fn barrier(&mut self, site: usize, operator: &Operator<'_>) -> bool {
        let place = |memarg: wasmparser::MemArg| MemArg {
            offset: memarg.offset,
            align: memarg.align.into(),
            memory_index: self.plan.renumber.memory(memarg.memory),
        };
        if let Some((memarg, exchange)) = barriers::exchange(operator) {
            self.mark(site, true);
            self.put(&exchange(place(memarg)));
            self.put(&Instruction::Drop);
        } else if let Some((memarg, addition)) = barriers::addition(operator) {
            self.mark(site, true);
            self.put(&addition(place(memarg)));
        } else if let Some(stack) = self.scan.checked_stack() {
            self.mark(site, true);
            for instruction in barriers::fence(stack, self.plan.renumber.memory(0)) {
                self.put(&instruction);
            }
        } else {
            return false;
        }
        true
    }
}

/// How many bytes the number of functions takes, in front of the first.
fn count_width(wasm: &[u8], at: usize) -> usize {
    let rest = wasm.get(at..).unwrap_or_default();
    1 + rest.iter().take_while(|&&byte| byte & 0x80 != 0).count()
}

/// Writes `n` as LEB128 in at least `width` bytes, five at most.
fn write_padded(out: &mut Vec<u8>, mut n: u32, width: usize) {
    let mut written = 1;
    while n >= 0x80 || written < width.min(5) {
        out.push(n as u8 | 0x80);
        n >>= 7;
        written += 1;
    }
    out.push(n as u8);
}
