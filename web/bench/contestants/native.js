// The same source as a program of this machine's; the server runs it.

import { programRatio } from './common.js';

export const name = 'native';

const numbers = async (host, what, number) => (await host.native('native', [what, number])).split(' ').map(Number);

export const ready = async (host) => ({
  async sample() {
    const [nanoseconds, answer] = await numbers(host, 'meet', 4);
    return { cost: nanoseconds / 1e6, answer };
  },
});

export const spawnJoin = async (host) => ({
  async sample() {
    const [nanoseconds, seen] = await numbers(host, 'spawn_join', 1000);
    return { cost: nanoseconds / 1000, answer: 1000 - seen };
  },
});

export const nested = async (host) => ({
  sample: async () => ({ cost: (await numbers(host, 'nested', 4))[0] / 1000 }),
});

const program = (name, size, ...more) => async (host) =>
  programRatio(host, (threads) => host.native(name, ['--threads', threads, '--size', host.sizes[size], ...more]));

export const mandelbrot = program('mandelbrot', 'mandelbrot', '--output', '/dev/null');
export const mergeSort = program('merge-sort', 'mergeSort');
