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

/** In the count of a worker's locks: it gets no more of them. */
export const STOP = 1 << 30;

/** The word that counts the locks of this worker, if it is one that may be terminated. */
let holder = null;

/**
 * From now on counts the locks that this worker holds or waits for, so that it can be
 * terminated in the middle of a process when it has none.
 */
export function countLocks(words, index) {
  holder = words && { words, index };
}

/** Whether this worker is about to be terminated. */
export const isStopped = () => holder !== null && Atomics.load(holder.words, holder.index) >= STOP;

/** False if it may have no more locks. As long as it has one, it is not terminated. */
export function mayHold() {
  if (!holder || Atomics.add(holder.words, holder.index, 1) < STOP) return true;
  return letGo();
}

/** Gives back what `mayHold` gave. */
export function letGo() {
  if (holder) Atomics.sub(holder.words, holder.index, 1);
  return false;
}

export class Lock {
  constructor(words, index) {
    this.words = words;
    this.index = index;
  }

  /** False if the lock is closed. */
  acquire() {
    return mayHold() && (this.take(isStopped) || letGo());
  }

  release() {
    this.give();
    letGo();
  }

  /** As `acquire`, for who is counted already. */
  take(givesUp = () => false) {
    const { words, index } = this;
    let state = Atomics.compareExchange(words, index, FREE, HELD);
    while (state !== FREE) {
      if (state === CLOSED || givesUp()) return false;
      if (state === WAITED || Atomics.compareExchange(words, index, HELD, WAITED) === HELD) {
        Atomics.wait(words, index, WAITED);
      }
      state = Atomics.compareExchange(words, index, FREE, WAITED);
    }
    return true;
  }

  give() {
    const { words, index } = this;
    if (Atomics.compareExchange(words, index, HELD, FREE) !== HELD) {
      // Waited for, or closed meanwhile.
      if (Atomics.compareExchange(words, index, WAITED, FREE) === WAITED) {
        Atomics.notify(words, index, 1);
      }
    }
  }

  /** Wakes all who wait for it, so that they look whether they may go on. */
  disturb() {
    Atomics.notify(this.words, this.index);
  }

  close() {
    Atomics.store(this.words, this.index, CLOSED);
    Atomics.notify(this.words, this.index);
  }
}
