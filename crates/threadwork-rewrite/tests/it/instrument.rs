//! Modules with hooks are valid, mapped, and do what they did.

use crate::{
    interpreter::Running,
    numbers::{Numbers, seeds},
    random_modules::module,
};
use threadwork_rewrite::{
    Class, FEATURES, Instrument, Instrumented, RewriteError, SiteKind, instrument, rewrite,
};
use wasmi::Val;
use wasmparser::{Operator, Parser, Payload, Validator};

/// All hooks.
pub(crate) const ALL: Instrument = Instrument {
    atomics: true,
    waits: true,
    fences: true,
    grows: true,
    spawns: true,
    host_calls: true,
    runtime: true,
    accesses: true,
    allocations: true,
    threads: true,
    results: true,
    yielding: true,
    contexts: true,
    once: true,
};

/// Choices from a number, such that each field is both ways often.
fn choice(numbers: &mut Numbers) -> Instrument {
    let mut flip = || numbers.below(2) == 0;
    Instrument {
        atomics: flip(),
        waits: flip(),
        fences: flip(),
        grows: flip(),
        spawns: flip(),
        host_calls: flip(),
        runtime: flip(),
        accesses: flip(),
        allocations: flip(),
        threads: flip(),
        results: flip(),
        yielding: flip(),
        contexts: flip(),
        once: flip(),
    }
}

/// Operators of all functions, by their offsets.
fn operators(wasm: &[u8]) -> Vec<(usize, Operator<'_>)> {
    let mut all = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            let mut reader = body.get_operators_reader().unwrap();
            while !reader.eof() {
                let at = reader.original_position();
                all.push((at, reader.read().unwrap()));
            }
        }
    }
    all
}

/// The name of an operator without its operands, which may be indices.
fn kind(operator: &Operator<'_>) -> String {
    let text = format!("{operator:?}");
    text.split([' ', '{']).next().unwrap().to_owned()
}

/// What holds of each: it is valid, so is what the rewriter makes of it, all operators of the
/// original are there and mapped, and each site is an operator of the original.
pub(crate) fn check(wasm: &[u8], choice: &Instrument) -> Instrumented {
    let new = instrument(wasm, choice).unwrap();
    Validator::new_with_features(FEATURES)
        .validate_all(&new.wasm)
        .unwrap_or_else(|error| panic!("{error}: {choice:?}"));
    let host = rewrite(&new.wasm).unwrap();
    let both = host.offsets.through(&new.offsets);

    let old = operators(wasm);
    let find = |at| match old.binary_search_by_key(&at, |(at, _)| *at) {
        Ok(place) => Some(&old[place].1),
        Err(_) => None,
    };
    let mut seen = std::collections::BTreeSet::new();
    for (at, operator) in operators(&new.wasm) {
        if let Some(origin) = new.offsets.original(at) {
            let original = find(origin).unwrap_or_else(|| panic!("{at:#x} is of no operator"));
            if kind(original) == kind(&operator) {
                seen.insert(origin);
            }
        }
    }
    assert_eq!(seen.len(), old.len(), "operators are missing");
    for (at, _) in operators(&host.wasm) {
        let direct = host.offsets.original(at);
        let expected = direct.and_then(|middle| new.offsets.original(middle));
        assert_eq!(both.original(at), expected);
    }
    for site in &new.sites {
        assert!(find(site.offset).is_some(), "{site:?}");
    }
    new
}

#[test]
fn instrumented_modules_are_valid_and_mapped() {
    let seeds = seeds(100, 10_000);
    let (mut accepted, mut sites) = (0, 0);
    for seed in seeds.clone() {
        let Some(wasm) = module(seed) else { continue };
        let choice = choice(&mut Numbers(seed));
        match instrument(&wasm, &choice) {
            Err(RewriteError::Invalid { message, .. }) if message.contains("gc types") => continue,
            Err(error) => panic!("seed {seed}: {error}"),
            Ok(_) => {}
        }
        println!("seed {seed}");
        let new = check(&wasm, &choice);
        accepted += 1;
        sites += u64::from(!new.sites.is_empty());
    }
    assert!(accepted * 2 > seeds.end, "{accepted}");
    assert!(sites * 10 > seeds.end, "{sites}");
}

/// Each operator with a place in memory, by what its text must become known as.
#[test]
fn every_operator_with_a_place_is_described() {
    let memory = "(memory 1 1 shared)";
    let names = wasm_operators();
    assert_eq!(names.len(), 111);
    for (name, code) in names {
        let Ok(wasm) = wat::parse_str(format!("(module {memory} (func {code}))")) else {
            panic!("{name} is no operator: {code}");
        };
        let new = check(&wasm, &ALL);
        assert_eq!(new.sites.len(), 1, "{name}");
    }
}

/// Operators with a place in memory, each with a use of it, as text.
fn wasm_operators() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |name: String, operands: &str, has_result: bool| {
        let drop = if has_result { "drop" } else { "" };
        all.push((
            name.clone(),
            format!("(i32.const 0) {operands} {name} {drop}"),
        ));
    };
    let v128 = "(v128.const i64x2 0 0)";
    for (ty, narrow) in [
        ("i32", &["8_s", "8_u", "16_s", "16_u", ""][..]),
        ("i64", &["8_s", "8_u", "16_s", "16_u", "32_s", "32_u", ""]),
        ("f32", &[""]),
        ("f64", &[""]),
    ] {
        for width in narrow {
            add(format!("{ty}.load{width}"), "", true);
            if !width.ends_with("_s") {
                let store = width.trim_end_matches("_u");
                add(
                    format!("{ty}.store{store}"),
                    &format!("({ty}.const 0)"),
                    false,
                );
            }
        }
    }
    for kind in [
        "", "8x8_s", "8x8_u", "16x4_s", "16x4_u", "32x2_s", "32x2_u", "8_splat", "16_splat",
        "32_splat", "64_splat", "32_zero", "64_zero",
    ] {
        add(format!("v128.load{kind}"), "", true);
    }
    add("v128.store".to_owned(), v128, false);
    for width in [8, 16, 32, 64] {
        add(format!("v128.load{width}_lane 0"), v128, true);
        add(format!("v128.store{width}_lane 0"), v128, false);
    }
    for (ty, widths) in [
        ("i32", &["8", "16", ""][..]),
        ("i64", &["8", "16", "32", ""]),
    ] {
        let value = format!("({ty}.const 0)");
        for width in widths {
            let unsigned = if width.is_empty() { "" } else { "_u" };
            add(format!("{ty}.atomic.load{width}{unsigned}"), "", true);
            add(format!("{ty}.atomic.store{width}"), &value, false);
            for op in ["add", "sub", "and", "or", "xor", "xchg"] {
                add(
                    format!("{ty}.atomic.rmw{width}.{op}{unsigned}"),
                    &value,
                    true,
                );
            }
            let two = value.repeat(2);
            add(
                format!("{ty}.atomic.rmw{width}.cmpxchg{unsigned}"),
                &two,
                true,
            );
        }
        let bits = &ty[1..];
        let operands = format!("{value} (i64.const 0)");
        add(format!("memory.atomic.wait{bits}"), &operands, true);
    }
    add("memory.atomic.notify".to_owned(), "(i32.const 0)", true);
    all
}

/// A module that does the same with and without hooks that do nothing, as the interpreter runs
/// it: what it returns, and what its memory is afterwards.
#[test]
fn with_hooks_that_do_nothing_a_program_does_the_same() {
    let text = include_str!("../fixtures/instrumented.wat");
    let wasm = wat::parse_str(text).unwrap();
    let run = |wasm: &[u8]| {
        let mut running = Running::new(wasm, &[]);
        let mut results = Vec::new();
        for n in 0..50 {
            let [one, two] = running
                .results::<2>("run", &[Val::I32(n), Val::I64(i64::from(n) * 77)])
                .unwrap();
            results.push(format!("{one:?} {two:?}"));
        }
        let memory = running.memories[0].data(&running.store).to_vec();
        (results, memory)
    };
    let expected = run(&wasm);
    let mut numbers = Numbers(7);
    for round in 0..60 {
        let choice = if round == 0 {
            ALL
        } else {
            choice(&mut numbers)
        };
        let new = check(&wasm, &choice);
        assert!(run(&new.wasm) == expected, "{choice:?}");
    }
}

#[test]
fn sites_tell_what_is_done_where() {
    let wasm = wat::parse_str(
        r#"(module
          (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
          (import "env" "memory" (memory 1 2 shared))
          (func $malloc (param i32) (result i32) (i32.store (i32.const 8) (i32.const 1)) (i32.const 64))
          (func $__lock (i32.store (i32.const 16) (i32.load (i32.const 12))))
          (func $main
            (drop (call $malloc (i32.const 4)))
            (drop (call $spawn (i32.const 5)))
            (atomic.fence)
            (drop (memory.grow (i32.const 1)))
            (i64.store16 (i32.const 0) (i64.const 1))
            (memory.copy (i32.const 0) (i32.const 8) (i32.const 4)))
          (func (export "wasi_thread_start") (param i32 i32)))"#,
    )
    .unwrap();
    let new = check(&wasm, &ALL);
    assert!(new.has_names);
    let sites: Vec<_> = new
        .sites
        .iter()
        .map(|site| (site.function, site.kind, site.width, site.class))
        .collect();
    use {Class::*, SiteKind::*};
    assert_eq!(
        sites,
        [
            (1, Allocate, 0, Allocator),
            (2, Load, 4, Runtime),
            (2, Store, 4, Runtime),
            (3, Spawn, 0, Ordinary),
            (3, Fence, 0, Ordinary),
            (3, Grow, 0, Ordinary),
            (3, Store, 2, Ordinary),
            (3, RangeRead, 0, Ordinary),
            (3, RangeWrite, 0, Ordinary),
        ]
    );
}

/// What a thread has told in this turn of each byte: whether it is written, or only read.
type Told = std::collections::BTreeMap<u64, bool>;

/// Accesses without a pattern, some of which begin another turn, and a model of what has to be
/// told of them.
#[test]
fn what_was_told_in_this_turn_is_left_out_and_nothing_else() {
    let choice = Instrument {
        accesses: true,
        grows: true,
        once: true,
        ..Instrument::default()
    };
    let (mut all, mut left_out) = (0, 0);
    for seed in seeds(20, 2000) {
        let mut numbers = Numbers(seed);
        let mut program = Vec::new();
        let mut text = String::new();
        for _ in 0..300 {
            if numbers.below(40) == 0 {
                text += "(drop (memory.grow (i32.const 0)))";
                program.push(None);
                continue;
            }
            // Some are apart by as much as the table is long, and so have the same cell.
            let base = 64 + numbers.below(9) / 7 * (2 << 20);
            let (offset, width) = (numbers.below(24), 1 << numbers.below(4));
            let writes = numbers.below(2) == 0;
            let (load, store) = match width {
                1 => ("i32.load8_u", "i32.store8"),
                2 => ("i32.load16_s", "i32.store16"),
                4 => ("f32.load", "i32.store"),
                _ => ("i64.load", "f64.store"),
            };
            // All of the address in one or in the other, too.
            let (base, offset) = match numbers.below(3) {
                0 => (0, base + offset),
                1 => (base + offset, 0),
                _ => (base, offset),
            };
            let place = format!("offset={offset} (i32.const {base})");
            text += &match (writes, width) {
                (false, _) => format!("(drop ({load} {place}))"),
                (true, 8) => format!("({store} {place} (f64.const 0))"),
                (true, _) => format!("({store} {place} (i32.const 0))"),
            };
            program.push(Some(((base + offset) as u64, width, writes)));
        }
        let text = format!("(module (memory 65 65 shared) (func (export \"run\") {text}))");
        let mut new = check(&wat::parse_str(text).unwrap(), &choice);
        if seed % 2 == 0 {
            begin_with_the_last_turn(&mut new.wasm);
        }
        let mut running = Running::new(&new.wasm, &[]);
        running.call("run", &[]).unwrap();
        let calls = running.told.lock().unwrap().clone();
        let mut calls = calls.iter().peekable();
        let (mut told, mut before) = (Told::new(), None);
        assert_eq!(new.sites.len(), program.len());
        for (site, access) in program.iter().enumerate() {
            let Some((address, width, writes)) = *access else {
                told.clear();
                before = None;
                continue;
            };
            all += 1;
            let operands = [Val::I32(site as i32), Val::I64(address as i64), Val::I32(0)];
            let is_told = |is_told: &&Vec<Val>| format!("{is_told:?}") == format!("{operands:?}");
            let known = address % 7 != 0;
            let mut bytes = address..address + width;
            if calls.next_if(is_told).is_some() {
                assert!(before != *access || !known, "seed {seed}: {site} again");
                if known {
                    for byte in bytes {
                        *told.entry(byte).or_default() |= writes;
                    }
                }
            } else {
                left_out += 1;
                let is_known = bytes.all(|byte| told.get(&byte).is_some_and(|w| *w || !writes));
                assert!(is_known, "seed {seed}: {site} is missing");
            }
            before = *access;
        }
        assert!(calls.next().is_none(), "seed {seed}");
    }
    assert!(left_out * 5 > all, "{left_out} of {all}");
}

/// Sets the counter of turns to its last one.
fn begin_with_the_last_turn(wasm: &mut [u8]) {
    // `i64.const` of 1 << 32 and of -1 << 32, at the end of the section of globals.
    let first = [0x42, 0x80, 0x80, 0x80, 0x80, 0x10, 0x0b];
    let mut places = wasm.windows(7).enumerate();
    let (place, _) = places.find(|(_, bytes)| *bytes == first).unwrap();
    wasm[place + 5] = 0x70;
}
