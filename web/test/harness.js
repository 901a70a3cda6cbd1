// The tests' own few lines: the same cases run on all hosts, so they stand on nothing that is not in
// all of them.

export const tests = [];

/** What the runner says of the host: `{name, base, isFull}`. */
export const host = {};

/**
 * Registers a test; `hosts` are those that it runs on. One that leaves threads computing which are to
 * be ended is not for hosts that cannot.
 */
export function test(name, body, { hosts = [...nodeLike.hosts, ...browsers.hosts], computes = false } = {}) {
  const isPossible = (host) => !(computes && CANNOT_INTERRUPT.includes(host));
  tests.push({ name, body, hosts: hosts.filter(isPossible) });
}

/** Where a worker that computes goes on when it has been terminated, until it has done. */
const CANNOT_INTERRUPT = ['deno', 'bun', 'webkit'];

/** Whether promises hear a notify that leaves the word as it is: not before Firefox 145. */
export const hearsNotifies = typeof Atomics.waitAsync === 'function';

/** Whether this is no page. */
export const isNodeLike = globalThis.process?.versions?.node !== undefined;

/** WebKit clones no handles of files. */
export const withHandles = { hosts: ['chromium', 'firefox'] };

export const browsers = { hosts: ['chromium', 'firefox', 'webkit'] };
/** Hosts without pages, which have what Node has. */
export const nodeLike = { hosts: ['node', 'deno', 'bun'] };
/** Bun imports no data: URLs, and shows functions as it has compiled them. */
export const notBun = { hosts: ['node', 'deno', ...browsers.hosts] };
export const nodeOnly = { hosts: ['node'] };

// ---- Checking ----

const show = (value) =>
  JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}n` : inner)) ??
  String(value);

export function check(condition, message = 'the condition does not hold') {
  if (!condition) throw new Error(message);
}

export function equal(actual, expected, message = '') {
  if (show(actual) !== show(expected)) {
    throw new Error(`${message ? `${message}: ` : ''}expected ${show(expected)}, got ${show(actual)}`);
  }
}

/** The error that a promise is broken with. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('this should have failed');
}

/** Waits for something that nobody announces. */
export async function until(condition) {
  while (!(await condition())) await pause(1);
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// ---- Programs ----

export const url = (path) => new URL(path, host.base).href;

/** The address of a Rust guest. */
export const guest = (name) => url(`/guests/${name}.wasm`);

/** A module of the text format, compiled by the server. */
export async function wat(text) {
  const response = await fetch(url('/wat'), { method: 'POST', body: text });
  if (!response.ok) throw new Error(await response.text());
  return new Uint8Array(await response.arrayBuffer());
}

export const text = (bytes) => new TextDecoder().decode(bytes);

// ---- Running ----

/** Runs the tests one after another, `repeat` times, or a part of them; tells `report` of each. */
export async function run({ filter, repeat, patience, part, parts }, report) {
  const all = tests.filter(({ name }) => name.includes(filter));
  const chosen = all.slice(Math.floor((part * all.length) / parts), Math.floor(((part + 1) * all.length) / parts));
  for (const { name, body, hosts } of Array(repeat).fill(chosen).flat()) {
    if (!hosts.includes(host.name)) {
      await report({ name, skipped: true });
      continue;
    }
    const begin = performance.now();
    let timer;
    const hang = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Error(`hangs: not done after ${patience / 1000} s`)), patience);
    });
    let error;
    try {
      await Promise.race([body(), hang]);
    } catch (caught) {
      error = caught?.stack?.includes(caught.message) ? caught.stack : `${caught}\n${caught?.stack ?? ''}`;
    }
    clearTimeout(timer);
    await report({ name, error, milliseconds: performance.now() - begin });
  }
}
