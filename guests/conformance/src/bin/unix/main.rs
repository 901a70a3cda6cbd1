//! What programs expect of descriptors, streams and clocks, because Unix has it so:
//! `unix RULE DIRECTORY`. In `DIRECTORY` is nobody else, and at the end nothing.

#[cfg(target_family = "wasm")]
mod rules;

fn main() {
    #[cfg(target_family = "wasm")]
    rules::run();
    #[cfg(not(target_family = "wasm"))]
    panic!("natively it is so");
}
