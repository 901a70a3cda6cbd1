//! Links the start-up code of reactors, which sets up the main thread and runs constructors
//! once, in `_initialize`. Without it the linker makes a program of every export: each call
//! would run the constructors again, in a thread that C's library does not know
//! (rust-lang/rust#146843). Rust brings the code along, but links it for nobody yet.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name| env::var(name).unwrap_or_default();
    let target = variable("TARGET");
    if !target.starts_with("wasm32-wasi") {
        return;
    }
    let output = Command::new(variable("RUSTC"))
        .args(["--print", "target-libdir", "--target", &target])
        .output()
        .expect("rustc runs: cargo has just used it");
    let libraries = String::from_utf8_lossy(&output.stdout);
    let object = format!("{}/self-contained/crt1-reactor.o", libraries.trim());
    println!("cargo:rustc-cdylib-link-arg={object}");
    println!("cargo:rustc-cdylib-link-arg=--export=_initialize");
}
