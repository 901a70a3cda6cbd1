//! What must hold of every module, tried on modules that nobody would write.
//!
//! 1,000 seeds, or 10,000 with `THREADWORK_FULL=1`.

use crate::{
    barriers,
    check::check,
    numbers::{Numbers, seeds},
    stopping,
};
use arbitrary::Unstructured;
use threadwork_rewrite::{RewriteError, rewrite};
use wasm_encoder::reencode::{self, Reencode};
use wasm_smith::{Config, InstructionKind, InstructionKinds, Module};

/// A module that the rewriter may accept or refuse, but engines accept.
pub(crate) fn module(seed: u64) -> Option<Vec<u8>> {
    let mut numbers = Numbers(seed);
    let len = 1_000 + numbers.below(12_000);
    // Linkers pad indices: so does one module in three.
    let padded = numbers.below(3) == 0;
    let mut config = Config {
        threads_enabled: true,
        min_memories: 1,
        max_memories: 1 + numbers.below(4),
        memory_max_size_required: true,
        min_funcs: 1,
        max_tables: 2,
        max_instructions: 300,
        memory64_enabled: numbers.below(2) == 0,
        // With references come `externref`s, which `FEATURES` leaves out: try them,
        // but mostly not.
        reference_types_enabled: numbers.below(4) == 0,
        gc_enabled: false,
        exceptions_enabled: seed.is_multiple_of(4),
        min_uleb_size: if padded { 5 } else { 1 },
        generate_custom_sections: numbers.below(2) == 0,
        ..Config::default()
    };
    if numbers.below(2) == 0 {
        use InstructionKind::{Control, Memory, Numeric, Parametric, Variable};
        let kinds = [Control, Memory, Numeric, Parametric, Variable];
        config.allowed_instructions = InstructionKinds::new(&kinds);
    }
    let bytes = numbers.bytes(len);
    let module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    let module = module.to_bytes();
    if padded {
        return Some(module); // Encoding it again would undo that.
    }
    let mut shared = wasm_encoder::Module::new();
    Share(numbers)
        .parse_core_module(&mut shared, wasmparser::Parser::new(0), &module)
        .unwrap();
    Some(shared.finish())
}

/// Makes most memories shared: by itself wasm-smith does so with one in four.
struct Share(Numbers);

impl Reencode for Share {
    type Error = std::convert::Infallible;

    fn memory_type(
        &mut self,
        old: wasmparser::MemoryType,
    ) -> Result<wasm_encoder::MemoryType, reencode::Error> {
        let mut new = wasm_encoder::MemoryType::from(old);
        new.shared |= self.0.below(4) > 0;
        Ok(new)
    }
}

#[test]
fn rewritten_modules_are_valid_and_mapped() {
    let seeds = seeds(1_000, 10_000);
    let (mut accepted, mut shared, mut enter, mut reset, mut polled) = (0, 0, 0, 0, 0);
    let (mut sync, mut promoted, mut untouched, mut dropped) = (0, 0, 0, 0);
    let mut replaced = 0;
    let total = seeds.end;
    for seed in seeds {
        let Some(wasm) = module(seed) else { continue };
        let new = match rewrite(&wasm) {
            Ok(new) => new,
            Err(RewriteError::Invalid { message, .. }) if message.contains("gc types") => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        // Names the seed if `check` panics.
        let named = OnPanic(seed);
        check(&wasm, &new);
        let polls = stopping::check(&wasm);
        replaced += u64::from(barriers::check(&wasm) > 0);
        polled += u64::from(polls);
        drop(named);
        accepted += 1;
        shared += u64::from(!new.memories.is_empty());
        enter += u64::from(new.has_enter);
        reset += u64::from(new.has_reset);
        sync += u64::from(!new.sync.is_empty());
        untouched += u64::from(new.wasm == wasm);
        promoted += u64::from(new.memories.iter().any(|m| m.module == "threadwork"));
        dropped += u64::from(new.wasm.windows(19).any(|w| w == b"threadwork:dropped:"));
    }
    // A test of nothing passes too: all kinds of modules must have been there.
    let often = [accepted, shared, enter, reset, sync, promoted, polled];
    let rarely = [untouched, dropped, replaced];
    println!("of {total}: {often:?}, {rarely:?}");
    assert!(often.iter().all(|&count| count * 10 > total), "{often:?}");
    assert!(rarely.iter().all(|&count| count > 0), "{rarely:?}");
}

struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}
