// A directory of a browser's origin-private file system.
//
// A file may be open once only there, so that all opens of a file share one access handle,
// and all lookups of a name lead to one node. Nor can a file be moved or removed while it is
// open: to be moved it is closed for a moment, and when its name is removed, what is open
// lives on in memory.

import { Errno } from '../wasi/abi.js';
import * as E from '../wasi/errno.js';
import { moveEach } from './vectors.js';

let inodes = 0n;

/** Errors by the names that the specification gives them. */
const ERRNOS = {
  NotFoundError: E.NOENT,
  TypeMismatchError: E.NOTDIR,
  InvalidModificationError: E.NOTEMPTY,
  NoModificationAllowedError: E.BUSY,
  NotAllowedError: E.ACCES,
  QuotaExceededError: E.NOSPC,
  TypeError: E.INVAL,
};

function fail(error) {
  if (error instanceof Errno) throw error;
  throw new Errno(ERRNOS[error?.name] ?? E.IO);
}

const attempt = (promise) => promise.catch(fail);

const backend = 'opfs';

class Node {
  backend = backend;
  ino = ++inodes;
  constructor(handle) {
    this.handle = handle;
  }

  async stat() {
    return { ino: this.ino };
  }

  /** The system keeps only the time of the last change, and that by itself. */
  setTimes() {}
}

/** A file's contents when its name is gone; the same functions as those of what is stored. */
class Nameless {
  #bytes;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  read(at, vectors) {
    return moveEach(vectors, at, (target, at) => {
      const part = this.#bytes.subarray(at, at + target.length);
      target.set(part);
      return part.length;
    });
  }

  write(at, vectors) {
    return moveEach(vectors, at, (source, at) => {
      if (at + source.length > this.size()) this.resize(at + source.length);
      this.#bytes.set(source, at);
      return source.length;
    });
  }

  size() {
    return this.#bytes.length;
  }

  resize(size) {
    const old = this.#bytes;
    try {
      this.#bytes = new Uint8Array(size);
    } catch {
      throw new Errno(E.NOSPC);
    }
    this.#bytes.set(old.subarray(0, size));
  }

  sync() {}
  close() {}
}

/** A file's contents where they are stored. */
async function stored(handle) {
  const access = await attempt(handle.createSyncAccessHandle());
  const guard = (call) => (...args) => {
    try {
      return call(...args);
    } catch (error) {
      return fail(error);
    }
  };
  return {
    read: guard((at, vectors) => moveEach(vectors, at, (target, at) => access.read(target, { at }))),
    write: guard((at, vectors) => moveEach(vectors, at, (source, at) => access.write(source, { at }))),
    size: guard(() => access.getSize()),
    resize: guard((size) => access.truncate(size)),
    sync: guard(() => access.flush()),
    close: () => access.close(),
  };
}

class File extends Node {
  kind = 'file';
  /** Not null while it is open. */
  #contents = null;
  #opens = 0;
  /** Kept when all opens so far are done. */
  #opening = Promise.resolve();
  /** In memory, once its name has been removed. */
  #nameless = null;

  async stat() {
    if (this.#nameless) return { ino: this.ino, nlink: 0, size: this.#nameless.size() };
    const file = await attempt(this.handle.getFile());
    const time = BigInt(file.lastModified) * 1_000_000n;
    const size = this.#contents?.size() ?? file.size;
    return { ino: this.ino, size, atime: time, mtime: time, ctime: time };
  }

  get isOpen() {
    return this.#opens > 0;
  }

  /** Two at once would each ask for the one handle that there can be. */
  open({ truncate } = {}) {
    const opened = this.#opening.then(() => this.#openNext(truncate));
    this.#opening = opened.catch(() => {});
    return opened;
  }

  // All who open it share what is opened.
  async #openNext(truncate) {
    this.#contents ??= await stored(this.handle);
    this.#opens += 1;
    if (truncate) this.#contents.resize(0);
    return { resource: this };
  }

  read(at, vectors) {
    return this.#contents.read(at, vectors);
  }

  write(at, vectors) {
    return this.#contents.write(at, vectors);
  }

  append(vectors) {
    const moved = this.write(this.size(), vectors);
    this.ended = this.size();
    return moved;
  }

  size() {
    return this.#contents.size();
  }

  resize(size) {
    this.#contents.resize(size);
  }

  allocate(end) {
    this.resize(Math.max(this.size(), end));
  }

  sync() {
    this.#contents.sync();
  }

  close() {
    this.#opens -= 1;
    if (this.#opens > 0) return;
    this.#contents.close();
    this.#contents = null;
  }

  /** Goes on in memory, if it is open: the name is about to be removed. */
  loseName() {
    if (!this.isOpen) return;
    const bytes = new Uint8Array(this.#contents.size());
    this.#contents.read(0, [bytes]);
    this.#contents.close();
    this.#nameless = new Nameless(bytes);
    this.#contents = this.#nameless;
  }

  /** Closes it while `change` moves it, if it is open. */
  async whileClosed(change) {
    if (!this.isOpen) return change();
    this.#contents.close();
    try {
      return await change();
    } finally {
      this.#contents = await stored(this.handle);
    }
  }
}

export class OpfsDirectory extends Node {
  kind = 'directory';
  #nodes = new Map();

  #node(name, handle) {
    const known = this.#nodes.get(name);
    if (known && known.handle.kind === handle.kind) return known;
    const node = handle.kind === 'file' ? new File(handle) : new OpfsDirectory(handle);
    this.#nodes.set(name, node);
    return node;
  }

  async lookup(name) {
    const known = this.#nodes.get(name);
    if (known?.isOpen) return known;
    try {
      return this.#node(name, await this.handle.getFileHandle(name));
    } catch (error) {
      if (error.name === 'NotFoundError') return undefined;
      if (error.name !== 'TypeMismatchError') fail(error);
    }
    return this.#node(name, await attempt(this.handle.getDirectoryHandle(name)));
  }

  async list() {
    const entries = [];
    for await (const [name, handle] of this.handle.entries()) {
      const { kind, ino } = this.#node(name, handle);
      entries.push({ name, kind, ino });
    }
    return entries;
  }

  open() {
    return { resource: this };
  }

  close() {}

  async create(name) {
    return this.#node(name, await attempt(this.handle.getFileHandle(name, { create: true }))).open();
  }

  async createDirectory(name) {
    return this.#node(name, await attempt(this.handle.getDirectoryHandle(name, { create: true })));
  }

  createSymlink() {
    throw new Errno(E.NOTSUP);
  }

  link() {
    throw new Errno(E.NOTSUP);
  }

  async removeFile(name) {
    this.#nodes.get(name)?.loseName?.();
    await attempt(this.handle.removeEntry(name));
    this.#nodes.delete(name);
  }

  async removeDirectory(name) {
    await attempt(this.handle.removeEntry(name));
    this.#nodes.delete(name);
  }

  async rename(name, to, toName) {
    const node = await this.lookup(name);
    if (typeof node.handle.move !== 'function') throw new Errno(E.NOTSUP);
    const old = await to.lookup(toName);
    if (old === node) return;
    if (old) await to.removeFile(toName);
    const move = () => attempt(node.handle.move(to.handle, toName));
    await (node.whileClosed?.(move) ?? move());
    this.#nodes.delete(name);
    to.#nodes.set(toName, node);
  }
}
