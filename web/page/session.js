// Runs of the program: from `threadwork`'s runtime to what the page shows.

import { describe, Engine, load, Process } from './runtime/index.js';
import { get, loadFiles, mostThreads } from './program.js';

/** Output that may wait until it is shown, in bytes. */
const BACKLOG = 1 << 16;

/** The newest program: compiled once, as long as the server has the same. */
let newest = { tag: null, program: null };

/** Starts workers while everything else is still on its way. */
export function warmUp() {
  // What is wrong with workers is told by the first run.
  Engine.default.warmUp().catch(() => {});
}

/**
 * The program as it is on the server now, with its files.
 * @param {import('./program.js').Description} about
 */
export async function prepare(about) {
  const [program, files] = await Promise.all([newestProgram(about), loadFiles(about)]);
  return { start: (wishes) => Session.start(about, program, files, wishes) };
}

async function newestProgram(about) {
  const response = await get(about.program);
  const tag = response.headers.get('ETag');
  if (tag !== null && tag === newest.tag) {
    await response.body?.cancel();
    return newest.program;
  }
  const program = await load(response, { name: about.name });
  if (!program.isCommand) {
    throw new Error(`${about.name} has no _start: it is a library, and this page runs programs`);
  }
  newest = { tag, program };
  return program;
}

/**
 * One run, which has begun.
 *
 * @typedef {object} Ended
 * @property {string} kind as in the runtime's statuses
 * @property {number} [code]
 * @property {string} text
 * @property {number} elapsed milliseconds from the main thread's first step to the last
 */
export class Session {
  /** @type {Promise<Ended>} */
  ended;
  /** Whether it reads what is written. */
  takesInput = true;
  #process;
  #history;
  #input;
  #begin = null;
  #last = 0;
  #lost = 0;

  /**
   * @param {import('./program.js').Description} about
   * @param {{ args: string[], env: Record<string, string>, history: import('./history.js').History,
   *   write: (text: string, stream: 'stdout' | 'stderr') => Promise<void> }} wishes `write` is
   *   given more when it has shown what it got: a program cannot flood the page
   */
  static async start(about, program, files, { args, env, history, write }) {
    const sinks = ['stdout', 'stderr'].map((stream) => sink((text) => write(text, stream)));
    const process = new Process(program, {
      args,
      env,
      preopens: preopens(about, files),
      maxThreads: mostThreads(about),
      // Without shared memory, input would have to be there from the start.
      stdin: crossOriginIsolated ? 'pipe' : 'null',
      stdout: sinks[0].stream,
      stderr: sinks[1].stream,
      tty: true,
      trace: true,
    });
    const session = new Session(process, history, sinks);
    await process.start();
    return session;
  }

  constructor(process, history, sinks) {
    this.#process = process;
    this.#history = history;
    this.#input = process.stdin?.getWriter() ?? null;
    process.on('thread', (event) => this.#note(event));
    if (this.#input === null) this.#begin = this.#runAlone();
    const shown = Promise.all(sinks.map(({ closed }) => closed));
    this.ended = process.wait().then(async (status) => {
      const ended = this.#end(status);
      await shown;
      return ended;
    });
  }

  /** Without shared memory there is one thread, nobody tells what it does, and no input. */
  #runAlone() {
    this.takesInput = false;
    this.#history.set(0, 0, 'running', 0);
    return now();
  }

  get stats() {
    return this.#process.stats();
  }

  /** Brings the history up to now. */
  catchUp() {
    if (this.#begin === null || this.#process.status !== null) return;
    const { traceLost } = this.#process.stats();
    if (traceLost !== this.#lost) this.#lookAround();
    this.#lost = traceLost;
    this.#history.advance(this.#sinceBegin(now()));
  }

  /** @param {string} text */
  write(text) {
    // A program that has ended reads nothing any more.
    this.#input.write(text).catch(() => {});
  }

  endInput() {
    this.takesInput = false;
    this.#input.close().catch(() => {});
  }

  kill() {
    this.#process.kill();
  }

  #sinceBegin(time) {
    return Math.max(0, time - (this.#begin ?? time));
  }

  #note({ time, thread, worker, activity }) {
    this.#begin ??= time;
    this.#last = this.#sinceBegin(time);
    this.#history.set(worker, thread, stateOf(activity), this.#last);
  }

  /** Events came faster than they could be told: sees what everybody does instead. */
  #lookAround() {
    const at = this.#sinceBegin(now());
    const threads = new Map(this.#process.threads().map((info) => [info.worker, info]));
    this.#history.lanes.forEach((_, worker) => {
      const { id, activity } = threads.get(worker) ?? { id: -1, activity: 'idle' };
      this.#history.set(worker, id, stateOf(activity), at);
    });
  }

  #end(status) {
    this.takesInput = false;
    // A program that ends by itself ends with its last event; else, with the end that it is put.
    const told = status.kind === 'exited' && this.#last > 0;
    const elapsed = told ? this.#last : this.#sinceBegin(now());
    this.#history.end(elapsed);
    const { kind, code } = status;
    return { kind, code, text: describe(status), elapsed };
  }
}

/** WebKit computes it anew each time, from a clock that may have been set. */
const { timeOrigin } = performance;

/** The time as the runtime tells it. */
function now() {
  return timeOrigin + performance.now();
}

/** What the picture tells apart: a thread that reads, writes or sleeps waits, too. */
function stateOf(activity) {
  if (activity === 'idle') return null;
  return activity === 'running' ? 'running' : 'waiting';
}

/** Where a stream of text goes, and when all of it is there. */
function sink(write) {
  const decoder = new TextDecoder();
  let close;
  const closed = new Promise((resolve) => (close = resolve));
  const stream = new WritableStream(
    {
      // Characters may come in pieces.
      write: (bytes) => write(decoder.decode(bytes, { stream: true })),
      close,
    },
    { highWaterMark: BACKLOG, size: (bytes) => bytes.length },
  );
  return { stream, closed };
}

/** Files by path, as trees of objects by directory. */
function preopens(about, files) {
  const trees = {};
  for (const directory of about.directories) {
    const tree = Object.create(null);
    const prefix = `${directory.replace(/\/+$/, '')}/`;
    for (const { path } of about.files) {
      if (path.startsWith(prefix)) plant(tree, path.slice(prefix.length).split('/'), files[path]);
    }
    trees[directory] = tree;
  }
  return trees;
}

function plant(tree, path, bytes) {
  const name = path.pop();
  for (const part of path) tree = tree[part] ??= Object.create(null);
  tree[name] = bytes;
}
