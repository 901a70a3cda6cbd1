// Threadwork for browsers, Node and Deno: runs threaded WebAssembly.

export { Engine } from './src/engine.js';
export { describe, exitCode, ThreadworkError } from './src/errors.js';
export { load, Program } from './src/program.js';
export { Process } from './src/process.js';
export { ThreadPool } from './src/runtime/pool.js';
export { ThreadRuntime } from './src/runtime/runtime.js';
export * from './sync.js';
