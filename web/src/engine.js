// The engine: a supervisor worker, and through it the workers that processes run on, one
// after another. Most programs need only the one that there is by default.

import { ThreadworkError } from './errors.js';
import { Child, cores } from './platform.js';

/**
 * After so many processes the workers are replaced, as soon as none has a process: each
 * holds something of every process that it had until its collector finds the time.
 */
const GENERATION = 128;

export class Engine {
  static #default = null;

  /** The engine of everything that names no other. */
  static get default() {
    return (Engine.#default ??= new Engine());
  }

  #options;
  #supervisor = null;
  #started = null;
  #processes = new Map();
  /** Processes that these workers have begun. */
  #begun = 0;
  #isClosed = false;

  /**
   * @param {{keepWorkers?: number, startTimeout?: number, workerUrl?: string | URL,
   *   supervisorUrl?: string | URL}} [options]
   */
  constructor(options = {}) {
    const { keepWorkers = cores + 1, startTimeout = 30_000, workerUrl, supervisorUrl } = options;
    this.#options = { keepWorkers, startTimeout, workerUrl, supervisorUrl };
  }

  /** Starts the workers ahead, so that the first process finds them. */
  async warmUp() {
    await this.#start();
    this.#supervisor.post({ warmUp: true });
  }

  /** Ends all processes and workers. The engine cannot be used afterwards. */
  async close() {
    this.#isClosed = true;
    this.#fail('the engine was closed');
    await this.#supervisor?.terminate();
    if (Engine.#default === this) Engine.#default = null;
  }

  #start() {
    if (this.#isClosed) throw new ThreadworkError('CLOSED', 'the engine was closed: make another');
    return (this.#started ??= new Promise((resolve, reject) => {
      const { keepWorkers, startTimeout, workerUrl, supervisorUrl } = this.#options;
      const fail = (message) => {
        clearTimeout(timer);
        this.#supervisor?.terminate();
        this.#supervisor = this.#started = null;
        reject(new ThreadworkError('WORKER', `the supervisor worker failed: ${message}`));
        this.#fail(`the supervisor worker failed: ${message}`);
      };
      const timer = setTimeout(
        () => fail(`it did not start within ${startTimeout} ms`),
        startTimeout,
      );
      const start = () => new Worker(new URL('./supervisor.js', import.meta.url), { type: 'module' });
      const what = { url: supervisorUrl, start };
      try {
        this.#supervisor = new Child(what, {
          failed: fail,
          message: (message) => {
            if (!message.started) return this.#processes.get(message.id)?.receive(message);
            clearTimeout(timer);
            const settings = { keep: keepWorkers, startTimeout, workerUrl: workerUrl && String(workerUrl) };
            this.#supervisor.post({ settings });
            this.#keepAlive();
            resolve();
          },
        });
      } catch (error) {
        fail(error.message);
      }
    }));
  }

  #keepAlive() {
    this.#supervisor?.keepAlive(this.#processes.size > 0);
  }

  #fail(message) {
    const processes = [...this.#processes.values()];
    this.#processes.clear();
    for (const process of processes) process.engineFailed(new ThreadworkError('WORKER', message));
  }

  /** @internal Gives a process to the supervisor; its messages go to `process.receive`. */
  async begin(process, begin) {
    await this.#start();
    this.#processes.set(begin.id, process);
    this.#begun += 1;
    this.#keepAlive();
    this.#supervisor.post({ begin });
  }

  /** @internal */
  post(message) {
    this.#supervisor?.post(message);
  }

  /** @internal The process is gone. */
  forget(id) {
    this.#processes.delete(id);
    if (this.#begun >= GENERATION) this.makeRoom();
    this.#keepAlive();
  }

  /**
   * @internal Replaces the workers, if no process needs them. What they held of memories that
   * nobody uses any more would be freed by their collectors only, which see small objects there
   * and take their time, while Chromium has address space for about a hundred memories.
   */
  makeRoom() {
    if (this.#processes.size > 0 || this.#begun === 0) return;
    this.#begun = 0;
    // Its workers end with it.
    this.#supervisor?.terminate();
    this.#supervisor = this.#started = null;
  }
}
