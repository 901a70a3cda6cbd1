// The bytes of a module, from wherever it is.

import { ThreadworkError } from './errors.js';
import { isNode, nodeModule } from './platform.js';

/**
 * The bytes; and where the host can compile while it loads, and is to, a promise of the module.
 *
 * @param {string | URL | Response | BufferSource} source
 */
export async function fetchBytes(source, { compile = false } = {}) {
  if (ArrayBuffer.isView(source)) {
    // A copy: another thread could change bytes that are shared.
    return { bytes: new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice() };
  }
  if (!(source instanceof Response) && !(source instanceof URL) && typeof source !== 'string') {
    return { bytes: new Uint8Array(source).slice() };
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
  if (!response.ok) {
    throw new ThreadworkError('FETCH', `cannot load ${response.url}: status ${response.status}`);
  }
  const isTyped = response.headers.get('content-type')?.startsWith('application/wasm');
  const twin = compile && isTyped ? response.clone() : null;
  const compiled = twin && WebAssembly.compileStreaming(twin);
  // Looked at later; without this a failure would count as unhandled until then.
  compiled?.catch(() => {});
  return { bytes: new Uint8Array(await response.arrayBuffer()), compiled };
}

async function request(url) {
  try {
    return await fetch(url);
  } catch (error) {
    throw new ThreadworkError('FETCH', `cannot load ${url}: ${error.message}`, { cause: error });
  }
}

/** The path of a file, where the host can read files and the source is not on the network. */
function localPath(source) {
  if (source instanceof Response) return null;
  if (source instanceof URL || source.startsWith('file:')) {
    const url = new URL(source);
    return url.protocol === 'file:' ? nodeModule('node:url').fileURLToPath(url) : null;
  }
  return /^[a-z]{2,}:/i.test(source) ? null : source;
}
