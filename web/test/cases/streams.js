// Standard streams.

import { load, Process } from '../../index.js';
import { check, equal, guest, pause, test, text, wat } from '../harness.js';
import { onStage, play, plot } from '../plots.js';

test('streams: a read that blocks holds nobody else up', async () => {
  const process = new Process(await load(guest('stdio')), { stdin: 'pipe', stdout: 'pipe', stderr: 'collect' });
  await process.start();
  const reader = process.stdout.getReader();
  const decoder = new TextDecoder();
  let output = '';
  const readUntil = async (mark) => {
    while (!output.includes(mark)) {
      const { value, done } = await reader.read();
      if (done) break;
      output += decoder.decode(value, { stream: true });
    }
  };
  // It ticks while nothing comes in.
  await readUntil('tick 5\n');
  const writer = process.stdin.getWriter();
  await writer.write('one\n');
  await writer.write(new TextEncoder().encode('two\nthree'));
  await readUntil('tick 9\n');
  await writer.close();
  await readUntil('ok stdio\n');
  equal(await process.wait(), { kind: 'exited', code: 0 });
  check(/echo one\necho two\necho three\nlines=3 bytes=14\nok stdio\n$/.test(output), output);
  equal(text(process.stderrBytes), '3 lines on stderr\n');
});

test('streams: input of all kinds, larger than a ring', async () => {
  const program = await load(guest('stdio'));
  const line = `${'x'.repeat(99)}\n`;
  const long = line.repeat(3000);
  const bytes = new TextEncoder().encode(long);
  const inputs = [{ text: long }, bytes, new Blob([bytes]), new Blob([bytes]).stream()];
  for (const stdin of inputs) {
    const process = new Process(program, { stdin, stdout: 'collect', stderr: 'null' });
    await process.run();
    check(text(process.stdoutBytes).includes('lines=3000 bytes=300000\n'), text(process.stdoutBytes).slice(-100));
  }
  const process = new Process(program, { stdout: 'collect', stderr: 'null' });
  await process.run();
  check(text(process.stdoutBytes).includes('lines=0 bytes=0\n'));
});

/** Subscriptions to the time that it is already, and one whose answer has no place. */
const POLLS = `
  (func (export "wasi_thread_start") (param i32 i32))
  (func (export "_start")
    (drop (memory.grow (i32.const 10)))
    (call $say (call $poll (i32.const 65536) (i32.const 458752) (i32.const 8000) (i32.const 160)))
    (call $say (i32.load (i32.const 160)))
    (call $say (call $poll (i32.const 65536) (i32.const 458752) (i32.const 65537) (i32.const 160)))
    (call $say (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const -2))))`;

test('streams: polls of thousands, and what cannot be answered is refused before it waits', async () => {
  const [INVAL, FAULT] = [28, 21];
  const { heard } = await play(await plot(POLLS));
  equal(heard, [0, 8000, INVAL, FAULT]);
});

/** Writes a megabyte in blocks of 4 KiB, and says that it has. */
const TALK = `
  (func (export "wasi_thread_start") (param i32 i32))
  (func (export "_start") (local $n i32)
    (loop
      (if (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200)) (then unreachable))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $n) (i32.const 256))))
    (call $say (i32.const 1)))`;

test('streams: a pipe that nobody reads makes the guest wait, and loses nothing', async () => {
  const { process, stage } = onStage(await plot(TALK), { stdout: 'pipe' });
  await process.start();
  await pause(50);
  equal(stage.heard(), []);
  let length = 0;
  for (const reader = process.stdout.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) break;
    length += value.length;
  }
  equal(length, 1 << 20);
  equal((await process.wait()).kind, 'exited');
});

test('streams: functions and streams take output', async () => {
  const program = await plot(TALK);
  let length = 0;
  const { process } = onStage(program, { stdout: (bytes) => (length += bytes.length) });
  await process.run();
  equal(length, 1 << 20);
  length = 0;
  let isClosed = false;
  const target = new WritableStream({
    write: async (bytes) => {
      await pause(0);
      length += bytes.length;
    },
    close: () => void (isClosed = true),
  });
  const { process: second } = onStage(program, { stdout: target });
  await second.run();
  while (!isClosed) await pause(1);
  equal(length, 1 << 20);
});

test('streams: descriptors of streams can be closed and moved', async () => {
  const program = await plot(`
    (func (export "wasi_thread_start") (param i32 i32))
    (func $write_to (param $fd i32) (result i32)
      (call $fd_write (local.get $fd) (i32.const 192) (i32.const 1) (i32.const 200)))
    (func (export "_start")
      (call $say (call $write_to (i32.const 1)))
      (call $say (call $fd_renumber (i32.const 1) (i32.const 2)))
      (call $say (call $write_to (i32.const 1)))
      (call $say (call $write_to (i32.const 2)))
      (call $say (call $fd_close (i32.const 2)))
      (call $say (call $write_to (i32.const 2)))
      (call $say (call $fd_close (i32.const 2)))
      (call $say (call $write_to (i32.const 0)))
      (call $say (call $write_to (i32.const -1))))`);
  const { process, stage } = onStage(program, { stdout: 'collect', stderr: 'collect' });
  await process.run();
  const [OK, BADF] = [0, 8];
  equal(stage.heard(), [OK, OK, BADF, OK, OK, BADF, BADF, BADF, BADF]);
  // What is moved stays what it was: standard output, twice written.
  equal([process.stdoutBytes.length, process.stderrBytes.length], [8192, 0]);
});

/** As wherever WASI is: what the module exports as `memory` is what it works on. */
test('streams: WASI works on the memory that is exported', async () => {
  const writes = (memories, of) => `(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    ${memories}
    (func (export "_start")
      (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)) (then unreachable)))
    (data (memory ${of}) (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00hello\\n"))`;
  const shapes = [
    ['(import "env" "s" (memory $s 1 1 shared)) (memory $own (export "memory") 1)', '$own'],
    ['(import "env" "t" (memory $t 1 1 shared)) (import "env" "s" (memory $s 1 1 shared)) (export "memory" (memory $s))', '$s'],
    ['(memory $own 1) (memory $s 1 1 shared) (export "memory" (memory $s))', '$s'],
    ['(memory $own 1) (memory $s 1 1 shared) (export "memory" (memory $own))', '$own'],
    ['(import "env" "s" (memory $s 1 1 shared)) (memory $own (export "other") 1)', '$s'],
  ];
  for (const [memories, of] of shapes) {
    for (const deadlockDetection of [false, true]) {
      const bytes = await wat(writes(memories, of));
      // Not every host has more than one memory.
      if (!WebAssembly.validate(bytes)) return;
      const program = await load(bytes, { deadlockDetection });
      const process = new Process(program, { stdout: 'collect' });
      equal(await process.run(), { kind: 'exited', code: 0 }, memories);
      equal(text(process.stdoutBytes), 'hello\n', memories);
    }
  }
});
