// The clocks of WASI preview 1.

import { monotonic, nodeModule } from '../platform.js';
import { Errno } from './abi.js';
import * as E from './errno.js';

export const CLOCKS = { realtime: 0, monotonic: 1, processCpu: 2, threadCpu: 3 };

/** Milliseconds by which the system's time differs from ours. */
let drift = 0;

/**
 * The time of day: the system's, which is told in whole milliseconds, with what is finer from the
 * clock that knows nothing of the time being set.
 */
function realtime() {
  const whole = Date.now();
  const time = monotonic() + drift;
  if (time < whole) drift += whole - time;
  else if (time >= whole + 1) drift -= time - whole;
  return nanoseconds(monotonic() + drift);
}

const nanoseconds = (milliseconds) => BigInt(Math.round(milliseconds * 1e6));

const process = nodeModule('node:process');
const fs = nodeModule('node:fs');

/** Of the whole of Node: the program's threads are its. */
function processCpu() {
  if (!process) throw new Errno(E.NOTSUP);
  const { user, system } = process.cpuUsage();
  return BigInt(user + system) * 1000n;
}

/** Of this worker, where anybody tells it. */
function threadCpu() {
  if (process?.threadCpuUsage) {
    const { user, system } = process.threadCpuUsage();
    return BigInt(user + system) * 1000n;
  }
  try {
    return BigInt(fs.readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]);
  } catch {
    throw new Errno(E.NOTSUP);
  }
}

/** Nanoseconds; the monotonic clock begins at `origin`. */
export function clockTime(clock, origin) {
  switch (clock) {
    case CLOCKS.realtime:
      return realtime();
    case CLOCKS.monotonic:
      return nanoseconds(monotonic() - origin);
    case CLOCKS.processCpu:
      return processCpu();
    case CLOCKS.threadCpu:
      return threadCpu();
    default:
      throw new Errno(E.INVAL);
  }
}
