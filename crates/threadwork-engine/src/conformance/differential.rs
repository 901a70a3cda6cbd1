//! Random modules do the same rewritten and not.
//!
//! 300 seeds, or 12,000 with `THREADWORK_FULL=1`, of which 10,000 give a module that
//! the rewriter accepts. Each is a module from `wasm-smith`, made more interesting
//! (most memories shared, more waits, notifies and growth) and harmless (waits end
//! soon, fuel runs out). It runs twice, on the same arguments: on the engine's host
//! functions and, as it is, on Wasmtime's own instructions. Compared are results,
//! traps and where they are, the calls of imports, and at the end globals, tables and
//! memories.

use super::guest::{Guest, Outcome, Program, Value};
use super::numbers::{Numbers, seeds};
use arbitrary::Unstructured;
use std::convert::Infallible;
use threadwork_rewrite::{RewriteError, SyncOp, rewrite};
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{CodeSection, ExportKind, ExportSection, Instruction, MemArg};
use wasm_smith::{Config, InstructionKind, InstructionKinds, MemoryOffsetChoices, Module};
use wasmparser::{ExportSectionReader, FunctionBody, Operator};
use wasmtime::Val;
use wasmtime::{Extern, Trap, ValType};

/// The export through which a call gets new fuel.
const FUEL: &str = "test:fuel";

/// Loops and calls of one call. Little, so that no stack overflows: how deep it is
/// may differ.
const FUEL_OF_A_CALL: u32 = 200;

/// Bits of a wait's timeout, in nanoseconds: 4 microseconds at most.
const TIMEOUT_MASK: i64 = 0xfff;

/// A module that the rewriter may refuse, but Wasmtime would run to an end.
fn module(seed: u64) -> Option<Vec<u8>> {
    let mut numbers = Numbers(seed);
    let len = 4_000 + numbers.below(20_000);
    let mut config = Config {
        threads_enabled: true,
        export_everything: true,
        min_memories: 1,
        max_memories: 1 + numbers.below(3),
        memory_max_size_required: true,
        max_memory32_bytes: 4 << 16,
        max_memory64_bytes: 4 << 16,
        memory64_enabled: numbers.below(2) == 0,
        memory_offset_choices: MemoryOffsetChoices(90, 9, 1),
        // What a module is not given, it has left for code.
        min_types: 4, // Without types there are no functions.
        max_types: 12,
        max_imports: 8,
        max_globals: 8,
        max_data_segments: 4,
        max_element_segments: 4,
        max_elements: 20,
        min_funcs: 3,
        max_funcs: 12,
        max_tables: 2,
        max_table_elements: 100,
        table_max_size_required: true,
        max_instructions: 300,
        // Two NaNs may differ by how registers were given.
        canonicalize_nans: true,
        reference_types_enabled: numbers.below(16) == 0,
        disallow_traps: numbers.below(2) == 0,
        gc_enabled: false,
        exceptions_enabled: false,
        ..Config::default()
    };
    if numbers.below(2) == 0 {
        use InstructionKind::{Control, Memory, Numeric, Parametric, Variable};
        config.allowed_instructions =
            InstructionKinds::new(&[Control, Memory, Numeric, Parametric, Variable]);
    }
    let bytes = numbers.bytes(len);
    let mut module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    let fuel = module.ensure_termination(FUEL_OF_A_CALL).ok()?;
    let module = module.to_bytes();
    let mut adapt = Adapt {
        numbers,
        fuel,
        memory64: Vec::new(),
    };
    let mut adapted = wasm_encoder::Module::new();
    adapt
        .parse_core_module(&mut adapted, wasmparser::Parser::new(0), &module)
        .unwrap();
    Some(adapted.finish())
}

/// Makes a random module interesting and harmless.
struct Adapt {
    numbers: Numbers,
    /// The global that `FUEL` exports.
    fuel: u32,
    /// Of each memory, whether it is a 64-bit one.
    memory64: Vec<bool>,
}

impl Reencode for Adapt {
    type Error = Infallible;

    /// By itself, wasm-smith shares one memory in four.
    fn memory_type(
        &mut self,
        old: wasmparser::MemoryType,
    ) -> Result<wasm_encoder::MemoryType, reencode::Error> {
        let mut new = wasm_encoder::MemoryType::from(old);
        new.shared |= self.numbers.below(4) > 0;
        self.memory64.push(new.memory64);
        Ok(new)
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        exports.export(FUEL, ExportKind::Global, self.fuel);
        utils::parse_export_section(self, exports, section)
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        use Operator::{MemoryAtomicWait32, MemoryAtomicWait64};
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            if self.numbers.below(8) == 0 {
                for instruction in self.sync_operator() {
                    function.instruction(&instruction);
                }
            }
            let operator = operators.clone().read()?;
            if matches!(
                operator,
                MemoryAtomicWait32 { .. } | MemoryAtomicWait64 { .. }
            ) {
                function.instruction(&Instruction::I64Const(TIMEOUT_MASK));
                function.instruction(&Instruction::I64And);
            }
            function.instruction(&self.parse_instruction(&mut operators)?);
        }
        code.function(&function);
        Ok(())
    }
}

impl Adapt {
    /// A wait, a notify or a growth on some memory, and what stores its result, where
    /// the comparison of memories finds it. By itself, wasm-smith has few of them.
    fn sync_operator(&mut self) -> Vec<Instruction<'static>> {
        let memory_index = self.numbers.below(self.memory64.len()) as u32;
        let is_64 = self.memory64[memory_index as usize];
        let index = |number: usize| match is_64 {
            false => Instruction::I32Const(number as i32),
            true => Instruction::I64Const(number as i64),
        };
        // Mostly words that exist.
        let address = match self.numbers.below(128) {
            0 => self.numbers.below(64),
            1 => 65536 - self.numbers.below(16),
            _ => 8 * self.numbers.below(16),
        };
        let offset = match self.numbers.below(128) {
            0 => 65528,
            1 => self.numbers.below(128) as u64,
            _ => 8 * self.numbers.below(3) as u64,
        };
        let align = 2;
        let at = MemArg {
            offset,
            align,
            memory_index,
        };
        // Memory is mostly zero: most waits wait, and time out.
        let expected = self.numbers.below(8) / 7;
        let timeout = Instruction::I64Const(self.numbers.next() as i64 & TIMEOUT_MASK);
        let mut operator = match self.numbers.below(4) {
            0 => vec![
                index(address),
                Instruction::I32Const(expected as i32),
                timeout,
                Instruction::MemoryAtomicWait32(at),
            ],
            1 => vec![
                index(address),
                Instruction::I64Const(expected as i64),
                timeout,
                Instruction::MemoryAtomicWait64(MemArg { align: 3, ..at }),
            ],
            2 => vec![
                index(address),
                Instruction::I32Const(self.numbers.next() as i32),
                Instruction::MemoryAtomicNotify(at),
            ],
            _ => {
                let pages = self.numbers.below(2);
                vec![index(pages), Instruction::MemoryGrow(memory_index)]
            }
        };
        let grown_64 = is_64 && matches!(operator.last(), Some(Instruction::MemoryGrow(_)));
        let result = MemArg {
            offset: 0,
            align: 0,
            memory_index,
        };
        operator.insert(0, index(8 * self.numbers.below(64) + 512));
        operator.push(match grown_64 {
            false => Instruction::I32Store8(result),
            true => Instruction::I64Store8(result),
        });
        operator
    }
}

/// One way to run a module, and where it has come to.
struct Run {
    program: Program,
    guest: Guest,
}

impl Run {
    /// Instantiates the module; there is nothing more to do if that fails.
    fn start(program: Program) -> (Option<Self>, Outcome) {
        let (guest, outcome) = program.instantiate(true);
        let ended = !matches!(outcome, Outcome::Returned(_));
        let run = guest
            .filter(|_| !ended)
            .map(|guest| Self { program, guest });
        (run, outcome)
    }

    fn export(&mut self, name: &str) -> Extern {
        self.guest
            .instance
            .get_export(self.guest.thread.store(), name)
            .unwrap()
    }

    /// The exported functions and their parameters.
    fn functions(&mut self) -> Vec<(String, Vec<ValType>)> {
        let store = self.guest.thread.store();
        let exports: Vec<_> = self.guest.instance.exports(&mut *store).collect();
        let exports: Vec<_> = exports
            .into_iter()
            .filter_map(|export| Some((export.name().to_owned(), export.into_func()?)))
            .collect();
        let store = self.guest.thread.store();
        let params = |f: wasmtime::Func| f.ty(&*store).params().collect();
        exports
            .into_iter()
            .map(|(name, function)| (name, params(function)))
            .collect()
    }

    fn call(&mut self, function: &str, args: &[Val]) -> Outcome {
        let fuel = self.export(FUEL).into_global().unwrap();
        fuel.set(self.guest.thread.store(), Val::I32(FUEL_OF_A_CALL as i32))
            .unwrap();
        self.program.call(&mut self.guest, function, args)
    }

    /// All that can be seen of an export: a value, or a size and contents.
    fn contents(&mut self, name: &str) -> Contents {
        let export = self.export(name);
        let store = self.guest.thread.store();
        match export {
            Extern::Global(global) => Contents::Global(Value::from(&global.get(store))),
            Extern::Table(table) => {
                let size = table.size(&*store);
                let is_null = |i| table.get(&mut *store, i).unwrap().is_null();
                Contents::Table((0..size).map(is_null).collect())
            }
            Extern::Memory(memory) => Contents::Memory(memory.data(store).to_vec()),
            Extern::SharedMemory(memory) => {
                // SAFETY: no thread runs that could write to it.
                let byte = |cell: &std::cell::UnsafeCell<u8>| unsafe { *cell.get() };
                Contents::Memory(memory.data().iter().map(byte).collect())
            }
            _ => Contents::Function,
        }
    }
}

#[derive(PartialEq)]
enum Contents {
    Global(Value),
    /// Which elements are null.
    Table(Vec<bool>),
    Memory(Vec<u8>),
    Function,
}

impl Contents {
    /// Where two differ, for a failure's message.
    fn difference(&self, other: &Self) -> String {
        match (self, other) {
            (Self::Global(ours), Self::Global(theirs)) => format!("{ours:?}, not {theirs:?}"),
            (Self::Memory(ours), Self::Memory(theirs)) => {
                let at = ours.iter().zip(theirs).position(|(a, b)| a != b);
                format!(
                    "{} bytes, not {}; the first that differs is {at:?}",
                    ours.len(),
                    theirs.len()
                )
            }
            (Self::Table(ours), Self::Table(theirs)) => format!("{ours:?}, not {theirs:?}"),
            _ => "of another kind".to_owned(),
        }
    }
}

/// What the modules did, all together: a test of nothing passes, too.
#[derive(Debug, Default)]
struct Coverage {
    modules: u64,
    refused: u64,
    /// That import a host function of each operation.
    with_wait: u64,
    with_notify: u64,
    with_grow: u64,
    /// That do not change.
    untouched: u64,
    failed_to_start: u64,
    calls: u64,
    returned: u64,
    trapped: u64,
    /// Loads that trap at another place: see [`Coverage::same`].
    moved: u64,
    /// Waits and notifies that were carried out, rather than trapped.
    waits: u64,
    notifies: u64,
}

impl Coverage {
    /// Whether two outcomes are the same. A load that traps may do so at a place that
    /// is not its own: Cranelift folds it into the operator that uses its result, or
    /// does not, and a `memory.grow` and a call of ours differ in that. This is rare.
    fn same(&mut self, ours: &Outcome, theirs: &Outcome) -> bool {
        use Outcome::Trapped;
        let out_of_bounds = Trap::MemoryOutOfBounds;
        match (ours, theirs) {
            (Trapped(our_trap, our_frames), Trapped(their_trap, their_frames))
                if our_frames != their_frames
                    && (*our_trap, *their_trap) == (out_of_bounds, out_of_bounds) =>
            {
                self.moved += 1;
                our_frames.get(1..) == their_frames.get(1..)
            }
            _ => ours == theirs,
        }
    }
}

#[test]
fn modules_do_the_same_rewritten_and_not() {
    let seeds = seeds(300, 12_000);
    let total = seeds.end;
    let mut coverage = Coverage::default();
    for seed in seeds {
        if let Some(wasm) = module(seed) {
            compare(seed, &wasm, &mut coverage);
        }
    }
    println!("of {total} seeds: {coverage:#?}");
    let Coverage {
        modules,
        with_wait,
        with_notify,
        with_grow,
        ..
    } = coverage;
    assert!(modules * 10 > total * 8, "{coverage:?}");
    for count in [with_wait, with_notify, with_grow] {
        assert!(count * 10 > total, "{coverage:?}");
    }
    for count in [coverage.waits, coverage.notifies] {
        assert!(count * 4 > total, "{coverage:?}");
    }
    assert!(coverage.moved * 200 < coverage.calls, "{coverage:?}");
    assert!(coverage.returned * 5 > coverage.calls, "{coverage:?}");
    assert!(coverage.trapped * 20 > coverage.calls, "{coverage:?}");
}

/// Runs one module both ways.
fn compare(seed: u64, wasm: &[u8], coverage: &mut Coverage) {
    let new = match rewrite(wasm) {
        Ok(new) => new,
        // `externref` is not among the features.
        Err(RewriteError::Invalid { message, .. }) if message.contains("gc types") => {
            coverage.refused += 1;
            return;
        }
        Err(error) => panic!("seed {seed}: {error}"),
    };
    let imports =
        |ops: &[SyncOp]| u64::from(new.sync.iter().any(|import| ops.contains(&import.op)));
    coverage.modules += 1;
    coverage.with_wait += imports(&[SyncOp::Wait32, SyncOp::Wait64]);
    coverage.with_notify += imports(&[SyncOp::Notify]);
    coverage.with_grow += imports(&[SyncOp::Grow]);
    coverage.untouched += u64::from(new.wasm == wasm);

    let (ours, our_start) = Run::start(Program::rewritten(wasm));
    let (theirs, their_start) = Run::start(Program::original(wasm));
    assert!(
        coverage.same(&our_start, &their_start),
        "seed {seed}: the start: {our_start:?}, not {their_start:?}"
    );
    let (Some(mut ours), Some(mut theirs)) = (ours, theirs) else {
        coverage.failed_to_start += 1;
        return;
    };
    let mut numbers = Numbers(!seed);
    for (function, params) in theirs.functions() {
        let args: Vec<_> = params.iter().map(|ty| argument(ty, &mut numbers)).collect();
        let outcome = ours.call(&function, &args);
        let expected = theirs.call(&function, &args);
        assert!(
            coverage.same(&outcome, &expected),
            "seed {seed}: {function} {args:?}: {outcome:?}, not {expected:?}"
        );
        coverage.calls += 1;
        match outcome {
            Outcome::Returned(_) => coverage.returned += 1,
            Outcome::Trapped(trap, _) => {
                assert_ne!(
                    trap,
                    Trap::StackOverflow,
                    "seed {seed}: less fuel is needed"
                );
                coverage.trapped += 1;
            }
            Outcome::Failed(error) => panic!("seed {seed}: {function}: {error}"),
        }
    }
    assert_eq!(
        *ours.guest.calls.lock().unwrap(),
        *theirs.guest.calls.lock().unwrap(),
        "seed {seed}: calls of imports"
    );
    let store = theirs.guest.thread.store();
    let exports = theirs.guest.instance.exports(store);
    let names: Vec<_> = exports.map(|export| export.name().to_owned()).collect();
    for name in names {
        let (ours, theirs) = (ours.contents(&name), theirs.contents(&name));
        assert!(
            ours == theirs,
            "seed {seed}: {name} is {}",
            ours.difference(&theirs)
        );
    }
    let (waits, notifies) = ours.guest.thread.counts();
    coverage.waits += waits;
    coverage.notifies += notifies;
}

/// An argument: often one that can be an address, or a count.
fn argument(ty: &ValType, numbers: &mut Numbers) -> Val {
    let number = match numbers.below(2) {
        0 => numbers.below(256) as u64,
        _ => numbers.next(),
    };
    match ty {
        ValType::I32 => Val::I32(number as i32),
        ValType::I64 => Val::I64(number as i64),
        ValType::F32 => Val::F32(number as u32),
        ValType::F64 => Val::F64(number),
        ValType::V128 => Val::V128(u128::from(number).into()),
        ValType::Ref(_) => Val::default_for_ty(ty).unwrap(),
    }
}
