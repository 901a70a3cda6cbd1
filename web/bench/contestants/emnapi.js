// @emnapi/wasi-threads with @tybys/wasm-util: the same modules. Its main thread must not be
// the page's, because it waits.

import { lastChange, programRatio } from './common.js';
import { Peer } from './peer.js';
import { within } from '../rounds.js';

export const name = '@emnapi/wasi-threads';

/** A process with its main thread and `pool` workers, ready. */
async function start(host, pool, { file = 'bench_guest', args } = {}) {
  if (!host.peers.emnapi) throw new Error('not installed: npm ci in web/bench');
  const peer = new Peer(() => new Worker(new URL('../emnapi/main.js', import.meta.url), { type: 'module' }), host);
  await peer.ask({ start: { url: host.url(`wasm/${file}.wasm`), pool, args } });
  return peer;
}

export const ready = async (host) => {
  await (await start(host, 4)).close();
  return {
    async sample() {
      const begin = performance.now();
      const peer = await start(host, 4);
      const answer = await peer.ask({ call: ['meet', 4] });
      const cost = performance.now() - begin;
      await peer.close();
      return { cost, answer };
    },
  };
};

/**
 * One at a time with a turn of the event loop between: while the main thread waits in a join,
 * no worker comes back to the pool.
 */
export async function spawnJoin(host) {
  const peer = await start(host, 4);
  const { mean } = await peer.ask({ calls: ['spawn_join', 50] });
  if (!(mean > 0)) throw new Error('its clock is too coarse');
  return {
    async sample() {
      const { mean, lost } = await peer.ask({ calls: ['spawn_join', 50] });
      return { cost: mean / 1000, answer: lost };
    },
    close: () => peer.close(),
  };
}

export async function nested(host) {
  const peer = await start(host, 6);
  try {
    await within(3000, peer.ask({ call: ['nested', 4] }), 'hangs, for its main thread waits in a join and is asked to spawn');
  } catch (error) {
    await peer.close();
    throw error;
  }
  return { sample: async () => ({ cost: (await peer.ask({ call: ['nested', 4] })) / 1000 }), close: () => peer.close() };
}

export async function coldSpawn(host) {
  await (await start(host, 0)).close();
  return {
    async sample() {
      const peer = await start(host, 0);
      const cost = (await peer.ask({ spawn: true })) * 1000;
      await peer.close();
      return { cost };
    },
  };
}

export async function mergeSort(host) {
  const run = async (threads) => {
    const args = ['merge-sort', '--threads', threads, '--size', host.sizes.mergeSort].map(String);
    // Rayon's workers, and those that it starts to replace nothing: two to spare.
    const peer = await start(host, threads + 2, { file: 'merge-sort', args });
    const output = await peer.ask({ run: true });
    await peer.close();
    return output;
  };
  await run(1);
  return programRatio(host, run);
}

export async function mandelbrot() {
  throw new Error('the program writes a file, and there are none without more packages');
}

export async function memory(host) {
  const resident = async (pool) => {
    const peer = await start(host, pool);
    await peer.ask({ call: ['meet', pool] });
    const bytes = await host.resident();
    await peer.close();
    return bytes;
  };
  await resident(2);
  return { sample: async () => ({ cost: (-(await resident(2)) + (await resident(10))) / 8 / 1024 }) };
}

export async function kill(host) {
  await (await start(host, 4)).close();
  return {
    async sample() {
      const peer = await start(host, 4);
      const { memory, address } = await peer.ask({ beat: 4 });
      const words = new Int32Array(memory.buffer, address, 1);
      const begin = performance.now();
      peer.ask({ terminate: true });
      const cost = (await lastChange(words)) - begin;
      await peer.close();
      return { cost: Math.max(0, cost) };
    },
  };
}
