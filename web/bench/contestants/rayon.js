// wasm-bindgen-rayon, with the nightly compiler. It has a pool, and no threads of std.

import { programRatio } from './common.js';
import { Peer } from './peer.js';

export const name = 'wasm-bindgen-rayon';

async function start(host, threads) {
  if (!host.peers.rayon) throw new Error(host.peers.whyNoRayon);
  if (host.name === 'node') throw new Error('it does not start workers in Node');
  const peer = new Peer(() => new Worker('/wasm-bindgen-rayon/main.js', { type: 'module' }), host);
  await peer.ask({ threads });
  return peer;
}

export async function ready(host) {
  await (await start(host, 4)).close();
  return {
    async sample() {
      const begin = performance.now();
      const peer = await start(host, 4);
      const cost = performance.now() - begin;
      await peer.close();
      return { cost };
    },
  };
}

export async function spawnJoin() {
  throw new Error('it has no std::thread: spawns are refused');
}

export const nested = spawnJoin;
