// Where JavaScript waits for a word in shared memory: asleep in a worker, as a promise on
// a thread that may not block. Both meet the guest's waits and notifies.
//
// The slow path of each primitive is written once, as a generator, a *waiter*: it yields
// what to wait for, and is told why it goes on. Two drivers run it. A waiter that is told
// TIMED_OUT leaves the primitive as if it had not come.

import { ThreadworkError } from '../errors.js';
import { checkSignal } from '../foreign.js';
import { stayFor } from '../platform.js';

/** Why a waiter goes on. */
export const STARTED = 0;
/** It has watched. */
export const WATCHED = 1;
/** It slept and was notified. */
export const WOKEN = 2;
/** It did not sleep, since the word had another value. */
export const CHANGED = 3;
export const TIMED_OUT = 4;

const WHY = { ok: WOKEN, 'not-equal': CHANGED, 'timed-out': TIMED_OUT };

/** Looks at a word before a thread sleeps: about a critical section. */
const LOOKS = 100;

/** Where nobody can tell when a word changes, it is looked at; in ms. */
const LONGEST_PAUSE = 16;

/** How long at once somebody sleeps who may give up; in ms. */
const NAP = 20;

/** What a waiter yields: look at a word for a while, in the hope that it changes. */
export const watch = (index, expected) => ({ index, expected, isWatch: true });

/** What a waiter yields: sleep while the word is as expected; `isLast` is without a timeout. */
export const sleepOn = (index, expected, isLast = false) => ({ index, expected, isLast });

const NO_TIMERS =
  'this thread has no timers, as in an AudioWorklet, and this host no Atomics.waitAsync: use the ' +
  'methods that begin with `try`';

/** Milliseconds since some moment; an AudioWorklet has the coarse clock only. */
export const clock = globalThis.performance ? () => performance.now() : () => Date.now();

let mayBlock;

/** Fails on a thread that may not block. */
export function mustBlock() {
  if (mayBlock === undefined) {
    try {
      // Refused before it is compared, where it is.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1);
      mayBlock = true;
    } catch {
      mayBlock = false;
    }
  }
  if (mayBlock) return;
  throw new ThreadworkError(
    'MAY_NOT_BLOCK',
    'this thread may not block: await the method whose name ends in Async, or do this in a worker',
  );
}

/** A timeout in ms, if it is one. */
export function checked(timeout = Infinity) {
  if (timeout >= 0) return timeout;
  throw new RangeError('a timeout is in ms, not negative; without one the wait is for ever');
}

/** Atomics.wait, with checks. */
export function sleep(words, index, expected, timeout) {
  mustBlock();
  return Atomics.wait(words, index, expected, checked(timeout));
}

/** A promise's timeout in ms and its signal, from what its caller gave: either, or both as an object. */
function limitsOf(limit) {
  if (typeof limit !== 'object' || limit === null) return { timeout: checked(limit) };
  const { timeout, signal } = 'aborted' in limit ? { signal: limit } : limit;
  return { timeout: checked(timeout), signal: checkSignal(signal) };
}

/** Fails with the reason of a signal that is aborted already. */
export const throwIfAborted = (limit) => limitsOf(limit).signal?.throwIfAborted();

/** The same as a promise; `limit` is a timeout, a signal, or `{ timeout, signal }`. */
export async function sleepAsync(words, index, expected, limit) {
  const { timeout, signal } = limitsOf(limit);
  signal?.throwIfAborted();
  const result = await napAsync(words, index, expected, timeout, signal);
  if (result === 'timed-out') signal?.throwIfAborted();
  return result;
}

/**
 * Sleeps until then, or until the signal is aborted. What sleeps as a promise cannot be taken back, and
 * would take a notify that is another's: so who may give up sleeps for short times.
 */
async function napAsync(words, index, expected, timeout, signal) {
  if (!signal) return sleepOnce(words, index, expected, timeout);
  const end = clock() + timeout;
  for (;;) {
    const left = signal.aborted ? 0 : end - clock();
    if (left <= 0) return 'timed-out';
    const result = await sleepOnce(words, index, expected, Math.min(left, NAP));
    if (result !== 'timed-out') return result;
  }
}

async function sleepOnce(words, index, expected, timeout) {
  if (typeof Atomics.waitAsync !== 'function') return poll(words, index, expected, timeout);
  const { async, value } = Atomics.waitAsync(words, index, expected, timeout);
  if (!async || timeout === Infinity) return value;
  // Node does not stay alive for it by itself.
  return stayFor(value);
}

/** Without Atomics.waitAsync: a notify that leaves the word as it is goes unseen. */
async function poll(words, index, expected, timeout) {
  // As the words hold it.
  const [wanted] = words.constructor.of(expected);
  if (Atomics.load(words, index) !== wanted) return 'not-equal';
  if (typeof setTimeout !== 'function') throw new ThreadworkError('MAY_NOT_BLOCK', NO_TIMERS);
  const end = clock() + timeout;
  for (let pause = 0; ; pause = Math.min(pause * 2 + 1, LONGEST_PAUSE)) {
    const left = end - clock();
    if (left <= 0) return 'timed-out';
    await new Promise((done) => setTimeout(done, Math.min(pause, left)));
    if (Atomics.load(words, index) !== wanted) return 'not-equal';
  }
}

/** Runs a waiter to its end, on a thread that sleeps. */
export function block(words, waiter, timeout) {
  mustBlock();
  const end = clock() + checked(timeout);
  let why = STARTED;
  for (;;) {
    const { done, value } = waiter.next(why);
    if (done) return value;
    const { index, expected, isWatch, isLast } = value;
    if (isWatch) {
      look(words, index, expected | 0);
      why = WATCHED;
      continue;
    }
    const left = isLast ? Infinity : end - clock();
    why = left > 0 ? WHY[Atomics.wait(words, index, expected | 0, left)] : TIMED_OUT;
  }
}

/**
 * Runs a waiter to its end, as a promise; `limit` is a timeout, a signal, or `{ timeout, signal }`. Fails with
 * the signal's reason if that is aborted and what the waiter ends with says that it has given up.
 */
export async function blockAsync(words, waiter, limit, hasGivenUp = (value) => !value) {
  const { timeout, signal } = limitsOf(limit);
  const end = clock() + timeout;
  let why = STARTED;
  for (;;) {
    const { done, value } = waiter.next(why);
    if (done) {
      if (hasGivenUp(value)) signal?.throwIfAborted();
      return value;
    }
    const { index, expected, isWatch, isLast } = value;
    const left = isLast ? Infinity : end - clock();
    if (isWatch) why = WATCHED;
    else if (left <= 0) why = TIMED_OUT;
    else why = WHY[await napAsync(words, index, expected | 0, left, isLast ? undefined : signal)];
  }
}

function look(words, index, expected) {
  for (let looks = LOOKS; looks > 0 && Atomics.load(words, index) === expected; looks--) {
    Atomics.pause?.();
  }
}

/**
 * Replaces a word by what `change` makes of it, in one step, unless that is undefined.
 * Returns what it was and what it is.
 */
export function update(words, index, change) {
  let old = Atomics.load(words, index);
  for (;;) {
    const now = change(old);
    const seen = now === undefined ? old : Atomics.compareExchange(words, index, old, now);
    if (seen === old) return { old, now };
    old = seen;
  }
}
