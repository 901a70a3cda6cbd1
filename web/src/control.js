// The control block: what the host, the supervisor and the workers of one process share
// beside its memory. One SharedArrayBuffer; nothing in it outlives the process.
//
//   words    state and cause of the end, bells, counters, the lock of the thread table
//   rpc      one file call at a time: its number, its arguments, its result
//   seats    one for each worker that may belong to the process; seat 0 is the main thread's
//   idle     a stack of seats that wait for work
//   pending  a queue of threads that wait for a seat
//   rings    standard input, output and error
//   trace    what threads did when, if asked for
//
// Invariant: under LOCK, `idle` or `pending` is empty.

import { Lock } from './lock.js';
import { timeOfEvents } from './platform.js';
import { Ring } from './ring.js';
import * as S from './seat-words.js';
import * as W from './words.js';

/** In `W.ASLEEP`: with this bit, which no count reaches, never as many sleep as live. */
export const NEVER_ALL = 1 << 15;

/** Why a process ends; the value of `W.CAUSE`. */
export const Cause = { EXITED: 1, TRAPPED: 2, DEADLOCK: 3, LIMIT: 4, KILLED: 5, FAILED: 6 };

/** Limits, as bits of `W.LIMITS_MET` and as the code of `Cause.LIMIT`. */
export const LIMITS = ['threads', 'memory', 'openFiles', 'wallTime', 'fileMemory'];

const SEAT_WORDS = 64;

/** As many arguments or results can a call have. */
export const MOST_VALUES = (SEAT_WORDS - S.VALUES) / 2;

export const Mailbox = { NONE: 0, IDLE: 1, JOB: 2, BUSY: 3, GONE: 4 };
export const Job = { THREAD: 1, CALL: 2 };

/** The values of S.REPLY: the results are in the seat, or the answer comes by message. */
export const Reply = { NONE: 0, DONE: 1, POSTED: 2 };

/**
 * The lowest bits of S.CALLED: a call waits; or its values stand in the seat, it failed, its answer needs
 * a larger buffer, the process ends. The bits above them count the seat's calls.
 */
export const Called = { ASKED: 1, ANSWERED: 2, FAILED: 4, LARGER: 8, CLOSED: 16, MASK: 31, ONE: 32 };

/** What a seat's thread does. */
export const Activity = { NONE: 0, RUNNING: 1, WAITING: 2, HOST_CALL: 3, LEAVING: 4 };
export const ACTIVITIES = ['idle', 'running', 'waiting', 'host-call', 'idle'];

/** The state of the one file call. */
export const Rpc = { FREE: 0, ASKED: 1, ANSWERED: 2, CLOSED: 3 };

const HEADER_WORDS = 64;
const RPC_SLOTS = 16;
/** Of a record in the trace: time (2), thread, worker and activity, number plus one. */
const TRACE_WORDS = 6;
export const TRACE_RECORDS = 1 << 14;

/** The views of a control block. Everybody makes their own over the same buffer. */
export class Control {
  /** A block for a process of up to `seats` workers. */
  static create(seats, { trace = false, shared = true } = {}) {
    const words =
      HEADER_WORDS +
      RPC_SLOTS * 2 +
      seats * (SEAT_WORDS + 1 + 2) +
      (trace ? TRACE_RECORDS * TRACE_WORDS : 0);
    // An even number of words, for the 64-bit views.
    const rings = (words + 1) & ~1;
    const bytes = rings * 4 + 3 * Ring.BYTES;
    return { buffer: shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes), seats, trace };
  }

  constructor({ buffer, seats, trace }) {
    this.seats = seats;
    this.words = new Int32Array(buffer, 0, (buffer.byteLength - 3 * Ring.BYTES) >> 2);
    this.wide = new BigInt64Array(buffer, 0, this.words.length >> 1);
    this.floats = new Float64Array(buffer, 0, this.words.length >> 1);
    /** The first slot of 64 bits for a file call's arguments. */
    this.rpcSlot = HEADER_WORDS >> 1;
    this.firstSeat = HEADER_WORDS + RPC_SLOTS * 2;
    this.idle = this.firstSeat + seats * SEAT_WORDS;
    this.pending = this.idle + seats;
    this.trace = trace ? (this.pending + seats * 2 + 1) & ~1 : 0;
    this.rings = [0, 1, 2].map(
      (n) => new Ring(buffer, buffer.byteLength - (3 - n) * Ring.BYTES),
    );
    this.lock = new Lock(this.words, W.LOCK);
    this.rpcLock = new Lock(this.words, W.RPC_LOCK);
  }

  get isEnding() {
    return Atomics.load(this.words, W.ENDING) !== 0;
  }

  /** The first word of a seat. */
  seat(index) {
    return this.firstSeat + index * SEAT_WORDS;
  }

  /** The first words of the seats that fulfil a condition. */
  seatsWhere(condition) {
    const all = Array.from({ length: this.seats }, (_, index) => this.seat(index));
    return all.filter(condition);
  }

  /** The id of the thread on a seat; 0 is the main thread. */
  threadOf(seat) {
    return this.words[seat + S.THREAD];
  }

  // ---- Values of 64 bits: numbers are doubles, 64-bit integers are themselves ----

  #put(slot, value) {
    if (typeof value === 'bigint') this.wide[slot] = value;
    else this.floats[slot] = value;
    return typeof value === 'bigint' ? 1 : 0;
  }

  #get(slot, isWide) {
    return isWide ? this.wide[slot] : this.floats[slot];
  }

  /** The arguments of the file call. */
  setArguments(args) {
    let wide = 0;
    args.forEach((value, n) => (wide |= this.#put(this.rpcSlot + n, value) << n));
    this.words[W.RPC_COUNT] = args.length;
    this.words[W.RPC_WIDE] = wide;
  }

  arguments() {
    return Array.from({ length: this.words[W.RPC_COUNT] }, (_, n) =>
      this.#get(this.rpcSlot + n, this.words[W.RPC_WIDE] & (1 << n)),
    );
  }

  /** The arguments or the results of a call on a seat. */
  setValues(seat, values) {
    const first = (seat + S.VALUES) >> 1;
    let wide = 0;
    values.forEach((value, n) => (wide |= this.#put(first + n, value) << n));
    this.words[seat + S.COUNT] = values.length;
    this.words[seat + S.WIDE] = wide;
  }

  values(seat) {
    const first = (seat + S.VALUES) >> 1;
    return Array.from({ length: this.words[seat + S.COUNT] }, (_, n) =>
      this.#get(first + n, this.words[seat + S.WIDE] & (1 << n)),
    );
  }

  /** Wakes whoever waits for a bell; `byMessage` is called if bells are messages here. */
  ring(bell, byMessage) {
    Atomics.add(this.words, bell, 1);
    Atomics.notify(this.words, bell);
    if (byMessage && this.words[W.BY_MESSAGE]) byMessage(bell);
  }

  /**
   * Gives the process its cause to end; false if it had one. Wakes everybody who waits
   * in a host call, and dismisses the idle.
   */
  end(cause, code = 0, thread = 0) {
    const { words } = this;
    if (Atomics.compareExchange(words, W.ENDING, 0, 1) !== 0) return false;
    words[W.CAUSE_CODE] = code;
    words[W.CAUSE_THREAD] = thread;
    Atomics.store(words, W.CAUSE, cause);
    Atomics.add(words, W.END, 1);
    Atomics.notify(words, W.END);
    for (const word of [W.ENDED, W.CHANGED]) {
      Atomics.add(words, word, 1);
      Atomics.notify(words, word);
    }
    this.setReady();
    this.lock.close();
    this.rpcLock.close();
    if (Atomics.exchange(words, W.RPC_STATE, Rpc.CLOSED) === Rpc.ASKED) {
      Atomics.notify(words, W.RPC_STATE);
    }
    for (const ring of this.rings) ring.close();
    for (let index = 0; index < this.seats; index++) {
      const mailbox = this.seat(index) + S.MAILBOX;
      if (Atomics.compareExchange(words, mailbox, Mailbox.IDLE, Mailbox.GONE) === Mailbox.IDLE) {
        Atomics.notify(words, mailbox);
      }
      const called = Atomics.load(words, this.seat(index) + S.CALLED);
      if (called & Called.ASKED) this.answer(this.seat(index), called, Called.CLOSED);
    }
    return true;
  }

  /** Answers the call of a function of the page that a seat's thread sleeps for, unless it is another by now. */
  answer(seat, asked, state) {
    const { words } = this;
    const at = seat + S.CALLED;
    if (Atomics.compareExchange(words, at, asked, (asked & ~Called.MASK) | state) === asked) Atomics.notify(words, at);
  }

  /** The first seat has its instance; others may have theirs. */
  setReady() {
    Atomics.store(this.words, W.READY, 1);
    Atomics.notify(this.words, W.READY);
  }

  /** Notes what a seat's thread does from now on. */
  setActivity(seat, activity) {
    const { words } = this;
    Atomics.store(words, seat + S.ACTIVITY, activity);
    if (this.trace === 0) return;
    const now = timeOfEvents();
    const number = Atomics.add(words, W.TRACE_NEXT, 1);
    const record = this.traceRecord(number);
    this.floats[record >> 1] = now;
    words[record + 2] = words[seat + S.THREAD];
    words[record + 3] = (((seat - this.firstSeat) / SEAT_WORDS) << 8) | activity;
    // Last: by its number a reader knows that the record is complete.
    Atomics.store(words, record + 4, number + 1);
  }

  traceRecord(number) {
    return this.trace + (number & (TRACE_RECORDS - 1)) * TRACE_WORDS;
  }

  /**
   * Gives `each` the records from number `from` on. Returns the number of the next one,
   * and how many were overwritten before they could be read.
   */
  readTrace(from, each) {
    const { words } = this;
    const end = Atomics.load(words, W.TRACE_NEXT);
    // Records that are half a ring old may be written again while they are read.
    const lost = Math.max(0, ((end - from) | 0) - TRACE_RECORDS / 2);
    let next = (from + lost) | 0;
    for (; next !== end; next = (next + 1) | 0) {
      const record = this.traceRecord(next);
      if (Atomics.load(words, record + 4) !== ((next + 1) | 0)) break;
      each({
        time: this.floats[record >> 1],
        thread: words[record + 2],
        worker: words[record + 3] >> 8,
        activity: ACTIVITIES[words[record + 3] & 255],
      });
    }
    return { next, lost };
  }
}
