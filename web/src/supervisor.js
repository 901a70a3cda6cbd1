// The supervisor: the one worker whose event loop nobody blocks. It starts the other
// workers, but for the first ones, which the host lends it; gives them to processes, serves the files of all processes, and takes processes
// down when they have ended.
//
// Invariant: each worker is starting, idle, on a seat of one process, or being terminated;
// a process is gone when none of its seats has a worker.

import { Activity, Called, Cause, Control, LIMITS, Mailbox, Reply, Rpc } from './control.js';
import { textOf } from './foreign.js';
import { GuestMemory } from './guest-memory.js';
import { Borrowed } from './lent.js';
import { STOP } from './lock.js';
import { canWaitAsync, Child, postToParent } from './platform.js';
import { untilGone } from './runtime/life.js';
import * as S from './seat-words.js';
import { letGoOfSeat, stopAll, stopSeat } from './stop-bytes.js';
import { claimShortage } from './threads.js';
import { after } from './timers.js';
import { FILE_CALLS } from './wasi/abi.js';
import * as W from './words.js';

/**
 * How long threads that will see the end have time to come back, how long those that
 * may be computing, and how long those that look for it while they compute; in ms. A worker that does
 * not come back is terminated.
 */
const GRACE = 100;
const GRACE_COMPUTING = 2;
const GRACE_LOOKING = 2000;
/** How long one that waits for the page has to come back when its task is cancelled, in ms. */
const GRACE_ASKING = 500;
/** Workers that start open files for a moment: for so long, in ms, one that finds none is made again. */
const PATIENCE_WITH_FILES = 10_000;
const SHORT_OF_FILES = /\bEMFILE\b/;
/** After a deadlock nobody computes, and everybody says where it slept: a browser's first stack is slow. */
const GRACE_REPORT = 10_000;

/** What only processes with files need; those of most programs, which have none, start without. */
const loadFiles = () => import('./files.js');

/** What the engine was made with, in `Engine`'s words. */
let settings;
/** Workers for processes to come: `settings.keep` at most, for `settings.idleTimeout` ms each. */
const idle = [];
const processes = new Map();

// ---- Workers ----

class ThreadWorker {
  isStarted = false;
  isTerminated = false;
  /** Since when its seat has waited for a worker that finds enough files. */
  shortSince;
  #life = null;
  #process = null;
  #join = null;
  #stopResting = () => {};

  /** @param {number} [number] of one that is lent */
  constructor(number) {
    const to = {
      started: ({ life }) => {
        this.#life = life;
        this.isStarted = true;
        if (this.#join) this.#send();
      },
      message: (message) => this.#process?.receive(this, message),
      failed: (message) => this.#fail(message),
    };
    this.isLent = number !== undefined;
    this.child = this.isLent ? new Borrowed(number, to) : new Child(settings.script, to, settings.startTimeout);
  }

  /** Has a seat already: the host has told it. */
  keepSeat(process) {
    this.#process = process;
  }

  #fail(message) {
    const process = this.#process;
    this.#leaveIdle();
    this.terminate();
    const remedy = this.isStarted
      ? ''
      : ' (too many workers, too little memory, or a very busy machine: lower maxThreads or raise startTimeout)';
    process?.workerFailed(this, `a worker failed: ${message}${remedy}`);
  }

  /** Takes a seat of a process, now or when it has started. */
  join(process, message) {
    this.#leaveIdle();
    this.#process = process;
    this.#join = message;
    if (this.isStarted) this.#send();
  }

  #send() {
    try {
      this.child.post({ join: this.#join });
    } catch (error) {
      this.#fail(textOf(error));
    }
  }

  /** Has left its process, or has not yet come to it. */
  release() {
    this.#process = this.#join = null;
    this.rest();
  }

  /** Waits for another process, if there is room. */
  rest(most = settings.keep) {
    if (idle.length >= most) return void this.terminate();
    idle.push(this);
    this.#stopResting = after(settings.idleTimeout, () => {
      this.#leaveIdle();
      this.terminate();
    });
  }

  #leaveIdle() {
    this.#stopResting();
    const at = idle.indexOf(this);
    if (at >= 0) idle.splice(at, 1);
  }

  /** Kept when it is gone. */
  async terminate() {
    this.#process = null;
    this.isTerminated = true;
    await this.child.terminate();
    await untilGone(this.#life);
  }
}

/** An idle worker, rather one that has started, or else a new one. */
function takeWorker() {
  return idle.findLast((worker) => worker.isStarted) ?? idle.at(-1) ?? new ThreadWorker();
}

function refill(count = settings.keep) {
  while (idle.length < count) new ThreadWorker().rest(count);
}

// ---- Processes ----

class SupervisedProcess {
  /** Workers and the index of their seat. */
  #seats = new Map();
  #freeSeats;
  /** Kept when its directories are open. */
  opened;
  #isEnding = false;
  #isGone = false;
  #hasFailed = false;
  #report = { sleepers: [] };
  #preopens = [];
  #table = null;
  /** Runs a call of the table to its end. */
  #run;
  /** Closes all files; what is in memory. */
  #leaveFiles = () => ({});
  #listeners = null;
  #isServing = false;
  #stopClock = () => {};

  constructor(start) {
    this.id = start.id;
    this.start = start;
    this.control = new Control(start.control);
    this.words = this.control.words;
    const { seats } = this.control;
    this.#freeSeats = Array.from({ length: seats }, (_, index) => seats - 1 - index);
  }

  /** Brings up the workers of the main thread and of threads to come. */
  async begin(lent) {
    const { files, program, poolSize, wallTime } = this.start;
    for (const [index, number] of lent.entries()) {
      const worker = new ThreadWorker(number);
      worker.keepSeat(this);
      this.#seats.set(worker, index);
      this.#freeSeats.splice(this.#freeSeats.indexOf(index), 1);
    }
    try {
      if (files.listeners.length > 0) await this.#openListeners(files);
    } catch (error) {
      this.fail('FILE', `it cannot listen: ${textOf(error)}`);
    }
    try {
      if (!files.isPlain) await this.#openFiles();
    } catch (error) {
      this.fail('FILE', `a directory cannot be opened: ${textOf(error)}`);
    }
    if (this.control.isEnding) return this.takeDown();
    if (wallTime !== undefined) {
      this.#stopClock = after(wallTime, () => this.end(Cause.LIMIT, LIMITS.indexOf('wallTime')));
    }
    const first = program === 'pool' ? poolSize : poolSize + 1;
    for (let count = first - lent.length; count > 0; count--) this.#addSeat();
    if (canWaitAsync) this.#listen();
  }

  /** Makes the file table, where it is one for all. */
  async #openFiles() {
    const { memories, wasiMemory, files } = this.start;
    const { contents, giveBack, informing, makeTable, openPreopens, run, sharedTable } = await loadFiles();
    this.#run = run;
    const wasi = memories[wasiMemory];
    files.table = await sharedTable(files, wasi !== undefined);
    if (!files.table) return;
    // Descriptors outlive the workers, and this one.
    postToParent({ id: this.id, table: files.table });
    this.#preopens = await openPreopens(files, true);
    // Nobody else needs what is in them.
    files.preopens = files.preopens.map(([path]) => [path]);
    const memory = new GuestMemory(wasi?.memory);
    this.#table = await makeTable(memory, this.#preopens, files, informing(this.control));
    this.#leaveFiles = () => {
      this.#table.closeAll();
      // A worker that has failed may not be gone.
      if (!this.#hasFailed) giveBack(files);
      return contents(this.#preopens);
    };
  }

  async #openListeners(files) {
    const { createSockets, Listeners } = await loadFiles();
    files.sockets = createSockets();
    this.#listeners = new Listeners(files.sockets, this.words);
    await this.#listeners.open(files.listeners);
  }

  #addSeat(index = this.#freeSeats.pop(), isLater = false, since = undefined) {
    const worker = takeWorker();
    worker.shortSince = since;
    this.#seats.set(worker, index);
    worker.join(this, { ...this.start, index, isLater });
  }

  /** Whether a worker that has failed has run nothing, for want of files: then another one is made. */
  #makesAnother(worker, index, message) {
    if (this.#isEnding || !SHORT_OF_FILES.test(message)) return false;
    const { words, control } = this;
    if (Atomics.load(words, control.seat(index) + S.MAILBOX) !== 0) return false;
    const now = performance.now();
    const since = worker.shortSince ?? now;
    if (now - since > PATIENCE_WITH_FILES) return false;
    setTimeout(() => this.#isEnding || this.#addSeat(index, false, since), 5 + 45 * Math.random());
    return true;
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
    this.#listeners?.look();
  }

  async #serveFiles() {
    const { words, control } = this;
    if (this.#isServing || Atomics.load(words, W.RPC_STATE) !== Rpc.ASKED) return;
    this.#isServing = true;
    const name = FILE_CALLS[words[W.RPC_CALL]];
    try {
      if (!this.#table) await this.#openFiles();
      words[W.RPC_RESULT] = await this.#run(this.#table.call(name, control.arguments()));
    } catch (error) {
      this.fail('FAILED', `${name} failed: ${error?.stack ?? textOf(error)}`);
    }
    this.#isServing = false;
    if (Atomics.compareExchange(words, W.RPC_STATE, Rpc.ASKED, Rpc.ANSWERED) === Rpc.ASKED) {
      Atomics.notify(words, W.RPC_STATE);
    }
    // It may have ended meanwhile, and waits for this.
    if (this.#isEnding) this.#checkGone();
  }

  /** The directories, as long as it has files. */
  get preopens() {
    return this.#table && this.#preopens;
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

  /** Ends what the worker of a seat does, or else the worker, and gives the seat to another. */
  replace(index) {
    const { words, control } = this;
    const [worker] = [...this.#seats].find(([, at]) => at === index) ?? [];
    const seat = control.seat(index);
    Atomics.or(words, seat + S.LOCKS, STOP);
    stopSeat(control, this.start.memories, index);
    const begin = performance.now();
    const isAsking = (Atomics.load(words, seat + S.CALLED) & Called.ASKED) !== 0;
    const comesBack = words[W.STOP_AT] !== 0 || isAsking;
    // A worker that comes back need not be replaced. Deno's would go on beside its successor.
    const isComing = () => {
      if (!comesBack || Atomics.load(words, seat + S.MAILBOX) !== Mailbox.BUSY) return false;
      const doing = Atomics.load(words, seat + S.ACTIVITY);
      const hears = [Activity.RUNNING, Activity.LEAVING, Activity.NONE].includes(doing) || isAsking;
      return hears && performance.now() - begin < (words[W.STOP_AT] !== 0 ? GRACE_LOOKING : GRACE_ASKING);
    };
    const attempt = async () => {
      if (this.#isEnding || this.#seats.get(worker) !== index) return;
      // Others wait for what it holds, and it may wait itself.
      if (Atomics.load(words, seat + S.LOCKS) !== STOP || isComing()) {
        for (const ring of control.rings) ring.disturb();
        Atomics.notify(words, seat + S.CALLED);
        return void setTimeout(attempt, 1);
      }
      const hasStopped =
        comesBack &&
        Atomics.load(words, seat + S.MAILBOX) === Mailbox.IDLE &&
        Atomics.load(words, seat + S.REPLY) !== Reply.POSTED;
      if (!hasStopped) {
        // Until it is gone it may use what its successor gets: its words, its stack.
        await worker.terminate();
        this.#seats.delete(worker);
        if (this.#isEnding) return void this.#checkGone();
        Atomics.store(words, seat + S.MAILBOX, Mailbox.NONE);
        control.setActivity(seat, Activity.NONE);
      }
      Atomics.store(words, seat + S.REPLY, Reply.NONE);
      Atomics.store(words, seat + S.LOCKS, 0);
      letGoOfSeat(control, this.start.memories, index);
      postToParent({ id: this.id, replaced: index });
      if (!hasStopped) this.#addSeat(index, true);
    };
    attempt();
  }

  workerFailed(worker, message) {
    const index = this.#seats.get(worker);
    this.#seats.delete(worker);
    if (index !== undefined && this.#makesAnother(worker, index, message)) return;
    this.#hasFailed = true;
    this.fail('WORKER', message);
    this.#checkGone();
  }

  // ---- The end ----

  fail(code, message) {
    if (this.control.end(Cause.FAILED)) this.#report.error = { code, message };
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
    this.#stopClock();
    stopAll(this.control, this.start.memories);
    Atomics.notify(this.words, W.SUPERVISOR);
    this.#listeners?.wake();
    for (const [worker] of this.#seats) {
      // One that is lent has been given its seat, and has to come back from there.
      if (worker.isStarted || worker.isLent) continue;
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
      const [{ memory }] = start.memories;
      // Growth by a thread may not have arrived here; growing by nothing fetches it.
      memory.grow(0);
      Atomics.notify(new Int32Array(memory.buffer), (words[seat + S.ADDRESS] >>> 0) / 4);
    }
    let grace = GRACE;
    if (activity === Activity.RUNNING) grace = words[W.STOP_AT] ? GRACE_LOOKING : GRACE_COMPUTING;
    if (words[W.CAUSE] === Cause.DEADLOCK) grace = GRACE_REPORT;
    if (elapsed < grace || worker.isTerminated) return;
    // It comes back; to end it here would lose a descriptor that it opens.
    if ((Atomics.load(words, seat + S.LOCKS) & ~STOP) > 0) return;
    worker.terminate().then(() => {
      this.#seats.delete(worker);
      this.#checkGone();
    });
  }

  async #checkGone() {
    if (!this.#isEnding || this.#seats.size > 0 || this.#isServing || this.#isGone) return;
    this.#isGone = true;
    const files = this.#report.files ?? this.#leaveFiles();
    await this.#listeners?.close(this.words[W.CAUSE] !== Cause.EXITED);
    postToParent({ id: this.id, ended: { ...this.#report, files } });
    processes.delete(this.id);
    refill();
  }
}

/** A process whose host cannot share memory: one worker, which does everything itself. */
class SoloProcess {
  #worker = null;
  #report = {};
  #stopClock = () => {};

  constructor(start) {
    this.id = start.id;
    this.start = start;
  }

  begin() {
    const { wallTime } = this.start;
    if (wallTime !== undefined) {
      const limit = { cause: Cause.LIMIT, code: LIMITS.indexOf('wallTime') };
      this.#stopClock = after(wallTime, () => this.#stop(limit));
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

  workerFailed(_worker, message) {
    this.#finish({ cause: Cause.FAILED, error: { code: 'WORKER', message } });
  }

  takeDown() {
    this.#stop({ cause: Cause.KILLED });
  }

  async #stop(report) {
    await this.#worker.terminate();
    this.#finish(report);
  }

  #finish(report) {
    this.#stopClock();
    if (processes.delete(this.id)) postToParent({ id: this.id, ended: report });
    refill();
  }
}

// ---- What the host says ----

/** Reads or writes a file of a process, and says how that went. */
async function access({ request, access }) {
  const reply = { reply: request };
  const { openPreopens, readPath, run, sayOf, writePath } = await loadFiles();
  const use = async (preopens) => {
    const { path, data } = access;
    if (data) await run(writePath(preopens, path, data));
    else reply.value = await run(readPath(preopens, path));
  };
  try {
    const process = processes.get(access.id);
    await process?.opened;
    if (process?.preopens) await use(process.preopens);
    else await afterwards(access.sources, openPreopens, use);
  } catch (error) {
    reply.error = sayOf(error);
  }
  postToParent(reply);
}

let last = Promise.resolve();

/** Opens directories that outlive a process; one after another, since many open a file once only. */
function afterwards(sources, openPreopens, use) {
  const used = last.then(async () => {
    const preopens = await openPreopens({ preopens: sources }, false);
    await use(preopens).finally(() => preopens.forEach(([, directory]) => directory.close()));
  });
  last = used.catch(() => {});
  return used;
}

function begin(start, lent) {
  const Kind = start.isSolo ? SoloProcess : SupervisedProcess;
  const process = new Kind(start);
  processes.set(process.id, process);
  process.opened = process.begin(lent);
}

/** A message of the engine's. */
export function receive(message) {
  if (message.settings) settings = message.settings;
  if (message.warmUp) refill(message.warmUp);
  for (const number of message.spare ?? []) new ThreadWorker(number).rest(Infinity);
  if (message.from !== undefined) Borrowed.all.get(message.from)?.receive(message);
  if (message.begin) begin(message.begin, message.lent);
  if (message.kill) processes.get(message.kill)?.takeDown();
  if (message.replace) processes.get(message.replace.id)?.replace(message.replace.index);
  if (message.call) processes.get(message.call.id)?.call(message.call);
  if (message.access) access(message);
}
