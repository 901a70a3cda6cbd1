// What is read of modules, and changed in them, by hand.

import { check, equal, test, wat } from '../harness.js';
import { memories, unshare, withoutActiveData } from '../../src/sections.js';

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
