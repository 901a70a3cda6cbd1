// The second door: a module's exported functions on a pool of workers, over one shared
// memory. Any module with a shared memory will do, with or without WASI. Each worker has an
// instance of its own, with a stack and thread-local data where the module has such
// things, and keeps it from task to task: globals belong to a worker, memory to all.
//
// A runtime is a process that has a pool instead of a main program. A task that traps breaks
// its promise, and its worker gets a new instance.

import { ThreadworkError } from '../errors.js';
import { asyncDispose } from '../platform.js';
import { Process } from '../process.js';
import { SharedMemory } from '../sync/memory.js';
import { ThreadPool } from './pool.js';

export class ThreadRuntime {
  /**
   * @param {import('../program.js').Program} program
   * @param {object} [options] those of a process, and its own
   */
  constructor(program, options = {}) {
    const { poolSize = 4, maxThreads = 16, memorySize = 16 << 20, tlsSlotSize = 1024, ...rest } =
      options;
    if (!(Number.isInteger(poolSize) && poolSize > 0)) {
      throw new RangeError('poolSize must be a whole number from 1 on');
    }
    if (maxThreads < poolSize) throw new RangeError('maxThreads is less than poolSize: raise it');
    if (program.sharedMemories.length === 0) {
      throw new ThreadworkError(
        'UNSHARED',
        'the module has no shared memory: link it with --shared-memory and a --max-memory',
      );
    }
    checkExports(program, poolSize);
    const own = { pool: poolSize, maxThreads, memorySize, tlsSize: tlsSlotSize };
    /** The process that the runtime is: its streams, files, threads and statistics. */
    this.process = new Process(program, { ...rest, ...own });
    this.pool = new ThreadPool(this.process, poolSize);
    this.memory = SharedMemory.of(this.process);
  }

  /** Starts the workers ahead of the first task. Kept when the program is initialized. */
  start() {
    return this.process.start();
  }

  /** As `pool.execute`. */
  execute(entry, ...args) {
    return this.pool.execute(entry, ...args);
  }

  /** As `pool.waitAll`. */
  waitAll() {
    return this.pool.waitAll();
  }

  /** As `pool.workers`. */
  get workers() {
    return this.pool.workers;
  }

  /** As `pool.shutdown`; kept with how the runtime ended. */
  shutdown() {
    return this.pool.shutdown();
  }

  shutdownNow() {
    return this.pool.shutdownNow();
  }

  /** Ends the workers at once, and with that what was begun with `await using`. */
  async [asyncDispose]() {
    await this.shutdownNow().catch(() => {});
  }
}

/** Refuses a module whose workers would share what each needs for itself. */
function checkExports({ module, exports }, poolSize) {
  const names = WebAssembly.Module.customSections(module, 'name').map((bytes) => new TextDecoder().decode(bytes));
  const wanted = ['__wasm_init_tls', ...(poolSize > 1 ? ['__stack_pointer'] : [])];
  for (const wants of wanted) {
    const isThere = names.some((text) => text.includes(wants));
    if (!isThere || exports.some(({ name }) => name === wants)) continue;
    throw new ThreadworkError(
      'UNEXPORTED',
      `the module does not export ${wants}, so its workers cannot have a stack and thread-local ` +
        'data of their own: link it with --export=__stack_pointer, __wasm_init_tls, __tls_size and __tls_align',
    );
  }
}
