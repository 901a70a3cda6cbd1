// Files and directories in memory, and their form as plain objects: a directory is an
// object of entries, a file is bytes or text.

import { E, Errno } from '../wasi/abi.js';

const utf8 = new TextEncoder();
const MOST_BYTES = 2 ** 31 - 1;

let inodes = 0n;
const now = () => BigInt(Date.now()) * 1_000_000n;

const backend = 'memory';

class Node {
  backend = backend;
  ino = ++inodes;
  nlink = 1;
  atime = now();
  mtime = this.atime;
  ctime = this.atime;

  stat() {
    const { ino, atime, mtime, ctime } = this;
    return { ino, nlink: this.names(), size: this.size(), atime, mtime, ctime };
  }

  /** How many names it has. */
  names() {
    return this.nlink;
  }

  setTimes({ atime, mtime }) {
    this.atime = atime ?? this.atime;
    this.mtime = mtime ?? this.mtime;
    this.ctime = now();
  }
}

/** Moves the bytes of all vectors with `each`, until it moves less than one has. */
export function moveEach(vectors, at, each) {
  let moved = 0;
  for (const bytes of vectors) {
    if (bytes.length === 0) continue;
    let count;
    try {
      count = each(bytes, at + moved);
    } catch (error) {
      // What was moved before was moved.
      if (moved > 0) return moved;
      throw error;
    }
    moved += count;
    if (count < bytes.length) break;
  }
  return moved;
}

export class MemoryFile extends Node {
  kind = 'file';
  #bytes;
  #size;

  constructor(bytes = new Uint8Array(0)) {
    super();
    this.#bytes = bytes;
    this.#size = bytes.length;
  }

  get contents() {
    return this.#bytes.subarray(0, this.#size);
  }

  size() {
    return this.#size;
  }

  // A file in memory is what is opened itself.
  open({ truncate } = {}) {
    if (truncate) this.resize(0);
    return { resource: this };
  }

  read(at, vectors) {
    return moveEach(vectors, at, (target, at) => {
      const part = this.#bytes.subarray(Math.min(at, this.#size), Math.min(at + target.length, this.#size));
      target.set(part);
      return part.length;
    });
  }

  write(at, vectors) {
    return moveEach(vectors, at, (source, at) => {
      if (at + source.length > this.#size) this.#resize(at + source.length);
      this.#bytes.set(source, at);
      this.mtime = now();
      return source.length;
    });
  }

  append(vectors) {
    return this.write(this.#size, vectors);
  }

  end() {
    return this.#size;
  }

  resize(size) {
    this.#resize(size);
    this.mtime = now();
  }

  sync() {}
  close() {}

  #resize(size) {
    if (size > MOST_BYTES) throw new Errno(E.FBIG);
    if (size > this.#bytes.length) {
      let bytes;
      try {
        bytes = new Uint8Array(Math.max(size, Math.min(this.#bytes.length * 2, MOST_BYTES), 256));
      } catch {
        throw new Errno(E.NOSPC);
      }
      bytes.set(this.contents);
      this.#bytes = bytes;
    } else if (size < this.#size) {
      this.#bytes.fill(0, size, this.#size);
    }
    this.#size = size;
  }
}

class Symlink extends Node {
  kind = 'symlink';
  #target;

  constructor(target) {
    super();
    this.#target = target;
  }

  size() {
    return utf8.encode(this.#target).length;
  }

  target() {
    return this.#target;
  }
}

export class MemoryDirectory extends Node {
  kind = 'directory';
  #entries = new Map();
  #isRemoved = false;

  /** From a plain object: names to bytes, text, or objects like it. */
  static from(entries) {
    const directory = new MemoryDirectory();
    for (const [name, value] of Object.entries(entries)) {
      if (name === '' || name === '.' || name === '..' || name.includes('/')) {
        throw new TypeError(
          `"${name}" cannot be the name of a file: nest objects to make directories`,
        );
      }
      directory.#entries.set(name, nodeOf(value));
    }
    return directory;
  }

  /** The plain object again, with bytes for files; symbolic links are left out. */
  toObject() {
    const object = Object.create(null);
    for (const [name, node] of this.#entries) {
      if (node.kind === 'file') object[name] = node.contents.slice();
      if (node.kind === 'directory') object[name] = node.toObject();
    }
    return object;
  }

  size() {
    return this.#entries.size;
  }

  /** Those of itself are `.` and the `..` of those in it, too. */
  names() {
    if (this.#isRemoved) return 0;
    return [...this.#entries.values()].reduce((sum, { kind }) => sum + (kind === 'directory' ? 1 : 0), 2);
  }

  lookup(name) {
    return this.#entries.get(name);
  }

  list() {
    return [...this.#entries].map(([name, { kind, ino }]) => ({ name, kind, ino }));
  }

  open() {
    return { resource: this };
  }

  close() {}

  #put(name, node) {
    if (this.#isRemoved) throw new Errno(E.NOENT);
    this.#entries.set(name, node);
    this.mtime = now();
    return node;
  }

  #drop(name) {
    this.#entries.delete(name);
    this.mtime = now();
  }

  create(name) {
    return this.#put(name, new MemoryFile()).open();
  }

  createDirectory(name) {
    return this.#put(name, new MemoryDirectory());
  }

  createSymlink(name, target) {
    return this.#put(name, new Symlink(target));
  }

  link(name, node) {
    if (node.backend !== backend) throw new Errno(E.XDEV);
    this.#put(name, node);
    node.nlink += 1;
  }

  removeFile(name) {
    this.#entries.get(name).nlink -= 1;
    this.#drop(name);
  }

  removeDirectory(name) {
    const directory = this.#entries.get(name);
    if (directory.size() > 0) throw new Errno(E.NOTEMPTY);
    directory.#isRemoved = true;
    this.#drop(name);
  }

  rename(name, to, toName) {
    const node = this.#entries.get(name);
    const old = to.lookup(toName);
    // Two names of one file: nothing to do.
    if (old === node) return;
    if (old?.kind === 'directory') to.removeDirectory(toName);
    else if (old) to.removeFile(toName);
    to.#put(toName, node);
    this.#drop(name);
  }
}

function nodeOf(value) {
  if (typeof value === 'string') return new MemoryFile(utf8.encode(value));
  if (value instanceof ArrayBuffer) return new MemoryFile(new Uint8Array(value.slice(0)));
  if (ArrayBuffer.isView(value)) {
    return new MemoryFile(new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice());
  }
  return MemoryDirectory.from(value);
}
