// What differs between a page, a web worker, Node and Deno: how a worker is started and
// how it talks to whoever started it.
//
// Node's modules come from `process.getBuiltinModule`, so that no bundler sees an import
// that it cannot resolve.

const node =
  globalThis.process?.versions?.node && !globalThis.Deno && !globalThis.Bun
    ? globalThis.process
    : null;

/** A module of Node's, or undefined elsewhere. */
export function nodeModule(name) {
  const found = node?.getBuiltinModule?.(name);
  if (node && !found) {
    throw new Error(`threadwork needs Node 20.16 or newer; this is ${node.version}`);
  }
  return found;
}

const threads = nodeModule('node:worker_threads');

export const isNode = threads !== undefined;

/**
 * Node's, without flags that are for the main script only. What one worker opens others close, so
 * the end of a worker closes nothing.
 */
const nodeWorker = () =>
  class extends threads.Worker {
    constructor(url) {
      const execArgv = node.execArgv.filter((flag) => !/^(--input-type|--eval|--print|-e|-p)/.test(flag));
      // Flags that are given are checked, and V8's refused; those that are inherited are not.
      const options = { trackUnmanagedFds: false };
      super(url, execArgv.length < node.execArgv.length ? { ...options, execArgv } : options);
    }
  };

const HostWorker = threads ? nodeWorker() : globalThis.Worker;

/** How many threads can run at once. */
export const cores = Math.max(
  1,
  globalThis.navigator?.hardwareConcurrency ?? nodeModule('node:os')?.availableParallelism() ?? 1,
);

/** Whether memory can be shared here at all. */
export const canShare =
  typeof SharedArrayBuffer === 'function' && globalThis.crossOriginIsolated !== false;

/** Whether a thread that may not block can wait for a word to change. */
export const canWaitAsync = typeof Atomics.waitAsync === 'function';

/** Calls `start`, which stands on a global `Worker`; Node has none. */
function withGlobalWorker(start) {
  if (!isNode) return start();
  const before = globalThis.Worker;
  globalThis.Worker = HostWorker;
  try {
    return start();
  } finally {
    // A program may have made one of its own.
    if (before) globalThis.Worker = before;
    else delete globalThis.Worker;
  }
}

/** A running worker script. */
export class Child {
  #worker;
  #over = false;

  /**
   * @param {{url?: string | URL, start: () => Worker}} what where the script is, if not where
   *   `start` says. That holds `new Worker(new URL(...))` in words, with the global `Worker`:
   *   bundlers look for exactly that.
   * @param {{message: (data: any) => void, failed: (message: string) => void}} to
   *   `failed` is called at most once: the script could not be loaded, or threw.
   */
  constructor({ url, start }, to) {
    const failed = (message) => {
      if (this.#over) return;
      this.#over = true;
      to.failed(message);
    };
    if (!HostWorker) throw new Error('there are no workers here');
    this.#worker = url ? new HostWorker(url, { type: 'module' }) : withGlobalWorker(start);
    if (isNode) {
      this.#worker.on('message', to.message);
      this.#worker.on('messageerror', (error) => failed(String(error)));
      this.#worker.on('error', (error) => failed(error?.stack ?? String(error)));
      this.#worker.on('exit', (code) => failed(`the worker exited with code ${code}`));
    } else {
      this.#worker.onmessage = (event) => to.message(event.data);
      this.#worker.onmessageerror = () => failed('a message could not be read');
      this.#worker.onerror = (event) => {
        event.preventDefault?.();
        failed(
          event.message ||
            'the worker script could not be loaded: look for its status, its MIME type ' +
              '(text/javascript), the page\'s Content-Security-Policy (worker-src, script-src) ' +
              'and, if the page is isolated, the script\'s Cross-Origin-Embedder-Policy header',
        );
      };
    }
  }

  post(message, transfer) {
    this.#worker.postMessage(message, transfer);
  }

  /** Ends it wherever it is, also in a wait. The promise is kept when it is gone. */
  terminate() {
    this.#over = true;
    return Promise.resolve(this.#worker.terminate());
  }

  /** Whether it keeps the host program running, where hosts end by themselves. */
  keepAlive(yes) {
    if (yes) this.#worker.ref?.();
    else this.#worker.unref?.();
  }
}

/** Inside a worker: calls `receive` with every message from whoever started it. */
export function onMessage(receive) {
  if (threads) threads.parentPort.on('message', receive);
  else globalThis.onmessage = (event) => receive(event.data);
}

/** Inside a worker: sends to whoever started it. */
export function postToParent(message, transfer) {
  if (threads) threads.parentPort.postMessage(message, transfer);
  else globalThis.postMessage(message, transfer);
}

/** Milliseconds since 1970, as precise as the host tells, and never going back. */
export function monotonic() {
  return performance.timeOrigin + performance.now();
}
