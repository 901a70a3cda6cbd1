// The rewriter of threadwork-rewrite, compiled to WebAssembly: it makes calls of a module's
// waits and notifies, so that the host sees them.

import { ThreadworkError } from './errors.js';
import { fetchBytes } from './fetch.js';
import { monotonic } from './platform.js';

/** How long to wait for room, and how often to look, in ms: WebKit gives memory back when it collects. */
const ROOM_PATIENCE = 10_000;
const ROOM_PERIOD = 100;

/** Promises of instances, by their addresses. */
const instances = new Map();

async function instanceAt(url) {
  const key = String(url);
  if (!instances.has(key)) {
    instances.set(key, fetchBytes(url).then(({ bytes }) => WebAssembly.instantiate(bytes)));
  }
  try {
    return (await instances.get(key)).instance.exports;
  } catch (error) {
    instances.delete(key);
    throw new ThreadworkError('REWRITER', `the rewriter cannot be loaded: ${error.message}`, { cause: error });
  }
}

/** One that has room for so many bytes, and where. */
async function withRoom(url, length) {
  const end = monotonic() + ROOM_PATIENCE;
  for (;;) {
    const exports = await instanceAt(url);
    try {
      return { exports, room: exports.allocate(length) };
    } catch (error) {
      // What has trapped is of no use any more.
      instances.delete(String(url));
      if (monotonic() > end) throw outOfOrder(error);
    }
    await new Promise((done) => setTimeout(done, ROOM_PERIOD));
  }
}

const outOfOrder = (error) =>
  new ThreadworkError('REWRITER', `the rewriter has failed; perhaps there was no memory for it: ${error.message}`, { cause: error });

/** The bytes of the module, rewritten; with a check of its stack in linear memory, if so. */
export async function rewrite(bytes, { stackCheck }, url = new URL('../rewriter/rewriter.wasm', import.meta.url)) {
  const { exports, room } = await withRoom(url, bytes.length);
  // Each call may grow the memory, which then has another buffer.
  const view = (at, length) => new Uint8Array(exports.memory.buffer, at, length);
  view(room, bytes.length).set(bytes);
  let isDone;
  try {
    isDone = exports.rewrite(stackCheck ? 1 : 0);
  } catch (error) {
    instances.delete(String(url));
    throw outOfOrder(error);
  }
  const result = view(exports.result(), exports.result_length()).slice();
  if (isDone) return result;
  throw new ThreadworkError('COMPILE', new TextDecoder().decode(result));
}
