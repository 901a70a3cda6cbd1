// Hundreds of processes one after another: workers and memory stay as they are.

import { Engine, load, Process } from '../../index.js';
import { check, equal, guest, host, pause, test, wat } from '../harness.js';
import { COMPUTE, crowd, FILL, onStage, RETURN } from '../plots.js';

const ROUNDS = host.isFull ? 500 : 100;

/** Bytes that the host uses, where it tells: without those that only wait to be collected. */
async function usage() {
  if (host.name !== 'node') return undefined;
  const [v8, vm] = await Promise.all([import('node:v8'), import('node:vm')]);
  v8.setFlagsFromString('--expose-gc');
  // Buffers are given back a while after what had them.
  for (let n = 0; n < 3; n++) {
    vm.runInNewContext('gc')();
    await pause(50);
  }
  return process.memoryUsage().rss;
}

async function rounds(count, run) {
  for (let n = 0; n < count; n++) await run(n);
}

test(`flat: ${ROUNDS} processes one after another`, async () => {
  const program = await load(guest('hello'));
  const run = async () => {
    const process = new Process(program, { stdout: 'collect', poolSize: 2 });
    equal(await process.run(), { kind: 'exited', code: 0 });
  };
  await rounds(20, run);
  const before = await usage();
  await rounds(ROUNDS, run);
  const after = await usage();
  if (before) check(after - before < 64 << 20, `grew by ${(after - before) >> 20} MiB`);
});

test(`flat: ${ROUNDS / 10} processes with files in memory`, async () => {
  const program = await load(await wat(FILL.replace('END', '')));
  const run = async () => {
    const { process, stage } = onStage(program, { preopens: { '/d': {} }, limits: { fileMemory: 16 << 20 } });
    equal(await process.run(), { kind: 'exited', code: 0 });
    check(stage.heard()[0] > 250, 'it has filled them');
  };
  await rounds(2, run);
  const before = await usage();
  await rounds(ROUNDS / 10, run);
  const after = await usage();
  if (before) check(after - before < 64 << 20, `grew by ${(after - before) >> 20} MiB`);
});

test(`flat: ${ROUNDS / 10} processes that are killed while they compute`, async () => {
  const program = await crowd(2, COMPUTE);
  const engine = new Engine();
  const run = async () => {
    const { process, stage } = onStage(program, { poolSize: 2, engine });
    await process.start();
    await stage.hear(3);
    process.kill();
    equal(await process.wait(), { kind: 'killed' });
  };
  await rounds(5, run);
  const before = await usage();
  await rounds(ROUNDS / 10, run);
  const after = await usage();
  if (before) check(after - before < 64 << 20, `grew by ${(after - before) >> 20} MiB`);
  await engine.close();
  // Chromium lets them compute for two seconds more, and a worker that starts meanwhile was seen,
  // rarely, never to start: the next test's should not.
  if (host.name === 'chromium') await pause(3000);
}, { computes: true });

test('flat: processes at the same time', async () => {
  const program = await crowd(3, RETURN);
  const all = Array.from({ length: 8 }, () => onStage(program).process.run());
  for (const status of await Promise.all(all)) equal(status, { kind: 'exited', code: 0 });
});
