// A worker that has the pool, and waits for it: the page's main thread must not.

import init, { initThreadPool, meet } from './bench_rayon.js';

onmessage = async ({ data: { number, threads } }) => {
  try {
    await init();
    await initThreadPool(threads);
    postMessage({ number, value: meet() });
  } catch (error) {
    postMessage({ number, error: String(error) });
  }
};
