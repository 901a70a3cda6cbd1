// When a worker that was terminated is really gone. A browser does not say: Chromium lets
// one that computes go on for two seconds. But a lock of the origin's that it held gets
// free with it. Where the browser denies locks, nobody can tell, and it is taken for gone.

import { isNode } from '../platform.js';
import { after } from '../timers.js';

const locks = isNode ? undefined : globalThis.navigator?.locks;

/** No browser lets a worker go on for so long; in ms. */
const LONGEST = 10_000;

/** Inside a worker: the name that it lives under, and a promise that is kept when it does. */
export function live() {
  if (!locks) return { name: null, isAlive: Promise.resolve() };
  const name = `threadwork worker ${crypto.randomUUID()}`;
  const isAlive = new Promise((alive) => {
    locks.request(name, () => new Promise(() => alive())).catch(alive);
  });
  return { name, isAlive };
}

/** Kept when nobody lives under this name; in Node, termination itself waits. */
export async function untilGone(name) {
  if (name === null) return;
  const asked = new AbortController();
  const cancel = after(LONGEST, () => asked.abort());
  await locks.request(name, { signal: asked.signal }, () => {}).catch(() => {});
  cancel();
}
