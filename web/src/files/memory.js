// Files and directories in memory, which all workers of a process use at the same time, without
// a message; and their form as plain objects: a directory is an object of entries, a file is
// bytes or text.
//
// One buffer that grows has all of it, in blocks of 4 KiB, by their numbers. The first has the
// words of `H`. Others are the bytes of files, tables of the numbers of blocks, inodes, or names
// (entries). A file's blocks are found through tables of tables, as high as its size needs; a
// block that is missing is a hole. A directory's blocks are the buckets of a hash table.
//
// Locks, in the order in which they are taken: the tree's, for names and for who is there; an
// inode's, for its bytes and times; the store's, for free blocks. A call that has a path holds
// the tree's to its end, so that what it has found is still there.
//
// Invariant: an inode is free when it has no name and nobody has it open; bytes beyond a file's
// size are zero. Views reach as far as the buffer did when a lock was taken last.

import { Lock } from '../lock.js';
import { E, Errno } from '../wasi/abi.js';
import { Backend } from './descriptors.js';
import { moveEach } from './vectors.js';

const BLOCK = 4096;
const WORDS = BLOCK / 4;
/** How many blocks are below a table of each height. */
const SPANS = [0, 1, 2, 3, 4, 5].map((height) => WORDS ** height);
/** Numbers of blocks and of words are 32 bits. */
const MOST_BYTES = 2 ** 32 - BLOCK;
/** The greatest size, unless told. */
const USUAL_BYTES = 2 ** 31;
/** The same where buffers do not grow: it is address space from the start. */
const FIXED_BYTES = 2 ** 28;
const FIRST_BYTES = 2 ** 16;
const GROWTH = 2 ** 20;
const HOLE = -1;
/** A directory has so many buckets at first, and more when so many entries are in each. */
const BUCKETS = WORDS;
const MOST_IN_BUCKET = 4;
const MORE_BUCKETS = 8;
const LONGEST_NAME = 255;
const NAME_ROOM = 3 * LONGEST_NAME;

/** The words at the beginning. */
const H = {
  TREE: 0,
  STORE: 1,
  /** Behind the last block that was ever used. */
  TOP: 2,
  /** The first of those that are free again; each begins with the next. */
  FREE_BLOCK: 3,
  /** How many are not free, and how many may be. */
  USED: 4,
  LIMIT: 5,
  FREE_INODE: 6,
  FREE_ENTRY: 7,
  /** As a double: the number that the last inode was given. */
  LAST: 8,
};

/** The words of an inode. */
const I = {
  LOCK: 0,
  KIND: 1,
  /** Under the tree's lock, as all that follows but sizes, blocks and times. */
  LINKS: 2,
  OPENS: 3,
  /** The block or the highest table, and how many tables are above a block. */
  ROOT: 4,
  HEIGHT: 5,
  /** Doubles: the size, the number, and times in ms, which nanoseconds are added to. */
  SIZE: 6,
  NUMBER: 8,
  ATIME: 10,
  MTIME: 12,
  CTIME: 14,
  ATIME_REST: 16,
  MTIME_REST: 17,
  CTIME_REST: 18,
  /** Of a directory: the one above, its first entry, how many it has, how many buckets. */
  PARENT: 19,
  FIRST: 20,
  COUNT: 21,
  BUCKETS: 22,
  /** Of a free one. */
  NEXT_FREE: 23,
};
const INODE_WORDS = 32;

/** The words of an entry. */
const N = {
  /** The next in the bucket, or the next free one. */
  CHAIN: 0,
  NEXT: 1,
  PREVIOUS: 2,
  INODE: 3,
  HASH: 4,
  LENGTH: 5,
  NAME: 6,
};
const ENTRY_WORDS = N.NAME + Math.ceil((LONGEST_NAME + 1) / 4);

const KINDS = [undefined, 'file', 'directory', 'symlink'];

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** What all files and directories here have in common. */
const backend = { checksRenames: true };

/** By buffers: this worker's way to use one. */
const known = new WeakMap();

export class MemoryFiles {
  /** What is looked for, as bytes. */
  #name = new Uint8Array(NAME_ROOM);
  #length = 0;
  #hash = 0;

  /** A buffer for up to so many bytes. */
  static create(most, isShared) {
    const buffer = reserve(most, isShared);
    const words = new Int32Array(buffer);
    words[H.TOP] = words[H.USED] = 1;
    words[H.LIMIT] = Math.floor(Math.min(most ?? MOST_BYTES, buffer.maxByteLength ?? buffer.byteLength) / BLOCK);
    return buffer;
  }

  /** The one that this worker has of a buffer: whoever has the tree's lock may take it again. */
  static of(buffer) {
    if (!known.has(buffer)) known.set(buffer, new MemoryFiles(buffer));
    return known.get(buffer);
  }

  /** Called when there is no room. */
  limitMet = () => {};

  constructor(buffer) {
    this.buffer = buffer;
    this.#look();
    this.tree = new Tree(this, new Lock(this.words, H.TREE));
    this.store = new Lock(this.words, H.STORE);
  }

  /** What an open descriptor is, by its words. */
  revive = ({ handle }) => this.node(handle);

  node(inode) {
    const kind = KINDS[this.words[inode + I.KIND]];
    return kind === 'directory' ? new MemoryDirectory(this, inode) : new MemoryNode(this, inode, kind);
  }

  /** A new directory with what a plain object has: names to bytes, text, or objects like it. */
  from(entries) {
    this.tree.take();
    try {
      const directory = new MemoryDirectory(this, this.make('directory'));
      // That of who grants it, for good.
      directory.open();
      directory.fill(entries);
      return directory;
    } finally {
      this.tree.give();
    }
  }

  // ---- The buffer ----

  #look() {
    const { byteLength } = this.buffer;
    // Of a fixed length: the faster ones.
    this.bytes = new Uint8Array(this.buffer, 0, byteLength);
    this.words = new Int32Array(this.buffer, 0, byteLength / 4);
    this.floats = new Float64Array(this.buffer, 0, byteLength / 8);
  }

  /** Others may have made it larger. */
  refresh() {
    if (this.buffer.byteLength !== this.bytes.length) this.#look();
  }

  #full() {
    this.limitMet();
    return new Errno(E.NOSPC);
  }

  /** Makes the block behind the last one a part of the buffer; under the store's lock. */
  #reach(block) {
    const { buffer } = this;
    const end = (block + 1) * BLOCK;
    if (end <= buffer.byteLength) return this.refresh();
    const step = Math.max(GROWTH, buffer.byteLength / 4);
    const size = Math.min(Math.ceil((end + step) / BLOCK) * BLOCK, Math.floor(buffer.maxByteLength / BLOCK) * BLOCK);
    try {
      if (buffer.grow) buffer.grow(size);
      else buffer.resize(size);
    } catch {
      throw this.#full();
    }
    this.#look();
  }

  /** A block of zeros. */
  #take() {
    this.store.take();
    try {
      this.refresh();
      const { words } = this;
      if (words[H.USED] >= words[H.LIMIT]) throw this.#full();
      let block = words[H.FREE_BLOCK];
      if (block !== 0) {
        words[H.FREE_BLOCK] = words[block * WORDS];
        this.bytes.fill(0, block * BLOCK, (block + 1) * BLOCK);
      } else {
        block = words[H.TOP];
        this.#reach(block);
        words[H.TOP] = block + 1;
      }
      words[H.USED] += 1;
      return block;
    } finally {
      this.store.give();
    }
  }

  #giveBack(block) {
    this.store.take();
    const { words } = this;
    words[block * WORDS] = words[H.FREE_BLOCK];
    words[H.FREE_BLOCK] = block;
    words[H.USED] -= 1;
    this.store.give();
  }

  /** An inode or an entry, from the list that a word begins; under the tree's lock. */
  #part(head, next, size) {
    if (this.words[head] === 0) {
      const first = this.#take() * WORDS;
      const { words } = this;
      for (let n = Math.floor(WORDS / size) - 1; n >= 0; n--) {
        words[first + n * size + next] = words[head];
        words[head] = first + n * size;
      }
    }
    const { words } = this;
    const part = words[head];
    words[head] = words[part + next];
    words.fill(0, part, part + size);
    return part;
  }

  // ---- Blocks of a file ----

  /** The number of a file's block; 0 if there is none, and none is to be made. */
  #block(inode, index, makes) {
    while (index >= SPANS[this.words[inode + I.HEIGHT]]) {
      if (!makes) return 0;
      this.#heighten(inode);
    }
    let at = inode + I.ROOT;
    for (let height = this.words[inode + I.HEIGHT]; ; height--) {
      let block = this.words[at];
      if (block === 0) {
        if (!makes) return 0;
        block = this.#take();
        this.words[at] = block;
      }
      if (height === 0) return block;
      at = block * WORDS + (Math.floor(index / SPANS[height - 1]) % WORDS);
    }
  }

  #heighten(inode) {
    const root = this.words[inode + I.ROOT];
    if (root !== 0) {
      const table = this.#take();
      this.words[table * WORDS] = root;
      this.words[inode + I.ROOT] = table;
    }
    this.words[inode + I.HEIGHT] += 1;
  }

  /** Frees a file's blocks from one on. */
  #prune(inode, from) {
    const { words } = this;
    const root = words[inode + I.ROOT];
    if (root !== 0 && !this.#pruneBelow(root, words[inode + I.HEIGHT], from)) return;
    words[inode + I.ROOT] = words[inode + I.HEIGHT] = 0;
  }

  /** Whether the block itself is free now. */
  #pruneBelow(block, height, from) {
    const { words } = this;
    if (height > 0) {
      const span = SPANS[height - 1];
      for (let n = Math.floor(from / span); n < WORDS; n++) {
        const at = block * WORDS + n;
        if (words[at] !== 0 && this.#pruneBelow(words[at], height - 1, Math.max(0, from - n * span))) words[at] = 0;
      }
    }
    if (from > 0) return false;
    this.#giveBack(block);
    return true;
  }

  /**
   * Calls `each` with the places of a file's bytes, as long as they lie in one piece, or HOLE; how
   * many bytes there were. With `makes` there are no holes; then it may be fewer.
   */
  move(inode, position, length, makes, each) {
    let [done, at, count] = [0, 0, 0];
    const flush = () => {
      each(at, done, count);
      done += count;
      count = 0;
    };
    try {
      while (done + count < length) {
        const from = position + done + count;
        const offset = from % BLOCK;
        const block = this.#block(inode, Math.floor(from / BLOCK), makes);
        const next = block === 0 ? HOLE : block * BLOCK + offset;
        if (count > 0 && next !== (at === HOLE ? HOLE : at + count)) flush();
        if (count === 0) at = next;
        count += Math.min(BLOCK - offset, length - done - count);
      }
    } catch (error) {
      if (count > 0) flush();
      if (done === 0) throw error;
      return done;
    }
    if (count > 0) flush();
    return done;
  }

  /** Reads bytes that are there. */
  read(inode, position, target) {
    return this.move(inode, position, target.length, false, (at, done, count) => {
      if (at === HOLE) target.fill(0, done, done + count);
      else target.set(this.bytes.subarray(at, at + count), done);
    });
  }

  write(inode, position, source) {
    return this.move(inode, position, source.length, true, (at, done, count) => {
      this.bytes.set(count === source.length ? source : source.subarray(done, done + count), at);
    });
  }

  /** Cuts a file off, or makes it longer. */
  resize(inode, size) {
    const at = (inode + I.SIZE) / 2;
    if (size < this.floats[at]) {
      this.#prune(inode, Math.ceil(size / BLOCK));
      const block = size % BLOCK === 0 ? 0 : this.#block(inode, Math.floor(size / BLOCK), false);
      if (block !== 0) this.bytes.fill(0, block * BLOCK + (size % BLOCK), (block + 1) * BLOCK);
    }
    this.floats[at] = size;
  }

  // ---- Inodes ----

  /** One without a name; under the tree's lock, as all that follows. */
  make(kind) {
    const inode = this.#part(H.FREE_INODE, I.NEXT_FREE, INODE_WORDS);
    const { words, floats } = this;
    words[inode + I.KIND] = KINDS.indexOf(kind);
    // `.`, and the name that it will have.
    if (kind === 'directory') words[inode + I.LINKS] = 2;
    floats[H.LAST / 2] += 1;
    floats[(inode + I.NUMBER) / 2] = floats[H.LAST / 2];
    this.touch(inode, I.ATIME, I.MTIME, I.CTIME);
    return inode;
  }

  /** Makes these times of an inode now. */
  touch(inode, ...times) {
    const now = Date.now();
    for (const time of times) {
      this.floats[(inode + time) / 2] = now;
      this.words[inode + restOf(time)] = 0;
    }
  }

  /** Frees what nobody can reach any more. */
  settle(inode) {
    const { words } = this;
    if (words[inode + I.LINKS] > 0 || Atomics.load(words, inode + I.OPENS) > 0) return;
    this.#prune(inode, 0);
    words[inode + I.KIND] = 0;
    words[inode + I.NEXT_FREE] = words[H.FREE_INODE];
    words[H.FREE_INODE] = inode;
  }

  // ---- Names ----

  #setName(name) {
    const { written } = utf8.encodeInto(name, this.#name);
    if (written > LONGEST_NAME) throw new Errno(E.NAMETOOLONG);
    this.#length = written;
    // FNV-1a.
    let hash = 0x811c9dc5;
    for (let n = 0; n < written; n++) hash = Math.imul(hash ^ this.#name[n], 0x01000193);
    this.#hash = hash;
  }

  /** The word that begins the entries of a hash, in a directory that has some. */
  #bucket(directory, hash) {
    const index = hash & (this.words[directory + I.BUCKETS] - 1);
    return this.#block(directory, Math.floor(index / WORDS), false) * WORDS + (index % WORDS);
  }

  /** The word that leads to the entry of a name; 0 if there is none. */
  find(directory, name) {
    this.#setName(name);
    const { words } = this;
    if (words[directory + I.COUNT] === 0) return 0;
    for (let at = this.#bucket(directory, this.#hash); words[at] !== 0; at = words[at] + N.CHAIN) {
      if (this.#isName(words[at])) return at;
    }
    return 0;
  }

  #isName(entry) {
    const { words, bytes } = this;
    if (words[entry + N.HASH] !== this.#hash || words[entry + N.LENGTH] !== this.#length) return false;
    const first = (entry + N.NAME) * 4;
    for (let n = 0; n < this.#length; n++) if (bytes[first + n] !== this.#name[n]) return false;
    return true;
  }

  nameOf(entry) {
    const first = (entry + N.NAME) * 4;
    // A decoder takes no shared bytes.
    return text.decode(this.bytes.slice(first, first + this.words[entry + N.LENGTH]));
  }

  /** Gives an inode a name that nothing has. */
  put(directory, name, inode) {
    // All that can fail comes first.
    this.#setName(name);
    this.#roomFor(directory);
    const entry = this.#part(H.FREE_ENTRY, N.CHAIN, ENTRY_WORDS);
    const { words } = this;
    words[entry + N.INODE] = inode;
    words[entry + N.HASH] = this.#hash;
    words[entry + N.LENGTH] = this.#length;
    this.bytes.set(this.#name.subarray(0, this.#length), (entry + N.NAME) * 4);
    this.#chain(directory, entry);
    const first = words[directory + I.FIRST];
    words[entry + N.NEXT] = first;
    words[entry + N.PREVIOUS] = 0;
    if (first !== 0) words[first + N.PREVIOUS] = entry;
    words[directory + I.FIRST] = entry;
    words[directory + I.COUNT] += 1;
  }

  #chain(directory, entry) {
    const { words } = this;
    const at = this.#bucket(directory, words[entry + N.HASH]);
    words[entry + N.CHAIN] = words[at];
    words[at] = entry;
  }

  /** More buckets, if one more entry needs them. */
  #roomFor(directory) {
    const before = this.words[directory + I.BUCKETS];
    if (this.words[directory + I.COUNT] < before * MOST_IN_BUCKET) return;
    const buckets = Math.max(BUCKETS, before * MORE_BUCKETS);
    for (let n = 0; n < buckets / WORDS; n++) this.#block(directory, n, true);
    const { words } = this;
    words[directory + I.BUCKETS] = buckets;
    for (let n = 0; n < before / WORDS; n++) {
      const first = this.#block(directory, n, false) * WORDS;
      words.fill(0, first, first + WORDS);
    }
    for (const entry of this.entries(directory)) this.#chain(directory, entry);
  }

  /** Takes an entry out that a word leads to. */
  unlink(directory, at) {
    const { words } = this;
    const entry = words[at];
    const [next, previous] = [words[entry + N.NEXT], words[entry + N.PREVIOUS]];
    words[at] = words[entry + N.CHAIN];
    words[previous === 0 ? directory + I.FIRST : previous + N.NEXT] = next;
    if (next !== 0) words[next + N.PREVIOUS] = previous;
    words[directory + I.COUNT] -= 1;
    return entry;
  }

  free(entry) {
    this.words[entry + N.CHAIN] = this.words[H.FREE_ENTRY];
    this.words[H.FREE_ENTRY] = entry;
  }

  *entries(directory) {
    for (let entry = this.words[directory + I.FIRST]; entry !== 0; entry = this.words[entry + N.NEXT]) yield entry;
  }
}

/** A buffer that can grow so far; less far where the host has no address space for more, unless told. */
function reserve(most, isShared) {
  const Buffer = isShared ? SharedArrayBuffer : ArrayBuffer;
  const grows = (isShared ? 'grow' : 'resize') in Buffer.prototype;
  const usual = grows ? USUAL_BYTES : FIXED_BYTES;
  for (let size = Math.max(Math.min(most ?? usual, MOST_BYTES), FIRST_BYTES); ; size /= 2) {
    try {
      return grows ? new Buffer(FIRST_BYTES, { maxByteLength: size }) : new Buffer(size);
    } catch (error) {
      if (most === undefined && size > FIRST_BYTES) continue;
      throw new Error(`no room for files in memory (${error.message}): set limits.fileMemory lower`, { cause: error });
    }
  }
}

const restOf = (time) => I.ATIME_REST + (time - I.ATIME) / 2;

/** The tree's lock, which who has it may take again. */
class Tree {
  #files;
  #lock;
  #depth = 0;

  constructor(files, lock) {
    this.#files = files;
    this.#lock = lock;
  }

  take() {
    if (this.#depth === 0) {
      this.#lock.take();
      this.#files.refresh();
    }
    this.#depth += 1;
  }

  give() {
    this.#depth -= 1;
    if (this.#depth === 0) this.#lock.give();
  }
}

/** A file, a directory or a symbolic link; and a file that is open. */
class MemoryNode {
  backend = backend;

  constructor(files, inode, kind) {
    this.files = files;
    this.inode = inode;
    this.kind = kind;
    this.lock = new Lock(files.words, inode + I.LOCK);
  }

  get tree() {
    return this.files.tree;
  }

  /** For its bytes and times. */
  #take() {
    this.lock.take();
    this.files.refresh();
  }

  #word(word) {
    return this.files.words[this.inode + word];
  }

  #float(word) {
    return this.files.floats[(this.inode + word) / 2];
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
      const { files, inode } = this;
      for (const [word, time] of [[I.ATIME, atime], [I.MTIME, mtime]]) {
        if (time === undefined) continue;
        files.floats[(inode + word) / 2] = Number(time / 1_000_000n);
        files.words[inode + restOf(word)] = Number(time % 1_000_000n);
      }
      files.touch(inode, I.CTIME);
    } finally {
      this.lock.give();
    }
  }

  touch(...times) {
    this.#take();
    try {
      this.files.touch(this.inode, ...times);
    } finally {
      this.lock.give();
    }
  }

  get kept() {
    return { handle: this.inode, backend: Backend.MEMORY };
  }

  open({ truncate } = {}) {
    if (truncate) this.resize(0);
    Atomics.add(this.files.words, this.inode + I.OPENS, 1);
    return { ...this.kept, resource: this };
  }

  close() {
    this.tree.take();
    try {
      Atomics.sub(this.files.words, this.inode + I.OPENS, 1);
      this.files.settle(this.inode);
    } finally {
      this.tree.give();
    }
  }

  sync() {}

  // ---- Bytes ----

  read(at, vectors) {
    this.#take();
    try {
      const { files, inode } = this;
      const size = this.#float(I.SIZE);
      // As on Linux (relatime): once after each change.
      const atime = this.#float(I.ATIME);
      if (atime <= this.#float(I.MTIME) || atime <= this.#float(I.CTIME)) files.touch(inode, I.ATIME);
      return moveEach(vectors, at, (target, at) => {
        const count = Math.min(target.length, size - at);
        if (count <= 0) return 0;
        return files.read(inode, at, count === target.length ? target : target.subarray(0, count));
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
      return this.#write(this.#float(I.SIZE), vectors);
    } finally {
      this.lock.give();
    }
  }

  #write(at, vectors) {
    const { files, inode } = this;
    return moveEach(vectors, at, (source, at) => {
      if (at + source.length > Number.MAX_SAFE_INTEGER) throw new Errno(E.FBIG);
      const count = files.write(inode, at, source);
      const size = (inode + I.SIZE) / 2;
      files.floats[size] = Math.max(files.floats[size], at + count);
      files.touch(inode, I.MTIME, I.CTIME);
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

  end() {
    return this.size();
  }

  resize(size) {
    this.#take();
    try {
      this.files.resize(this.inode, size);
      this.files.touch(this.inode, I.MTIME, I.CTIME);
    } finally {
      this.lock.give();
    }
  }

  /** All bytes of a file, or of the target of a link; nobody else changes them. */
  contents() {
    const bytes = new Uint8Array(this.#float(I.SIZE));
    this.files.read(this.inode, 0, bytes);
    return bytes;
  }

  target() {
    return text.decode(this.contents());
  }
}

/** The tree's lock is held by whoever calls. */
export class MemoryDirectory extends MemoryNode {
  constructor(files, inode) {
    super(files, inode, 'directory');
  }

  #node(entry) {
    return this.files.node(this.files.words[entry + N.INODE]);
  }

  lookup(name) {
    const at = this.files.find(this.inode, name);
    return at === 0 ? undefined : this.#node(this.files.words[at]);
  }

  list() {
    const { files } = this;
    return Array.from(files.entries(this.inode), (entry) => {
      const inode = files.words[entry + N.INODE];
      const ino = BigInt(files.floats[(inode + I.NUMBER) / 2]);
      return { name: files.nameOf(entry), kind: KINDS[files.words[inode + I.KIND]], ino };
    });
  }

  /** Changes how many names an inode has; a directory has one for each directory in it. */
  #count(inode, change) {
    this.files.words[inode + I.LINKS] += change;
  }

  #changed() {
    this.touch(I.MTIME, I.CTIME);
  }

  /** Makes something that has a name in here. */
  #make(name, kind, fill = () => {}) {
    const { files, inode: directory } = this;
    if (files.words[directory + I.LINKS] === 0) throw new Errno(E.NOENT);
    const inode = files.make(kind);
    const node = files.node(inode);
    try {
      fill(node);
      files.put(directory, name, inode);
    } catch (error) {
      files.words[inode + I.LINKS] = 0;
      files.settle(inode);
      throw error;
    }
    if (kind === 'directory') {
      files.words[inode + I.PARENT] = directory;
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
    const { files, inode } = this;
    if (files.words[inode + I.LINKS] === 0) throw new Errno(E.NOENT);
    files.put(inode, name, node.inode);
    this.#count(node.inode, 1);
    node.touch(I.CTIME);
    this.#changed();
  }

  /** Takes a name from what it stands for. */
  #lose(node) {
    if (node.kind === 'directory') {
      this.files.words[node.inode + I.LINKS] = 0;
      this.#count(this.inode, -1);
    } else {
      this.#count(node.inode, -1);
    }
    node.touch(I.CTIME);
    this.files.settle(node.inode);
  }

  removeFile(name) {
    const { files } = this;
    const at = files.find(this.inode, name);
    const node = this.#node(files.words[at]);
    files.free(files.unlink(this.inode, at));
    this.#lose(node);
    this.#changed();
  }

  removeDirectory(name) {
    if (this.lookup(name).#isFull) throw new Errno(E.NOTEMPTY);
    this.removeFile(name);
  }

  get #isFull() {
    return this.files.words[this.inode + I.COUNT] > 0;
  }

  /** Whether it is this directory, or is in it, or in one that is in it. */
  #includes(inode) {
    const { words } = this.files;
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
    if (this.files.words[to.inode + I.LINKS] === 0) throw new Errno(E.NOENT);
    if (replaces && old.#isFull) throw new Errno(E.NOTEMPTY);
  }

  rename(name, to, toName) {
    const { files } = this;
    const node = this.lookup(name);
    const old = to.lookup(toName);
    this.#checkRename(node, to, old);
    // Two names of one file: nothing to do.
    if (old?.inode === node.inode) return;
    // The old name stays until nothing can fail any more.
    if (old) files.words[files.words[files.find(to.inode, toName)] + N.INODE] = node.inode;
    else files.put(to.inode, toName, node.inode);
    files.free(files.unlink(this.inode, files.find(this.inode, name)));
    if (old) to.#lose(old);
    if (node.kind === 'directory') {
      files.words[node.inode + I.PARENT] = to.inode;
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
    const { files } = this;
    files.refresh();
    const object = Object.create(null);
    for (const entry of files.entries(this.inode)) {
      const node = this.#node(entry);
      if (node.kind === 'directory') object[files.nameOf(entry)] = node.toObject(room);
      if (node.kind !== 'file') continue;
      const size = files.floats[(node.inode + I.SIZE) / 2];
      if (size > room.bytes) continue;
      room.bytes -= size;
      object[files.nameOf(entry)] = node.contents();
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
