// The examples of the README's section on shared memory, to be run.

import { AtomicBatch, Barrier, load, Mutex, SharedMemory, ThreadRuntime } from '../index.js';

async function memoryExample() {
  const memory = new SharedMemory(1, 16);
  memory.store(0, 40);
  console.assert(memory.add(0, 2) === 40);
  console.assert(memory.load(0) === 42);
  memory.write(9, Math.PI, 'f64');

  const batch = new AtomicBatch().store(0, 10).add(0, 5).fillRun(64, 100, 3n, 'u64').load(0);
  console.assert(memory.run(batch)[3] === 15);

  setTimeout(() => memory.notify(32));
  console.assert((await memory.waitAsync(32, 0)) === 'ok');
}

async function primitivesExample() {
  const memory = new SharedMemory(1, 16);
  const mutex = new Mutex(memory);
  await mutex.withLockAsync(() => memory.write(0, memory.read(0) + 1));
  console.assert((await mutex.lockAsync()) && !mutex.tryLock());
  console.assert(!(await mutex.lockAsync(5)));
  console.assert(await mutex.lockAsync(AbortSignal.timeout(5)).catch(({ name }) => name === 'TimeoutError'));
  mutex.unlock();

  const barrier = Barrier.create(memory, 2);
  const [one, two] = await Promise.all([barrier.waitAsync(), barrier.waitAsync()]);
  console.assert(one !== two);
}

async function runtimeExample(url) {
  const runtime = new ThreadRuntime(await load(url));
  const sums = [1n, 2n, 3n].map((n) => runtime.execute('sum', 0n, n * 1000n));
  console.log(await Promise.all(sums));

  const mutex = new Mutex(runtime.memory);
  const words = runtime.memory.allocate(16);
  const task = runtime.execute('add_under_mutex', mutex.offset, words, 1000);
  await mutex.withLockAsync(() => console.log('the task does not get in'));
  await task;

  runtime.execute('wait_for_word', words, 1000, -1).cancel();
  runtime.execute({ entry: 'sum', args: [0n, 10n], signal: AbortSignal.timeout(1000) });
  await runtime.shutdown();
}

export const examples = [memoryExample, primitivesExample, runtimeExample];
