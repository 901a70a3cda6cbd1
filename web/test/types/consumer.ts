// What a strict program in TypeScript does with the package; it is compiled, not run.

import {
  AtomicBatch, Barrier, Condvar, describe, Engine, exitCode, Latch, load, MemoryError, Mutex, Once, Process,
  RwLock, Semaphore, SharedMemory, ThreadRuntime, ThreadworkError, WaitGroup,
} from 'threadwork';
import type { ErrorCode, ExitStatus, ImportContext, Program, TaskHandle } from 'threadwork';
import { isolate, release } from 'threadwork/sw/isolate.js';
import { Mutex as SameMutex } from 'threadwork/sync';

export async function page(): Promise<string | undefined> {
  const obstacle = await isolate('./sw.js', { embedderPolicy: 'credentialless' });
  return obstacle ? `${obstacle.reason} ${obstacle.remedy}` : String(await release());
}

export async function programs(signal: AbortSignal): Promise<number> {
  const program: Program = await load(fetch('/app.wasm'), {
    deadlockDetection: true,
    signal,
    onProgress: ({ loaded, total }) => console.log(total === undefined ? loaded : loaded / total),
  });
  await using engine = new Engine({ keepWorkers: 2, idleTimeout: 60_000 });
  await using process = new Process(program, {
    args: ['--fast'],
    env: { RUST_BACKTRACE: '1' },
    listeners: ['127.0.0.1:8080', { fd: 9 }],
    preopens: { '/': { 'a.txt': 'text', dir: { 'b.bin': new Uint8Array(3) } }, '/host': new URL('file:///srv') },
    stdin: { text: 'input' },
    stdout: 'pipe',
    stderr: (bytes) => console.error(bytes.length),
    limits: { memory: 64 << 20, wallTime: Infinity },
    imports: new URL('./host.js', import.meta.url),
    data: { any: ['thing', 1n] },
    functions: { page: { now: () => Date.now(), log: { call: (n: number) => void console.log(n), waits: false } } },
    handlers: { fetch: async (name) => (await fetch(new TextDecoder().decode(name))).arrayBuffer(), title: () => 'text' },
    signal,
    engine,
  });
  const stop = process.on('thread', ({ activity, thread }) => console.log(activity, thread));
  await process.start();
  await process.stdout?.pipeTo(new WritableStream<Uint8Array>());
  const bytes: Uint8Array = await process.readFile('/a.txt');
  await process.writeFile('/b', bytes);
  stop();
  const status: ExitStatus = await process.wait();
  // Each kind has what it has, and no kind is forgotten.
  switch (status.kind) {
    case 'exited':
      return status.code;
    case 'trapped':
      throw new Error(`${status.thread}: ${status.message}\n${status.stack}`);
    case 'deadlock':
      throw new Error(status.threads.map(({ address }) => address.toString(16)).join());
    case 'limit':
      throw new Error(`${status.limit} ${status.value} ${status.trap?.message}`);
    case 'killed':
      return exitCode(status);
    default:
      throw new Error(describe(status satisfies never));
  }
}

export async function tasks(program: Program, signal: AbortSignal): Promise<void> {
  await using runtime = new ThreadRuntime(program, { poolSize: 2, stackSize: 1 << 20 });
  const task: TaskHandle = runtime.execute('fibonacci', 30, 1n);
  const result: number | bigint | (number | bigint)[] | undefined = await task;
  console.log(result, task.id, task.cancel());
  await runtime.pool.execute({ entry: 'fibonacci', args: [30], signal });
  for (const worker of runtime.workers) if (worker.state === 'busy') console.log(worker.task);
}

export async function memory(): Promise<void> {
  const memory = new SharedMemory(1, 4);
  const byte: number = memory.read(0, 'u8');
  const wide: bigint = memory.load(8, 'u64');
  // @ts-expect-error: a u64 is a bigint.
  memory.store(8, 1, 'u64');
  console.log(byte, wide, memory.run(new AtomicBatch().add(0, 1).loadRun(4, 2)));
  const mutex: SameMutex = new Mutex(memory);
  const sum: number = await mutex.withLockAsync(async () => 1);
  const leader: boolean | null = await Barrier.create(memory, 2).waitAsync(sum);
  await new Condvar(memory).waitWhileAsync(mutex, () => leader === false);
  const lock = new RwLock(memory);
  if (await lock.readAsync(5)) lock.unlockRead();
  if (await Semaphore.create(memory, 3).acquireAsync(2)) new Latch(memory).open();
  new WaitGroup(memory).done();
  new Once(memory).callOnce(() => {});
}

export function errors(error: unknown): ErrorCode | undefined {
  if (error instanceof MemoryError && error.code === 'OUT_OF_BOUNDS') console.log(error.offset, error.length);
  // @ts-expect-error: there is no such code.
  if (error instanceof ThreadworkError && error.code === 'NO_SUCH_CODE') return undefined;
  return error instanceof ThreadworkError ? error.code : undefined;
}

export default (context: ImportContext): WebAssembly.Imports => ({
  page: { number: () => context.thread() },
});
