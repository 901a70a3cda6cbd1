//! The `name` section when it is not as it should be. (When it is, see the
//! snapshot `names`.)

use threadwork_rewrite::{ENTER, FEATURES, rewrite};
use wasmparser::{KnownCustom, Name, Parser, Payload, Validator};

/// Rewrites a module with these custom sections.
fn rewritten(customs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut wasm = wat::parse_str(
        r#"(module (import "env" "f" (func)) (memory 1 1 shared)
             (func) (func (drop (memory.grow (i32.const 1)))) (start 2))"#,
    )
    .unwrap();
    for (name, data) in customs {
        let mut section = wasm_encoder::Module::new();
        let data = (*data).into();
        section.section(&wasm_encoder::CustomSection {
            name: (*name).into(),
            data,
        });
        wasm.extend_from_slice(&section.finish()[8..]);
    }
    let new = rewrite(&wasm).unwrap();
    Validator::new_with_features(FEATURES)
        .validate_all(&new.wasm)
        .unwrap();
    new.wasm
}

/// The names of functions in each `name` section of the rewritten module.
fn names(customs: &[(&str, &[u8])]) -> Vec<Vec<(u32, String)>> {
    let wasm = rewritten(customs);
    let mut all = Vec::new();
    for payload in Parser::new(0).parse_all(&wasm) {
        let Payload::CustomSection(section) = payload.unwrap() else {
            continue;
        };
        let KnownCustom::Name(section) = section.as_known() else {
            continue;
        };
        let mut names = Vec::new();
        let mut last = None;
        for subsection in section {
            let subsection = subsection.unwrap();
            let number = match subsection {
                Name::Module { .. } => 0,
                Name::Function(_) => 1,
                Name::Unknown { ty, .. } => ty,
                _ => panic!("a subsection that nobody gave"),
            };
            assert!(last < Some(number), "subsections ascend");
            last = Some(number);
            if let Name::Function(map) = subsection {
                for naming in map {
                    let naming = naming.unwrap();
                    names.push((naming.index, naming.name.to_owned()));
                }
            }
        }
        assert!(names.is_sorted(), "{names:?}");
        all.push(names);
    }
    all
}

/// What the rewriter adds, and `more`.
fn added(more: &[(u32, &str)]) -> Vec<(u32, String)> {
    let added = [
        (1, "threadwork:grow:0"),
        (4, ENTER),
        (5, "threadwork:reset"),
    ];
    let mut all: Vec<_> = added
        .iter()
        .chain(more)
        .map(|&(n, s)| (n, s.to_owned()))
        .collect();
    all.sort();
    all
}

#[test]
fn without_names_the_added_functions_are_named() {
    assert_eq!(names(&[]), [added(&[])]);
    assert_eq!(names(&[("other", b"1")]), [added(&[])]);
}

#[test]
fn names_that_cannot_be_read_are_dropped() {
    for damaged in [
        b"\x01".as_slice(),
        b"\x01\x7f\x01\x00\x01a",
        b"\x01\x04\x01\x00\x01\xff",
        b"\x01\x04\x09\x00\x01a",
        b"garbage, and more of it",
        b"\x02\x03\x01\x00\x05",
    ] {
        assert_eq!(names(&[("name", damaged)]), [added(&[])], "{damaged:?}");
    }
}

#[test]
fn names_out_of_order_are_sorted_and_single() {
    // Functions 2 and 0, and 2 again; then a module name, which belongs in front,
    // and a second list of functions.
    let name = b"\x01\x0a\x03\x02\x01b\x00\x01a\x02\x01c\x00\x02\x01m\x01\x04\x01\x01\x01d";
    let expected = added(&[(0, "a"), (2, "d"), (3, "b")]);
    assert_eq!(names(&[("name", name)]), [expected]);
}

#[test]
fn names_of_nothing_do_no_harm() {
    // Function 4294967295.
    let name = b"\x01\x08\x01\xff\xff\xff\xff\x0f\x01a";
    assert_eq!(names(&[("name", name)]), [added(&[(u32::MAX, "a")])]);
}

#[test]
fn unknown_subsections_are_kept_in_their_order() {
    let name = b"\x63\x01!\x01\x04\x01\x00\x01a";
    assert_eq!(names(&[("name", name)]), [added(&[(0, "a")])]);
    assert!(rewritten(&[("name", name)]).ends_with(b"\x63\x01!"));
}

#[test]
fn the_first_of_two_name_sections_counts() {
    let (first, second) = (b"\x01\x04\x01\x00\x01a", b"\x01\x04\x01\x00\x01b");
    let both = names(&[("name", first), ("name", second)]);
    assert_eq!(both, [added(&[(0, "a")])]);
}
