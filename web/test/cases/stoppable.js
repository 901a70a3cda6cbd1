// Threads that look whether they are to stop: they do so on hosts, too, that interrupt nobody.

import { Engine, load, Process, ThreadRuntime } from '../../index.js';
import { check, equal, failure, guest, pause, test, until, wat } from '../harness.js';
import { COMPUTE, crowd, onStage, plot } from '../plots.js';

/** Each of so many threads counts in a word of its own, from 256 on, and never ends. */
const counters = (count, options) =>
  plot(
    `(func (export "wasi_thread_start") (param i32 i32) (call $go_on (local.get 1)))
     (func $go_on (param $at i32)
       (loop (drop (i32.atomic.rmw.add (local.get $at) (i32.const 1))) (br 0)))
     (func (export "_start") (local $n i32)
       (loop
         (local.set $n (i32.add (local.get $n) (i32.const 1)))
         (drop (call $spawn (i32.add (i32.const 256) (i32.mul (i32.const 4) (local.get $n)))))
         (br_if 0 (i32.lt_u (local.get $n) (i32.const ${count}))))
       (call $go_on (i32.const 256)))`,
    options,
  );

/** Whether the words stay as they are. */
async function areAtRest(words) {
  const before = [...words];
  await pause(30);
  return before.every((word, n) => word === words[n]);
}

const WAYS = {
  'a kill': (process) => process.kill(),
  'an engine that is closed': (_, engine) => engine.close(),
  'an exit': (process) => Atomics.store(new Int32Array(process.memory.buffer), 63, 1),
};

for (const [name, end] of Object.entries(WAYS)) {
  test(`stoppable: threads that compute are at rest after ${name}`, async () => {
    const engine = new Engine();
    const program = await plot(
      `(func (export "wasi_thread_start") (param i32 i32) (call $go_on (local.get 1)))
       (func $go_on (param $at i32)
         (loop
           (drop (i32.atomic.rmw.add (local.get $at) (i32.const 1)))
           ;; One of them looks for the test's word.
           (if (i32.eq (local.get $at) (i32.const 260)) (then
             (if (i32.atomic.load (i32.const 252)) (then (call $exit (i32.const 3))))))
           (br 0)))
       (func (export "_start")
         (drop (call $spawn (i32.const 260)))
         (drop (call $spawn (i32.const 264)))
         (call $go_on (i32.const 256)))`,
      { stoppable: true },
    );
    check(program.isStoppable);
    const { process } = onStage(program, { engine });
    const over = process.run().catch((error) => error);
    const words = new Int32Array(process.memory.buffer, 256, 3);
    await until(() => words.every((word) => word !== 0));
    await end(process, engine);
    await over;
    await until(() => process.isOver);
    // Browsers do not tell when the workers of a closed engine are gone.
    if (name.includes('closed')) await until(() => areAtRest(words));
    check(await areAtRest(words), 'nobody counts');
    await engine.close();
  });
}

test('stoppable: the limit of time, and what main returns while others compute', async () => {
  const program = await counters(2, { stoppable: true, deadlockDetection: true });
  const { process } = onStage(program, { limits: { wallTime: 200 } });
  const { buffer } = process.memory;
  equal(await process.run(), { kind: 'limit', limit: 'wallTime', value: 200 });
  check(await areAtRest(new Int32Array(buffer, 256, 3)), 'nobody counts');
  for (const stackCheck of [false, true]) {
    const endings = await load(guest('endings'), { stoppable: true, stackCheck });
    const returns = new Process(endings, { args: ['main', 'return', 'compute'], stdin: 'pipe', stdout: 'null' });
    equal(await returns.run(), { kind: 'exited', code: 0 });
    const panics = new Process(endings, { args: ['thread', 'panic', 'compute'], stdout: 'null', stderr: 'null' });
    const status = await panics.run();
    equal([status.kind, status.thread > 0], ['trapped', true], 'who stops is not who trapped');
  }
});

/** Tasks of a runtime: a loop and a recursion that never end, and one that counts what is at 8. */
const TASKS = `(module
  (import "env" "memory" (memory 1 16 shared))
  (func $deeper (param $n i32) (param $at i32) (result i32)
    (drop (i32.atomic.rmw.add (local.get $at) (i32.const 1)))
    (if (result i32) (local.get $n)
      (then (i32.add
        (call $deeper (i32.sub (local.get $n) (i32.const 1)) (local.get $at))
        (call $deeper (i32.sub (local.get $n) (i32.const 1)) (local.get $at))))
      (else (i32.const 1))))
  (func (export "loop") (param $at i32)
    (loop (drop (i32.atomic.rmw.add (local.get $at) (i32.const 1))) (br 0)))
  (func (export "recurse") (param $at i32) (drop (call $deeper (i32.const 100) (local.get $at))))
  (func (export "add") (param i32) (result i32) (i32.atomic.rmw.add (i32.const 8) (local.get 0))))`;

test('stoppable: a task is ended while it computes, and others are not', async () => {
  const program = await load(await wat(TASKS), { stoppable: true });
  const runtime = new ThreadRuntime(program, { poolSize: 2 });
  const other = runtime.execute('loop', 64);
  for (const [n, entry] of ['loop', 'recurse', 'loop', 'recurse'].entries()) {
    const at = 128 + 4 * n;
    const task = runtime.execute(entry, at);
    const next = runtime.execute('add', 1);
    await until(() => runtime.memory.load(at) !== 0);
    task.cancel();
    equal((await failure(task)).code, 'CANCELLED');
    equal(await next, n, 'the next task on that worker');
    const [counted, others] = [runtime.memory.load(at), runtime.memory.load(64)];
    await until(() => runtime.memory.load(64) !== others);
    equal(runtime.memory.load(at), counted, entry);
  }
  other.cancel();
  equal((await failure(other)).code, 'CANCELLED');
  equal(await runtime.shutdown(), { kind: 'exited', code: 0 });
});

test('stoppable: the host has its bytes elsewhere, and memories are as large as they may be', async () => {
  const program = await crowd(1, COMPUTE, { stoppable: true });
  equal(program.memories.map(({ minimum, maximum }) => [minimum, maximum]), [[3, 64]]);
  const { process, stage } = onStage(program, { hostMemory: 65536, limits: { memory: 4 * 65536 } });
  equal(process.memory.buffer.byteLength, 4 * 65536);
  const free = process.hostArea.take(16);
  equal(free, 3 * 65536);
  const over = process.run();
  await stage.hear(2);
  process.kill();
  equal(await over, { kind: 'killed' });
});

test('stoppable: a module without a shared memory stays as it is', async () => {
  const alone = await load(await wat('(module (memory (export "memory") 1) (func (export "_start")))'), { stoppable: true });
  equal(alone.isStoppable, false);
  equal(await new Process(alone).run(), { kind: 'exited', code: 0 });
});
