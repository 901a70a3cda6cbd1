// A seat: a worker's place in a process. It has an instance of the module before there is
// work for it, and one that is as new for each thread: what an instance keeps for itself (its
// stack pointer, its thread-local base) must not be seen by the next.
//
// Invariant: a failure of the guest ends the process or is the answer to a call; it never
// ends the worker.

import { Activity, Cause, Control, Job, MOST_VALUES, Reply } from './control.js';
import { ENDED, Environment } from './environment.js';
import { GuestMemory } from './guest-memory.js';
import { plainFiles } from './files/plain.js';
import { countLocks, isStopped } from './lock.js';
import * as S from './seat-words.js';
import { takeStopByte } from './stop-bytes.js';
import { nextJob, spawn, threadEnded } from './threads.js';
import { failureOf, isInWasm, trapOf, wasmFrames } from './trap.js';
import { wasiCalls } from './wasi/calls.js';
import * as W from './words.js';

const MAIN = 0;

/** How a thread gets a larger stack in linear memory, by what it runs. */
const LARGER_STACK = {
  command: 'link the program with a larger one (-z stack-size)',
  reactor: 'link the program with a larger one (-z stack-size)',
  pool: "raise the runtime's option stackSize",
  thread: 'start the thread with a larger one (thread::Builder::stack_size, RUST_MIN_STACK, pthread_attr_setstacksize)',
};

export class Seat {
  /**
   * @param {object} join what the supervisor says of the process and of this place in it
   * @param {(message: object) => void} post to the supervisor
   */
  constructor(join, post) {
    this.join = join;
    this.post = post;
    this.control = new Control(join.control);
    this.at = this.control.seat(join.index);
    this.memory = new GuestMemory();
    /** Only one instance writes the module's data. */
    this.isFirst = join.index === MAIN && !join.isLater;
    countLocks(this.control.words, this.at + S.LOCKS);
  }

  get isMain() {
    return this.isFirstSeat && this.join.program !== 'pool';
  }

  get isFirstSeat() {
    return this.join.index === MAIN;
  }

  /** Whether the host's calls are its work; others' is threads. */
  get takesCalls() {
    const { program, index, poolSize } = this.join;
    return program === 'pool' ? index < poolSize : this.isFirstSeat;
  }

  /** Runs the seat's threads until the process ends. */
  async serve() {
    try {
      this.imports = await this.makeImports();
    } catch (error) {
      // For want of files: the supervisor makes another worker.
      if (error?.code === 'EMFILE') throw error;
      // Nothing of the guest has run.
      if (this.control.end(Cause.FAILED)) this.post({ ending: { error: failureOf(error) } });
      return;
    }
    try {
      // Linkers let the first instance write the data, and give it the main thread's
      // thread-local storage.
      if (!this.isFirst) Atomics.wait(this.control.words, W.READY, 0);
      if (this.isMain) this.guest(() => this.runMain());
      else if (!this.control.isEnding) this.instantiate();
      this.serveJobs();
    } catch (error) {
      this.fail(error);
    }
    this.control.setActivity(this.at, Activity.NONE);
  }

  runMain() {
    this.instantiate();
    this.enter();
    const { _start, _initialize } = this.instance.exports;
    if (this.join.program === 'command') {
      _start();
      this.environment.exit(0);
    }
    _initialize?.();
    this.post({ initialized: true });
  }

  serveJobs() {
    const { control, join, at } = this;
    while (nextJob(control, join.index, !this.takesCalls, this.environment.ringHost)) {
      if (control.words[at + S.JOB] === Job.CALL) {
        this.answer();
        continue;
      }
      this.guest(() => {
        this.enter();
        const argument = control.words[at + S.ARGUMENT];
        this.instance.exports.wasi_thread_start(control.threadOf(at), argument);
      });
      threadEnded(control, at);
      if (control.isEnding) return;
      if (join.isObserved) this.observed.judge(this);
      this.renew();
    }
  }

  // ---- Instances ----

  instantiate() {
    const { module, laterModule } = this.join;
    this.instance = new WebAssembly.Instance(this.isFirst ? module : laterModule, this.imports);
    takeStopByte(this);
    const { memory, ['threadwork:memory']: own } = this.instance.exports;
    if (!this.join.memories[this.join.wasiMemory]) this.memory.attach(memory instanceof WebAssembly.Memory ? memory : own);
    if (this.join.program === 'pool' && this.takesCalls) {
      this.enter();
      if (this.isFirst) this.stack.initialize(this);
      this.stack.settle(this);
      if (this.isFirst) this.post({ initialized: true });
    }
    if (this.isFirst) this.control.setReady();
    this.isFirst = false;
  }

  /** Makes the instance as good as new. */
  renew() {
    const reset = this.instance.exports['threadwork:reset'];
    if (reset) reset();
    else if (!this.join.isReusable) this.instantiate();
  }

  /** What instantiation did before the module was rewritten, if it was. */
  enter() {
    this.instance.exports['threadwork:enter']?.(this.isFirst || this.isMain ? 1 : 0);
  }

  // ---- Failures ----

  /** Runs guest code; its failure ends the process. */
  guest(body) {
    this.control.setActivity(this.at, Activity.RUNNING);
    try {
      this.environment.check();
      body();
    } catch (error) {
      this.fail(error);
    }
    this.control.setActivity(this.at, Activity.LEAVING);
  }

  /** Ends the process because of an error, unless the error is that it has ended. */
  fail(error) {
    const { control, at } = this;
    control.setActivity(at, Activity.LEAVING);
    if (error === ENDED) return;
    const trap = this.trapOf(error);
    if (control.end(trap ? Cause.TRAPPED : Cause.FAILED, 0, control.threadOf(at))) {
      this.post({ ending: trap ?? { error: failureOf(error) } });
    }
  }

  trapOf(error) {
    const { instance, takesCalls, join: { module, program } } = this;
    return trapOf(error, { module, instance, larger: takesCalls ? LARGER_STACK[program] : LARGER_STACK.thread });
  }

  /** After a wait: where it was, if the process has ended by a deadlock meanwhile. */
  checkAfterWait() {
    const { control, at } = this;
    if (!control.isEnding) return;
    if (control.words[W.CAUSE] === Cause.DEADLOCK && control.words[at + S.ACTIVITY] === Activity.WAITING) {
      const address = control.words[at + S.ADDRESS] >>> 0;
      const sleeper = { thread: control.threadOf(at), address, stack: wasmFrames(new Error().stack, this.join.module) };
      this.post({ sleeper });
    }
    throw ENDED;
  }

  // ---- Calls from the host ----

  /** Answers a call of an export. */
  answer() {
    const { control, at, join } = this;
    const name = join.exports[control.words[at + S.ARGUMENT]];
    let reply = Reply.POSTED;
    control.setActivity(at, Activity.RUNNING);
    try {
      const values = control.values(at);
      const misfit = this.misfit(name, values);
      if (misfit) this.postAnswer({ error: { code: 'ARGUMENTS', message: misfit } });
      else reply = this.take(this.instance.exports[name](...values));
    } catch (error) {
      const isMisfit = error instanceof TypeError && !isInWasm(error.stack ?? '');
      if (isStopped() && !control.isEnding) {
        // Nobody waits for an answer, which might be taken for the next one's.
        reply = Reply.NONE;
        this.instantiate();
      } else if (isMisfit) {
        this.postAnswer({ error: { code: 'ARGUMENTS', message: error.message } });
      } else if (join.program === 'pool' && error !== ENDED) {
        const trap = this.trapOf(error);
        this.postAnswer({ error: trap ? { code: 'TRAPPED', ...trap } : failureOf(error) });
        // The old instance was left in the middle of something.
        this.instantiate();
      } else {
        this.fail(error);
      }
    }
    control.setActivity(at, Activity.NONE);
    Atomics.store(control.words, at + S.REPLY, reply);
    this.environment.ringHost();
  }

  /** Hands results to the host: in the seat's words, or, if they are more, by message. */
  take(result) {
    const values = result === undefined ? [] : [result].flat();
    if (values.length <= MOST_VALUES) {
      this.control.setValues(this.at, values);
      return Reply.DONE;
    }
    this.postAnswer({ values });
    return Reply.POSTED;
  }

  /** What does not fit into the seat's words; the reply says that there is such. */
  postAnswer(answer) {
    this.post({ answer: { index: this.join.index, ...answer } });
  }

  /** Why an export cannot be called with these values, if it cannot. */
  misfit(name, values) {
    const { length } = this.instance.exports[name];
    if (values.length === length) return undefined;
    return `\`${name}\` takes ${length} arguments, not ${values.length}`;
  }

  // ---- What the guest imports ----

  /** What WASI stands on; without the file table where nothing was granted. */
  async makeEnvironment(isServed) {
    const { control, at, memory, post, join: { files, given } } = this;
    const environment = (call) => new Environment(control, at, memory, given, post, call, isServed);
    if (files.isPlain) return environment(plainFiles(control, memory, files.terminals));
    const { countLocks, informing, LocalFiles, Sockets } = await import('./files.js');
    countLocks(control.words, at + S.LOCKS);
    this.localFiles = await LocalFiles.open(memory, files, informing(control));
    const made = environment(this.localFiles.call);
    if (files.sockets) made.sockets = new Sockets(made, this.localFiles.table.descriptors, files.sockets);
    return made;
  }

  async makeImports() {
    const { join, control, at, memory, post } = this;
    const imports = {};
    const into = (module) => (imports[module] ??= {});
    for (const { module, name, memory } of join.memories) into(module)[name] = memory;
    const wasi = join.memories[join.wasiMemory]?.memory;
    // V8 checks atomics against the size that a worker knows, and forgets to tell it of a growth
    // that comes while it receives the memory. Growing by nothing fetches the size.
    for (const { memory } of join.memories) memory.grow(0);
    if (wasi) memory.attach(wasi);

    this.environment = await this.makeEnvironment(wasi !== undefined);
    const env = this.environment;
    if (join.program === 'pool') this.stack = await import('./stack.js');

    Object.assign(into('wasi_snapshot_preview1'), wasiCalls(env));
    into('wasi')['thread-spawn'] = (argument) => {
      env.check();
      const id = spawn(control, argument, env.ringSupervisor);
      env.check();
      return id;
    };
    if (join.isRewritten) {
      this.observed = await import('./observed.js');
      Object.assign(into('threadwork'), this.observed.observedCalls(this));
    }
    if (join.functions) {
      const { pageImports } = await import('./page-calls.js');
      for (const [module, names] of Object.entries(pageImports(this, join.functions))) Object.assign(into(module), names);
    }
    if (join.imports) {
      const { addImports, checkComplete } = await import('./imports.js');
      await addImports(imports, join.imports, {
        data: join.data,
        memory: join.memories[0]?.memory,
        thread: () => control.threadOf(at),
        exports: () => this.instance.exports,
        post: (message) => post({ sent: { message } }),
      });
      checkComplete(join.module, imports);
    }
    return imports;
  }
}
