// The host's own reading and writing of a process's files, by the guest's absolute paths.

import { E, Errno } from '../wasi/abi.js';

/** The directory and the name that a path leads to. */
function* parent(preopens, path) {
  const fits = ([guest]) => guest === '/' || path === guest || path.startsWith(`${guest}/`);
  const [found] = preopens.filter(fits).sort(([a], [b]) => b.length - a.length);
  if (!found) throw new Errno(E.NOENT);
  const names = path.slice(found[0].length).split('/').filter((name) => name !== '' && name !== '.');
  if (names.length === 0 || names.includes('..')) throw new Errno(E.INVAL);
  let directory = found[1];
  for (const name of names.slice(0, -1)) {
    directory = yield directory.lookup(name);
    if (directory?.kind !== 'directory') throw new Errno(E.NOENT);
  }
  return { directory, name: names.at(-1) };
}

/** The bytes of a file. */
export function* readPath(preopens, path) {
  const { directory, name } = yield* parent(preopens, path);
  const node = yield directory.lookup(name);
  if (node?.kind !== 'file') throw new Errno(E.NOENT);
  const handle = yield node.open({ read: true, write: false });
  const bytes = new Uint8Array(Number(yield handle.size()));
  const count = yield handle.read(0, bytes);
  yield handle.close();
  return bytes.subarray(0, count);
}

/** Makes a file, or replaces what is in it. */
export function* writePath(preopens, path, bytes) {
  const { directory, name } = yield* parent(preopens, path);
  const node = (yield directory.lookup(name)) ?? (yield directory.createFile(name));
  if (node.kind !== 'file') throw new Errno(E.ISDIR);
  const handle = yield node.open({ read: false, write: true });
  yield handle.resize(0);
  let done = 0;
  while (done < bytes.length) done += yield handle.write(done, bytes.subarray(done));
  yield handle.close();
}
