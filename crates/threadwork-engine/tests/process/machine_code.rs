//! What comes out of the compiler, since what was put in proves nothing: the guests' code is
//! the code that it would be if nothing ever stopped them.
#![cfg(target_arch = "x86_64")]

use crate::support::wasm_guests;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use std::path::{Path, PathBuf};
use threadwork_rewrite::{Options, Stopping, rewrite_with};
use wasmparser::{Operator, Parser, Payload};
use wasmtime::{Config, Engine, Module};

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
