// The bytes of a module, from wherever it is.

import { ThreadworkError } from './errors.js';
import { bytesOf, checkFunction, isUrl, textOf } from './foreign.js';
import { isNode, namesStreamed, nodeModule } from './platform.js';

/**
 * The bytes; and where the host can compile while it loads, and is to, a promise of the module.
 * `onProgress` is told what has come over the network.
 *
 * @param {string | URL | Response | BufferSource} source
 */
export async function fetchBytes(source, { compile = false, signal, onProgress } = {}) {
  if (onProgress !== undefined) checkFunction('onProgress', onProgress);
  // A copy: another thread could change bytes that are shared.
  if (!(source instanceof Response) && !(source instanceof URL) && typeof source !== 'string') {
    return { bytes: bytesOf(source).slice() };
  }
  const file = isNode ? localPath(source) : null;
  if (file) {
    try {
      return { bytes: new Uint8Array(await nodeModule('node:fs').promises.readFile(file, { signal })) };
    } catch (error) {
      throw new ThreadworkError('FETCH', `cannot read ${file}: ${error.message}`, { cause: error });
    }
  }
  const response = source instanceof Response ? source : await request(source, signal);
  const where = response.url || 'the response';
  if (!response.ok) throw new ThreadworkError('FETCH', `cannot load ${where}: status ${response.status}`);
  try {
    const compiled = compile ? compiling(response) : undefined;
    if (onProgress && response.body) return { bytes: await readBody(response, onProgress), compiled };
    return { bytes: new Uint8Array(await response.arrayBuffer()), compiled };
  } catch (error) {
    if (error instanceof ThreadworkError) throw error;
    throw new ThreadworkError('FETCH', `cannot load ${where}: ${textOf(error)}`, { cause: error });
  }
}

/** The body of a response; `onProgress` hears of each piece. */
async function readBody({ body, headers }, onProgress) {
  // Of what was compressed on the way the length is another.
  const length = headers.has('content-encoding') ? null : headers.get('content-length');
  const total = length === null ? undefined : Number(length);
  const pieces = [];
  let loaded = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(pieces).arrayBuffer());
    pieces.push(value);
    loaded += value.length;
    try {
      onProgress({ loaded, total });
    } catch (error) {
      // Nobody waits for the rest, nor for the news that it is not wanted.
      reader.cancel(error).catch(() => {});
      throw new ThreadworkError('CALLBACK', `onProgress failed: ${textOf(error)}`, { cause: error });
    }
  }
}

/** Compiles while it loads, where the type allows it. */
function compiling(response) {
  const type = response.headers.get('content-type') ?? '';
  if (!namesStreamed || !/^\s*application\/wasm\s*(;|$)/i.test(type)) return undefined;
  const twin = response.clone();
  // Compilers take this and nothing like it.
  const headers = { 'Content-Type': 'application/wasm' };
  const isPlain = type === headers['Content-Type'];
  const compiled = WebAssembly.compileStreaming(isPlain ? twin : new Response(twin.body, { headers }));
  // Looked at later; without this a failure would count as unhandled until then.
  compiled.catch(() => {});
  return compiled;
}

async function request(url, signal) {
  try {
    return await fetch(url, { signal });
  } catch (error) {
    throw new ThreadworkError('FETCH', `cannot load ${url}: ${error.message}`, { cause: error });
  }
}

/** The path of a file, where the host can read files and the source is not on the network. */
export function localPath(source) {
  if (source instanceof URL || (typeof source === 'string' && source.startsWith('file:'))) {
    const url = new URL(source);
    return url.protocol === 'file:' ? nodeModule('node:url').fileURLToPath(url) : null;
  }
  return typeof source === 'string' && !isUrl(source) ? source : null;
}
