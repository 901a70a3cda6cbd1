// The bytes of a module, from wherever it is.

import { ThreadworkError } from './errors.js';
import { bytesOf, isUrl, textOf } from './foreign.js';
import { isNode, nodeModule } from './platform.js';

/**
 * The bytes; and where the host can compile while it loads, and is to, a promise of the module.
 *
 * @param {string | URL | Response | BufferSource} source
 */
export async function fetchBytes(source, { compile = false } = {}) {
  // A copy: another thread could change bytes that are shared.
  if (!(source instanceof Response) && !(source instanceof URL) && typeof source !== 'string') {
    return { bytes: bytesOf(source).slice() };
  }
  const file = isNode ? localPath(source) : null;
  if (file) {
    try {
      return { bytes: new Uint8Array(await nodeModule('node:fs').promises.readFile(file)) };
    } catch (error) {
      throw new ThreadworkError('FETCH', `cannot read ${file}: ${error.message}`, { cause: error });
    }
  }
  const response = source instanceof Response ? source : await request(source);
  const where = response.url || 'the response';
  if (!response.ok) throw new ThreadworkError('FETCH', `cannot load ${where}: status ${response.status}`);
  try {
    const compiled = compile ? compiling(response) : undefined;
    return { bytes: new Uint8Array(await response.arrayBuffer()), compiled };
  } catch (error) {
    throw new ThreadworkError('FETCH', `cannot load ${where}: ${textOf(error)}`, { cause: error });
  }
}

/** Compiles while it loads, where the type allows it. */
function compiling(response) {
  const type = response.headers.get('content-type') ?? '';
  if (!/^\s*application\/wasm\s*(;|$)/i.test(type)) return undefined;
  const twin = response.clone();
  // Compilers take this and nothing like it.
  const headers = { 'Content-Type': 'application/wasm' };
  const isPlain = type === headers['Content-Type'];
  const compiled = WebAssembly.compileStreaming(isPlain ? twin : new Response(twin.body, { headers }));
  // Looked at later; without this a failure would count as unhandled until then.
  compiled.catch(() => {});
  return compiled;
}

async function request(url) {
  try {
    return await fetch(url);
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
