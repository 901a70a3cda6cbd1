// What a directory had in it when its listing began, in an order that stays when entries come and
// go: by a hash of the name. A cookie is a place in that order, so that a thread on another
// worker, which lists the directory again, goes on where this one has stopped. It fits into C's `long`,
// which is what `telldir` gives.

import { isErrno, FILE_TYPES } from '../wasi/abi.js';

/** Room for the places of entries in a number beside their hashes. */
const PLACES = 2 ** 23;
/** The cookies before those of names: to begin, and after `.` and `..`. */
const FIRST = 3;
const HEADER = 24;
const utf8 = new TextEncoder();

/** 30 bits; FNV-1a. */
function hash(name) {
  let value = 0x811c9dc5;
  for (let n = 0; n < name.length; n++) value = Math.imul(value ^ name.charCodeAt(n), 0x01000193);
  return value >>> 2;
}

export class Listing {
  #entries;
  /** Where the entries are in `#entries`, in the listing's order. */
  #places;
  /** Theirs, ascending. */
  #cookies;
  #own;

  /** @param {{name: string, kind: string, ino?: bigint}[]} entries */
  constructor(entries, ino) {
    this.#entries = entries;
    this.#own = [
      { name: '.', kind: 'directory', ino },
      { name: '..', kind: 'directory', ino },
    ];
    const keys = new Float64Array(entries.length);
    entries.forEach(({ name }, n) => (keys[n] = hash(name) * PLACES + n));
    keys.sort();
    this.#places = Uint32Array.from(keys, (key) => key % PLACES);
    this.#cookies = new Uint32Array(entries.length);
    let last = FIRST - 1;
    // Names of one hash have one cookie after another.
    keys.forEach((key, n) => (this.#cookies[n] = last = Math.max(last + 1, FIRST + Math.floor(key / PLACES))));
  }

  /** How many entries come before what follows a cookie. */
  #after(cookie) {
    let [low, high] = [0, this.#cookies.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#cookies[middle] > cookie) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Fills `room` with entries from a cookie on, the last one as far as it fits; how many bytes. */
  *write(room, cookie, directory) {
    let used = 0;
    const put = (next, entry) => {
      const length = encode(next, entry);
      const count = Math.min(length, room.length - used);
      for (let n = 0; n < count; n++) room[used + n] = encoded[n];
      used += count;
    };
    for (let n = Number(cookie); n < 2 && used < room.length; n++) put(n + 1, this.#own[n]);
    for (let n = this.#after(Number(cookie)); n < this.#cookies.length && used < room.length; n++) {
      const entry = this.#entries[this.#places[n]];
      entry.ino ??= yield* inodeOf(directory, entry.name);
      put(this.#cookies[n], entry);
    }
    return used;
  }
}

/** 0 if it is not there any more. */
function* inodeOf(directory, name) {
  try {
    if (directory.isDirect) return directory.inodeOf(name);
    const node = yield directory.lookup(name);
    return node ? (yield node.stat()).ino : 0n;
  } catch (error) {
    if (isErrno(error)) return 0n;
    throw error;
  }
}

/** The entry that is written; a name has 255 bytes at most, where there are longer ones 255 units. */
const encoded = new Uint8Array(HEADER + 3 * 255);
const view = new DataView(encoded.buffer);

/** A `dirent` and its name; how many bytes they are. */
function encode(next, { name, kind, ino }) {
  const { written } = utf8.encodeInto(name, encoded.subarray(HEADER));
  view.setUint32(0, next, true);
  view.setBigUint64(8, ino, true);
  view.setUint32(16, written, true);
  encoded[20] = FILE_TYPES[kind];
  return HEADER + written;
}
