// A condition variable: `threadwork_sync::Condvar`.
//
//   word 0  sequence: changes with every notify that finds somebody waiting
//   word 1  how many wait, or have not left yet

import { Primitive } from './primitive.js';
import { checked, mustBlock, sleepOn, STARTED, throwIfAborted, TIMED_OUT, update, watch, WOKEN } from './wait.js';

const SEQUENCE = 0;
const WAITERS = 1;
const MOST_WAITERS = 2 ** 32 - 1;

export class Condvar extends Primitive {
  static BYTES = 8;

  /**
   * Unlocks the mutex, sleeps until notified or for `timeout` ms, and locks it again; whether
   * it was notified. It may also return without a notify. Blocks.
   */
  wait(mutex, timeout) {
    mustBlock();
    checked(timeout);
    const waiter = this.#begin(mutex);
    const notified = this.block(waiter, timeout);
    mutex.lock();
    return notified;
  }

  /** The same as a promise. */
  async waitAsync(mutex, limit) {
    // Before the mutex is given up.
    throwIfAborted(limit);
    const waiter = this.#begin(mutex);
    let notified;
    try {
      notified = await this.blockAsync(waiter, limit);
    } finally {
      await mutex.lockAsync();
    }
    return notified;
  }

  /** Waits until `condition`, which is looked at under the mutex, is false. Blocks. */
  waitWhile(mutex, condition) {
    while (condition()) this.wait(mutex);
  }

  async waitWhileAsync(mutex, condition) {
    while (condition()) await this.waitAsync(mutex);
  }

  /** Wakes one of those that wait. */
  notifyOne() {
    this.#notify(1);
  }

  notifyAll() {
    this.#notify(Infinity);
  }

  #notify(count) {
    if (Atomics.load(this.words, WAITERS) === 0) return;
    Atomics.add(this.words, SEQUENCE, 1);
    this.notify(SEQUENCE, count);
  }

  /** Counts itself while it has the mutex still, so that no later notify misses it. */
  #begin(mutex) {
    update(this.words, WAITERS, (waiters) => {
      if (waiters === MOST_WAITERS) throw this.damaged('too many wait for one condition variable');
      return waiters + 1;
    });
    const waiter = this.#waiter(Atomics.load(this.words, SEQUENCE));
    try {
      mutex.unlock();
    } catch (error) {
      Atomics.sub(this.words, WAITERS, 1);
      throw error;
    }
    return waiter;
  }

  *#waiter(sequence) {
    const hasChanged = () => Atomics.load(this.words, SEQUENCE) !== sequence;
    try {
      let why = STARTED;
      while (why !== WOKEN && why !== TIMED_OUT && !hasChanged()) {
        why = yield why === STARTED ? watch(SEQUENCE, sequence) : sleepOn(SEQUENCE, sequence);
      }
      return why === WOKEN || hasChanged();
    } finally {
      Atomics.sub(this.words, WAITERS, 1);
    }
  }
}
