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
//   hasInput()    whether a read would not block
//   file(name, args)   a call of the file table: its errno

import { monotonic } from '../platform.js';
import { E, Errno, FILE_CALLS, MISSING_CALLS } from './abi.js';

const CLOCKS = { realtime: 0, monotonic: 1, processCpu: 2, threadCpu: 3 };
const CLOCK_EVENT = 0;
const READ_EVENT = 1;
const ABSOLUTE = 1;

/** The functions to import, by name. */
export function wasiCalls(env) {
  const calls = {};
  const define = (name, body) => {
    calls[name] = (...args) => {
      env.check();
      try {
        return body(...args) ?? E.SUCCESS;
      } catch (error) {
        if (error instanceof Errno) return error.errno;
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

  const now = (clock) => {
    switch (clock) {
      case CLOCKS.realtime:
        return BigInt(Date.now()) * 1_000_000n;
      case CLOCKS.monotonic:
      case CLOCKS.processCpu:
      case CLOCKS.threadCpu:
        return BigInt(Math.round((monotonic() - env.origin) * 1e6));
      default:
        throw new Errno(E.INVAL);
    }
  };
  define('clock_time_get', (clock, _precision, result) => memory.setU64(result, now(clock)));
  define('clock_res_get', (clock, result) => {
    now(clock);
    memory.setU64(result, clock === CLOCKS.realtime ? 1_000_000n : 1000n);
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
  define('sched_yield', () => Atomics.pause?.());

  // ---- Waiting ----

  define('poll_oneoff', (subscriptions, events, count, result) => {
    count >>>= 0;
    if (count === 0 || count > 1024) throw new Errno(E.INVAL);
    const begin = now(CLOCKS.monotonic);
    const wants = [];
    for (let n = 0; n < count; n++) wants.push(subscription(subscriptions + n * 48));
    const left = (want) => want.due - (now(want.clock) - (want.absolute ? 0n : begin));
    const isReady = (want) => {
      if (want.type === CLOCK_EVENT) return left(want) <= 0n;
      return want.type !== READ_EVENT || env.stream(want.fd) !== 0 || env.hasInput();
    };
    let ready = wants.filter(isReady);
    while (ready.length === 0) {
      const timers = wants.filter((want) => want.type === CLOCK_EVENT).map(left);
      const nanoseconds = timers.reduce((least, time) => (time < least ? time : least), 2n ** 62n);
      const milliseconds = Number(nanoseconds) / 1e6;
      if (timers.length === wants.length) env.sleep(milliseconds);
      else env.waitForInput(milliseconds);
      env.check();
      ready = wants.filter(isReady);
    }
    ready.forEach((want, n) => writeEvent(events + n * 32, want));
    memory.setU32(result, ready.length);
  });

  const subscription = (at) => {
    const type = memory.u8(at + 8);
    const want = { type, userdata: memory.u64(at) };
    if (type !== CLOCK_EVENT) return { ...want, fd: memory.u32(at + 16) };
    const absolute = (memory.u16(at + 40) & ABSOLUTE) !== 0;
    const clock = memory.u32(at + 16) === CLOCKS.realtime && absolute ? CLOCKS.realtime : CLOCKS.monotonic;
    return { ...want, clock, absolute, due: memory.u64(at + 24) };
  };

  const writeEvent = (at, { userdata, type }) => {
    memory.bytes(at, 32).fill(0);
    memory.setU64(at, userdata);
    memory.setU8(at + 10, type);
    if (type !== CLOCK_EVENT) memory.setU64(at + 16, 1n);
  };

  // ---- Files and standard streams ----

  for (const name of FILE_CALLS) {
    calls[name] = (...args) => {
      env.check();
      return env.file(name, args);
    };
  }
  const { fd_read, fd_write } = calls;
  define('fd_read', (fd, at, count, result) => {
    const stream = env.stream(fd);
    if (stream < 0) return fd_read(fd, at, count, result);
    if (stream !== 0) throw new Errno(E.BADF);
    memory.setU32(result, env.read(memory.vectors(at, count)));
  });
  define('fd_write', (fd, at, count, result) => {
    const stream = env.stream(fd);
    if (stream < 0) return fd_write(fd, at, count, result);
    if (stream === 0) throw new Errno(E.BADF);
    memory.setU32(result, env.write(stream, memory.vectors(at, count)));
  });

  for (const name of MISSING_CALLS) define(name, () => E.NOSYS);
  calls.proc_exit = (code) => env.exit(code);
  return calls;
}
