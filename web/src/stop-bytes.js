// How threads are stopped that compute, where nobody interrupts them: a module that was rewritten for it
// (`stoppable`) looks at a byte of its memory in each loop. The page that the byte is in was added by
// the rewriter and belongs to nobody else. Behind the byte that all look at is one for each seat,
// whose thread traps if both are not zero.
//
// Invariant: while the byte of a seat is set, so is the one for all.

import * as W from './words.js';

/** The global that holds where the byte of an instance's thread is. */
export const STOP_AT = 'threadwork:stop-at';

const PAGE = 65536;

/** Where the bytes are in a memory that has so many pages at first. */
export const stopBytesOf = (minimum) => (minimum - 1) * PAGE;

/** Tells a new instance which seat it is on. */
export function takeStopByte({ instance, join, control }) {
  const global = instance.exports[STOP_AT];
  if (global) global.value = control.words[W.STOP_AT] + 1 + join.index;
}

/** The bytes, or null where threads do not look. */
function bytesOf({ words, seats }, [first]) {
  const at = words[W.STOP_AT] >>> 0;
  return at === 0 || !first?.memory ? null : new Uint8Array(first.memory.buffer, at, 1 + seats);
}

/** Stops all threads of a process that ends. */
export function stopAll(control, memories) {
  const bytes = bytesOf(control, memories);
  for (let at = (bytes?.length ?? 0) - 1; at >= 0; at--) Atomics.store(bytes, at, 1);
}

/** Stops the thread on a seat, and none that comes there after it was let go. */
export function stopSeat(control, memories, index) {
  const bytes = bytesOf(control, memories);
  if (!bytes) return;
  Atomics.store(bytes, 1 + index, 1);
  Atomics.store(bytes, 0, 1);
}

/** The thread on a seat is gone. */
export function letGoOfSeat(control, memories, index) {
  const bytes = bytesOf(control, memories);
  if (!bytes) return;
  Atomics.store(bytes, 1 + index, 0);
  if (bytes.subarray(1).every((byte) => byte === 0)) Atomics.store(bytes, 0, 0);
}
