// The host's own reading and writing of a process's files, by the guest's absolute paths.

import { textOf } from '../foreign.js';
import { Errno, isErrno } from '../wasi/abi.js';
import * as E from '../wasi/errno.js';

/** What an error of the two below says. */
export function sayOf(error) {
  if (!isErrno(error)) return textOf(error);
  return error.errno === E.NOENT ? 'no such file' : Object.keys(E).find((name) => E[name] === error.errno);
}

/** Does something with the directory and the name that a path leads to. */
function* withParent(preopens, path, body) {
  const fits = ([guest]) => guest === '/' || path === guest || path.startsWith(`${guest}/`);
  const [found] = preopens.filter(fits).sort(([a], [b]) => b.length - a.length);
  if (!found) throw new Errno(E.NOENT);
  const names = path.slice(found[0].length).split('/').filter((name) => name !== '' && name !== '.');
  if (names.length === 0 || names.includes('..')) throw new Errno(E.INVAL);
  const trail = [found[1]];
  const { tree } = found[1];
  tree?.take();
  try {
    for (const name of names.slice(0, -1)) {
      const directory = trail.at(-1);
      const next = yield directory.enter ? directory.enter(name) : directory.lookup(name);
      if (next?.kind !== 'directory') throw new Errno(E.NOENT);
      trail.push(next);
    }
    return yield* body(trail.at(-1), names.at(-1));
  } finally {
    tree?.give();
    for (const directory of trail.slice(1)) directory.leave?.();
  }
}

/** The bytes of a file. */
export function* readPath(preopens, path) {
  return yield* withParent(preopens, path, function* (directory, name) {
    const node = yield directory.lookup(name);
    if (node?.kind !== 'file') throw new Errno(E.NOENT);
    const file = resourceOf(yield node.open({ read: true }), directory);
    try {
      const bytes = new Uint8Array(yield file.size());
      return bytes.subarray(0, yield file.read(0, [bytes]));
    } finally {
      file.close();
    }
  });
}

/** Makes a file, or replaces what is in it. */
export function* writePath(preopens, path, bytes) {
  yield* withParent(preopens, path, function* (directory, name) {
    const access = { write: true, truncate: true };
    const node = yield directory.lookup(name);
    if (node && node.kind !== 'file') throw new Errno(E.ISDIR);
    const file = resourceOf(yield node ? node.open(access) : directory.create(name, access), directory);
    try {
      let done = 0;
      while (done < bytes.length) done += yield file.write(done, [bytes.subarray(done)]);
    } finally {
      file.close();
    }
  });
}

/** Of what was opened; that is nothing where somebody else has changed the directory meanwhile. */
function resourceOf(opened, { backend }) {
  if (!opened) throw new Errno(E.AGAIN);
  return opened.resource ?? backend.revive(opened);
}
