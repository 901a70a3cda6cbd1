// A gate that opens once, a count of tasks, and something that is done once:
// `threadwork_sync::Latch`, `WaitGroup` and `Once`. A waiter may reuse their bytes as soon
// as its wait returns.

import { Primitive } from './primitive.js';
import { sleepOn, STARTED, throwIfAborted, TIMED_OUT, update, watch, WATCHED } from './wait.js';

const CLOSED = 0;
const WAITED = 1;
const OPEN = 2;

export class Latch extends Primitive {
  /** Opens it for ever, and wakes everybody who waits. */
  open() {
    if (Atomics.exchange(this.words, 0, OPEN) === WAITED) this.notify(0);
  }

  get isOpen() {
    return Atomics.load(this.words, 0) === OPEN;
  }

  /** Waits until it is open, or for `timeout` ms; whether it is. Blocks. */
  wait(timeout) {
    return this.block(this.#waiter(), timeout);
  }

  async waitAsync(limit) {
    throwIfAborted(limit);
    return this.blockAsync(this.#waiter(), limit);
  }

  #waiter() {
    // Other values are nonsense that somebody has written there.
    const announced = (state) => (state === CLOSED ? WAITED : state);
    return waitFor(this.words, (state) => state === OPEN, announced);
  }
}

const ONE = 2;
const MOST_TASKS = 2 ** 31 - 1;

/** Bit 0 says that somebody may sleep; above it is the count of tasks that are not done. */
export class WaitGroup extends Primitive {
  /** Adds tasks, before they start and before anybody waits for them. */
  add(tasks = 1) {
    update(this.words, 0, (word) => {
      const count = (word >>> 1) + tasks;
      if (count > MOST_TASKS) throw this.damaged(`a wait group counts up to ${MOST_TASKS} tasks`);
      return count * ONE + (word < ONE ? 0 : word & WAITED);
    });
  }

  /** Says that one task is done, and wakes everybody if it was the last. */
  done() {
    const before = Atomics.sub(this.words, 0, ONE);
    if (before === (ONE | WAITED)) this.notify(0);
    else if (before < ONE) {
      Atomics.add(this.words, 0, ONE);
      throw this.damaged("a wait group's task was done that was never added");
    }
  }

  /** Tasks that are not done at this moment. */
  get count() {
    return Atomics.load(this.words, 0) >>> 1;
  }

  /** Waits until there is no task, or for `timeout` ms; whether there is none. Blocks. */
  wait(timeout) {
    return this.block(this.#waiter(), timeout);
  }

  async waitAsync(limit) {
    throwIfAborted(limit);
    return this.blockAsync(this.#waiter(), limit);
  }

  #waiter() {
    return waitFor(this.words, (word) => word < ONE, (word) => (word | WAITED) >>> 0);
  }
}

const RUNNING = 1;
const COMPLETE = 2;
const QUEUED = 4;

export class Once extends Primitive {
  /** Whether a run has ended well. */
  get isCompleted() {
    return Atomics.load(this.words, 0) === COMPLETE;
  }

  /** Runs `body`, unless a run has ended well; one that throws counts for nothing. Blocks. */
  callOnce(body) {
    if (this.isCompleted || !this.block(this.#begin())) return;
    let outcome = 0;
    try {
      body();
      outcome = COMPLETE;
    } finally {
      this.#end(outcome);
    }
  }

  /** The same as a promise; `body` may be asynchronous. */
  async callOnceAsync(body) {
    if (this.isCompleted || !(await this.blockAsync(this.#begin()))) return;
    let outcome = 0;
    try {
      await body();
      outcome = COMPLETE;
    } finally {
      this.#end(outcome);
    }
  }

  /** Waits until a run has ended well, or for `timeout` ms; whether one has. Blocks. */
  wait(timeout) {
    return this.block(this.#completion(), timeout);
  }

  async waitAsync(limit) {
    throwIfAborted(limit);
    return this.blockAsync(this.#completion(), limit);
  }

  #completion() {
    return waitFor(this.words, (state) => state === COMPLETE, (state) => state | QUEUED);
  }

  /** The wait for the right to run: true if this is the one, false if a run has ended well. */
  *#begin() {
    for (;;) {
      const { old, now } = update(this.words, 0, (state) =>
        state === COMPLETE || state & RUNNING ? undefined : state | RUNNING,
      );
      if (now !== undefined) return true;
      if (old === COMPLETE) return false;
      // Until this run has ended, one way or the other.
      yield* waitFor(this.words, (state) => (state & RUNNING) === 0, (state) => state | QUEUED);
    }
  }

  #end(outcome) {
    if (Atomics.exchange(this.words, 0, outcome) & QUEUED) this.notify(0);
  }
}

/**
 * The wait for a word to be `over`, which somebody announces who is going to sleep; all are
 * woken together, so there is nothing to pass on.
 */
function* waitFor(words, over, announced) {
  let watched = false;
  for (let why = STARTED; ; ) {
    const mayWatch = !watched && (why === STARTED || why === WATCHED);
    const { old, now } = update(words, 0, (state) =>
      over(state) || mayWatch ? undefined : announced(state),
    );
    if (over(old)) return true;
    if (now === undefined) {
      watched = true;
      why = yield watch(0, old);
      continue;
    }
    if (why === TIMED_OUT) return false;
    why = yield sleepOn(0, now);
  }
}
