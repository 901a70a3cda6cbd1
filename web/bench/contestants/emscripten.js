// Emscripten's pthreads, as Debian packages them. The main thread is the page's: it waits by
// looking again and again.

import { pause } from '../rounds.js';
import { lastChange, pollUntil, turn } from './common.js';

export const name = 'Emscripten';

async function create(host, pool) {
  if (!host.peers.emscripten) throw new Error(host.peers.whyNoEmscripten);
  const factory = await host.script('emscripten/bench.js', 'createBench');
  // In Node 20 it would try to fetch a path.
  const wasmBinary = await (await fetch(host.url('emscripten/bench.wasm'))).arrayBuffer();
  return factory({ pool, wasmBinary, print: () => {}, printErr: () => {} });
}

const close = (module) => void module.PThread.terminateAllThreads();

export const ready = async (host) => {
  close(await create(host, 4));
  return {
    async sample() {
      const begin = performance.now();
      const module = await create(host, 4);
      const cost = performance.now() - begin;
      close(module);
      return { cost };
    },
  };
};

/** One at a time with turns between: that is when workers come back to the pool. */
async function mean(module, count) {
  let sum = 0;
  const before = module._seen();
  for (let n = 0; n < count; n++) {
    sum += module._spawn_join(1);
    await turn();
    await turn();
  }
  return { cost: sum / count / 1000, answer: count - (module._seen() - before) };
}

export async function spawnJoin(host) {
  const module = await create(host, 4);
  await mean(module, 50);
  return { sample: () => mean(module, 50), close: () => close(module) };
}

export async function nested(host) {
  // Without a worker for each, the page would wait for ever for one to start.
  const module = await create(host, 8);
  module._nested(4);
  return {
    async sample() {
      await pause(50);
      return { cost: module._nested(4) / 1000 };
    },
    close: () => close(module),
  };
}

/** Its pool is never empty: the first spawn takes the worker that is there. */
export async function coldSpawn(host) {
  close(await create(host, 1));
  return {
    async sample() {
      const module = await create(host, 1);
      module._spawn();
      const begin = performance.now();
      module._spawn();
      await pollUntil(() => module._seen() > 1);
      const cost = (performance.now() - begin) * 1000;
      close(module);
      return { cost };
    },
  };
}

export async function memory(host) {
  const resident = async (pool) => {
    const module = await create(host, pool);
    const bytes = await host.resident();
    close(module);
    return bytes;
  };
  await resident(2);
  return { sample: async () => ({ cost: (-(await resident(2)) + (await resident(10))) / 8 / 1024 }) };
}

export async function kill(host) {
  close(await create(host, 4));
  return {
    async sample() {
      const module = await create(host, 4);
      const words = new Int32Array(module.HEAP32.buffer, module._beat(4), 1);
      await pollUntil(() => Atomics.load(words, 0) > 0);
      const begin = performance.now();
      close(module);
      const cost = (await lastChange(words)) - begin;
      return { cost: Math.max(0, cost) };
    },
  };
}
