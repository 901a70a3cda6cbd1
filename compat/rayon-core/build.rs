//! Is here because Cargo wants a build script of a package that has `links`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
