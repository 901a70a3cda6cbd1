//! Of two rewrites of a module, one with its barriers replaced, the other as it is: they
//! differ where they should, and nowhere else.

use threadwork_rewrite::{FEATURES, Options, rewrite_with};
use wasmparser::{Operator, Parser, Payload, Validator};

/// Checks what must hold of every module; returns how many operators were replaced.
pub(crate) fn check(wasm: &[u8]) -> usize {
    let [plain, locked] = [false, true].map(|locked_barriers| {
        let options = Options {
            locked_barriers,
            ..Options::default()
        };
        rewrite_with(wasm, options).unwrap()
    });
    Validator::new_with_features(FEATURES)
        .validate_all(&locked.wasm)
        .unwrap();
    let plain = operators(&plain.wasm);
    let mut locked = operators(&locked.wasm).into_iter();
    let (mut replaced, mut previous) = (0, String::new());
    // Without a shared memory, nothing is.
    let any = has_shared_memory(wasm);
    for old in plain {
        let zero = ["I32Const { value: 0 }", "I64Const { value: 0 }"].contains(&&*previous);
        let expected = match as_locked(&old, zero).filter(|_| any) {
            Some((new, drops)) => {
                replaced += 1;
                let dropped = drops.then(|| "Drop".to_owned());
                std::iter::once(new).chain(dropped).collect()
            }
            None => vec![old.clone()],
        };
        for expected in expected {
            assert_eq!(locked.next(), Some(expected), "for {old}");
        }
        previous = old;
    }
    assert_eq!(locked.next(), None);
    replaced
}

/// All code as text.
fn operators(wasm: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            for operator in body.get_operators_reader().unwrap() {
                let operator: Operator<'_> = operator.unwrap();
                all.push(format!("{operator:?}"));
            }
        }
    }
    all
}

fn has_shared_memory(wasm: &[u8]) -> bool {
    let options = Options::default();
    !rewrite_with(wasm, options).unwrap().memories.is_empty()
}

/// What an operator becomes, and whether its result is dropped.
fn as_locked(old: &str, after_zero: bool) -> Option<(String, bool)> {
    let (name, rest) = old.split_once(' ')?;
    let (ty, operation) = name.split_once("Atomic")?;
    let (operation, drops) = match operation.strip_prefix("Store") {
        Some("") => ("RmwXchg".to_owned(), true),
        Some(size) => (format!("Rmw{size}XchgU"), true),
        None if after_zero && (operation.contains("Or") || operation.contains("Xor")) => {
            let addition = operation.replace("Xor", "Add").replace("Or", "Add");
            (addition, false)
        }
        None => return None,
    };
    Some((format!("{ty}Atomic{operation} {rest}"), drops))
}
