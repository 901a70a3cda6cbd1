// A process where memory cannot be shared: the program runs on one worker, alone, with its
// memory made unshared. Spawns are refused, a wait that would sleep traps, and a sleep keeps a
// core busy. Nothing can be given to the program while it runs, so its input is there from
// the start.

import { Cause, LIMITS } from './control.js';
import { ENDED } from './environment.js';
import { NO_SHARED_MEMORY } from './errors.js';
import { LocalFiles } from './files/local.js';
import { GuestMemory } from './guest-memory.js';
import { monotonic } from './platform.js';
import { failureOf, trapOf } from './trap.js';
import { wasiCalls } from './wasi/calls.js';

const REFUSED = -6;

export class Solo {
  #join;
  #post;
  #memory = new GuestMemory();
  #files = null;
  #instance = null;
  #input;
  #isOver = false;
  /** Whether it has asked for what there is not without shared memory. */
  #missesThreads = false;
  /** The bits of the limits that it has met. */
  #limitsMet = 0;
  /** The descriptors of the standard streams. */
  #streams = [0, 1, 2];

  constructor(join, post) {
    this.#join = join;
    this.#post = post;
    this.#input = join.input;
  }

  async serve() {
    const { memories, files, program } = this.#join;
    try {
      const imports = await this.#imports(memories);
      this.#files = await LocalFiles.open(this.#memory, files, {
        limitMet: (limit) => this.#meet(limit),
        streamMoved: (stream, fd) => void (this.#streams[stream] = fd),
      });
      this.#instance = new WebAssembly.Instance(this.#join.module, imports);
      const { exports } = this.#instance;
      const { memory, _start, _initialize } = exports;
      if (!this.#memory.isAttached) this.#memory.attach(memory instanceof WebAssembly.Memory ? memory : exports['threadwork:memory']);
      // What instantiation did before the module was rewritten, if it was.
      exports['threadwork:enter']?.(1);
      if (program === 'command') {
        _start();
        this.#end({ cause: Cause.EXITED, code: 0 });
      } else {
        _initialize?.();
        this.#post({ initialized: true });
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  call({ request, name, args }) {
    try {
      const called = this.#instance.exports[name];
      if (called.length !== args.length) {
        const message = `\`${name}\` takes ${called.length} arguments, not ${args.length}`;
        this.#post({ result: { request, error: { code: 'ARGUMENTS', message } } });
      } else {
        this.#post({ result: { request, value: called(...args) } });
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #end(ending) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#post({ ending });
    this.#post({ left: { files: this.#files?.finish() } });
  }

  #fail(error) {
    if (error === ENDED) return;
    const larger = 'link the program with a larger one (-z stack-size)';
    const trap = trapOf(error, { module: this.#join.module, instance: this.#instance, larger });
    if (!trap) return this.#end({ cause: Cause.FAILED, error: failureOf(error) });
    // A wait in a module that was not rewritten traps by itself, in the engine's words.
    const isWait = /shared|wait/i.test(trap.message);
    const why = this.#missesThreads || isWait ? ` (${NO_SHARED_MEMORY})` : '';
    const message = trap.message + why;
    this.#end({ cause: Cause.TRAPPED, ...trap, message, limitsMet: this.#limitsMet });
  }

  #meet(limit) {
    this.#limitsMet |= 1 << LIMITS.indexOf(limit);
  }

  async #imports(memories) {
    const imports = {};
    const into = (module) => (imports[module] ??= {});
    for (const plan of memories) {
      const memory = new WebAssembly.Memory({ initial: plan.minimum, maximum: plan.maximum });
      into(plan.module)[plan.name] = memory;
      if (plan.index === this.#join.wasiMemory) this.#memory.attach(memory);
      Object.assign(into('threadwork'), this.#observedCalls(memory, plan));
    }
    Object.assign(into('wasi_snapshot_preview1'), wasiCalls(this.#environment()));
    into('wasi')['thread-spawn'] = () => {
      this.#missesThreads = true;
      return REFUSED;
    };
    if (this.#join.imports) {
      const { addImports, checkComplete } = await import('./imports.js');
      await addImports(imports, this.#join.imports, {
        data: this.#join.data,
        memory: undefined,
        thread: () => 0,
        exports: () => this.#instance.exports,
      });
      checkComplete(this.#join.module, imports);
    }
    return imports;
  }

  /** What a rewritten module imports: the same as its instructions on memory that is not shared. */
  #observedCalls(memory, { index, isLimited }) {
    const wait = () => {
      this.#missesThreads = true;
      throw new WebAssembly.RuntimeError('a wait that nobody could end');
    };
    return {
      [`wait32:${index}`]: wait,
      [`wait64:${index}`]: wait,
      [`notify:${index}`]: () => 0,
      [`grow:${index}`]: (pages) => {
        try {
          return memory.grow(pages >>> 0);
        } catch {
          if (isLimited) this.#meet('memory');
          return -1;
        }
      },
    };
  }

  #environment() {
    const { given } = this.#join;
    return {
      ...given,
      // The host's clock may differ, and be ahead: see platform.js. No other thread's is there to agree with.
      origin: Math.min(given.origin, monotonic()),
      memory: this.#memory,
      check: () => {},
      exit: (code) => {
        this.#end({ cause: Cause.EXITED, code });
        throw ENDED;
      },
      stream: (fd) => this.#streams.indexOf(fd >>> 0),
      yield: () => {},
      hasInput: () => true,
      input: () => ({ filled: this.#input.length, isFinished: true }),
      waitForInput: () => {},
      read: (vectors) => this.#read(vectors),
      write: (stream, vectors) => this.#write(stream, vectors),
      sleep: (milliseconds) => {
        const end = performance.now() + milliseconds;
        while (performance.now() < end);
      },
      file: (name, args) => this.#files.call(name, args),
    };
  }

  #read(vectors) {
    let moved = 0;
    for (const target of vectors) {
      const part = this.#input.subarray(0, target.length);
      target.set(part);
      this.#input = this.#input.subarray(part.length);
      moved += part.length;
    }
    return moved;
  }

  #write(stream, vectors) {
    let moved = 0;
    for (const source of vectors) {
      const bytes = source.slice();
      moved += bytes.length;
      this.#post({ output: { stream, bytes } });
    }
    return moved;
  }
}
