//! A pool of wasm-bindgen-rayon, for the benchmarks of the web host.

pub use wasm_bindgen_rayon::init_thread_pool;

use wasm_bindgen::prelude::*;

/// How many threads of the pool answer.
#[wasm_bindgen]
pub fn meet() -> usize {
    rayon::broadcast(|_| ()).len()
}
