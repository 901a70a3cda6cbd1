// Threadwork itself, as it is published.

import { Engine, load, Process } from '../../dist/src/index.js';
import { lastChange, pollUntil, programRatio } from './common.js';

export const name = 'threadwork';

const quiet = { stdout: 'collect', stderr: 'collect' };
const guest = (host) => load(host.url('wasm/bench_guest.wasm'));

async function end(process) {
  process.kill();
  await process.wait();
}

/** From nothing to four threads that have met. */
export async function ready(host) {
  const sample = async () => {
    const begin = performance.now();
    const engine = new Engine();
    // As Emscripten's pool, whose size is known before the program is: the workers start while that loads.
    engine.warmUp(5).catch(() => {});
    const process = new Process(await guest(host), { ...quiet, engine, poolSize: 4 });
    const answer = await process.call('meet', 4);
    const cost = performance.now() - begin;
    await end(process);
    await engine.close();
    return { cost, answer };
  };
  await sample();
  return { sample };
}

/** A process for calls, whose threads have run before. */
async function warm(host) {
  const process = new Process(await guest(host), { ...quiet, poolSize: 5 });
  await process.call('meet', 5);
  await process.call('spawn_join', 500);
  return process;
}

export async function spawnJoin(host) {
  const process = await warm(host);
  return {
    async sample() {
      const before = await process.call('seen');
      const cost = (await process.call('spawn_join', 1000)) / 1000;
      const lost = 1000 - ((await process.call('seen')) - before);
      return { cost, answer: lost };
    },
    close: () => end(process),
  };
}

export async function nested(host) {
  const process = await warm(host);
  await process.call('nested', 4);
  return {
    sample: async () => ({ cost: (await process.call('nested', 4)) / 1000 }),
    close: () => end(process),
  };
}

/** A spawn when there is no worker. */
export async function coldSpawn(host) {
  const program = await guest(host);
  return {
    async sample() {
      const engine = new Engine({ keepWorkers: 0 });
      const process = new Process(program, { ...quiet, engine, poolSize: 0 });
      const before = await process.call('seen');
      const begin = performance.now();
      await process.call('spawn');
      await pollUntil(async () => (await process.call('seen')) > before);
      const cost = (performance.now() - begin) * 1000;
      await end(process);
      await engine.close();
      return { cost };
    },
  };
}

const program = (name, args) => async (host) => {
  const loaded = await load(host.url(`wasm/${name}.wasm`));
  const run = async (threads) => {
    const process = new Process(loaded, { ...quiet, preopens: { '/out': {} }, poolSize: threads, args: args(host, threads) });
    await process.run();
    return new TextDecoder().decode(process.stdoutBytes);
  };
  return programRatio(host, run);
};

export const mandelbrot = program('mandelbrot', (host, threads) =>
  ['--threads', threads, '--size', host.sizes.mandelbrot, '--output', '/out/m.png'].map(String));
export const mergeSort = program('merge-sort', (host, threads) =>
  ['--threads', threads, '--size', host.sizes.mergeSort].map(String));

export async function memory(host) {
  const program = await guest(host);
  const resident = async (poolSize) => {
    const engine = new Engine({ keepWorkers: 0 });
    const process = new Process(program, { ...quiet, engine, poolSize });
    await process.call('meet', poolSize);
    const bytes = await host.resident();
    await end(process);
    await engine.close();
    return bytes;
  };
  return {
    sample: async () => ({ cost: (-(await resident(2)) + (await resident(10))) / 8 / 1024 }),
  };
}

/** From `kill` until nothing changes any more. */
export async function kill(host) {
  const program = await guest(host);
  return {
    async sample() {
      const process = new Process(program, { ...quiet, poolSize: 4 });
      const address = await process.call('beat', 4);
      const words = new Int32Array(process.memory.buffer, address, 1);
      const begin = performance.now();
      process.kill();
      const cost = (await lastChange(words)) - begin;
      await process.wait();
      return { cost: Math.max(0, cost) };
    },
  };
}
