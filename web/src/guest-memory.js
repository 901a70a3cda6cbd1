// A guest's linear memory, read and written with checks.
//
// A memory that grows has a new buffer, which includes the old one if it is shared and
// replaces it if not. The views here are made anew when they turn out to be too short or
// detached.

import { Errno } from './wasi/abi.js';
import * as E from './wasi/errno.js';

const EMPTY = new Uint8Array(0);
const utf8 = new TextEncoder();
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class GuestMemory {
  #memory = null;
  #bytes = new Uint8Array(0);
  #view = new DataView(new ArrayBuffer(0));

  /** @param {WebAssembly.Memory} [memory] */
  constructor(memory) {
    if (memory) this.attach(memory);
  }

  /** Is of this memory from now on: one that an instance defines is there only after it. */
  attach(memory) {
    if (!(memory instanceof WebAssembly.Memory)) return;
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
  }

  get isAttached() {
    return this.#memory !== null;
  }

  /** Makes the views include `end`, or fails with EFAULT. */
  #include(end) {
    if (end <= this.#bytes.length) return;
    if (!this.#memory) throw new Errno(E.FAULT);
    if (end > this.#memory.buffer.byteLength) {
      // Growth by another thread may not have arrived here; growing by nothing fetches it.
      this.#memory.grow(0);
    }
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#view = new DataView(this.#memory.buffer);
    if (end > this.#bytes.length) throw new Errno(E.FAULT);
  }

  /** The bytes from `at` on. */
  bytes(at, length) {
    at >>>= 0;
    length >>>= 0;
    this.#include(at + length);
    return this.#bytes.subarray(at, at + length);
  }

  u8(at) {
    return this.bytes(at, 1)[0];
  }

  u16(at) {
    at >>>= 0;
    this.#include(at + 2);
    return this.#view.getUint16(at, true);
  }

  u32(at) {
    at >>>= 0;
    this.#include(at + 4);
    return this.#view.getUint32(at, true);
  }

  u64(at) {
    at >>>= 0;
    this.#include(at + 8);
    return this.#view.getBigUint64(at, true);
  }

  setU8(at, value) {
    this.bytes(at, 1)[0] = value;
  }

  setU16(at, value) {
    at >>>= 0;
    this.#include(at + 2);
    this.#view.setUint16(at, value, true);
  }

  setU32(at, value) {
    at >>>= 0;
    this.#include(at + 4);
    this.#view.setUint32(at, value, true);
  }

  setU64(at, value) {
    at >>>= 0;
    this.#include(at + 8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  /** The path at `at`, which is UTF-8 without zeros. */
  path(at, length) {
    let path;
    try {
      // A decoder takes no shared bytes.
      path = text.decode(this.bytes(at, length).slice());
    } catch (error) {
      throw error instanceof TypeError ? new Errno(E.ILSEQ) : error;
    }
    if (path.includes('\0')) throw new Errno(E.INVAL);
    return path;
  }

  /** Writes the parts, each ended by a zero, and their addresses; as `args_get` does. */
  setStrings(table, buffer, parts) {
    for (const part of parts) {
      this.setU32(table, buffer);
      this.bytes(buffer, part.length).set(part);
      table += 4;
      buffer += part.length;
    }
  }

  /** The buffers of a scattered read or a gathered write. */
  vectors(at, count) {
    if (count >>> 0 > 1024) throw new Errno(E.INVAL);
    const vectors = [];
    for (let n = 0; n < count; n++) {
      const length = this.u32(at + n * 8 + 4);
      // An empty one may be anywhere.
      vectors.push(length === 0 ? EMPTY : this.bytes(this.u32(at + n * 8), length));
    }
    return vectors;
  }
}

/** A string as WASI passes it, with a zero at its end. */
export function withZero(string) {
  const text = `${string}\0`;
  if (text.indexOf('\0') === text.length - 1) return utf8.encode(text);
  throw new TypeError(`${JSON.stringify(string)} has a zero byte: arguments and variables end at the first`);
}
