// The engine: a supervisor worker, and through it the workers that processes run on, one
// after another. Most programs need only the one that there is by default.

import { ThreadworkError } from './errors.js';
import { Child, cores } from './platform.js';

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
      const start = (Worker) =>
        supervisorUrl
          ? new Worker(supervisorUrl, { type: 'module' })
          : new Worker(new URL('./supervisor.js', import.meta.url), { type: 'module' });
      try {
        this.#supervisor = new Child(start, {
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
    this.#keepAlive();
  }
}
