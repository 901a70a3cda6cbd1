// Messages between the page and a program, both ways: each arrives once, in its order, at somebody
// who waits for it; what throws, never answers or comes too late does no harm.

import { load, Process, ThreadRuntime } from '../../index.js';
import { check, equal, failure, guest, pause, test, text, until, wat } from '../harness.js';

const POSTS = new URL('../scripts/posts.js', import.meta.url);
const exited = { kind: 'exited', code: 0 };

/** Exports `send` of so many bytes from 64 on; `receive` into 4096, which returns the length. */
const mailbox = () => wat(`(module
  (import "page" "send" (func $send (param i32 i32)))
  (import "page" "receive" (func $receive (param i64) (result i32)))
  (import "page" "take" (func $take (param i32)))
  (memory (export "memory") 64 64 shared)
  (data (i32.const 64) "from the program")
  (func (export "send") (param i32) (call $send (i32.const 64) (local.get 0)))
  (func (export "wild") (call $send (i32.const -8) (i32.const 100)))
  (func (export "receive") (param $for i64) (result i32) (local $length i32)
    (local.set $length (call $receive (local.get $for)))
    (if (i32.ge_s (local.get $length) (i32.const 0)) (then (call $take (i32.const 4096))))
    (local.get $length)))`);

const runtimeOf = async (poolSize = 1) => {
  const runtime = new ThreadRuntime(await load(await mailbox()), { poolSize });
  const got = (length) => text(runtime.memory.readBytes(4096, length));
  return { runtime, process: runtime.process, got };
};

test('messages: to the program, before and after a thread asks', async () => {
  const { runtime, process, got } = await runtimeOf();
  process.postMessage('early');
  process.postMessage(new Uint8Array([104, 105]));
  equal([await runtime.execute('receive', -1n), got(5)], [5, 'early']);
  equal([await runtime.execute('receive', 0n), got(2)], [2, 'hi']);
  equal(await runtime.execute('receive', 0n), -1, 'there is no other');
  equal(await runtime.execute('receive', 5_000_000n), -1, 'none comes within 5 ms');
  const late = runtime.execute('receive', -1n);
  await until(() => process.threads()[0].activity === 'host-call');
  process.postMessage('');
  equal(await late, 0);
  const long = 'x'.repeat(300_000);
  const longer = runtime.execute('receive', -1n);
  process.postMessage(long);
  equal([await longer, got(300_000) === long], [300_000, true]);
  await runtime.shutdown();
});

test('messages: each goes to one thread', async () => {
  const { runtime, process } = await runtimeOf(3);
  const asked = [1, 2, 3].map(() => runtime.execute('receive', -1n));
  for (const length of [10, 20, 30]) process.postMessage('x'.repeat(length));
  equal((await Promise.all(asked)).sort(), [10, 20, 30]);
  await runtime.shutdown();
});

test('messages: a thread that does not wait any more takes none', async () => {
  const { runtime, process, got } = await runtimeOf();
  const task = runtime.execute('receive', -1n);
  await until(() => process.threads()[0].activity === 'host-call');
  task.cancel();
  equal((await failure(task)).code, 'CANCELLED');
  process.postMessage('for the next');
  equal([await runtime.execute('receive', -1n), got(12)], [12, 'for the next']);
  await runtime.shutdown();
});

test('messages: from the program, to all who listen', async () => {
  const { runtime, process } = await runtimeOf();
  await runtime.execute('send', 4);
  const heard = [];
  const forget = process.on('message', (message) => void heard.push(text(message)));
  equal(heard, [], 'not before it has returned');
  await until(() => heard.length === 1);
  await runtime.execute('send', 16);
  await until(() => heard.length === 2);
  equal(heard, ['from', 'from the program']);
  forget();
  const others = [[], []];
  for (const other of others) process.on('message', (message) => void other.push(message.length));
  await runtime.execute('send', 0);
  await until(() => others[1].length === 1);
  equal([others, heard.length], [[[0], [0]], 2]);
  equal((await failure(runtime.execute('wild'))).code, 'TRAPPED');
  equal((await failure((async () => process.on('message', 'x'))())).name, 'TypeError');
  equal((await failure((async () => process.postMessage({}))()) ).name, 'TypeError');
  await runtime.shutdown();
});

test('messages: a listener that throws ends the program, and is told once', async () => {
  const cause = new Error('no');
  for (const listener of [() => { throw cause; }, async () => { throw cause; }]) {
    const { runtime, process } = await runtimeOf();
    process.on('message', listener);
    const ended = failure(process.wait());
    await runtime.execute('send', 4).catch(() => {});
    const error = await ended;
    equal([error.code, error.cause === cause], ['CALLBACK', true]);
  }
});

test('messages: a thread that waits for one for ever ends with its process, and then there are none', async () => {
  const { runtime, process } = await runtimeOf(2);
  const waits = [runtime.execute('receive', -1n), runtime.execute('receive', 3_600_000_000_000n)];
  await until(() => process.threads().filter(({ activity }) => activity === 'host-call').length === 2);
  await runtime.shutdownNow();
  for (const wait of waits) equal((await failure(wait)).code, 'ENDED');
  equal((await failure((async () => process.postMessage('late'))())).code, 'ENDED');
});

test('messages: what was sent before the end arrives before the end', async () => {
  const program = await load(await wat(`(module
    (import "page" "send" (func $send (param i32 i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1 1 shared)
    (data (i32.const 0) "last words")
    (func (export "_start") (call $send (i32.const 0) (i32.const 10)) (call $exit (i32.const 0))))`));
  for (let round = 0; round < 5; round++) {
    const process = new Process(program);
    const heard = [];
    process.on('message', (message) => void heard.push(text(message)));
    equal(await process.run(), exited);
    equal(heard, ['last words']);
  }
  // Nobody listened.
  const process = new Process(program);
  equal(await process.run(), exited);
  const heard = await new Promise((hear) => process.on('message', hear));
  equal(text(heard), 'last words');
});

test('messages: of a script of `imports`, anything that can be cloned', async () => {
  const program = await load(await wat(`(module
    (import "own" "tell" (func $tell (param i32)))
    (func (export "_start") (call $tell (i32.const 7)) (call $tell (i32.const 8))))`));
  const process = new Process(program, { imports: POSTS, data: { isBad: false } });
  const heard = [];
  process.on('message', (message) => void heard.push(message));
  equal(await process.run(), exited);
  equal(heard, [{ number: 7, when: [1, 2] }, { number: 8, when: [1, 2] }]);
  const error = await failure(new Process(program, { imports: POSTS, data: { isBad: true } }).run());
  equal(error.code, 'HOST_FUNCTION');
});

test('messages: threads in Rust take them and answer', async () => {
  const process = new Process(await load(guest('page')), { stdout: 'collect', handlers: { fetch: () => {} } });
  const heard = [];
  process.on('message', (message) => void heard.push(text(message)));
  const run = process.run();
  const words = Array.from({ length: 50 }, (_, n) => `word ${n}`);
  words.forEach((word, n) => (n % 10 ? process.postMessage(word) : setTimeout(() => process.postMessage(word), n)));
  await until(() => heard.length === words.length);
  for (let n = 0; n < 3; n++) process.postMessage('');
  equal(await run, exited);
  equal(text(process.stdoutBytes), 'ok page\n');
  equal(heard.sort(), words.map((word) => word.toUpperCase()).sort());
  check(heard.length === new Set(heard).size, 'none twice');
  await pause(1);
});
