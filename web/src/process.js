// A process: one program, its memory, its threads, its files and its limits, as the host
// sees it.
//
// Invariant: whatever happens, the promises of `start`, `run`, `wait` and `call` are kept or
// broken, and afterwards the process has no worker.

import {
  ACTIVITIES,
  Activity,
  Cause,
  Control,
  Job,
  LIMITS,
  Mailbox,
  MOST_VALUES,
  NEVER_ALL,
  Reply,
} from './control.js';
import { Engine } from './engine.js';
import { describe, NO_SHARED_MEMORY, ours, ThreadworkError } from './errors.js';
import { absolute, bytesOf, callOut, checkCount, checkSignal, checkTime, onAbort, textOf } from './foreign.js';
import { withZero } from './guest-memory.js';
import { layOut, take } from './host-area.js';
import { Outbox } from './messages.js';
import { asyncDispose, canShare, canWaitAsync, cores, isNode, monotonic } from './platform.js';
import { functionsOf, listenersOf, preopensOf } from './preopens.js';
import * as S from './seat-words.js';
import { unshare } from './sections.js';
import { stopAll, stopBytesOf } from './stop-bytes.js';
import { Input, Output } from './streams.js';
import * as W from './words.js';

const PAGE = 65536;
/** Threads beside the main one, unless told. */
const MOST_THREADS = 64;
/** How often the trace is looked at, in ms. */
const TRACE_PERIOD = 50;
/** How long to wait for room for a memory, and how often to look, in ms. */
const ROOM_PATIENCE = 10_000;
const ROOM_PERIOD = 50;
/** The stack of an instance that runs tasks. */
const STACK_SIZE = 1 << 20;

let ids = 0;

/** A promise and what keeps or breaks it; a broken one that nobody looks at is no scandal. */
function deferred() {
  let resolve;
  let reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  promise.catch(() => {});
  return { promise, resolve, reject };
}

export class Process {
  #program;
  #options;
  #engine;
  #kind;
  #control = null;
  #memories = [];
  /** Why there was no room for them, if there was none. */
  #shortage = null;
  /** Their bytes at the end. */
  #lastMemory = 0;
  #stdin = null;
  /** The file table, if descriptors of the system are in it. */
  #table = null;
  #outputs = [];
  #started = deferred();
  #ended = deferred();
  #hasBegun = false;
  /** The functions of the page that it may call; null if it calls none. */
  #functions;
  /** Ends the interest in the signal that may end it. */
  #deafen = () => {};
  #status = null;
  /** What a callback or a stream of the user's failed with, the first. */
  #broken = null;
  #files = {};
  #beginning = 0;
  #end = 0;
  /** Of `thread`. */
  #listeners = new Set();
  /** What the program has sent. */
  #outbox = new Outbox((error) => this.#break('a listener of `message`', error));
  #trace = { next: 0, lost: 0, timer: null };
  /** Calls that wait for a seat, and those that have one. */
  #calls = [];
  #running = new Map();
  /** Answers that came by message, by seats. */
  #answers = new Map();

  /**
   * @param {import('./program.js').Program} program
   * @param {object} [options]
   */
  constructor(program, options = {}) {
    this.#program = program;
    this.#options = options;
    this.#engine = options.engine ?? Engine.default;
    this.id = ++ids;
    this.#kind = options.pool ? 'pool' : program.isCommand ? 'command' : 'reactor';
    this.#prepare();
    if (!options.imports) program.checkImports((module, name) => this.#functions?.defines(module, name));
  }

  // ---- What it is given ----

  get #mostThreads() {
    if (!this.#program.spawns || this.#isSolo) return 0;
    const { maxThreads = MOST_THREADS, pool = 0 } = this.#options;
    return maxThreads - pool;
  }

  /** Workers made ready for threads. */
  get #poolSize() {
    const { poolSize = cores } = this.#options;
    return Math.min(poolSize, this.#mostThreads);
  }

  /** Whether everything has to happen on one worker, because memory cannot be shared. */
  get #isSolo() {
    return !canShare;
  }

  #prepare() {
    const { stdin = 'null', stdout = 'inherit', stderr = 'inherit' } = this.#options;
    const trace = (this.#options.trace ?? false) && !this.#isSolo;
    const { listeners = [] } = this.#options;
    if (this.#isSolo && (this.#kind === 'pool' || this.#options.requireThreads || listeners.length > 0)) {
      throw new ThreadworkError('NO_SHARED_MEMORY', NO_SHARED_MEMORY);
    }
    const { limits = {}, signal } = this.#options;
    checkSignal(signal);
    if (limits.wallTime !== undefined) checkTime('limits.wallTime', limits.wallTime);
    if (limits.memory !== undefined) checkCount('limits.memory', limits.memory);
    if (limits.openFiles !== undefined) checkCount('limits.openFiles', limits.openFiles);
    if (limits.fileMemory !== undefined) checkCount('limits.fileMemory', limits.fileMemory);
    for (const name of ['poolSize', 'memorySize', 'hostMemory', 'stackSize', 'tlsSize']) {
      if (this.#options[name] !== undefined) checkCount(name, this.#options[name], 2 ** 32);
    }
    const most = checkCount('maxThreads', this.#mostThreads, 4095);
    this.#control = new Control(Control.create(most + this.#callSeats, { trace, shared: !this.#isSolo }));
    const { words } = this.#control;
    words[W.MOST_THREADS] = most;
    words[W.ALIVE] = words[W.PEAK] = words[W.STARTED] = 1;
    // The host has more to do for a pool than its workers know.
    if (this.#kind === 'pool') words[W.ASLEEP] = NEVER_ALL;
    else words[W.COMING] = this.#poolSize;
    words[W.STREAM_FD + 1] = 1;
    words[W.STREAM_FD + 2] = 2;
    words[W.BY_MESSAGE] = canWaitAsync ? 0 : 1;
    if (!this.#isSolo) this.#tryMemories();
    const given = functionsOf(this.#options);
    const { PageFunctions, imports } = this.#program;
    const broken = (what, error) => this.#break(what, error);
    this.#functions = PageFunctions && new PageFunctions(given, this.#control, imports, broken);
    if (this.#isSolo && this.#functions?.plan) throw new ThreadworkError('NO_SHARED_MEMORY', NO_SHARED_MEMORY);
    const look = () => this.#look();
    const fails = (what) => (error) => this.#break(what, error);
    this.#outputs = [new Output(stdout, 1, look, fails('stdout')), new Output(stderr, 2, look, fails('stderr'))];
    // Without a shared ring, the whole input is sent along.
    const filled = () => this.#control.ring(W.CHANGED);
    this.#stdin = this.#isSolo ? null : new Input(stdin, this.#control.rings[0], fails('stdin'), filled);
  }

  /** The memories that it imports, within its limit, by their numbers in the module. */
  #planMemories() {
    const { memorySize = 0, hostMemory = 0, limits: { memory: limit = Infinity } = {} } = this.#options;
    return this.#program.sharedMemories.map(({ module, name, minimum, maximum }, index) => {
      const most = Math.min(maximum, Math.floor(limit / PAGE));
      if (most < minimum) {
        throw new ThreadworkError(
          'OUT_OF_MEMORY',
          `the program needs ${minimum * PAGE} bytes of memory at first, and the limit is ${limit}: raise it`,
        );
      }
      // Room is left for what has to be added.
      const wanted = Math.min(Math.ceil(memorySize / PAGE), Math.floor((minimum + most) / 2));
      const reserved = minimum + (index === 0 ? Math.ceil(hostMemory / PAGE) : 0);
      if (reserved > most) {
        throw new ThreadworkError(
          'OUT_OF_MEMORY',
          `there is no room for the ${hostMemory} bytes of \`hostMemory\`: link the program with a ` +
            'larger --max-memory, or raise limits.memory',
        );
      }
      const first = Math.max(reserved, wanted);
      if (index === 0 && this.#program.isStoppable) this.#control.words[W.STOP_AT] = stopBytesOf(minimum);
      if (index === 0) layOut(this.#control.words, minimum * PAGE, first * PAGE);
      return { module, name, index, minimum: first, maximum: most, isLimited: most < maximum };
    });
  }

  #makeMemories() {
    return this.#planMemories().map(({ minimum, maximum, ...place }) => ({
      ...place,
      memory: reserve(minimum, maximum, place.isLimited),
    }));
  }

  /** Whether the host has room for its memories now. */
  #tryMemories() {
    try {
      this.#memories = this.#makeMemories();
      this.#shortage = null;
    } catch (error) {
      if (error.cause === undefined) throw error;
      this.#shortage = error;
    }
    return this.#shortage === null;
  }

  /** Waits for room: that of processes which have ended is free when their workers are gone. */
  async #makeRoom() {
    const end = monotonic() + ROOM_PATIENCE;
    this.#engine.makeRoom();
    while (this.#end === 0 && !this.#tryMemories()) {
      if (monotonic() > end) throw this.#shortage;
      await new Promise((done) => setTimeout(done, ROOM_PERIOD));
    }
  }

  #environment() {
    const env = { ...this.#options.env };
    const parallelism = String(Math.max(1, Math.min(this.#mostThreads, cores)));
    if (this.#program.spawns) {
      env.RAYON_NUM_THREADS ??= parallelism;
      env.THREADWORK_PARALLELISM ??= parallelism;
    }
    return Object.entries(env).map(([name, value]) => {
      if (name === '' || name.includes('=')) throw new TypeError(`"${name}" cannot be the name of a variable`);
      return withZero(`${name}=${value}`);
    });
  }

  #begin() {
    const { args = [], arg0 = this.#program.name, tty = false, limits = {} } = this.#options;
    const { stackSize = STACK_SIZE, tlsSize = 0 } = this.#options;
    const { imports, data } = this.#options;
    const control = { buffer: this.#control.words.buffer, seats: this.#control.seats, trace: this.#control.trace !== 0 };
    return {
      id: this.id,
      program: this.#kind,
      module: this.#program.module,
      laterModule: this.#program.laterModule,
      isReusable: this.#program.isReusable,
      exports: this.#program.exports.map(({ name }) => name),
      isObserved: this.#program.isObserved,
      isRewritten: this.#program.imports.some(({ module }) => module === 'threadwork'),
      control,
      memories: this.#memories,
      wasiMemory: this.#program.wasiMemory,
      given: {
        args: [arg0, ...args].map((text) => withZero(text)),
        env: this.#environment(),
        origin: this.#beginning,
      },
      files: {
        ...this.#granted(),
        mostMemory: limits.fileMemory,
        terminals: [tty, tty, tty],
        mostOpen: limits.openFiles,
      },
      imports: imports && absolute(imports),
      data,
      functions: this.#functions?.plan,
      poolSize: this.#kind === 'pool' ? this.#options.pool : this.#poolSize,
      wallTime: limits.wallTime,
      stackSize,
      tlsSize,
    };
  }

  /** Directories and listeners. Without any it does without the file table, if the supervisor reaches its memory. */
  #granted() {
    const preopens = preopensOf(this.#options);
    const listeners = listenersOf(this.#options.listeners ?? []);
    const isPlain = preopens.length + listeners.length === 0 && this.#program.wasiMemory >= 0;
    return { preopens, listeners, isPlain };
  }

  /** What a process that cannot share memory is given besides. */
  async #beginAlone() {
    return { ...(await soloParts(this.#program, this.#options)), memories: this.#planMemories() };
  }

  // ---- Its life ----

  /**
   * Starts it. Kept when the main thread is about to run; for a program without `_start`, when
   * `_initialize` has returned.
   */
  async start() {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#beginning = monotonic();
      this.#deafen = onAbort(this.#options.signal, (reason) => this.#abort(reason));
      try {
        if (this.#shortage) await this.#makeRoom();
        const begin = this.#begin();
        if (this.#isSolo) Object.assign(begin, await this.#beginAlone());
        if (this.#end === 0) {
          this.#listen();
          await this.#engine.begin(this, begin);
        }
        if (this.#end === 0 && this.#kind === 'command') this.#started.resolve();
      } catch (error) {
        this.engineFailed(error);
      }
    }
    return this.#started.promise;
  }

  /** Starts it, and waits for its end. */
  run() {
    // What breaks the start breaks the end, too.
    this.start().catch(() => {});
    return this.wait();
  }

  /** Its status when it has ended and all its threads are gone. */
  wait() {
    return this.#ended.promise;
  }

  /** Its status if it has ended, else null. */
  get status() {
    return this.#status;
  }

  /** Ends it, whatever its threads do. `wait` tells when they are gone. */
  kill() {
    this.#stop(Cause.KILLED);
  }

  /** @internal Ends it well. */
  dismiss() {
    this.#stop(Cause.EXITED);
  }

  /** Ends it, and with that what was begun with `await using`. */
  async [asyncDispose]() {
    this.kill();
    // A failure is for whoever waits for the program.
    await this.wait().catch(() => {});
  }

  #abort(reason) {
    if (this.#end !== 0) return;
    this.#broken ??= reason;
    this.kill();
  }

  #stop(cause) {
    this.#hasBegun = true;
    this.#control.end(cause);
    stopAll(this.#control, this.#memories);
    if (!this.#engine.kill(this.id)) this.#finish({});
  }

  /** Something of the user's has failed: ends the process, and breaks its promises with that, once. */
  #break(what, error) {
    if (this.#broken) return;
    this.#broken = new ThreadworkError('CALLBACK', `${what} failed: ${textOf(error)}`, { cause: error });
    if (this.#end === 0) this.#stop(Cause.FAILED);
  }

  // ---- What it says ----

  /** @internal A message from the supervisor. */
  receive(message) {
    if (message.bell) this.#look();
    else if (message.output) this.#outputs[message.output.stream - 1].take(message.output.bytes);
    else if (message.called) this.#functions?.receive(message.called);
    else if (message.sent) this.#outbox.put(message.sent.message);
    else if (message.result) this.#takeResult(message.result);
    else if (message.initialized) this.#started.resolve();
    else if (message.table) this.#table = message.table;
    else if (message.replaced !== undefined) this.#replaced(message.replaced);
    else if (message.answer) {
      this.#answers.set(message.answer.index, message.answer);
      this.#look();
    } else if (message.ended) {
      this.#engine.forget(this.id);
      this.#finish(message.ended);
    }
  }

  /** @internal The workers are gone. */
  engineFailed(error) {
    this.#control.end(Cause.FAILED);
    stopAll(this.#control, this.#memories);
    this.#finish({}, error);
  }

  /** @internal Closes what the workers have not closed, once they are gone. */
  async closeFiles() {
    // Elsewhere nothing is the system's.
    if (this.#table && isNode) (await import('./closing.js')).closeAll(this.#table);
  }

  /** It has ended: settles everything. */
  #finish(report, error) {
    if (this.#end !== 0) return;
    this.#files = report.files ?? {};
    const { words } = this.#control;
    // What the control block would have said, if it were shared.
    if (report.cause) {
      [words[W.CAUSE], words[W.CAUSE_CODE]] = [report.cause, report.code];
      words[W.LIMITS_MET] = report.limitsMet ?? 0;
    }
    this.#end = monotonic();
    this.#deafen();
    this.#lastMemory = sizeOf(this.#memories);
    clearInterval(this.#trace.timer);
    this.#readTrace();
    this.#outputs.forEach((output, n) => output.finish(this.#control.rings[n + 1]));
    this.#stdin?.close();
    // Ends the wait for its bell.
    this.#control.ring(W.HOST);
    error ??= this.#broken;
    if (words[W.CAUSE] === Cause.FAILED) error ??= this.#errorOf(report.error);
    this.#functions?.close();
    if (error) {
      this.#ended.reject(error);
      return this.#over(error);
    }
    this.#status = statusOf(this.#control, this.#options, report, this.#program);
    this.#ended.resolve(this.#status);
    this.#over(hasEnded(this.#status));
  }

  /** Breaks what is still promised. */
  #over(error) {
    this.#started.reject(error);
    for (const { reject } of [...this.#calls, ...this.#running.values()]) reject(error);
    this.#calls = [];
    this.#running.clear();
    this.#memories = [];
  }

  /** @internal Whether it has ended, however. */
  get isOver() {
    return this.#end !== 0;
  }

  async #listen() {
    if (this.#control.trace) {
      this.#trace.timer = setInterval(() => this.#readTrace(), TRACE_PERIOD);
    }
    if (!canWaitAsync || this.#isSolo) return;
    const { words } = this.#control;
    while (this.#end === 0) {
      const seen = Atomics.load(words, W.HOST);
      this.#look();
      const wait = Atomics.waitAsync(words, W.HOST, seen);
      if (wait.async) await wait.value;
    }
  }

  /** Looks at everything that a bell can mean. */
  #look() {
    if (this.#end !== 0) return;
    this.#outputs.forEach((output, n) => output.drain(this.#control.rings[n + 1]));
    this.#stdin?.fill();
    this.#takeReplies();
    this.#giveCalls();
  }

  // ---- Standard streams ----

  /** A WritableStream, if `stdin` is 'pipe'. */
  get stdin() {
    return this.#stdin?.stream ?? null;
  }

  /** A ReadableStream, if `stdout` is 'pipe'. */
  get stdout() {
    return this.#outputs[0].stream;
  }

  /** A ReadableStream, if `stderr` is 'pipe'. */
  get stderr() {
    return this.#outputs[1].stream;
  }

  /** What was written to a `stdout` that is 'collect'. */
  get stdoutBytes() {
    return this.#outputs[0].collected;
  }

  get stderrBytes() {
    return this.#outputs[1].collected;
  }

  // ---- Files ----

  /** The directories in memory as they were when the process ended, by the guest's path. */
  get files() {
    return this.#files;
  }

  /** The bytes of one of its files; at any time once it has been started. */
  async readFile(path) {
    if (this.#isKept(path)) return lookUp(this.#files, path);
    try {
      return await this.#access({ path });
    } catch (error) {
      // It may have ended meanwhile.
      if (this.#isKept(path)) return lookUp(this.#files, path);
      throw error;
    }
  }

  /** Makes or replaces one of its files, but not one in memory of a process that has ended. */
  async writeFile(path, data) {
    const bytes = bytesOf(data).slice();
    if (this.#isKept(path)) throw new ThreadworkError('ENDED', 'the process has ended, and its files in memory with it');
    await this.#access({ path, data: bytes });
  }

  /** Whether a file is one of those that the process has left behind. */
  #isKept(path) {
    return this.#end !== 0 && rootOf(Object.keys(this.#files), path) !== undefined;
  }

  async #access(access) {
    if (!this.#hasBegun) throw new ThreadworkError('NOT_STARTED', 'the process was not started: start() it first');
    if (this.#isSolo && this.#end === 0) {
      throw new ThreadworkError('FILE', `${access.path}: not while a program runs without shared memory`);
    }
    const sources = preopensOf(this.#options).filter(([, { kind }]) => kind !== 'memory');
    const { value, error } = await this.#engine.request({ access: { id: this.id, sources, ...access } });
    if (error === undefined) return value;
    throw new ThreadworkError('FILE', `${access.path}: ${error}`);
  }

  // ---- Calls ----

  /**
   * Calls an exported function: of a reactor on its main thread, of a pool on the next worker
   * that is free. Numbers are i32, f32 and f64; bigints are i64.
   */
  async call(name, ...args) {
    return this.submit(name, args).promise;
  }

  /** @internal As `call`; what it returns can be given to `cancel`. */
  submit(name, args) {
    if (this.#kind === 'command') {
      throw new ThreadworkError('COMMAND', 'the process runs `_start` and takes no calls');
    }
    const number = this.#program.exports.findIndex((e) => e.name === name && e.kind === 'function');
    if (number < 0) throw new ThreadworkError('NO_EXPORT', `the module exports no function \`${name}\``);
    if (args.length > MOST_VALUES) throw new RangeError(`at most ${MOST_VALUES} arguments`);
    // Converted now: objects can be anything.
    args = args.map((value) => (typeof value === 'bigint' ? value : Number(value)));
    const call = { number, args, ...deferred() };
    if (this.#end !== 0) {
      call.resolve(this.wait().then((status) => Promise.reject(hasEnded(status))));
    } else if (this.#isSolo) {
      const request = ++ids;
      this.#running.set(request, call);
      const post = () => this.#engine.post({ call: { id: this.id, request, name, args } });
      this.start().then(post, () => {});
    } else {
      this.#calls.push(call);
      this.start().catch(() => {});
      this.#giveCalls();
    }
    return call;
  }

  /**
   * @internal Takes a call back that waits for a seat, or ends the worker that a pool has it
   * on; false if it is over. Its promise is broken with `reason`.
   */
  cancel(call, reason = new ThreadworkError('CANCELLED', 'the task was cancelled')) {
    const at = this.#calls.indexOf(call);
    if (at >= 0) {
      this.#calls.splice(at, 1);
      call.reject(reason);
      return true;
    }
    const index = [...this.#running].find(([, running]) => running === call)?.[0];
    if (index === undefined || this.#control.isEnding) return false;
    if (!call.cancelled) this.#engine.post({ replace: { id: this.id, index } });
    call.cancelled ??= { reason };
    return true;
  }

  /** The worker of a cancelled call is gone. */
  #replaced(index) {
    const call = this.#running.get(index);
    call?.reject(call.cancelled.reason);
    this.#running.delete(index);
    this.#answers.delete(index);
    this.#functions?.forget(index);
    this.#giveCalls();
  }

  /** An error that a worker has told of; that of the page's own function, if it was one. */
  #errorOf(error) {
    const own = error?.page === undefined ? undefined : this.#functions?.takeError(error.page);
    return ours(own) ?? errorOf(error);
  }

  /** @internal How many calls wait for a seat. */
  get queuedCalls() {
    return this.#calls.length;
  }

  /** @internal The call that a seat has. */
  callOn(index) {
    return this.#running.get(index);
  }

  #takeResult({ request, value, error }) {
    const call = this.#running.get(request);
    this.#running.delete(request);
    if (error) call?.reject(errorOf(error));
    else call?.resolve(value);
  }

  get #callSeats() {
    return this.#options.pool ?? 1;
  }

  /** Hands waiting calls to seats that are idle. */
  #giveCalls() {
    const { words } = this.#control;
    for (let index = 0; index < this.#callSeats; index++) {
      if (this.#calls.length === 0 || this.#control.isEnding) return;
      const at = this.#control.seat(index);
      // A seat may be idle, and its last reply not taken yet.
      if (this.#running.has(index) || Atomics.load(words, at + S.MAILBOX) !== Mailbox.IDLE) continue;
      const call = this.#calls.shift();
      this.#running.set(index, call);
      words[at + S.JOB] = Job.CALL;
      words[at + S.ARGUMENT] = call.number;
      words[at + S.REPLY] = Reply.NONE;
      this.#control.setValues(at, call.args);
      // Nobody else gives work to these seats; at the end, they are dismissed.
      if (Atomics.compareExchange(words, at + S.MAILBOX, Mailbox.IDLE, Mailbox.JOB) === Mailbox.IDLE) {
        Atomics.notify(words, at + S.MAILBOX);
      }
    }
  }

  #takeReplies() {
    const { words } = this.#control;
    for (const [index, call] of this.#running) {
      if (call.cancelled) continue;
      const at = this.#control.seat(index);
      const reply = Atomics.load(words, at + S.REPLY);
      const answer = this.#answers.get(index);
      // The message may come later.
      if (reply === Reply.NONE || (reply === Reply.POSTED && !answer)) continue;
      this.#running.delete(index);
      this.#answers.delete(index);
      const { error, values = this.#control.values(at) } = answer ?? {};
      if (error) call.reject(this.#errorOf(error));
      else call.resolve(values.length > 1 ? values : values[0]);
    }
  }

  // ---- What can be seen of it ----

  /**
   * The shared memory of the program; null if it has none, or the process has ended. Who has
   * it could notify any thread, so from then on no deadlock is reported.
   */
  get memory() {
    if (this.#end !== 0 || this.#memories.length === 0) return null;
    Atomics.or(this.#control.words, W.ASLEEP, NEVER_ALL);
    return this.#memories[0].memory;
  }

  /** @internal Where the host may have bytes of its own in the memory. */
  get hostArea() {
    const { words } = this.#control;
    return {
      mayGrow: !this.#program.growsMemory,
      take: (size, alignment) => take(words, size, alignment),
    };
  }

  /** The threads that exist now, by id. */
  threads() {
    const { words, seats } = this.#control;
    const threads = [];
    if (this.#end !== 0) return threads;
    for (let index = 0; index < seats; index++) {
      const at = this.#control.seat(index);
      const activity = Atomics.load(words, at + S.ACTIVITY);
      if (activity === Activity.NONE && index > 0) continue;
      const info = { id: words[at + S.THREAD], activity: ACTIVITIES[activity], worker: index };
      if (activity === Activity.WAITING) info.address = words[at + S.ADDRESS] >>> 0;
      threads.push(info);
    }
    return threads.sort((a, b) => a.id - b.id);
  }

  /** What it has done so far. */
  stats() {
    const { words } = this.#control;
    const isOver = this.#end !== 0;
    const now = isOver ? this.#end : monotonic();
    return {
      threadsStarted: words[W.STARTED],
      threadsAlive: isOver ? 0 : words[W.ALIVE],
      threadsPeak: words[W.PEAK],
      spawnsFailed: words[W.REFUSED],
      waits: words[W.WAITS] >>> 0,
      waitsNotEqual: words[W.NOT_EQUAL] >>> 0,
      notifies: words[W.NOTIFIES] >>> 0,
      woken: words[W.WOKEN] >>> 0,
      memory: isOver ? this.#lastMemory : sizeOf(this.#memories),
      wallTime: this.#beginning === 0 ? 0 : now - this.#beginning,
      traceLost: this.#trace.lost,
    };
  }

  /**
   * Sends bytes or text to the program: to the next of its threads that asks for a message
   * (`threadwork_page::receive`). Until then they wait here.
   */
  postMessage(data) {
    const bytes = bytesOf(data).slice();
    if (this.#end !== 0) throw new ThreadworkError('ENDED', 'the process has ended, and takes no messages');
    this.#functions?.send(bytes);
  }

  /**
   * Calls `listener` with what happens, and returns a function that takes it back. `thread`: what
   * threads do, if the option `trace` is set, as `{time, thread, worker, activity}`. `message`: what
   * the program sends; what it has sent before is kept for the first listener.
   */
  on(event, listener) {
    if (typeof listener !== 'function') throw new TypeError('a listener is a function');
    if (event === 'message') return this.#outbox.listen(listener);
    if (event !== 'thread') throw new TypeError(`there is no event '${textOf(event)}'`);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #readTrace() {
    if (!this.#control.trace) return;
    const { next, lost } = this.#control.readTrace(this.#trace.next, (record) => {
      for (const listener of this.#listeners) {
        const failed = (error) => {
          this.#listeners.delete(listener);
          this.#break('a listener of `thread`', error);
        };
        callOut(failed, listener, record);
      }
    });
    this.#trace.next = next;
    this.#trace.lost += lost;
  }
}

/** What a process that cannot share memory is given besides: its module and its input. */
async function soloParts(program, { stdin = 'null' }) {
  if (stdin === 'pipe' || stdin === 'inherit' || !program.bytes) {
    throw new ThreadworkError('NO_SHARED_MEMORY', NO_SHARED_MEMORY);
  }
  const bytes = stdin === 'null' ? '' : typeof stdin.text === 'string' ? stdin.text : stdin;
  return {
    isSolo: true,
    module: await WebAssembly.compile(unshare(program.bytes)),
    laterModule: null,
    input: new Uint8Array(await new Response(bytes).arrayBuffer()),
  };
}

/** The bytes of shared memories. Growth by a thread is seen here when growing, if by nothing. */
function sizeOf(memories) {
  return memories.reduce((sum, { memory }) => sum + memory.grow(0) * PAGE, 0);
}

/** A shared memory; with less room to grow where the host has no address space for more. */
function reserve(initial, maximum, isLimited) {
  for (let most = maximum; ; most = Math.max(initial, most >> 1)) {
    try {
      return new WebAssembly.Memory({ initial, maximum: most, shared: true });
    } catch (error) {
      if (most > initial && !isLimited) continue;
      throw new ThreadworkError(
        'OUT_OF_MEMORY',
        `the host has no room for a memory of ${initial * PAGE} bytes that may grow to ` +
          `${most * PAGE}, nor has any become free in ${ROOM_PATIENCE / 1000} s: set limits.memory ` +
          `lower, link the program with a smaller --max-memory, or end other processes (${error.message})`,
        { cause: error },
      );
    }
  }
}

const hasEnded = (status) => new ThreadworkError('ENDED', `the process has ended: ${describe(status)}`);

/** An error that a worker has told of. */
function errorOf({ code, message, stack } = { code: 'FAILED', message: 'a worker failed' }) {
  const error = new ThreadworkError(code, message);
  if (stack) error.stack = `${error.name}: ${message}\n${stack}`;
  return error;
}

/** How the process ended. */
function statusOf({ words }, { limits = {}, maxThreads = MOST_THREADS }, report, { isOfRust }) {
  const { message, stack, sleepers = [] } = report;
  const numbered = (thread) => ({ thread, ...(isOfRust && thread > 0 && { threadInRust: thread + 1 }) });
  const limit = (name, trap) => {
    const values = { ...limits, threads: maxThreads };
    return { kind: 'limit', limit: name, value: values[name], ...(trap && { trap }) };
  };
  switch (words[W.CAUSE]) {
    case Cause.EXITED:
      return { kind: 'exited', code: words[W.CAUSE_CODE] };
    case Cause.TRAPPED: {
      const trap = { ...numbered(words[W.CAUSE_THREAD]), message, stack };
      const met = LIMITS.find((_, bit) => words[W.LIMITS_MET] & (1 << bit));
      return met ? limit(met, trap) : { kind: 'trapped', ...trap };
    }
    case Cause.DEADLOCK:
      sleepers.sort((a, b) => a.thread - b.thread);
      return { kind: 'deadlock', threads: sleepers.map(({ thread, ...where }) => ({ ...numbered(thread), ...where })) };
    case Cause.LIMIT:
      return limit(LIMITS[words[W.CAUSE_CODE]]);
    default:
      return { kind: 'killed' };
  }
}

/** The directory among these that a path is in. */
function rootOf(directories, path) {
  const fits = (guest) => guest === '/' || path.startsWith(`${guest}/`);
  return directories.filter(fits).sort((a, b) => b.length - a.length)[0];
}

function lookUp(files, path) {
  const root = rootOf(Object.keys(files), path);
  const names = path.slice(root.length).split('/').filter(Boolean);
  const found = names.reduce((directory, name) => directory?.[name], files[root]);
  if (found instanceof Uint8Array) return found;
  throw new ThreadworkError('FILE', `${path}: no such file`);
}
