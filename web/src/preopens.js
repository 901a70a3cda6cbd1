// What an embedder may give as a directory, in a form that can be sent to a worker.

import { isNodeItself, nodeModule } from './platform.js';

/** `[guest's path, source]` for each entry of the option `preopens`. */
export function preopensOf(preopens) {
  return Object.entries(preopens).map(([guest, given]) => [guest, sourceOf(guest, given)]);
}

function sourceOf(guest, given) {
  if (typeof given === 'string' || given instanceof URL) {
    if (!isNodeItself) throw new TypeError(`"${guest}": real directories are there in Node only`);
    const path = given instanceof URL ? nodeModule('node:url').fileURLToPath(given) : given;
    return { kind: 'node', path };
  }
  if (typeof FileSystemDirectoryHandle === 'function' && given instanceof FileSystemDirectoryHandle) {
    return { kind: 'opfs', handle: given };
  }
  if (given === null || typeof given !== 'object') {
    throw new TypeError(`"${guest}": give an object of files, a FileSystemDirectoryHandle, or a path`);
  }
  return { kind: 'memory', tree: given };
}
