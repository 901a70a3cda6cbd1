// From what the host was given for a directory to a backend. Backends are loaded when first
// used: a program without files costs nothing.

import { LIMITS, W } from '../control.js';
import { isNode } from '../platform.js';
import { Descriptors } from './descriptors.js';
import { FileTable } from './table.js';

const BACKENDS = {
  memory: async ({ tree }) => (await import('./memory.js')).MemoryDirectory.from(tree),
  node: async ({ path }) => (await import('./node.js')).NodeDirectory.of(path),
  opfs: async ({ handle }) => new (await import('./opfs.js')).OpfsDirectory(handle),
};

/** The directories that a process is granted: `[guest's path, directory]`. */
export async function openPreopens(sources) {
  const opened = [];
  try {
    for (const [path, source] of sources) opened.push([path, await BACKENDS[source.kind](source)]);
  } catch (error) {
    for (const [, directory] of opened) directory.close();
    throw error;
  }
  return opened;
}

/** The directories in memory, as plain objects again, by the guest's path. */
export function contents(preopens) {
  const inMemory = preopens.filter(([, directory]) => directory.toObject);
  return Object.fromEntries(inMemory.map(([path, directory]) => [path, directory.toObject()]));
}

/** Memory for a table that all workers use at the same time, if that can be: if nothing but the system has files. */
export async function sharedTable({ preopens }) {
  if (!isNode || preopens.some(([, { kind }]) => kind !== 'node')) return undefined;
  return (await import('./node.js')).hasDescriptorPaths ? Descriptors.create(true) : undefined;
}

/** A file table; `preopens` fill it, and are its own then, unless others use it already. */
export async function makeTable(memory, preopens, files, listener) {
  const revive = isNode ? (await import('./node.js')).revive : undefined;
  const table = new FileTable(memory, files, { ...listener, revive });
  if (preopens) table.fill(preopens, files.mostOpen);
  return table;
}

/** Tells the control block what a file table says. */
export const informing = ({ words }) => ({
  limitMet: () => void Atomics.or(words, W.LIMITS_MET, 1 << LIMITS.indexOf('openFiles')),
  streamMoved: (stream, fd) => void Atomics.store(words, W.STREAM_FD + stream, fd),
  streamFlags: (stream, flags) => void Atomics.store(words, W.STREAM_FLAGS + stream, flags),
});
