//! How the build script finds out whether the target has threads.

#[path = "../build/target.rs"]
mod target;

/// The answer for variables as Cargo sets them.
fn has_threads(target: &str, features: &str, flags: &[&str]) -> bool {
    let family = if target.starts_with("wasm") {
        "wasm"
    } else {
        "unix"
    };
    target::has_wasm_threads(|name| {
        let value = match name {
            "TARGET" => target.to_owned(),
            "CARGO_CFG_TARGET_FAMILY" => family.to_owned(),
            "CARGO_CFG_TARGET_FEATURE" => features.to_owned(),
            "CARGO_ENCODED_RUSTFLAGS" => flags.join("\x1f"),
            _ => return None,
        };
        Some(value)
    })
}

const UNKNOWN: &str = "wasm32-unknown-unknown";

#[test]
fn the_name_of_a_target_tells() {
    assert!(has_threads("wasm32-wasip1-threads", "", &[]));
    assert!(!has_threads("wasm32-wasip1", "", &[]));
    assert!(!has_threads(UNKNOWN, "bulk-memory,sign-ext", &[]));
}

#[test]
fn nightly_lists_the_feature() {
    assert!(has_threads(UNKNOWN, "atomics,bulk-memory", &[]));
    assert!(!has_threads(UNKNOWN, "no-atomics", &[]));
}

#[test]
fn stable_obeys_the_flags() {
    let on = "target-feature=+bulk-memory,+atomics";
    let off = "target-feature=-atomics";
    assert!(has_threads(UNKNOWN, "", &["-C", on]));
    assert!(has_threads(UNKNOWN, "", &["-O", &format!("-C{on}"), "-g"]));
    assert!(!has_threads(UNKNOWN, "", &["-C", on, "-C", off]));
    assert!(has_threads(UNKNOWN, "", &["-C", off, "-C", on]));
    assert!(!has_threads(UNKNOWN, "", &["--cfg", "atomics"]));
}

#[test]
fn native_targets_have_other_means() {
    let on = "-Ctarget-feature=+atomics";
    assert!(!has_threads("x86_64-unknown-linux-gnu", "atomics", &[on]));
}
