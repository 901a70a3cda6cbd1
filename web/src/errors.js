// The errors of this package, and what statuses are called.

/**
 * Something that is not the guest's doing: a worker that does not start, no shared memory,
 * a module that cannot be linked. `code` is for programs, the message for people.
 */
export class ThreadworkError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = 'ThreadworkError';
    this.code = code;
  }
}

/** The same error; one of what is built as a file of its own, with a class of its own, becomes one of ours. */
export function ours(error) {
  if (error?.name !== 'ThreadworkError' || error instanceof ThreadworkError) return error;
  return new ThreadworkError(error.code, error.message, { cause: error.cause });
}

export const NO_SHARED_MEMORY =
  'shared memory is not available, so this page cannot run threads: serve it with the headers ' +
  '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp" ' +
  '(`threadwork serve` does), or add the service worker of threadwork/sw, over https or localhost';

const LIMIT_CODES = { threads: 121, openFiles: 122, wallTime: 124, memory: 137, fileMemory: 153 };

/** Stands for a guest's code that does not fit into 0 to 255, as a process's must. */
const STRANGE_CODE = 255;

/**
 * The exit code of a command-line program that reports a status; the same numbers as
 * `threadwork run`'s.
 */
export function exitCode(status) {
  switch (status.kind) {
    case 'exited':
      return status.code >= 0 && status.code <= 255 ? status.code : STRANGE_CODE;
    case 'trapped':
      return 134;
    case 'deadlock':
      return 120;
    case 'limit':
      return LIMIT_CODES[status.limit];
    default:
      return 130;
  }
}

/** Rust's standard library counts the main thread as 1, and its panics say so. */
const threadName = ({ thread, threadInRust }) => {
  if (thread === 0) return 'the main thread';
  return threadInRust ? `thread ${thread} (${threadInRust} in Rust's messages)` : `thread ${thread}`;
};
const trapText = ({ message, stack, ...thread }) =>
  `${threadName(thread)} trapped: ${message}${stack ? `\n${stack}` : ''}${isOfTheParker(stack) ? `\n${NO_PARKER}` : ''}`;

/**
 * `parking_lot_core` 0.9 panics on a stable compiler the first time that a lock is contended, and
 * half of what uses threads stands on it. The message is on the program's own standard error.
 */
const isOfTheParker = (stack) => stack?.includes('parking_lot_core::thread_parker') ?? false;

const NO_PARKER = `parking_lot_core 0.9 cannot wait on WebAssembly if a stable compiler has built it. One line in
Cargo.toml replaces it, below [patch.crates-io]: parking_lot_core = { path =
"threadwork/compat/parking_lot_core" }, a folder of Threadwork's repository: see docs/drop-in.md`;

/** A status in words: a headline, and lines of detail where there are any. */
export function describe(status) {
  switch (status.kind) {
    case 'exited':
      return `exited with code ${status.code}`;
    case 'trapped':
      return trapText(status);
    case 'deadlock': {
      const { length } = status.threads;
      const who = length === 1 ? 'the only thread waits' : `all ${length} threads wait`;
      const sleepers = status.threads.map(
        ({ address, stack, ...thread }) =>
          `\n${threadName(thread)} waits at address 0x${address.toString(16)}${stack ? `\n${stack}` : ''}`,
      );
      const whom = length === 1 ? 'it' : 'them';
      return `deadlock: ${who} for ever, nobody is left to notify ${whom}${sleepers.join('')}`;
    }
    case 'limit': {
      const what = {
        threads: `${status.value} threads`,
        openFiles: `${status.value} open files`,
        memory: `${status.value} bytes of memory`,
        fileMemory: `${status.value} bytes of files in memory`,
        wallTime: `${status.value} ms of time`,
      }[status.limit];
      const then = status.trap ? `; then ${trapText(status.trap)}` : '';
      return `the limit of ${what} was reached${then}`;
    }
    default:
      return status.kind;
  }
}
