// The engine: a supervisor worker, and through it the workers that processes run on, one
// after another. Most programs need only the one that there is by default.
//
// The first workers are started here, beside the supervisor, which would have to start before them. They
// belong to it like those that it starts itself: what they say to it, and it to them, is passed on.
//
// Invariant: every process and every request that it knows gets an answer, or an error.

import { ThreadworkError } from './errors.js';
import { absolute, checkCount, checkTime, textOf } from './foreign.js';
import { Lent } from './lent.js';
import { asyncDispose, canLend, Child, cores } from './platform.js';

/**
 * After so many processes the workers are replaced, as soon as none has a process: each
 * holds something of every process that it had until its collector finds the time.
 */
const GENERATION = 128;

const MOST_WORKERS = 4096;

let requests = 0;
/** Of workers that were started here. */
let numbers = 0;

export class Engine {
  static #default = null;

  /** The engine of everything that names no other. */
  static get default() {
    return (Engine.#default ??= new Engine());
  }

  #options;
  /** Where the user has said that the workers' script is. */
  #workerUrl;
  #supervisor = null;
  /** Kept when the supervisor has started, and how to break it. */
  #started = null;
  #abandon = null;
  /** What waits until the supervisor has started; null when it has. */
  #untold = null;
  /** The workers that were started here, by their numbers, and those of which the supervisor has not been told. */
  #lent = new Map();
  #spare = [];
  /** Processes by their ids, and those among them of which the supervisor has been told. */
  #processes = new Map();
  #told = new Set();
  #requests = new Map();
  /** Processes that these workers have begun. */
  #begun = 0;
  #isClosed = false;

  /**
   * @param {{keepWorkers?: number, idleTimeout?: number, startTimeout?: number,
   *   workerUrl?: string | URL}} [options]
   */
  constructor(options = {}) {
    const { keepWorkers = cores + 1, idleTimeout = Infinity, startTimeout = 30_000 } = options;
    const { workerUrl } = options;
    this.#options = {
      keep: checkCount('keepWorkers', keepWorkers),
      idleTimeout: checkTime('idleTimeout', idleTimeout),
      startTimeout: checkTime('startTimeout', startTimeout),
    };
    // What a page trusts is no text.
    const isTrusted = globalThis.trustedTypes?.isScriptURL(workerUrl);
    this.#workerUrl = workerUrl && (isTrusted ? workerUrl : absolute(workerUrl));
  }

  /** Starts so many workers ahead, if there are none yet, so that the first process finds them. */
  async warmUp(count = this.#options.keep) {
    checkCount('count', count, MOST_WORKERS);
    this.#checkOpen();
    if (canLend && !this.#started) {
      this.#spare = Array.from({ length: count }, () => this.#lendOne());
      await this.#start(this.#spare.map(({ isReady }) => isReady));
    } else {
      await this.#start();
      this.#tell({ warmUp: count });
    }
  }

  /** Ends all processes and workers. The engine cannot be used afterwards. */
  async close() {
    this.#isClosed = true;
    if (Engine.#default === this) Engine.#default = null;
    await this.#fail('the engine was closed');
  }

  /** Closes it, and with that what was begun with `await using`. */
  [asyncDispose]() {
    return this.close();
  }

  #checkOpen() {
    if (this.#isClosed) throw new ThreadworkError('CLOSED', 'the engine was closed: make another');
  }

  #worker(to) {
    const start = () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    const script = this.#workerUrl ? { url: this.#workerUrl } : { start };
    return new Child(script, to, this.#options.startTimeout);
  }

  /** Starts the supervisor, when the workers that come first are there. */
  #start(first = []) {
    this.#checkOpen();
    return (this.#started ??= new Promise((resolve, reject) => {
      this.#abandon = reject;
      const untold = (this.#untold = []);
      const to = {
        started: () => {
          this.#supervisor.post({ settings: { ...this.#options, script: this.#supervisor.script } });
          this.#untold = null;
          for (const message of untold) this.#supervisor.post(message);
          this.#handOver(this.#spare.splice(0), (spare) => ({ spare }));
          // It keeps the program alive from now on.
          for (const lent of this.#lent.values()) lent.unref();
          this.#keepAlive();
          resolve();
        },
        message: (message) => this.#receive(message),
        failed: (message) => void this.#fail(`the supervisor worker failed: ${message}`),
      };
      const start = () => {
        // The engine may have been closed meanwhile.
        if (this.#untold === untold) this.#supervisor = this.#worker(to);
      };
      if (first.length === 0) start();
      else Promise.all(first).then(start);
    }));
  }

  /** Says something to the supervisor, as soon as it has started. */
  #tell(message) {
    if (this.#untold) this.#untold.push(message);
    else this.#supervisor?.post(message);
  }

  #receive(message) {
    if (message.end !== undefined) return void this.#endLent(message.end);
    if (message.to !== undefined) return this.#lent.get(message.to)?.post(message.message);
    if (message.reply === undefined) return this.#processes.get(message.id)?.receive(message);
    this.#requests.get(message.reply)?.resolve(message);
    this.#requests.delete(message.reply);
    this.#keepAlive();
  }

  // ---- Workers that are started here ----

  /** Tells the supervisor of workers by their numbers, and from then on what they say. */
  #handOver(all, message) {
    this.#tell(message(all.map(({ number }) => number)));
    for (const lent of all) lent.handOver((news) => this.#tell(news));
  }

  /** Starts a worker on each of a process's first seats, if nobody else is there yet who could. */
  #lend(begin) {
    const { isSolo, program, poolSize, files, data } = begin;
    // Files are opened by the supervisor. What may not be sendable is sent once.
    const isFirst = !this.#started || this.#spare.length > 0;
    if (!isFirst || !canLend || isSolo || !files.isPlain || data !== undefined) return [];
    const count = program === 'pool' ? poolSize : poolSize + 1;
    return Array.from({ length: count }, (_, index) => {
      const lent = this.#spare.shift() ?? this.#lendOne();
      lent.post({ join: { ...begin, index } });
      return lent;
    });
  }

  #lendOne() {
    const lent = new Lent(
      ++numbers,
      (to) => this.#worker(to),
      (message) => this.#processes.get(message.id)?.receive(message),
    );
    this.#lent.set(lent.number, lent);
    return lent;
  }

  async #endLent(number) {
    const lent = this.#lent.get(number);
    this.#lent.delete(number);
    await lent?.end();
  }

  /** Kept when the supervisor and all workers are gone. */
  #terminateAll() {
    const all = [...this.#lent.values()].map((lent) => lent.end());
    if (this.#supervisor) all.push(this.#supervisor.terminate());
    this.#supervisor = this.#started = this.#abandon = this.#untold = null;
    this.#lent.clear();
    this.#spare = [];
    return Promise.all(all);
  }

  // ---- Its life ----

  #keepAlive() {
    this.#supervisor?.keepAlive(this.#processes.size + this.#requests.size > 0);
  }

  /** Breaks all that is promised. Kept when the workers are gone. */
  #fail(message) {
    const error = new ThreadworkError('WORKER', message);
    const abandon = this.#abandon;
    const areGone = this.#terminateAll();
    abandon?.(error);
    const processes = [...this.#processes.values()];
    const requests = [...this.#requests.values()];
    this.#processes.clear();
    this.#told.clear();
    this.#requests.clear();
    for (const process of processes) process.engineFailed(error);
    for (const { reject } of requests) reject(error);
    return areGone.then(() => Promise.all(processes.map((process) => process.closeFiles())));
  }

  /**
   * @internal Gives a process to the supervisor; its messages go to `process.receive`. Kept when nothing more is
   * needed of this thread, which may block then.
   */
  async begin(process, begin) {
    const { id } = begin;
    this.#processes.set(id, process);
    try {
      this.#checkOpen();
      const lent = this.#lend(begin);
      const ready = lent.map(({ isReady }) => isReady);
      // Who runs `_start` may be done soon, and is taken down by the supervisor.
      const started = this.#start(begin.program === 'command' ? ready.slice(0, 1) : ready);
      if (lent.length === 0) await started;
      // It may have been ended meanwhile.
      if (!this.#processes.has(id)) return;
      this.#handOver(lent, (numbers) => ({ begin, lent: numbers }));
      this.#told.add(id);
      this.#begun += 1;
      this.#keepAlive();
      await Promise.all([started, ...ready]);
    } catch (error) {
      this.forget(id);
      throw unsendable(error);
    }
  }

  /** @internal Has a process ended; false if the supervisor does not know it, and never will. */
  kill(id) {
    if (!this.#told.has(id)) this.forget(id);
    else this.#tell({ kill: id });
    return this.#told.has(id);
  }

  /** @internal */
  post(message) {
    this.#tell(message);
  }

  /** @internal Asks the supervisor for something; kept with its answer. */
  async request(message) {
    await this.#start();
    if (!this.#supervisor) throw new ThreadworkError('CLOSED', 'the engine was closed: make another');
    const request = ++requests;
    const answer = new Promise((resolve, reject) => this.#requests.set(request, { resolve, reject }));
    this.#keepAlive();
    this.#tell({ ...message, request });
    return answer;
  }

  /** @internal The process is gone. */
  forget(id) {
    this.#processes.delete(id);
    this.#told.delete(id);
    if (this.#begun >= GENERATION) this.makeRoom();
    this.#keepAlive();
  }

  /**
   * @internal Replaces the workers, if nobody needs them. What they held of memories that
   * nobody uses any more would be freed by their collectors only, which see small objects there
   * and take their time, while Chromium has address space for about a hundred memories.
   */
  makeRoom() {
    if (this.#processes.size + this.#requests.size > 0 || this.#begun === 0) return;
    this.#begun = 0;
    this.#terminateAll();
  }
}

/** What the user gave may be anything, and not everything can be sent to a worker. */
function unsendable(error) {
  if (error instanceof ThreadworkError) return error;
  const message = `\`data\` or \`preopens\` cannot be sent to a worker: ${textOf(error)}`;
  return new ThreadworkError('DATA', message, { cause: error });
}
