// Deadlocks, in programs whose waits are observed.

import { describe, load, Process } from '../../index.js';
import { check, equal, guest, host, pause, test, text, until } from '../harness.js';
import { onStage, plot } from '../plots.js';

const observed = { deadlockDetection: true };

const REPORTS = {
  philosophers: ['deadlock::join_philosophers', 'deadlock::philosopher_left', 'deadlock::philosopher_right'],
  self: ['deadlock::lock_what_is_mine'],
  condvar: ['deadlock::join_the_forgotten', 'deadlock::wait_for_a_notification'],
  channel: ['deadlock::join_the_polite', 'deadlock::wait_for_a_message_first', 'deadlock::wait_for_a_message_first'],
  late: ['deadlock::join_philosophers', 'deadlock::philosopher_left', 'deadlock::philosopher_right'],
};

for (const [kind, functions] of Object.entries(REPORTS)) {
  test(`deadlock: ${kind} is reported, with where each thread waits`, async () => {
    const program = await load(guest('deadlock'), observed);
    const process = new Process(program, { args: [kind], stdout: 'collect' });
    const status = await process.run();
    equal(status.kind, 'deadlock', describe(status));
    equal(text(process.stdoutBytes), 'ready\n');
    equal(status.threads.length, functions.length, describe(status));
    status.threads.forEach(({ stack, address }, n) => {
      check(stack.includes(functions[n]), `${functions[n]} is not in\n${stack}`);
      check(address > 0 && address % 4 === 0);
    });
  });
}

test('deadlock: none is seen where there is none', async () => {
  const rounds = host.isFull ? 100 : 5;
  for (const name of ['std-sync', 'crossbeam-mix', 'rayon-mix']) {
    const program = await load(guest(name), observed);
    for (let round = 0; round < rounds; round++) {
      const process = new Process(program, { stdout: 'collect', stderr: 'collect' });
      const status = await process.run();
      check(status.kind !== 'deadlock', describe(status));
    }
  }
});

test('deadlock: threads that sleep or read, and an idle reactor, are none', async () => {
  const program = await plot(
    `(func (export "wasi_thread_start") (param i32 i32) (call $wait))
     (func (export "go") (drop (call $spawn (i32.const 0))))
     (func (export "nothing"))
     (func (export "sleep") (call $wait))`,
    observed,
  );
  const { process } = onStage(program);
  await process.call('go');
  await process.call('go');
  await until(() => process.threads().filter(({ activity }) => activity === 'waiting').length === 2);
  await pause(50);
  equal(process.status, null);
  await process.call('nothing');
  const call = process.call('sleep').catch(({ code }) => code);
  const status = await process.wait();
  equal([status.kind, status.threads.length, await call], ['deadlock', 3, 'ENDED']);
});

test('deadlock: the last thread that could notify ends', async () => {
  const program = await plot(
    `(func (export "wasi_thread_start") (param i32 i32) (call $until_open))
     (func (export "_start") (drop (call $spawn (i32.const 0))) (call $say (i32.const 0)) (call $wait))`,
    observed,
  );
  const { process, stage } = onStage(program);
  await process.start();
  await stage.hear();
  await pause(20);
  equal(process.status, null);
  stage.open();
  const status = await process.wait();
  equal([status.kind, status.threads.map(({ thread, address }) => [thread, address])], ['deadlock', [[0, 0]]]);
});

test('deadlock: waits and notifies of observed programs keep their results', async () => {
  const program = await plot(
    `(func (export "wasi_thread_start") (param i32 i32)
       (call $say (memory.atomic.wait32 (i32.const 300) (i32.const 0) (i64.const -1)))
       (call $say (memory.atomic.wait64 (i32.const 304) (i64.const 0) (i64.const 60000000000)))
       (call $count))
     (func (export "_start")
       (call $say (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const -1)))
       (call $say (memory.atomic.wait64 (i32.const 0) (i64.const 0) (i64.const 1000000)))
       (call $say (memory.atomic.notify (i32.const 0) (i32.const -1)))
       (drop (call $spawn (i32.const 0)))
       (loop (br_if 0 (i32.eqz (memory.atomic.notify (i32.const 300) (i32.const -1)))))
       (loop (br_if 0 (i32.eqz (memory.atomic.notify offset=4 (i32.const 300) (i32.const 1)))))
       (call $until_counted (i32.const 1))
       (drop (memory.atomic.wait32 offset=2 (i32.const 1) (i32.const 0) (i64.const 0))))`,
    observed,
  );
  const { process, stage } = onStage(program);
  const status = await process.run();
  equal(stage.heard(), [1, 2, 0, 0, 0]);
  equal([status.kind, status.message], ['trapped', 'unaligned atomic access']);
  const { waits, woken } = process.stats();
  check(waits >= 4 && woken >= 2, `${waits} ${woken}`);
});

test('deadlock: threads() and the trace show who waits', async () => {
  const program = await plot(
    `(func (export "wasi_thread_start") (param i32 i32) (call $until_open) (call $count))
     (func (export "_start") (drop (call $spawn (i32.const 0))) (call $say (i32.const 0)) (call $until_counted (i32.const 1)))`,
    observed,
  );
  const { process, stage } = onStage(program, { trace: true });
  const events = [];
  const off = process.on('thread', (event) => events.push(event));
  await process.start();
  await stage.hear();
  await until(() => process.threads().find(({ id }) => id === 0)?.activity === 'waiting');
  equal(process.threads().find(({ id }) => id === 0).address, 256);
  stage.open();
  await process.wait();
  off();
  const of = (thread) => events.filter((event) => event.thread === thread && event.worker >= 0).map(({ activity }) => activity);
  check(of(0).includes('waiting') && of(0).includes('running'), of(0).join());
  check(events.some(({ thread, activity }) => thread > 0 && activity === 'running'));
  const times = events.map(({ time }) => time);
  check(times.every((time) => Math.abs(time - Date.now()) < 60_000), times.join());
  equal(process.stats().traceLost, 0);
});

