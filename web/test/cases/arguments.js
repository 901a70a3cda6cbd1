// Every function of WASI with arguments that may be anything: no call fails in a way of its own, writes what it
// does not name, or leaves its directory.

import { load, Process } from '../../index.js';
import { check, equal, host, nodeOnly, test, wat } from '../harness.js';
import { FUNCTIONS, NAMES } from '../wasi-functions.js';

/** How long a call may wait before its process is killed, in ms: some wait for ever. */
const PATIENCE = 200;

/** Calls what `next` says until that is nothing. */
const guest = () => {
  const type = (types) => `(param ${types.join(' ')})`;
  const imports = NAMES.map((name) => `(import "wasi_snapshot_preview1" "${name}" (func $${name} ${type(FUNCTIONS[name])} (result i32)))`);
  const calls = NAMES.map((name, number) => {
    const args = FUNCTIONS[name].map((type, place) => `(call $${type} (i32.const ${place}))`);
    return `(if (i32.eq (local.get $next) (i32.const ${number})) (then
      (local.set $errno (call $${name} ${args.join(' ')}))))`;
  });
  return `(module
    ${imports.join('\n')}
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "arguments" "next" (func $next (param i32) (result i32)))
    (import "arguments" "i32" (func $i32 (param i32) (result i32)))
    (import "arguments" "i64" (func $i64 (param i32) (result i64)))
    (import "env" "memory" (memory 2 2 shared))
    (func $work (local $next i32) (local $errno i32)
      (loop $again
        (local.set $next (call $next (local.get $errno)))
        (if (i32.ge_s (local.get $next) (i32.const 0)) (then
          ${calls.join('\n')}
          (br $again)))))
    (func (export "wasi_thread_start") (param i32 i32) (call $work))
    (func (export "alone") (call $work))
    (func (export "_start")
      (if (i32.eqz (call $spawn (i32.const 0))) (then unreachable))
      (drop (call $spawn (i32.const 0)))
      (call $work)))`;
};

/** Runs a seed; whether all of its calls came back. */
async function run(program, seed, { threads, ...options }) {
  const words = new SharedArrayBuffer(4);
  const counter = new Int32Array(words);
  const process = new Process(program, {
    args: ['one', 'two'],
    env: { NAME: 'value' },
    stdin: { text: 'some input' },
    stdout: 'null',
    stderr: 'null',
    limits: { openFiles: 20, fileMemory: 1 << 20 },
    ...options,
    imports: new URL('../scripts/arguments.js', import.meta.url),
    data: { words, seed, calls: threads ? 500 : 150, checks: !threads },
  });
  let seen = 0;
  const watch = setInterval(() => {
    const now = Atomics.load(counter, 0);
    if (now > 0 && now === seen) process.kill();
    seen = now;
  }, PATIENCE);
  let status;
  try {
    status = await process.run();
  } finally {
    clearInterval(watch);
  }
  if (status.kind !== 'killed') equal(status, { kind: 'exited', code: 0 }, `seed ${seed}`);
  return Atomics.load(counter, 0);
}

/** Runs some seeds, with one thread and with three; many are made to wait, so some run at once. */
async function all(makeOptions) {
  const sources = [guest(), guest().replace('"_start"', '"together"').replace('"alone"', '"_start"')];
  const [together, alone] = await Promise.all(sources.map(async (source) => load(await wat(source))));
  const [seeds, atOnce] = host.isFull ? [100, 4] : [2, 2];
  let [next, made] = [0, 0];
  const runner = async () => {
    while (next < seeds) {
      const seed = next++;
      for (const threads of [false, true]) {
        const { options, done } = await makeOptions();
        try {
          const calls = await run(threads ? together : alone, seed, { threads, ...options });
          made += calls;
        } finally {
          done();
        }
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, runner));
  check(made > seeds * 20, `only ${made} calls were made`);
}

test('arguments: of every function, with files in memory', () =>
  all(() => ({ options: { preopens: { '/': { file: 'some bytes of a file', dir: { file: 'another' } } } }, done: () => {} })));

test('arguments: of every function, in a directory of Node', async () => {
  const fs = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const { spawnSync } = await import('node:child_process');
  const outer = fs.mkdtempSync(join(tmpdir(), 'threadwork-arguments-'));
  fs.writeFileSync(join(outer, 'secret'), 'outside');
  let folders = 0;
  const makeOptions = () => {
    const folder = join(outer, `granted-${folders++}`);
    fs.mkdirSync(join(folder, 'dir'), { recursive: true });
    for (const name of ['file', 'dir/file']) fs.writeFileSync(join(folder, name), 'some bytes of a file');
    fs.symlinkSync('file', join(folder, 'link'));
    fs.symlinkSync('../..', join(folder, 'out'));
    spawnSync('mkfifo', [join(folder, 'fifo')]);
    const done = () => fs.rmSync(folder, { recursive: true, force: true });
    return { options: { preopens: { '/': folder }, listeners: ['127.0.0.1:0'] }, done };
  };
  try {
    await all(makeOptions);
    equal(fs.readdirSync(outer), ['secret']);
    equal(fs.readFileSync(join(outer, 'secret'), 'utf8'), 'outside');
  } finally {
    fs.rmSync(outer, { recursive: true, force: true });
  }
}, nodeOnly);
