// Libraries: loaded, initialized once, and called.

import { load, Process } from '../../index.js';
import { check, equal, failure, test, url, until, wat } from '../harness.js';
import { onStage, plot } from '../plots.js';

const reactor = async () => new Process(await load(url('/text/reactor.wasm')));

test('reactor: calls have arguments, results and state', async () => {
  const process = await reactor();
  equal(await process.call('add', 40, 2), 42);
  equal(await process.call('next'), 100);
  equal(await process.call('next'), 101);
  equal(await process.call('wait_for', 2), 2);
  equal(process.status, null);
  process.kill();
  equal(await process.wait(), { kind: 'killed' });
  equal((await failure(process.call('next'))).code, 'ENDED');
});

test('reactor: all types of numbers go in and out', async () => {
  const program = await load(await wat(`(module
    (func (export "turn") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
      (local.get 3) (local.get 2) (local.get 1) (local.get 0)))`));
  const process = new Process(program);
  equal(await process.call('turn', -1, 1n << 40n, 1.5, -2.5), [-2.5, 1.5, 1n << 40n, -1]);
  equal(await process.call('turn', 1, -1n, 0, NaN), [NaN, 0, -1n, 1]);
  process.kill();
  await process.wait();
});

test('reactor: wrong names and arguments are errors, and harm nothing', async () => {
  const process = await reactor();
  equal((await failure(process.call('sub'))).message, 'the module exports no function `sub`');
  for (const args of [[], [1], [1, 2, 3]]) {
    const { code, message } = await failure(process.call('add', ...args));
    equal([code, message], ['ARGUMENTS', `\`add\` takes 2 arguments, not ${args.length}`]);
  }
  equal((await failure(process.call('add', 1, 2n))).code, 'ARGUMENTS');
  equal(await process.call('add', 1, 2), 3);
  process.kill();
  await process.wait();
});

test('reactor: a command takes no calls', async () => {
  const program = await plot('(func (export "wasi_thread_start") (param i32 i32)) (func (export "_start"))');
  const { process } = onStage(program);
  equal((await failure(process.call('_start'))).code, 'COMMAND');
  await process.run();
});

test('reactor: a trap in a call ends the process', async () => {
  const process = await reactor();
  equal(await process.call('divide', 6, 3), 2);
  const error = await failure(process.call('divide', 1, 0));
  equal(error.code, 'ENDED');
  const status = await process.wait();
  equal([status.kind, status.thread], ['trapped', 0]);
  check(/zero/.test(status.message), status.message);
  equal((await failure(process.call('next'))).code, 'ENDED');
});

test('reactor: a failure of _initialize is the status', async () => {
  for (const [body, kind] of [['unreachable', 'trapped'], ['(call $exit (i32.const 4))', 'exited']]) {
    const program = await plot(`(func (export "wasi_thread_start") (param i32 i32))
      (func (export "_initialize") ${body}) (func (export "f"))`);
    const { process } = onStage(program);
    equal((await failure(process.call('f'))).code, 'ENDED');
    equal((await process.wait()).kind, kind);
  }
});

test('reactor: threads that a call started run on, and many calls queue', async () => {
  const program = await plot(`
    (func (export "wasi_thread_start") (param i32 i32) (call $until_open) (call $count) (call $say (i32.const 5)))
    (func (export "go") (drop (call $spawn (i32.const 0))))
    (func (export "counted") (result i32) (i32.atomic.load (i32.const 256)))
    (func (export "wait") (call $until_counted (i32.const 2)))`);
  const { process, stage } = onStage(program);
  await process.call('go');
  await process.call('go');
  equal(await process.call('counted'), 0);
  await until(() => process.threads().length === 3);
  stage.open();
  await process.call('wait');
  await stage.hear(2);
  await until(() => process.threads().length === 1);
  equal(process.threads()[0], { id: 0, activity: 'idle', worker: 0 });
  const all = await Promise.all(Array.from({ length: 50 }, () => process.call('counted')));
  equal(all, Array(50).fill(2));
  process.kill();
  await process.wait();
});

test('reactor: a kill ends a call', async () => {
  const program = await plot(`(func (export "wasi_thread_start") (param i32 i32))
    (func (export "f") (param i32) (call $say (i32.const 0)) (call $do (local.get 0)))`);
  for (const what of [1, 2, 3]) {
    const { process, stage } = onStage(program);
    const call = failure(process.call('f', what));
    await stage.hear();
    process.kill();
    equal((await call).code, 'ENDED');
    equal(await process.wait(), { kind: 'killed' });
  }
});
