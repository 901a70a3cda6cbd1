// What the user gives may throw, never answer, answer twice, or after the end: nothing hangs, and
// each error reaches the user as what it is, once.

import { Engine, load, Mutex, Process, SharedMemory, ThreadRuntime } from '../../index.js';
import { browsers, check, equal, failure, guest, hearsNotifies, host, nodeLike, nodeOnly, notBun, pause, test, text, until, url, wat, withHandles } from '../harness.js';
import { COMPUTE, crowd, onStage, plot, WAIT } from '../plots.js';

const IDLE = '(func (export "wasi_thread_start") (param i32 i32))';

/** Writes a megabyte in blocks of 4 KiB, and says that it has. */
const TALK = `${IDLE}
  (func (export "_start") (local $n i32)
    (loop
      (if (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200)) (then unreachable))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $n) (i32.const 256))))
    (call $say (i32.const 1)))`;

/** Reads standard input to its end, and says that it has. */
const LISTEN = `${IDLE} (func (export "_start") (call $read) (call $say (i32.const 1)))`;

const exited = { kind: 'exited', code: 0 };

/** A script of the option `imports`. */
const script = (body) => `data:text/javascript,${encodeURIComponent(`export default ${body}`)}`;

/** What breaks the promise of a run: its code, and what it says. */
async function broken(run, code, ...parts) {
  const error = await failure(run);
  equal(error.code, code, error.message);
  for (const part of parts) check(error.message.includes(part), `"${part}" is not in: ${error.message}`);
  return error;
}

// ---- Callbacks ----

test('boundaries: a function that takes output and throws ends the program, once', async () => {
  const program = await plot(TALK);
  const now = [() => { throw 1; }, () => ({ then: (_, no) => (no(1), no(2)) })];
  // Until its promise is broken it is called for what comes meanwhile.
  const later = async () => { throw 1; };
  for (const fail of [...now, later]) {
    let calls = 0;
    const { process } = onStage(program, { stdout: () => (calls++, fail()) });
    const { cause } = await broken(process.run(), 'CALLBACK', 'stdout failed: 1');
    equal([cause, calls === 1 || fail === later, process.isOver], [1, true, true]);
    equal(await broken(process.wait(), 'CALLBACK').then(() => process.threads()), []);
  }
});

test('boundaries: so does one that throws at the very end', async () => {
  const program = await plot(`${IDLE} (func (export "_start") (drop (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200))))`);
  const { process } = onStage(program, { stdout: () => { throw new Error('full'); } });
  await broken(process.run(), 'CALLBACK', 'full');
});

test('boundaries: a function whose promise is never kept, or that calls back, holds nothing up', async () => {
  const program = await plot(TALK);
  equal(await onStage(program, { stdout: () => new Promise(() => {}) }).process.run(), exited);
  const { process } = onStage(program, { stdout: () => process.kill() });
  equal((await process.run()).kind, 'killed');
});

test('boundaries: a listener that throws ends the program, once', async () => {
  const { process } = onStage(await crowd(2, WAIT), { trace: true });
  let calls = 0;
  process.on('thread', () => {
    calls += 1;
    throw new Error('no ear');
  });
  await broken(process.run(), 'CALLBACK', 'thread', 'no ear');
  equal(calls, 1);
  equal((await failure(Promise.resolve().then(() => process.on('thread', 5)))).name, 'TypeError');
});

// ---- Host functions of the user's ----

test('boundaries: a host function that throws is no trap of the guest', async () => {
  const make = (throws) => script(`() => ({ my: { f() { throw ${throws} } } })`);
  const program = await load(await wat('(module (import "my" "f" (func $f)) (func (export "_start") (call $f)))'));
  const run = (imports) => new Process(program, { imports }).run();
  await broken(run(make('new Error("no stage")')), 'HOST_FUNCTION', 'no stage');
  await broken(run(make('Object.create(null)')), 'HOST_FUNCTION', 'cannot be shown');
  equal((await run(make('new WebAssembly.RuntimeError("mine")'))).kind, 'trapped');
}, notBun);

test('boundaries: a script of imports that never answers can be killed', async () => {
  const { process } = onStage(await crowd(1, WAIT));
  const waits = new Process(await crowd(1, WAIT), { imports: script('() => new Promise(() => {})') });
  await waits.start();
  await pause(20);
  waits.kill();
  equal((await waits.wait()).kind, 'killed');
  process.kill();
});

test('boundaries: messages of the user\'s scripts are not taken for ours', async () => {
  const noise = `async ({ data }) => {
    const port = globalThis.process?.getBuiltinModule?.('node:worker_threads').parentPort ?? globalThis;
    const post = (globalThis.spoken ??= port.postMessage.bind(port));
    for (const message of [null, undefined, 5, 'text', [], {}, { started: true }, { left: {} }, { ending: {} }, { threadwork: null }]) post(message);
    globalThis.onmessage = () => {};
    globalThis.postMessage = () => { throw new Error('not yours'); };
    return { my: { f() {} } };
  }`;
  const program = await load(await wat('(module (import "my" "f" (func $f)) (func (export "_start") (call $f)))'));
  for (let round = 0; round < 3; round++) equal(await new Process(program, { imports: script(noise) }).run(), exited);
}, notBun);

// ---- Streams ----

test('boundaries: input that fails ends the program, and says so once', async () => {
  const program = await plot(LISTEN);
  const error = new Error('no line');
  const sources = [
    [new ReadableStream({ pull: () => { throw error; } }), 'no line'],
    [new ReadableStream({ start: (controller) => controller.error(error) }), 'no line'],
    [new ReadableStream({ start: (controller) => controller.enqueue({ length: 4 }) }), 'neither bytes nor text'],
    [{ getReader: () => ({ read: () => { throw error; }, cancel: () => { throw error; } }) }, 'no line'],
  ];
  for (const [stdin, part] of sources) {
    const { process } = onStage(program, { stdin });
    await broken(process.run(), 'CALLBACK', 'stdin failed', part);
  }
});

test('boundaries: input that never comes does not hold up the end, and what comes later is dropped', async () => {
  const { process, stage } = onStage(await plot(`${IDLE} (func (export "_start") (call $say (i32.const 0)) (call $read))`), {
    stdin: new ReadableStream({ pull: () => new Promise(() => {}), cancel: () => new Promise(() => {}) }),
  });
  await process.start();
  await stage.hear();
  process.kill();
  equal((await process.wait()).kind, 'killed');
  const piped = new Process(await plot(LISTEN), { stdin: 'pipe', imports: script('() => ({ stage: { say() {}, open() {} } })') });
  const writer = piped.stdin.getWriter();
  await piped.start();
  piped.kill();
  await piped.wait();
  await writer.write(new Uint8Array(1 << 20));
  await writer.close();
});

test('boundaries: a chunk that is no bytes is the writer\'s error, and the end of the input', async () => {
  const { process } = onStage(await plot(LISTEN), { stdin: 'pipe' });
  const running = process.run();
  const error = await failure(process.stdin.getWriter().write(5));
  equal(error.name, 'TypeError');
  equal(await running, exited);
});

test('boundaries: bytes and text of every kind are input', async () => {
  const program = await load(guest('stdio'));
  const chunks = ['a\n', new TextEncoder().encode('b\n'), new TextEncoder().encode('c\n').buffer, new DataView(new TextEncoder().encode('xd\n').buffer, 1)];
  const stdin = new ReadableStream({ start: (to) => (chunks.forEach((chunk) => to.enqueue(chunk)), to.close()) });
  const process = new Process(program, { stdin, stdout: 'collect', stderr: 'null' });
  await process.run();
  check(text(process.stdoutBytes).includes('lines=4 bytes=8\n'), text(process.stdoutBytes));
});

test('boundaries: sources and targets that are none are refused at once', async () => {
  const program = await load(guest('hello'));
  const locked = new ReadableStream();
  locked.getReader();
  const written = new WritableStream();
  written.getWriter();
  const bad = [{ stdin: locked }, { stdin: 5 }, { stdin: 'nowhere' }, { stdin: {} }, { stdin: { text: 5 } }, { stdout: written }, { stdout: {} }, { stderr: null }];
  for (const options of bad) {
    equal((await failure(Promise.resolve().then(() => new Process(program, options)))).name, 'TypeError');
  }
});

test('boundaries: whoever stops to read forgets the rest of the output', async () => {
  const program = await plot(TALK);
  const isFull = (process) => until(() => process.threads().some(({ activity }) => activity === 'host-call'));
  {
    const { process } = onStage(program, { stdout: 'pipe' });
    await process.start();
    await isFull(process);
    await process.stdout.cancel();
    equal(await process.wait(), exited);
  }
  let fail;
  const failing = () => new WritableStream({ write: () => new Promise((_, no) => (fail = no)) });
  for (const pipes of [false, true]) {
    const { process } = onStage(program, { stdout: pipes ? 'pipe' : failing() });
    if (pipes) process.stdout.pipeTo(failing()).catch(() => {});
    await process.start();
    await isFull(process);
    await until(() => fail);
    fail(new Error('disk full'));
    equal(await process.wait(), exited);
    fail = undefined;
  }
});

test('boundaries: a target that never takes or ends holds up nothing but the guest', async () => {
  const target = new WritableStream({ write: () => new Promise(() => {}), close: () => new Promise(() => {}) });
  const { process } = onStage(await plot(TALK), { stdout: target });
  await process.start();
  await until(() => process.threads().some(({ activity }) => activity === 'host-call'));
  process.kill();
  equal((await process.wait()).kind, 'killed');
});

test('boundaries: a cancelled task that is blocked in a stream comes back', async () => {
  const body = `${IDLE} (func (export "read") (call $read)) (func (export "write") (loop (call $write) (br 0))) (func (export "one") (result i32) (i32.const 1))`;
  const program = await plot(body);
  const imports = script('() => ({ stage: { say() {}, open() {} } })');
  for (const name of ['read', 'write']) {
    const runtime = new ThreadRuntime(program, { poolSize: 2, imports, stdin: 'pipe', stdout: 'pipe' });
    await runtime.start();
    // The second waits for what the first holds.
    const tasks = [runtime.execute(name), runtime.execute(name)];
    await until(() => runtime.workers.every(({ state }) => state === 'busy'));
    await pause(50);
    for (const task of tasks.reverse()) {
      check(task.cancel());
      await broken(task, 'CANCELLED');
    }
    equal(await runtime.execute('one'), 1);
    await runtime.shutdownNow();
  }
});

// ---- Messages ----

test('boundaries: what cannot be sent breaks the run, and the next one goes on', async () => {
  const program = await load(guest('hello'));
  for (const options of [{ data: () => {} }, { preopens: { '/d': { 'a.txt': () => 'later' } } }, { data: { get a() { throw new Error('no data'); } } }]) {
    const process = new Process(program, { stdout: 'null', ...options });
    await broken(process.run(), 'DATA', '`data`');
  }
  equal(await new Process(program, { stdout: 'null' }).run(), exited);
});

test('boundaries: a start that is killed is over at once', async () => {
  const program = await load(guest('hello'));
  const engine = new Engine();
  const process = new Process(program, { engine, stdout: 'null' });
  const running = process.run();
  process.kill();
  equal((await running).kind, 'killed');
  process.kill();
  equal((await running).kind, 'killed');
  await broken(process.call('_start'), 'COMMAND');
  await engine.close();
});

test('boundaries: an engine that is closed while it starts says so at once', async () => {
  const program = await load(guest('hello'));
  const engine = new Engine();
  const running = new Process(program, { engine, stdout: 'null' }).run();
  const reading = new Process(program, { engine, stdout: 'null', preopens: { '/a': {} } });
  const run = reading.run();
  const read = reading.readFile('/elsewhere');
  const warming = engine.warmUp();
  const closed = engine.close();
  for (const promise of [running, run, read, warming]) await broken(promise, 'WORKER', 'closed');
  await closed;
  await engine.close();
  await broken(new Process(program, { engine }).run(), 'CLOSED');
});

// ---- Files ----

test('boundaries: files can be read before the directories are open, and after the end', async () => {
  const program = await load(guest('hello'));
  const process = new Process(program, { stdout: 'null', preopens: { '/m': { a: 'text' } } });
  await broken(process.readFile('/m/a'), 'NOT_STARTED');
  const running = process.run();
  equal(text(await process.readFile('/m/a')), 'text');
  await running;
  equal(text(await process.readFile('/m/a')), 'text');
  await broken(process.readFile('/m/b'), 'FILE', 'no such file');
  await broken(process.readFile('/elsewhere'), 'FILE', 'no such file');
  await broken(process.writeFile('/m/a', 'more'), 'ENDED');
  equal((await failure(process.writeFile('/m/a', 5))).name, 'TypeError');
});

test('boundaries: real directories outlive a process', async () => {
  const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const folder = mkdtempSync(`${tmpdir()}/threadwork-`);
  writeFileSync(`${folder}/a`, 'text');
  const process = new Process(await load(guest('hello')), { stdout: 'null', preopens: { '/d': folder } });
  await process.run();
  equal(text(await process.readFile('/d/a')), 'text');
  await process.writeFile('/d/b', 'new');
  equal(text(await process.readFile('/d/b')), 'new');
  rmSync(folder, { recursive: true });
}, nodeOnly);

test('boundaries: a file of the origin-private file system is read by many at once, also after the end', async () => {
  const root = await navigator.storage.getDirectory();
  const process = new Process(await load(guest('hello')), { stdout: 'null', preopens: { '/k': root } });
  const running = process.run();
  await process.writeFile('/k/boundaries', 'text');
  const read = () => Promise.all(Array.from({ length: 8 }, () => process.readFile('/k/boundaries').then(text)));
  equal(new Set(await read()), new Set(['text']));
  await running;
  equal([...new Set(await read())], ['text']);
  await root.removeEntry('boundaries');
}, withHandles);

// ---- Options ----

test('boundaries: times of any length are waited for, and what is no time is refused', async () => {
  const program = await plot(`${IDLE} (func (export "_start") (call $until_open))`);
  const hello = await load(guest('hello'));
  for (const wallTime of [2 ** 31, 2 ** 40, Infinity]) {
    const { process, stage } = onStage(program, { limits: { wallTime } });
    const running = process.run();
    await pause(50);
    equal(process.status, null);
    stage.open();
    equal(await running, exited);
  }
  const engine = new Engine({ startTimeout: Infinity, idleTimeout: 2 ** 31 });
  equal(await new Process(hello, { engine, stdout: 'null' }).run(), exited);
  await engine.close();
  for (const wrong of [NaN, -1, '5', 5n]) {
    for (const make of [
      () => new Process(hello, { limits: { wallTime: wrong } }),
      () => new Engine({ startTimeout: wrong }),
      () => new Engine({ idleTimeout: wrong }),
      () => new Engine({ keepWorkers: wrong }),
    ]) {
      equal((await failure(Promise.resolve().then(make))).name, 'RangeError');
    }
  }
});

test('boundaries: arguments and variables that would be cut off are refused', async () => {
  const program = await load(guest('hello'));
  for (const options of [{ args: ['a\0b'] }, { env: { A: 'b\0c' } }, { env: { 'A=B': '1' } }, { env: { '': '1' } }]) {
    equal((await failure(new Process(program, options).run())).name, 'TypeError');
  }
});

test('boundaries: idle workers are given back after a while', async () => {
  const { readdirSync } = await import('node:fs');
  const threads = () => readdirSync('/proc/self/task').length;
  const engine = new Engine({ keepWorkers: 4, idleTimeout: 500 });
  const program = await load(guest('hello'));
  // None is left of the first run, and the next one works all the same.
  for (let round = 0; round < 2; round++) {
    const before = threads();
    equal(await new Process(program, { engine, stdout: 'null' }).run(), exited);
    await until(() => threads() >= before + 4);
    await until(() => threads() <= before + 1);
  }
  await engine.close();
}, nodeOnly);

// ---- URLs ----

test('boundaries: worker scripts as URL and as text, of one engine only', async () => {
  const program = await load(guest('hello'));
  const source = new URL('../../src/worker.js', import.meta.url);
  const others = new Engine();
  const running = new Process(await crowd(1, WAIT), { engine: others, imports: script('() => ({ stage: { say() {}, open() {} } })') });
  await running.start();
  for (const form of [(it) => it, String]) {
    const engine = new Engine({ workerUrl: form(source) });
    equal(await new Process(program, { engine, stdout: 'null' }).run(), exited);
    await engine.close();
  }
  const engine = new Engine({ workerUrl: new URL('nowhere.js', source) });
  for (let round = 0; round < 2; round++) await broken(new Process(program, { engine }).run(), 'WORKER');
  await engine.close();
  equal(running.status, null);
  running.kill();
  await running.wait();
  await others.close();
});

test('boundaries: a worker that never starts is made again', async () => {
  const engine = new Engine({ workerUrl: url(`/stalls/${crypto.randomUUID()}`), keepWorkers: 1, startTimeout: 20_000 });
  equal(await new Process(await load(guest('fib-single')), { engine, stdout: 'null', poolSize: 0 }).run(), exited);
  await engine.close();
}, browsers);

/** Chromium lets workers that compute go on for two seconds, and then may not start another. */
test('boundaries: processes start while others are being ended', async () => {
  const [computes, hello] = [await crowd(3, COMPUTE), await load(guest('hello'))];
  // How long a start takes on a busy machine is not the question.
  const engine = new Engine({ startTimeout: Infinity });
  let ended = [];
  for (let round = host.isFull ? 60 : 3; round > 0; round--) {
    const { process, stage } = onStage(computes, { engine });
    await process.start();
    await stage.hear(4);
    process.kill();
    ended.push(process.wait());
    equal(await new Process(hello, { engine, stdout: 'null' }).run(), exited);
    if (ended.length === 2) ended = (await Promise.all(ended), []);
  }
  await Promise.all(ended);
  await engine.close();
}, { computes: true });

test('boundaries: names and types of every kind', async () => {
  for (const [name, told] of [['50%25off', '50%off'], ['a%20b', 'a b'], ['%E9', '%E9'], ['x?q=50%', 'x']]) {
    const { name: found } = await load(new Response(await wat('(module)'), { headers: { 'Content-Type': 'application/wasm; charset=utf-8' } }), {
      name: (await load(url(`/typed/${name}`))).name,
    });
    equal(found, told);
  }
});

test('boundaries: paths are no URLs', async () => {
  const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { pathToFileURL } = await import('node:url');
  const folder = mkdtempSync(`${tmpdir()}/threadwork-`);
  const bytes = await wat('(module)');
  for (const name of ['100%.wasm', 'a%zz.wasm', 'c#d.wasm', 'e?f.wasm', 'ä b.wasm']) {
    const path = `${folder}/${name}`;
    writeFileSync(path, bytes);
    for (const source of [path, pathToFileURL(path), pathToFileURL(path).href]) equal((await load(source)).name, name);
  }
  rmSync(folder, { recursive: true });
}, nodeOnly);

test('boundaries: a body that breaks off is an error of loading', async () => {
  const breaks = () => new ReadableStream({ pull: (controller) => controller.error(new Error('cut')) });
  await broken(load(new Response(breaks(), { headers: { 'Content-Type': 'application/wasm' } })), 'FETCH');
  const used = new Response(await wat('(module)'));
  await used.arrayBuffer();
  await broken(load(used), 'FETCH');
  equal((await failure(load(5))).name, 'TypeError');
});

// ---- Calls and results ----

test('boundaries: a call may have more results than a seat holds', async () => {
  const count = 40;
  const numbers = Array.from({ length: count }, (_, n) => n);
  const program = await load(await wat(`(module (memory (export "memory") 1 4 shared) (global (export "__stack_pointer") (mut i32) (i32.const 65536))
    (func (export "many") (result ${'i32 '.repeat(count)} i64) ${numbers.map((n) => `(i32.const ${n})`).join(' ')} (i64.const -1))
    (func (export "one") (param i32) (result i32) (local.get 0)))`));
  const runtime = new ThreadRuntime(program, { poolSize: 2, stackSize: 1024 });
  for (let round = 0; round < 10; round++) {
    const [many, one] = await Promise.all([runtime.execute('many'), runtime.execute('one', round)]);
    equal([many, one], [[...numbers, -1n], round]);
  }
  await runtime.shutdown();
});

test('boundaries: arguments of every kind are numbers, or an error of the call', async () => {
  const process = new Process(await load(await wat('(module (func (export "one") (param i32) (result i32) (local.get 0)))')));
  const bad = { valueOf: () => { throw new Error('no number'); } };
  await broken(process.call('one', bad).catch((error) => Promise.reject(Object.assign(error, { code: 'OWN' }))), 'OWN', 'no number');
  equal([await process.call('one', '7'), await process.call('one', true)], [7, 1]);
  process.kill();
  await broken(process.call('one', 1), 'ENDED');
});

test('boundaries: no room for a worker\'s stack is said to all who call', async () => {
  const program = await load(await wat('(module (memory (export "memory") 1 2 shared) (global (export "__stack_pointer") (mut i32) (i32.const 65536)) (func (export "f")))'));
  const runtime = new ThreadRuntime(program, { poolSize: 2, stackSize: 1 << 20 });
  await broken(runtime.execute('f'), 'OUT_OF_MEMORY', 'stack');
  await broken(runtime.process.wait(), 'OUT_OF_MEMORY');
  equal(runtime.workers, [{ state: 'terminated' }, { state: 'terminated' }]);
});

test('boundaries: objects of one memory share its pages', async () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
  for (let n = 0; n < 1000; n++) new Mutex(memory);
  equal(memory.grow(0), 2);
  check(SharedMemory.of(memory) === SharedMemory.of(memory));
});

test('boundaries: a promise with a time keeps Node alive until then', async () => {
  const { execFile } = await import('node:child_process');
  const sync = new URL('../../sync.js', import.meta.url).href;
  const run = (body) => new Promise((done) => {
    const source = `import { Mutex, SharedMemory } from ${JSON.stringify(sync)}; const mutex = new Mutex(new SharedMemory(1, 2)); mutex.tryLock(); ${body}`;
    execFile(globalThis.process.execPath, ['--input-type=module', '-e', source], (error, out) => done([out.trim(), error?.code ?? 0]));
  });
  equal(await run('console.log(await mutex.lockAsync(100))'), ['false', 0]);
  // With a very long one, it is not over at once.
  equal(await run('const late = mutex.lockAsync(2 ** 33); setTimeout(() => mutex.unlock(), 100); console.log(await late)'), ['true', 0]);
}, nodeOnly);

test('boundaries: what two programs read of Node\'s input, and what the encoding is', async () => {
  const { spawn } = await import('node:child_process');
  const index = new URL('../../index.js', import.meta.url).href;
  for (const setting of ['', 'process.stdin.setEncoding("utf8");']) {
    const source = `import { load, Process } from ${JSON.stringify(index)}; ${setting}
      const program = await load(${JSON.stringify(guest('stdio'))});
      for (let n = 0; n < 2; n++) {
        const child = new Process(program, { stdin: 'inherit', stdout: 'collect', stderr: 'null' });
        const { kind } = await child.run();
        console.log(kind, /lines.*/.exec(new TextDecoder().decode(child.stdoutBytes))[0]);
      }`;
    const child = spawn(globalThis.process.execPath, ['--input-type=module', '-e', source], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end('hällo\n');
    let out = '';
    for await (const chunk of child.stdout) out += chunk;
    equal(out, 'exited lines=1 bytes=7\nexited lines=0 bytes=0\n');
  }
}, nodeOnly);

test('boundaries: Node\'s input is left alone by a program that does not look at it', async () => {
  const { execFile } = await import('node:child_process');
  const index = new URL('../../index.js', import.meta.url).href;
  const source = `import { load, Process } from ${JSON.stringify(index)};
    await new Process(await load(${JSON.stringify(guest('hello'))}), { stdin: 'inherit', stdout: 'null' }).run();`;
  // A loop over lines whose programs have the same input.
  const loop = 'n=0; while read -r _; do "$0" --input-type=module -e "$1" || exit; n=$((n+1)); done; echo $n';
  const out = await new Promise((done) => {
    const child = execFile('sh', ['-c', loop, globalThis.process.execPath, source], (error, out) => done(error ?? out));
    child.stdin.end('a\nb\nc\n');
  });
  equal(out, '3\n');
}, nodeOnly);

test('boundaries: Node ends although a message could not be sent', async () => {
  const { execFile } = await import('node:child_process');
  const index = new URL('../../index.js', import.meta.url).href;
  const source = `import { load, Process } from ${JSON.stringify(index)};
    const process_ = new Process(await load(${JSON.stringify(guest('hello'))}), { data: () => {} });
    console.log(await process_.run().catch(({ code }) => code));`;
  const outcome = await new Promise((done) => {
    execFile(globalThis.process.execPath, ['--input-type=module', '-e', source], { timeout: 30_000 }, (error, out) => done([out.trim(), error?.code ?? 0]));
  });
  equal(outcome, ['DATA', 0]);
}, nodeOnly);

test('boundaries: a host that ends by itself does not while a program is loaded', async () => {
  const { execFile } = await import('node:child_process');
  const { writeFileSync, mkdtempSync, rmSync } = await import('node:fs');
  const { join } = await import('node:path');
  const { tmpdir } = await import('node:os');
  const folder = mkdtempSync(join(tmpdir(), 'threadwork-load-'));
  // Nothing waits for it at the top level.
  writeFileSync(join(folder, 'main.cjs'), `import(${JSON.stringify(new URL('../../index.js', import.meta.url).href)})
    .then(({ load }) => load(${JSON.stringify(guest('std-sync'))}))
    .then(() => console.log('loaded'));`);
  const out = await new Promise((done) => {
    execFile(globalThis.process.execPath, [join(folder, 'main.cjs')], { timeout: 30_000 }, (_, text) => done(text));
  });
  rmSync(folder, { recursive: true });
  equal(out, 'loaded\n');
}, { hosts: ['node', 'bun'] });

test('boundaries: a host that ends by itself does when all is done', async () => {
  const { execFile } = await import('node:child_process');
  const { writeFileSync, mkdtempSync, rmSync } = await import('node:fs');
  const { join } = await import('node:path');
  const { tmpdir } = await import('node:os');
  const folder = mkdtempSync(join(tmpdir(), 'threadwork-end-'));
  const index = new URL('../../index.js', import.meta.url).href;
  const flags = globalThis.Deno ? ['run', '--allow-all', '--no-config'] : [];
  const endings = (options, meanwhile) => `
    const program = await load(${JSON.stringify(guest('endings'))}, ${JSON.stringify(options)});
    const ending = new Process(program, { args: ['main', 'return', '${meanwhile}'], stdout: 'null' });
    console.log((await ending.run()).kind);`;
  const ways = [
    endings({}, 'wait'),
    endings({ stoppable: true }, 'compute'),
    `await new Engine().warmUp();
     const mutex = new Mutex(new SharedMemory(1, 2));
     await mutex.lockAsync();
     console.log(await mutex.lockAsync(AbortSignal.timeout(50)).catch(() => 'exited'));`,
  ];
  for (const [n, way] of ways.entries()) {
    const main = join(folder, `${n}.mjs`);
    writeFileSync(main, `import { Engine, load, Mutex, Process, SharedMemory } from ${JSON.stringify(index)};\n${way}`);
    const outcome = await new Promise((done) => {
      execFile(globalThis.process.execPath, [...flags, main], { timeout: 50_000 }, (error, out) => done([out, error?.code ?? 0]));
    });
    equal(outcome, ['exited\n', 0], way);
  }
  rmSync(folder, { recursive: true });
}, nodeLike);

test('boundaries: real directories are refused where they would leak', async () => {
  const program = await load(guest('hello'));
  for (const path of ['/tmp', new URL('.', import.meta.url)]) {
    const error = await failure(new Process(program, { preopens: { '/d': path } }).run());
    check(error.name === 'TypeError' && error.message.includes('Node only'), error.message);
  }
}, { hosts: ['deno', 'bun'] });

test('boundaries: a rewriter that fails is not asked again, and no other is taken for it', async () => {
  const source = await wat(`(module (memory (export "memory") 64)
    (func (export "allocate") (param i32) (result i32) (i32.const 0))
    (func (export "rewrite") (param i32) (result i32) unreachable))`);
  const rewriterUrl = `data:application/wasm;base64,${btoa(String.fromCharCode(...source))}`;
  const options = { deadlockDetection: true };
  const bytes = await (await fetch(guest('hello'))).arrayBuffer();
  for (let round = 0; round < 2; round++) {
    equal((await failure(load(bytes, { ...options, rewriterUrl }))).code, 'REWRITER');
    check((await load(bytes, options)).isObserved);
  }
  equal((await failure(load(bytes, { ...options, rewriterUrl: url('/nowhere') }))).code, 'REWRITER');
});

test('boundaries: wait() is kept when the threads are gone', async () => {
  const { process, stage } = onStage(await plot(`${IDLE} (func (export "_start") (call $say (i32.const 0)) (loop (drop (i32.atomic.rmw.add (i32.const 300) (i32.const 1))) (br 0)))`));
  await process.start();
  await stage.hear();
  const { memory } = process;
  process.kill();
  await process.wait();
  const words = new Int32Array(memory.buffer);
  const before = Atomics.load(words, 75);
  await pause(100);
  equal(Atomics.load(words, 75), before);
}, { computes: true });

test('boundaries: the service worker isolates the pages that it is told to, leaves redirects alone, and can be taken back', async () => {
  const answers = new BroadcastChannel('site');
  const heard = () => new Promise((resolve) => (answers.onmessage = ({ data }) => resolve(data)));
  let answer = heard();
  open(url('/site/page.html'));
  equal(await answer, { isolated: true, at: 'new.js', other: true, isOtherIsolated: 'not shown', released: true });
  answer = heard();
  open(url('/site/page.html#after'));
  equal(await answer, { isolated: false, at: 'new.js', other: true, isOtherIsolated: false });
  answers.close();
}, browsers);

test('boundaries: an AudioWorklet, which may not block and has no timers, is told so', async () => {
  const memory = new SharedMemory(1, 16);
  const mutex = new Mutex(memory);
  const context = new OfflineAudioContext(1, 44_100, 44_100);
  await context.audioWorklet.addModule(url('/test/scripts/worklet.js'));
  const node = new AudioWorkletNode(context, 'meet', { processorOptions: { memory: memory.memory, offset: mutex.offset } });
  node.connect(context.destination);
  await until(() => memory.load(80) !== 0);
  await context.startRendering();
  await until(() => memory.load(72) !== 0);
  equal([memory.load(68), memory.load(72)], [2, 1], 'took it, counted from 0');
  // Firefox runs nothing that was promised in a worklet whose rendering is over.
  if (host.name !== 'firefox') await until(() => memory.load(76) !== 0);
  if (host.name !== 'firefox') equal(memory.load(76), hearsNotifies ? 1 : 3, 'was refused');
  // Until here: one that nobody has any more may be collected.
  node.disconnect();
}, { hosts: ['chromium', 'firefox'] });
