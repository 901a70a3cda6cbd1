// Atomic operations that are written down, to be done in one go. All are checked before
// the first is done. They are not one step: others may come between any two.

import { MemoryError } from './memory.js';

export class AtomicBatch {
  /** What to check, and what to do with the words from an index on. */
  #operations = [];

  /** How many operations there are. */
  get length() {
    return this.#operations.length;
  }

  /** Takes all operations out. */
  clear() {
    this.#operations.length = 0;
    return this;
  }

  #push(type, offset, count, apply) {
    this.#operations.push({ type, offset, count, apply });
    return this;
  }

  #one(operation, type, offset, ...operands) {
    return this.#push(type, offset, 1, (words, at) => Atomics[operation](words, at, ...operands));
  }

  load(offset, type = 'i32') {
    return this.#one('load', type, offset);
  }

  store(offset, value, type = 'i32') {
    return this.storeRun(offset, [value], type);
  }

  add(offset, value, type = 'i32') {
    return this.#one('add', type, offset, value);
  }

  sub(offset, value, type = 'i32') {
    return this.#one('sub', type, offset, value);
  }

  and(offset, value, type = 'i32') {
    return this.#one('and', type, offset, value);
  }

  or(offset, value, type = 'i32') {
    return this.#one('or', type, offset, value);
  }

  xor(offset, value, type = 'i32') {
    return this.#one('xor', type, offset, value);
  }

  exchange(offset, value, type = 'i32') {
    return this.#one('exchange', type, offset, value);
  }

  /** Its result is what the word was: it was replaced if that is `expected`. */
  compareExchange(offset, expected, replacement, type = 'i32') {
    return this.#one('compareExchange', type, offset, expected, replacement);
  }

  // ---- Of each word of a run ----

  loadRun(offset, count, type = 'i32') {
    return this.#push(type, offset, count, (words, at) =>
      Array.from({ length: count }, (_, n) => Atomics.load(words, at + n)),
    );
  }

  storeRun(offset, values, type = 'i32') {
    const copy = [...values];
    return this.#push(type, offset, copy.length, (words, at) =>
      copy.forEach((value, n) => Atomics.store(words, at + n, value)),
    );
  }

  fillRun(offset, count, value, type = 'i32') {
    return this.#push(type, offset, count, (words, at) => {
      for (let n = 0; n < count; n++) Atomics.store(words, at + n, value);
    });
  }

  addRun(offset, values, type = 'i32') {
    const copy = [...values];
    return this.#push(type, offset, copy.length, (words, at) =>
      copy.forEach((value, n) => Atomics.add(words, at + n, value)),
    );
  }

  /**
   * @internal Use `memory.run(batch)`. The result of an operation on a word is what that was,
   * of a load of a run the values, of the others undefined.
   */
  run(memory) {
    const places = this.#operations.map(({ type, offset, count }, index) => {
      try {
        return memory.words(type, offset, count);
      } catch (reason) {
        throw new MemoryError(
          'BATCH',
          `operation ${index} of the batch cannot be done: ${reason.message}`,
          { index, cause: reason },
        );
      }
    });
    return this.#operations.map(({ offset, apply }, index) => {
      const words = places[index];
      return apply(words, offset / words.BYTES_PER_ELEMENT);
    });
  }
}
