// A process where memory cannot be shared: the program runs on one worker, alone, with its
// memory made unshared. Spawns are refused, a wait that would sleep traps, and a sleep keeps a
// core busy. Nothing can be given to the program while it runs, so its input is there from
// the start.

import { Cause } from './control.js';
import { ENDED } from './environment.js';
import { LocalFiles } from './files/local.js';
import { GuestMemory } from './guest-memory.js';
import { trapOf } from './trap.js';
import { wasiCalls } from './wasi/calls.js';

const REFUSED = -6;
const MOST = 65536;

export class Solo {
  #join;
  #post;
  #memory = new GuestMemory();
  #files = null;
  #instance = null;
  #input;
  #isOver = false;
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
        streamMoved: (stream, fd) => void (this.#streams[stream] = fd),
      });
      this.#instance = new WebAssembly.Instance(this.#join.module, imports);
      const { memory, _start, _initialize } = this.#instance.exports;
      if (!this.#memory.isAttached) this.#memory.attach(memory);
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
    const trap = trapOf(error);
    if (!trap) this.#end({ cause: Cause.FAILED, message: error.message });
    else this.#end({ cause: Cause.TRAPPED, ...trap, message: explained(trap.message) });
  }

  async #imports(memories) {
    const imports = {};
    const into = (module) => (imports[module] ??= {});
    for (const { module, name, minimum, maximum } of memories) {
      const memory = new WebAssembly.Memory({ initial: minimum, maximum });
      into(module)[name] = memory;
      this.#memory.attach(memory);
    }
    Object.assign(into('wasi_snapshot_preview1'), wasiCalls(this.#environment()));
    into('wasi')['thread-spawn'] = () => REFUSED;
    if (this.#join.imports) {
      const { default: define } = await import(/* @vite-ignore */ /* webpackIgnore: true */ this.#join.imports);
      const context = {
        data: this.#join.data,
        memory: undefined,
        thread: () => 0,
        exports: () => this.#instance.exports,
      };
      for (const [module, names] of Object.entries(await define(context))) {
        Object.assign(into(module), names);
      }
    }
    return imports;
  }

  #environment() {
    return {
      ...this.#join.given,
      memory: this.#memory,
      check: () => {},
      exit: (code) => {
        this.#end({ cause: Cause.EXITED, code });
        throw ENDED;
      },
      stream: (fd) => this.#streams.indexOf(fd >>> 0),
      hasInput: () => true,
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
      const bytes = source.slice(0, MOST - moved);
      moved += bytes.length;
      this.#post({ output: { stream, bytes } });
    }
    return moved;
  }
}

/** A wait on memory that is not shared traps; engines say why in words of their own. */
function explained(message) {
  if (!/shared|wait/i.test(message)) return message;
  return `${message} (the program waits for another thread; it has none, because memory cannot be shared here)`;
}
