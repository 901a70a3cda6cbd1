// A phase-fair reader-writer lock: `threadwork_sync::RawRwLock`, whose page has the protocol.
//
//   bytes 0..8  the state, below
//   word 2      the readers' gate: turned (+1) before waiting readers are let in
//   word 3      the writers' gate: turned before the lock gets free for a writer

import { LOSSES } from './mutex.js';
import { Primitive } from './primitive.js';
import { CHANGED, mustBlock, sleepOn, STARTED, throwIfAborted, TIMED_OUT, watch, WOKEN } from './wait.js';

const READERS = 2;
const WRITERS = 3;

const PHASE = 1n;
const LOCKED = 1n << 20n;
const STARVING = 1n << 21n;
const READERS_STARVE = 1n << 22n;
const READERS_TURN = 1n << 23n;
const READERS_LOOK = 1n << 24n;
const READERS_SLEEP = 1n << 25n;
const WRITERS_LOOK = 1n << 26n;
const WRITERS_SLEEP = 1n << 27n;
const AT_READERS_GATE = READERS_LOOK | READERS_SLEEP;
const AT_WRITERS_GATE = WRITERS_LOOK | WRITERS_SLEEP;

/** One active reader, one waiting reader, one waiting writer; and all of them. */
const ACTIVE = 1n << 1n;
const WAITING_READER = 1n << 28n;
const WAITING_WRITER = 1n << 46n;
const ALL_ACTIVE = LOCKED - ACTIVE;
const ALL_WAITING_READERS = WAITING_WRITER - WAITING_READER;
const ALL_WAITING_WRITERS = (1n << 64n) - WAITING_WRITER;

/** Why a step is made once more: it lost a race. */
const RETRIED = -1;

/** Looks at the state before a thread queues. */
const LOOKS = 100;

/** What a holder gives up. */
const READ = 0;
const WRITE = 1;
const DOWNGRADE = 2;

const isOpenToReaders = (state) =>
  !(state & LOCKED) && (!(state & ALL_WAITING_WRITERS) || !!(state & READERS_TURN));

const isOpenToWriters = (state) => !(state & (LOCKED | STARVING | ALL_ACTIVE));

const isFree = (state) => !(state & (LOCKED | ALL_ACTIVE));

/** Without the bits of those who are not there. */
function tidy(state) {
  if (!(state & ALL_WAITING_READERS)) {
    state &= ~(AT_READERS_GATE | READERS_STARVE | READERS_TURN);
    if (!(state & ALL_ACTIVE)) state &= ~PHASE;
  }
  if (!(state & ALL_WAITING_WRITERS)) state &= ~(AT_WRITERS_GATE | STARVING | READERS_TURN);
  return state;
}

export class RwLock extends Primitive {
  static BYTES = 16;
  static ALIGNMENT = 8;

  constructor(memory, offset) {
    super(memory, offset);
    this.state = this.memory.view('u64', this.offset, 1);
  }

  #replace(state, next) {
    return Atomics.compareExchange(this.state, 0, state, next) === state;
  }

  get #now() {
    return Atomics.load(this.state, 0);
  }

  /** Takes the lock for reading if no writer holds it or waits. */
  tryRead() {
    for (;;) {
      const state = this.#now;
      if (!isOpenToReaders(state)) return false;
      if (this.#replace(state, this.#oneMore(state, ACTIVE, ALL_ACTIVE))) return true;
    }
  }

  /** Takes the lock for writing if nobody holds it or waits. */
  tryWrite() {
    if (this.#replace(0n, LOCKED)) return true;
    const state = this.#now;
    return (state & ~PHASE) === 0n && this.#replace(state, LOCKED);
  }

  /**
   * Takes the lock for reading, or gives up after `timeout` ms: then false. Who reads and
   * reads again waits for ever if a writer came in between. Blocks.
   */
  read(timeout) {
    mustBlock();
    const isTaken = timeout === undefined ? this.#look(() => this.tryRead()) : this.tryRead();
    return isTaken || this.block(this.#acquireRead(), timeout);
  }

  async readAsync(limit) {
    throwIfAborted(limit);
    return this.tryRead() || this.blockAsync(this.#acquireRead(), limit);
  }

  /** Takes the lock for writing, or gives up after `timeout` ms: then false. Blocks. */
  write(timeout) {
    mustBlock();
    const take = () => {
      const state = this.#now;
      return isOpenToWriters(state) && this.#replace(state, tidy(state) | LOCKED);
    };
    const isTaken = timeout === undefined ? this.#look(take) : this.tryWrite();
    return isTaken || this.block(this.#acquireWrite(false), timeout);
  }

  async writeAsync(limit) {
    throwIfAborted(limit);
    return this.tryWrite() || this.blockAsync(this.#acquireWrite(true), limit);
  }

  unlockRead() {
    const state = this.#now;
    // Nobody but readers, and not none.
    if (state >= ACTIVE && state < LOCKED && this.#replace(state, state - ACTIVE)) return;
    this.#release(READ);
  }

  unlockWrite() {
    if (!this.#replace(LOCKED, 0n)) this.#release(WRITE);
  }

  /** Turns the write lock into a read lock, with no writer in between. */
  downgrade() {
    this.#release(DOWNGRADE);
  }

  get isLocked() {
    return !isFree(this.#now);
  }

  get isWriteLocked() {
    return (this.#now & LOCKED) !== 0n;
  }

  #look(take) {
    for (let looks = LOOKS; looks > 0; looks--) if (take()) return true;
    return false;
  }

  #oneMore(state, one, all) {
    if ((state & all) === all) throw this.damaged(`more than ${all / one} hold or await one lock`);
    return state + one;
  }

  /** Turns a gate: before the lock is given up, for afterwards it may be gone. */
  #turn(gate) {
    Atomics.add(this.words, gate, 1);
  }

  #release(kind) {
    let cleared = 0n;
    for (;;) {
      const state = this.#now;
      const readers = state & ALL_WAITING_READERS;
      if (!(state & (kind === READ ? ALL_ACTIVE : LOCKED))) {
        throw this.damaged('a reader-writer lock was unlocked that is not held so');
      }
      // Whom this lets in, and the state after it.
      let gate = 0n;
      let next;
      if (kind === READ) {
        if ((state & (ALL_ACTIVE | READERS_TURN)) === ACTIVE) gate = AT_WRITERS_GATE;
        next = state - ACTIVE;
      } else {
        const freed = state - LOCKED + (kind === DOWNGRADE ? ACTIVE : 0n);
        if (readers === 0n) {
          if (kind === WRITE) gate = AT_WRITERS_GATE;
          next = freed;
        } else {
          gate = AT_READERS_GATE;
          const entering = (readers / WAITING_READER) * ACTIVE;
          next =
            state & (READERS_TURN | READERS_STARVE)
              ? (freed - readers + entering) ^ PHASE
              : freed | READERS_TURN;
        }
      }
      const word = gate === AT_READERS_GATE ? READERS : WRITERS;
      if (state & gate) {
        if (this.#replace(state, state & ~gate)) {
          cleared |= state & gate;
          this.#turn(word);
        }
        continue;
      }
      // Who is not let in after all keeps its bits.
      if (!this.#replace(state, tidy(next | (cleared & ~gate)))) continue;
      if (cleared & gate & (READERS_SLEEP | WRITERS_SLEEP)) {
        this.notify(word, word === READERS ? Infinity : 1);
      }
      return;
    }
  }

  *#acquireRead() {
    // Of when it was counted waiting: it is in when the phase has flipped.
    let phase;
    let losses = 0;
    const isIn = (state) => phase !== undefined && (state & PHASE) !== phase;
    for (let why = STARTED; ; ) {
      if (why === WOKEN || why === CHANGED) losses += 1;
      // Before the state, always: else the gate could be turned unseen.
      const gate = Atomics.load(this.words, READERS);
      const state = this.#now;
      if (isIn(state)) return true;
      const isOpen = isOpenToReaders(state);
      let next;
      if (isOpen) {
        const waited = phase === undefined ? 0n : WAITING_READER;
        next = tidy(this.#oneMore(state, ACTIVE, ALL_ACTIVE) - waited);
      } else {
        next = phase === undefined ? this.#oneMore(state, WAITING_READER, ALL_WAITING_READERS) : state;
        next |= READERS_LOOK;
        if (why !== STARTED) next |= READERS_SLEEP;
        if (losses >= LOSSES) next |= READERS_STARVE;
      }
      if (next !== state && !this.#replace(state, next)) {
        // The same step again, which is no loss.
        if (why !== STARTED) why = RETRIED;
        continue;
      }
      if (isOpen) return true;
      phase = state & PHASE;
      why = yield why === STARTED ? watch(READERS, gate) : sleepOn(READERS, gate);
      if (why === TIMED_OUT) return this.#giveUpRead(isIn);
    }
  }

  /** All at the gate are woken at once, so there is nothing to pass on to other readers. */
  #giveUpRead(isIn) {
    for (;;) {
      const state = this.#now;
      if (isIn(state)) return true;
      const next = tidy(state - WAITING_READER);
      if (!this.#replace(state, next)) continue;
      // But the writers let these go first.
      if (state & ~next & READERS_TURN && isFree(next)) {
        this.#turn(WRITERS);
        this.notify(WRITERS, 1);
      }
      return false;
    }
  }

  *#acquireWrite(isAsync) {
    // It counts as waiting.
    let counted = false;
    // Others may be queued behind it.
    let slept = false;
    // It was woken and has not slept since, or is the one that starves.
    let entitled = false;
    // It has set STARVING.
    let starving = false;
    let losses = 0;
    /** The state without this one among the waiting. */
    const withdrawn = (state) =>
      tidy((counted ? state - WAITING_WRITER : state) & (starving ? ~STARVING : -1n));
    for (let why = STARTED; ; ) {
      if (why === WOKEN || why === CHANGED) losses += 1;
      if (why === WOKEN) entitled = true;
      // A promise never starves others, as of a mutex.
      const starves = !isAsync && losses >= LOSSES;
      const gate = Atomics.load(this.words, WRITERS);
      const state = this.#now;
      const take =
        isFree(state) && !(state & READERS_TURN) && (!(state & STARVING) || entitled);
      let next;
      if (take) {
        next = tidy(withdrawn(state) | (slept ? AT_WRITERS_GATE : 0n)) | LOCKED;
      } else {
        next = counted ? state : this.#oneMore(state, WAITING_WRITER, ALL_WAITING_WRITERS);
        next |= WRITERS_LOOK;
        if (why !== STARTED) next |= WRITERS_SLEEP;
        if (starves) next |= STARVING;
      }
      if (next !== state && !this.#replace(state, next)) {
        if (why !== STARTED) why = RETRIED;
        continue;
      }
      if (take) return true;
      counted = true;
      if (why === STARTED) {
        why = yield watch(WRITERS, gate);
        continue;
      }
      slept = true;
      starving = entitled = starves;
      why = yield sleepOn(WRITERS, gate);
      if (why === TIMED_OUT) {
        this.#giveUpWrite(withdrawn, starving);
        return false;
      }
    }
  }

  #giveUpWrite(withdrawn, starving) {
    for (;;) {
      const state = this.#now;
      let next = withdrawn(state);
      const passOn = starving && !!(next & ALL_WAITING_WRITERS);
      if (passOn && !isFree(state)) next |= AT_WRITERS_GATE;
      if (!this.#replace(state, next)) continue;
      if (passOn && isFree(state)) {
        this.#turn(WRITERS);
        this.notify(WRITERS, 1);
      }
      if (isOpenToReaders(next) && next & ALL_WAITING_READERS) {
        this.#turn(READERS);
        this.notify(READERS);
      }
      return;
    }
  }
}
