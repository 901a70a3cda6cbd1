// Threadwork for browsers, Node and Deno: runs threaded WebAssembly.

export * from './run.js';
export { ThreadPool } from './src/runtime/pool.js';
export { ThreadRuntime } from './src/runtime/runtime.js';
export * from './sync.js';
