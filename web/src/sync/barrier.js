// A barrier: `threadwork_sync::Barrier`. Threads wait for each other, phase after phase.
//
//   bytes 0..8   arrivals in this phase, and above them the phase
//   word 2       the gate: bit 0 SLEEPERS, above it the phases that are over
//   word 3       the parties, less one

import { Primitive } from './primitive.js';
import { SharedMemory } from './memory.js';
import { sleepOn, STARTED, throwIfAborted, TIMED_OUT, update, watch, WATCHED } from './wait.js';

const GATE = 2;
const OTHERS = 3;
const SLEEPERS = 1;

export class Barrier extends Primitive {
  static BYTES = 16;
  static ALIGNMENT = 16;

  constructor(memory, offset) {
    super(memory, offset);
    this.state = this.memory.view('u64', this.offset, 1);
  }

  /** A new one, which opens whenever so many threads have come. */
  static create(memory, parties, offset) {
    if (!(Number.isInteger(parties) && parties > 0 && parties <= 2 ** 32)) {
      throw new RangeError('a barrier is for a whole number of threads, from 1 on');
    }
    const barrier = new Barrier(memory, offset);
    SharedMemory.of(memory).fill(barrier.offset, Barrier.BYTES, 0);
    Atomics.store(barrier.words, OTHERS, parties - 1);
    return barrier;
  }

  get parties() {
    return this.words[OTHERS] + 1;
  }

  /**
   * Arrives, and waits for the others: whether this thread is the one leader of its phase.
   * After `timeout` ms its arrival is withdrawn, and the result is null. Blocks.
   */
  wait(timeout) {
    return this.block(this.#waiter(), timeout);
  }

  async waitAsync(limit) {
    throwIfAborted(limit);
    return this.blockAsync(this.#waiter(), limit, (isLast) => isLast === null);
  }

  *#waiter() {
    const { phase, isLast } = this.#enter();
    if (isLast) {
      this.#complete();
      return true;
    }
    let watched;
    let isLate = false;
    for (let why = STARTED; ; ) {
      const mayWatch = why === STARTED || why === WATCHED;
      const { old, now } = update(this.words, GATE, (gate) => {
        if (isPast(gate, phase) || (mayWatch && gate !== watched)) return undefined;
        return (gate | SLEEPERS) >>> 0;
      });
      if (isPast(old, phase)) return false;
      if (now === undefined) {
        watched = old;
        why = yield watch(GATE, old);
        continue;
      }
      why = yield sleepOn(GATE, now, isLate);
      if (why === TIMED_OUT) {
        if (this.#withdraw(phase)) return null;
        // The last has come, and is about to open the gate.
        isLate = true;
      }
    }
  }

  /** Arrives: what the addition returns is both the position and the phase. */
  #enter() {
    const { phase, arrived } = split(Atomics.add(this.state, 0, 1n));
    const { parties } = this;
    // Before the reset of a complete phase, it is one of the next.
    const ahead = Math.floor(arrived / parties);
    return { phase: (phase + ahead) >>> 0, isLast: arrived % parties === parties - 1 };
  }

  #complete() {
    Atomics.add(this.state, 0, (1n << 32n) - BigInt(this.parties));
    const { old } = update(this.words, GATE, (gate) => ((gate & ~SLEEPERS) + 2) >>> 0);
    if (old & SLEEPERS) this.notify(GATE);
  }

  /** Takes an arrival back; false if its phase is complete. */
  #withdraw(phase) {
    const { now } = update(this.state, 0, (state) => {
      const { phase: current, arrived } = split(state);
      const ahead = (phase - current) | 0;
      const isComplete = ahead < 0 || arrived >= (ahead + 1) * this.parties;
      return isComplete ? undefined : state - 1n;
    });
    return now !== undefined;
  }
}

const split = (state) => ({
  phase: Number(state >> 32n),
  arrived: Number(state & 0xffffffffn),
});

/** Whether this value of the gate lets the threads of `phase` through. */
const isPast = (gate, phase) => (((gate & ~SLEEPERS) - phase * 2) | 0) > 0;
