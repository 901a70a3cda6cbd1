// From what the host was given for a directory to a backend. Backends are loaded when first
// used: a program without files costs nothing.

import { LIMITS, W } from '../control.js';
import { FileTable } from './table.js';

const BACKENDS = {
  memory: async ({ tree }) => (await import('./memory.js')).MemoryDirectory.from(tree),
  node: async ({ path }) => new (await import('./node.js')).NodeDirectory(path),
  opfs: async ({ handle }) => new (await import('./opfs.js')).OpfsDirectory(handle),
};

/** The directories that a process is granted: `[guest's path, directory]`. */
export async function openPreopens(sources) {
  const opened = [];
  for (const [path, source] of sources) opened.push([path, await BACKENDS[source.kind](source)]);
  return opened;
}

/** A file table that keeps the control block informed. */
export function makeTable(memory, preopens, files, control) {
  return new FileTable(memory, { ...files, preopens, ...informing(control) });
}

/** Tells the control block what a file table says. */
export const informing = ({ words }) => ({
  limitMet: () => void Atomics.or(words, W.LIMITS_MET, 1 << LIMITS.indexOf('openFiles')),
  streamMoved: (stream, fd) => void Atomics.store(words, W.STREAM_FD + stream, fd),
});

/** The directories in memory, as plain objects again, by the guest's path. */
export function contents(preopens) {
  const inMemory = preopens.filter(([, directory]) => directory.toObject);
  return Object.fromEntries(inMemory.map(([path, directory]) => [path, directory.toObject()]));
}
