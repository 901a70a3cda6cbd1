// A semaphore: `threadwork_sync::Semaphore`.
//
//   word 0  bit 0 WAITERS, bit 1 STARVING, above them the permits that are free
//   word 1  bit 0 TAKEN: somebody collects several permits; bit 1 HURRY: a thread lost the turn
//           too often, who has not waited may not take it; above them, who waits to do so

import { LOSSES } from './mutex.js';
import { Primitive } from './primitive.js';
import { CHANGED, mustBlock, sleepOn, STARTED, throwIfAborted, TIMED_OUT, update, watch, WATCHED, WOKEN } from './wait.js';

const WORD = 0;
const TURN = 1;

const WAITERS = 1;
const STARVING = 2;
const FLAGS = WAITERS | STARVING;
const ONE = 4;
const MOST_PERMITS = 2 ** 30 - 1;

const TAKEN = 1;
const HURRY = 2;
const WAITER = 4;

export class Semaphore extends Primitive {
  static BYTES = 8;
  static MOST_PERMITS = MOST_PERMITS;

  /** A new one with so many free permits. */
  static create(memory, permits, offset) {
    check(permits);
    const semaphore = new Semaphore(memory, offset);
    Atomics.store(semaphore.words, TURN, 0);
    Atomics.store(semaphore.words, WORD, permits * ONE);
    return semaphore;
  }

  /** Takes permits if so many are free and nobody is starving. */
  tryAcquire(permits = 1) {
    check(permits);
    const { now } = update(this.words, WORD, (word) =>
      word & STARVING || word >>> 2 < permits ? undefined : word - permits * ONE,
    );
    return now !== undefined;
  }

  /** Takes permits, or gives up after `timeout` ms and takes none: then false. Blocks. */
  acquire(permits = 1, timeout) {
    mustBlock();
    return this.tryAcquire(permits) || this.block(this.#acquire(permits, false), timeout);
  }

  async acquireAsync(permits = 1, limit) {
    throwIfAborted(limit);
    return this.tryAcquire(permits) || this.blockAsync(this.#acquire(permits, true), limit);
  }

  /** Makes permits free, and wakes those who wait for them. */
  release(permits = 1) {
    check(permits);
    const { old } = update(this.words, WORD, (word) =>
      this.#more(word, permits) * ONE + (word & STARVING),
    );
    if (old & FLAGS) this.notify(WORD, 1);
  }

  /** The permits that are free at this moment. */
  get available() {
    return Atomics.load(this.words, WORD) >>> 2;
  }

  #more(word, permits) {
    const sum = (word >>> 2) + permits;
    if (sum > MOST_PERMITS) throw this.damaged(`a semaphore has at most ${MOST_PERMITS} permits`);
    return sum;
  }

  *#acquire(permits, isAsync) {
    // Who wants several waits for its turn to collect them.
    if (permits > 1 && !(yield* this.#takeTurn(isAsync))) return false;
    const taken = yield* this.#collect(permits, isAsync);
    if (permits > 1) this.#passTurn(Atomics.sub(this.words, TURN, TAKEN) >= WAITER);
    return taken;
  }

  *#takeTurn(isAsync) {
    let counted = false;
    // It has set HURRY.
    let hurries = false;
    const without = (state) => (hurries ? state & ~HURRY : state);
    for (let lost = 0; ; lost += 1) {
      // A promise never holds others back.
      const isLate = !isAsync && lost > LOSSES;
      const takes = (state) => !(state & TAKEN) && (counted || !(state & HURRY));
      const { old, now } = update(this.words, TURN, (state) => {
        if (takes(state)) return (counted ? without(state) - WAITER : state) | TAKEN;
        if (!counted) return state + WAITER;
        return isLate ? state | HURRY : state;
      });
      if (takes(old)) return true;
      hurries ||= counted && isLate;
      counted = true;
      if ((yield sleepOn(TURN, now)) === TIMED_OUT) {
        const { now: left } = update(this.words, TURN, (state) => without(state) - WAITER);
        this.#passTurn(!(left & TAKEN) && left >= WAITER);
        return false;
      }
    }
  }

  #passTurn(isWanted) {
    if (isWanted) this.notify(TURN, 1);
  }

  *#collect(wanted, isAsync) {
    let missing = wanted;
    // It was woken and has not slept since: it takes or passes the wake-up on.
    let woken = false;
    // It has set STARVING.
    let starving = false;
    let losses = 0;
    const kept = (word) => word & FLAGS & (starving ? ~STARVING : -1);
    for (let why = STARTED; ; ) {
      if (why === WOKEN || why === CHANGED) losses += 1;
      if (why === WOKEN) woken = true;
      const isResponsible = woken || starving;
      // A promise never starves others, as of a mutex.
      const starves = !isAsync && losses >= LOSSES;
      const take = (word) =>
        word & STARVING && !isResponsible ? 0 : Math.min(missing, word >>> 2);
      const { old, now } = update(this.words, WORD, (word) => {
        if (word === 0 && why !== WATCHED && missing > 0) return undefined;
        const taken = take(word);
        const left = (word >>> 2) - taken;
        let flags;
        if (taken < missing) flags = starves ? FLAGS : (word & STARVING) | WAITERS;
        else if (!isResponsible) flags = word & FLAGS;
        else flags = left > 0 ? kept(word) & ~WAITERS : kept(word) | WAITERS;
        return left * ONE + flags;
      });
      if (now === undefined) {
        why = yield watch(WORD, old);
        continue;
      }
      const taken = take(old);
      missing -= taken;
      if (missing === 0) {
        if (isResponsible && now >= ONE) this.notify(WORD, 1);
        return true;
      }
      starving ||= starves;
      woken = false;
      if (taken > 0) losses = 0;
      why = yield sleepOn(WORD, now);
      if (why === TIMED_OUT) {
        if (starving || missing < wanted) this.#giveBack(wanted - missing, kept);
        return false;
      }
    }
  }

  #giveBack(collected, kept) {
    const { now } = update(this.words, WORD, (word) => {
      const permits = this.#more(word, collected);
      return permits * ONE + (permits > 0 ? kept(word) & ~WAITERS : kept(word) | WAITERS);
    });
    if (now >= ONE) this.notify(WORD, 1);
  }
}

function check(permits) {
  if (Number.isInteger(permits) && permits >= 0 && permits <= MOST_PERMITS) return;
  throw new RangeError(`permits are a whole number up to ${MOST_PERMITS}`);
}
