// The connections of a process as its threads see them: words and rings in shared memory. Node's
// sockets need an event loop, which a thread has none of, so the supervisor has them (listeners.js): it
// moves bytes between sockets and rings. Who reads or writes sleeps on a word of the ring's, who accepts
// on the number of those that wait, and who polls on W.CHANGED.
//
// A thread writes to the system's socket itself, which does not block, while nothing that was
// written before is on its way through the ring: an answer takes no turn of the supervisor's then.
//
// Invariant: the number of a socket is in C.SOCKET only while the socket is open, which whoever has
// C.LOCK can rely on. A place goes from FREE to WAITING when somebody connects, to TAKEN by one accept, to LEFT
// when nobody uses its descriptor any more, and to FREE when its socket is gone as well.

import { ENDED } from './environment.js';
import { letGo, Lock, mayHold } from './lock.js';
import { Backend, Kind } from './files/descriptors.js';
import { after } from './files/vectors.js';
import { nodeModule } from './platform.js';
import { Ring } from './ring.js';
import { Errno, FDFLAGS, RIGHTS } from './wasi/abi.js';
import * as E from './wasi/errno.js';

export const State = { FREE: 0, WAITING: 1, TAKEN: 2, LEFT: 3 };
/** How a connection was shut down by its program. */
export const Shut = { READ: 1, WRITE: 2 };

/** The words of a connection. */
export const C = {
  STATE: 0,
  LISTENER: 1,
  /** The lower of two that wait came first. */
  ORDER: 2,
  /** Told once, by a read or a write. */
  ERROR: 3,
  SHUT: 4,
  /** 1 when there is no socket any more. */
  GONE: 5,
  /** 1 while there is more for the input than there was room for. */
  MORE: 6,
  /** The system's number of the socket, plus one; 0 if threads cannot use it. */
  SOCKET: 7,
  LOCK: 8,
  /** 1 while the supervisor has bytes from the ring that are not the system's yet. */
  PENDING: 9,
};
const WORDS = 10;
const BYTES = WORDS * 4 + 2 * Ring.BYTES;
/** As many at one time; others wait in the system. */
export const MOST_CONNECTIONS = 1024;
export const MOST_LISTENERS = 64;
const FIRST = MOST_LISTENERS * 8;
/** In the number of those that wait for a listener: the process ends. */
const OVER = 1 << 30;

const PEEK = 1;
const WAITALL = 2;

/** What a listener's descriptor was: closed by all who had it, or shut down. */
const CLOSED = 1;
const SHUT = 2;

const fs = nodeModule('node:fs');

/** Memory for the connections of a process; what nobody touches takes none. */
export function createSockets() {
  const bytes = FIRST + MOST_CONNECTIONS * BYTES;
  return new SharedArrayBuffer(bytes, { maxByteLength: bytes });
}

/** What listens, at the beginning of that memory. */
export class Listener {
  #words;
  #number;

  constructor(buffer, number) {
    this.#words = new Int32Array(buffer, 0, 2 * MOST_LISTENERS);
    this.#number = number;
  }

  /** Whether nobody can accept any more. */
  get isOver() {
    return Atomics.load(this.#words, this.#number) !== 0;
  }

  /** Nobody has its descriptor any more. */
  close() {
    Atomics.or(this.#words, this.#number, CLOSED);
  }

  get isShut() {
    return (Atomics.load(this.#words, this.#number) & SHUT) !== 0;
  }

  /** Wakes who accepts, for an error; false if that was done before. */
  shut() {
    if (Atomics.or(this.#words, this.#number, SHUT) & SHUT) return false;
    this.end();
    return true;
  }

  get #waiting() {
    return MOST_LISTENERS + this.#number;
  }

  get hasWaiting() {
    return Atomics.load(this.#words, this.#waiting) !== 0;
  }

  arrived() {
    Atomics.add(this.#words, this.#waiting, 1);
    Atomics.notify(this.#words, this.#waiting);
  }

  taken() {
    Atomics.sub(this.#words, this.#waiting, 1);
  }

  /** Sleeps until somebody waits, or the process ends. */
  wait() {
    Atomics.wait(this.#words, this.#waiting, 0);
  }

  /** Wakes who sleeps, and all who will. */
  end() {
    Atomics.or(this.#words, this.#waiting, OVER);
    Atomics.notify(this.#words, this.#waiting);
  }
}

export class Connection {
  constructor(buffer, index) {
    const at = FIRST + index * BYTES;
    this.index = index;
    this.words = new Int32Array(buffer, at, WORDS);
    this.input = new Ring(buffer, at + WORDS * 4);
    this.output = new Ring(buffer, at + WORDS * 4 + Ring.BYTES);
    this.lock = new Lock(this.words, C.LOCK);
  }

  get(word) {
    return Atomics.load(this.words, word);
  }

  get isGone() {
    return this.get(C.GONE) !== 0;
  }

  get canRead() {
    return this.input.filled > 0 || this.input.isFinished;
  }

  get canWrite() {
    return this.output.filled < Ring.CAPACITY || this.output.isFinished;
  }

  /** Fails with what the socket has failed with, unless that was told already. */
  checkError() {
    const errno = Atomics.exchange(this.words, C.ERROR, 0);
    if (errno !== 0) throw new Errno(errno);
  }
}

/** All connections, as one thread uses them. */
class Connections {
  #buffer;
  #known = [];

  constructor(buffer) {
    this.#buffer = buffer;
  }

  at(index) {
    return (this.#known[index] ??= new Connection(this.#buffer, index));
  }
}

/** What closes a socket when nobody has its descriptor any more. */
export function reviveIn(buffer, ringSupervisor) {
  const connections = new Connections(buffer);
  return ({ kind, handle }) => ({
    close() {
      if (kind === Kind.LISTENER) new Listener(buffer, handle).close();
      else Atomics.store(connections.at(handle).words, C.STATE, State.LEFT);
      ringSupervisor();
    },
  });
}

/** The calls on sockets of one thread. */
export class Sockets {
  #env;
  #descriptors;
  #connections;
  #buffer;

  /**
   * @param {import('./environment.js').Environment} env
   * @param {import('./files/descriptors.js').Descriptors} descriptors
   * @param {SharedArrayBuffer} buffer
   */
  constructor(env, descriptors, buffer) {
    this.#env = env;
    this.#descriptors = descriptors;
    this.#connections = new Connections(buffer);
    this.#buffer = buffer;
  }

  // ---- Descriptors ----

  /** As long as `body` runs this worker is not terminated. */
  #held(body) {
    if (!mayHold()) throw ENDED;
    try {
      return body();
    } finally {
      letGo();
    }
  }

  /** What a number stands for, if that is a socket; it stays open until `release`. */
  use(fd) {
    return this.#held(() => this.#descriptors.useSocket(fd >>> 0));
  }

  release(open) {
    this.#held(() => this.#descriptors.release(open));
  }

  #check(open, right) {
    if (!(open.rights & right)) throw new Errno(E.NOTCAPABLE);
  }

  // ---- WASI's calls, with what a number stands for in its place ----

  sock_accept(open, flags, result) {
    const { memory } = this.#env;
    memory.bytes(result, 4);
    memory.setU32(result, this.accept(open, flags));
  }

  sock_recv(open, at, count, flags, result, resultFlags) {
    const { memory } = this.#env;
    if (open.kind !== Kind.CONNECTION) throw new Errno(E.NOTSOCK);
    memory.bytes(result, 4);
    memory.setU16(resultFlags, 0);
    memory.setU32(result, this.read(open, memory.vectors(at, count), flags));
  }

  sock_send(open, at, count, _flags, result) {
    const { memory } = this.#env;
    if (open.kind !== Kind.CONNECTION) throw new Errno(E.NOTSOCK);
    memory.bytes(result, 4);
    memory.setU32(result, this.write(open, memory.vectors(at, count)));
  }

  sock_shutdown(open, how) {
    this.shutdown(open, how);
  }

  // ---- What they do ----

  #connection(open, ofListeners) {
    if (open.kind === Kind.LISTENER) throw new Errno(ofListeners);
    return this.#connections.at(open.handle);
  }

  /** Sleeps until something may have happened, or the process ends. */
  #sleep(open, wait) {
    if (open.flags & FDFLAGS.NONBLOCK) throw new Errno(E.AGAIN);
    this.#env.blocking(wait);
    this.#env.check();
  }

  // ---- Calls ----

  accept(open, flags) {
    if (flags & ~FDFLAGS.NONBLOCK || open.kind !== Kind.LISTENER) throw new Errno(E.INVAL);
    this.#check(open, RIGHTS.ACCEPT);
    this.#descriptors.checkRoom();
    const listener = new Listener(this.#buffer, open.handle);
    for (;;) {
      if (listener.isShut) throw new Errno(E.INVAL);
      const fd = listener.hasWaiting ? this.#held(() => this.#take(open, listener, flags)) : undefined;
      if (fd !== undefined) return fd;
      this.#sleep(open, () => listener.wait());
    }
  }

  /** The descriptor of who has waited longest, if somebody waits. */
  #take(open, listener, flags) {
    for (;;) {
      const first = this.#firstOf(open.handle);
      if (!first) return undefined;
      const { words, index } = first;
      if (Atomics.compareExchange(words, C.STATE, State.WAITING, State.TAKEN) !== State.WAITING) continue;
      listener.taken();
      const rights = open.inheriting;
      return this.#descriptors.insert({
        kind: Kind.CONNECTION,
        backend: Backend.SOCKET,
        handle: index,
        access: RIGHTS.READ | RIGHTS.WRITE,
        rights,
        inheriting: rights,
        flags,
      });
    }
  }

  #firstOf(listener) {
    let first;
    for (let index = 0; index < MOST_CONNECTIONS; index++) {
      const found = this.#connections.at(index);
      if (found.get(C.STATE) !== State.WAITING || found.get(C.LISTENER) !== listener) continue;
      if (!first || ((found.get(C.ORDER) - first.get(C.ORDER)) | 0) < 0) first = found;
    }
    return first;
  }

  read(open, vectors, flags = 0) {
    this.#check(open, RIGHTS.READ);
    const connection = this.#connection(open, E.NOTCONN);
    const { input } = connection;
    const room = vectors.reduce((sum, { length }) => sum + length, 0);
    if (room === 0) return 0;
    const wanted = flags & WAITALL && !(flags & PEEK) ? room : 1;
    if (open.flags & FDFLAGS.NONBLOCK && !connection.canRead) throw new Errno(E.AGAIN);
    if (!input.readers.acquire()) throw ENDED;
    try {
      let moved = 0;
      while (moved < wanted) {
        while (!connection.canRead) {
          if (moved > 0 && open.flags & FDFLAGS.NONBLOCK) return moved;
          this.#sleep(open, () => input.waitFilled());
        }
        this.#env.check();
        const count = flags & PEEK ? input.peek(vectors) : readSome(input, vectors, moved);
        if (count === 0) break;
        moved += count;
        if (connection.get(C.MORE)) this.#env.ringSupervisor();
      }
      if (moved === 0) connection.checkError();
      return moved;
    } finally {
      input.readers.release();
    }
  }

  write(open, vectors) {
    this.#check(open, RIGHTS.WRITE);
    const connection = this.#connection(open, E.PIPE);
    const { output } = connection;
    if (!output.writers.acquire()) throw ENDED;
    try {
      const now = this.#writeNow(connection, vectors);
      let moved = now;
      let isAll = true;
      for (let bytes of after(vectors, now)) {
        isAll = false;
        while (bytes.length > 0) {
          this.#env.check();
          if (output.isFinished || connection.isGone) {
            if (moved > 0) return moved;
            connection.checkError();
            throw new Errno(E.PIPE);
          }
          const count = output.write(bytes);
          moved += count;
          bytes = bytes.subarray(count);
          if (bytes.length === 0) break;
          this.#env.ringSupervisor();
          if (open.flags & FDFLAGS.NONBLOCK && moved > 0) return moved;
          this.#sleep(open, () => output.waitDrained());
        }
      }
      if (!isAll) this.#env.ringSupervisor();
      return moved;
    } finally {
      output.writers.release();
    }
  }

  /** Writes what the system takes at once; how much that was. Of the one who writes. */
  #writeNow({ words, output, lock }, vectors) {
    // In this order: the supervisor says that it has bytes before it takes them.
    if (output.isFinished || output.filled > 0 || Atomics.load(words, C.PENDING)) return 0;
    const parts = vectors.filter(({ length }) => length > 0);
    if (parts.length === 0) return 0;
    return this.#held(() => {
      lock.take();
      try {
        const socket = Atomics.load(words, C.SOCKET) - 1;
        return socket < 0 ? 0 : fs.writevSync(socket, parts);
      } catch {
        // There is no room, or the supervisor will find out what is wrong.
        return 0;
      } finally {
        lock.give();
      }
    });
  }

  shutdown(open, how) {
    this.#check(open, RIGHTS.SHUTDOWN);
    if (how >>> 0 < 1 || how >>> 0 > 3) throw new Errno(E.INVAL);
    if (open.kind === Kind.LISTENER) return this.#shutListener(new Listener(this.#buffer, open.handle), how);
    const connection = this.#connection(open, E.NOTCONN);
    if (connection.isGone) throw new Errno(E.NOTCONN);
    Atomics.or(connection.words, C.SHUT, how);
    if (how & Shut.READ) connection.input.finish();
    if (how & Shut.WRITE) {
      connection.output.finish();
      connection.output.disturb();
    }
    this.#env.ringSupervisor();
  }

  /** As on Linux: one that listens is closed by the end of reading, and by nothing else. */
  #shutListener(listener, how) {
    if (listener.isShut) throw new Errno(E.NOTCONN);
    if (!(how & Shut.READ)) return;
    if (!listener.shut()) throw new Errno(E.NOTCONN);
    this.#env.ringSupervisor();
  }

  // ---- Polls ----

  /** Whether a read, or a write, would not wait. */
  isReady(open, isRead) {
    if (open.kind === Kind.LISTENER) {
      const listener = new Listener(this.#buffer, open.handle);
      return listener.isShut || (isRead && listener.hasWaiting);
    }
    const connection = this.#connections.at(open.handle);
    return isRead ? connection.canRead : connection.canWrite;
  }

  /** How many bytes can be read, and whether the connection is over. */
  input(open) {
    if (open.kind === Kind.LISTENER) {
      const isFinished = new Listener(this.#buffer, open.handle).isShut;
      return { filled: 1, isFinished };
    }
    const connection = this.#connections.at(open.handle);
    return { filled: connection.input.filled, isFinished: connection.isGone };
  }
}

/** Fills what is left of the vectors after so many bytes. */
function readSome(ring, vectors, done) {
  let moved = 0;
  for (const bytes of vectors) {
    const rest = bytes.subarray(Math.min(done, bytes.length));
    done -= bytes.length - rest.length;
    const count = ring.read(rest);
    moved += count;
    if (count < rest.length) break;
  }
  return moved;
}
