// Measures, in one host: the seconds that a guest says it took, with one thread.

import { load, Process } from '../../index.js';

const ROUNDS = 9;
const base = globalThis.process?.argv?.[2] ?? location.origin;
const post = (message) => fetch(new URL('/report', base), { method: 'POST', body: JSON.stringify(message) });

const GUESTS = { pi: 20_000_000, 'merge-sort': 2_000_000, queens: 13 };
const KINDS = { plain: {}, rewritten: { deadlockDetection: true, stackCheck: false }, stoppable: { stoppable: true } };

async function seconds(program, size) {
  const process = new Process(program, { args: ['--threads', '1', '--size', String(size)], stdout: 'collect' });
  await process.run();
  return Number(/seconds: ([\d.]+)/.exec(new TextDecoder().decode(process.stdoutBytes))[1]);
}

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

for (const [name, size] of Object.entries(GUESTS)) {
  const kinds = await Promise.all(
    Object.entries(KINDS).map(async ([kind, options]) => [kind, await load(new URL(`/guests/${name}.wasm`, base), options)]),
  );
  const rounds = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const times = {};
    for (const [kind, program] of round % 2 ? kinds : kinds.toReversed()) times[kind] = await seconds(program, size);
    // The first compiles.
    if (round > 0) rounds.push(times);
  }
  const ratio = (one, other) => median(rounds.map((times) => times[one] / times[other])).toFixed(3);
  const plain = (median(rounds.map((times) => times.plain)) * 1000).toFixed(0);
  const line = `${name} ${plain} ms; rewritten ${ratio('rewritten', 'plain')} of it, stoppable ${ratio('stoppable', 'plain')}`;
  await post({ line });
}
await post({ done: true });
