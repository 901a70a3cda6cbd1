// What the numbers of descriptors stand for: numbers lead to slots, a slot says what is open.
//
// All of it is words, so that several workers can use it at the same time when they are in
// shared memory. Nobody takes a lock to look up a number; opening, closing and renumbering
// take one, and whoever moves a position takes the slot's.
//
// Invariant: a slot counts the numbers and the calls that use it. Whoever makes the count zero
// closes what is open, and nobody else then has the slot.

import { Lock } from '../lock.js';
import { Errno } from '../wasi/abi.js';
import * as E from '../wasi/errno.js';

/** As many numbers as there can be. */
const MOST = 1 << 15;
/** Slots without a number: what is kept, or closed but still in use. */
const MORE_SLOTS = 1 << 12;
const MOST_SLOTS = MOST + MORE_SLOTS;

/** The words at the beginning. */
const H = {
  LOCK: 0,
  /** No number below this one is free. */
  LOWEST: 1,
  OPEN: 2,
  /** As many as may be open. */
  LIMIT: 3,
  /** Behind the last slot that was ever used. */
  TOP: 4,
};
const NUMBERS = 6;
const SLOTS = NUMBERS + MOST;

/** The words of a slot. */
const S = {
  /** 0 if the slot is free. */
  USES: 0,
  LOCK: 1,
  KIND: 2,
  /** The number of a standard stream, the system's descriptor, or the place of a socket. */
  HANDLE: 3,
  /** The system's second descriptor of a file, which appends if the first does not, or -1. */
  OTHER: 4,
  FLAGS: 5,
  RIGHTS: 6,
  INHERITING: 7,
  /** Of a granted directory: which, from 1. */
  PREOPEN: 8,
  /** Changes with each thing that is opened here. */
  GENERATION: 9,
  /** 64 bits. */
  POSITION: 10,
  /** The rights to read and to write, as it was opened. */
  ACCESS: 12,
  BACKEND: 13,
  /** 1 if nothing is changed by it, nor by what is opened by it. */
  READONLY: 14,
};
/** Even, for the positions. */
const SLOT_WORDS = 16;
/** From here on are slots of what only the owner of the table can use. */
const OWN_SLOTS = SLOTS + MOST_SLOTS * SLOT_WORDS;

/** No descriptor. */
export const NONE = -1;
/** Instead of uses, while it is closed. */
const CLOSING = -1;

export const Kind = { STREAM: 1, DIRECTORY: 2, FILE: 3, LISTENER: 4, CONNECTION: 5 };

/** What others can use that have the words alone; 0 is all the rest. */
export const Backend = { NODE: 1, MEMORY: 2, SOCKET: 3 };

/** Thrown where something can be used by the owner of the table only, before anything is changed. */
export const ELSEWHERE = Symbol('a descriptor of the owner of the table');

/** What is open, as one worker knows it: the words of its slot, and objects of the worker's own. */
class Open {
  /** What to read and write, or a directory; made by `revive` if another worker opened it. */
  resource = null;
  listing = null;

  constructor(words, wide, at) {
    this.words = words;
    this.wide = wide;
    this.at = at;
    this.generation = words[at + S.GENERATION];
    this.lock = new Lock(words, at + S.LOCK);
  }

  /** Where the next read or write is; under the lock. */
  get position() {
    return this.wide[(this.at + S.POSITION) >> 1];
  }
  set position(position) {
    Atomics.store(this.wide, (this.at + S.POSITION) >> 1, position);
  }
}
for (const [name, word] of Object.entries(S)) {
  if (name === 'LOCK' || name === 'POSITION' || name === 'GENERATION') continue;
  Object.defineProperty(Open.prototype, name.toLowerCase(), {
    get() {
      return Atomics.load(this.words, this.at + word);
    },
    set(value) {
      Atomics.store(this.words, this.at + word, value);
    },
  });
}

export class Descriptors {
  /** By slots. */
  #opens = [];
  #revive;
  #limitMet;
  #isOwner;

  /** Memory for a table; the same for all workers that use it. */
  static create(isShared) {
    const bytes = (OWN_SLOTS + MOST_SLOTS * SLOT_WORDS) * 4;
    // One that may grow is mapped, and what nobody touches takes no memory. The others are allocated,
    // in Node by an allocator that fills those with zeros which it uses again.
    return isShared ? new SharedArrayBuffer(bytes, { maxByteLength: bytes }) : new ArrayBuffer(bytes);
  }

  /**
   * `revive` has, by backends, what makes the resource of what has none here: of what another
   * worker has opened. The owner is one at most; it opens what has no backend.
   */
  constructor(buffer, { revive = [], limitMet, isOwner = true }) {
    this.words = new Int32Array(buffer);
    this.wide = new BigInt64Array(buffer);
    this.lock = new Lock(this.words, H.LOCK);
    this.#revive = revive;
    this.#limitMet = limitMet;
    this.#isOwner = isOwner;
  }

  /** From now on so many more may be open. */
  limit(more) {
    this.words[H.LIMIT] = Math.min(this.words[H.OPEN] + more, MOST);
  }

  /** Fails if there is no number left. */
  checkRoom() {
    if (Atomics.load(this.words, H.OPEN) < this.words[H.LIMIT]) return;
    this.#limitMet?.('openFiles');
    throw new Errno(E.MFILE);
  }

  // ---- Uses ----

  #slotOf(number) {
    const at = number < MOST ? Atomics.load(this.words, NUMBERS + number) : 0;
    if (at === 0) throw new Errno(E.BADF);
    return at;
  }

  #checkMine(at) {
    if (at >= OWN_SLOTS && !this.#isOwner) throw ELSEWHERE;
  }

  /** The backend of what a number stands for, if that is a directory. */
  directoryBackend(number) {
    const at = number < MOST ? Atomics.load(this.words, NUMBERS + number) : 0;
    const isDirectory = at !== 0 && Atomics.load(this.words, at + S.KIND) === Kind.DIRECTORY;
    return isDirectory ? Atomics.load(this.words, at + S.BACKEND) : undefined;
  }

  /** Of a slot that is in use. */
  #openAt(at) {
    const known = this.#opens[at];
    if (known?.generation === this.words[at + S.GENERATION]) return known;
    return (this.#opens[at] = new Open(this.words, this.wide, at));
  }

  /** What a number stands for. It stays open until `release`. */
  use(number) {
    const { words } = this;
    for (;;) {
      const at = this.#slotOf(number);
      this.#checkMine(at);
      const uses = Atomics.load(words, at + S.USES);
      // Without uses it is being closed, and the number says so when it is asked again.
      if (uses < 1 || Atomics.compareExchange(words, at + S.USES, uses, uses + 1) !== uses) continue;
      const open = this.#openAt(at);
      // The slot may have been closed and used again before it was counted.
      if (Atomics.load(words, NUMBERS + number) === at) {
        this.#resourceOf(open);
        return open;
      }
      this.release(open);
    }
  }

  /** The same for sockets alone; undefined of anything else. */
  useSocket(number) {
    const at = number < MOST ? Atomics.load(this.words, NUMBERS + number) : 0;
    if (at === 0 || at >= OWN_SLOTS || Atomics.load(this.words, at + S.KIND) < Kind.LISTENER) return undefined;
    const open = this.use(number);
    if (open.kind >= Kind.LISTENER) return open;
    // It has become something else.
    this.release(open);
    return undefined;
  }

  /** Ends a use; the last one closes it. */
  release(open) {
    const { words, at } = open;
    for (;;) {
      const uses = Atomics.load(words, at + S.USES);
      const next = uses === 1 ? CLOSING : uses - 1;
      if (Atomics.compareExchange(words, at + S.USES, uses, next) !== uses) continue;
      if (next === CLOSING) this.#close(open);
      return;
    }
  }

  #close(open) {
    const { words, at } = open;
    try {
      this.#resourceOf(open)?.close();
    } finally {
      this.#opens[at] = undefined;
      Atomics.store(words, at + S.USES, 0);
    }
  }

  /** Standard streams have none. */
  #resourceOf(open) {
    if (open.kind !== Kind.STREAM) open.resource ??= this.#revive[open.backend]?.(open);
    return open.resource;
  }

  // ---- Numbers ----

  #locked(body) {
    this.lock.take();
    try {
      return body(this.words);
    } finally {
      this.lock.give();
    }
  }

  /** Gives what is open the lowest free number, or closes it. */
  insert(what) {
    return this.#locked((words) => {
      try {
        this.checkRoom();
      } catch (error) {
        (what.resource ?? this.#revive[what.backend](what)).close();
        throw error;
      }
      let number = words[H.LOWEST];
      while (words[NUMBERS + number] !== 0) number += 1;
      const { at } = this.#fill(number, what);
      Atomics.store(words, NUMBERS + number, at);
      words[H.LOWEST] = number + 1;
      Atomics.add(words, H.OPEN, 1);
      return number;
    });
  }

  /** A directory that has no number; it is closed when it is released. */
  keep(directory) {
    const what = { kind: Kind.DIRECTORY, ...directory.kept, resource: directory, rights: 0, inheriting: 0 };
    return this.#locked((words) => this.#fill(words[H.LOWEST], what));
  }

  /** Makes a slot that is in use once, under the lock; rather the one of a number. */
  #fill(number, what) {
    const { words } = this;
    const at = this.#freeSlot(number, what);
    words[at + S.GENERATION] += 1;
    const open = this.#openAt(at);
    open.kind = what.kind;
    open.handle = what.handle ?? NONE;
    open.other = what.other ?? NONE;
    open.flags = what.flags ?? 0;
    open.rights = what.rights;
    open.inheriting = what.inheriting;
    open.preopen = what.preopen ?? 0;
    open.position = 0n;
    open.access = what.access ?? 0;
    open.backend = what.backend ?? 0;
    open.readonly = what.readonly ?? 0;
    open.resource = what.resource ?? null;
    Atomics.store(words, at + S.USES, 1);
    words[H.TOP] = Math.max(words[H.TOP], at + SLOT_WORDS);
    return open;
  }

  /** The slot with the number's own place, unless it is still in use by another number or a call. */
  #freeSlot(number, { kind, backend }) {
    const first = backend || kind === Kind.STREAM ? SLOTS : OWN_SLOTS;
    for (let n = number; ; n = (n + 1) % MOST_SLOTS) {
      const at = first + n * SLOT_WORDS;
      if (Atomics.load(this.words, at + S.USES) === 0) return at;
    }
  }

  /** Frees a number. What it stood for is closed when nobody uses it any more. */
  remove(number, before = () => {}) {
    const open = this.#locked((words) => {
      const at = this.#slotOf(number);
      this.#checkMine(at);
      const found = this.#openAt(at);
      before(found);
      this.#free(words, number);
      return found;
    });
    this.release(open);
  }

  /** What `from` stands for gets the number `to`; what that stood for is closed. */
  renumber(from, to, moved) {
    const old = this.#locked((words) => {
      const open = this.#openAt(this.#slotOf(from));
      const replaced = this.#openAt(this.#slotOf(to));
      if (from === to) return null;
      this.#checkMine(replaced.at);
      moved(open, replaced);
      Atomics.store(words, NUMBERS + to, open.at);
      this.#free(words, from);
      return replaced;
    });
    if (old) this.release(old);
  }

  #free(words, number) {
    Atomics.store(words, NUMBERS + number, 0);
    words[H.LOWEST] = Math.min(words[H.LOWEST], number);
    Atomics.sub(words, H.OPEN, 1);
  }

  /** Closes everything; nobody else uses it any more. What is in memory goes with that. */
  closeAll() {
    for (let at = SLOTS; at < this.words[H.TOP]; at += SLOT_WORDS) {
      if (this.words[at + S.USES] === 0 || this.words[at + S.BACKEND] === Backend.MEMORY) continue;
      try {
        this.#close(this.#openAt(at));
      } catch {
        // The last bytes may not have reached a disk; the descriptor is gone all the same.
      }
    }
  }
}
