//! What comes out of the compiler, since what was put in proves nothing: the guests' code is
//! the code that it would be if nothing ever stopped them.
#![cfg(target_arch = "x86_64")]

use crate::support::wasm_guests;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use threadwork_rewrite::{Options, Stopping, rewrite_with};
use wasmparser::{Operator, Parser, Payload};
use wasmtime::{
    Config, Engine, Extern, ExternType, Instance, Module, SharedMemory, Store, Trap, Val,
};

/// The examples and the programs of the acceptance tests.
const GUESTS: [&str; 6] = [
    "pi",
    "merge-sort",
    "queens",
    "mandelbrot",
    "pipeline",
    "std-sync",
];

/// The instructions of each function that the guest's author wrote, and whether it has
/// operators on many bytes.
fn functions(wasm: &[u8], stopping: Stopping) -> Vec<(bool, Vec<Instruction>)> {
    let options = Options {
        stopping,
        ..Options::default()
    };
    functions_with(wasm, options)
}

fn functions_with(wasm: &[u8], options: Options) -> Vec<(bool, Vec<Instruction>)> {
    let rewritten = rewrite_with(wasm, options).unwrap();
    let mut config = Config::new();
    config.shared_memory(true);
    let engine = Engine::new(&config).unwrap();
    let module = Module::from_binary(&engine, &rewritten.wasm).unwrap();
    let mut compiled: Vec<_> = module.functions().collect();
    compiled.sort_by_key(|function| function.index.as_u32());
    // Those that the rewriter adds come last.
    bulk(wasm)
        .into_iter()
        .zip(compiled)
        .map(|(bulk, function)| {
            let code = &module.text()[function.offset..function.offset + function.len];
            let decoder = Decoder::new(64, code, DecoderOptions::NONE);
            (bulk, decoder.into_iter().collect())
        })
        .collect()
}

/// Of each function of a module, whether it has operators on many bytes or elements.
fn bulk(wasm: &[u8]) -> Vec<bool> {
    let bodies = Parser::new(0)
        .parse_all(wasm)
        .filter_map(|part| match part {
            Ok(Payload::CodeSectionEntry(body)) => Some(body),
            _ => None,
        });
    let is_bulk = |operator: Operator<'_>| {
        matches!(
            operator,
            Operator::MemoryFill { .. }
                | Operator::MemoryCopy { .. }
                | Operator::MemoryInit { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. }
                | Operator::TableGrow { .. }
                | Operator::MemoryGrow { .. }
        )
    };
    bodies
        .map(|body| {
            let operators = body.get_operators_reader().unwrap();
            operators
                .into_iter()
                .any(|operator| is_bulk(operator.unwrap()))
        })
        .collect()
}

/// What they do, whatever the places are that they do it to.
fn mnemonics(instructions: &[Instruction]) -> Vec<Mnemonic> {
    instructions.iter().map(Instruction::mnemonic).collect()
}

fn path(guest: &str) -> PathBuf {
    wasm_guests().join(guest).with_extension("wasm")
}

fn compare(guest: &Path) -> (usize, usize) {
    let wasm = std::fs::read(guest).unwrap();
    let free = functions(&wasm, Stopping::None);
    let stoppable = functions(&wasm, Stopping::BySignal);
    assert_eq!(free.len(), stoppable.len());
    let mut compared = 0;
    for (at, (free, stoppable)) in free.iter().zip(&stoppable).enumerate() {
        if !free.0 {
            let same = mnemonics(&free.1) == mnemonics(&stoppable.1);
            assert!(same, "{}: function {at}", guest.display());
            compared += 1;
        }
    }
    (compared, free.len())
}

#[test]
fn a_guest_that_can_be_stopped_by_a_signal_is_the_same_code() {
    for guest in GUESTS {
        let (compared, all) = compare(&path(guest));
        println!("{guest}: {compared} of {all} functions, the others have bulk operators");
        assert!(compared * 10 > all * 8);
    }
}

/// The comparison can tell: polls are seen.
#[test]
fn polls_would_be_seen() {
    let wasm = std::fs::read(path("pi")).unwrap();
    let free = functions(&wasm, Stopping::None);
    let polled = functions(&wasm, Stopping::ByPoll);
    let differ = free
        .iter()
        .zip(&polled)
        .filter(|(a, b)| mnemonics(&a.1) != mnemonics(&b.1));
    assert!(differ.count() * 2 > free.len());
}

/// In the loop that Cranelift took a plain read out of, the poll is there in each turn.
#[test]
fn polls_stay_in_inner_loops() {
    let wasm = wat::parse_str("(module (func (loop (loop (br 0)))))").unwrap();
    let polled = &functions(&wasm, Stopping::ByPoll)[0].1;
    let is_jump = |instruction: &Instruction| instruction.mnemonic() == Mnemonic::Jmp;
    let jump = polled.iter().rposition(is_jump).unwrap();
    let (poll, jump) = (polled[jump - 1], polled[jump]);
    // The inner loop is the load and the jump back to it.
    assert_eq!(poll.mnemonic(), Mnemonic::Movzx);
    assert_eq!(jump.near_branch_target(), poll.ip());
}

/// How many instructions of a kind a guest's functions have.
fn count(wasm: &[u8], mnemonic: Mnemonic, locked_barriers: bool) -> usize {
    let options = Options {
        stopping: Stopping::BySignal,
        stack_check: true,
        locked_barriers,
    };
    let functions = functions_with(wasm, options);
    let all = functions.iter().flat_map(|(_, instructions)| instructions);
    all.filter(|instruction| instruction.mnemonic() == mnemonic)
        .count()
}

#[test]
fn atomic_stores_and_fences_are_instructions_with_a_lock() {
    for guest in GUESTS {
        let wasm = std::fs::read(path(guest)).unwrap();
        let plain = count(&wasm, Mnemonic::Mfence, false);
        assert!(plain > 0, "{guest}: there was nothing to replace");
        assert_eq!(count(&wasm, Mnemonic::Mfence, true), 0, "{guest}");
        println!("{guest}: {plain}");
    }
    let nothing = r#"(module (memory 1 1 shared)
        (func (param i32) (result i32) (i32.atomic.rmw.or (local.get 0) (i32.const 0)))
        (func (param i32) (result i64) (i64.atomic.rmw32.xor_u (local.get 0) (i64.const 0))))"#;
    let nothing = wat::parse_str(nothing).unwrap();
    assert_eq!(count(&nothing, Mnemonic::Cmpxchg, false), 2);
    assert_eq!(count(&nothing, Mnemonic::Cmpxchg, true), 0);
    assert_eq!(count(&nothing, Mnemonic::Xadd, true), 2);
}

/// Each operator that is replaced leaves the same bytes behind, has the same result, and
/// traps in the same way, at every place of a memory and beside it.
#[test]
fn replaced_atomic_operators_do_the_same() {
    let mut operators = Vec::new();
    for (ty, sizes) in [
        ("i32", ["8", "16", ""].as_slice()),
        ("i64", &["8", "16", "32", ""]),
    ] {
        for size in sizes {
            let u = if size.is_empty() { "" } else { "_u" };
            operators.push((ty, format!("{ty}.atomic.store{size}"), "17", false));
            for operation in ["or", "xor"] {
                for operand in ["0", "3"] {
                    let name = format!("{ty}.atomic.rmw{size}.{operation}{u}");
                    operators.push((ty, name, operand, true));
                }
            }
        }
    }
    for (ty, name, operand, has_result) in operators {
        let result = if has_result {
            format!("(result {ty})")
        } else {
            String::new()
        };
        let wasm = wat::parse_str(format!(
            r#"(module
                (memory (export "memory") 1 1)
                (memory 1 1 shared)
                (func (export "run") (param i32) {result}
                    ({name} offset=3 (local.get 0) ({ty}.const {operand}))))"#
        ))
        .unwrap();
        let options = |locked_barriers| Options {
            locked_barriers,
            ..Options::default()
        };
        let [plain, locked] = [false, true].map(|locked| {
            let wasm = rewrite_with(&wasm, options(locked)).unwrap().wasm;
            outcomes(&wasm, ty)
        });
        assert_eq!(plain, locked, "{name} {operand}");
    }
}

/// What `run` does at many addresses: its result or trap, and a hash of the memory then.
fn outcomes(wasm: &[u8], ty: &str) -> Vec<String> {
    let mut config = Config::new();
    config.shared_memory(true);
    let engine = Engine::new(&config).unwrap();
    let module = Module::from_binary(&engine, wasm).unwrap();
    let mut store = Store::new(&engine, ());
    let ty = match ty {
        "i32" => Val::I32(0),
        _ => Val::I64(0),
    };
    let imports: Vec<Extern> = module
        .imports()
        .map(|import| match import.ty() {
            ExternType::Memory(ty) => SharedMemory::new(&engine, ty).unwrap().into(),
            other => panic!("{other:?}"),
        })
        .collect();
    let instance = Instance::new(&mut store, &module, &imports).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let run = instance.get_func(&mut store, "run").unwrap();
    let results = run.ty(&store).results().len();
    (0..40u32)
        .chain(0xffe0..0x1_0010)
        .chain([0x7fff_ffff, u32::MAX - 4, u32::MAX])
        .map(|address| {
            for (at, byte) in memory.data_mut(&mut store).iter_mut().enumerate() {
                *byte = (at * 7) as u8;
            }
            let mut result = vec![ty; results];
            let outcome = run.call(&mut store, &[Val::I32(address.cast_signed())], &mut result);
            let trap = outcome.err().map(|error| error.downcast::<Trap>().unwrap());
            let mut hash = DefaultHasher::new();
            memory.data(&store).hash(&mut hash);
            format!("{address}: {result:?} {trap:?} {}", hash.finish())
        })
        .collect()
}

/// What stopping by a signal rests on was read in the source of this version: see
/// `src/machine/stop_signal.rs`. Read it again before you change this.
#[test]
fn wasmtime_is_the_version_that_was_read() {
    let lock = include_str!("../../../../Cargo.lock");
    for (name, version) in [
        ("wasmtime", "48.0.8"),
        ("wasmtime-internal-unwinder", "48.0.8"),
        ("cranelift-codegen", "0.135.8"),
    ] {
        let package = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&package), "{name} is not {version} any more");
    }
}
