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

import { Lock } from './lock.js';

const WRITTEN = 0;
const READ = 1;
const FILLED = 4;
const DRAINED = 5;
const CLOSED = 6;
const WANTED = 7;
const WORDS = 8;

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
      Atomics.add(words, FILLED, 1);
      Atomics.notify(words, FILLED);
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
      Atomics.add(words, DRAINED, 1);
      Atomics.notify(words, DRAINED);
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

  /** Waits until there is something to read or the writing end is closed; false if not in time. */
  waitFilled(timeout) {
    const seen = Atomics.load(this.words, FILLED);
    if (this.filled > 0 || this.isFinished) return true;
    return Atomics.wait(this.words, FILLED, seen, timeout) !== 'timed-out';
  }

  /** Waits until there is room. */
  waitDrained() {
    const seen = Atomics.load(this.words, DRAINED);
    if (this.filled < Ring.CAPACITY || this.isFinished) return;
    Atomics.wait(this.words, DRAINED, seen);
  }

  /** For a writer that may not block: what to wait for, and the value it has now. */
  get drained() {
    return [this.words, DRAINED, Atomics.load(this.words, DRAINED)];
  }
}
