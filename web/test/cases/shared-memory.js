// Shared memory from JavaScript.

import { AtomicBatch, SharedMemory } from '../../sync.js';
import { load, Process } from '../../index.js';
import { check, equal, failure, guest, hearsNotifies, test, text, url, wat } from '../harness.js';

const fails = async (body) => failure((async () => body())());

test('shared memory: plain access of all types, wherever it is', async () => {
  const memory = new SharedMemory(1, 2);
  equal(memory.size, 65536);
  const values = { i8: -5, u8: 250, i16: -300, u16: 65000, i32: -70000, u32: 4e9, f32: 0.5, f64: Math.PI };
  let offset = 1;
  for (const [type, value] of Object.entries(values)) {
    memory.write(offset, value, type);
    equal(memory.read(offset, type), value, type);
    offset += 9;
  }
  memory.write(101, -(2n ** 63n), 'i64');
  equal([memory.read(101, 'i64'), memory.read(101, 'u64')], [-(2n ** 63n), 2n ** 63n]);
  memory.writeBytes(200, [1, 2, 3]);
  memory.fill(201, 1, 9);
  equal([...memory.readBytes(199, 5)], [0, 1, 9, 3, 0]);
  const view = memory.view('f64', 800, 3);
  view.set([1, 2, 3]);
  equal(memory.read(808, 'f64'), 2);
});

test('shared memory: all atomic operations in all widths', async () => {
  const memory = new SharedMemory(1);
  for (const [type, bits] of [['i8', 8], ['u8', 8], ['i16', 16], ['u16', 16], ['i32', 32], ['u32', 32], ['i64', 64], ['u64', 64]]) {
    const of = bits === 64 ? BigInt : Number;
    memory.store(64, of(12), type);
    equal(memory.add(64, of(5), type), of(12), type);
    equal(memory.sub(64, of(7), type), of(17), type);
    equal(memory.and(64, of(6), type), of(10), type);
    equal(memory.or(64, of(9), type), of(2), type);
    equal(memory.xor(64, of(3), type), of(11), type);
    equal(memory.exchange(64, of(50), type), of(8), type);
    equal(memory.compareExchange(64, of(50), of(75), type), of(50), type);
    equal(memory.compareExchange(64, of(50), of(100), type), of(75), type);
    equal(memory.load(64, type), of(75), type);
    // Wraps, with or without a sign.
    memory.store(64, of(0), type);
    memory.sub(64, of(1), type);
    const all = type[0] === 'i' ? -1n : 2n ** BigInt(bits) - 1n;
    equal(BigInt(memory.load(64, type)), all, type);
    equal(memory.load(64 + bits / 8, type), of(0), `${type} next door`);
  }
  memory.fence();
});

test('shared memory: what is outside or not aligned is an error, and changes nothing', async () => {
  const memory = new SharedMemory(1);
  const outside = await fails(() => memory.store(65536, 1));
  equal(
    [outside.name, outside.code, outside.message],
    ['MemoryError', 'OUT_OF_BOUNDS', '4 bytes at offset 0x10000 are not in a memory of 65536 bytes'],
  );
  equal([outside.offset, outside.length, outside.size], [65536, 4, 65536]);
  const askew = await fails(() => memory.add(6, 1));
  equal(
    [askew.code, askew.message],
    ['MISALIGNED', 'the offset 0x6 is not aligned: it must be a multiple of 4'],
  );
  for (const offset of [-4, 0.5, NaN, undefined, '4', 65533, 2 ** 40]) {
    equal((await fails(() => memory.read(offset))).code, 'OUT_OF_BOUNDS', String(offset));
  }
  equal((await fails(() => memory.load(0, 'i7'))).name, 'TypeError');
  equal((await fails(() => memory.load(0, 'f64'))).name, 'TypeError');
  equal((await fails(() => memory.store(0, 1, 'i64'))).name, 'TypeError');
  equal((await failure(memory.waitAsync(4, 0, -1))).name, 'RangeError');
  equal(memory.readBytes(0, 65536).every((byte) => byte === 0), true);
});

test('shared memory: growth is seen here, whoever grows', async () => {
  const memory = new SharedMemory(1, 3);
  const other = SharedMemory.of(memory.memory);
  const old = memory.view('i32', 0, 1);
  equal(memory.grow(1), 1);
  other.store(65536, 7);
  equal([memory.size, other.size], [131072, 131072]);
  equal(memory.load(65536), 7);
  memory.store(0, 3);
  equal(old[0], 3);
  equal((await fails(() => memory.grow(2))).message, 'the memory of 131072 bytes cannot grow by 2 pages: raise its maximum (--max-memory) or its limit');
  const at = memory.allocate(100, 64);
  equal([at >= 131072, at % 64, memory.allocate(4) >= at + 100], [true, 0, true]);
  equal((await fails(() => new SharedMemory(2, 1))).code, 'OUT_OF_MEMORY');
  equal((await fails(() => SharedMemory.of(new WebAssembly.Memory({ initial: 1 })))).name, 'TypeError');
});

test('shared memory: waits and notifies, also through an old view', async () => {
  const memory = new SharedMemory(1, 2);
  equal(await memory.waitAsync(64, 1), 'not-equal');
  equal(await memory.waitAsync(64, 0, 2), 'timed-out');
  equal(await memory.waitAsync(64, 1n), 'not-equal');
  equal(await memory.waitAsync(64, 0n, 2), 'timed-out');
  if (!hearsNotifies) return;
  const [narrow, wide] = [memory.waitAsync(64, 0), memory.waitAsync(128, 0n)];
  memory.grow(1);
  const other = SharedMemory.of(memory.memory);
  equal([other.notify(64), other.notify(128, 1), other.notify(64)], [1, 1, 0]);
  equal([await narrow, await wide], ['ok', 'ok']);
});

test('shared memory: it meets the waits of a guest', async () => {
  const process = new Process(await load(url('/text/reactor.wasm')));
  await process.start();
  const memory = SharedMemory.of(process);
  equal(memory.size, process.memory.buffer.byteLength);
  process.kill();
  await process.wait();
  equal((await fails(() => SharedMemory.of(process))).code, 'ENDED');
});

test('shared memory: a batch is done in its order', async () => {
  const memory = new SharedMemory(1);
  const batch = new AtomicBatch()
    .store(0, 10)
    .add(0, 5)
    .compareExchange(0, 15, -1)
    .load(0, 'u32')
    .sub(0, 1)
    .and(0, 12)
    .or(0, 1)
    .xor(0, 5)
    .exchange(0, 3)
    .fillRun(64, 100, 3n, 'u64')
    .addRun(64, [1n, 2n], 'u64')
    .loadRun(64, 3, 'u64')
    .storeRun(68, [1, 2])
    .load(64, 'i64');
  equal(batch.length, 14);
  equal(memory.run(batch), [undefined, 10, 15, 0xffffffff, -1, -2, 12, 13, 8, undefined, undefined, [4n, 5n, 3n], undefined, 4n + 2n ** 32n]);
  equal([memory.load(0), memory.load(72)], [3, 2]);
  equal(memory.run(batch.clear()), []);
});

test('shared memory: a batch that cannot be done changes nothing', async () => {
  const memory = new SharedMemory(1);
  const outside = await fails(() => memory.run(new AtomicBatch().store(0, 1).fillRun(65528, 3, 1)));
  equal(
    [outside.code, outside.index, outside.cause.code, outside.message],
    ['BATCH', 1, 'OUT_OF_BOUNDS', 'operation 1 of the batch cannot be done: 12 bytes at offset 0xfff8 are not in a memory of 65536 bytes'],
  );
  equal((await fails(() => memory.run(new AtomicBatch().add(0, 1).load(2)))).cause.code, 'MISALIGNED');
  equal(memory.load(0), 0);
});

test('shared memory: the host allocates while a guest does', async () => {
  const count = 6000;
  const process = new Process(await load(guest('heap')), {
    hostMemory: count * 8192,
    stdin: 'pipe',
    stdout: 'collect',
    stderr: 'collect',
  });
  await process.start();
  const memory = SharedMemory.of(process);
  const objects = [];
  while (objects.length < count) {
    const at = memory.allocate(8192);
    memory.fill(at, 8192, (objects.length % 255) + 1);
    objects.push(at);
    // The guest's threads are brought up by messages.
    if (objects.length % 100 === 0) await new Promise((done) => setTimeout(done, 1));
  }
  equal((await fails(() => memory.allocate(8192))).code, 'RESERVED');
  await process.stdin.getWriter().close();
  const isWhole = (at, number) => memory.readBytes(at, 8192).every((byte) => byte === (number % 255) + 1);
  const status = await process.wait();
  check(status.kind === 'exited' && status.code === 0, JSON.stringify(status) + text(process.stderrBytes));
  equal(objects.filter((at, number) => !isWhole(at, number)).length, 0);
});

test('shared memory: a process has no more for the host than is reserved', async () => {
  const grows = (body) => `(module (import "env" "memory" (memory 1 8 shared))
    (data (i32.const 0) "x") (func (export "f") ${body}))`;
  const program = await load(await wat(grows('(drop (memory.grow (i32.const 1)))')));
  const process = new Process(program, { hostMemory: 65536 });
  const memory = SharedMemory.of(process);
  equal([memory.size, memory.allocate(65536)], [131072, 65536]);
  equal((await fails(() => memory.allocate(1))).code, 'RESERVED');
  // All handles have the same bytes.
  equal((await fails(() => SharedMemory.of(process).allocate(1))).code, 'RESERVED');
  equal((await fails(() => new Process(program, { hostMemory: 8 * 65536 }))).code, 'OUT_OF_MEMORY');
  process.kill();

  // One that never grows its memory is known by its rewritten form.
  const still = await load(await wat(grows('')), { deadlockDetection: true });
  const quiet = new Process(still);
  equal(SharedMemory.of(quiet).allocate(16), 65536);
  quiet.kill();
});
