// Runs one program under Node, with the options, messages and exit codes of `threadwork run`.

import { closeSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { describe, exitCode, load, Process } from './runtime/index.js';

const CANNOT_RUN = 125;
const CPU_TIME_OVER = 152;
const INTERRUPTED = 130;
const TERMINATED = 143;
/** 128 + SIGPIPE: what a shell sees of a program that writes to nobody. */
const BROKEN_PIPE = 141;
/** Threads at one time if there is no limit: a worker takes some megabytes. */
const MOST_THREADS = 1024;
/** With room for fewer threads than this, unless fewer are allowed, a program is not started. */
const FEW_THREADS = 64;
/** Descriptors that a worker of Node's has, and those that one opens for a moment when it starts. */
const OF_WORKER = 4;
const TO_START = 40;
/** The supervisor, and the worker of the main thread. */
const MORE_WORKERS = 2;
/** More than a program can have. */
const ALL_FILES = 1 << 15;
/** How often the CPU time is looked at, in ms. */
const CPU_PERIOD = 10;
/** Output that may wait for who reads it, in bytes. */
const BACKLOG = 1 << 16;

/** @param {string} order the open file in which `node.rs` says what to do, as JSON */
export async function main(order) {
  const { temporary, ...run } = JSON.parse(readFileSync(Number(order), 'utf8'));
  closeSync(Number(order));
  if (temporary) process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));
  endOnSignals();
  for (const stream of [process.stdout, process.stderr]) stream.on('error', nobodyReads);
  try {
    await runToEnd(run);
  } catch (error) {
    throw new Error(`cannot run ${run.file}: ${error.message}`);
  }
}

async function runToEnd(order) {
  const limits = withinSystem(order.limits);
  const program = await load(order.program, { name: order.name });
  if (!program.isCommand) throw new Error('it has no `_start`: it is a library, not a program');
  const sinks = [sink(process.stdout), sink(process.stderr)];
  const guest = new Process(program, {
    args: order.args,
    env: order.env,
    preopens: order.directories,
    readOnly: order.readOnly,
    listeners: order.listeners.map((fd) => ({ fd })),
    stdin: 'inherit',
    stdout: sinks[0].stream,
    stderr: sinks[1].stream,
    tty: Boolean(process.stdin.isTTY && process.stdout.isTTY),
    maxThreads: limits.threads?.value ?? MOST_THREADS,
    limits: {
      memory: limits.memory?.value,
      wallTime: limits.wallTime?.value,
      openFiles: limits.openFiles?.value,
    },
  });
  running = guest;
  const cpu = watchCpu(guest, limits.cpuTime);
  const status = await guest.run();
  clearInterval(cpu.timer);
  await Promise.all(sinks.map(({ written }) => written));
  const ending = cpu.isOver
    ? { text: reached(limits.cpuTime), code: CPU_TIME_OVER }
    : told(status, limits);
  if (ending.text) say(ending.text);
  if (order.stats) say(statistics(guest.stats(), cpu.used()));
  process.exit(ending.code);
}

/**
 * The limits, with those of the system's: threads and files of the program share the descriptors
 * that Node leaves, so that it never runs out of those that it needs itself.
 */
function withinSystem(limits) {
  const most = mostDescriptors();
  if (most === Infinity) return limits;
  const free = most - readdirSync('/proc/self/fd').length - TO_START;
  const wanted = limits.threads?.value ?? MOST_THREADS;
  const least = Math.min(wanted, FEW_THREADS);
  const taken = (threads) => OF_WORKER * (threads + MORE_WORKERS);
  if (free < taken(least)) {
    const can = Math.floor(free / OF_WORKER) - MORE_WORKERS;
    const few = can > 0 ? `; they are enough for ${can} (--threads ${can})` : '';
    throw new Error(`EMFILE: ${most} open files are too few for ${least} threads${few}`);
  }
  const threads = Math.min(wanted, Math.max(least, Math.floor(free / 2 / OF_WORKER)));
  const openFiles = free - taken(threads);
  const own = { ...limits };
  const option = 'ulimit -n';
  if (threads < wanted) own.threads = { value: threads, text: `the limit of ${threads} threads`, option };
  if (openFiles < (limits.openFiles?.value ?? ALL_FILES)) {
    own.openFiles = { value: openFiles, text: `the limit of ${openFiles} open files`, option };
  }
  return own;
}

/** As many descriptors as the system lets this process have, where it says so. */
function mostDescriptors() {
  try {
    return Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}

/** A stream that waits until its reader has what it was given. */
function sink(target) {
  let done;
  const written = new Promise((resolve) => (done = resolve));
  const write = (bytes) => new Promise((resolve) => target.write(bytes, resolve));
  const strategy = { highWaterMark: BACKLOG, size: (bytes) => bytes.length };
  return { stream: new WritableStream({ write, close: done, abort: done }, strategy), written };
}

function nobodyReads(error) {
  process.exit(error.code === 'EPIPE' ? BROKEN_PIPE : CANNOT_RUN);
}

/** What the next Ctrl-C ends, if not everything. */
let running = null;

/** The first Ctrl-C ends the program, the second everything, and so does SIGTERM. */
function endOnSignals() {
  process.on('SIGTERM', () => process.exit(TERMINATED));
  process.on('SIGINT', () => {
    if (!running) process.exit(INTERRUPTED);
    running.kill();
    running = null;
  });
}

/** Ends the guest when the CPUs have worked for it as long as they may. */
function watchCpu(guest, limit) {
  const before = process.cpuUsage();
  const used = () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  const cpu = { used, isOver: false, timer: null };
  if (limit) {
    cpu.timer = setInterval(() => {
      if (used() < limit.value) return;
      cpu.isOver = true;
      guest.kill();
    }, CPU_PERIOD);
  }
  return cpu;
}

/** What to say of a status, if it does not speak for itself, and the code to exit with. */
function told(status, limits) {
  const code = exitCode(status);
  if (status.kind === 'exited' && code !== status.code) {
    const text = `the program exited with code ${status.code}, which does not fit into 0 to 255`;
    return { text: `${text}: this is ${code}`, code };
  }
  if (status.kind === 'exited' || status.kind === 'killed') return { code };
  if (status.kind !== 'limit') return { text: describe(status), code };
  const then = status.trap && `; then ${describe({ kind: 'trapped', ...status.trap })}`;
  return { text: reached(limits[status.limit], then), code };
}

function reached({ text, option }, then = '') {
  return `${text} was reached${then}\nthreadwork: ${option} sets this limit`;
}

function statistics(stats, cpuTime) {
  const busy = (cpuTime / Math.max(stats.wallTime, 1e-6)).toFixed(2);
  return [
    'statistics',
    `  time      ${span(stats.wallTime)}, on CPUs ${span(cpuTime)} (${busy} busy)`,
    `  threads   ${stats.threadsStarted} started, at most ${stats.threadsPeak} at one time, ${stats.spawnsFailed} refused`,
    `  waits     ${stats.waits}, of which ${stats.waitsNotEqual} found the value changed`,
    `  notifies  ${stats.notifies}, which woke ${stats.woken}`,
    `  memory    ${size(stats.memory)}`,
  ].join('\n');
}

function span(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return ms >= 1 ? `${ms.toFixed(1)} ms` : `${(ms * 1000).toFixed(0)} us`;
}

function size(bytes) {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  return bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${bytes >> 10} KiB`;
}

function say(text) {
  process.stderr.write(`threadwork: ${text}\n`);
}
