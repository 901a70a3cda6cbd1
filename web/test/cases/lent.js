// The first workers of an engine, which the page starts itself and lends to the supervisor; and what a
// program without directories does without.

import { Engine, load, Process, ThreadRuntime } from '../../index.js';
import { check, equal, failure, guest, host, isNodeLike, nodeOnly, pause, test, until, wat } from '../harness.js';

const exited = { kind: 'exited', code: 0 };

/** Four threads that wait for each other, and then do what `thread` says; the main one sets the word at 260, and goes on. */
const four = (main, thread = '') => wat(`(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "env" "memory" (memory 1 16 shared))
  (func $until_four (local $now i32)
    (loop $again
      (local.set $now (i32.atomic.load (i32.const 256)))
      (if (i32.lt_u (local.get $now) (i32.const 4)) (then
        (drop (memory.atomic.wait32 (i32.const 256) (local.get $now) (i64.const -1)))
        (br $again)))))
  (func (export "wasi_thread_start") (param i32 i32)
    (drop (i32.atomic.rmw.add (i32.const 256) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 256) (i32.const -1)))
    (call $until_four)
    ${thread})
  (func (export "_start") (local $left i32)
    (local.set $left (i32.const 4))
    (loop
      (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 1)) (then unreachable))
      (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $until_four)
    (i32.atomic.store (i32.const 260) (i32.const 1))
    ${main}))`);

const FOR_EVER = '(loop (br 0))';

test('lent: the first process runs on them, and the next ones do, too', async () => {
  const engine = new Engine({ keepWorkers: 3 });
  const program = await load(await four(''));
  const hello = await load(guest('hello'));
  for (const options of [{ poolSize: 4 }, { poolSize: 0 }]) {
    equal(await new Process(program, { engine, ...options }).run(), exited);
    equal(await new Process(hello, { engine, stdout: 'null', preopens: { '/d': {} } }).run(), exited);
  }
  await engine.close();
});

test('lent: several processes at once, before there is a supervisor', async () => {
  const engine = new Engine();
  const [program, hello] = [await load(await four('')), await load(guest('hello'))];
  const all = [program, hello, program].map((each) => new Process(each, { engine, stdout: 'null' }).run());
  equal(await Promise.all(all), Array(3).fill(exited));
  await engine.close();
});

test('lent: workers that were started ahead', async () => {
  const program = await load(await four(''));
  for (const count of host.isFull ? [0, 1, 4, 5, 7] : [7]) {
    const engine = new Engine({ keepWorkers: 2 });
    const warm = engine.warmUp(count);
    equal(await new Process(program, { engine, poolSize: 4 }).run(), exited);
    await warm;
    equal(await new Process(program, { engine, poolSize: 4 }).run(), exited);
    await engine.close();
  }
  const engine = new Engine();
  equal((await failure(engine.warmUp(-1))).name, 'RangeError');
  await engine.warmUp();
  equal(await new Process(program, { engine }).run(), exited);
  await engine.close();
});

test('lent: a process that is ended while they start', async () => {
  const program = await load(await four(FOR_EVER));
  const moments = host.isFull ? [undefined, ...Array(60).keys(), 'started'] : [undefined, 10, 'started'];
  for (const after of moments) {
    const engine = new Engine();
    const process = new Process(program, { engine, poolSize: 2 });
    const running = process.run();
    if (after === 'started') await process.start();
    else if (after !== undefined) await pause(after);
    process.kill();
    equal(await running, { kind: 'killed' });
    equal(await new Process(await load(guest('hello')), { engine, stdout: 'null' }).run(), exited);
    await engine.close();
  }
}, { computes: true });

test('lent: threads that compute end with their process, and its first cause is told', async () => {
  const ends = [
    ['(call $exit (i32.const 7))', FOR_EVER, { kind: 'exited', code: 7 }],
    [FOR_EVER, '(call $exit (i32.const 8))', { kind: 'exited', code: 8 }],
  ];
  for (const [main, thread, end] of ends) {
    const engine = new Engine();
    equal(await new Process(await load(await four(main, thread)), { engine, poolSize: 4 }).run(), end);
    await engine.close();
  }
  const engine = new Engine();
  const status = await new Process(await load(await four(FOR_EVER, 'unreachable')), { engine, poolSize: 4 }).run();
  equal([status.kind, status.thread > 0], ['trapped', true]);
  await engine.close();
}, { computes: true });

/** Browsers start no worker while the page is busy, whoever wants one. */
const POOL = isNodeLike ? 1 : 4;

test('lent: once a process is started threads start while the page is busy', async () => {
  const engine = new Engine();
  const process = new Process(await load(await four('')), { engine, poolSize: POOL });
  await process.start();
  const words = new Int32Array(process.memory.buffer);
  const end = performance.now() + 30_000;
  while (Atomics.load(words, 65) === 0 && performance.now() < end);
  check(Atomics.load(words, 65) === 1, 'the threads have not met');
  equal(await process.wait(), exited);
  await engine.close();
}, { hosts: ['node', 'chromium', 'firefox'] });

test('lent: a runtime, and a worker of it that is replaced', async () => {
  const engine = new Engine();
  const text = '(module (memory (export "memory") 1 16 shared) (func (export "add") (param i32 i32) (result i32) ' +
    '(i32.add (local.get 0) (local.get 1))) (func (export "spin") (loop (br 0))))';
  const runtime = new ThreadRuntime(await load(await wat(text)), { engine, poolSize: 2 });
  equal(await runtime.execute('add', 2, 3), 5);
  const spinning = runtime.execute('spin');
  await until(() => runtime.workers.some(({ state }) => state === 'busy'));
  spinning.cancel();
  equal((await failure(spinning)).code, 'CANCELLED');
  equal(await Promise.all([1, 2, 3].map((n) => runtime.execute('add', n, n))), [2, 4, 6]);
  await runtime.shutdown();
  await engine.close();
}, { computes: true });

/** What calls of WASI answer, and what they leave in memory. */
async function answers(calls, options) {
  const lines = calls.map(([name, ...args], n) => {
    const operands = args.map((arg) => (typeof arg === 'bigint' ? `(i64.const ${arg})` : `(i32.const ${arg})`));
    return `(i32.store (i32.const ${4096 + 4 * n}) (call $${name} ${operands.join(' ')}))`;
  });
  const types = { bigint: 'i64', number: 'i32' };
  const imports = new Map(calls.map(([name, ...args]) => [name, args.map((arg) => types[typeof arg]).join(' ')]));
  const texts = [...imports].map(([name, parameters]) =>
    `(import "wasi_snapshot_preview1" "${name}" (func $${name} (param ${parameters}) (result i32)))`);
  const text = `(module ${texts.join('\n')} (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "env" "memory" (memory 1 16 shared))
    (data (i32.const 16) "\\00\\00\\00\\00\\00\\20\\00\\00")
    (func (export "wasi_thread_start") (param i32 i32))
    (func (export "_start") ${lines.join('\n')} (drop (call $write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 8)))))`;
  const process = new Process(await load(await wat(text)), { stderr: 'collect', stdout: 'null', ...options });
  equal(await process.run(), exited);
  return process.stderrBytes;
}

test('lent: without directories calls answer what they answer with the table of files', async () => {
  const stat = (fd, at) => ['fd_fdstat_get', fd, at];
  const calls = [
    stat(0, 512), stat(1, 544), stat(2, 576), stat(9, 608), stat(-1, 608), stat(1, 65_530),
    ['fd_prestat_get', 9, 640], ['fd_prestat_get', 1, 640], ['fd_prestat_dir_name', 9, 640, 8], ['fd_prestat_dir_name', 1, 640, 8],
    ['fd_seek', 1, 0n, 1, 648], ['fd_filestat_get', 0, 704], ['fd_sync', 1], ['fd_pread', 0, 0, 0, 0n, 656],
    ['fd_fdstat_set_flags', 0, 4], stat(0, 768), ['fd_fdstat_set_rights', 1, 64n, 0n], stat(1, 800),
    ['fd_renumber', 1, 0], stat(0, 832), stat(1, 864), ['fd_close', 0], stat(0, 896), ['fd_read', 0, 0, 0, 660],
    ['path_open', 1, 0, 0, 0, 0, 0n, 0n, 0, 664], ['fd_readdir', 2, 0, 0, 0n, 668], ['sock_shutdown', 2, 1], ['sock_shutdown', 1, 1],
  ];
  const bare = await answers(calls);
  check(bare.length === 8192, `${bare.length} bytes`);
  equal(bare, await answers(calls, { preopens: { '/d': {} } }));
});

test('lent: workers that nobody uses keep no program alive', async () => {
  const { spawnSync } = await import('node:child_process');
  const { fileURLToPath } = await import('node:url');
  const entry = new URL('../../index.js', import.meta.url).href;
  const text = `import { Engine } from '${entry}'; Engine.default.warmUp(2); console.log('done');`;
  const { status, stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', text], {
    encoding: 'utf8', cwd: fileURLToPath(new URL('.', import.meta.url)), timeout: 60_000,
  });
  equal([status, signal, stdout], [0, null, 'done\n']);
}, nodeOnly);
