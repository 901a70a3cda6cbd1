// A directory of a browser's origin-private file system.
//
// A file may be open once only there, so that all opens of a file share one access handle,
// and all lookups of a name lead to one node.

import { E, Errno } from '../wasi/abi.js';

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

class Node {
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

class File extends Node {
  kind = 'file';
  #access = null;
  #opens = 0;

  async stat() {
    const access = await this.#access?.catch(() => null);
    const file = await attempt(this.handle.getFile());
    const time = BigInt(file.lastModified) * 1_000_000n;
    const size = access ? access.getSize() : file.size;
    return { ino: this.ino, size, atime: time, mtime: time, ctime: time };
  }

  get isOpen() {
    return this.#opens > 0;
  }

  async open() {
    this.#opens += 1;
    this.#access ??= this.handle.createSyncAccessHandle();
    let access;
    try {
      access = await this.#access;
    } catch (error) {
      this.#release();
      fail(error);
    }
    const guard = (call) => (...args) => {
      try {
        return call(...args);
      } catch (error) {
        return fail(error);
      }
    };
    return {
      read: guard((at, target) => access.read(target, { at })),
      write: guard((at, source) => access.write(source, { at })),
      size: guard(() => access.getSize()),
      resize: guard((size) => access.truncate(size)),
      sync: guard(() => access.flush()),
      close: () => {
        if (this.#opens === 1) access.close();
        this.#release();
      },
    };
  }

  #release() {
    this.#opens -= 1;
    if (this.#opens === 0) this.#access = null;
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

  async createFile(name) {
    return this.#node(name, await attempt(this.handle.getFileHandle(name, { create: true })));
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
    await attempt(this.handle.removeEntry(name));
    this.#nodes.delete(name);
  }

  async removeDirectory(name) {
    await attempt(this.handle.removeEntry(name));
    this.#nodes.delete(name);
  }

  async rename(name, to, toName) {
    const node = await this.lookup(name);
    if (node.isOpen) throw new Errno(E.BUSY);
    if (typeof node.handle.move !== 'function') throw new Errno(E.NOTSUP);
    const old = await to.lookup(toName);
    if (old) await to.removeFile(toName);
    await attempt(node.handle.move(to.handle, toName));
    this.#nodes.delete(name);
    to.#nodes.delete(toName);
  }
}
