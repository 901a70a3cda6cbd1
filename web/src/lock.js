// A lock of one word in shared memory, for short critical sections of threads that may
// block. It can be closed, for good: then nobody gets it any more.
//
//   0  free
//   1  held
//   2  held, and somebody may sleep
//   3  closed
//
// Source: U. Drepper, "Futexes are tricky" (mutex 3).

const FREE = 0;
const HELD = 1;
const WAITED = 2;
const CLOSED = 3;

export class Lock {
  constructor(words, index) {
    this.words = words;
    this.index = index;
  }

  /** False if the lock is closed. */
  acquire() {
    const { words, index } = this;
    let state = Atomics.compareExchange(words, index, FREE, HELD);
    while (state !== FREE) {
      if (state === CLOSED) return false;
      if (state === WAITED || Atomics.compareExchange(words, index, HELD, WAITED) === HELD) {
        Atomics.wait(words, index, WAITED);
      }
      state = Atomics.compareExchange(words, index, FREE, WAITED);
    }
    return true;
  }

  release() {
    const { words, index } = this;
    if (Atomics.compareExchange(words, index, HELD, FREE) === HELD) return;
    // Waited for, or closed meanwhile.
    if (Atomics.compareExchange(words, index, WAITED, FREE) === WAITED) {
      Atomics.notify(words, index, 1);
    }
  }

  close() {
    Atomics.store(this.words, this.index, CLOSED);
    Atomics.notify(this.words, this.index);
  }
}
