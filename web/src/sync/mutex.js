// A lock of one word: `threadwork_sync::RawMutex`. Unfair for speed, within a bound: a
// thread that lost LOSSES times, or once after PATIENCE, keeps newcomers out.

import { Primitive } from './primitive.js';
import { clock, mustBlock, sleepOn, STARTED, throwIfAborted, TIMED_OUT, update, watch, WATCHED, WOKEN } from './wait.js';

const LOCKED = 1;
const WAITERS = 2;
const STARVING = 4;

/** Wake-ups in vain after which a waiter may no longer be passed by newcomers. */
export const LOSSES = 8;
/** After so many ms one is enough. */
const PATIENCE = 1;

export class Mutex extends Primitive {
  /** Takes the lock if it is free and nobody is starving for it. */
  tryLock() {
    return Atomics.compareExchange(this.words, 0, 0, LOCKED) === 0;
  }

  /** Takes the lock, or gives up after `timeout` ms: then false. Blocks. */
  lock(timeout) {
    mustBlock();
    return this.tryLock() || this.block(this.#acquire(false), timeout);
  }

  /** The same as a promise. The bound on unfairness is for threads that block. */
  async lockAsync(limit) {
    throwIfAborted(limit);
    return this.tryLock() || this.blockAsync(this.#acquire(true), limit);
  }

  /** Frees the lock; whoever took it. */
  unlock() {
    const { words } = this;
    if (Atomics.compareExchange(words, 0, LOCKED, 0) === LOCKED) return;
    const before = Atomics.and(words, 0, STARVING);
    if ((before & LOCKED) === 0) throw this.damaged('a mutex was unlocked that nobody holds');
    this.notify(0, 1);
  }

  get isLocked() {
    return (Atomics.load(this.words, 0) & LOCKED) !== 0;
  }

  /** Runs `body` under the lock. Blocks. */
  withLock(body) {
    this.lock();
    try {
      return body();
    } finally {
      this.unlock();
    }
  }

  /** Runs `body`, which may be asynchronous, under the lock. */
  async withLockAsync(body) {
    await this.lockAsync();
    try {
      return await body();
    } finally {
      this.unlock();
    }
  }

  *#acquire(isAsync) {
    // Others may be queued behind it.
    let slept = false;
    // It was woken and has not slept since, or is the one that starves.
    let entitled = false;
    // It has set STARVING.
    let starving = false;
    let losses = 0;
    let since = 0;
    for (let why = STARTED; ; ) {
      if (why === WOKEN) {
        losses += 1;
        entitled = true;
      }
      // A promise never starves others: nobody knows when its turn of the event loop comes.
      const isLate =
        losses > 0 && !isAsync && (losses >= LOSSES || clock() - since >= PATIENCE);
      const starves = starving || isLate;
      const mayTake = (state) => !(state & LOCKED) && (!(state & STARVING) || entitled);
      const { old, now } = update(this.words, 0, (state) => {
        if (mayTake(state)) {
          return (starving ? state & ~STARVING : state) | LOCKED | (slept ? WAITERS : 0);
        }
        if (state === LOCKED && why !== WATCHED) return undefined;
        return state | WAITERS | (starves ? STARVING : 0);
      });
      if (now === undefined) {
        why = yield watch(0, old);
        continue;
      }
      if (mayTake(old)) return true;
      if (!slept) since = clock();
      slept = true;
      starving = entitled = starves;
      why = yield sleepOn(0, now);
      if (why === TIMED_OUT) {
        if (starving) this.#giveUp();
        return false;
      }
    }
  }

  /** Lets newcomers in again, and passes the lock on if it is free. */
  #giveUp() {
    const { old } = update(this.words, 0, (state) =>
      state & LOCKED ? (state & ~STARVING) | WAITERS : state & ~(STARVING | WAITERS),
    );
    if ((old & LOCKED) === 0) this.notify(0, 1);
  }
}
