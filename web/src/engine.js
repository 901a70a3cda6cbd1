// The engine: a supervisor worker, and through it the workers that processes run on, one
// after another. Most programs need only the one that there is by default.
//
// Invariant: every process and every request that it knows gets an answer, or an error.

import { ThreadworkError } from './errors.js';
import { absolute, checkCount, checkTime, textOf } from './foreign.js';
import { asyncDispose, Child, cores } from './platform.js';

/**
 * After so many processes the workers are replaced, as soon as none has a process: each
 * holds something of every process that it had until its collector finds the time.
 */
const GENERATION = 128;

let requests = 0;

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

  /** Starts the workers ahead, so that the first process finds them. */
  async warmUp() {
    await this.#start();
    this.#supervisor?.post({ warmUp: true });
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

  #start() {
    if (this.#isClosed) throw new ThreadworkError('CLOSED', 'the engine was closed: make another');
    return (this.#started ??= new Promise((resolve, reject) => {
      this.#abandon = reject;
      const start = () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
      const script = this.#workerUrl ? { url: this.#workerUrl, options: { type: 'module' } } : { start };
      const to = {
        started: () => {
          this.#supervisor.post({ settings: { ...this.#options, script: this.#supervisor.script } });
          this.#keepAlive();
          resolve();
        },
        message: (message) => this.#receive(message),
        failed: (message) => void this.#fail(`the supervisor worker failed: ${message}`),
      };
      this.#supervisor = new Child(script, to, this.#options.startTimeout);
    }));
  }

  #receive(message) {
    if (message.reply === undefined) return this.#processes.get(message.id)?.receive(message);
    this.#requests.get(message.reply)?.resolve(message);
    this.#requests.delete(message.reply);
    this.#keepAlive();
  }

  #keepAlive() {
    this.#supervisor?.keepAlive(this.#processes.size + this.#requests.size > 0);
  }

  /** Breaks all that is promised. Kept when the workers are gone. */
  #fail(message) {
    const error = new ThreadworkError('WORKER', message);
    const [supervisor, abandon] = [this.#supervisor, this.#abandon];
    this.#supervisor = this.#started = this.#abandon = null;
    abandon?.(error);
    const processes = [...this.#processes.values()];
    const requests = [...this.#requests.values()];
    this.#processes.clear();
    this.#told.clear();
    this.#requests.clear();
    for (const process of processes) process.engineFailed(error);
    for (const { reject } of requests) reject(error);
    const isGone = Promise.resolve(supervisor?.terminate());
    return isGone.then(() => Promise.all(processes.map((process) => process.closeFiles())));
  }

  /** @internal Gives a process to the supervisor; its messages go to `process.receive`. */
  async begin(process, begin) {
    this.#processes.set(begin.id, process);
    try {
      await this.#start();
      // It may have been ended meanwhile.
      if (!this.#processes.has(begin.id)) return;
      this.#supervisor.post({ begin });
    } catch (error) {
      this.forget(begin.id);
      throw unsendable(error);
    }
    this.#told.add(begin.id);
    this.#begun += 1;
    this.#keepAlive();
  }

  /** @internal Has a process ended; false if the supervisor does not know it, and never will. */
  kill(id) {
    if (!this.#told.has(id)) this.forget(id);
    else this.#supervisor.post({ kill: id });
    return this.#told.has(id);
  }

  /** @internal */
  post(message) {
    this.#supervisor?.post(message);
  }

  /** @internal Asks the supervisor for something; kept with its answer. */
  async request(message) {
    await this.#start();
    if (!this.#supervisor) throw new ThreadworkError('CLOSED', 'the engine was closed: make another');
    const request = ++requests;
    const answer = new Promise((resolve, reject) => this.#requests.set(request, { resolve, reject }));
    this.#keepAlive();
    this.#supervisor.post({ ...message, request });
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
    // Its workers end with it.
    this.#supervisor?.terminate();
    this.#supervisor = this.#started = this.#abandon = null;
  }
}

/** What the user gave may be anything, and not everything can be sent to a worker. */
function unsendable(error) {
  if (error instanceof ThreadworkError) return error;
  const message = `\`data\` or \`preopens\` cannot be sent to a worker: ${textOf(error)}`;
  return new ThreadworkError('DATA', message, { cause: error });
}
