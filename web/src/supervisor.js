// The supervisor: the one worker whose event loop nobody blocks. It starts the other
// workers, gives them to processes, serves the files of all processes, and takes processes
// down when they have ended.
//
// Invariant: each worker is starting, idle, on a seat of one process, or being terminated;
// a process is gone when none of its seats has a worker.

import { Activity, Cause, Control, LIMITS, Rpc, S, W } from './control.js';
import { readPath, writePath } from './files/access.js';
import { closePreopens, informing, makeTable, openPreopens, sharedTable } from './files/open.js';
import { run } from './files/table.js';
import { GuestMemory } from './guest-memory.js';
import { STOP } from './lock.js';
import { canWaitAsync, Child, onMessage, postToParent } from './platform.js';
import { untilGone } from './runtime/life.js';
import { claimShortage } from './threads.js';
import { FILE_CALLS } from './wasi/abi.js';

/**
 * How long threads that will see the end have time to come back, and how long those that
 * may be computing; in ms. A worker that does not come back is terminated.
 */
const GRACE = 100;
const GRACE_COMPUTING = 2;
/** After a deadlock nobody computes, and everybody says where it slept: a browser's first stack is slow. */
const GRACE_REPORT = 10_000;

/** The longest that a timer can wait, in ms: with more it would not wait at all. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Idle workers that are kept for processes to come. */
let keep = 0;
let startTimeout = 0;
/** The worker script, if it is not where it should be. */
let workerUrl;
const idle = [];
const processes = new Map();

// ---- Workers ----

class ThreadWorker {
  isStarted = false;
  isTerminated = false;
  #process = null;
  #join = null;
  #timer;

  constructor() {
    const start = () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    const what = { url: workerUrl, start };
    this.child = new Child(what, {
      message: (message) => this.#receive(message),
      failed: (message) => this.#fail(message),
    });
    const late = () =>
      this.#fail(
        `a worker did not start within ${startTimeout} ms: too many workers, too little ` +
          'memory, or a very busy machine; lower maxThreads or raise startTimeout',
      );
    this.#timer = setTimeout(late, startTimeout);
  }

  #receive(message) {
    if (!message.started) {
      this.#process?.receive(this, message);
      return;
    }
    clearTimeout(this.#timer);
    this.isStarted = true;
    if (this.#join) this.child.post({ join: this.#join });
  }

  #fail(message) {
    const process = this.#process;
    const at = idle.indexOf(this);
    if (at >= 0) idle.splice(at, 1);
    this.terminate();
    process?.workerFailed(this, `a worker failed: ${message}`);
  }

  /** Takes a seat of a process, now or when it has started. */
  join(process, message) {
    this.#process = process;
    this.#join = message;
    if (this.isStarted) this.child.post({ join: message });
  }

  /** Has left its process, or has not yet come to it. */
  release() {
    this.#process = this.#join = null;
    if (idle.length < keep) idle.push(this);
    else this.terminate();
  }

  terminate() {
    clearTimeout(this.#timer);
    this.#process = null;
    this.isTerminated = true;
    return this.child.terminate();
  }
}

/** Acts after a time of any length; tells which timer has to be cleared to prevent it. */
function after(ms, act, hold) {
  const part = Math.min(ms, LONGEST_TIMER);
  hold(setTimeout(() => (ms > part ? after(ms - part, act, hold) : act()), part));
}

/** An idle worker, rather one that has started, or else a new one. */
function takeWorker() {
  const at = idle.findLastIndex((worker) => worker.isStarted);
  if (at >= 0) return idle.splice(at, 1)[0];
  return idle.pop() ?? new ThreadWorker();
}

function refill() {
  while (idle.length < keep) idle.push(new ThreadWorker());
}

// ---- Processes ----

class SupervisedProcess {
  /** Workers and the index of their seat. */
  #seats = new Map();
  #freeSeats;
  #isEnding = false;
  #report = { sleepers: [] };
  #preopens = [];
  #table = null;
  #isServing = false;
  #timer;

  constructor(start) {
    this.id = start.id;
    this.start = start;
    this.control = new Control(start.control);
    this.words = this.control.words;
    const { seats } = this.control;
    this.#freeSeats = Array.from({ length: seats }, (_, index) => seats - 1 - index);
  }

  /** Brings up the workers of the main thread and of threads to come. */
  async begin() {
    const { memories, wasiMemory, files, program, poolSize, wallTime } = this.start;
    try {
      const wasi = memories[wasiMemory];
      files.table = await sharedTable(files);
      if (wasi || files.table) {
        this.#preopens = await openPreopens(files.preopens);
        const memory = new GuestMemory(wasi?.memory);
        this.#table = await makeTable(memory, this.#preopens, files, informing(this.control));
      }
    } catch (error) {
      this.fail(`a directory cannot be opened: ${error.message}`);
    }
    if (this.control.isEnding) return this.takeDown();
    if (wallTime !== undefined) {
      const end = () => this.end(Cause.LIMIT, LIMITS.indexOf('wallTime'));
      after(wallTime, end, (timer) => (this.#timer = timer));
    }
    const isPool = program === 'pool';
    this.words[W.COMING] = isPool ? 0 : poolSize;
    for (let count = isPool ? poolSize : poolSize + 1; count > 0; count--) this.#addSeat();
    if (canWaitAsync) this.#listen();
  }

  #addSeat(index = this.#freeSeats.pop(), isLater = false) {
    const { files, memories, ...rest } = this.start;
    const worker = takeWorker();
    // The name by which a pool can tell that one of its workers is gone.
    worker.life = rest.program === 'pool' ? crypto.randomUUID() : undefined;
    this.#seats.set(worker, index);
    // A memory that is not shared comes with its instance, and so must its files.
    const isServed = memories[rest.wasiMemory] && !files.table;
    worker.join(this, { ...rest, index, isLater, life: worker.life, memories, files: isServed ? null : files });
  }

  async #listen() {
    while (!this.control.isEnding) {
      const seen = Atomics.load(this.words, W.SUPERVISOR);
      this.look();
      const wait = Atomics.waitAsync(this.words, W.SUPERVISOR, seen);
      if (wait.async) await wait.value;
    }
  }

  /** Looks whether threads want seats or files. */
  look() {
    if (this.control.isEnding) return;
    const shortage = claimShortage(this.control, this.#freeSeats.length);
    for (let count = shortage; count > 0; count--) this.#addSeat();
    this.#serveFiles();
  }

  async #serveFiles() {
    const { words, control } = this;
    if (this.#isServing || Atomics.load(words, W.RPC_STATE) !== Rpc.ASKED) return;
    this.#isServing = true;
    const name = FILE_CALLS[words[W.RPC_CALL]];
    try {
      words[W.RPC_RESULT] = await run(this.#table.call(name, control.arguments()));
    } catch (error) {
      this.fail(`${name} failed: ${error?.stack ?? error}`);
    }
    this.#isServing = false;
    if (Atomics.compareExchange(words, W.RPC_STATE, Rpc.ASKED, Rpc.ANSWERED) === Rpc.ASKED) {
      Atomics.notify(words, W.RPC_STATE);
    }
    // It may have ended meanwhile, and waits for this.
    if (this.#isEnding) this.#checkGone();
  }

  /** What the host wants of the files. */
  async access({ request, path, data }) {
    const reply = { reply: request, id: this.id };
    try {
      if (data) reply.value = await run(writePath(this.#preopens, path, data));
      else reply.value = await run(readPath(this.#preopens, path));
    } catch (error) {
      reply.errno = error.errno ?? String(error);
    }
    postToParent(reply);
  }

  receive(worker, message) {
    if (message.bell === W.SUPERVISOR) this.look();
    else if (message.bell === W.HOST) postToParent({ id: this.id, bell: true });
    else if (message.sleeper) this.#report.sleepers.push(message.sleeper);
    else if (message.ending) {
      Object.assign(this.#report, message.ending);
      this.takeDown();
    } else if (message.left) {
      Object.assign(this.#report, message.left);
      this.#seats.delete(worker);
      worker.release();
      this.#checkGone();
    } else {
      postToParent({ ...message, id: this.id });
    }
  }

  /** Ends the worker of a seat, whatever it does, and gives the seat to another. */
  replace(index) {
    const { words, control } = this;
    const [worker] = [...this.#seats].find(([, at]) => at === index) ?? [];
    const seat = control.seat(index);
    Atomics.or(words, seat + S.LOCKS, STOP);
    const attempt = async () => {
      if (this.#isEnding || this.#seats.get(worker) !== index) return;
      // Others wait for what it holds.
      if (Atomics.load(words, seat + S.LOCKS) !== STOP) return void setTimeout(attempt, 1);
      await worker.terminate();
      // Until then it may use what its successor gets: its words, its stack.
      await untilGone(worker.life);
      this.#seats.delete(worker);
      if (this.#isEnding) return void this.#checkGone();
      for (const word of [S.MAILBOX, S.REPLY, S.LOCKS]) Atomics.store(words, seat + word, 0);
      control.setActivity(seat, Activity.NONE);
      postToParent({ id: this.id, replaced: index });
      this.#addSeat(index, true);
    };
    attempt();
  }

  workerFailed(worker, message) {
    this.#seats.delete(worker);
    this.fail(message);
    this.#checkGone();
  }

  // ---- The end ----

  fail(message) {
    if (this.control.end(Cause.FAILED)) this.#report.message = message;
    this.takeDown();
  }

  end(cause, code) {
    this.control.end(cause, code);
    this.takeDown();
  }

  /** The process has its cause to end: makes all threads come back, or ends them. */
  takeDown() {
    if (this.#isEnding) return;
    this.#isEnding = true;
    clearTimeout(this.#timer);
    Atomics.notify(this.words, W.SUPERVISOR);
    for (const [worker] of this.#seats) {
      if (worker.isStarted) continue;
      this.#seats.delete(worker);
      worker.release();
    }
    const begin = performance.now();
    const visit = () => {
      const elapsed = performance.now() - begin;
      for (const [worker, index] of this.#seats) this.#dismiss(worker, index, elapsed);
      if (this.#seats.size > 0) setTimeout(visit, 1);
    };
    visit();
    this.#checkGone();
  }

  /** Wakes a thread that sleeps on a word of the guest's; ends one that does not come. */
  #dismiss(worker, index, elapsed) {
    const { words, control, start } = this;
    const seat = control.seat(index);
    const activity = Atomics.load(words, seat + S.ACTIVITY);
    if (activity === Activity.WAITING) {
      const guest = new Int32Array(start.memories[0].memory.buffer);
      Atomics.notify(guest, (words[seat + S.ADDRESS] >>> 0) / 4);
    }
    let grace = activity === Activity.RUNNING ? GRACE_COMPUTING : GRACE;
    if (words[W.CAUSE] === Cause.DEADLOCK) grace = GRACE_REPORT;
    if (elapsed < grace || worker.isTerminated) return;
    // It comes back; to end it here would lose a descriptor that it opens.
    if (Atomics.load(words, seat + S.LOCKS) > 0) return;
    worker.terminate().then(() => {
      this.#seats.delete(worker);
      this.#checkGone();
    });
  }

  async #checkGone() {
    if (!this.#isEnding || this.#seats.size > 0 || this.#isServing) return;
    if (!processes.delete(this.id)) return;
    let files = this.#report.files ?? {};
    if (this.#table) {
      this.#table.closeAll();
      files = closePreopens(this.#preopens);
    }
    postToParent({ id: this.id, ended: { ...this.#report, files } });
    refill();
  }
}

/** A process whose host cannot share memory: one worker, which does everything itself. */
class SoloProcess {
  #worker = null;
  #report = {};
  #timer;

  constructor(start) {
    this.id = start.id;
    this.start = start;
  }

  begin() {
    const { wallTime } = this.start;
    if (wallTime !== undefined) {
      const limit = { cause: Cause.LIMIT, code: LIMITS.indexOf('wallTime') };
      after(
        wallTime,
        () => this.#stop(limit),
        (timer) => (this.#timer = timer),
      );
    }
    this.#worker = takeWorker();
    this.#worker.join(this, this.start);
  }

  receive(worker, message) {
    if (message.left) {
      worker.release();
      this.#finish({ ...message.left, ...this.#report });
    } else if (message.ending) this.#report = message.ending;
    else postToParent({ ...message, id: this.id });
  }

  call(call) {
    this.#worker?.child.post({ call });
  }

  access({ request }) {
    postToParent({ reply: request, id: this.id, errno: 'not while a program without threads runs' });
  }

  workerFailed(_worker, message) {
    this.#finish({ cause: Cause.FAILED, message });
  }

  takeDown() {
    this.#stop({ cause: Cause.KILLED });
  }

  async #stop(report) {
    await this.#worker.terminate();
    this.#finish(report);
  }

  #finish(report) {
    clearTimeout(this.#timer);
    if (processes.delete(this.id)) postToParent({ id: this.id, ended: report });
    refill();
  }
}

onMessage((message) => {
  if (message.settings) ({ keep, startTimeout, workerUrl } = message.settings);
  if (message.warmUp) refill();
  if (message.begin) {
    const Kind = message.begin.isSolo ? SoloProcess : SupervisedProcess;
    const process = new Kind(message.begin);
    processes.set(process.id, process);
    process.begin();
  }
  if (message.kill) processes.get(message.kill)?.takeDown();
  if (message.replace) processes.get(message.replace.id)?.replace(message.replace.index);
  if (message.call) processes.get(message.call.id)?.call(message.call);
  if (message.access) processes.get(message.access.id)?.access(message.access);
});

postToParent({ started: true });
