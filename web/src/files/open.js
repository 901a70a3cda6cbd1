// From what the host was given for a directory to a backend. Backends are loaded when first
// used: a program without files costs nothing.

import { LIMITS } from '../control.js';
import { isNode } from '../platform.js';
import * as W from '../words.js';
import { Backend, Descriptors } from './descriptors.js';
import { FileTable } from './table.js';

const BACKENDS = {
  memory: async ({ tree }, { memory }) => (await import('./memory.js')).directoryIn(memory, tree),
  node: async ({ path }) => (await import('./node.js')).NodeDirectory.of(path),
  opfs: async ({ handle }) => new (await import('./opfs.js')).OpfsDirectory(handle),
};

/** The directories that a process is granted: `[guest's path, directory, whether it may only read there]`. */
export async function openPreopens(files, isShared) {
  const opened = [];
  if (files.preopens.some(([, { kind }]) => kind === 'memory')) {
    files.memory = (await import('./memory.js')).createMemory(files.mostMemory, isShared);
  }
  try {
    for (const [path, source] of files.preopens) {
      opened.push([path, await BACKENDS[source.kind](source, files), source.isReadOnly]);
    }
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

/** Takes back what the files of a process were in that is over. */
export async function giveBack({ memory }) {
  if (memory) (await import('./memory.js')).keepMemory(memory);
}

/**
 * Memory for a table that all workers use at the same time, if that can be: somebody has to
 * serve what is neither the system's nor in memory.
 */
export async function sharedTable({ preopens }, hasServer) {
  const hasPaths = isNode && (await import('./node.js')).hasDescriptorPaths;
  const isOfAll = ({ kind }) => kind === 'memory' || (kind === 'node' && hasPaths);
  return hasServer || preopens.every(([, source]) => isOfAll(source)) ? Descriptors.create(true) : undefined;
}

/** A file table; `preopens` fill it, and are its own then, unless others use it already. */
export async function makeTable(memory, preopens, files, listener) {
  const revive = [];
  if (isNode) revive[Backend.NODE] = (await import('./node.js')).revive;
  if (files.memory) {
    const { reviveIn, whenFull } = await import('./memory.js');
    whenFull(files.memory, () => files.mostMemory !== undefined && listener.limitMet('fileMemory'));
    revive[Backend.MEMORY] = reviveIn(files.memory);
  }
  if (files.sockets) revive[Backend.SOCKET] = (await import('../sockets.js')).reviveIn(files.sockets, listener.ringSupervisor);
  const table = new FileTable(memory, files, { ...listener, revive, isOwner: preopens !== null });
  if (preopens) table.fill(preopens, files.mostOpen, files.listeners?.length);
  return table;
}

/** Tells the control block what a file table says. */
export const informing = ({ words }) => ({
  ringSupervisor: () => {
    Atomics.add(words, W.SUPERVISOR, 1);
    Atomics.notify(words, W.SUPERVISOR);
  },
  limitMet: (limit) => void Atomics.or(words, W.LIMITS_MET, 1 << LIMITS.indexOf(limit)),
  streamMoved: (stream, fd) => void Atomics.store(words, W.STREAM_FD + stream, fd),
  streamFlags: (stream, flags) => void Atomics.store(words, W.STREAM_FLAGS + stream, flags),
});
