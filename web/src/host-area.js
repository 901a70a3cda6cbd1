// The host's bytes in the first shared memory of a process: what the memory has from the start
// beyond what the module declares. Objects of the host lie there, and the stacks of a
// runtime's workers.
//
// Allocators of guests take what they did not get by `memory.grow` for somebody else's, but what
// lies between two growths of their own for theirs: wasi-libc's does. So the host does not
// grow the memory of a program that grows it, too.
//
// Invariant: what lies below W.HOST_FREE is taken; it only rises, and not above W.HOST_END.

import * as W from './words.js';

/** Both words count in units of so many bytes: 4 GiB are too many for a word. */
const UNIT = 16;

/** Says where it is, before the process starts. */
export function layOut(words, begin, end) {
  words[W.HOST_FREE] = begin / UNIT;
  words[W.HOST_END] = end / UNIT;
}

/** Takes bytes; undefined if there are not as many. */
export function take(words, size, alignment = UNIT) {
  for (;;) {
    const free = Atomics.load(words, W.HOST_FREE);
    const at = Math.ceil((free * UNIT) / alignment) * alignment;
    const next = Math.ceil((at + size) / UNIT);
    if (next > Atomics.load(words, W.HOST_END)) return undefined;
    if (Atomics.compareExchange(words, W.HOST_FREE, free, next) === free) return at;
  }
}
