// What the browser keeps between visits.

import { load, Process } from '../../index.js';
import { browsers, check, equal, guest, test, until, wat } from '../harness.js';

const observed = { deadlockDetection: true, cache: true };
const entries = async () => (await caches.open('threadwork')).keys();

test('kept: a rewritten module, by all that it depends on', async () => {
  await caches.delete('threadwork');
  const bytes = new Uint8Array(await (await fetch(guest('hello'))).arrayBuffer());
  await load(bytes, { deadlockDetection: true });
  equal((await entries()).length, 0, 'nobody asked for it');
  await load(bytes, observed);
  await until(async () => (await entries()).length === 1);
  const cache = await caches.open('threadwork');
  const [entry] = await cache.keys();
  const rewritten = new Uint8Array(await (await cache.match(entry)).arrayBuffer());
  check(WebAssembly.Module.exports(await WebAssembly.compile(rewritten)).some(({ name }) => name === 'threadwork:enter'));

  // Another module in its place shows whether it is taken.
  const other = await wat('(module (memory (export "memory") 1) (func (export "_start")) (func (export "found")))');
  await cache.put(entry, new Response(other));
  const found = async (source, options) => (await load(source, options)).exports.some(({ name }) => name === 'found');
  equal(await found(bytes, observed), true);
  equal(await found(bytes, { ...observed, stackCheck: false }), false, 'of other options');
  equal(await found(bytes, { deadlockDetection: true }), false);
  // A custom section makes it another module.
  equal(await found(new Uint8Array([...bytes, 0, 2, 1, 48]), observed), false, 'of other bytes');
  const rewriter = new Uint8Array(await (await fetch(new URL('../../rewriter/rewriter.wasm', import.meta.url))).arrayBuffer());
  const newer = URL.createObjectURL(new Blob([rewriter, Uint8Array.of(0, 2, 1, 48)], { type: 'application/wasm' }));
  equal(await found(bytes, { ...observed, rewriterUrl: newer }), false, 'of another rewriter');
  await until(async () => (await entries()).length === 4);

  // What was cut off is made anew.
  await cache.put(entry, new Response(rewritten.subarray(0, 1000)));
  const program = await load(bytes, observed);
  equal(await new Process(program, { stdout: 'null' }).run(), { kind: 'exited', code: 0 });
  await until(async () => (await (await cache.match(entry)).arrayBuffer()).byteLength === rewritten.length);
  await caches.delete('threadwork');
}, browsers);

test('kept: the newest only, and nothing where nothing can be kept', async () => {
  const cache = await caches.open('threadwork');
  for (let n = 0; n < 40; n++) await cache.put(`https://threadwork.invalid/${n}`, new Response('old'));
  const bytes = await wat('(module (memory (export "memory") 1 1 shared) (func (export "_start")))');
  await load(bytes, observed);
  await until(async () => (await entries()).length === 32);
  check((await entries()).every(({ url }) => !/invalid\/[0-8]$/.test(url)), 'the oldest are gone');
  await caches.delete('threadwork');

  const open = Object.getOwnPropertyDescriptor(CacheStorage.prototype, 'open');
  CacheStorage.prototype.open = () => Promise.reject(new DOMException('denied', 'SecurityError'));
  try {
    check((await load(guest('hello'), observed)).isObserved);
  } finally {
    Object.defineProperty(CacheStorage.prototype, 'open', open);
  }
}, browsers);

test('kept: modules that are rewritten at the same time stay apart', async () => {
  const options = { deadlockDetection: true };
  const names = ['hello', 'pi', 'merge-sort', 'hello'];
  const together = await Promise.all(names.map((name) => load(guest(name), options)));
  for (const [n, name] of names.entries()) {
    equal(together[n].bytes.length, (await load(guest(name), options)).bytes.length, name);
  }
});
