// Measures, in one host: the seconds that a guest says it took, with one thread, at best.

import { load, Process } from '../../index.js';

const ROUNDS = 15;
const base = globalThis.process?.argv?.[2] ?? location.origin;
const post = (message) => fetch(new URL('/report', base), { method: 'POST', body: JSON.stringify(message) });

const GUESTS = { pi: 20_000_000, 'merge-sort': 2_000_000, queens: 13 };
const KINDS = { plain: {}, rewritten: { deadlockDetection: true, stackCheck: false }, stoppable: { stoppable: true } };

async function seconds(program, size) {
  const process = new Process(program, { args: ['--threads', '1', '--size', String(size)], stdout: 'collect' });
  await process.run();
  return Number(/seconds: ([\d.]+)/.exec(new TextDecoder().decode(process.stdoutBytes))[1]);
}

for (const [name, size] of Object.entries(GUESTS)) {
  const kinds = await Promise.all(
    Object.entries(KINDS).map(async ([kind, options]) => [kind, await load(new URL(`/guests/${name}.wasm`, base), options)]),
  );
  const best = Object.fromEntries(kinds.map(([kind]) => [kind, Infinity]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [kind, program] of round % 2 ? kinds : kinds.toReversed()) {
      best[kind] = Math.min(best[kind], await seconds(program, size));
    }
  }
  const ratio = (kind) => (best[kind] / best.plain).toFixed(3);
  const line = `${name} ${(best.plain * 1000).toFixed(0)} ms; rewritten ${ratio('rewritten')} of it, stoppable ${ratio('stoppable')}`;
  await post({ line });
}
await post({ done: true });
