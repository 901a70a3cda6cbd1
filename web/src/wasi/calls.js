// The calls of WASI preview 1, for one thread. What can block for long or is called often
// is done here; what uses the file table is passed on.
//
// The environment they stand on:
//
//   memory        the guest's, as a GuestMemory
//   args, env     encoded strings
//   origin        the process's start, by monotonic()
//   check()       throws if the process is ending
//   exit(code)    ends the process, and throws
//   stream(fd)    0, 1, 2 if the descriptor is a standard stream, else -1
//   read(vectors), write(stream, vectors)   of a standard stream: how many bytes
//   sleep(ms), waitForInput(ms)             block this thread only
//   yield()       lets others run
//   hasInput()    whether a read would not block
//   input()       how many bytes could be read, and whether there will be no more
//   file(name, args)   a call of the file table: its errno
//   sockets            where there are listeners: their calls by name, and more, see sockets.js
//   changes, waitForChange(changes, ms)     blocks until something happens to sockets or input

import { Errno, FDFLAGS, FILE_CALLS, isErrno, SOCKET_CALLS } from './abi.js';
import * as E from './errno.js';
import { CLOCKS, clockTime } from './clocks.js';

const CLOCK_EVENT = 0;
const READ_EVENT = 1;
const WRITE_EVENT = 2;
const ABSOLUTE = 1;
const HANGUP = 1;
/** Both ways of some thirty thousand descriptors, as on the engine. */
const MOST_SUBSCRIPTIONS = 1 << 16;
const SUBSCRIPTION = 48;
const EVENT = 32;

/** The functions to import, by name. */
export function wasiCalls(env) {
  const calls = {};
  const define = (name, body) => {
    calls[name] = (...args) => {
      env.check();
      try {
        return body(...args) ?? E.SUCCESS;
      } catch (error) {
        if (isErrno(error)) return error.errno;
        throw error;
      }
    };
  };
  const { memory } = env;

  // ---- Arguments and environment ----

  for (const [list, get, sizes] of [
    [env.args, 'args_get', 'args_sizes_get'],
    [env.env, 'environ_get', 'environ_sizes_get'],
  ]) {
    define(get, (table, buffer) => memory.setStrings(table, buffer, list));
    define(sizes, (count, size) => {
      memory.setU32(count, list.length);
      memory.setU32(size, list.reduce((sum, part) => sum + part.length, 0));
    });
  }

  // ---- Time and chance ----

  const now = (clock) => clockTime(clock, env.origin);
  define('clock_time_get', (clock, _precision, result) => memory.setU64(result, now(clock)));
  define('clock_res_get', (clock, result) => {
    now(clock);
    memory.setU64(result, 1000n);
  });
  define('random_get', (at, length) => {
    const target = memory.bytes(at, length);
    // The generator takes no shared bytes, and at most this many at once.
    const chunk = new Uint8Array(Math.min(target.length, 65536));
    for (let done = 0; done < target.length; done += chunk.length) {
      env.check();
      crypto.getRandomValues(chunk);
      target.set(chunk.subarray(0, target.length - done), done);
    }
  });
  define('sched_yield', () => env.yield());

  // ---- Waiting ----

  define('poll_oneoff', (subscriptions, events, count, result) => {
    count >>>= 0;
    if (count === 0 || count > MOST_SUBSCRIPTIONS) throw new Errno(E.INVAL);
    memory.bytes(subscriptions, count * SUBSCRIPTION);
    memory.bytes(events, count * EVENT);
    memory.bytes(result, 4);
    const begin = now(CLOCKS.monotonic);
    const wants = [];
    try {
      for (let n = 0; n < count; n++) wants.push(subscription(subscriptions + n * SUBSCRIPTION));
      const ready = happened(wants, begin);
      ready.forEach((want, n) => writeEvent(events + n * EVENT, want));
      memory.setU32(result, ready.length);
    } finally {
      for (const { socket } of wants) if (socket) env.sockets.release(socket);
    }
  });

  /** The subscriptions that something has happened to, when that is so. */
  const happened = (wants, begin) => {
    const left = (want) => want.due - (now(want.clock) - (want.absolute ? 0n : begin));
    const isReady = (want) => {
      if (want.type === CLOCK_EVENT) return left(want) <= 0n;
      if (want.errno !== E.SUCCESS) return true;
      if (want.socket) return env.sockets.isReady(want.socket, want.type === READ_EVENT);
      if (want.stream < 0) return true;
      // As a pipe that is not open for that: never.
      if ((want.stream === 0) !== (want.type === READ_EVENT)) return false;
      return want.stream !== 0 || env.hasInput();
    };
    const wantsInput = wants.some(({ type, stream }) => type === READ_EVENT && stream === 0);
    const wantsSocket = wants.some(({ socket }) => socket);
    for (;;) {
      const { changes } = env;
      const ready = wants.filter(isReady);
      if (ready.length > 0) return ready;
      const timers = wants.filter((want) => want.type === CLOCK_EVENT).map(left);
      const nanoseconds = timers.reduce((least, time) => (time < least ? time : least), 2n ** 62n);
      const milliseconds = Number(nanoseconds) / 1e6;
      if (wantsSocket) env.waitForChange(changes, milliseconds);
      else if (wantsInput) env.waitForInput(milliseconds);
      else env.sleep(milliseconds);
      env.check();
    }
  };

  /** A call of the file table that changes nothing, and fails if the descriptor is not open. */
  const isOpen = (fd) => env.file('fd_renumber', [fd, fd]) === E.SUCCESS;

  const subscription = (at) => {
    const type = memory.u8(at + 8);
    const want = { type, userdata: memory.u64(at), errno: E.SUCCESS };
    if (type === CLOCK_EVENT) {
      const flags = memory.u16(at + 40);
      const clock = memory.u32(at + 16);
      // CPU time does not pass while one waits.
      if (clock > CLOCKS.monotonic || flags & ~ABSOLUTE) throw new Errno(E.INVAL);
      const absolute = (flags & ABSOLUTE) !== 0;
      return { ...want, clock: absolute ? clock : CLOCKS.monotonic, absolute, due: memory.u64(at + 24) };
    }
    if (type > WRITE_EVENT) throw new Errno(E.INVAL);
    const fd = memory.u32(at + 16);
    const stream = env.stream(fd);
    const socket = stream < 0 ? env.sockets?.use(fd) : undefined;
    if (socket) return { ...want, stream, socket };
    return { ...want, stream, errno: stream < 0 && !isOpen(fd) ? E.BADF : E.SUCCESS };
  };

  const writeEvent = (at, { userdata, type, stream, errno, socket }) => {
    memory.bytes(at, EVENT).fill(0);
    memory.setU64(at, userdata);
    memory.setU16(at + 8, errno);
    memory.setU8(at + 10, type);
    if (type === CLOCK_EVENT || errno !== E.SUCCESS) return;
    const { filled, isFinished } = socket ? env.sockets.input(socket) : stream === 0 ? env.input() : { filled: 1 };
    memory.setU64(at + 16, filled);
    if (isFinished) memory.setU16(at + 24, HANGUP);
  };

  // ---- Files and standard streams ----

  for (const name of FILE_CALLS) {
    calls[name] = (...args) => {
      env.check();
      return env.file(name, args);
    };
  }
  /** Calls `body` with what a number stands for, if that is a socket; else says that it is none. */
  const onSocket = (fd, body) => {
    const open = env.sockets?.use(fd);
    if (!open) return false;
    try {
      body(open);
    } finally {
      env.sockets.release(open);
    }
    return true;
  };
  const { fd_read, fd_write } = calls;
  define('fd_read', (fd, at, count, result) => {
    const stream = env.stream(fd);
    const read = (open) => memory.setU32(result, env.sockets.read(open, memory.vectors(at, count)));
    if (stream < 0) return onSocket(fd, read) ? E.SUCCESS : fd_read(fd, at, count, result);
    const vectors = memory.vectors(at, count);
    if (stream !== 0) throw new Errno(E.BADF);
    memory.setU32(result, env.read(vectors));
  });
  define('fd_write', (fd, at, count, result) => {
    const stream = env.stream(fd);
    const write = (open) => memory.setU32(result, env.sockets.write(open, memory.vectors(at, count)));
    if (stream < 0) return onSocket(fd, write) ? E.SUCCESS : fd_write(fd, at, count, result);
    const vectors = memory.vectors(at, count);
    if (stream === 0) throw new Errno(E.BADF);
    memory.setU32(result, env.write(stream, vectors));
  });

  /** Flags that there are not; found before what is no socket. */
  const ODD_FLAGS = {
    sock_accept: (flags) => flags & ~FDFLAGS.NONBLOCK,
    sock_recv: (_at, _count, flags) => flags & ~3,
    sock_send: (_at, _count, flags) => flags,
  };
  for (const name of SOCKET_CALLS) {
    define(name, (fd, ...args) => {
      const isOdd = ODD_FLAGS[name]?.(...args);
      const body = (open) => {
        if (isOdd) throw new Errno(E.INVAL);
        env.sockets[name](open, ...args);
      };
      if (onSocket(fd, body)) return E.SUCCESS;
      if (!isOpen(fd)) return E.BADF;
      return isOdd ? E.INVAL : E.NOTSOCK;
    });
  }
  define('proc_raise', () => E.NOTSUP);
  calls.proc_exit = (code) => env.exit(code);
  return calls;
}
