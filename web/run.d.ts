// Loads and runs programs: `threadwork` without its runtimes and without its primitives, for pages that
// have no bundler which would leave those out.

export type * from './index.js';
export { describe, Engine, exitCode, load, Process, Program, ThreadworkError } from './index.js';
