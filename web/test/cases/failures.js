// What can go wrong beside the guest is an error that says what to do, and nothing hangs.

import { describe, Engine, load, Process, ThreadRuntime } from '../../index.js';
import { demangle } from '../../src/demangle.js';
import { browsers, check, equal, failure, guest, nodeOnly, pause, test, text, until, url, wat } from '../harness.js';
import { crowd, GROWING, onStage, plot, WAIT } from '../plots.js';

const report = async (promise, ...parts) => {
  const error = await failure(promise);
  for (const part of parts) check(error.message.includes(part), `"${part}" is not in: ${error.message}`);
  return error;
};

test('failures: sources that are no program', async () => {
  await report(load(url('/nowhere.wasm')), 'status 404');
  await report(load(new Uint8Array(0), { name: 'x' }), 'x is empty');
  await report(load(new TextEncoder().encode('(module)')), 'text format');
  await report(load(url('/test/page.html')), 'is a web page');
  await report(load(new Uint8Array([0, 97, 115, 109, 13, 0, 1, 0])), 'component');
  await report(load(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 99])), 'compiler');
  await report(load(await WebAssembly.compile(await wat('(module (import "e" "m" (memory 1 1 shared)))'))), 'limits of its memory');
});

test('failures: memories of 64-bit addresses are named, whether or not the host has them', async () => {
  for (const place of ['(import "env" "memory" (memory i64 1 2 shared))', '(memory (export "memory") i64 1 2 shared)', '(memory i64 1)']) {
    const bytes = await wat(`(module ${place} (func (export "_start")))`);
    for (const options of [{}, { deadlockDetection: true }, { stackCheck: true }]) {
      const error = await failure(load(bytes, options));
      equal([error.code, error.message.includes('memory64')], ['MEMORY64', true], place);
    }
  }
  // Counts more imports, or memories, than there are.
  for (const section of [2, 5]) {
    const bytes = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, section, 6, 255, 255, 255, 255, 15, 0);
    equal((await failure(load(bytes))).code, 'COMPILE');
  }
});

test('failures: a compiled module will do if the memory is given', async () => {
  const module = await WebAssembly.compile(await (await fetch(guest('hello'))).arrayBuffer());
  const process = new Process(await load(module, { memory: { initial: 17, maximum: 16384 } }), { stdout: 'null' });
  equal(await process.run(), { kind: 'exited', code: 0 });
});

test('failures: imports that nobody defines', async () => {
  const make = async (text) => new Process(await load(await wat(`(module ${text} (func (export "_start")))`)));
  await report(make('(import "env" "f" (func)) (import "a" "g" (func))'), 'env.f, a.g', '`imports`');
  await report(make('(import "wbg" "f" (func))'), 'wasm-bindgen');
  await report(make('(import "wasi_snapshot_preview1" "nonsense" (func))'), 'no function of WASI preview 1');
});

test('failures: a script of imports that does not load, or throws', async () => {
  const program = await crowd(1, WAIT);
  equal((await report(new Process(program, { imports: url('/nowhere.js') }).run(), '')).code, 'IMPORTS');
  const throwing = 'data:text/javascript,export default () => { throw new Error("no stage") }';
  await report(new Process(program, { imports: throwing }).run(), 'no stage');
  const lacking = 'data:text/javascript,export default () => ({ stage: {} })';
  equal((await report(new Process(program, { imports: lacking }).run(), '`imports`', 'stage.say (a function)')).code, 'IMPORTS');
});

test('failures: worker scripts that do not load', async () => {
  const program = await load(guest('hello'));
  const engine = new Engine({ workerUrl: new URL(url('/nowhere.js')) });
  await report(new Process(program, { engine }).run(), 'worker');
  await engine.close();
});

test('failures: worker scripts that never arrive', async () => {
  const program = await load(guest('hello'));
  const engine = new Engine({ workerUrl: new URL(url('/silence/')), startTimeout: 300 });
  await report(new Process(program, { engine, stdout: 'null' }).run(), 'did not start within 300 ms');
  await engine.close();
}, browsers);

test('failures: a module that traps at its start', async () => {
  const program = await plot('(start $bad) (func $bad unreachable) (func (export "wasi_thread_start") (param i32 i32)) (func (export "_start"))');
  for (let round = 0; round < 3; round++) {
    const { process } = onStage(program);
    const status = await process.run();
    equal([status.kind, status.thread], ['trapped', 0]);
    check(status.stack.includes('bad'), status.stack);
  }
});

test('failures: a start function that traps in later instances only', async () => {
  const program = await plot(`
    (start $begin)
    (func $begin (if (i32.gt_u (i32.atomic.rmw.add (i32.const 512) (i32.const 1)) (i32.const 0)) (then unreachable)))
    (func (export "wasi_thread_start") (param i32 i32))
    (func (export "_start") (drop (call $spawn (i32.const 0))) (call $wait))`);
  const { process } = onStage(program);
  equal((await process.run()).kind, 'trapped');
});

test('failures: a stack that overflows', async () => {
  const program = await plot(`
    (func $deep (param i32) (call $deep (i32.add (local.get 0) (i32.const 1))) (call $say (local.get 0)))
    (func (export "wasi_thread_start") (param i32 i32) (call $deep (i32.const 0)))
    (func (export "_start") (drop (call $spawn (i32.const 0))) (call $wait))`);
  const { process } = onStage(program);
  const status = await process.run();
  equal(status.kind, 'trapped');
  check(status.thread > 0 && /stack|recursion/i.test(status.message), status.message);
});

test('failures: 200,000 nested calls are none yet', async () => {
  const program = await plot(`
    (func $deep (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
        (else (i32.const 0))))
    (func (export "wasi_thread_start") (param i32 i32)
      (if (i32.ne (call $deep (i32.const 200000)) (i32.const 200000)) (then unreachable))
      (call $exit (i32.const 0)))
    (func (export "_start") (drop (call $spawn (i32.const 0))) (call $wait))`);
  equal(await onStage(program).process.run(), { kind: 'exited', code: 0 });
}, nodeOnly);

test('failures: memory that is not to be had', async () => {
  const least = await wat('(module (import "env" "memory" (memory 100 200 shared)) (func (export "_start")))');
  const error = await failure(Promise.resolve().then(async () => new Process(await load(least), { limits: { memory: 1 << 20 } })));
  equal(error.code, 'OUT_OF_MEMORY');
  check(error.message.includes('raise it'), error.message);
  // 4 GiB at once may be had or not; it must not hang, and not fail otherwise.
  const all = await wat('(module (import "env" "memory" (memory 65536 65536 shared)) (func (export "_start")))');
  try {
    const process = new Process(await load(all));
    equal((await process.run()).kind, 'exited');
  } catch ({ code }) {
    equal(code, 'OUT_OF_MEMORY');
  }
  // A maximum that the host has no room for is lowered.
  const most = await wat('(module (import "env" "memory" (memory 1 65536 shared)) (func (export "_start")))');
  const processes = [];
  for (let n = 0; n < 8; n++) processes.push(new Process(await load(most)));
  for (const process of processes) equal((await process.run()).kind, 'exited');
});

test('failures: a limit that was met is named when the program traps', async () => {
  const program = await load(guest('hello'));
  const process = new Process(program, { maxThreads: 0, stdout: 'null', stderr: 'null' });
  const status = await process.run();
  equal([status.kind, status.limit, status.value, status.trap.thread], ['limit', 'threads', 0, 0]);
});

test('failures: a limit of memory is named when the program traps', async () => {
  const program = await load(await wat(GROWING), { deadlockDetection: true });
  const grow = async (memory) => {
    const process = new Process(program, { limits: { memory } });
    const { trap, ...status } = await process.run();
    return { ...status, trapped: trap !== undefined, memory: process.stats().memory };
  };
  equal(await grow(2 << 16), { kind: 'limit', limit: 'memory', value: 2 << 16, trapped: true, memory: 2 << 16 });
  equal(await grow(8 << 16), { kind: 'exited', code: 0, trapped: false, memory: 4 << 16 });
  // The program's own maximum is no limit that was set.
  const own = GROWING.replace('1 8 shared', '1 2 shared');
  const { kind } = await new Process(await load(await wat(own), { deadlockDetection: true })).run();
  equal(kind, 'trapped');
});

test('failures: options that make no sense', async () => {
  const program = await load(guest('hello'));
  for (const options of [{ maxThreads: -1 }, { maxThreads: 1.5 }, { maxThreads: 1e6 }, { stdout: 'nowhere' }]) {
    check((await failure(Promise.resolve().then(() => new Process(program, options)))) instanceof Error);
  }
});

/** Loads a page in a frame and takes its answer. */
async function inFrame(path) {
  const frame = document.createElement('iframe');
  const answer = new Promise((resolve) => {
    addEventListener('message', ({ data, source }) => source === frame.contentWindow && resolve(data));
  });
  frame.src = path;
  document.body.append(frame);
  return { frame, answer };
}

test('failures: the strictest policy is enough', async () => {
  for (const policy of ['strict', 'trusted']) {
    const { frame, answer } = await inFrame(url(`/${policy}/test/pages/run.html`));
    equal(await answer, { isolated: true, status: { kind: 'exited', code: 0 }, evalWorks: false });
    frame.remove();
  }
}, browsers);

test('failures: without isolation a program without threads runs, and others say why not', async () => {
  // In a window: an isolated page shows no frame that is not isolated.
  const answers = new BroadcastChannel('alone');
  const answer = new Promise((resolve) => (answers.onmessage = ({ data }) => resolve(data)));
  open(url('/plain/test/pages/alone.html'));
  const { isolated, runs, limited, killed, pool } = await answer;
  answers.close();
  equal(isolated, false);
  for (const { single, spawning } of runs) {
    equal(single, { status: { kind: 'exited', code: 0 }, output: 'fib(12) = 144\nok fib-single\n' });
    equal(spawning.kind, 'trapped');
    check(spawning.message.includes('Cross-Origin-Opener-Policy'), spawning.message);
  }
  equal(killed, [{ kind: 'killed' }, { kind: 'killed' }]);
  equal([limited.kind, limited.limit, limited.value], ['limit', 'memory', 2 << 16]);
  check(pool.includes('Cross-Origin-Opener-Policy'), pool);
}, browsers);

test('failures: a page that goes away takes its threads with it', async () => {
  const { frame, answer } = await inFrame(url('/test/pages/compute.html'));
  const words = new Int32Array(await answer);
  const isCounting = async () => {
    const before = Atomics.load(words, 0);
    await pause(50);
    return Atomics.load(words, 0) !== before;
  };
  await until(isCounting);
  frame.remove();
  await until(async () => !(await isCounting()));
}, { ...browsers, computes: true });

test('failures: Node ends when the last process has', async () => {
  const script = `
    import { load, Process } from ${JSON.stringify(new URL('../../index.js', import.meta.url).href)};
    const process_ = new Process(await load(${JSON.stringify(guest('rayon-mix'))}), { stdout: 'null' });
    console.log((await process_.run()).kind);`;
  const { stdout, status } = await new Promise((done) => {
    import('node:child_process').then(({ execFile }) => {
      execFile(process.execPath, ['--input-type=module', '-e', script], (error, out) => done({ stdout: out, status: error?.code ?? 0 }));
    });
  });
  equal([stdout, status], ['exited\n', 0]);
}, { hosts: ['node'] });

test('failures: a thread that uses up its stack in linear memory', async () => {
  const program = await load(guest('stack-overflow'), { stackCheck: true });
  const end = async (place) => {
    const process = new Process(program, { args: [place], stdout: 'null', stderr: 'collect' });
    const status = await process.run();
    equal(text(process.stderrBytes), '');
    return status;
  };
  for (const [place, thread, remedy] of [['now', 1, 'thread::Builder::stack_size'], ['std', 1, 'RUST_MIN_STACK'], ['scope', 1, 'thread::Builder::stack_size'], ['pool', 1, 'thread::Builder::stack_size'], ['main', 0, '-z stack-size']]) {
    const status = await end(place);
    equal([status.kind, status.thread], ['trapped', thread], describe(status));
    const [, size, advice] = /^the thread's stack of (\d+) bytes in linear memory is used up: (.*)$/.exec(status.message) ?? [];
    check(thread === 0 ? size === '1048576' : size > 60_000 && size <= 65_536, status.message);
    check(advice.includes(remedy) && status.stack.includes('stack_overflow::descend'), describe(status));
    check(!status.stack.includes('threadwork:stack'), status.stack);
  }
  equal(await end('never'), { kind: 'exited', code: 0 });
  // Without the check nobody but our own library sees it.
  const unchecked = new Process(await load(guest('stack-overflow')), { args: ['std'], stdout: 'null', stderr: 'null' });
  check(!(await unchecked.run()).message.includes('used up'));
});

test('failures: a task of a runtime that uses up its stack', async () => {
  const program = await load(
    await wat(`(module (memory (export "memory") 2 16 shared)
      (global $__stack_pointer (export "__stack_pointer") (mut i32) (i32.const 65536))
      (func $deep (export "deep") (param i32) (local i32)
        (global.set $__stack_pointer (local.tee 1 (i32.sub (global.get $__stack_pointer) (i32.const 64))))
        (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))))
        (global.set $__stack_pointer (i32.add (local.get 1) (i32.const 64)))))`),
    { stackCheck: true },
  );
  const runtime = new ThreadRuntime(program, { poolSize: 2, stackSize: 4096 });
  for (let round = 0; round < 2; round++) {
    await runtime.execute('deep', 50);
    const error = await failure(runtime.execute('deep', 100));
    equal(error.code, 'TRAPPED');
    check(/of 4096 bytes .* stackSize$/.test(error.message), error.message);
  }
  await runtime.shutdown();
});

test('failures: threads are called as in the messages of Rust\'s panics', async () => {
  const process = new Process(await load(guest('endings')), { args: ['thread', 'panic', 'wait'], stdout: 'null', stderr: 'collect' });
  const status = await process.run();
  const [, inRust] = /\((\d+)\) panicked/.exec(text(process.stderrBytes)) ?? [];
  equal([status.kind, status.threadInRust], ['trapped', Number(inRust)], text(process.stderrBytes));
  check(describe(status).startsWith(`thread ${status.thread} (${inRust} in Rust's messages) trapped`), describe(status));
});

test('failures: exceptions, where the host has none', async () => {
  // (module (tag) (func (export "_start") (block (try_table (catch_all 0) (throw 0)))))
  const bytes = Uint8Array.of(
    ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 13, 3, 1, 0, 0],
    ...[7, 10, 1, 6, 95, 115, 116, 97, 114, 116, 0, 0],
    ...[10, 15, 1, 13, 0, 2, 0x40, 0x1f, 0x40, 1, 2, 0, 0x08, 0, 0x0b, 0x0b, 0x0b],
  );
  if (WebAssembly.validate(bytes)) {
    equal(await new Process(await load(bytes)).run(), { kind: 'exited', code: 0 });
  } else {
    equal((await report(load(bytes), 'exceptions', '-fno-exceptions')).code, 'EXCEPTIONS');
  }
});

test('failures: names of Rust functions, as rustc-demangle writes them', () => {
  for (const [mangled, name] of [
    ['_ZN7endings4trap17h0123456789abcdefE', 'endings::trap'],
    ['_ZN7endings3end28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE', 'endings::end::{{closure}}'],
    ['_ZN4core3ptr28drop_in_place$LT$u32$C$T$GT$17h0123456789abcdefE', 'core::ptr::drop_in_place<u32,T>'],
    ['_ZN53_$LT$core..fmt..Error$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE', '<core::fmt::Error as core::fmt::Debug>::fmt'],
    ['_RNvNtCs1234_7mycrate3foo3bar', 'mycrate::foo::bar'],
    ['_RNCNvC7mycrate3foo0', 'mycrate::foo::{closure}'],
    ['main', 'main'],
  ]) {
    equal(demangle(mangled), name);
  }
});
