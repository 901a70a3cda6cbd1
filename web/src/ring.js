// A ring of bytes in shared memory: a standard stream. Many writers, one at a time; many
// readers, one at a time. What was written can still be read after the ring was closed.
//
//   word 0  written: bytes ever written, modulo 2^32
//   word 1  read: bytes ever read, modulo 2^32
//   word 2  the writers' lock
//   word 3  the readers' lock
//   word 4  changes when bytes were written, or the writing end was closed
//   word 5  changes when bytes were read, or the ring was closed
//   word 6  1: nothing more will be written; 2: the process ends, too
//   word 7  1 once somebody has looked for something to read
//   word 8  how many sleep on word 4; never too few, as who is terminated there still counts
//   word 9  the same of word 5
//
// A notify takes a lock that all threads of the program share, so it is left out where nobody sleeps:
// whoever is about to says so first, and looks then, and whoever changes something looks after that.

import { Lock } from './lock.js';

const WRITTEN = 0;
const READ = 1;
const FILLED = 4;
const DRAINED = 5;
const CLOSED = 6;
const WANTED = 7;
/** From the word that is slept on to the number of those who do. */
const SLEEPERS = 4;
const WORDS = 10;

export class Ring {
  static CAPACITY = 1 << 16;
  static BYTES = WORDS * 4 + Ring.CAPACITY;

  constructor(buffer, offset) {
    this.words = new Int32Array(buffer, offset, WORDS);
    this.bytes = new Uint8Array(buffer, offset + WORDS * 4, Ring.CAPACITY);
    this.writers = new Lock(this.words, 2);
    this.readers = new Lock(this.words, 3);
  }

  /** How many bytes can be read. */
  get filled() {
    return (Atomics.load(this.words, WRITTEN) - Atomics.load(this.words, READ)) >>> 0;
  }

  get isFinished() {
    return Atomics.load(this.words, CLOSED) !== 0;
  }

  /** Notes that somebody looks for something to read; true the first time. */
  want() {
    return Atomics.load(this.words, WANTED) === 0 && Atomics.exchange(this.words, WANTED, 1) === 0;
  }

  get isWanted() {
    return Atomics.load(this.words, WANTED) !== 0;
  }

  /** Nothing more will be written: who reads gets the rest, then nothing. */
  finish() {
    Atomics.or(this.words, CLOSED, 1);
    Atomics.add(this.words, FILLED, 1);
    Atomics.notify(this.words, FILLED);
  }

  /** Ends every wait for this ring, and those to come. */
  close() {
    Atomics.or(this.words, CLOSED, 2);
    this.writers.close();
    this.readers.close();
    this.disturb();
  }

  /** Wakes all who wait for this ring, so that they look whether they may go on. */
  disturb() {
    this.writers.disturb();
    this.readers.disturb();
    for (const word of [FILLED, DRAINED]) {
      Atomics.add(this.words, word, 1);
      Atomics.notify(this.words, word);
    }
  }

  /** Writes as much as there is room for, and returns how much that was. One writer. */
  write(source) {
    const { bytes, words } = this;
    const written = words[WRITTEN] >>> 0;
    const count = Math.min(source.length, Ring.CAPACITY - this.filled);
    const at = written % Ring.CAPACITY;
    const first = Math.min(count, Ring.CAPACITY - at);
    bytes.set(source.subarray(0, first), at);
    if (count > first) bytes.set(source.subarray(first, count), 0);
    if (count > 0) {
      Atomics.store(words, WRITTEN, (written + count) | 0);
      this.#changed(FILLED);
    }
    return count;
  }

  /** Reads as much as is there into `target`, and returns how much that was. One reader. */
  read(target) {
    const { bytes, words } = this;
    const read = words[READ] >>> 0;
    const count = Math.min(target.length, this.filled);
    const at = read % Ring.CAPACITY;
    const first = Math.min(count, Ring.CAPACITY - at);
    target.set(bytes.subarray(at, at + first));
    if (count > first) target.set(bytes.subarray(0, count - first), first);
    if (count > 0) {
      Atomics.store(words, READ, (read + count) | 0);
      this.#changed(DRAINED);
    }
    return count;
  }

  /** Copies as much as is there into the targets, and leaves it there; how much that was. */
  peek(targets) {
    const { bytes, words } = this;
    const read = words[READ] >>> 0;
    const filled = this.filled;
    let moved = 0;
    for (const target of targets) {
      for (let n = 0; n < target.length && moved < filled; n++, moved++) target[n] = bytes[(read + moved) % Ring.CAPACITY];
    }
    return moved;
  }

  #changed(word) {
    Atomics.add(this.words, word, 1);
    if (Atomics.load(this.words, word + SLEEPERS) > 0) Atomics.notify(this.words, word);
  }

  #sleep(word, isReady, timeout) {
    const { words } = this;
    Atomics.add(words, word + SLEEPERS, 1);
    const seen = Atomics.load(words, word);
    const inTime = isReady() || Atomics.wait(words, word, seen, timeout) !== 'timed-out';
    Atomics.sub(words, word + SLEEPERS, 1);
    return inTime;
  }

  /** Waits until there is something to read or the writing end is closed; false if not in time. */
  waitFilled(timeout) {
    return this.#sleep(FILLED, () => this.filled > 0 || this.isFinished, timeout);
  }

  /** Waits until there is room. */
  waitDrained() {
    this.#sleep(DRAINED, () => this.filled < Ring.CAPACITY || this.isFinished);
  }
}
