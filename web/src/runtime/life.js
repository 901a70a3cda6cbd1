// When a worker that was terminated is really gone. A browser does not say: Chromium lets
// one that computes go on for two seconds. But a lock of the origin's that it held gets
// free with it.

import { isNode } from '../platform.js';

const locks = isNode ? undefined : globalThis.navigator?.locks;

/** Inside a worker: lives under this name until the function that this is kept with is called. */
export function live(name) {
  if (!name || !locks) return () => {};
  return new Promise((granted) => {
    locks.request(name, () => new Promise((release) => granted(release)));
  });
}

/** Kept when nobody lives under this name; in Node, termination itself waits. */
export async function untilGone(name) {
  await locks?.request(name, () => {});
}
