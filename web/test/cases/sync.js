// The primitives in JavaScript, with those of the Rust crate: threads of a guest, workers that
// block and the main thread, which does not, at one lock.

import { load, Process } from '../../index.js';
import { Child } from '../../src/platform.js';
import { Barrier, Condvar, Latch, Mutex, Once, RwLock, Semaphore, SharedMemory, WaitGroup } from '../../sync.js';
import { check, equal, failure, guest, host, isNodeLike, pause, test, text } from '../harness.js';
import { Place, playAsync } from '../meet.js';

const MORE = () => (host.isFull ? 10 : 1);

/** A worker of the test's own, until it has played its rounds. */
function worker(message) {
  return new Promise((done, fail) => {
    const url = new URL('../scripts/meet-worker.js', import.meta.url);
    const to = {
      started: () => child.post(message),
      message: ({ error }) => {
        child.terminate();
        if (error) fail(new Error(error));
        else done();
      },
      failed: (reason) => fail(new Error(reason)),
    };
    const child = new Child({ url }, to, 30_000);
  });
}

/** Plays a scenario with threads of the guest, workers, and promises; what the guest said. */
async function meet(scenario, { threads, workers, promises = 0, rounds, byPromise = rounds, polls }) {
  const parties = threads + workers + promises;
  let said = '';
  let tell;
  const address = new Promise((found) => (tell = found));
  const process = new Process(await load(guest('meet')), {
    args: [scenario, threads, rounds, parties].map(String),
    stdout: (bytes) => {
      said += text(bytes);
      const [, at] = /^at (\d+)\n/.exec(said) ?? [];
      if (at) tell(Number(at));
    },
  });
  await process.start();
  const { memory } = process;
  const at = await address;
  const place = new Place(memory, at);
  const players = Array.from({ length: workers }, (_, n) =>
    worker({ memory, at, scenario, rounds, me: threads + n, parties, polls }),
  );
  for (let n = 0; n < promises; n++) {
    players.push(playAsync(place, scenario, byPromise, threads + workers + n, parties));
  }
  place.go.open();
  await Promise.all(players);
  equal(await process.wait(), { kind: 'exited', code: 0 });
  check(said.endsWith('ok meet\n'), said);
  const number = (name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(said)?.[1]);
  equal(number('faults'), 0, 'faults');
  // What is left behind is at rest.
  equal([...place.rwlock.words.slice(0, 2), place.mutex.words[0]], [0, 0, 0], 'words at rest');
  equal([place.semaphore.available, place.semaphore.words[1]], [PERMITS, 0], 'permits at rest');
  equal(place.condvar.words[1], 0, 'waiters at rest');
  return { counted: number('counted'), runs: number('runs') };
}

const PERMITS = 3;
const COMPANY = { threads: 2, workers: 2 };
const WITH_PROMISES = { threads: 1, workers: 1, promises: 2 };

/** Writes among the rounds of the reader-writer lock. */
const writes = (rounds) => Math.ceil(rounds / 4);

test('sync: a mutex excludes threads of the guest and of JavaScript', async () => {
  const rounds = 5000 * MORE();
  equal((await meet('mutex', { ...COMPANY, rounds })).counted, 4 * rounds);
});

test('sync: a mutex excludes promises, too', async () => {
  const [rounds, byPromise] = [2000 * MORE(), 300 * MORE()];
  const { counted } = await meet('mutex', { ...WITH_PROMISES, rounds, byPromise });
  equal(counted, 2 * rounds + 2 * byPromise);
});

test('sync: a reader-writer lock', async () => {
  const rounds = 5000 * MORE();
  equal((await meet('rwlock', { ...COMPANY, rounds })).counted, 4 * writes(rounds));
});

test('sync: a reader-writer lock of promises, too', async () => {
  const [rounds, byPromise] = [2000 * MORE(), 300 * MORE()];
  const { counted } = await meet('rwlock', { ...WITH_PROMISES, rounds, byPromise });
  equal(counted, 2 * writes(rounds) + 2 * writes(byPromise));
});

test('sync: a semaphore, several permits at once', async () => {
  const rounds = 5000 * MORE();
  equal((await meet('semaphore', { ...COMPANY, rounds })).runs, 4 * rounds);
});

test('sync: a semaphore of promises, too', async () => {
  const [rounds, byPromise] = [2000 * MORE(), 300 * MORE()];
  const { runs } = await meet('semaphore', { ...WITH_PROMISES, rounds, byPromise });
  equal(runs, 2 * rounds + 2 * byPromise);
});

test('sync: a barrier has one leader in each phase', async () => {
  const rounds = 1000 * MORE();
  equal((await meet('barrier', { ...COMPANY, rounds })).runs, rounds);
});

test('sync: a barrier of promises, too', async () => {
  const rounds = 200 * MORE();
  equal((await meet('barrier', { ...WITH_PROMISES, rounds })).runs, rounds);
});

test('sync: a condition variable loses no wake-up', async () => {
  const rounds = 500 * MORE();
  equal((await meet('condvar', { ...COMPANY, rounds })).counted, 4 * rounds);
});

test('sync: a condition variable of promises, too', async () => {
  const rounds = 100 * MORE();
  equal((await meet('condvar', { ...WITH_PROMISES, rounds })).counted, 4 * rounds);
});

test('sync: the guest takes what JavaScript brings, notified one by one', async () => {
  const rounds = 2000 * MORE();
  equal((await meet('queue', { threads: 2, workers: 1, promises: 1, rounds })).counted, 2 * rounds);
});

test('sync: once is once', async () => {
  for (let n = 0; n < 5 * MORE(); n++) {
    equal((await meet('once', { ...WITH_PROMISES, rounds: 3 })).runs, 1);
  }
});

test('sync: without Atomics.waitAsync, promises poll', async () => {
  const few = { threads: 2, workers: 2, polls: true, rounds: 50 * MORE() };
  const { rounds } = few;
  equal((await meet('mutex', few)).counted, 4 * rounds);
  equal((await meet('semaphore', few)).runs, 4 * rounds);
  equal((await meet('rwlock', few)).counted, 4 * writes(rounds));
  equal((await meet('barrier', few)).runs, rounds);
  equal((await meet('condvar', few)).counted, 4 * rounds);
});

// ---- Queues ----

// As `layout_is_frozen` of threadwork-sync has them, step by step.
test('sync: the words of a semaphore are those of the guest', async () => {
  const semaphore = Semaphore.create(new SharedMemory(1, 2), 3);
  const words = () => [semaphore.words[0], semaphore.words[1]];
  equal(words(), [12, 0]);
  semaphore.tryAcquire(2);
  equal(words(), [4, 0]);
  const first = semaphore.acquireAsync(2);
  await pause(5);
  equal(words(), [1, 1]);
  const second = semaphore.acquireAsync(2);
  await pause(5);
  equal(words(), [1, 5]);
  semaphore.release(1);
  await first;
  semaphore.release(2);
  await second;
  equal(semaphore.words[1], 0);
});

test('sync: a wake-up goes down the queue', async () => {
  const memory = new SharedMemory(1, 2);
  const queue = async (count, take, give) => {
    let taken = 0;
    const one = async () => {
      await take();
      taken += 1;
      await pause(0);
      give();
    };
    await take();
    const all = Array.from({ length: count }, one);
    await pause(5);
    equal(taken, 0);
    give();
    await Promise.all(all);
  };
  const mutex = new Mutex(memory);
  await queue(4, () => mutex.lockAsync(), () => mutex.unlock());
  const rwlock = new RwLock(memory);
  await queue(4, () => rwlock.writeAsync(), () => rwlock.unlockWrite());
  const semaphore = Semaphore.create(memory, 2);
  await queue(4, () => semaphore.acquireAsync(2), () => semaphore.release(2));
  equal([mutex.words[0], rwlock.state[0], semaphore.available, semaphore.words[1]], [0, 0n, 2, 0]);
  // One release for several, which pass it on.
  await semaphore.acquireAsync(2);
  const both = [semaphore.acquireAsync(), semaphore.acquireAsync()];
  await pause(5);
  semaphore.release(2);
  equal(await Promise.all(both), [true, true]);
});

/** A place that no guest has, and a worker that plays there. */
function alone(scenario, rounds) {
  const place = new Place(new SharedMemory(1), 0);
  Semaphore.create(place.memory, PERMITS, 32);
  place.hosts.add();
  const { memory } = place.memory;
  return { place, playing: worker({ memory, at: 0, scenario, rounds, me: 0, parties: 1 }) };
}

test('sync: a thread that lost too often keeps others out, and lets them in again', async () => {
  const cases = {
    mutex: { take: 'tryLock', give: 'unlock', gate: 0, starves: ({ words }) => words[0] & 4 },
    rwlock: { take: 'tryWrite', give: 'unlockWrite', gate: 3, starves: ({ words }) => words[0] & (1 << 21) },
    semaphore: { take: 'tryAcquire', give: 'release', gate: 0, starves: ({ words }) => words[0] & 2 },
  };
  for (const [scenario, { take, give, gate, starves }] of Object.entries(cases)) {
    const { place, playing } = alone(scenario, 100);
    const object = place[scenario];
    check(object[take](PERMITS), scenario);
    place.go.open();
    const before = object.words[0];
    // Woken in vain, again and again.
    while (!starves(object)) {
      Atomics.notify(object.sleepers, gate, 1);
      await pause(1);
    }
    check(object.words[0] !== before);
    object[give](PERMITS);
    await playing;
    const rest = scenario === 'semaphore' ? PERMITS * 4 : 0;
    equal([object.words[0], place.words[4]], [rest, 0], `${scenario} at rest`);
  }
});

test('sync: a reader that does not run is passed once in its turn', async () => {
  const [PHASE, ACTIVE, LOCKED] = [1n, 2n, 1n << 20n];
  const rwlock = new RwLock(new SharedMemory(1, 4));
  check(rwlock.tryWrite());
  const [reader, writer] = [rwlock.readAsync(), rwlock.writeAsync()];
  await pause(5);
  rwlock.unlockWrite();
  // A newcomer among the writers, as `write` lets it in.
  equal(Atomics.or(rwlock.state, 0, LOCKED) & LOCKED, 0n);
  rwlock.unlockWrite();
  equal(Atomics.load(rwlock.state, 0) & (PHASE | ACTIVE), PHASE | ACTIVE);
  check(await reader);
  rwlock.unlockRead();
  check(await writer);
  rwlock.unlockWrite();
  equal(rwlock.state[0], 0n);
});

// ---- Giving up ----

test('sync: who gives up leaves everything as if it had not come', async () => {
  const memory = new SharedMemory(1, 4);
  const mutex = new Mutex(memory);
  check(await mutex.lockAsync());
  equal(await mutex.lockAsync(2), false);
  mutex.unlock();
  equal(mutex.words[0], 0);

  const rwlock = new RwLock(memory);
  check(await rwlock.readAsync());
  equal(await rwlock.writeAsync(2), false);
  check(rwlock.tryRead(), 'a writer that has given up stops no readers');
  rwlock.unlockRead();
  rwlock.unlockRead();
  check(await rwlock.writeAsync());
  equal([await rwlock.readAsync(2), await rwlock.writeAsync(2)], [false, false]);
  rwlock.unlockWrite();
  equal([rwlock.state[0], rwlock.isLocked], [0n, false]);

  const barrier = Barrier.create(memory, 2);
  equal(await barrier.waitAsync(2), null);
  equal(barrier.state[0], 0n);
  equal((await Promise.all([barrier.waitAsync(), barrier.waitAsync()])).sort(), [false, true]);
  equal([barrier.state[0], barrier.words[2]], [1n << 32n, 2]);

  const semaphore = Semaphore.create(memory, 3);
  check(await semaphore.acquireAsync(2));
  equal(await semaphore.acquireAsync(3, 2), false);
  equal([semaphore.available, semaphore.words[1]], [1, 0]);
  const three = semaphore.acquireAsync(3);
  equal(await semaphore.acquireAsync(2, 2), false);
  semaphore.release(2);
  check(await three);
  semaphore.release(3);
  equal([semaphore.available, semaphore.words[1]], [3, 0]);

  const condvar = new Condvar(memory);
  await mutex.lockAsync();
  equal(await condvar.waitAsync(mutex, 2), false);
  check(mutex.isLocked, 'it has the mutex again');
  mutex.unlock();
  equal(condvar.words[1], 0);

  const latch = new Latch(memory);
  equal(await latch.waitAsync(2), false);
  latch.open();
  equal(await latch.waitAsync(), true);
});

test('sync: a writer that gives up lets the readers in that wait behind it', async () => {
  const rwlock = new RwLock(new SharedMemory(1, 2));
  await rwlock.readAsync();
  const writer = rwlock.writeAsync(20);
  const reader = rwlock.readAsync();
  equal([await writer, await reader], [false, true]);
});

test('sync: a run that fails counts for nothing', async () => {
  const once = new Once(new SharedMemory(1, 2));
  const first = once.callOnceAsync(async () => {
    await pause(5);
    throw new Error('no');
  });
  let runs = 0;
  const second = once.callOnceAsync(() => void (runs += 1));
  equal((await failure(first)).message, 'no');
  await second;
  equal([runs, once.isCompleted, await once.waitAsync()], [1, true, true]);
});

test('sync: a wait group', async () => {
  const group = new WaitGroup(new SharedMemory(1, 2));
  group.add(2);
  equal(await group.waitAsync(2), false);
  const wait = group.waitAsync();
  group.done();
  group.done();
  equal([await wait, group.count], [true, 0]);
  equal((await failure((async () => group.done())())).code, 'DAMAGED');
  equal(group.count, 0);
});

test('sync: misuse is an error that says so', async () => {
  const memory = new SharedMemory(1, 2);
  const fails = async (body) => (await failure((async () => body())())).code;
  equal(await fails(() => new Mutex(memory, 4).unlock()), 'DAMAGED');
  equal(await fails(() => new RwLock(memory, 16).unlockRead()), 'DAMAGED');
  equal(await fails(() => new RwLock(memory, 16).unlockWrite()), 'DAMAGED');
  equal(await fails(() => Semaphore.create(memory, Semaphore.MOST_PERMITS).release()), 'DAMAGED');
  equal(await fails(() => new Mutex(memory, 2)), 'MISALIGNED');
  equal(await fails(() => new Barrier(memory, 8)), 'MISALIGNED');
  equal(await fails(() => new Barrier(memory, 65536 * 2)), 'OUT_OF_BOUNDS');
  // Who may not block is told so, whether or not it would have to.
  if (!isNodeLike) {
    equal(await fails(() => new Mutex(memory, 4).lock()), 'MAY_NOT_BLOCK');
    const [mutex, condvar] = [new Mutex(memory, 8), new Condvar(memory, 32)];
    await mutex.lockAsync();
    equal(await fails(() => condvar.wait(mutex)), 'MAY_NOT_BLOCK');
    equal([mutex.isLocked, condvar.words[1]], [true, 0]);
  }
});

test('sync: a wait ends by a signal, as if it had not come', async () => {
  const memory = new SharedMemory(1, 4);
  const [mutex, rwlock, semaphore] = [new Mutex(memory), new RwLock(memory), Semaphore.create(memory, 1)];
  const [barrier, condvar, latch, group, once] = [Barrier.create(memory, 2), new Condvar(memory), new Latch(memory), new WaitGroup(memory), new Once(memory)];
  const inner = new Mutex(memory);
  await mutex.lockAsync();
  await rwlock.readAsync();
  await semaphore.acquireAsync();
  group.add();
  const at = memory.allocate(4);
  const waits = {
    mutex: (limit) => mutex.lockAsync(limit),
    writer: (limit) => rwlock.writeAsync(limit),
    semaphore: (limit) => semaphore.acquireAsync(1, limit),
    barrier: (limit) => barrier.waitAsync(limit),
    condvar: async (limit) => {
      await inner.lockAsync();
      await condvar.waitAsync(inner, limit).finally(() => inner.unlock());
    },
    latch: (limit) => latch.waitAsync(limit),
    group: (limit) => group.waitAsync(limit),
    once: (limit) => once.waitAsync(limit),
    word: (limit) => memory.waitAsync(at, 0, limit),
  };
  const reason = new Error('given up');
  for (const [name, wait] of Object.entries(waits)) {
    for (const limitBy of [(signal) => signal, (signal) => ({ signal, timeout: 60_000 })]) {
      const controller = new AbortController();
      const waiting = failure(wait(limitBy(controller.signal)));
      await pause(30);
      controller.abort(reason);
      equal((await waiting).message, 'given up', name);
      equal((await failure(wait(limitBy(controller.signal)))).message, 'given up', `${name}, before`);
    }
  }
  equal(await mutex.lockAsync({ timeout: 2, signal: new AbortController().signal }), false, 'the timeout comes first');
  equal((await failure(mutex.lockAsync({ signal: 1 }))).name, 'TypeError');
  equal((await failure(mutex.lockAsync({ timeout: -1 }))).name, 'RangeError');

  // Nobody is left who would take a wake-up, or stand in the way.
  const { signal } = new AbortController();
  const next = [mutex.lockAsync(signal), rwlock.writeAsync(signal), semaphore.acquireAsync(1, signal), latch.waitAsync(signal), group.waitAsync(signal)];
  mutex.unlock();
  rwlock.unlockRead();
  semaphore.release();
  latch.open();
  group.done();
  equal(await Promise.all(next), Array(5).fill(true));
  equal(inner.isLocked, false);
});
