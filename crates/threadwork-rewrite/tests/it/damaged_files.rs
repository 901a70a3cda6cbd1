//! No input makes the rewriter panic, and what it accepts it does not spoil.

use crate::{
    check::check,
    numbers::{Numbers, seeds},
};
use threadwork_rewrite::{FEATURES, OffsetMap, Options, Stopping, rewrite, rewrite_with};
use wasmparser::Validator;

/// Modules to damage: the ones of the snapshots.
fn modules() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with(".out.wat"))
        .collect();
    paths.sort();
    assert!(paths.len() > 20);
    paths
        .iter()
        .map(|path| wat::parse_file(path).unwrap())
        .collect()
}

/// Rewrites; what is accepted must be right.
fn try_one(bytes: &[u8]) -> bool {
    let options =
        [Stopping::BySignal, Stopping::ByPoll, Stopping::ByWord].map(|stopping| Options {
            stopping,
            stack_check: true,
            locked_barriers: true,
        });
    let others = options.map(|options| rewrite_with(bytes, options));
    match rewrite(bytes) {
        Ok(new) => {
            check(bytes, &new);
            for other in others {
                Validator::new_with_features(FEATURES)
                    .validate_all(&other.unwrap().wasm)
                    .unwrap();
            }
            assert_eq!(
                OffsetMap::from_bytes(&new.offsets.to_bytes()),
                Some(new.offsets)
            );
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

#[test]
fn whole_modules_pass() {
    for module in modules() {
        assert!(try_one(&module));
    }
}

#[test]
fn truncated_modules() {
    for module in modules() {
        for len in 0..module.len() {
            try_one(&module[..len]);
        }
    }
}

#[test]
fn mutated_modules() {
    let mut accepted = 0;
    let modules = modules();
    for seed in seeds(20_000, 400_000) {
        let mut numbers = Numbers(seed);
        let mut module = modules[numbers.below(modules.len())].clone();
        for _ in 0..=numbers.below(3) {
            let at = 8 + numbers.below(module.len() - 8);
            match numbers.below(4) {
                0 => module[at] = numbers.next() as u8,
                1 => module[at] ^= 1 << numbers.below(8),
                2 => module.insert(at, numbers.next() as u8),
                _ => drop(module.remove(at)),
            }
        }
        accepted += usize::from(try_one(&module));
    }
    assert!(
        accepted > 1_000,
        "only {accepted} mutants were modules at all"
    );
}

#[test]
fn garbage() {
    for seed in seeds(20_000, 400_000) {
        let mut numbers = Numbers(seed);
        let len = numbers.below(200);
        let mut bytes = numbers.bytes(len);
        try_one(&bytes);
        bytes.splice(0..0, *b"\0asm\x01\0\0\0");
        try_one(&bytes);
    }
}

#[test]
fn garbage_instead_of_a_map() {
    let module = wat::parse_str(include_str!("../snapshots/several_memories.wat")).unwrap();
    let map = rewrite(&module).unwrap().offsets;
    let stored = map.to_bytes();
    assert_eq!(OffsetMap::from_bytes(&stored), Some(map.clone()));
    assert_eq!(OffsetMap::from_bytes(b""), None);
    let mut other = 0;
    for seed in seeds(20_000, 400_000) {
        let mut numbers = Numbers(seed);
        let mut bytes = stored.clone();
        match numbers.below(3) {
            0 => bytes.truncate(numbers.below(bytes.len())),
            1 => {
                let at = numbers.below(bytes.len());
                bytes[at] = numbers.next() as u8;
            }
            _ => {
                bytes.truncate(4);
                let len = numbers.below(40);
                bytes.extend(numbers.bytes(len));
            }
        }
        // Either it is refused, or it is a map that works.
        if let Some(read) = OffsetMap::from_bytes(&bytes) {
            other += usize::from(read != map);
            assert_eq!(OffsetMap::from_bytes(&read.to_bytes()), Some(read.clone()));
            for _ in 0..10 {
                read.original(numbers.next() as usize);
                read.original(numbers.next() as u32 as usize);
            }
            read.original(usize::MAX);
        }
    }
    assert!(other > 0);
}
