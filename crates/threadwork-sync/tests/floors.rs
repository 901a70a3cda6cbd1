//! The crate is built bottom up: a module uses only those that stand above it in the table of
//! `src/lib.rs`, which begins at the bottom. The check is the engine's, whose path it names.

#![cfg(not(any(loom, miri, target_family = "wasm")))]

#[path = "../../threadwork-engine/tests/floors.rs"]
mod floors;
