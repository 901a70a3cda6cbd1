/// <reference lib="esnext.disposable" />

/** Runs threaded WebAssembly in browsers, Node, Deno and Bun. */

import type { SharedMemory } from './sync.js';

export * from './sync.js';

/** Bytes in a buffer or a view, of memory that is shared or not. */
export type Bytes = ArrayBufferLike | ArrayBufferView;

// ---- Programs ----

export interface LoadOptions {
  /** What the program knows itself as, unless `arg0` says otherwise; by default, the file's name. */
  name?: string;
  /**
   * Rewrites the module when it is loaded, so that waits and notifies can be seen: deadlocks are
   * reported, `threads()` and the trace show who waits, and blocked threads end without
   * their workers. Costs the load of the rewriter and some milliseconds for each megabyte.
   */
  deadlockDetection?: boolean;
  /**
   * Rewrites the module so that a thread traps that uses up its stack in linear memory, before it
   * overwrites other data; by default where it is rewritten anyway, for `deadlockDetection`.
   */
  stackCheck?: boolean;
  /**
   * Rewrites the module so that its threads look in each loop whether they are to stop: they end at once
   * also where the host interrupts nobody (Safari, Deno, Bun) or takes its time (Chromium). Waits are
   * rewritten as well, as for `deadlockDetection`. A module without a shared memory stays as it is.
   */
  stoppable?: boolean;
  /** Where the rewriter is, if not beside this package's scripts. */
  rewriterUrl?: string | URL;
  /**
   * Whether the browser keeps what was rewritten for the next visit, by its Cache interface, under
   * `threadwork`; false by default. Nothing is kept where there is no such interface.
   */
  cache?: boolean;
  /** Breaks the promise with its reason when it is aborted, and ends the download. */
  signal?: AbortSignal;
  /**
   * Hears how much has come over the network, `total` being unknown where the server does not
   * say or compresses. What it throws breaks the promise with CALLBACK.
   */
  onProgress?: (progress: { loaded: number; total?: number }) => void;
  /** The limits of the imported memory in pages, of a `WebAssembly.Module`, which cannot tell. */
  memory?: { initial: number; maximum: number };
}

/** A compiled module. Any number of processes can be made of it. */
export class Program {
  private constructor();
  readonly name: string;
  readonly module: WebAssembly.Module;
  /** Whether it runs by itself, from `_start`; else its exports are there to be called. */
  readonly isCommand: boolean;
  /** Whether it starts threads. */
  readonly spawns: boolean;
  /** Whether it was rewritten for `deadlockDetection`. */
  readonly isObserved: boolean;
  /** Whether it was rewritten for `stoppable`. */
  readonly isStoppable: boolean;
}

/**
 * Loads a program: a URL, a response, bytes, a compiled module, or a path where there are files.
 *
 * @throws {ThreadworkError} FETCH, COMPILE, EXCEPTIONS, MEMORY64, SOURCE, REWRITER, CALLBACK
 */
export function load(
  source:
    | string
    | URL
    | Response
    | Bytes
    | WebAssembly.Module
    | Promise<Response | Bytes | WebAssembly.Module>,
  options?: LoadOptions,
): Promise<Program>;

// ---- Processes ----

/** How a process ended. The first cause wins. */
export type ExitStatus =
  | { kind: 'exited'; code: number }
  | ({ kind: 'trapped' } & Trap)
  | { kind: 'deadlock'; threads: Sleeper[] }
  | { kind: 'limit'; limit: LimitName; value: number; trap?: Trap }
  | { kind: 'killed' };

export type LimitName = 'threads' | 'memory' | 'openFiles' | 'wallTime' | 'fileMemory';

export interface Trap {
  /** 0 is the main thread. */
  thread: number;
  /** In a program of Rust, the number in its panics' messages; the main thread has none here. */
  threadInRust?: number;
  message: string;
  /** The guest's frames, the innermost first, a line each. */
  stack: string;
}

export interface Sleeper {
  thread: number;
  threadInRust?: number;
  /** What it waits for a notify of. */
  address: number;
  stack: string;
}

/** A file is text or bytes, a directory an object of files and directories. */
export interface MemoryTree {
  [name: string]: string | Bytes | MemoryTree;
}

export type OutputTarget =
  /** The console; in Node the process's own stream. */
  | 'inherit'
  | 'null'
  /** `process.stdout` is a ReadableStream; a program whose output nobody reads will wait. */
  | 'pipe'
  /** `process.stdoutBytes` has it. */
  | 'collect'
  /** What it throws, or breaks its promise with, ends the program, and breaks `run` with CALLBACK. */
  | ((bytes: Uint8Array) => void)
  | WritableStream<Uint8Array>;

export type InputSource =
  | 'null'
  /** `process.stdin` is a WritableStream. */
  | 'pipe'
  /** Node's own standard input. */
  | 'inherit'
  | { text: string }
  | Bytes
  | Blob
  /** An error of the stream ends the program, and breaks `run` with CALLBACK. */
  | ReadableStream<Uint8Array | string | ArrayBuffer>;

type MaybePromise<T> = T | Promise<T>;

/**
 * Numbers are i32, f32 and f64, bigints are i64. What it throws breaks the promise of the program,
 * or of the task that called it, with HOST_FUNCTION. With `waits: false` the thread goes on at once,
 * and what it throws ends the program with CALLBACK.
 */
export type PageFunction = (...args: any[]) => MaybePromise<Value | boolean | (Value | boolean)[] | undefined | void>;

export interface ProcessOptions {
  args?: string[];
  /**
   * Bytes of the program's first shared memory that are reserved for what the host allocates
   * there (`SharedMemory.of(process).allocate`); none by default.
   */
  hostMemory?: number;
  /** The name under which the program knows itself. */
  arg0?: string;
  /**
   * RAYON_NUM_THREADS and THREADWORK_PARALLELISM are set to the number of cores or
   * `maxThreads`, whichever is less, unless they are given.
   */
  env?: Record<string, string>;
  /**
   * Directories by the guest's absolute paths: files in memory, a directory of the
   * origin-private file system (`navigator.storage.getDirectory()`), or in Node a path.
   */
  preopens?: Record<string, MemoryTree | FileSystemDirectoryHandle | string | URL>;
  /**
   * The guest's paths of those `preopens` where the program may only read: what would change anything
   * fails with EROFS.
   */
  readOnly?: readonly string[];
  /**
   * In Node: where the program accepts connections, as `'127.0.0.1:8080'`, or a socket of the system's that
   * listens. The first is its descriptor after those of the directories, 3 if there are none.
   */
  listeners?: readonly (string | { fd: number })[];
  /** 'null' by default. */
  stdin?: InputSource;
  /** 'inherit' by default. */
  stdout?: OutputTarget;
  /** 'inherit' by default. */
  stderr?: OutputTarget;
  /** Whether the program shall take the standard streams for a terminal. */
  tty?: boolean;
  /** Threads that may exist at one time beside the main one; 64 by default. */
  maxThreads?: number;
  /** Workers made ready before they are needed; the number of cores by default. */
  poolSize?: number;
  limits?: {
    /** Bytes of linear memory. */
    memory?: number;
    /** Milliseconds from start to end, as many as you like. */
    wallTime?: number;
    /** Files and directories open at one time, beside standard streams and preopens. */
    openFiles?: number;
    /**
     * Bytes that files in memory may take, with what is needed to find them; writes beyond fail with
     * ENOSPC. 2 GiB unless told, and 4 GiB at most.
     */
    fileMemory?: number;
  };
  /** Records what threads do when, for `on('thread')`. */
  trace?: boolean;
  /**
   * Refuses with NO_SHARED_MEMORY where memory cannot be shared, instead of running without
   * threads.
   */
  requireThreads?: boolean;
  /**
   * A script whose default export makes host functions of your own:
   * `(context: ImportContext) => ({ module: { name: function } })`. It is imported by every worker.
   */
  imports?: string | URL;
  /** Given to `imports`; anything that can be sent to a worker. */
  data?: unknown;
  /**
   * Functions of this page that the program imports, by module and name; any of its threads may
   * call them, and sleeps until they have answered.
   */
  functions?: Record<string, Record<string, PageFunction | { call: PageFunction; waits?: boolean }>>;
  /**
   * Functions of this page that take and give bytes, by the names that the program calls them
   * by (`threadwork_page::call`). An error is the program's to deal with.
   */
  handlers?: Record<string, (data: Uint8Array) => MaybePromise<string | Bytes | undefined | void>>;
  engine?: Engine;
  /** Ends it when it is aborted, as `kill` does, and breaks `run` and `wait` with its reason. */
  signal?: AbortSignal;
}

/** What a script of host functions gets. */
export interface ImportContext {
  data: unknown;
  memory: WebAssembly.Memory | undefined;
  /** The calling thread's id. */
  thread(): number;
  /** The calling thread's instance. */
  exports(): WebAssembly.Exports;
  /** Sends anything that can be cloned to the page, which hears it by `on('message')`. */
  post(message: unknown): void;
}

export interface ThreadInfo {
  /** The id that the guest knows; 0 is the main thread. */
  id: number;
  /**
   * 'running': it computes, or waits for a notify in a program that is not observed.
   * 'waiting': for a notify of `address`. 'host-call': it sleeps, reads, writes or uses files.
   * 'idle': the main thread of a reactor without a call.
   */
  activity: 'running' | 'waiting' | 'host-call' | 'idle';
  /** The number of its worker in this process. */
  worker: number;
  address?: number;
}

/** A worker began to do something. */
export interface ThreadEvent {
  /** Milliseconds since 1970, by a clock that goes on as before when the system's is set. */
  time: number;
  thread: number;
  worker: number;
  activity: 'running' | 'waiting' | 'host-call' | 'idle';
}

export interface Stats {
  threadsStarted: number;
  threadsAlive: number;
  threadsPeak: number;
  spawnsFailed: number;
  /** These four are counted in observed programs only. */
  waits: number;
  waitsNotEqual: number;
  notifies: number;
  woken: number;
  /** Bytes of shared linear memory. */
  memory: number;
  /** Milliseconds. */
  wallTime: number;
  /** Trace records that were overwritten before they could be read. */
  traceLost: number;
}

export type Value = number | bigint;

/** One program, its memory, its threads, its files and its limits. */
export class Process {
  constructor(program: Program, options?: ProcessOptions);
  /**
   * Starts it. Kept when the main thread is about to run; for a reactor, when `_initialize` has
   * returned.
   */
  start(): Promise<void>;
  /**
   * Starts it and waits for its end. Broken if the host fails or something that it was given
   * (CALLBACK, HOST_FUNCTION, IMPORTS, DATA), never because of the guest.
   */
  run(): Promise<ExitStatus>;
  /** Kept when it has ended and all its threads are gone. */
  wait(): Promise<ExitStatus>;
  readonly status: ExitStatus | null;
  /** Ends it, whatever its threads do. */
  kill(): void;
  /** Ends it; kept when its threads are gone. For `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
  /** Calls an export of a reactor on its main thread. bigints are i64, numbers the rest. */
  call(name: string, ...args: Value[]): Promise<Value | Value[] | undefined>;
  threads(): ThreadInfo[];
  stats(): Stats;
  /** Returns a function that takes the listener back. One that throws ends the process (CALLBACK). */
  on(event: 'thread', listener: (event: ThreadEvent) => void): () => void;
  /**
   * Hears what the program sends: bytes (`threadwork_page::send`), or anything (`post` of a script of
   * `imports`). What was sent before is kept for the first listener. The same holds of it.
   */
  on(event: 'message', listener: (message: any) => void): () => void;
  /**
   * Sends bytes or text to the next thread that asks for a message (`threadwork_page::receive`).
   *
   * @throws {ThreadworkError} ENDED
   */
  postMessage(data: string | Bytes): void;
  /**
   * The shared memory; null if there is none, and after the end. Who has it could notify any
   * thread, so from then on no deadlock is reported.
   */
  readonly memory: WebAssembly.Memory | null;
  readonly stdin: WritableStream<Uint8Array | string> | null;
  readonly stdout: ReadableStream<Uint8Array> | null;
  readonly stderr: ReadableStream<Uint8Array> | null;
  readonly stdoutBytes: Uint8Array;
  readonly stderrBytes: Uint8Array;
  /** The directories in memory as they were at the end, by the guest's paths. */
  readonly files: Record<string, MemoryTree>;
  /** The bytes of a file, by the guest's absolute path, at any time once it has been started. */
  readFile(path: string): Promise<Uint8Array>;
  /** Makes or replaces a file; in memory while the process runs, elsewhere afterwards, too. */
  writeFile(path: string, data: string | Bytes): Promise<void>;
}

// ---- Runtimes ----

export interface RuntimeOptions extends Omit<ProcessOptions, 'poolSize'> {
  /** Workers that run tasks; 4 by default. */
  poolSize?: number;
  /** Workers and threads that tasks start, at one time; 16 by default. */
  maxThreads?: number;
  /** Bytes of shared memory at first, where the module allows; 16 MiB by default. */
  memorySize?: number;
  /** Bytes of stack of each worker, where the module exports `__stack_pointer`; 1 MiB by default. */
  stackSize?: number;
  /**
   * Bytes of thread-local data where the module exports a mutable `__tls_base` but does not
   * say how much it needs; 1024 by default.
   */
  tlsSlotSize?: number;
}

/** A task of a runtime. */
export interface Task {
  /** The name of an exported function. */
  entry: string;
  args?: Value[];
  /** Cancels it when it is aborted, and breaks its promise with its reason. */
  signal?: AbortSignal;
}

/** A task, as a promise of its results. A trap breaks it with TRAPPED. */
export interface TaskHandle extends Promise<Value | Value[] | undefined> {
  /** Unique in its runtime, from 1. */
  readonly id: number;
  /**
   * Takes it out of the queue, or ends its worker, whatever it does: the promise is broken
   * with CANCELLED. False if it is over. Locks that it holds are never unlocked.
   */
  cancel(): boolean;
}

export type WorkerStatus =
  | { state: 'idle' }
  | { state: 'busy'; task: number }
  | { state: 'terminated' };

/** The workers of a runtime. */
export class ThreadPool {
  private constructor();
  /**
   * Calls an export on a worker that is idle, or on the first that will be.
   *
   * @throws {ThreadworkError} NO_EXPORT, SHUT_DOWN
   */
  execute(entry: string, ...args: Value[]): TaskHandle;
  execute(task: Task): TaskHandle;
  /** Kept when no task is queued or runs. */
  waitAll(): Promise<void>;
  readonly workers: WorkerStatus[];
  /** Tasks that wait for a worker. */
  readonly queued: number;
  /** Lets all tasks come to their end; kept with how the runtime ended. */
  shutdown(): Promise<ExitStatus>;
  /** Ends the workers at once; what runs or is queued is broken with ENDED. */
  shutdownNow(): Promise<ExitStatus>;
}

/** A module's exported functions on a pool of workers, over one shared memory. */
export class ThreadRuntime {
  /** @throws {ThreadworkError} UNSHARED, UNEXPORTED, NO_SHARED_MEMORY, OUT_OF_MEMORY */
  constructor(program: Program, options?: RuntimeOptions);
  readonly pool: ThreadPool;
  readonly memory: SharedMemory;
  readonly process: Process;
  /** Starts the workers ahead of the first task. */
  start(): Promise<void>;
  execute(entry: string, ...args: Value[]): TaskHandle;
  execute(task: Task): TaskHandle;
  waitAll(): Promise<void>;
  readonly workers: WorkerStatus[];
  shutdown(): Promise<ExitStatus>;
  shutdownNow(): Promise<ExitStatus>;
  /** As `shutdownNow`. For `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

// ---- Engines, errors, statuses ----

export interface EngineOptions {
  /** Workers kept for the next process; the number of cores and one by default. */
  keepWorkers?: number;
  /** Milliseconds after which an idle worker is given back; never by default. */
  idleTimeout?: number;
  /** Milliseconds that a worker may take to start; 30,000 by default. */
  startTimeout?: number;
  /** The workers' script, where it is not beside this package's other scripts; as the page names it. */
  workerUrl?: string | URL;
}

/** The workers that processes run on. */
export class Engine {
  static readonly default: Engine;
  constructor(options?: EngineOptions);
  /** Starts so many workers, `keepWorkers` unless told, ahead of the first process, whose program may load meanwhile. */
  warmUp(count?: number): Promise<void>;
  /** Ends all its processes and workers, for good. */
  close(): Promise<void>;
  /** As `close`. For `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The exit code of a command-line program that reports this status; as `threadwork run`'s. */
export function exitCode(status: ExitStatus): number;

/** A status in words. */
export function describe(status: ExitStatus): string;
