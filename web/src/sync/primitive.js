// What all primitives share: where they are. Their words, and what each value means, are
// those of the Rust crate `threadwork-sync`, whose pages have the protocols and the reasons
// why no wake-up is lost. All zero bytes are a fresh one.

import { MemoryError, SharedMemory } from './memory.js';
import { block, blockAsync } from './wait.js';

export class Primitive {
  static BYTES = 4;
  static ALIGNMENT = 4;

  /**
   * The one at an offset, or a new one in pages of the host's.
   *
   * @param {SharedMemory | WebAssembly.Memory} memory
   * @param {number} [offset]
   */
  constructor(memory, offset) {
    const { BYTES, ALIGNMENT } = this.constructor;
    memory = SharedMemory.of(memory);
    this.offset = offset ?? memory.allocate(BYTES);
    this.words = memory.view('u32', this.offset, BYTES / 4, ALIGNMENT);
    /** The same words, as `Atomics.wait` takes them. */
    this.sleepers = memory.view('i32', this.offset, BYTES / 4);
    this.memory = memory;
  }

  /** @internal */
  block(waiter, timeout) {
    return block(this.sleepers, waiter, timeout);
  }

  /** @internal */
  blockAsync(waiter, limit, hasGivenUp) {
    return blockAsync(this.sleepers, waiter, limit, hasGivenUp);
  }

  /** @internal */
  notify(index, count) {
    Atomics.notify(this.sleepers, index, count);
  }

  /** @internal */
  damaged(message) {
    return MemoryError.damaged(this.offset, message);
  }
}
