// What an embedder may give as a directory or a listener, in a form that can be sent to a worker, and as
// a function of the page.

import { checkFunction, textOf } from './foreign.js';
import { isNodeItself, nodeModule } from './platform.js';

const MOST_LISTENERS = 64;

/** `[guest's path, source]` for each entry of the option `preopens`. */
export function preopensOf({ preopens = {}, readOnly = [] }) {
  const stranger = readOnly.find((guest) => !Object.hasOwn(preopens, guest));
  if (stranger !== undefined) throw new TypeError(`readOnly: "${textOf(stranger)}" is none of the preopens`);
  const source = (guest, given) => ({ ...sourceOf(guest, given), isReadOnly: readOnly.includes(guest) });
  return Object.entries(preopens).map(([guest, given]) => [guest, source(guest, given)]);
}

/** What the option `listeners` says, as Node's servers take it. */
export function listenersOf(listeners) {
  if (listeners.length > 0 && !isNodeItself) throw new TypeError('listeners are there in Node only');
  if (listeners.length > MOST_LISTENERS) throw new RangeError(`there can be ${MOST_LISTENERS} listeners`);
  return listeners.map((given) => {
    if (Number.isInteger(given?.fd)) return { fd: given.fd };
    const address = typeof given === 'string' && /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(given);
    if (!address || Number(address[3]) > 65535) throw new TypeError(`"${textOf(given)}" is no address as "127.0.0.1:8080"`);
    return { host: address[1] ?? address[2], port: Number(address[3]) };
  });
}

/** The options `functions`, as a list, and `handlers`, by name. */
export function functionsOf({ functions = {}, handlers = {} }) {
  const list = Object.entries(functions).flatMap(([module, names]) =>
    Object.entries(names).map(([name, given]) => {
      const { call, waits = true } = typeof given === 'function' ? { call: given } : (given ?? {});
      return { module, name, waits, call: checkFunction(`functions.${module}.${name}`, call) };
    }),
  );
  for (const [name, handler] of Object.entries(handlers)) checkFunction(`handlers.${name}`, handler);
  return { functions: list, handlers: new Map(Object.entries(handlers)) };
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
