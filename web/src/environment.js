// What WASI stands on in a process whose threads share a control block: rings for the
// standard streams, the file calls that a worker serves by itself, the others one at a time by
// the supervisor, and sleeps that end when the process does.

import { Activity, Cause, Rpc } from './control.js';
import { isStopped, letGo, mayHold } from './lock.js';
import { Errno, FDFLAGS, FILE_CALLS } from './wasi/abi.js';
import * as E from './wasi/errno.js';
import * as W from './words.js';

/** Thrown through the guest when its process ends; by what is built as a file of its own, too. */
export const ENDED = Symbol.for('threadwork: the process has ended');

const INPUT = 0;
/** The system's scheduler is out of reach: of so many yields one sleeps, as shortly as it can. */
const YIELDS = 8;
const SHORTEST_SLEEP = 0.001;

export class Environment {
  /**
   * @param {import('./control.js').Control} control
   * @param {number} seat the first word of the thread's seat
   * @param {import('./guest-memory.js').GuestMemory} memory
   * @param {{args: Uint8Array[], env: Uint8Array[], origin: number}} given
   * @param {(message: object) => void} post to the supervisor
   * @param {(name: string, args: any[]) => number | undefined} localFiles serves the file calls
   *   that need nobody else
   * @param {boolean} isServed whether the supervisor can serve the others
   */
  constructor(control, seat, memory, given, post, localFiles, isServed) {
    Object.assign(this, given);
    this.control = control;
    this.yields = 0;
    this.seat = seat;
    this.memory = memory;
    this.post = post;
    this.localFiles = localFiles;
    /** Where there are listeners. */
    this.sockets = null;
    this.isServed = isServed;
  }

  /** Whether the process ends, or this worker is about to be terminated. */
  get isOver() {
    return this.control.isEnding || isStopped();
  }

  check() {
    if (this.isOver) throw ENDED;
  }

  get thread() {
    return this.control.threadOf(this.seat);
  }

  exit(code) {
    if (this.control.end(Cause.EXITED, code, this.thread)) this.post({ ending: {} });
    throw ENDED;
  }

  ringSupervisor = () => this.control.ring(W.SUPERVISOR, this.ringByMessage);
  ringHost = () => this.control.ring(W.HOST, this.ringByMessage);
  ringByMessage = (bell) => this.post({ bell });

  /** Marks a host call that can take long. */
  blocking(body) {
    this.control.setActivity(this.seat, Activity.HOST_CALL);
    try {
      return body();
    } finally {
      this.control.setActivity(this.seat, Activity.RUNNING);
    }
  }

  // ---- Sleeping ----

  sleep(milliseconds) {
    this.blocking(() => {
      const { words } = this.control;
      const seen = Atomics.load(words, W.END);
      this.check();
      Atomics.wait(words, W.END, seen, milliseconds);
    });
  }

  yield() {
    this.yields = (this.yields + 1) % YIELDS;
    if (this.yields === 0) Atomics.wait(this.control.words, W.END, 0, SHORTEST_SLEEP);
  }

  // ---- Standard streams ----

  stream(fd) {
    const { words } = this.control;
    const first = W.STREAM_FD;
    fd |= 0;
    if (fd < 0) return -1;
    if (words[first + 1] === fd) return 1;
    if (words[first + 2] === fd) return 2;
    return words[first] === fd ? INPUT : -1;
  }

  /** The ring of standard input; the host, which may leave its source alone until then, hears of it. */
  get inputRing() {
    const ring = this.control.rings[INPUT];
    if (ring.want()) this.ringHost();
    return ring;
  }

  hasInput() {
    const ring = this.inputRing;
    return ring.filled > 0 || ring.isFinished;
  }

  input() {
    const { filled, isFinished } = this.inputRing;
    return { filled, isFinished };
  }

  isNonblocking(stream) {
    return (Atomics.load(this.control.words, W.STREAM_FLAGS + stream) & FDFLAGS.NONBLOCK) !== 0;
  }

  /** What `waitForChange` compares. */
  get changes() {
    return Atomics.load(this.control.words, W.CHANGED);
  }

  /** Waits until something has happened to sockets or standard input since `changes` was this. */
  waitForChange(seen, milliseconds) {
    const { words } = this.control;
    Atomics.add(words, W.POLLERS, 1);
    this.blocking(() => Atomics.wait(words, W.CHANGED, seen, milliseconds));
    Atomics.sub(words, W.POLLERS, 1);
  }

  waitForInput(milliseconds) {
    this.blocking(() => this.inputRing.waitFilled(milliseconds));
  }

  read(vectors) {
    const ring = this.inputRing;
    if (vectors.every(({ length }) => length === 0)) return 0;
    if (this.isNonblocking(INPUT) && !this.hasInput()) throw new Errno(E.AGAIN);
    if (!ring.readers.acquire()) throw ENDED;
    try {
      while (!this.hasInput()) {
        if (this.isNonblocking(INPUT)) throw new Errno(E.AGAIN);
        this.blocking(() => ring.waitFilled());
        this.check();
      }
      this.check();
      let moved = 0;
      for (const bytes of vectors) {
        const count = ring.read(bytes);
        moved += count;
        if (count < bytes.length) break;
      }
      // The host may have more.
      if (moved > 0) this.ringHost();
      return moved;
    } finally {
      ring.readers.release();
    }
  }

  write(stream, vectors) {
    const ring = this.control.rings[stream];
    if (!ring.writers.acquire()) throw ENDED;
    try {
      let moved = 0;
      for (let bytes of vectors) {
        while (bytes.length > 0) {
          const count = ring.write(bytes);
          moved += count;
          bytes = bytes.subarray(count);
          if (bytes.length === 0) break;
          this.ringHost();
          if (this.isNonblocking(stream)) {
            if (moved === 0) throw new Errno(E.AGAIN);
            return moved;
          }
          this.blocking(() => ring.waitDrained());
          this.check();
        }
      }
      this.ringHost();
      return moved;
    } finally {
      ring.writers.release();
    }
  }

  // ---- Files ----

  file(name, args) {
    return this.blocking(() => this.serve(name, args) ?? this.askSupervisor(name, args));
  }

  serve(name, args) {
    // As with a lock: until it is given back, this worker is not terminated.
    if (!mayHold()) throw ENDED;
    try {
      this.check();
      return this.localFiles(name, args);
    } finally {
      letGo();
    }
  }

  askSupervisor(name, args) {
    if (!this.isServed) return E.NOTSUP;
    const { control } = this;
    const { words } = control;
    if (!control.rpcLock.acquire()) throw ENDED;
    try {
      Atomics.store(words, W.ASKED, 1);
      words[W.RPC_CALL] = FILE_CALLS.indexOf(name);
      control.setArguments(args);
      const { FREE, ASKED, ANSWERED } = Rpc;
      if (Atomics.compareExchange(words, W.RPC_STATE, FREE, ASKED) !== FREE) throw ENDED;
      this.ringSupervisor();
      while (Atomics.load(words, W.RPC_STATE) === ASKED) {
        Atomics.wait(words, W.RPC_STATE, ASKED);
      }
      const result = words[W.RPC_RESULT];
      // Else the process ended, before or after the answer.
      if (Atomics.compareExchange(words, W.RPC_STATE, ANSWERED, FREE) !== ANSWERED) throw ENDED;
      return result;
    } finally {
      control.rpcLock.release();
    }
  }
}
