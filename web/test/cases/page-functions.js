// Functions of the page: called from any thread, with and without an answer; whatever they do, the
// thread goes on, or the error is told once, or the end wakes the thread.

import { load, Process, ThreadRuntime } from '../../index.js';
import { check, equal, failure, guest, host, pause, test, text, until, url, wat } from '../harness.js';

const THREADS = `
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2 64 shared)`;

const numbers = (body) => wat(`(module
  (import "page" "add" (func $add (param i32 f64 i64) (result i64)))
  (import "page" "note" (func $note (param i32)))
  ${THREADS} ${body})`);

const exited = { kind: 'exited', code: 0 };
const IDLE = '(func (export "wasi_thread_start") (param i32 i32))';

test('page functions: numbers both ways, from every thread', async () => {
  const program = await load(await numbers(`
    (func (export "wasi_thread_start") (param $id i32) (param $n i32)
      (call $note (i32.wrap_i64 (call $add (local.get $n) (f64.const 0.5) (i64.const -3))))
      (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
      (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
    (func (export "_start") (local $n i32)
      (loop
        (drop (call $spawn (local.get $n)))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 8))))
      (loop
        (if (i32.lt_u (local.tee $n (i32.atomic.load (i32.const 0))) (i32.const 8))
          (then (drop (memory.atomic.wait32 (i32.const 0) (local.get $n) (i64.const -1))) (br 1)))))`));
  const noted = [];
  const functions = {
    page: {
      // Some answer at once, some later.
      add: (a, b, c) => (a % 2 ? BigInt(a * 2 + b * 2) + c : pause(a).then(() => BigInt(a * 2 + b * 2) + c)),
      note: { call: (n) => void noted.push(n), waits: false },
    },
  };
  equal(await new Process(program, { functions }).run(), exited);
  equal(noted.sort((a, b) => a - b), Array.from({ length: 8 }, (_, n) => n * 2 - 2));
});

test('page functions: one that throws, now or later, or returns what is no number', async () => {
  const program = await load(await numbers(`${IDLE} (func (export "_start") (drop (call $add (i32.const 1) (f64.const 2) (i64.const 3))))`));
  const cause = new Error('no');
  const bad = {
    throws: [() => { throw cause; }, 'no'],
    breaks: [async () => { throw cause; }, 'no'],
    text: [() => 'text', 'neither a number nor a bigint'],
    wide: [() => 1n << 64n, 'neither a number nor a bigint'],
    number: [() => 1, 'BigInt'],
  };
  for (const [what, [add, says]] of Object.entries(bad)) {
    const process = new Process(program, { functions: { page: { add, note: () => {} } } });
    const error = await failure(process.run());
    equal(error.code, 'HOST_FUNCTION', what);
    check(error.message.includes(says), `${what}: ${error.message}`);
    if (says === 'no') check(error.cause === cause && error.message.includes('page.add'), what);
  }
  // Nobody waits for this one.
  const notes = await load(await numbers(`${IDLE} (func (export "_start") (call $note (i32.const 1)) (loop (br 0)))`));
  const note = { call: () => { throw cause; }, waits: false };
  const error = await failure(new Process(notes, { functions: { page: { add: () => 0n, note } } }).run());
  equal([error.code, error.cause === cause], ['CALLBACK', true]);
});

test('page functions: a thread that waits for one ends with its process', async () => {
  const program = await load(await numbers(`
    (func $ask (drop (call $add (i32.const 1) (f64.const 2) (i64.const 3))))
    (func (export "wasi_thread_start") (param i32 i32) (call $ask))
    (func (export "_start") (drop (call $spawn (i32.const 1))) (drop (call $spawn (i32.const 1))) (call $ask))`));
  let asked = 0;
  let answer;
  const add = () => (asked++, new Promise((resolve) => (answer = resolve)));
  const process = new Process(program, { functions: { page: { add, note: () => {} } } });
  const run = process.run();
  await until(() => asked === 3);
  // Each falls asleep after it has asked.
  await until(() => process.threads().every(({ activity }) => activity === 'host-call'));
  equal(process.threads().length, 3);
  process.kill();
  equal(await run, { kind: 'killed' });
  // Too late for everybody.
  answer(1n);
  await pause(5);
});

test('page functions: a task that waits for one is cancelled, and its answer is nobody\'s', async () => {
  const program = await load(await wat(`(module
    (import "page" "ask" (func $ask (param i32) (result i32)))
    (memory (export "memory") 1 1 shared)
    (func (export "ask") (param i32) (result i32) (call $ask (local.get 0))))`));
  const answers = [];
  const ask = (n) => (n < 0 ? n : new Promise((resolve) => answers.push(resolve)));
  const runtime = new ThreadRuntime(program, { poolSize: 1, functions: { page: { ask } } });
  equal(await runtime.execute('ask', -5), -5);
  for (let n = 0; n < 5; n++) {
    const task = runtime.execute('ask', n);
    await until(() => answers.length === n + 1);
    task.cancel();
    const next = runtime.execute('ask', 100 + n);
    equal((await failure(task)).code, 'CANCELLED');
    await until(() => answers.length === n + 2);
    answers[n](1);
    await pause(2);
    answers.pop()(42 + n);
    equal(await next, 42 + n);
  }
  const failing = new ThreadRuntime(program, { poolSize: 1, functions: { page: { ask: () => { throw new Error('no'); } } } });
  const error = await failure(failing.execute('ask', 1));
  equal([error.code, error.cause.message], ['HOST_FUNCTION', 'no']);
  await runtime.shutdown();
  await failing.shutdown();
});

/** Asks the handler whose name is at 16, for what stands at 64, and writes how it went to 8 and the answer to 4096. */
const bytes = (name, data) => wat(`(module
  (import "page" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "page" "take" (func $take (param i32)))
  (import "page" "post" (func $post (param i32 i32 i32 i32)))
  ${THREADS}
  (data (i32.const 16) "${name}") (data (i32.const 64) "${data}")
  (func (export "ask") (param $length i32) (result i32) (local $n i32)
    (local.set $n (call $call (i32.const 16) (i32.const ${name.length}) (i32.const 64) (local.get $length)))
    (drop (memory.grow (i32.const 15)))
    (call $take (i32.const 4096))
    (local.get $n))
  (func (export "post") (call $post (i32.const 16) (i32.const ${name.length}) (i32.const 64) (i32.const ${data.length})))
  (func (export "wild") (drop (call $call (i32.const 16) (i32.const 5) (i32.const -8) (i32.const 100)))))`);

test('page functions: bytes both ways, of any length', async () => {
  const posted = [];
  const handlers = {
    shout: (data) => (data.length ? text(data).toUpperCase() : 'x'.repeat(2_500_000)),
    nothing: () => {},
    shared: async () => new Uint8Array(new SharedArrayBuffer(5)).fill(7),
    wrong: () => 17,
    fails: () => { throw new Error('fetch failed'); },
    noted: (data) => void posted.push(text(data)),
  };
  const runtimeOf = async (name, data = 'hello') => {
    const runtime = new ThreadRuntime(await load(await bytes(name, data)), { poolSize: 1, handlers });
    const answer = (length) => text(runtime.memory.readBytes(4096, length));
    return { runtime, answer };
  };
  const { runtime, answer } = await runtimeOf('shout');
  equal([await runtime.execute('ask', 5), answer(5)], [5, 'HELLO']);
  equal(await runtime.execute('ask', 0), 2_500_000);
  check(/^x{2500000}$/.test(answer(2_500_000)), 'a long answer');
  equal([await runtime.execute('ask', 3), answer(3)], [3, 'HEL']);
  equal((await failure(runtime.execute('wild'))).code, 'TRAPPED');
  await runtime.shutdown();
  for (const [name, count, says] of [
    ['nothing', 0, ''],
    ['shared', 5, '\x07'.repeat(5)],
    // Their errors are the program's, to deal with them.
    ['fails', -13, 'fetch failed'],
    ['absent', -1 - 'the page has no handler `absent`'.length, 'the page has no handler `absent`'],
  ]) {
    const { runtime, answer } = await runtimeOf(name);
    equal([await runtime.execute('ask', 5), answer(count < 0 ? -1 - count : count)], [count, says], name);
    await runtime.shutdown();
  }
  const { runtime: wrong } = await runtimeOf('wrong');
  check((await wrong.execute('ask', 5)) < 0, 'a number is no bytes');
  await wrong.shutdown();
  const { runtime: notes } = await runtimeOf('noted');
  await notes.execute('post');
  await until(() => posted.length === 1);
  equal(posted, ['hello']);
  await notes.shutdown();
});

test('page functions: what is none is refused, and what is missing is named', async () => {
  const program = await load(await numbers(`${IDLE} (func (export "_start"))`));
  const fails = async (options) => failure((async () => new Process(program, options))());
  equal((await fails({ functions: { page: { add: 1, note: () => {} } } })).name, 'TypeError');
  equal((await fails({ functions: { page: { add: null } } })).name, 'TypeError');
  equal((await fails({ handlers: { add: 'x' } })).name, 'TypeError');
  const missing = await fails({ functions: { page: { add: () => 0n } } });
  check(missing.code === 'IMPORTS' && missing.message.includes('page.note') && missing.message.includes('handlers'), missing.message);
});

test('page functions: threads in Rust have the page fetch', async () => {
  const noted = [];
  const handlers = {
    fetch: async (address) => {
      const response = await fetch(url(text(address)));
      if (!response.ok) throw new Error(`status ${response.status}`);
      return response.arrayBuffer();
    },
    fetched: (line) => void noted.push(text(line)),
  };
  const addresses = ['/guests/hello.wasm', '/guests/page.wasm', '/nowhere', '/guests/hello.wasm'];
  const process = new Process(await load(guest('page')), { args: addresses, stdout: 'collect', handlers });
  equal(await process.run(), exited);
  const lines = text(process.stdoutBytes).trim().split('\n');
  const expected = await Promise.all(addresses.map(async (address) => {
    const response = await fetch(url(address));
    if (!response.ok) return `${address}: status ${response.status}`;
    const bytes = new Uint8Array(await response.arrayBuffer());
    return `${address}: ${bytes.length} bytes, sum ${bytes.reduce((sum, byte) => sum + byte, 0)}`;
  }));
  equal(lines, [...expected, 'ok page']);
  equal(noted.sort(), expected.sort());
});

test('page functions: all of page.h, from C', async () => {
  // It is built where there is a clang.
  if (!host.hasC) return;
  const noted = [];
  const heard = [];
  const handlers = { shout: (data) => text(data).toUpperCase(), note: (data) => void noted.push(text(data)) };
  const runtime = new ThreadRuntime(await load(guest('page-c')), { poolSize: 2, handlers });
  runtime.process.on('message', (bytes) => heard.push(text(bytes)));
  const at = await runtime.execute('answer');
  const answer = (length) => text(runtime.memory.readBytes(at, length));
  equal([await runtime.execute('shout'), answer(5)], [5, 'HELLO']);
  const error = 'the page has no handler `absent`';
  equal([await runtime.execute('absent'), answer(error.length)], [-1 - error.length, error]);
  await runtime.execute('note');
  await runtime.execute('send');
  await until(() => noted.length + heard.length === 2);
  equal([noted, heard], [['by the way'], ['from C']]);
  equal(await runtime.execute('receive', 0n), -1);
  runtime.process.postMessage('to C');
  equal([await runtime.execute('receive', -1n), answer(4)], [4, 'to C']);
  await runtime.shutdown();
});
