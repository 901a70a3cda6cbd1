// Runtimes: exported functions on a pool of workers, over one shared memory.

import { load, ThreadRuntime } from '../../index.js';
import { importMemory, memories } from '../../src/sections.js';
import { Barrier, Condvar, Latch, Mutex, RwLock, Semaphore } from '../../sync.js';
import { check, equal, failure, guest, hearsNotifies, host, notBun, pause, test, until, url, wat } from '../harness.js';

/** Memory of its own; below 64 are counters. */
const PLAIN = `(module
  (memory (export "memory") 1 64 shared)
  (data (i32.const 128) "hello")
  (func (export "add") (param i32) (result i32) (i32.atomic.rmw.add (i32.const 0) (local.get 0)))
  (func (export "swap") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
  (func (export "fail") (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1))) unreachable)
  (func (export "compute") (drop (i32.atomic.rmw.add (i32.const 8) (i32.const 1))) (loop (br 0)))
  (func (export "wait") (result i32)
    (drop (i32.atomic.rmw.add (i32.const 12) (i32.const 1)))
    (memory.atomic.wait32 (i32.const 16) (i32.const 0) (i64.const -1)))
  (global $calls (mut i32) (i32.const 0))
  (func (export "calls") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))
  (func (export "spoil") (i32.store (i32.const 128) (i32.const 0))))`;

const plain = async (options) => new ThreadRuntime(await load(await wat(PLAIN)), options);

test('runtime: tasks of a module with a memory of its own', async () => {
  const runtime = await plain();
  const before = await Promise.all(Array.from({ length: 100 }, (_, n) => runtime.execute('add', n + 1)));
  check(before.every((number) => number < 5050), String(before));
  equal(runtime.memory.load(0), 5050);
  equal(await runtime.execute('swap', 7, 1n << 40n), [1n << 40n, 7]);
  equal(await runtime.shutdown(), { kind: 'exited', code: 0 });
  equal(runtime.workers, Array(4).fill({ state: 'terminated' }));
  equal((await failure((async () => runtime.execute('add', 1))())).code, 'SHUT_DOWN');
});

test('runtime: what is wrong is said', async () => {
  const program = await load(await wat(PLAIN));
  const fails = async (body) => failure((async () => body())());
  equal((await fails(() => new ThreadRuntime(program, { poolSize: 0 }))).name, 'RangeError');
  equal((await fails(() => new ThreadRuntime(program, { poolSize: 9, maxThreads: 8 }))).name, 'RangeError');
  const alone = await load(await wat('(module (memory 1) (func (export "f")))'));
  equal((await fails(() => new ThreadRuntime(alone))).code, 'UNSHARED');
  const runtime = new ThreadRuntime(program, { poolSize: 1 });
  equal((await fails(() => runtime.execute('sub'))).code, 'NO_EXPORT');
  equal((await failure(runtime.execute('add'))).code, 'ARGUMENTS');
  equal((await failure(runtime.execute('add', 1n))).code, 'ARGUMENTS');
  equal(await runtime.execute('add', 1), 0);
  await runtime.shutdown();
});

test('runtime: a trap is the result of its task, and the worker goes on', async () => {
  const runtime = await plain({ poolSize: 2 });
  const rounds = host.isFull ? 500 : 20;
  const results = await Promise.allSettled(
    Array.from({ length: 2 * rounds }, (_, n) => runtime.execute(...(n % 2 ? ['fail'] : ['add', 1]))),
  );
  const failed = results.filter(({ status }) => status === 'rejected');
  equal([failed.length, runtime.memory.load(4), runtime.memory.load(0)], [rounds, rounds, rounds]);
  check(failed.every(({ reason }) => reason.code === 'TRAPPED'), String(failed[0].reason));
  check(/unreachable/i.test(failed[0].reason.message), failed[0].reason.message);
  equal(runtime.workers, [{ state: 'idle' }, { state: 'idle' }]);
  await runtime.shutdown();
});

test('runtime: instances are kept from task to task, and new after a trap', async () => {
  const runtime = await plain({ poolSize: 1 });
  equal([await runtime.execute('calls'), await runtime.execute('calls')], [1, 2]);
  runtime.memory.store(128, 7);
  await failure(runtime.execute('fail'));
  equal(await runtime.execute('calls'), 1);
  equal(runtime.memory.load(128), 7, 'data is written once');
  await runtime.shutdown();
});

test('runtime: tasks wait in a queue, and can be taken out of it', async () => {
  const runtime = await plain({ poolSize: 2 });
  const waiting = [runtime.execute('wait'), runtime.execute('wait')];
  const queued = runtime.execute('add', 1);
  const taken = runtime.execute('add', 1);
  await until(() => runtime.memory.load(12) === 2);
  const tasks = runtime.workers.map(({ state, task }) => [state, task]);
  equal(tasks.sort(), [['busy', 1], ['busy', 2]]);
  equal([runtime.pool.queued, queued.id, taken.cancel(), runtime.pool.queued], [2, 3, true, 1]);
  equal((await failure(taken)).code, 'CANCELLED');
  let isOver = false;
  const all = runtime.waitAll().then(() => (isOver = true));
  await pause(5);
  equal(isOver, false);
  // They count themselves before they sleep.
  let woken = 0;
  await until(() => (woken += runtime.memory.notify(16)) === 2);
  equal([await Promise.all(waiting), await queued], [[0, 0], 0]);
  await all;
  equal([taken.cancel(), queued.cancel()], [false, false]);
  await runtime.shutdown();
});

test('runtime: a task is ended while it computes or waits, and others are not', async () => {
  const runtime = await plain({ poolSize: 2 });
  const other = runtime.execute('wait');
  for (let n = 1; n <= (host.isFull ? 15 : 3); n++) {
    const task = runtime.execute('compute');
    const next = runtime.execute('add', 1);
    await until(() => runtime.memory.load(8) === n);
    check(task.cancel() && task.cancel(), 'it runs');
    equal((await failure(task)).code, 'CANCELLED');
    equal(await next, n - 1);
  }
  const size = runtime.memory.size;
  const sleeper = runtime.execute('wait');
  await until(() => runtime.memory.load(12) === 2);
  sleeper.cancel();
  equal((await failure(sleeper)).code, 'CANCELLED');
  equal([await runtime.execute('calls'), runtime.memory.size], [1, size]);
  await until(() => runtime.memory.notify(16) > 0);
  equal(await other, 0);
  equal(await runtime.shutdown(), { kind: 'exited', code: 0 });
}, { computes: true });

test('runtime: an immediate shutdown ends what runs and what is queued', async () => {
  const runtime = await plain({ poolSize: 2 });
  const tasks = ['compute', 'wait', 'compute', 'calls'].map((entry) => runtime.execute(entry));
  await until(() => runtime.memory.load(8) + runtime.memory.load(12) === 2);
  const ends = tasks.map((task) => failure(task));
  equal(await runtime.shutdownNow(), { kind: 'killed' });
  for (const end of ends) equal((await end).code, 'ENDED');
}, { computes: true });

/** What linkers make for threads: a stack pointer, thread-local data, one initialization. */
const LINKED = `(module
  (import "env" "memory" (memory 2 64 shared))
  (global $sp (export "__stack_pointer") (mut i32) (i32.const 65536))
  (global $tls (mut i32) (i32.const 0))
  (global (export "__tls_size") i32 (i32.const 40))
  (global (export "__tls_align") i32 (i32.const 32))
  (data $tdata "\\07\\00\\00\\00")
  (func (export "__wasm_init_tls") (param i32)
    (global.set $tls (local.get 0))
    (memory.init $tdata (local.get 0) (i32.const 0) (i32.const 4)))
  (func (export "_initialize")
    (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
    (i32.store (i32.const 4) (global.get $sp)))
  (func (export "places") (result i32 i32)
    (drop (i32.atomic.rmw.add (i32.const 8) (i32.const 1)))
    (loop (br_if 0 (i32.lt_u (i32.atomic.load (i32.const 8)) (i32.const 3))))
    (global.get $sp) (global.get $tls))
  (func (export "next") (result i32)
    (i32.store (global.get $tls) (i32.add (i32.load (global.get $tls)) (i32.const 1)))
    (i32.store offset=36 (global.get $tls) (i32.const 5))
    (i32.load (global.get $tls)))
  (func (export "rest") (result i32) (i32.load offset=36 (global.get $tls)))
  (func (export "fail") unreachable))`;

test('runtime: each worker has a stack and thread-local data of its own', async () => {
  const program = await load(await wat(LINKED));
  const runtime = new ThreadRuntime(program, { poolSize: 3, stackSize: 4096, memorySize: 0 });
  // Each holds its worker until all have one.
  const places = await Promise.all([1, 2, 3].map(() => runtime.execute('places')));
  equal([runtime.memory.load(0), runtime.memory.load(4)], [1, 65536], 'initialized once, on its own stack');
  places.sort(([a], [b]) => a - b);
  places.forEach(([stack, tls], n) => {
    equal([stack, tls % 32], [tls, 0]);
    check(stack - 4096 >= (n === 0 ? 2 * 65536 : places[n - 1][1] + 40), String(places));
    check(tls + 40 <= runtime.memory.size, 'it is in the memory');
  });
  await runtime.shutdown();
});

test('runtime: thread-local data is as new after a trap, and in the same place', async () => {
  const runtime = new ThreadRuntime(await load(await wat(LINKED)), { poolSize: 1 });
  equal([await runtime.execute('next'), await runtime.execute('next'), await runtime.execute('rest')], [8, 9, 5]);
  const { size } = runtime.memory;
  const task = runtime.execute('fail');
  equal((await failure(task)).code, 'TRAPPED');
  equal([await runtime.execute('rest'), await runtime.execute('next')], [0, 8]);
  equal([runtime.memory.size, runtime.memory.load(0)], [size, 1]);
  check(size >= 16 << 20 || size >= 32 * 65536, 'it is as large as the module may have it');
  await runtime.shutdown();
});

test('runtime: no room for stacks is an error that says what to do', async () => {
  const tight = LINKED.replace('2 64 shared', '2 3 shared');
  const runtime = new ThreadRuntime(await load(await wat(tight)), { poolSize: 1 });
  const error = await failure(runtime.execute('next'));
  check(/no room for the \d+ bytes.*--max-memory.*stackSize/s.test(error.message), error.message);
});

test('runtime: tasks may start threads, besides the pool', async () => {
  const program = await load(await wat(`(module
    (import "env" "memory" (memory 1 64 shared))
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (func (export "wasi_thread_start") (param i32 i32)
      (drop (i32.atomic.rmw.add (i32.const 0) (local.get 1)))
      (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))
    (func (export "start") (param i32) (result i32) (call $spawn (local.get 0)))
    (func (export "until") (param i32) (local i32)
      (loop
        (local.set 1 (i32.atomic.load (i32.const 0)))
        (if (i32.lt_u (local.get 1) (local.get 0)) (then
          (drop (memory.atomic.wait32 (i32.const 0) (local.get 1) (i64.const -1)))
          (br 1))))))`));
  const runtime = new ThreadRuntime(program, { poolSize: 2, maxThreads: 4 });
  const until100 = runtime.execute('until', 100);
  for (let n = 0; n < 100; n++) {
    // Two at a time; a third is refused.
    while ((await runtime.execute('start', 1)) < 0);
  }
  await until100;
  equal(runtime.memory.load(0), 100);
  await runtime.shutdown();
});

test('runtime: tasks of WASI are ended between their writes, never within', async () => {
  const program = await load(await wat(`(module
    (import "env" "memory" (memory 1 64 shared))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (data (i32.const 16) "\\20\\00\\00\\00\\05\\00\\00\\00")
    (data (i32.const 32) "line\\n")
    (func $line (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))))
    (func (export "lines")
      (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
      (loop (call $line) (br 0)))
    (func (export "line") (call $line)))`));
  let length = 0;
  const runtime = new ThreadRuntime(program, { poolSize: 2, stdout: (bytes) => (length += bytes.length) });
  for (let n = 1; n <= (host.isFull ? 15 : 3); n++) {
    const task = runtime.execute('lines');
    await until(() => runtime.memory.load(0) === n);
    task.cancel();
    equal((await failure(task)).code, 'CANCELLED');
    // The stream is nobody's.
    await runtime.execute('line');
  }
  await runtime.shutdown();
  equal(length % 5, 0);
});

test('runtime: the page meets its tasks at primitives', async () => {
  const runtime = await plain({ poolSize: 1 });
  const mutex = new Mutex(runtime.memory);
  check(mutex.offset >= 65536, 'it is in pages of the host');
  await mutex.withLockAsync(async () => equal(await runtime.execute('add', 1), 0));
  await runtime.shutdown();
});

test('runtime: a memory of its own becomes an import, with and without others', async () => {
  for (const imports of ['', '(import "a" "f" (func (param i32))) (import "a" "g" (global i32))']) {
    const bytes = await wat(`(module ${imports} (memory (export "m") 3 9 shared) (func (export "n") (result i32) (memory.size)))`);
    const changed = importMemory(bytes, 'x', 'y');
    const [{ module, name, minimum, maximum, shared }] = memories(changed);
    equal([module, name, minimum, maximum, shared], ['x', 'y', 3, 9, true]);
    const memory = new WebAssembly.Memory({ initial: 3, maximum: 9, shared: true });
    const given = { x: { y: memory }, a: { f: () => {}, g: 0 } };
    const { instance } = await WebAssembly.instantiate(changed, given);
    equal([instance.exports.m === memory, instance.exports.n()], [true, 3]);
    equal(importMemory(changed, 'x', 'y'), undefined);
  }
  equal(importMemory(await wat('(module (memory 1))'), 'x', 'y'), undefined);
});

// ---- A library in Rust ----

const library = async (options) =>
  new ThreadRuntime(await load(guest('library')), { stdout: 'null', stderr: 'null', ...options });

test('runtime: workers of a Rust library have stacks, heaps and thread-locals of their own', async () => {
  const runtime = await library();
  const each = (entry, ...args) => Promise.all([1, 2, 3, 4].map(() => runtime.execute(entry, ...args)));
  const stacks = await Promise.all(Array.from({ length: 40 }, () => runtime.execute('stack_address')));
  check(new Set(stacks).size <= 4, String(stacks));
  // 5,000 frames of a hundred bytes, at the same time on each.
  const deep = await each('recurse', 5000, 7);
  equal(new Set(deep).size, 1);
  await each('churn', 2000, 99);
  await each('std_mutex', 10_000);
  equal(await runtime.execute('std_mutex', 0), 40_000);
  const counts = await Promise.all(Array.from({ length: 40 }, () => runtime.execute('count_calls')));
  // Each worker counts from 100.
  const firsts = counts.filter((count) => count === 101).length;
  check(firsts >= 1 && firsts <= 4, String(counts));
  equal((await failure(runtime.execute('panic_here'))).code, 'TRAPPED');
  equal(await runtime.execute('spawn_until_refused'), 12);
  equal(await runtime.shutdown(), { kind: 'exited', code: 0 });
});

test('runtime: tasks in Rust and this thread meet at all primitives', async () => {
  const runtime = await library({ poolSize: 3 });
  const { memory } = runtime;
  const times = 200 * (host.isFull ? 10 : 1);
  const words = memory.allocate(16);
  const both = memory.view('u64', words, 2);
  const count = () => {
    equal(both[0], both[1]);
    both.fill(both[0] + 1n);
  };

  const mutex = new Mutex(memory);
  const adders = [1, 2, 3].map(() => runtime.execute('add_under_mutex', mutex.offset, words, times));
  for (let n = 0; n < times; n++) await mutex.withLockAsync(count);
  await Promise.all(adders);
  equal(both[0], BigInt(4 * times));

  const lock = new RwLock(memory);
  both.fill(0n);
  const writers = [1, 2, 3].map(() => runtime.execute('read_and_write', lock.offset, words, times, 3));
  for (let n = 0; n < times; n++) {
    await lock.readAsync();
    equal(both[0], both[1]);
    lock.unlockRead();
    await lock.writeAsync();
    count();
    lock.unlockWrite();
  }
  const written = (await Promise.all(writers)).reduce((sum, each) => sum + each, times);
  equal(both[0], BigInt(written));

  const barrier = Barrier.create(memory, 4);
  const counter = memory.allocate(4);
  const passing = [1, 2, 3].map(() => runtime.execute('pass_barrier', barrier.offset, counter, 4, times));
  let led = 0;
  for (let n = 0; n < times; n++) {
    memory.add(counter, 1);
    led += (await barrier.waitAsync()) ? 1 : 0;
    equal(memory.load(counter), 4 * (n + 1));
    await barrier.waitAsync();
  }
  equal((await Promise.all(passing)).reduce((sum, each) => sum + each, led), times);

  const semaphore = Semaphore.create(memory, 3);
  memory.store(counter, 0);
  const taking = [1, 2, 3].map((n) => runtime.execute('take_permits', semaphore.offset, counter, n, times));
  let most = 0;
  for (let n = 0; n < times; n++) {
    await semaphore.acquireAsync(2);
    most = Math.max(most, memory.add(counter, 2) + 2);
    memory.sub(counter, 2);
    semaphore.release(2);
  }
  check(Math.max(most, ...(await Promise.all(taking))) <= 3, 'more than three permits at once');
  equal([semaphore.available, memory.load(counter)], [3, 0]);

  const condvar = new Condvar(memory);
  const turns = [1, 2, 3].map((me) =>
    runtime.execute('take_turns', mutex.offset, condvar.offset, counter, me, 4, times),
  );
  for (let n = 0; n < times; n++) {
    await mutex.lockAsync();
    await condvar.waitWhileAsync(mutex, () => memory.read(counter) !== 0);
    memory.write(counter, 1);
    mutex.unlock();
    condvar.notifyAll();
  }
  await Promise.all(turns);
  equal([memory.load(counter), condvar.words[1]], [0, 0]);

  const latch = new Latch(memory);
  const waiting = [1, 2, 3].map(() => runtime.execute('wait_for_latch', latch.offset, words));
  memory.store(words, 1n << 50n, 'u64');
  latch.open();
  equal(await Promise.all(waiting), Array(3).fill(1n << 50n));
  await runtime.shutdown();
});

// ---- The README ----

test('runtime: the examples of the README', async () => {
  const page = await (await fetch(url('/README.md'))).text();
  const [, section] = page.split('## Shared memory, primitives, runtime');
  const blocks = [...section.split('\n## ')[0].matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);
  equal(blocks.length, 3);
  // The policy of pages forbids to make functions of texts: here are the same lines.
  const { examples } = await import('../readme.js');
  const bare = (text) => text.replace(/^\s+/gm, '').replace(/^import .*\n/gm, '');
  const { assert, log } = console;
  console.assert = (holds) => check(holds, 'an assertion of an example does not hold');
  console.log = () => {};
  try {
    for (const [n, example] of examples.entries()) {
      const body = bare(example.toString().replace(/^.*\n/, '').replace(/\}$/, ''));
      equal(body, bare(blocks[n]), `example ${n}`);
      // The first waits for a notify that leaves the word as it is.
      if (n > 0 || hearsNotifies) await example(guest('library'));
    }
  } finally {
    Object.assign(console, { assert, log });
  }
}, notBun);
