// The rules of wasi-threads: ids, arguments, spawns that fail, instances that are as new,
// and spawns that nobody's event loop has to serve.

import { load, Process } from '../../index.js';
import { check, equal, text, test, url } from '../harness.js';
import { play, plot } from '../plots.js';

test('rules: ids are positive, below 2^29 and distinct among the living', async () => {
  const program = await plot(`
    (func (export "wasi_thread_start") (param $id i32) (param i32)
      (call $say (local.get $id)) (call $count) (call $wait))
    (func (export "_start") (local $n i32)
      (loop
        (call $say (call $spawn (i32.const 0)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 8))))
      (call $until_counted (i32.const 8)))`);
  const { heard, status } = await play(program);
  equal(status, { kind: 'exited', code: 0 });
  const ids = heard.sort((a, b) => a - b);
  check(ids.every((id) => id > 0 && id < 2 ** 29), String(ids));
  // Each once from its spawner, and once from the thread itself.
  const once = ids.filter((_, n) => n % 2 === 0);
  equal(once, ids.filter((_, n) => n % 2 === 1));
  equal(new Set(once).size, 8);
});

test('rules: the argument arrives as it was given', async () => {
  const program = await plot(`
    (func (export "wasi_thread_start") (param $id i32) (param $argument i32)
      (call $say (local.get $argument)) (call $count))
    (func (export "_start")
      (drop (call $spawn (i32.const -1)))
      (call $until_counted (i32.const 1))
      (drop (call $spawn (i32.const 0x7fffffff)))
      (call $until_counted (i32.const 2)))`);
  equal((await play(program)).heard, [-1, 0x7fffffff]);
});

test('rules: a failed spawn is negative, and the guest goes on', async () => {
  const program = await plot(`
    (func (export "wasi_thread_start") (param i32 i32) (call $wait))
    (func (export "_start")
      (call $say (call $spawn (i32.const 0)))
      (call $say (call $spawn (i32.const 0)))
      (call $say (i32.const 77)))`);
  const { heard, status, process } = await play(program, { maxThreads: 1 });
  equal(status.kind, 'exited');
  check(heard[0] > 0 && heard[1] < 0 && heard[2] === 77, String(heard));
  equal(process.stats().spawnsFailed, 1);
});

test('rules: without any thread granted, spawns fail', async () => {
  const program = await plot(`
    (func (export "wasi_thread_start") (param i32 i32))
    (func (export "_start") (call $say (call $spawn (i32.const 0))))`);
  const { heard } = await play(program, { maxThreads: 0 });
  check(heard[0] < 0, String(heard));
});

/** Starts threads one after another, and waits for each. */
const CHAIN = `
  (func (export "wasi_thread_start") (param i32 i32) (call $count))
  (func (export "_start") (local $n i32)
    (loop
      (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 1)) (then unreachable))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (call $until_counted (local.get $n))
      (br_if 0 (i32.lt_u (local.get $n) (i32.const 200)))))`;

for (const [poolSize, maxThreads] of [[1, 1], [0, 4], [4, 4]]) {
  test(`rules: spawn-then-join, 200 times, ${poolSize} of ${maxThreads} workers ready`, async () => {
    const { status, process } = await play(await plot(CHAIN), { poolSize, maxThreads });
    equal(status, { kind: 'exited', code: 0 });
    equal(process.stats().threadsStarted, 201);
  });
}

test('rules: threads that spawn threads and wait for them, with no worker ready', async () => {
  // Each thread starts the next, and waits until the deepest has counted.
  const program = await plot(`
    (func (export "wasi_thread_start") (param $id i32) (param $depth i32)
      (if (i32.lt_u (local.get $depth) (i32.const 6))
        (then
          (if (i32.lt_s (call $spawn (i32.add (local.get $depth) (i32.const 1))) (i32.const 1))
            (then unreachable)))
        (else (call $count)))
      (call $until_counted (i32.const 1))
      (call $count))
    (func (export "_start")
      (drop (call $spawn (i32.const 0)))
      (call $until_counted (i32.const 8)))`);
  for (const poolSize of [0, 1, 7]) {
    const { status } = await play(program, { poolSize, maxThreads: 8 });
    equal(status, { kind: 'exited', code: 0 }, `pool of ${poolSize}`);
  }
});

test('rules: a start function that spawns and waits works', async () => {
  const program = await plot(`
    (start $begin)
    (func $begin
      (if (i32.eqz (i32.atomic.rmw.add (i32.const 512) (i32.const 1))) (then
        (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 1)) (then unreachable)))))
    (func (export "wasi_thread_start") (param i32 i32) (call $count))
    (func (export "_start") (call $until_counted (i32.const 1)) (call $say (i32.const 5)))`);
  equal((await play(program)).heard, [5]);
});

// ---- Instances ----

/** Each thread says what its instance looks like, before and after it changes it. */
async function looksNew(state, look, change, fresh) {
  const program = await plot(`${state}
    (func $look (result i32) ${look})
    (func $change ${change})
    (func (export "wasi_thread_start") (param i32 i32)
      (call $say (call $look))
      (call $change)
      (call $say (call $look))
      (call $count))
    (func (export "_start") (local $n i32)
      (loop
        (drop (call $spawn (i32.const 0)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (call $until_counted (local.get $n))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 20)))))`);
  const { heard, status } = await play(program, { poolSize: 2 });
  equal(status.kind, 'exited');
  equal(heard.length, 40);
  heard.forEach((value, n) => check((value === fresh) === (n % 2 === 0), `${value} at ${n}`));
}

test('rules: globals are new for each thread', () =>
  looksNew(
    '(global $number (mut i32) (i32.const 42))',
    '(global.get $number)',
    '(global.set $number (i32.const 7))',
    42,
  ));

test('rules: tables are new for each thread', () =>
  looksNew(
    '(table $table 2 funcref)',
    '(table.size $table)',
    '(drop (table.grow $table (ref.null func) (i32.const 3)))',
    2,
  ));

test('rules: data is written once for a process', async () => {
  const program = await load(url('/text/start-initializes.wasm'));
  const process = new Process(program, { stdout: 'collect' });
  equal((await process.run()).kind, 'exited');
  const output = text(process.stdoutBytes);
  check(/^starts: [4-9]\nwinners: 1\nsegment: kept\n$/.test(output), output);
});

test('rules: the memory may have any name, or be none', async () => {
  for (const name of ['memory-other-name', 'hello-threads', 'single']) {
    const process = new Process(await load(url(`/text/${name}.wasm`)), { stdout: 'collect' });
    equal(await process.run(), { kind: 'exited', code: 0 });
    const output = text(process.stdoutBytes);
    check(output.includes(`ok ${name}`), output);
  }
});
