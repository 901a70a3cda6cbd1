//! Makes the three instructions linkable.
//!
//! Stable Rust can neither call the intrinsics for `memory.atomic.wait32`,
//! `memory.atomic.wait64` and `memory.atomic.notify` nor write them as inline
//! assembly. An object file needs neither: this script writes one, with a function
//! for each instruction, and has rustc link it.
//!
//! It also tells the crate, as `cfg(wasm_futex_threads)`, whether the target has
//! threads: `cfg(target_feature = "atomics")` cannot be seen on stable.

mod archive;
mod object;
mod target;

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rustc-check-cfg=cfg(wasm_futex_threads)");
    if !target::has_wasm_threads(|name| env::var(name).ok()) {
        return;
    }
    println!("cargo:rustc-cfg=wasm_futex_threads");

    // Two versions of the crate that Cargo does not unify may meet in one program, so
    // the names contain what it unifies by.
    let version = format!(
        "v{}_{}",
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR")
    );
    let names = object::NAMES.map(|name| format!("__wasm_futex_{name}_{version}"));
    let object = object::build(&names);
    let library = archive::build("wasm_futex.o", &object, &names);

    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let file = directory.join(format!("libwasm_futex_{version}.a"));
    fs::write(&file, library)
        .unwrap_or_else(|error| panic!("could not write {}: {error}", file.display()));
    println!("cargo:rustc-link-search=native={}", directory.display());
    println!("cargo:rustc-link-lib=static=wasm_futex_{version}");
}
