// Loads and runs programs: what a page needs that uses no shared memory of its own, nor a runtime.

export { Engine } from './src/engine.js';
export { describe, exitCode, ThreadworkError } from './src/errors.js';
export { load, Program } from './src/program.js';
export { Process } from './src/process.js';
