//! The offset map when indices change their width, and what it costs.

use threadwork_rewrite::{OffsetMap, Rewritten, rewrite};

use crate::check::check;

fn rewritten(text: &str) -> (Vec<u8>, Rewritten) {
    let wasm = wat::parse_str(text).unwrap();
    let new = rewrite(&wasm).unwrap();
    check(&wasm, &new);
    let stored = new.offsets.to_bytes();
    assert_eq!(OffsetMap::from_bytes(&stored).as_ref(), Some(&new.offsets));
    (wasm, new)
}

#[test]
fn indices_and_sizes_that_get_wider() {
    // Functions 126 and 127 become 128 and 129, which take two bytes; and so does
    // then the size of a body that had 127 bytes, and of one that gets there by
    // many small steps. The section's own size gets wider too.
    let imports = r#"(import "env" "f" (func))"#.repeat(126);
    for calls in 50..70 {
        for pad in 0..4 {
            let (wasm, new) = rewritten(&format!(
                r#"(module {imports} (memory 1 1 shared)
                     (func $first {calls} {nops} (drop (memory.grow (i32.const 0))))
                     (func $second (call $first) (call 3)
                       (drop (memory.atomic.notify offset=300 (i32.const 0) (i32.const 1)))
                       (call $third) (drop (ref.func $first)))
                     (func $third (return_call $second))
                     (elem declare func $first))"#,
                calls = "(call $first)".repeat(calls),
                nops = "nop ".repeat(pad),
            ));
            assert!(new.wasm.len() > wasm.len());
            // One for each call that got wider, and a few.
            assert!(new.offsets.len() > calls && new.offsets.len() < calls + 16);
        }
    }
}

#[test]
fn padded_indices_cost_nothing() {
    // `call 0`, with its index in five bytes, a hundred times; then `memory.grow`.
    let mut body = vec![0];
    for _ in 0..100 {
        body.extend([0x10, 0x80, 0x80, 0x80, 0x80, 0x00]);
    }
    body.extend([0x41, 0, 0x40, 0, 0x1a, 0x0b]);
    let mut module = wasm_encoder::Module::new();
    let mut types = wasm_encoder::TypeSection::new();
    types.ty().function([], []);
    let mut functions = wasm_encoder::FunctionSection::new();
    functions.function(0).function(0);
    let mut memories = wasm_encoder::MemorySection::new();
    memories.memory(wasm_encoder::MemoryType {
        minimum: 1,
        maximum: Some(1),
        memory64: false,
        shared: true,
        page_size_log2: None,
    });
    let mut code = wasm_encoder::CodeSection::new();
    code.raw(&body).raw(&body);
    module
        .section(&types)
        .section(&functions)
        .section(&memories);
    let wasm = module.section(&code).clone().finish();

    let new = rewrite(&wasm).unwrap();
    check(&wasm, &new);
    // Before the code, the first body, its `memory.grow`, the rest and the second
    // body, its `memory.grow`, the rest, and behind the module's functions. Calls
    // of an import are as long as `memory.grow`, so that nothing moves by it.
    assert_eq!(new.offsets.len(), 7);
}

#[test]
fn a_module_that_is_left_alone_maps_to_itself() {
    let (wasm, new) = rewritten("(module (func nop) (func nop))");
    assert_eq!(new.wasm, wasm);
    assert!(new.offsets.is_identity());
    for offset in 0..wasm.len() {
        assert_eq!(new.offsets.original(offset), Some(offset));
    }
    assert_eq!(new.offsets.original(wasm.len()), None);
    let (_, other) = rewritten("(module (memory 1) (func nop))");
    assert!(!other.offsets.is_identity());
}

#[test]
fn an_empty_map_maps_nothing() {
    let map = OffsetMap::default();
    assert!(map.is_empty() && !map.is_identity());
    assert_eq!(map.original(0), None);
    assert_eq!(OffsetMap::from_bytes(&map.to_bytes()), Some(map));
}

/// `from_bytes` takes nothing that `to_bytes` would not have written.
#[test]
fn stored_maps_that_nobody_stored() {
    // A run is a step with its kind in the low two bits, and for the kinds 0 and
    // 1 the difference of the originals, its sign in the lowest bit.
    let read = |runs: &[u8]| OffsetMap::from_bytes(&[b"two\x01", runs].concat());
    assert!(read(&[]).is_some());
    assert!(read(&[4, 2, 2 + 4]).is_some());

    let most = [0xff, 0xff, 0xff, 0xff, 0x0f]; // 2^32 - 1
    let last = [0xfe, 0xff, 0xff, 0xff, 0x3f]; // a step of 2^32 - 1, kind 2
    assert!(read(&last).is_some());
    for garbage in [
        [2, 2].as_slice(),                              // a run without length
        &[7, 0],                                        // no such kind
        &[0],                                           // no original
        &[0x80],                                        // half a number
        &[0, 1],                                        // an original below zero
        &[&[4, 2, 2], last.as_slice()].concat(),        // behind the last offset
        &[[0].as_slice(), &most, &[4], &most].concat(), // likewise in the original
        &[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02], // 65 bits
        &[
            0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00,
        ], // 11 bytes
    ] {
        assert_eq!(read(garbage), None, "{garbage:?}");
    }
    assert_eq!(OffsetMap::from_bytes(b"two\x02"), None, "a later version");
}
