// One clock for all threads, though the system's is set.

import { Engine, load, Process } from '../../index.js';
import { setClock } from '../clock.js';
import { check, host, isNodeLike, test, until, wat } from '../harness.js';

/** What the clock tells the first thread (`now`), and another one (`other`). */
const CLOCKS = `(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "env" "memory" (memory 1 1 shared))
  (func $now (param $at i32) (result i64)
    (if (call $clock (i32.const 1) (i64.const 0) (local.get $at)) (then unreachable))
    (i64.load (local.get $at)))
  (func (export "now") (result i64) (call $now (i32.const 64)))
  (func (export "wasi_thread_start") (param i32 i32)
    (drop (call $now (i32.const 72)))
    (i32.atomic.store (i32.const 0) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
  (func (export "other") (result i64)
    (i32.atomic.store (i32.const 0) (i32.const 0))
    (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 1)) (then unreachable))
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
    (i64.load (i32.const 72))))`;

const HOUR = 3_600_000;
/** Clocks of hosts differ by microseconds; a thread that is interrupted compares them less exactly. */
const SLACK = 5;

/** Checks that moments, in ms, follow each other, whoever has told them. */
function follow(moments) {
  check(moments.every((moment, n) => n === 0 || moment >= moments[n - 1] - SLACK), moments.join());
}

/**
 * Has the clock set by so many ms, so many ms after the beginning. What the threads see has to be of one piece. Returns
 * whether the first one was there before, and the others were not.
 */
async function run(by, delay) {
  const begin = performance.now();
  const at = Date.now() + delay;
  const workerUrl = new URL(`../scripts/worker-of-set-clock.js?at=${at}&by=${by}`, import.meta.url);
  const clock = setClock({ at, by });
  const engine = new Engine({ workerUrl });
  try {
    const process = new Process(await load(await wat(CLOCKS)), { engine, poolSize: 0, trace: true });
    const events = [];
    process.on('thread', ({ time }) => events.push(time));
    const ask = async (name) => Number(await process.call(name)) / 1e6;
    await process.start();
    const moments = [0, await ask('now')];
    const isEarly = clock.now() < at;
    await until(() => clock.now() >= at);
    for (let round = 0; round < 3; round++) moments.push(await ask('now'), await ask('other'));
    // On one of the workers that there were, and on another one.
    const next = new Process(await load(await wat(CLOCKS)), { engine, poolSize: 1 });
    await next.start();
    moments.push(await ask('now'));
    const told = [0, await next.call('now'), await next.call('other'), await next.call('now')];
    process.kill();
    next.kill();
    await Promise.all([process.wait(), next.wait()]);
    const elapsed = performance.now() - begin;
    follow([...moments, elapsed]);
    follow([...told.map((nanoseconds) => Number(nanoseconds) / 1e6), elapsed]);
    check(events.length > 0);
    // Node itself tells all threads that they began when it did.
    const first = performance.timeOrigin + begin;
    if (!isNodeLike) for (const time of events) follow([first, time, first + elapsed]);
    return isEarly;
  } finally {
    clock.restore();
    await engine.close();
  }
}

test("clocks: threads agree that have begun before and after the system's was set", async () => {
  for (const by of host.isFull ? [HOUR, -HOUR, 100, -100] : [HOUR]) {
    let delay = 500;
    while (!(await run(by, delay))) delay *= 2;
  }
});

test("clocks: threads agree with the page, which has begun before the system's was set", async () => {
  for (const by of host.isFull ? [HOUR, -HOUR] : [-HOUR]) await run(by, 0);
});
