// A thread's worker, as the package's README has it.

import { ThreadMessageHandler, WASIThreads } from '../node_modules/@emnapi/wasi-threads/dist/wasi-threads.js';
import { WASI } from '../node_modules/@tybys/wasm-util/dist/wasm-util.esm.min.js';
import { onMessage, post } from './host.js';

const handler = new ThreadMessageHandler({
  postMessage: post,
  async onLoad({ wasmModule, wasmMemory }) {
    const wasi = new WASI({ version: 'preview1', args: [], env: {} });
    const wasiThreads = new WASIThreads({ wasi, childThread: true, postMessage: post });
    const original = await WebAssembly.instantiate(wasmModule, {
      env: { memory: wasmMemory },
      wasi_snapshot_preview1: wasi.wasiImport,
      ...wasiThreads.getImportObject(),
    });
    const instance = wasiThreads.initialize(original, wasmModule, wasmMemory);
    return { module: wasmModule, instance };
  },
});

onMessage((data) => handler.handle({ data }));
