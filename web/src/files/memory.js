// Files and directories in memory, which all workers of a process use at the same time; and their
// form as plain objects: a directory is an object of entries, a file is bytes or text.
//
// A call that has a path holds the tree's lock to its end, so that what it has found is still
// there. Bytes and times are read and written under the lock of their inode.

import { Errno } from '../wasi/abi.js';
import * as E from '../wasi/errno.js';
import { Lock } from '../lock.js';
import { Backend } from './descriptors.js';
import { moveEach } from './vectors.js';
import { I, KINDS, MOST_BYTES, N, restOf, Volume } from './volume.js';

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** What all files and directories here have in common. */
const backend = { checksRenames: true };

/** A buffer for files of up to so many bytes in sum. */
export const createMemory = Volume.create;
/** Takes such a buffer back that nobody uses any more. */
export const keepMemory = Volume.keep;

/** Calls `full` when there is no room in a buffer. */
export function whenFull(buffer, full) {
  Volume.of(buffer).full = full;
}

/** What makes what is open in a buffer of its words. */
export const reviveIn = (buffer) => ({ handle }) => nodeOf(Volume.of(buffer), handle);

/** A new directory in a buffer, with what a plain object has: names to bytes, text, or objects like it. */
export function directoryIn(buffer, entries) {
  const volume = Volume.of(buffer);
  volume.tree.take();
  try {
    const directory = new MemoryDirectory(volume, volume.make('directory'));
    // That of who grants it, for good.
    directory.open();
    directory.fill(entries);
    return directory;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    const why = error.errno === E.NOSPC ? 'they need more room: raise limits.fileMemory' : 'a name is too long';
    throw new Error(`the files that are given cannot be made, ${why}`, { cause: error });
  } finally {
    volume.tree.give();
  }
}

function nodeOf(volume, inode) {
  const kind = KINDS[volume.words[inode + I.KIND]];
  return kind === 'directory' ? new MemoryDirectory(volume, inode) : new MemoryNode(volume, inode, kind);
}

/** A file, a directory or a symbolic link; and a file that is open. */
class MemoryNode {
  backend = backend;

  constructor(volume, inode, kind) {
    this.volume = volume;
    this.inode = inode;
    this.kind = kind;
    this.lock = new Lock(volume.words, inode + I.LOCK);
  }

  get tree() {
    return this.volume.tree;
  }

  /** For its bytes and times. */
  #take() {
    this.lock.take();
    this.volume.refresh();
  }

  #word(word) {
    return this.volume.words[this.inode + word];
  }

  #float(word) {
    return this.volume.floats[(this.inode + word) / 2];
  }

  #time(word) {
    return BigInt(this.#float(word)) * 1_000_000n + BigInt(this.#word(restOf(word)));
  }

  stat() {
    this.#take();
    try {
      return {
        // Those of other backends are others.
        dev: 1n,
        ino: BigInt(this.#float(I.NUMBER)),
        nlink: this.#word(I.LINKS),
        size: this.kind === 'directory' ? this.#word(I.COUNT) : this.#float(I.SIZE),
        atime: this.#time(I.ATIME),
        mtime: this.#time(I.MTIME),
        ctime: this.#time(I.CTIME),
      };
    } finally {
      this.lock.give();
    }
  }

  setTimes({ atime, mtime }) {
    this.#take();
    try {
      const { volume, inode } = this;
      for (const [word, time] of [[I.ATIME, atime], [I.MTIME, mtime]]) {
        if (time === undefined) continue;
        volume.floats[(inode + word) / 2] = Number(time / 1_000_000n);
        volume.words[inode + restOf(word)] = Number(time % 1_000_000n);
      }
      volume.touch(inode, I.CTIME);
    } finally {
      this.lock.give();
    }
  }

  touch(...times) {
    this.#take();
    try {
      this.volume.touch(this.inode, ...times);
    } finally {
      this.lock.give();
    }
  }

  get kept() {
    return { handle: this.inode, backend: Backend.MEMORY };
  }

  open({ truncate } = {}) {
    if (truncate) this.resize(0);
    Atomics.add(this.volume.words, this.inode + I.OPENS, 1);
    return { ...this.kept, resource: this };
  }

  close() {
    this.tree.take();
    try {
      Atomics.sub(this.volume.words, this.inode + I.OPENS, 1);
      this.volume.settle(this.inode);
    } finally {
      this.tree.give();
    }
  }

  sync() {}

  // ---- Bytes ----

  read(at, vectors) {
    this.#take();
    try {
      const { volume, inode } = this;
      const size = this.#float(I.SIZE);
      // As on Linux (relatime): once after each change.
      const atime = this.#float(I.ATIME);
      if (atime <= this.#float(I.MTIME) || atime <= this.#float(I.CTIME)) volume.touch(inode, I.ATIME);
      return moveEach(vectors, at, (target, at) => {
        const count = Math.min(target.length, size - at);
        if (count <= 0) return 0;
        return volume.read(inode, at, count === target.length ? target : target.subarray(0, count));
      });
    } finally {
      this.lock.give();
    }
  }

  write(at, vectors) {
    this.#take();
    try {
      return this.#write(at, vectors);
    } finally {
      this.lock.give();
    }
  }

  append(vectors) {
    this.#take();
    try {
      const size = this.#float(I.SIZE);
      const moved = this.#write(size, vectors);
      this.ended = size + moved;
      return moved;
    } finally {
      this.lock.give();
    }
  }

  #write(at, vectors) {
    const { volume, inode } = this;
    return moveEach(vectors, at, (source, at) => {
      if (at + source.length > Number.MAX_SAFE_INTEGER) throw new Errno(E.FBIG);
      const count = volume.write(inode, at, source);
      const size = (inode + I.SIZE) / 2;
      volume.floats[size] = Math.max(volume.floats[size], at + count);
      volume.touch(inode, I.MTIME, I.CTIME);
      return count;
    });
  }

  size() {
    this.#take();
    try {
      return this.#float(I.SIZE);
    } finally {
      this.lock.give();
    }
  }

  resize(size) {
    this.#resizeTo(() => size);
  }

  /** Makes it that long, if it is shorter; if not, that changes nothing but the times. */
  allocate(end) {
    this.#resizeTo(() => Math.max(this.#float(I.SIZE), end));
  }

  #resizeTo(size) {
    this.#take();
    try {
      this.volume.resize(this.inode, size());
      this.volume.touch(this.inode, I.MTIME, I.CTIME);
    } finally {
      this.lock.give();
    }
  }

  /** All bytes of a file, or of the target of a link; nobody else changes them. */
  contents() {
    const bytes = new Uint8Array(this.#float(I.SIZE));
    this.volume.read(this.inode, 0, bytes);
    return bytes;
  }

  target() {
    return text.decode(this.contents());
  }
}

/** The tree's lock is held by whoever calls. */
export class MemoryDirectory extends MemoryNode {
  constructor(volume, inode) {
    super(volume, inode, 'directory');
  }

  #node(entry) {
    return nodeOf(this.volume, this.volume.words[entry + N.INODE]);
  }

  lookup(name) {
    const at = this.volume.find(this.inode, name);
    return at === 0 ? undefined : this.#node(this.volume.words[at]);
  }

  list() {
    const { volume } = this;
    return Array.from(volume.entries(this.inode), (entry) => {
      const inode = volume.words[entry + N.INODE];
      const ino = BigInt(volume.floats[(inode + I.NUMBER) / 2]);
      return { name: volume.nameOf(entry), kind: KINDS[volume.words[inode + I.KIND]], ino };
    });
  }

  /** Changes how many names an inode has; a directory has one for each directory in it. */
  #count(inode, change) {
    this.volume.words[inode + I.LINKS] += change;
  }

  #changed() {
    this.touch(I.MTIME, I.CTIME);
  }

  /** Makes something that has a name in here. */
  #make(name, kind, fill = () => {}) {
    const { volume, inode: directory } = this;
    if (volume.words[directory + I.LINKS] === 0) throw new Errno(E.NOENT);
    const inode = volume.make(kind);
    const node = nodeOf(volume, inode);
    try {
      fill(node);
      volume.put(directory, name, inode);
    } catch (error) {
      volume.words[inode + I.LINKS] = 0;
      volume.settle(inode);
      throw error;
    }
    if (kind === 'directory') {
      volume.words[inode + I.PARENT] = directory;
      this.#count(directory, 1);
    } else {
      this.#count(inode, 1);
    }
    this.#changed();
    return node;
  }

  create(name) {
    return this.#make(name, 'file').open();
  }

  createDirectory(name) {
    this.#make(name, 'directory');
  }

  createSymlink(name, target) {
    this.#make(name, 'symlink', (node) => fillFile(node, utf8.encode(target)));
  }

  link(name, node) {
    if (node.backend !== backend) throw new Errno(E.XDEV);
    const { volume, inode } = this;
    if (volume.words[inode + I.LINKS] === 0) throw new Errno(E.NOENT);
    volume.put(inode, name, node.inode);
    this.#count(node.inode, 1);
    node.touch(I.CTIME);
    this.#changed();
  }

  /** Takes a name from what it stands for. */
  #lose(node) {
    if (node.kind === 'directory') {
      this.volume.words[node.inode + I.LINKS] = 0;
      this.#count(this.inode, -1);
    } else {
      this.#count(node.inode, -1);
    }
    node.touch(I.CTIME);
    this.volume.settle(node.inode);
  }

  removeFile(name) {
    const { volume } = this;
    const at = volume.find(this.inode, name);
    const node = this.#node(volume.words[at]);
    volume.free(volume.unlink(this.inode, at));
    this.#lose(node);
    this.#changed();
  }

  removeDirectory(name) {
    if (this.lookup(name).#isFull) throw new Errno(E.NOTEMPTY);
    this.removeFile(name);
  }

  get #isFull() {
    return this.volume.words[this.inode + I.COUNT] > 0;
  }

  /** Whether it is this directory, or is in it, or in one that is in it. */
  #includes(inode) {
    const { words } = this.volume;
    for (; inode !== 0; inode = words[inode + I.PARENT]) if (inode === this.inode) return true;
    return false;
  }

  /** Errors in the order that Linux has. */
  #checkRename(node, to, old) {
    const isDirectory = node.kind === 'directory';
    if (isDirectory && node.#includes(to.inode)) throw new Errno(E.INVAL);
    const replaces = old?.kind === 'directory';
    if (replaces && old.#includes(this.inode)) throw new Errno(E.NOTEMPTY);
    if (old?.inode === node.inode) return;
    if (old && isDirectory && !replaces) throw new Errno(E.NOTDIR);
    if (!isDirectory && replaces) throw new Errno(E.ISDIR);
    if (this.volume.words[to.inode + I.LINKS] === 0) throw new Errno(E.NOENT);
    if (replaces && old.#isFull) throw new Errno(E.NOTEMPTY);
  }

  rename(name, to, toName) {
    const { volume } = this;
    const node = this.lookup(name);
    const old = to.lookup(toName);
    this.#checkRename(node, to, old);
    // Two names of one file: nothing to do.
    if (old?.inode === node.inode) return;
    // The old name stays until nothing can fail any more.
    if (old) volume.words[volume.words[volume.find(to.inode, toName)] + N.INODE] = node.inode;
    else volume.put(to.inode, toName, node.inode);
    volume.free(volume.unlink(this.inode, volume.find(this.inode, name)));
    if (old) to.#lose(old);
    if (node.kind === 'directory') {
      volume.words[node.inode + I.PARENT] = to.inode;
      this.#count(this.inode, -1);
      this.#count(to.inode, 1);
    }
    node.touch(I.CTIME);
    this.#changed();
    to.#changed();
  }

  // ---- Plain objects ----

  fill(entries) {
    for (const [name, value] of Object.entries(entries)) {
      if (name === '' || name === '.' || name === '..' || name.includes('/')) {
        throw new TypeError(
          `"${name}" cannot be the name of a file: nest objects to make directories`,
        );
      }
      const bytes = bytesOf(value);
      if (bytes) this.#make(name, 'file', (node) => fillFile(node, bytes));
      else this.#make(name, 'directory').fill(value);
    }
  }

  /**
   * The plain object again, with bytes for files; symbolic links are left out, and files beyond so
   * many bytes in sum: holes take none in here. Nobody changes anything meanwhile.
   */
  toObject(room = { bytes: MOST_BYTES }) {
    const { volume } = this;
    volume.refresh();
    const object = Object.create(null);
    for (const entry of volume.entries(this.inode)) {
      const node = this.#node(entry);
      if (node.kind === 'directory') object[volume.nameOf(entry)] = node.toObject(room);
      if (node.kind !== 'file') continue;
      const size = volume.floats[(node.inode + I.SIZE) / 2];
      if (size > room.bytes) continue;
      room.bytes -= size;
      object[volume.nameOf(entry)] = node.contents();
    }
    return object;
  }
}

/** Undefined for what is a directory. */
function bytesOf(value) {
  if (typeof value === 'string') return utf8.encode(value);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return undefined;
}

/** All or nothing. */
function fillFile(node, bytes) {
  if (bytes.length > 0 && node.write(0, [bytes]) < bytes.length) throw new Errno(E.NOSPC);
}
