// The waits and notifies of a module that was rewritten (`deadlockDetection`): they are
// calls of the host here, which carries them out on the same words, and so knows who
// sleeps where.
//
// W.ASLEEP counts the threads that sleep without a timeout, and above them, in the upper
// half, the wake-ups that were given and not yet taken. When as many sleep as live and no
// wake-up is under way, nobody is left to wake anybody. A thread counts itself before it
// sleeps; a notifier adds the wake-ups that it gave after it gave them; each of the woken
// takes its own back, and itself. So while a count is late, whoever is late is awake.
//
// Invariant: a thread that is counted asleep has in its seat where it sleeps, and what it
// expects there.

import { Activity, Cause, LIMITS } from './control.js';
import * as S from './seat-words.js';
import * as W from './words.js';

const WAKE_UP = 1 << 16;

/** Results of a wait. */
const OK = 0;
const NOT_EQUAL = 1;
const TIMED_OUT = 2;

/** W.VERDICT while somebody finds out whether all threads really sleep. */
const PENDING = 1;

/** The functions that a rewritten module imports, for the thread on a seat. */
export function observedCalls(seat) {
  const calls = {};
  const { words } = seat.control;
  for (const { memory, index, isLimited } of seat.join.memories) {
    const watched = new Watched(seat, memory);
    calls[`wait32:${index}`] = (...operands) => watched.wait(4, ...operands);
    calls[`wait64:${index}`] = (...operands) => watched.wait(8, ...operands);
    calls[`notify:${index}`] = (...operands) => watched.notify(...operands);
    calls[`grow:${index}`] = (pages) => {
      try {
        return memory.grow(pages >>> 0);
      } catch {
        if (isLimited) Atomics.or(words, W.LIMITS_MET, 1 << LIMITS.indexOf('memory'));
        return -1;
      }
    };
  }
  return calls;
}

/** A memory whose waits are watched. */
class Watched {
  #seat;
  #memory;
  #words = new Int32Array(0);
  #wide = new BigInt64Array(0);

  constructor(seat, memory) {
    this.#seat = seat;
    this.#memory = memory;
  }

  /** The effective address of an atomic access, or the trap that it would be. */
  #address(width, address, offset) {
    const at = (address >>> 0) + Number(BigInt.asUintN(64, offset));
    if (at + width > this.#words.length * 4) this.#look();
    if (at + width > this.#words.length * 4) {
      throw new WebAssembly.RuntimeError('memory access out of bounds');
    }
    if (at % width !== 0) throw new WebAssembly.RuntimeError('unaligned atomic access');
    return at;
  }

  /** Makes the views as long as the memory is now. */
  #look() {
    this.#memory.grow(0);
    this.#words = new Int32Array(this.#memory.buffer);
    this.#wide = new BigInt64Array(this.#memory.buffer);
  }

  notify(address, count, offset) {
    const at = this.#address(4, address, offset);
    const { words } = this.#seat.control;
    const woken = Atomics.notify(this.#words, at / 4, count >>> 0);
    if (woken > 0) Atomics.add(words, W.ASLEEP, woken * WAKE_UP);
    Atomics.add(words, W.NOTIFIES, 1);
    Atomics.add(words, W.WOKEN, woken);
    return woken;
  }

  wait(width, address, expected, timeout, offset) {
    const at = this.#address(width, address, offset);
    const { control, at: seat } = this.#seat;
    const { words } = control;
    this.#seat.environment.check();
    Atomics.add(words, W.WAITS, 1);
    const view = width === 8 ? this.#wide : this.#words;
    const index = at / width;
    if (Atomics.load(view, index) !== expected) {
      Atomics.add(words, W.NOT_EQUAL, 1);
      return NOT_EQUAL;
    }
    words[seat + S.ADDRESS] = at | 0;
    words[seat + S.WIDTH] = width;
    if (width === 8) control.wide[(seat + S.EXPECTED) >> 1] = expected;
    else words[seat + S.EXPECTED] = expected;
    control.setActivity(seat, Activity.WAITING);
    const result =
      timeout < 0n
        ? this.#sleep(view, index, expected)
        : this.#sleepFor(view, index, expected, Number(timeout) / 1e6);
    control.setActivity(seat, Activity.RUNNING);
    return result;
  }

  #sleepFor(view, index, expected, milliseconds) {
    const result = Atomics.wait(view, index, expected, milliseconds);
    this.#seat.checkAfterWait();
    if (result === 'timed-out') return TIMED_OUT;
    if (result === 'not-equal') return NOT_EQUAL;
    Atomics.sub(this.#seat.control.words, W.ASLEEP, WAKE_UP);
    return OK;
  }

  #sleep(view, index, expected) {
    const { control, at: seat } = this.#seat;
    const { words } = control;
    Atomics.store(words, seat + S.ASLEEP, 1);
    Atomics.add(words, W.ASLEEP, 1);
    judge(this.#seat, () => Atomics.load(view, index) === expected);
    const result = Atomics.wait(view, index, expected);
    if (result === 'ok') {
      // It may have been a judge, who wants to see whether this thread slept.
      while (Atomics.load(words, W.VERDICT) === PENDING) Atomics.wait(words, W.VERDICT, PENDING);
      this.#seat.checkAfterWait();
    }
    Atomics.store(words, seat + S.ASLEEP, 0);
    Atomics.add(words, W.AWOKEN, 1);
    Atomics.sub(words, W.ASLEEP, result === 'ok' ? 1 + WAKE_UP : 1);
    return result === 'ok' ? OK : NOT_EQUAL;
  }
}

/**
 * Ends the process if all its threads sleep for ever. Called by a thread that is about to
 * sleep, if its word `isAsExpected`, or that has just ended.
 *
 * That all are counted is not enough. One may be on its way into its wait, or have come out
 * of it already because its word was another. So the judge wakes them all, by notifies, which
 * tell how many slept, and holds them until the verdict. Who is missing will soon either
 * sleep and be found, or take itself out of the count: then this was a false alarm, and
 * those that were woken have waited enough (the one case in which a wait ends without a
 * notify of the guest's). They must not be held any longer in that case, or found asleep
 * later: a notify that was meant for them has found nobody.
 */
export function judge(seat, isAsExpected = () => true) {
  const { words } = seat.control;
  const isStandstill = () =>
    isAsExpected() && Atomics.load(words, W.ASLEEP) === Atomics.load(words, W.ALIVE);
  // Who finds another judge at it may go to sleep: that one looks once more when done.
  while (isStandstill() && Atomics.compareExchange(words, W.VERDICT, 0, PENDING) === 0) {
    if (isDeadlock(seat, isAsExpected)) {
      if (seat.control.end(Cause.DEADLOCK, 0, seat.control.threadOf(seat.at))) {
        seat.post({ ending: {} });
      }
    }
    Atomics.store(words, W.VERDICT, 0);
    Atomics.notify(words, W.VERDICT);
    seat.checkAfterWait();
  }
}

function isDeadlock({ control, at: self, join }, isAsExpected) {
  const { words } = control;
  let wakeUps = 0;
  const awoken = Atomics.load(words, W.AWOKEN);
  const isStandstill = () =>
    isAsExpected() &&
    Atomics.load(words, W.AWOKEN) === awoken &&
    Atomics.load(words, W.ASLEEP) === Atomics.load(words, W.ALIVE) + wakeUps * WAKE_UP;
  const all = control.seatsWhere((at) => Atomics.load(words, at + S.ASLEEP) === 1);
  const missing = new Map();
  for (const at of all) {
    const address = words[at + S.ADDRESS] >>> 0;
    if (at !== self) missing.set(address, (missing.get(address) ?? 0) + 1);
  }
  const [{ memory }] = join.memories;
  memory.grow(0);
  const guest = new Int32Array(memory.buffer);
  while (isStandstill()) {
    for (const [address, count] of missing) {
      const woken = Atomics.notify(guest, address / 4);
      wakeUps += woken;
      Atomics.add(words, W.ASLEEP, woken * WAKE_UP);
      if (woken === count) missing.delete(address);
      else missing.set(address, count - woken);
    }
    const allSleep = missing.size === 0 && all.length === Atomics.load(words, W.ALIVE);
    if (allSleep) return isStandstill();
    Atomics.wait(words, W.VERDICT, PENDING, 1);
  }
  return false;
}
