// What a user's AbortSignal ends is broken with the signal's reason, and gone; and what `await using`
// ends, too. Nothing listens to a signal that can end nothing any more.

import { Engine, load, Process, ThreadRuntime } from '../../index.js';
import { check, equal, failure, guest, test, until, wat } from '../harness.js';
import { onStage, plot } from '../plots.js';

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');
const COMPUTES = '(func (export "wasi_thread_start") (param i32 i32)) (func (export "_start") (call $compute))';
const TASKS = `(module
  (memory (export "memory") 1 1 shared)
  (func (export "quick") (param i32) (result i32) (local.get 0))
  (func (export "compute") (loop (br 0))))`;

/** A signal that knows how many listen to it. */
function counted() {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = new Set();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (type, listener, options) => (listeners.add(listener), add(type, listener, options));
  signal.removeEventListener = (type, listener) => (listeners.delete(listener), remove(type, listener));
  return { signal, listeners, abort: (reason) => controller.abort(reason) };
}

const aborted = (reason) => {
  const { signal, abort } = counted();
  abort(reason);
  return signal;
};

test('signals: a load is broken with the reason, whatever it waits for', async () => {
  const reason = new Error('another page');
  const never = new Promise(() => {});
  equal(await failure(load(guest('hello'), { signal: aborted(reason) })), reason);
  // An answer, its body, its compiler.
  const stuck = () => new Response(new ReadableStream({}), { headers: { 'content-type': 'application/wasm' } });
  for (const source of [never, stuck(), stuck]) {
    const { signal, listeners, abort } = counted();
    const loads = load(typeof source === 'function' ? Promise.resolve(source()) : source, { signal });
    await until(() => listeners.size > 0);
    abort(reason);
    check((await failure(loads)) === reason, 'another reason');
  }
  // From bytes: `fetch` listens by itself, in Node until it is collected.
  const { signal, listeners } = counted();
  const program = await load(await (await fetch(guest('hello'))).arrayBuffer(), { signal });
  await until(() => listeners.size === 0);
  equal(await new Process(program, { stdout: 'null' }).run(), { kind: 'exited', code: 0 });
});

test('signals: a load tells how far it is', async () => {
  const told = [];
  const response = await fetch(guest('hello'));
  await load(response, { onProgress: (progress) => told.push(progress) });
  check(told.length > 0 && told.every(({ loaded }, n) => n === 0 || loaded > told[n - 1].loaded), JSON.stringify(told));
  const { loaded, total } = told.at(-1);
  const { byteLength } = await (await fetch(guest('hello'))).arrayBuffer();
  equal([loaded, total ?? byteLength], [byteLength, byteLength]);
  const error = await failure(load(await fetch(guest('hello')), { onProgress: () => { throw new Error('no more'); } }));
  equal([error.code, error.message], ['CALLBACK', 'onProgress failed: no more']);
});

test('signals: a process ends, and its promises are broken with the reason', async () => {
  const program = await plot(COMPUTES);
  const reason = new Error('enough');
  // Before it is started, while it starts, and while it runs.
  const { process: late } = onStage(program, { signal: aborted(reason) });
  check((await failure(late.run())) === reason, 'before');
  for (const isRunning of [false, true]) {
    const { signal, listeners, abort } = counted();
    const { process } = onStage(program, { signal });
    const run = process.run();
    equal(listeners.size, 1);
    if (isRunning) await process.start();
    abort(reason);
    check((await failure(run)) === reason && (await failure(process.wait())) === reason, 'while it runs');
    equal([process.isOver, process.status, listeners.size], [true, null, 0]);
  }
});

test('signals: one that comes after the end changes nothing', async () => {
  const { signal, listeners, abort } = counted();
  const process = new Process(await load(guest('hello')), { stdout: 'null', signal });
  const status = await process.run();
  equal(listeners.size, 0);
  abort(new Error('too late'));
  equal([status, await process.wait()], Array(2).fill({ kind: 'exited', code: 0 }));
});

test('signals: a task is cancelled, in the queue or on its worker', async () => {
  const runtime = new ThreadRuntime(await load(await wat(TASKS)), { poolSize: 1 });
  const { signal, listeners, abort } = counted();
  equal(await runtime.execute({ entry: 'quick', args: [7], signal }), 7);
  await until(() => listeners.size === 0);
  const tasks = [runtime.execute({ entry: 'compute', signal }), runtime.pool.execute({ entry: 'quick', args: [8], signal })];
  await until(() => runtime.workers[0].state === 'busy');
  const reason = new Error('never mind');
  abort(reason);
  for (const task of tasks) check((await failure(task)) === reason, 'another reason');
  check((await failure((async () => runtime.execute({ entry: 'quick', signal }))())) === reason, 'it was aborted before');
  // The worker is as good as new.
  equal(await runtime.execute('quick', 9), 9);
  await runtime.shutdown();
});

test('signals: what is none is refused', async () => {
  const program = await load(await wat(TASKS));
  const runtime = new ThreadRuntime(program, { poolSize: 1 });
  for (const signal of [null, 1, 'now', {}, new AbortController()]) {
    const wrong = [
      () => load(guest('hello'), { signal }),
      () => new Process(program, { signal }),
      () => runtime.execute({ entry: 'quick', args: [1], signal }),
    ];
    for (const body of wrong) equal((await failure((async () => body())())).name, 'TypeError');
  }
  equal((await failure(load(guest('hello'), { onProgress: 'often' }))).name, 'TypeError');
  await runtime.shutdownNow();
});

test('signals: what `await using` calls ends things', async () => {
  const { process } = onStage(await plot(COMPUTES), {});
  await process.start();
  equal([await process[asyncDispose](), process.status], [undefined, { kind: 'killed' }]);
  const runtime = new ThreadRuntime(await load(await wat(TASKS)), { poolSize: 1 });
  const task = failure(runtime.execute('compute'));
  await runtime[asyncDispose]();
  equal((await task).code, 'ENDED');
  equal(runtime.workers, [{ state: 'terminated' }]);
  const engine = new Engine({ keepWorkers: 0 });
  await engine[asyncDispose]();
  equal((await failure(engine.warmUp())).code, 'CLOSED');
});
