// One buffer that grows, which all workers of a process use at the same time without a message:
// what files in memory consist of.
//
// It consists of blocks of 4 KiB, by their numbers. The first has the words of `H`. Others are the
// bytes of files, tables of the numbers of blocks, inodes, or names (entries). A file's blocks
// are found through tables of tables, as high as its size needs; a block that is missing is a
// hole. A directory's blocks are the buckets of a hash table.
//
// Locks, in the order in which they are taken: the tree's, for names and for who is there; an
// inode's, for its bytes and times; the store's, for free blocks.
//
// Invariant: an inode is free when it has no name and nobody has it open; bytes beyond a file's
// size are zero. Views reach as far as the buffer did when a lock was taken last.

import { Lock } from '../lock.js';
import { Errno } from '../wasi/abi.js';
import * as E from '../wasi/errno.js';

const BLOCK = 4096;
const WORDS = BLOCK / 4;
/** How many blocks are below a table of each height. */
const SPANS = [0, 1, 2, 3, 4, 5].map((height) => WORDS ** height);
/** Numbers of blocks and of words are 32 bits. */
export const MOST_BYTES = 2 ** 32 - BLOCK;
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
  /** Blocks below this one have bytes of another process before they are used. */
  DIRTY: 10,
};

/** The words of an inode. */
export const I = {
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
export const N = {
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

export const KINDS = [undefined, 'file', 'directory', 'symlink'];

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** What processes have left behind that are over; see `keep`. */
const kept = [];

const sizeOf = (buffer) => buffer.maxByteLength ?? buffer.byteLength;

/** By buffers: this worker's way to use one. */
const known = new WeakMap();

export class Volume {
  /** What is looked for, as bytes. */
  #name = new Uint8Array(NAME_ROOM);
  #length = 0;
  #hash = 0;

  /** A buffer for up to so many bytes; rather one that was kept. */
  static create(most, isShared) {
    const wanted = Math.min(most ?? 0, MOST_BYTES);
    const at = kept.findIndex((buffer) => sizeOf(buffer) >= wanted);
    const buffer = isShared && at >= 0 ? kept.splice(at, 1)[0] : reserve(most, isShared);
    const words = new Int32Array(buffer, 0, WORDS);
    const dirty = Math.max(words[H.TOP], words[H.DIRTY]);
    words.fill(0);
    words[H.TOP] = words[H.USED] = 1;
    words[H.DIRTY] = dirty;
    words[H.LIMIT] = Math.floor(Math.min(most ?? MOST_BYTES, sizeOf(buffer)) / BLOCK);
    return buffer;
  }

  /**
   * Takes a buffer that nobody uses any more, for others: what is dropped is free only when each
   * worker that has known it has collected its garbage, and nothing makes them.
   */
  static keep(buffer) {
    kept.push(buffer);
  }

  /** The one that this worker has of a buffer: whoever has the tree's lock may take it again. */
  static of(buffer) {
    if (!known.has(buffer)) known.set(buffer, new Volume(buffer));
    return known.get(buffer);
  }

  /** Called when there is no room. */
  full = () => {};

  constructor(buffer) {
    this.buffer = buffer;
    this.#look();
    this.tree = new Tree(this, new Lock(this.words, H.TREE));
    this.store = new Lock(this.words, H.STORE);
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
    this.full();
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
      const free = words[H.FREE_BLOCK];
      const block = free || words[H.TOP];
      if (free) {
        words[H.FREE_BLOCK] = words[block * WORDS];
      } else {
        this.#reach(block);
        this.words[H.TOP] = block + 1;
      }
      if (free || block < this.words[H.DIRTY]) this.bytes.fill(0, block * BLOCK, (block + 1) * BLOCK);
      this.words[H.USED] += 1;
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
  for (let size = Math.min(Math.max(most ?? 0, usual), MOST_BYTES); ; size /= 2) {
    try {
      return grows ? new Buffer(FIRST_BYTES, { maxByteLength: size }) : new Buffer(size);
    } catch (error) {
      if (size / 2 > Math.max(most ?? 0, FIRST_BYTES)) continue;
      throw new Error(`no room for files in memory (${error.message}): set limits.fileMemory lower`, { cause: error });
    }
  }
}

export const restOf = (time) => I.ATIME_REST + (time - I.ATIME) / 2;

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
