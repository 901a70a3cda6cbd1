// The rewriter of threadwork-rewrite, compiled to WebAssembly: it makes calls of a module's
// waits and notifies, so that the host sees them.

import { ThreadworkError } from './errors.js';
import { fetchBytes } from './fetch.js';

let instance = null;

/** The bytes of the module, rewritten; with a check of its stack in linear memory, if so. */
export async function rewrite(bytes, { stackCheck }, url = new URL('../rewriter/rewriter.wasm', import.meta.url)) {
  instance ??= fetchBytes(url).then(({ bytes }) => WebAssembly.instantiate(bytes));
  let exports;
  try {
    exports = (await instance).instance.exports;
  } catch (error) {
    instance = null;
    throw new ThreadworkError('REWRITER', `the rewriter cannot be loaded: ${error.message}`, { cause: error });
  }
  // Each call may grow the memory, which then has another buffer.
  const view = (at, length) => new Uint8Array(exports.memory.buffer, at, length);
  const room = exports.allocate(bytes.length);
  view(room, bytes.length).set(bytes);
  const isDone = exports.rewrite(stackCheck ? 1 : 0);
  const result = view(exports.result(), exports.result_length()).slice();
  if (isDone) return result;
  throw new ThreadworkError('COMPILE', new TextDecoder().decode(result));
}
