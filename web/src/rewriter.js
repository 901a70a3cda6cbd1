// The rewriter of threadwork-rewrite, compiled to WebAssembly: it makes calls of a module's
// waits and notifies, so that the host sees them.

import { ThreadworkError } from './errors.js';
import { fetchBytes } from './fetch.js';
import { placeOf } from './kept.js';
import { monotonic, stayFor } from './platform.js';

/** How long to wait for room, and how often to look, in ms: WebKit gives memory back when it collects. */
const ROOM_PATIENCE = 10_000;
const ROOM_PERIOD = 100;

/** By their addresses: promises of bytes and, once one was wanted, of an instance. */
const rewriters = new Map();

function rewriterAt(url) {
  const key = String(url);
  if (!rewriters.has(key)) rewriters.set(key, { bytes: fetchBytes(url).then(({ bytes }) => bytes) });
  return rewriters.get(key);
}

async function of(url, what) {
  const rewriter = rewriterAt(url);
  try {
    if (what === 'bytes') return await rewriter.bytes;
    rewriter.instance ??= rewriter.bytes.then((bytes) => stayFor(WebAssembly.instantiate(bytes)));
    return (await rewriter.instance).instance.exports;
  } catch (error) {
    forget(url);
    throw new ThreadworkError('REWRITER', `the rewriter cannot be loaded: ${error.message}`, { cause: error });
  }
}

/** What has trapped is of no use any more. */
const forget = (url) => void rewriters.delete(String(url));

/** What `use` makes of a rewriter with room for so many bytes; nobody else's call comes in between. */
async function withRoom(url, length, use) {
  const end = monotonic() + ROOM_PATIENCE;
  for (;;) {
    const exports = await of(url, 'exports');
    let room;
    try {
      room = exports.allocate(length);
    } catch (error) {
      forget(url);
      if (monotonic() > end) throw outOfOrder(error);
    }
    if (room !== undefined) return use(exports, room);
    await new Promise((done) => setTimeout(done, ROOM_PERIOD));
  }
}

const outOfOrder = (error) =>
  new ThreadworkError('REWRITER', `the rewriter has failed; perhaps there was no memory for it: ${error.message}`, { cause: error });

const OWN = () => new URL('../rewriter/rewriter.wasm', import.meta.url);

/** What the rewriter's own `rewrite` is given. */
const flagsOf = ({ stackCheck, stoppable }) => [stackCheck ? 1 : 0, stoppable ? 1 : 0];

/** Where the browser keeps what `rewrite` makes of this; undefined where it keeps nothing. */
export async function placeOfRewritten(bytes, options, url = OWN()) {
  return placeOf([await of(url, 'bytes'), bytes, Uint8Array.from(flagsOf(options))]);
}

/** The bytes of the module, rewritten; with a check of its stack in linear memory and looks for a stop, if so. */
export async function rewrite(bytes, options, url = OWN()) {
  return withRoom(url, bytes.length, (exports, room) => {
    // Each call may grow the memory, which then has another buffer.
    const view = (at, length) => new Uint8Array(exports.memory.buffer, at, length);
    view(room, bytes.length).set(bytes);
    let isDone;
    try {
      isDone = exports.rewrite(...flagsOf(options));
    } catch (error) {
      forget(url);
      throw outOfOrder(error);
    }
    const result = view(exports.result(), exports.result_length()).slice();
    if (isDone) return result;
    throw new ThreadworkError('COMPILE', new TextDecoder().decode(result));
  });
}
