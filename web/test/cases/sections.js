// What is read of modules, and changed in them, by hand.

import { check, equal, test, wat } from '../harness.js';
import { load, Process } from '../../index.js';
import { functionNames } from '../../src/names.js';
import { memories, unshare, wasiMemory, withoutActiveData } from '../../src/sections.js';

test('sections: memories are found among other imports, with their limits', async () => {
  const bytes = await wat(`(module
    (import "a" "f" (func (param i32)))
    (import "a" "g" (global i32))
    (import "a" "t" (table 3 funcref))
    (import "env" "memory" (memory 17 16384 shared)))`);
  const [memory, ...others] = memories(bytes);
  equal(others, []);
  const { module, name, minimum, maximum, shared } = memory;
  equal([module, name, minimum, maximum, shared], ['env', 'memory', 17, 16384, true]);
});

test('sections: a memory that is defined has no name', async () => {
  const [{ module, minimum, maximum, shared }] = memories(await wat('(module (memory 2))'));
  equal([module, minimum, maximum, shared], [undefined, 2, undefined, false]);
});

test('sections: an unshared module can be linked with an unshared memory', async () => {
  const bytes = await wat(`(module (import "e" "m" (memory 1 2 shared))
    (func (export "f") (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 3))))`);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
  const { instance } = await WebAssembly.instantiate(unshare(bytes), { e: { m: memory } });
  equal([instance.exports.f(), instance.exports.f()], [0, 3]);
  check(memories(bytes)[0].shared, 'the original is as it was');
});

test('sections: later instances do not write active data into shared memory', async () => {
  const bytes = await wat(`(module (import "e" "m" (memory 1 1 shared))
    (global $g i32 (i32.const 8))
    (data (i32.const 0) "abc") (data $passive "xyz") (data (i32.const 300) "def")
    (func (export "init") (memory.init $passive (i32.const 16) (i32.const 0) (i32.const 3))))`);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const { instance } = await WebAssembly.instantiate(withoutActiveData(bytes), { e: { m: memory } });
  instance.exports.init();
  const view = new Uint8Array(memory.buffer);
  equal([view[0], view[300], view[16]], [0, 0, 'x'.charCodeAt(0)]);
});

test('sections: active data of a memory of its own stays', async () => {
  equal(withoutActiveData(await wat('(module (memory 1) (data (i32.const 0) "abc"))')), undefined);
  equal(withoutActiveData(await wat('(module (import "e" "m" (memory 1 1 shared)))')), undefined);
});

test('sections: an instance is used again if a thread leaves nothing in it', async () => {
  const { isReusable } = await import('../../src/reusable.js');
  const module = (entry, more = '') => wat(`(module
    (import "env" "memory" (memory 1 1 shared))
    (global $stack (mut i32) (i32.const 0))
    (global $locals (mut i32) (i32.const 0))
    (table 1 funcref)
    (data $data "data")
    ${more}
    (func (export "wasi_thread_start") (param i32 i32) ${entry}))`);
  // As linkers write it.
  const start = (more) => `(func $start
    (block (block (block
      (br_table 0 1 2 (i32.atomic.rmw.cmpxchg (i32.const 64) (i32.const 0) (i32.const 1))))
      (memory.init $data (i32.const 8) (i32.const 0) (i32.const 4))
      (i32.atomic.store (i32.const 64) (i32.const 2))
      (drop (memory.atomic.notify (i32.const 64) (i32.const -1)))
      (br 1))
      (drop (memory.atomic.wait32 (i32.const 64) (i32.const 1) (i64.const -1))))
    ${more}
    (data.drop $data))
    (start $start)`;
  const set = (global) => `(global.set ${global} (i32.load (local.get 1)))`;
  const sets = set('$stack') + set('$locals');
  const cases = {
    'all globals are set first': [sets, true],
    'and changed later': [`${sets} (global.set $stack (i32.const 4))`, true],
    'one global is not set': [set('$stack'), false],
    'a global is read first': [`(drop (global.get $locals)) ${sets}`, false],
    'a global is set too late': [`${set('$stack')} (call 0) ${set('$locals')}`, false, '(func)'],
    'a table is changed': [`${sets} (table.copy (i32.const 0) (i32.const 0) (i32.const 0))`, false],
    'a segment is dropped': [`${sets} (data.drop $data)`, false],
    'the start works once': [sets, true, start('')],
    'the start does more': [sets, false, start('(i32.store (i32.const 0) (i32.const 1))')],
    'the start asks nobody': [sets, false, '(func $start (data.drop $data)) (start $start)'],
    'code of many kinds is passed': [
      `${sets} (block (br_table 0 0 (i32.const 38)))
      (drop (i64.const 38)) (drop (f32.const 1e-9)) (drop (f64.const 38))
      (drop (select (result i32) (i32.const 38) (i32.const -38) (i32.const 0)))
      (drop (memory.atomic.notify offset=38 (i32.const 0) (i32.const 38)))
      (memory.fill (i32.const 38) (i32.const 38) (i32.const 0))`,
      true,
    ],
  };
  for (const [name, [entry, expected, more]] of Object.entries(cases)) {
    equal(isReusable(await module(entry, more)), expected, name);
  }
});

test('sections: threads that keep something in a global have an instance each', async () => {
  const process = new Process(await load(await wat(`(module
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "env" "memory" (memory 1 1 shared))
    (global $kept (mut i32) (i32.const 0))
    (func (export "wasi_thread_start") (param i32 i32)
      (global.set $kept (i32.add (global.get $kept) (i32.const 1)))
      (drop (i32.atomic.rmw.add (i32.const 4) (global.get $kept)))
      (i32.atomic.store (i32.const 0) (i32.const 1))
      (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
    (func (export "run") (result i32) (local $left i32)
      (local.set $left (i32.const 20))
      (loop $again
        (i32.atomic.store (i32.const 0) (i32.const 0))
        (drop (call $spawn (i32.const 0)))
        (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (i32.atomic.load (i32.const 4))))`)));
  // Each finds 0 there.
  equal(await process.call('run'), 20);
  process.kill();
  await process.wait();
});

test('sections: WASI works on the memory that is exported under its name, or on the first', async () => {
  const of = async (rest) => wasiMemory(await wat(`(module (import "env" "f" (func)) ${rest})`));
  const two = '(import "env" "a" (memory 1)) (memory 1)';
  equal(await of(two), 0);
  equal(await of(`${two} (export "f" (func 0)) (export "memory" (memory 1))`), 1);
  equal(await of(`${two} (export "other" (memory 1)) (export "memory" (func 0))`), 0);
  equal(await of(''), 0);
});

test('sections: the names of functions, for engines that leave them out of a stack', async () => {
  const named = await WebAssembly.compile(await wat('(module (import "env" "f" (func $first)) (func) (func $third))'));
  equal([...functionNames(named)], [[0, 'first'], [2, 'third']]);
  const bare = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
  equal(functionNames(await WebAssembly.compile(bare)).size, 0);
  // What is wrong there is no error to a compiler: two names, of which one is whole.
  const section = [4, ...new TextEncoder().encode('name'), 1, 7, 2, 0, 1, 0x61, 1, 9, 0x62];
  const broken = await WebAssembly.compile(Uint8Array.of(...bare, 0, section.length, ...section));
  equal([...functionNames(broken)], [[0, 'a']]);
});
