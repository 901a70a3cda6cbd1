// What differs between a page, a web worker, Node, Deno and Bun: how a worker is started and
// how it talks to whoever started it. Deno and Bun have what is Node's, and are taken for it.
//
// Node's modules come from `process.getBuiltinModule`, so that no bundler sees an import
// that it cannot resolve.

import { after } from './timers.js';

const node = globalThis.process?.versions?.node ? globalThis.process : null;

/** A module of Node's, or undefined elsewhere. */
export function nodeModule(name) {
  const found = node?.getBuiltinModule?.(name);
  if (node && !found) {
    throw new Error(`threadwork needs Node 20.16 or newer; this is ${node.version}`);
  }
  return found;
}

const threads = nodeModule('node:worker_threads');

/** Whether it is Node, or has what Node has. */
export const isNode = threads !== undefined;

/** Whether it is Node itself. Elsewhere its clock begins with each thread, and descriptors belong to one. */
export const isNodeItself = isNode && !globalThis.Deno && !globalThis.Bun;

/** Whether frames of a module that was compiled while it loaded are known as WebAssembly's: not in Deno. */
export const namesStreamed = !globalThis.Deno;

/**
 * Node's, without flags that are for the main script only. What one worker opens others close, so
 * the end of a worker closes nothing.
 */
const nodeWorker = () =>
  class extends threads.Worker {
    constructor(url) {
      const execArgv = node.execArgv.filter((flag) => !/^(--input-type|--eval|--print|-e|-p)/.test(flag));
      // Flags that are given are checked, and V8's refused; those that are inherited are not.
      // Room for calls as deep as on the engine, in the larger frames of V8; Node's own is 4. It is
      // address space, until it is used.
      const resourceLimits = { stackSizeMb: 32 };
      const options = { trackUnmanagedFds: false, resourceLimits };
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

/** What `await using` calls; hosts that do not have it yet agree on this one. */
export const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/** Whether a thread that may not block can wait for a word to change. */
export const canWaitAsync = typeof Atomics.waitAsync === 'function';

/**
 * Whether a worker that this thread has started can be another worker's to command. Without
 * `Atomics.waitAsync` what threads want is said by messages, which the page would pass on late while it is busy.
 * Deno and Bun end workers in ways of their own.
 */
export const canLend = canWaitAsync && (!isNode || isNodeItself);

/** An interval of more ms is none. */
const LONGEST_INTERVAL = 2 ** 31 - 1;

/** The same promise; where hosts end by themselves this one stays until it is settled. */
export async function stayFor(promise) {
  if (!isNode) return promise;
  const alive = setInterval(() => {}, LONGEST_INTERVAL);
  try {
    return await promise;
  } finally {
    clearInterval(alive);
  }
}

/** Where pages run only scripts that they trust, ours are trusted by a policy of this name. */
const POLICY = 'threadwork';
let policy;

/** The address of a script, as `Worker` takes it here. */
function trusted(url) {
  const types = globalThis.trustedTypes;
  if (!types || types.isScriptURL(url)) return url;
  try {
    policy ??= types.createPolicy(POLICY, { createScriptURL: (text) => text });
  } catch {
    // The page allows no such policy, and perhaps needs none.
    return url;
  }
  return policy.createScriptURL(String(url));
}

/**
 * Node starts a script of CommonJS in four fifths of the time that it takes for a module. The published package
 * has the worker's as both.
 */
function quickest(url) {
  if (!isNodeItself) return url;
  const twin = new URL(url);
  twin.pathname = twin.pathname.replace(/\.js$/, '.cjs');
  return twin.protocol === 'file:' && nodeModule('node:fs').existsSync(twin) ? twin : url;
}

/** What `new Worker` makes here. */
function makeWorker(url, options) {
  if (!HostWorker) throw new Error('there are no workers here');
  if (isNode) return new HostWorker(new URL(url));
  try {
    return new HostWorker(trusted(url), options);
  } catch (error) {
    if (!globalThis.trustedTypes || !(error instanceof TypeError)) throw error;
    throw new Error(
      `${error.message} (where scripts have to be trusted, allow the policy \`${POLICY}\` in the ` +
        "page's Content-Security-Policy: trusted-types threadwork)",
    );
  }
}

/** Calls `start`, which stands on a global `Worker`: that is `make` for so long. */
function withGlobalWorker(start, make) {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'Worker');
  const value = function Worker(url, options) {
    return make(url, options);
  };
  Object.defineProperty(globalThis, 'Worker', { value, configurable: true, writable: true });
  try {
    return start();
  } finally {
    if (before) Object.defineProperty(globalThis, 'Worker', before);
    else delete globalThis.Worker;
  }
}

/**
 * Chromium now and then never starts a worker that is made while others, terminated, still
 * compute. After so many ms another is made beside one that has not started; then after twice as
 * many, and so on. The first that starts is it.
 */
const PATIENCE = isNode ? Infinity : 4000;

/**
 * Bun never says that a worker is gone which computes: JavaScriptCore does not interrupt WebAssembly.
 * After so many ms it is taken for gone.
 */
const LONGEST_LIFE = 10_000;

/** A worker script: starting, running or over. */
export class Child {
  /** Those that start; then the one that runs. */
  #workers = new Set();
  #isStarted = false;
  #isOver = false;
  /** Where the script is, to be sent to who starts more of them. */
  script;
  #what;
  #to;
  #preventNext = () => {};
  #preventTimeout;

  /**
   * @param {{url: string | URL, options?: object} | {start: () => Worker}} what where the script is,
   *   or what says so: `new Worker(new URL(...))` in words, with the global `Worker`, since bundlers
   *   look for exactly that.
   * @param {{started: (message: object) => void, message: (message: object) => void,
   *   failed: (message: string) => void}} to `failed` is called at most once, and not before
   *   this has returned: the script cannot be loaded, did not start in time, or threw.
   * @param {number} startTimeout in ms
   */
  constructor(what, to, startTimeout) {
    this.#what = what;
    this.#to = to;
    const late = `it did not start within ${startTimeout} ms`;
    this.#preventTimeout = after(startTimeout, () => this.#fail(late));
    this.#attempt(PATIENCE);
  }

  #attempt(patience) {
    try {
      const { start, url, options = { type: 'module' } } = this.#what;
      const make = (url, options) => {
        this.script = { url: String(url), options };
        return makeWorker(url, options);
      };
      const worker = start ? withGlobalWorker(start, (url, options) => make(quickest(url), options)) : make(url, options);
      this.#workers.add(worker);
      this.#listen(worker);
      this.#preventNext = after(patience, () => this.#attempt(patience * 2));
    } catch (error) {
      queueMicrotask(() => this.#fail(error.message));
    }
  }

  #listen(worker) {
    const failed = (message) => void (this.#workers.has(worker) && this.#fail(message));
    if (isNode) {
      worker.on('message', (data) => this.#receive(worker, data));
      worker.on('messageerror', (error) => failed(String(error)));
      worker.on('error', (error) => failed(error?.stack ?? String(error)));
      worker.on('exit', (code) => failed(`the worker exited with code ${code}`));
    } else {
      worker.onmessage = ({ data }) => this.#receive(worker, data);
      worker.onmessageerror = () => failed('a message could not be read');
      worker.onerror = (event) => {
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

  #receive(worker, data) {
    const message = ours(data);
    if (!message || this.#isOver || !this.#workers.has(worker)) return;
    if (this.#isStarted) return void (message.started || this.#to.message(message));
    if (!message.started) return;
    this.#isStarted = true;
    this.#preventTimeout();
    this.#preventNext();
    for (const other of this.#workers) if (other !== worker) other.terminate();
    this.#workers = new Set([worker]);
    this.post({ lead: currentLead() });
    this.#to.started(message);
  }

  #fail(message) {
    if (this.#isOver) return;
    this.terminate();
    this.#to.failed(message);
  }

  /** To the worker, which has started. */
  post(message) {
    for (const worker of this.#workers) worker.postMessage({ [OURS]: message });
  }

  /** Ends it wherever it is, also in a wait. In Node the promise is kept when it is gone. */
  async terminate() {
    this.#isOver = true;
    this.#preventTimeout();
    this.#preventNext();
    const areGone = Promise.all([...this.#workers].map((worker) => worker.terminate()));
    let forget;
    const isLate = new Promise((late) => (forget = after(LONGEST_LIFE, late)));
    await Promise.race([areGone, isLate]);
    forget();
  }

  /** Whether it keeps the host program running, where hosts end by themselves. */
  keepAlive(yes) {
    for (const worker of this.#workers) {
      if (yes) worker.ref?.();
      else worker.unref?.();
    }
  }
}

/** Scripts of the user's run in the workers, too, and may send and receive what they like. */
const OURS = 'threadwork';

const ours = (data) => (typeof data === 'object' && data !== null ? data[OURS] : undefined);

/** Inside a worker: calls `receive` with every message from whoever started it but the first, which tells the time. */
export function onMessage(receive) {
  const take = (data) => {
    const message = ours(data);
    if (message) message.lead === undefined ? receive(message) : agreeOnTime(message.lead);
  };
  if (threads) threads.parentPort.on('message', take);
  else globalThis.addEventListener('message', ({ data }) => take(data));
}

const parent = threads ? threads.parentPort : globalThis;
const send = parent?.postMessage?.bind(parent);

/** Inside a worker: sends to whoever started it. */
export function postToParent(message) {
  send({ [OURS]: message });
}

// ---- The clock of all threads ----
//
// Browsers tell a thread when it began by the system's clock, which is set now and then, and goes on while the
// machine sleeps. Firefox allows for that; in Chromium and WebKit threads that began before and after differ by as
// much. But all see the same system's clock: who has started a worker tells it how far that is ahead, and the
// worker compares.
//
// Invariant: a worker's clock is moved before it runs anything, and never again.

/** When this thread began. WebKit computes it anew each time, and it differs. */
let timeOrigin = globalThis.performance?.timeOrigin;

/** Milliseconds since some moment, by a clock that all threads share and that nobody sets. */
export const monotonic = isNodeItself
  ? () => Number(node.hrtime.bigint()) / 1e6
  : () => timeOrigin + performance.now();

/** Milliseconds since 1970, by a clock that all threads share and that nobody sets. */
export const timeOfEvents = isNodeItself ? () => performance.timeOrigin + performance.now() : monotonic;

/** The system's clock tells whole milliseconds: for so many ms it is watched, to see one begin. */
const LOOK = 2;
/** Clocks that differ by no more ms are taken for the same: who began when is told more exactly than that. */
const SAME = 1;

/** By how many ms the system's clock was ahead of this thread's when that was last found out; unknown in Node. */
let lead = isNodeItself ? NaN : 0;

/** By how much it is ahead now. */
function currentLead() {
  // One look costs nothing, and is enough while nobody has set the clock.
  if (Math.abs(Date.now() - monotonic() + 0.5 - lead) > SAME) {
    const end = performance.now() + LOOK;
    lead = -Infinity;
    do lead = Math.max(lead, Date.now() - monotonic());
    while (performance.now() < end);
  }
  return lead;
}

/** Moves this thread's clock to that of who has started it, which is so many ms behind the system's. */
function agreeOnTime(told) {
  lead = told;
  const ahead = currentLead() - told;
  if (Math.abs(ahead) > SAME) timeOrigin += ahead;
}
