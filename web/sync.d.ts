/** Shared memory, and the primitives of the Rust crate `threadwork-sync` in it. */

/** What an error is about, for programs; its message is for people. */
export type ErrorCode =
  // Of `load`.
  | 'FETCH' | 'COMPILE' | 'EXCEPTIONS' | 'MEMORY64' | 'SOURCE' | 'REWRITER'
  // Of what a program was given.
  | 'IMPORTS' | 'HOST_FUNCTION' | 'CALLBACK' | 'DATA' | 'ARGUMENTS'
  // Of a host that lacks something.
  | 'NO_SHARED_MEMORY' | 'OUT_OF_MEMORY' | 'MAY_NOT_BLOCK' | 'WORKER' | 'FAILED'
  // Of calls and tasks.
  | 'COMMAND' | 'NO_EXPORT' | 'UNSHARED' | 'UNEXPORTED' | 'THREAD_DATA' | 'TRAPPED' | 'CANCELLED' | 'SHUT_DOWN'
  // Of what has ended, or not begun.
  | 'ENDED' | 'CLOSED' | 'NOT_STARTED' | 'FILE'
  // Of shared memory: see MemoryError.
  | MemoryErrorCode;

export type MemoryErrorCode = 'OUT_OF_BOUNDS' | 'MISALIGNED' | 'FULL' | 'RESERVED' | 'ENDED' | 'DAMAGED' | 'BATCH';

/** A failure that is not the guest's. */
export class ThreadworkError extends Error {
  constructor(code: ErrorCode, message: string, options?: ErrorOptions);
  readonly code: ErrorCode;
}

/** Why an operation on a SharedMemory, or an object in one, failed. */
export class MemoryError extends ThreadworkError {
  private constructor();
  readonly code: MemoryErrorCode;
  readonly offset?: number;
  readonly length?: number;
  /** The size of the memory. */
  readonly size?: number;
  readonly alignment?: number;
  readonly pages?: number;
  /** Of BATCH: which operation, from 0; `cause` is why. */
  readonly index?: number;
}

interface Numbers {
  i8: number;
  u8: number;
  i16: number;
  u16: number;
  i32: number;
  u32: number;
  i64: bigint;
  u64: bigint;
  f32: number;
  f64: number;
}

interface Views {
  i8: Int8Array;
  u8: Uint8Array;
  i16: Int16Array;
  u16: Uint16Array;
  i32: Int32Array;
  u32: Uint32Array;
  i64: BigInt64Array;
  u64: BigUint64Array;
  f32: Float32Array;
  f64: Float64Array;
}

export type NumberType = keyof Numbers;
export type IntegerType = Exclude<NumberType, 'f32' | 'f64'>;
export type WaitResult = 'ok' | 'not-equal' | 'timed-out';
type Source = SharedMemory | WebAssembly.Memory | { readonly memory: SharedMemory | WebAssembly.Memory | null };

/**
 * A shared linear memory by byte offset. What is out of bounds or not aligned is a MemoryError,
 * and changes nothing. All timeouts are in milliseconds; without one a wait is for ever.
 */
export class SharedMemory {
  /** A memory of its own, all zero, in pages of 64 KiB. */
  constructor(minimum: number, maximum?: number);
  /** That of a process, a runtime, or a WebAssembly.Memory. */
  static of(source: Source): SharedMemory;
  /** To be sent to workers, and imported by modules. */
  readonly memory: WebAssembly.Memory;
  readonly size: number;
  /** Returns how many pages there were. */
  grow(pages: number): number;
  /**
   * Bytes of the host's own, never freed, which the guest's allocator does not touch. Of the
   * memory of a process or runtime there are those that `hostMemory` or `memorySize` have
   * reserved; where the program may grow its memory, too, there are no others.
   *
   * @throws {MemoryError} RESERVED, FULL
   */
  allocate(size: number, alignment?: number): number;

  /** Plain access, aligned or not. */
  read(offset: number): number;
  read<T extends NumberType>(offset: number, type: T): Numbers[T];
  write(offset: number, value: number): void;
  write<T extends NumberType>(offset: number, value: Numbers[T], type: T): void;
  /** A copy. */
  readBytes(offset: number, length: number): Uint8Array;
  writeBytes(offset: number, bytes: ArrayLike<number>): void;
  fill(offset: number, length: number, value: number): void;
  /** A typed array over the memory itself. */
  view<T extends NumberType>(type: T, offset: number, length: number): Views[T];

  /** Atomic operations, which return what was there. */
  load(offset: number): number;
  load<T extends IntegerType>(offset: number, type: T): Numbers[T];
  store(offset: number, value: number): void;
  store<T extends IntegerType>(offset: number, value: Numbers[T], type: T): void;
  add(offset: number, value: number): number;
  add<T extends IntegerType>(offset: number, value: Numbers[T], type: T): Numbers[T];
  sub(offset: number, value: number): number;
  sub<T extends IntegerType>(offset: number, value: Numbers[T], type: T): Numbers[T];
  and(offset: number, value: number): number;
  and<T extends IntegerType>(offset: number, value: Numbers[T], type: T): Numbers[T];
  or(offset: number, value: number): number;
  or<T extends IntegerType>(offset: number, value: Numbers[T], type: T): Numbers[T];
  xor(offset: number, value: number): number;
  xor<T extends IntegerType>(offset: number, value: Numbers[T], type: T): Numbers[T];
  exchange(offset: number, value: number): number;
  exchange<T extends IntegerType>(offset: number, value: Numbers[T], type: T): Numbers[T];
  /** It was replaced if what is returned is `expected`. */
  compareExchange(offset: number, expected: number, replacement: number): number;
  compareExchange<T extends IntegerType>(
    offset: number,
    expected: Numbers[T],
    replacement: Numbers[T],
    type: T,
  ): Numbers[T];
  fence(): void;

  /** Blocks, so not on a page's main thread. A bigint expects 64 bits. */
  wait(offset: number, expected: number | bigint, timeout?: number): WaitResult;
  waitAsync(offset: number, expected: number | bigint, limit?: WaitLimit): Promise<WaitResult>;
  /** Returns how many were woken. */
  notify(offset: number, count?: number): number;

  /**
   * Does the operations in their order; returns for a word what it was, for a load of a run
   * the values, else undefined. If one cannot be done, none is.
   */
  run(batch: AtomicBatch): (number | bigint | number[] | bigint[] | undefined)[];
}

/** Atomic operations to be done in one go; not as one step: others may come in between. */
export class AtomicBatch {
  readonly length: number;
  clear(): this;
  load(offset: number, type?: IntegerType): this;
  store(offset: number, value: number | bigint, type?: IntegerType): this;
  add(offset: number, value: number | bigint, type?: IntegerType): this;
  sub(offset: number, value: number | bigint, type?: IntegerType): this;
  and(offset: number, value: number | bigint, type?: IntegerType): this;
  or(offset: number, value: number | bigint, type?: IntegerType): this;
  xor(offset: number, value: number | bigint, type?: IntegerType): this;
  exchange(offset: number, value: number | bigint, type?: IntegerType): this;
  compareExchange(
    offset: number,
    expected: number | bigint,
    replacement: number | bigint,
    type?: IntegerType,
  ): this;
  loadRun(offset: number, count: number, type?: IntegerType): this;
  storeRun(offset: number, values: Iterable<number | bigint>, type?: IntegerType): this;
  fillRun(offset: number, count: number, value: number | bigint, type?: IntegerType): this;
  addRun(offset: number, values: Iterable<number | bigint>, type?: IntegerType): this;
}

/**
 * An object in shared memory, with the words of the Rust one. What does not end in Async may
 * block, and fails with MAY_NOT_BLOCK on a page's main thread.
 */
declare abstract class Primitive {
  /** How large it is, and what its offset must be a multiple of. */
  static readonly BYTES: number;
  static readonly ALIGNMENT: number;
  /** The one at an offset, or without it a new one. */
  constructor(memory: Source, offset?: number);
  readonly offset: number;
}

/**
 * Of a wait that is a promise: a timeout in ms, a signal, or both. An abort breaks the promise with the
 * signal's reason, within 20 ms, and the wait is as if it had not been.
 */
export type WaitLimit = number | AbortSignal | { timeout?: number; signal?: AbortSignal };

/** 4 bytes. Not recursive; unfair within a bound. */
export class Mutex extends Primitive {
  tryLock(): boolean;
  /** False if the timeout has passed. */
  lock(timeout?: number): boolean;
  lockAsync(limit?: WaitLimit): Promise<boolean>;
  unlock(): void;
  readonly isLocked: boolean;
  withLock<T>(body: () => T): T;
  withLockAsync<T>(body: () => T | Promise<T>): Promise<T>;
}

/** 16 bytes, aligned to 8. Readers and writers take turns. */
export class RwLock extends Primitive {
  tryRead(): boolean;
  tryWrite(): boolean;
  read(timeout?: number): boolean;
  readAsync(limit?: WaitLimit): Promise<boolean>;
  write(timeout?: number): boolean;
  writeAsync(limit?: WaitLimit): Promise<boolean>;
  unlockRead(): void;
  unlockWrite(): void;
  /** From writer to reader. */
  downgrade(): void;
  readonly isLocked: boolean;
  readonly isWriteLocked: boolean;
}

/** 8 bytes. */
export class Condvar extends Primitive {
  /** Whether it was notified; it may also return without a notify. */
  wait(mutex: Mutex, timeout?: number): boolean;
  waitAsync(mutex: Mutex, limit?: WaitLimit): Promise<boolean>;
  waitWhile(mutex: Mutex, condition: () => boolean): void;
  waitWhileAsync(mutex: Mutex, condition: () => boolean): Promise<void>;
  notifyOne(): void;
  notifyAll(): void;
}

/** 16 bytes, aligned to 16. */
export class Barrier extends Primitive {
  static create(memory: Source, parties: number, offset?: number): Barrier;
  readonly parties: number;
  /** Whether this is the one leader of its phase; null if it gave up. */
  wait(): boolean;
  wait(timeout: number): boolean | null;
  waitAsync(): Promise<boolean>;
  waitAsync(limit: WaitLimit): Promise<boolean | null>;
}

/** 8 bytes. */
export class Semaphore extends Primitive {
  static readonly MOST_PERMITS: number;
  static create(memory: Source, permits: number, offset?: number): Semaphore;
  tryAcquire(permits?: number): boolean;
  acquire(permits?: number, timeout?: number): boolean;
  acquireAsync(permits?: number, limit?: WaitLimit): Promise<boolean>;
  release(permits?: number): void;
  readonly available: number;
}

/** 4 bytes. A gate that opens once. */
export class Latch extends Primitive {
  open(): void;
  readonly isOpen: boolean;
  wait(timeout?: number): boolean;
  waitAsync(limit?: WaitLimit): Promise<boolean>;
}

/** 4 bytes. A count of tasks, and a wait until it is zero. */
export class WaitGroup extends Primitive {
  add(tasks?: number): void;
  done(): void;
  readonly count: number;
  wait(timeout?: number): boolean;
  waitAsync(limit?: WaitLimit): Promise<boolean>;
}

/** 4 bytes. Something that is done once; a run that throws counts for nothing. */
export class Once extends Primitive {
  readonly isCompleted: boolean;
  callOnce(body: () => void): void;
  callOnceAsync(body: () => void | Promise<void>): Promise<void>;
  wait(timeout?: number): boolean;
  waitAsync(limit?: WaitLimit): Promise<boolean>;
}
