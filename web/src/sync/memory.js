// A shared linear memory as JavaScript uses it: everything by byte offset, and checked.
// Atomic operations, waits and notifies are the guest's own, on the same words.
//
// A memory that grows has a new buffer, which includes the old one; the views here are made
// anew when they turn out to be too short. Old views stay good for what they show.
//
// Invariant: what is out of bounds or not aligned is an error, and changes nothing.

import { NO_SHARED_MEMORY, ThreadworkError } from '../errors.js';
import { checkCount } from '../foreign.js';
import { canShare } from '../platform.js';
import { sleep, sleepAsync } from './wait.js';

const PAGE = 65536;

const TYPES = {
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  f32: Float32Array,
  f64: Float64Array,
};

/** The names of a DataView's methods, after `get` and `set`. */
const ACCESS = Object.fromEntries(
  Object.entries(TYPES).map(([type, { name }]) => [type, name.slice(0, -'Array'.length)]),
);

function sizeOf(type) {
  const View = TYPES[type];
  if (View) return View.BYTES_PER_ELEMENT;
  throw new TypeError(`there is no type '${type}': it is one of ${Object.keys(TYPES).join(', ')}`);
}

const hex = (offset) => (Number.isInteger(offset) ? `0x${offset.toString(16)}` : String(offset));

/** Why an operation on a SharedMemory, or an object in one, failed. */
export class MemoryError extends ThreadworkError {
  constructor(code, message, details) {
    super(code, message);
    this.name = 'MemoryError';
    Object.assign(this, details);
  }

  /** @internal */
  static damaged(offset, message) {
    return new MemoryError(
      'DAMAGED',
      `the object at offset ${hex(offset)} is damaged (${message}): something else has been ` +
        'written there, or it was used against its rules',
      { offset },
    );
  }
}

/** Those that were made of memories, so that what is left of their pages is not lost. */
const known = new WeakMap();

export class SharedMemory {
  #memory;
  #views = {};
  #data = new DataView(new ArrayBuffer(0));
  /** Of a process: its bytes for the host. */
  #area = null;
  /** What is left of the pages for `allocate`. */
  #free = 0;
  #end = 0;

  /**
   * A memory of its own, all zero, in pages of 64 KiB.
   *
   * @param {number | WebAssembly.Memory} minimum
   * @param {number} [maximum]
   */
  constructor(minimum, maximum = minimum) {
    if (!canShare) throw new ThreadworkError('NO_SHARED_MEMORY', NO_SHARED_MEMORY);
    this.#memory = minimum instanceof WebAssembly.Memory ? minimum : make(minimum, maximum);
    if (!(this.#memory.buffer instanceof SharedArrayBuffer)) {
      throw new TypeError('this memory is not shared: make it with {shared: true} and a maximum');
    }
    this.#look();
  }

  /** That of a process, a runtime, or a WebAssembly.Memory; the same one each time. */
  static of(source) {
    if (source instanceof SharedMemory) return source;
    const memory = source instanceof WebAssembly.Memory ? source : source?.memory;
    if (memory instanceof SharedMemory) return memory;
    if (memory) {
      if (!known.has(memory)) known.set(memory, new SharedMemory(memory));
      const own = known.get(memory);
      own.#area ??= source.hostArea ?? null;
      return own;
    }
    throw new MemoryError('ENDED', 'there is no memory: the program has no shared one, or has ended');
  }

  /** The memory itself: to be sent to workers, and imported by modules. */
  get memory() {
    return this.#memory;
  }

  /** Its size in bytes now. It never shrinks. */
  get size() {
    this.#look();
    return this.#data.byteLength;
  }

  /** Adds pages of zeros, which every thread sees; returns how many there were. */
  grow(pages) {
    try {
      return this.#memory.grow(pages);
    } catch {
      const { size } = this;
      throw new MemoryError(
        'FULL',
        `the memory of ${size} bytes cannot grow by ${pages} pages: raise its maximum ` +
          '(--max-memory) or its limit',
        { size, pages },
      );
    }
  }

  /**
   * Bytes of the host's own, all zero, never freed, in pages that the guest's allocator does
   * not touch: of a process those that were reserved for it (see host-area.js). Returns their
   * offset.
   */
  allocate(size, alignment = 16) {
    checkCount('size', size, 2 ** 32);
    checkCount('alignment', alignment, 2 ** 32);
    const taken = this.#area?.take(size, alignment);
    if (taken !== undefined) return taken;
    if (this.#area?.mayGrow === false) {
      throw new MemoryError(
        'RESERVED',
        `no room for ${size} bytes is left in what is reserved for the host, and the memory cannot ` +
          'grow for it, since the program grows it, too: reserve more (the options hostMemory ' +
          'of a process, memorySize of a runtime)',
        { size },
      );
    }
    let at = Math.ceil(this.#free / alignment) * alignment;
    if (at + size > this.#end) {
      const pages = Math.ceil((size + Math.max(0, alignment - PAGE)) / PAGE);
      const start = this.grow(pages) * PAGE;
      this.#end = start + pages * PAGE;
      at = Math.ceil(start / alignment) * alignment;
    }
    this.#free = at + size;
    return at;
  }

  /** Makes the views as long as the memory is now. */
  #look() {
    // Growth by another thread may not have arrived here; growing by nothing fetches it.
    this.#memory.grow(0);
    const { buffer } = this.#memory;
    if (buffer.byteLength === this.#data.byteLength) return;
    this.#data = new DataView(buffer);
    this.#views = {};
  }

  #check(offset, length, alignment) {
    const isThere = () => offset + length <= this.#data.byteLength;
    const isOffset = Number.isInteger(offset) && offset >= 0 && length >= 0;
    if (isOffset && !isThere()) this.#look();
    if (!isOffset || !isThere()) {
      const { size } = this;
      throw new MemoryError(
        'OUT_OF_BOUNDS',
        `${length} bytes at offset ${hex(offset)} are not in a memory of ${size} bytes`,
        { offset, length, size },
      );
    }
    if (offset % alignment !== 0) {
      throw new MemoryError(
        'MISALIGNED',
        `the offset ${hex(offset)} is not aligned: it must be a multiple of ${alignment}`,
        { offset, alignment },
      );
    }
  }

  /**
   * @internal The view of all words of a type, after a check of `count` of them: the one at
   * `offset` has the index `offset / view.BYTES_PER_ELEMENT`.
   */
  words(type, offset, count = 1, alignment = sizeOf(type)) {
    this.#check(offset, count * sizeOf(type), alignment);
    const View = TYPES[type];
    return (this.#views[type] ??= new View(this.#data.buffer));
  }

  // ---- Plain access ----

  /** Reads a number, wherever it is. If others write there meanwhile, it may be made of parts. */
  read(offset, type = 'i32') {
    this.#check(offset, sizeOf(type), 1);
    return this.#data[`get${ACCESS[type]}`](offset, true);
  }

  /** Writes a number, wherever. Others may see parts of it. */
  write(offset, value, type = 'i32') {
    this.#check(offset, sizeOf(type), 1);
    this.#data[`set${ACCESS[type]}`](offset, value, true);
  }

  /** A copy of bytes. */
  readBytes(offset, length) {
    return this.view('u8', offset, length).slice();
  }

  writeBytes(offset, bytes) {
    this.view('u8', offset, bytes.length).set(bytes);
  }

  fill(offset, length, value) {
    this.view('u8', offset, length).fill(value);
  }

  /** A typed array over the memory itself. */
  view(type, offset, length, alignment) {
    const { buffer } = this.words(type, offset, length, alignment);
    return new TYPES[type](buffer, offset, length);
  }

  // ---- Atomic operations ----

  #atomic(operation, type, offset, ...operands) {
    const words = this.words(type, offset);
    return Atomics[operation](words, offset / words.BYTES_PER_ELEMENT, ...operands);
  }

  load(offset, type = 'i32') {
    return this.#atomic('load', type, offset);
  }

  store(offset, value, type = 'i32') {
    this.#atomic('store', type, offset, value);
  }

  /** Adds, wrapping; returns what it was, as do the next six. */
  add(offset, value, type = 'i32') {
    return this.#atomic('add', type, offset, value);
  }

  sub(offset, value, type = 'i32') {
    return this.#atomic('sub', type, offset, value);
  }

  and(offset, value, type = 'i32') {
    return this.#atomic('and', type, offset, value);
  }

  or(offset, value, type = 'i32') {
    return this.#atomic('or', type, offset, value);
  }

  xor(offset, value, type = 'i32') {
    return this.#atomic('xor', type, offset, value);
  }

  exchange(offset, value, type = 'i32') {
    return this.#atomic('exchange', type, offset, value);
  }

  /** Replaces it if it is `expected`: it did if what is returned is that. */
  compareExchange(offset, expected, replacement, type = 'i32') {
    return this.#atomic('compareExchange', type, offset, expected, replacement);
  }

  /** Orders what this thread has done with the memory before what it does afterwards. */
  fence() {
    // All fences change the same word, so each sees what came before the one before it.
    if (this.#data.byteLength > 0) this.add(0, 0);
  }

  // ---- Waiting ----

  #waited(offset, expected) {
    const words = this.words(typeof expected === 'bigint' ? 'i64' : 'i32', offset);
    return [words, offset / words.BYTES_PER_ELEMENT, expected];
  }

  /**
   * Sleeps until somebody notifies the word, unless it is not `expected`, and at most for
   * `timeout` ms. A bigint expects 64 bits. Blocks; returns 'ok', 'not-equal' or 'timed-out'.
   */
  wait(offset, expected, timeout) {
    return sleep(...this.#waited(offset, expected), timeout);
  }

  /** The same as a promise. */
  async waitAsync(offset, expected, limit) {
    return sleepAsync(...this.#waited(offset, expected), limit);
  }

  /** Wakes up to `count` of those that wait; returns how many there were. */
  notify(offset, count = Infinity) {
    return Atomics.notify(this.words('i32', offset), offset / 4, count);
  }

  /**
   * Does the operations of an AtomicBatch in their order; returns what came of each. If one
   * cannot be done, none is.
   */
  run(batch) {
    return batch.run(this);
  }
}

function make(initial, maximum) {
  try {
    return new WebAssembly.Memory({ initial, maximum, shared: true });
  } catch (error) {
    throw new ThreadworkError(
      'OUT_OF_MEMORY',
      `there can be no shared memory of ${initial} pages that may grow to ${maximum}: ask for ` +
        `less, at most 65536 pages (${error.message})`,
      { cause: error },
    );
  }
}
