// How processes end, whoever ends them and whatever their threads are doing.

import { describe, Engine, load, Process } from '../../index.js';
import { check, equal, failure, guest, pause, test, text } from '../harness.js';
import { COMPUTE, crowd, onStage, plot, READ, RETURN, SLEEP, STORM, WAIT, WRITE } from '../plots.js';

/** The guest `endings`: who ends it and how, and what three siblings do meanwhile. */
async function end(program, who, how, meanwhile) {
  const process = new Process(program, {
    args: [who, how, meanwhile],
    stdin: 'pipe',
    stdout: 'collect',
    stderr: 'collect',
  });
  const status = await process.run();
  equal(process.threads(), [], 'no thread outlives its process');
  const lines = text(process.stdoutBytes).split('\n');
  equal(lines[0], 'ready');
  return { status, rest: lines.slice(1).join('\n'), errors: text(process.stderrBytes) };
}

for (const deadlockDetection of [false, true]) {
  for (const meanwhile of ['compute', 'wait', 'sleep', 'read']) {
    const name = `endings: while siblings ${meanwhile}${deadlockDetection ? ', observed' : ''}`;
    test(name, async () => {
      const program = await load(guest('endings'), { deadlockDetection });
      for (const who of ['main', 'thread']) {
        const done = await end(program, who, 'return', meanwhile);
        equal(done.status, { kind: 'exited', code: 0 }, who);
        // A thread that returns ends nothing.
        equal(done.rest, who === 'thread' ? 'joined\n' : '');

        const exited = await end(program, who, 'exit:7', meanwhile);
        equal(exited.status, { kind: 'exited', code: 7 }, who);
        equal(exited.rest, '');

        for (const how of ['trap', 'panic']) {
          const { status, rest, errors } = await end(program, who, how, meanwhile);
          equal(status.kind, 'trapped', `${who} ${how}`);
          check(/unreachable/i.test(status.message), status.message);
          equal(status.thread === 0, who === 'main', describe(status));
          equal(rest, '');
          const where = how === 'trap' ? 'endings::trap' : 'endings::end';
          check(status.stack.includes(where), status.stack);
          if (how === 'panic') check(errors.includes('told to panic'), errors);
        }
      }
    }, { computes: meanwhile === 'compute' });
  }
}

test('endings: a thread ends the process whatever main does', async () => {
  for (const mainDoes of [COMPUTE, WAIT, SLEEP, READ]) {
    for (const [how, kind] of [['(call $exit (i32.const 9))', 'exited'], ['(unreachable)', 'trapped']]) {
      const program = await plot(`
        (func (export "wasi_thread_start") (param i32 i32) (call $until_open) ${how})
        (func (export "_start")
          (drop (call $spawn (i32.const 0)))
          (call $say (i32.const 1))
          (call $do (i32.const ${mainDoes})))`);
      const { process, stage } = onStage(program, { stdin: 'pipe' });
      await process.start();
      await stage.hear();
      stage.open();
      equal((await process.wait()).kind, kind, `main does ${mainDoes}`);
    }
  }
}, { computes: true });

test('endings: the first end wins, and later ones are not looked at', async () => {
  const program = await plot(`
    (func (export "wasi_thread_start") (param i32 i32) (call $until_open) (call $exit (i32.const 3)))
    (func (export "_start") (local $n i32)
      (loop
        (drop (call $spawn (i32.const 0)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 3))))
      (call $say (i32.const 0))
      (call $until_open)
      (unreachable))`);
  for (let round = 0; round < 10; round++) {
    const { process, stage } = onStage(program);
    await process.start();
    await stage.hear();
    stage.open();
    const status = await process.wait();
    check(status.kind === 'trapped' || status.code === 3, describe(status));
    equal(await process.wait(), status);
  }
}, { computes: true });

for (const [what, number] of Object.entries({ COMPUTE, WAIT, SLEEP, READ, WRITE, STORM, RETURN })) {
  for (const deadlockDetection of [false, true]) {
    // Observed, a crowd that waits is a deadlock.
    if ((number === RETURN || number === WAIT) && deadlockDetection) continue;
    test(`endings: a kill while all ${what.toLowerCase()}${deadlockDetection ? ', observed' : ''}`, async () => {
      const program = await crowd(3, number, { deadlockDetection });
      const options = { stdin: 'pipe', stdout: 'pipe', maxThreads: number === STORM ? 6 : 64 };
      for (let round = 0; round < 3; round++) {
        const { process, stage } = onStage(program, options);
        if (number === RETURN) {
          // The end and the kill race.
          process.start();
          await pause(round * 5);
          process.kill();
          const status = await process.wait();
          check(['killed', 'exited'].includes(status.kind), describe(status));
          continue;
        }
        await process.start();
        await stage.hear(4);
        await pause(round * 3);
        process.kill();
        equal(await process.wait(), { kind: 'killed' });
        equal(process.threads(), []);
        equal(process.stats().threadsAlive, 0);
      }
    }, { computes: [COMPUTE, STORM].includes(number) });
  }
}

test('endings: a kill before, at and after the start', async () => {
  const program = await crowd(2, WAIT);
  const never = onStage(program).process;
  never.kill();
  equal(await never.wait(), { kind: 'killed' });
  check((await failure(never.start())).message.includes('killed'));

  const early = onStage(program).process;
  const starting = early.start();
  early.kill();
  equal(await early.wait(), { kind: 'killed' });
  await starting.catch(() => {});

  const { process: late } = onStage(await plot(`
    (func (export "wasi_thread_start") (param i32 i32)) (func (export "_start"))`));
  equal(await late.run(), { kind: 'exited', code: 0 });
  late.kill();
  equal(await late.wait(), { kind: 'exited', code: 0 });
});

test('endings: closing an engine ends its processes', async () => {
  const engine = new Engine();
  const program = await crowd(2, COMPUTE);
  const { process, stage } = onStage(program, { engine });
  await process.start();
  await stage.hear(3);
  const waiting = failure(process.wait());
  await engine.close();
  check((await waiting).message.includes('closed'));
  const { process: next } = onStage(program, { engine });
  equal((await failure(next.start())).code, 'CLOSED');
}, { computes: true });

test('endings: the limit of time', async () => {
  const program = await crowd(2, COMPUTE);
  const { process } = onStage(program, { limits: { wallTime: 200 } });
  equal(await process.run(), { kind: 'limit', limit: 'wallTime', value: 200 });
}, { computes: true });

test('endings: what was written before the end arrives', async () => {
  const program = await load(guest('endings'));
  for (let round = 0; round < 10; round++) {
    const process = new Process(program, { args: ['thread', 'exit:1', 'compute'], stdout: 'collect' });
    await process.run();
    equal(text(process.stdoutBytes), 'ready\n');
  }
}, { computes: true });
