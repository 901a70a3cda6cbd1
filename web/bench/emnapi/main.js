// The main thread, as the package's README has it, with the fastest settings that work.

import { WASIThreads } from '../node_modules/@emnapi/wasi-threads/dist/wasi-threads.js';
import { WASI } from '../node_modules/@tybys/wasm-util/dist/wasm-util.esm.min.js';
import { pollUntil, turn } from '../contestants/common.js';
import { fetchBytes, newWorker, onMessage, post } from './host.js';

/** The most is what Rust's target gives a module; the least, more than any of them wants. */
const PAGES = { initial: 64, maximum: 16384 };

let wasi;
let wasiThreads;
let instance;
let memory;
let output = '';

async function start({ url, pool, args = [] }) {
  wasi = new WASI({
    version: 'preview1',
    args,
    env: {},
    returnOnExit: true,
    print: (text) => (output += `${text}\n`),
    printErr: (text) => (output += `${text}\n`),
  });
  wasiThreads = new WASIThreads({
    wasi,
    reuseWorker: pool > 0 ? { size: pool, strict: true } : false,
    onCreateWorker: () => newWorker(new URL('./thread.js', import.meta.url)),
  });
  const module = await WebAssembly.compile(await fetchBytes(url));
  memory = new WebAssembly.Memory({ ...PAGES, shared: true });
  instance = await WebAssembly.instantiate(module, {
    env: { memory },
    wasi_snapshot_preview1: wasi.wasiImport,
    ...wasiThreads.getImportObject(),
  });
  wasiThreads.setup(instance, module, memory);
  await wasiThreads.preloadWorkers();
  if (instance.exports._initialize) wasi.initialize(instance);
}

/** Calls one at a time, with turns of the event loop for the workers to come back. */
async function calls(name, count) {
  const before = instance.exports.seen();
  let sum = 0;
  for (let n = 0; n < count; n++) {
    sum += instance.exports[name](1);
    await turn();
    await turn();
  }
  return { mean: sum / count, lost: count - (instance.exports.seen() - before) };
}

async function answer({ start: settings, call, calls: many, spawn, beat, run, terminate }) {
  if (settings) return start(settings);
  if (call) return instance.exports[call[0]](call[1]);
  if (many) return calls(...many);
  if (beat) return { memory, address: instance.exports.beat(beat) };
  if (terminate) return wasiThreads.PThread.terminateAllThreads();
  if (run) {
    wasi.start(instance);
    return output;
  }
  if (spawn) {
    const begin = performance.now();
    instance.exports.spawn();
    await pollUntil(() => instance.exports.seen() > 0);
    return performance.now() - begin;
  }
  throw new Error('nothing is asked');
}

onMessage(async ({ number, ...question }) => {
  if (number === undefined) return;
  try {
    post({ number, value: await answer(question) });
  } catch (error) {
    post({ number, error: `${error.message}\n${output}` });
  }
});
