//! What only JavaScript knows on `wasm32-unknown-unknown`: whether the thread may block,
//! and the time.

use core::time::Duration;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    type SharedArrayBuffer;
    #[wasm_bindgen(constructor, catch)]
    fn new(length: u32) -> Result<SharedArrayBuffer, JsValue>;

    type Int32Array;
    #[wasm_bindgen(constructor, catch)]
    fn new(buffer: &SharedArrayBuffer) -> Result<Int32Array, JsValue>;

    #[wasm_bindgen(js_namespace = Atomics, js_name = wait, catch)]
    fn atomics_wait(array: &Int32Array, index: u32, expected: i32) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_namespace = performance, js_name = now, catch)]
    fn performance_now() -> Result<f64, JsValue>;

    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static TIME_ORIGIN: f64;
}

/// Tries it: a wait for a word that differs returns at once, but throws in an agent that
/// may not block, which is more than windows: service workers and worklets may not either.
pub(crate) fn can_block() -> bool {
    let attempt = || {
        let word = Int32Array::new(&SharedArrayBuffer::new(4)?)?;
        atomics_wait(&word, 0, 1)
    };
    attempt().is_ok()
}

/// `None` in a worklet, which has no `performance`.
pub(crate) fn now() -> Option<Duration> {
    // Each worker counts from its own start. The sum is the same for all of them.
    let now = performance_now().ok()?;
    let milliseconds = TIME_ORIGIN.with(|origin| origin + now);
    Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
}
