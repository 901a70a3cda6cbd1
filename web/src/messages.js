// Messages between the page and a program, both ways: those to the program wait here until one of its
// threads asks, those from it until somebody listens.
//
// Invariant: each message goes to one thread, in the order in which they were sent; a thread that does
// not wait any more takes none.

import { callOut } from './foreign.js';
import { after } from './timers.js';

/** What the page has sent and no thread has taken, or the threads that wait for it. */
export class Inbox {
  #messages = [];
  #waiting = new Set();

  put(bytes) {
    for (const waiting of this.#waiting) {
      this.#waiting.delete(waiting);
      waiting.forget();
      if (waiting.give(bytes)) return;
    }
    this.#messages.push(bytes);
  }

  /**
   * Gives the next message now or when it comes; null if none comes within so many ms. `give` says
   * whether anybody is there to take it.
   */
  take(timeout, give) {
    if (this.#messages.length > 0) return void (give(this.#messages[0]) && this.#messages.shift());
    if (timeout === 0) return void give(null);
    const waiting = { give };
    waiting.forget = after(timeout, () => {
      this.#waiting.delete(waiting);
      give(null);
    });
    this.#waiting.add(waiting);
  }

  close() {
    for (const { forget } of this.#waiting) forget();
    this.#waiting.clear();
    this.#messages = [];
  }
}

/** What a program has sent, and who listens. */
export class Outbox {
  #unheard = [];
  #listeners = new Set();
  #broken;

  /** @param {(error: unknown) => void} broken called with what a listener throws */
  constructor(broken) {
    this.#broken = broken;
  }

  put(message) {
    this.#unheard.push(message);
    this.#tell();
  }

  /** Returns a function that takes the listener back. */
  listen(listener) {
    const entry = { listener };
    this.#listeners.add(entry);
    // What came before: not before this has returned.
    queueMicrotask(() => this.#tell());
    return () => void this.#listeners.delete(entry);
  }

  #tell() {
    if (this.#listeners.size === 0) return;
    for (const message of this.#unheard.splice(0)) {
      for (const { listener } of this.#listeners) callOut(this.#broken, listener, message);
    }
  }
}
