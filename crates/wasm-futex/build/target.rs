//! Whether the target has threads, from what Cargo tells a build script.
//!
//! A target has them if all its code is compiled with the `atomics` feature: that is
//! so by name for `wasm32-wasip1-threads`, whose standard library comes compiled, and
//! by flags where the user compiles the standard library too.

/// Whether the target is WebAssembly with threads. `variable` looks up an environment
/// variable.
pub(crate) fn has_wasm_threads(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, value: &str| variable(name).is_some_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_FAMILY", "wasm") {
        return false;
    }
    // A nightly compiler lists the feature. A stable one hides it, but obeys the flag.
    variable("TARGET").is_some_and(|target| target.ends_with("-threads"))
        || variable("CARGO_CFG_TARGET_FEATURE")
            .is_some_and(|features| features.split(',').any(|feature| feature == "atomics"))
        || variable("CARGO_ENCODED_RUSTFLAGS").is_some_and(|flags| enables_atomics(&flags))
}

/// Whether the flags, separated by the byte 0x1f, switch `atomics` on. The last one to
/// name it decides, as in rustc.
fn enables_atomics(flags: &str) -> bool {
    flags
        .split('\x1f')
        .filter_map(|flag| {
            let option = flag.strip_prefix("-C").unwrap_or(flag);
            option.strip_prefix("target-feature=")
        })
        .flat_map(|features| features.split(','))
        .fold(false, |enabled, feature| match feature {
            "+atomics" => true,
            "-atomics" => false,
            _ => enabled,
        })
}
