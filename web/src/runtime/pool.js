// A pool of workers that run tasks: calls of exported functions, each with a handle.
//
// Invariant: every task is in `#tasks` until its promise is kept or broken.

import { ThreadworkError } from '../errors.js';
import { checkSignal, onAbort } from '../foreign.js';

export class ThreadPool {
  #process;
  #size;
  /** By the calls that the process knows. */
  #tasks = new Map();
  #lastId = 0;
  #isClosed = false;

  /** @internal Made by a ThreadRuntime. */
  constructor(process, size) {
    this.#process = process;
    this.#size = size;
  }

  /**
   * Calls an export on a worker that is idle, or on the first that will be. Numbers are i32,
   * f32 and f64; bigints are i64. The handle is a promise, with `id` and `cancel()`. In place
   * of the name and the arguments there may be one object: `{ entry, args, signal }`; a signal
   * that is aborted cancels the task, and breaks the promise with its reason.
   */
  execute(entry, ...args) {
    if (typeof entry === 'object' && entry !== null) return this.#execute(entry);
    return this.#execute({ entry, args });
  }

  #execute({ entry, args = [], signal }) {
    checkSignal(signal)?.throwIfAborted();
    if (this.#isClosed) {
      throw new ThreadworkError('SHUT_DOWN', 'the runtime takes no more tasks: it was shut down');
    }
    const call = this.#process.submit(entry, args);
    const id = ++this.#lastId;
    this.#tasks.set(call, id);
    const forget = onAbort(signal, (reason) => this.#process.cancel(call, reason));
    const over = () => {
      forget();
      this.#tasks.delete(call);
    };
    call.promise.then(over, over);
    return Object.assign(call.promise, { id, cancel: () => this.#process.cancel(call) });
  }

  /** Kept when no task is queued or runs. */
  async waitAll() {
    while (this.#tasks.size > 0) {
      await Promise.allSettled([...this.#tasks.keys()].map(({ promise }) => promise));
    }
  }

  /** What each worker does: 'idle', 'busy' with a task, or 'terminated'. */
  get workers() {
    return Array.from({ length: this.#size }, (_, index) => {
      if (this.#process.isOver) return { state: 'terminated' };
      const call = this.#process.callOn(index);
      return call ? { state: 'busy', task: this.#tasks.get(call) } : { state: 'idle' };
    });
  }

  /** Tasks that wait for a worker. */
  get queued() {
    return this.#process.queuedCalls;
  }

  /** Takes no more tasks, lets those that there are come to their end, and ends the workers. */
  async shutdown() {
    this.#isClosed = true;
    await this.waitAll();
    this.#process.dismiss();
    return this.#process.wait();
  }

  /** Ends the workers at once, whatever they do. */
  async shutdownNow() {
    this.#isClosed = true;
    this.#process.kill();
    return this.#process.wait();
  }
}
